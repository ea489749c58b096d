"""Recording: filing dead letters, and closing them once a good output has answered them.

Both run inside the caller's transaction, after its ledger is written: the ledger decides whether a letter waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg

from shared.dead_letters.evidence import this_worker
from shared.dead_letters.letter import DeadLetter
from shared.dead_letters.storable import storable_json, storable_label, storable_text
from shared.documents import Sha256
from shared.frozen import frozen
from shared.ids import RunId, Stage
from shared.sql import load_queries

_QUERIES: Final = load_queries("shared.dead_letters")

Identity = tuple[RunId, int, Sha256]


@frozen
class SettledOutput:
    """An output that did not die, and its verdict.

    Applied, duplicate, superseded and mended answer letters; any other verdict lets a replayed one wait again.
    """

    run_id: RunId
    stage: Stage
    content_sha256: Sha256
    produced_at: datetime
    verdict: str
    mends: Sha256 | None = None


async def record(connection: asyncpg.Connection, letters: Iterable[DeadLetter]) -> Mapping[Identity, int]:
    """File the letters in their order and return their ids by identity.

    The same bad output again adds to `seen`, and never becomes a second letter. A replay that died opens its
    letter again; a discarded one stays discarded.
    """
    filed: dict[Identity, int] = {}
    for distinct in _statements(letters):
        rows = await connection.fetch(_QUERIES["record"], *_columns([_record_row(letter) for letter in distinct]))
        filed |= {(row["run_id"], row["stage"], row["content_sha256"]): row["id"] for row in rows}
        died_mending = [letter for letter in distinct if letter.mends is not None]
        if died_mending:
            await connection.execute(
                _QUERIES["reopen_unmended"], *_columns([_died_row(letter) for letter in died_mending])
            )
    return filed


async def resolve(connection: asyncpg.Connection, settled: Sequence[SettledOutput]) -> int:
    """Close the waiting letters that these outputs answer, and return how many were touched."""
    if not settled:
        return 0
    rows = [
        (
            output.run_id,
            output.stage.value,
            output.content_sha256,
            output.produced_at,
            output.mends,
            output.verdict,
        )
        for output in settled
    ]
    worker = this_worker()
    who = f"{worker.host}:{worker.pid}"
    closed = _count(await connection.execute(_QUERIES["resolve"], *_columns(rows), who))
    mending = [(output.mends, output.run_id, output.verdict) for output in settled if output.mends is not None]
    if mending:
        closed += _count(await connection.execute(_QUERIES["resolve_messages"], *_columns(mending), who))
    return closed


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])


def _statements(letters: Iterable[DeadLetter]) -> Iterator[Iterable[DeadLetter]]:
    """Cut the letters into as few statements as there may be where none holds the same letter twice."""
    waiting = list(letters)
    while waiting:
        distinct: dict[Identity, DeadLetter] = {}
        waiting = [letter for letter in waiting if distinct.setdefault(letter.identity, letter) is not letter]
        yield distinct.values()


def _record_row(letter: DeadLetter) -> tuple[Any, ...]:
    evidence, delivery, worker = letter.evidence, letter.delivery, letter.worker
    place = {
        name: value
        for name, value in (
            ("document", evidence.place.document),
            ("line", evidence.place.line),
            ("column", evidence.place.column),
            ("section", evidence.place.section),
        )
        if value is not None
    }
    return (
        letter.run_id,
        letter.stage,
        letter.content_sha256,
        evidence.reason,
        storable_text(evidence.sentence),
        storable_json(place),
        evidence.error_class,
        storable_text(evidence.error_text),
        storable_text(evidence.traceback),
        letter.fingerprint,
        delivery.attempts,
        delivery.first_failed_at,
        delivery.last_failed_at,
        worker.host,
        worker.pid,
        worker.version,
        letter.origin,
        letter.produced_at,
        storable_label(delivery.batch_id),
        storable_label(delivery.message_id),
        delivery.queue,
        storable_json(dict(letter.envelope)),
        letter.payload,
    )


def _died_row(letter: DeadLetter) -> tuple[Any, ...]:
    return (
        letter.run_id,
        letter.stage,
        letter.mends,
        letter.content_sha256,
        letter.evidence.reason,
        f"{letter.worker.host}:{letter.worker.pid}",
        letter.delivery.last_failed_at,
    )


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
