"""Log lines: for people or as JSON, with ids, without passwords."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator

import pytest
import structlog

from shared import log
from shared.settings import Settings


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the lines go; the logging of the other tests is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_away_from_a_terminal_lines_are_json_with_their_ids(stream: io.StringIO) -> None:
    ids = {"run_id": "acme-1", "message_id": "m-1"}
    log.configure(Settings.from_environment(), stream, ids=lambda: ids)

    log.get_logger("workers.writer").info("committed", outputs=3, message_id="m-2")
    ids.clear()
    log.get_logger("workers.writer").info("idle")

    first, second = lines(stream)
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "committed",
        "outputs": 3,
        "run_id": "acme-1",
        "message_id": "m-2",
        "level": "info",
        "logger": "workers.writer",
    }
    assert "run_id" not in second


def test_lines_of_libraries_look_the_same(stream: io.StringIO) -> None:
    log.configure(Settings.from_environment(), stream, ids=lambda: {"run_id": "acme-1"})

    logging.getLogger("dramatiq.worker").warning("gone: %s", "x")

    (line,) = lines(stream)
    assert (line["event"], line["run_id"], line["logger"]) == ("gone: x", "acme-1", "dramatiq.worker")


def test_no_line_holds_a_password(stream: io.StringIO) -> None:
    log.configure(Settings.from_environment(), stream)

    log.get_logger("x").info("at postgresql://ann:s3cret@db/app", url="redis://:s3cret@queue")
    try:
        raise ValueError("postgresql://ann:s3cret@db/app")
    except ValueError:
        log.get_logger("x").exception("failed")

    assert "s3cret" not in stream.getvalue()
    assert lines(stream)[0]["event"] == "at postgresql://ann:***@db/app"
    assert "ValueError" in lines(stream)[1]["exception"]


def test_what_nobody_catches_is_a_line_too(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    log.configure(Settings.from_environment(), stream)
    log.report_uncaught()

    def fail() -> None:
        raise ValueError("postgresql://ann:s3cret@db/app")

    thread = threading.Thread(target=fail, name="heartbeat")
    thread.start()
    thread.join()
    try:
        fail()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)

    of_thread, of_process = lines(stream)
    assert (of_thread["thread"], of_thread["level"]) == ("heartbeat", "critical")
    assert "ValueError" in of_thread["exception"]
    assert "ValueError" in of_process["exception"]
    assert "s3cret" not in stream.getvalue()


def test_for_people_lines_are_text(stream: io.StringIO) -> None:
    log.configure(Settings.from_environment(log_format="text"), stream)

    log.get_logger("x").info("committed", outputs=3)
    try:
        raise ValueError("postgresql://ann:s3cret@db/app")
    except ValueError:
        log.get_logger("x").exception("failed")

    assert "committed" in stream.getvalue()
    assert "outputs=3" in stream.getvalue()
    assert "s3cret" not in stream.getvalue()


def test_lines_below_the_level_are_left_out(stream: io.StringIO) -> None:
    log.configure(Settings.from_environment(log_level="warning"), stream)

    log.get_logger("x").info("quiet")
    log.get_logger("x").warning("loud")

    assert [line["event"] for line in lines(stream)] == ["loud"]
