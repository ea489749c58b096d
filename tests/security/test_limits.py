"""Everything that is parsed has limits: hostile input costs little, and is told in a sentence."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from dramatiq.errors import DecodeError
from writing_bench import outputs, trends

from ops.backup.manifest import NAME, read_manifest
from ops.dlq import import_
from ops.dlq.lines import parse_line
from shared.broker.encoder import ENCODER
from shared.contract import OutputBody, to_wire
from shared.documents import Document
from shared.errors import Malformed, UsageError
from shared.ids import RunId, Stage
from shared.mapping import map_output
from shared.run_folders.intent import Intent
from workers.intake import Consignment, Intake, Undeliverable, take_in

MEBIBYTE = 1024 * 1024
#: The machine may be busy; without a limit each of these takes minutes, or the process with it.
BOUND_S = 20.0
DEEP = 100_000


def _wire(*documents: Document, stage: int = 2) -> dict[str, Any]:
    wire = to_wire(outputs("run-a", (2, trends(), 0)))
    body = OutputBody.of(Stage(stage), documents, outputs("r", (2, trends(), 0)).published_at)
    return {**wire, "outputs": [body.model_dump(mode="json", exclude_none=True)]}


def _judged(wire: dict[str, Any]) -> Intake | Undeliverable:
    consignment = Consignment("message", "backfill", 1, datetime.now(UTC))
    return take_in(wire, consignment, max_output_bytes=8 * MEBIBYTE)


def _within_bound(work: Callable[[], Any]) -> Any:
    started_s = time.monotonic()
    result = work()
    assert time.monotonic() - started_s < BOUND_S
    return result


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("trends.json", "[" * DEEP + "]" * DEEP),
        ("trends.json", '{"a":' * DEEP + "1" + "}" * DEEP),
        ("trends.json", "[" * DEEP),
        ("trends.json", '{"a": ' + "9" * MEBIBYTE + "}"),
        ("trends.json", '{"a": 1e' + "9" * 1000 + "}"),
        ("trends.json", "{" + ",".join(f'"k{n}":0' for n in range(100_000)) + "}"),
    ],
    ids=["lists", "objects", "open", "digits", "exponent", "keys"],
)
def test_json_is_judged_in_a_moment_however_deep_or_long(name: str, text: str) -> None:
    taken = _within_bound(lambda: _judged(_wire(Document(name, text.encode()))))
    assert isinstance(taken, Intake)
    assert len(taken.good) + len(taken.bad) == 1


@pytest.mark.parametrize(
    "text",
    [
        "> " * 50_000 + "x",
        "- " * 50_000 + "x",
        "*" * 200_000,
        "[" * 100_000 + "x" + "]" * 100_000,
        "![" * 50_000,
        "`" * 100_001,
        "<a " * 100_000,
        "# " * 100_000,
        "|a" * 100_000 + "\n" + "|-" * 100_000,
        "".join(f"{'  ' * n}- x\n" for n in range(700)),
        "*_" * 100_000,
    ],
    ids=[
        "quotes",
        "lists",
        "stars",
        "brackets",
        "images",
        "ticks",
        "html",
        "hashes",
        "table",
        "ladder",
        "emphasis",
    ],
)
def test_markdown_is_read_in_a_moment_however_deep_it_nests(text: str) -> None:
    card = f"# Card\n\n## Tagline\n{text}\n\n## Problem\nP\n"

    def read() -> None:
        with suppress(Malformed):
            map_output(RunId("run-a"), Stage(5), [Document("opportunity-1.md", card.encode())])

    _within_bound(read)


def test_an_alias_bomb_in_front_matter_makes_nothing() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9) if n else 'lol'}]" for n in range(60))
    text = f"---\nbrand: maple\n{levels}\n---\n# Card\n\n## Tagline\nT\n"
    mapped = _within_bound(
        lambda: map_output(RunId("run-a"), Stage(5), [Document("opportunity-1.md", text.encode())])
    )
    assert mapped.facts.company_id[0] == "maple"


def test_a_message_above_the_limit_is_a_dead_letter_and_one_nested_too_deep_no_message() -> None:
    taken = _within_bound(lambda: _judged(_wire(Document("a.md", b"x" * (9 * MEBIBYTE)))))
    assert isinstance(taken, Intake)
    assert [bad.malformed.reason for bad in taken.bad] == ["too_large"]
    for text in (b"[" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP, b' {"a":' * DEEP, b"\xff\xfe", b""):
        with pytest.raises(DecodeError):
            ENCODER.decode(text)


@pytest.mark.parametrize(
    "spoil",
    [
        {"outputs": []},
        {"outputs": [[]]},
        {"outputs": "x"},
        {"hints": {"user_id": ["x"]}},
        {"run_id": 5},
        {"published_at": "yesterday"},
        {"more": 1},
        {"schema_version": -1},
        {"kind": "other"},
    ],
    ids=str,
)
def test_a_message_that_is_not_of_the_contract_is_a_dead_letter(spoil: dict[str, Any]) -> None:
    assert isinstance(_judged(_wire(Document("a.md", b"x")) | spoil), Undeliverable)


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[" * DEEP,
        b'{"format": 1, "place": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
        b'{"format": 2}',
        b"null",
        b"\xff",
    ],
    ids=["open", "deep", "deep in a column", "format", "null", "bytes"],
)
def test_a_line_that_is_no_dead_letter_is_told_in_a_sentence(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w") as refusal:
        _within_bound(lambda: parse_line(line))
    assert len(str(refusal.value)) < 300


def test_a_line_of_an_import_is_never_read_beyond_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            self.taken += len(buffer)
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    monkeypatch.setattr(import_, "MAX_LINE_BYTES", 100_000)
    endless = Endless()
    with pytest.raises(UsageError, match="Line 1 is no dead letter"):
        list(import_._portions(io.BufferedReader(endless)))
    assert endless.taken < 1_000_000


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b"[" * DEEP, b"null", b'{"format": 1, "parts": [{}]}', b"x" * (17 * MEBIBYTE)]
)
def test_a_damaged_manifest_of_a_backup_is_told_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(UsageError, match="is damaged"):
        _within_bound(lambda: read_manifest(tmp_path))


@pytest.mark.parametrize(
    "content", [b"", b"[", b"[" * DEEP, b"{}", orjson.dumps({"version": 1, "documents": [5]})]
)
def test_a_damaged_intent_manifest_is_none(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Intent.from_json(content)


def test_what_postgresql_cannot_store_is_refused_in_a_line_before_it_is_asked() -> None:
    letter = {
        **{"format": 1, "id": 1, "run_id": "run\0a", "stage": 1, "content_sha256": "0" * 64, "state": "open"},
        **{"reason": "message", "sentence": "", "place": {}, "error_class": "", "error_text": "", "traceback": ""},
        **{
            "fingerprint": "",
            "attempts": 1,
            "worker_host": "",
            "worker_pid": 1,
            "worker_version": "",
            "origin": "",
        },
        **{"first_failed_at": "2026-01-02T00:00:00Z", "last_failed_at": "2026-01-02T00:00:00Z"},
        **{"died_at": "2026-01-02T00:00:00Z", "produced_at": None, "batch_id": "", "message_id": "", "queue": ""},
        **{"envelope": {}, "payload": "", "seen": 1, "replays": 0, "history": [], "closed_at": None},
    }
    with pytest.raises(ValueError, match="run_id: it holds what PostgreSQL can't store"):
        parse_line(json.dumps(letter).encode())
    with pytest.raises(ValueError, match="envelope: it holds"):
        parse_line(json.dumps(letter | {"run_id": "run-a", "envelope": {"a": "\0"}}).encode())
    # Evidence about such text is stored as an escape, and comes back.
    assert (
        parse_line(json.dumps(letter | {"run_id": "run-a", "sentence": "\\u0000"}).encode()).sentence == "\\u0000"
    )
