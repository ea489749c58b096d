"""Lines that concern a message carry its ids, and no line carries a secret."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import dramatiq
import pytest
import structlog
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import CurrentMessage

from producers import StageStore
from shared import log
from shared.settings import Settings
from workers.log_context import message_ids


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where all lines go, as JSON; the logging of the other tests is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.configure(Settings.from_environment(log_level="info"), stream, ids=message_ids)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_whatever_is_said_while_a_message_is_worked_on_carries_its_ids(stream: io.StringIO) -> None:
    broker = StubBroker(middleware=[CurrentMessage()])

    @dramatiq.actor(broker=broker, queue_name="live")
    def work(*, message: dict[str, Any]) -> None:
        structlog.get_logger("ours").info("ours")
        logging.getLogger("theirs").warning("theirs")
        if message["run_id"] == "run-1":
            raise ValueError("postgresql://ann:s3cret@db/app")

    first = work.send(message={"run_id": "run-1"})
    second = work.send(message={"run_id": "run-2"})
    worker = dramatiq.Worker(broker, worker_threads=1)
    worker.start()
    broker.join("live")
    worker.stop()

    told = [(line["event"], line.get("run_id"), line.get("message_id")) for line in lines(stream)]
    for event in ("ours", "theirs"):
        assert [ids for name, *ids in told if name == event] == [
            ["run-1", first.message_id],
            ["run-2", second.message_id],
        ]
    (failed,) = (line for line in lines(stream) if line["event"].startswith("Failed to process"))
    assert (failed["run_id"], failed["message_id"]) == ("run-1", first.message_id)
    assert "ValueError" in failed["exception"]
    assert "s3cret" not in stream.getvalue()
    assert all(ids == [None, None] for name, *ids in told if "shut" in name.lower())


def test_lines_of_an_event_loop_carry_no_ids_of_whoever_woke_it(stream: io.StringIO) -> None:
    broker = StubBroker(middleware=[CurrentMessage()])
    loop = asyncio.new_event_loop()
    running = Thread(target=loop.run_forever)
    running.start()

    async def say() -> None:
        logging.getLogger("loop").warning("said")

    @dramatiq.actor(broker=broker, queue_name="live")
    def work(*, message: dict[str, Any]) -> None:
        asyncio.run_coroutine_threadsafe(say(), loop).result()

    work.send(message={"run_id": "run-1"})
    worker = dramatiq.Worker(broker, worker_threads=1)
    worker.start()
    broker.join("live")
    worker.stop()
    loop.call_soon_threadsafe(loop.stop)
    running.join()
    loop.close()

    (said,) = (line for line in lines(stream) if line["event"] == "said")
    assert not {"run_id", "message_id"} & said.keys()


def test_a_stage_that_can_not_publish_says_for_which_run(stream: io.StringIO, tmp_path: Path) -> None:
    away = {"redis_url": "redis://:s3cret@localhost:1/0", "root": tmp_path, "home": tmp_path / "home"}
    for kept in (False, True):
        settings = Settings.from_environment(**away, emit_timeout="0.3s", outbox_always=kept)
        with StageStore(settings) as store:
            receipt = store.write("run-1", 2, {"trends.json": "{}"})
    warned = [line for line in lines(stream) if line["level"] == "warning" and "run-1" in str(line)]
    assert len(warned) >= 3
    assert {line.get("run_id") for line in warned} == {"run-1"}
    (waits,) = (line for line in warned if line["event"].startswith("the message waits in the outbox"))
    assert waits["message_id"] == receipt.token.message_id
    assert "s3cret" not in stream.getvalue()
