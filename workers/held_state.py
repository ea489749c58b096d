"""What the database holds of some runs, read under their locks before a batch is folded over it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

import asyncpg
import orjson

from shared.documents import Sha256
from shared.formats.text import is_storable
from shared.frozen import frozen
from shared.ids import RunId, Stage
from shared.mapping.run_evidence import RunEvidence
from shared.mapping.run_row import RunRow
from shared.sql import load_queries
from workers.ledger import TABLES, LedgerEntry, RowKey, Table, entry_of
from workers.row_images import beyond_values, card_of, instant, report_of, run_row_of, stage_output_of
from workers.stage_fold import HeldRow

QUERIES: Final = load_queries("workers")


@frozen
class RunRecord:
    """One row of `runferry.run`."""

    inserted: bool
    before_image: Mapping[str, Any] | None
    written: Mapping[str, Any]
    evidence: RunEvidence


@dataclass(frozen=True, slots=True)
class OpenLetter:
    """A dead letter that a later output may answer."""

    content_sha256: Sha256
    produced_at: datetime | None


@dataclass(slots=True)
class HeldRun:
    """What the database holds of one run."""

    run_id: RunId
    run: RunRow | None
    record: RunRecord | None
    entries: dict[Stage, LedgerEntry]
    rows: dict[RowKey, HeldRow]
    letters: dict[Stage, list[OpenLetter]]
    run_updated_at: str | None = None  # as a before-image keeps it


@dataclass(frozen=True, slots=True)
class Glance:
    """How much there is of some runs, and the User.id of every user that was asked for and is there."""

    runs: int
    records: int
    entries: int
    letters: int
    users: Mapping[str, str]


#: Nobody looked: everything has to be read.
UNSEEN: Final = Glance(runs=1, records=1, entries=1, letters=1, users={})


def lock_key(run_id: str) -> int:
    """Return the key of a run's advisory lock: 63 bits of a hash; a collision only makes two runs wait."""
    return int.from_bytes(blake2b(run_id.encode(), digest_size=8).digest(), "big", signed=True)


async def lock_runs(
    connection: asyncpg.Connection, run_ids: Collection[RunId], lock_timeout: timedelta | None = None
) -> datetime:
    """Lock runs against other writers until the transaction ends; returns the transaction's time.

    From here on the transaction waits no longer than `lock_timeout` for a lock; None leaves that as it is.
    """
    record = await connection.fetchrow(
        QUERIES["lock_runs"],
        sorted(lock_key(run_id) for run_id in run_ids),
        None if lock_timeout is None else str(lock_timeout // timedelta(milliseconds=1)),
    )
    moment: datetime = record["moment"]
    return moment


async def look(connection: asyncpg.Connection, run_ids: Collection[RunId], named: Collection[str]) -> Glance:
    """Return what there is of the runs, which are locked, and of the users: each name is a User.id or a clerkId."""
    # What can't be stored is nobody's id, and may not even be asked for.
    record = await connection.fetchrow(QUERIES["look"], sorted(run_ids), sorted(filter(is_storable, named)))
    by_clerk_id = {clerk_id: user_id for user_id, clerk_id in record["users"]}
    by_id = {user_id: user_id for user_id, _ in record["users"]}
    return Glance(
        runs=record["runs"],
        records=record["records"],
        entries=record["entries"],
        letters=record["letters"],
        users={name: user_id for name, user_id in (by_clerk_id | by_id).items() if name in named},
    )


async def read_held(
    connection: asyncpg.Connection, run_ids: Collection[RunId], seen: Glance = UNSEEN
) -> dict[RunId, HeldRun]:
    """Return what the database holds of the runs; rows are known by their ids, their values are not read yet.

    `seen` is what `look` saw under the same locks: what is not there is not asked for again.
    """
    ids = sorted(run_ids)
    held = {run_id: HeldRun(run_id, None, None, {}, {}, {}) for run_id in ids}
    for record in await connection.fetch(QUERIES["read_runs"], ids) if seen.runs else ():
        held[record["id"]].run = run_row_of(record)
        held[record["id"]].run_updated_at = instant(record["updatedAt"])
    for record in await connection.fetch(QUERIES["read_records"], ids) if seen.records else ():
        held[record["run_id"]].record = _record_of(record)
    for record in await connection.fetch(QUERIES["read_ledger"], ids) if seen.entries else ():
        entry = entry_of(record)
        held[entry.run_id].entries[entry.stage] = entry
    existing = [run_id for run_id, run in held.items() if run.run is not None]
    if existing:
        for record in await connection.fetch(QUERIES["read_row_ids"], existing):
            key = RowKey(TABLES[record["table"]], record["number"])
            held[record["runId"]].rows[key] = HeldRow(record["id"], None, record["starred"])
    for record in await connection.fetch(QUERIES["read_open_letters"], ids) if seen.letters else ():
        letters = held[record["run_id"]].letters.setdefault(Stage(record["stage"]), [])
        letters.append(OpenLetter(Sha256(record["content_sha256"]), record["produced_at"]))
    return held


async def read_values(
    connection: asyncpg.Connection, held: Mapping[RunId, HeldRun], run_ids: Iterable[RunId]
) -> None:
    """Read and lock the values of all rows of some runs; they are about to be compared or overwritten."""
    ids = sorted(run_ids)
    for run_id in ids:
        held[run_id].rows.clear()  # the app may have deleted one since its id was read
    for record in await connection.fetch(QUERIES["read_stage_outputs"], ids):
        key = RowKey(Table.STAGE_OUTPUT, record["stageNumber"])
        held[record["runId"]].rows[key] = HeldRow(record["id"], stage_output_of(record))
    for record in await connection.fetch(QUERIES["read_reports"], ids):
        key = RowKey(Table.INSPIRATION_REPORT, 0)
        held[record["runId"]].rows[key] = HeldRow(record["id"], report_of(record), beyond=beyond_values(record))
    for record in await connection.fetch(QUERIES["read_cards"], ids):
        key = RowKey(Table.OPPORTUNITY_CARD, record["number"])
        held[record["runId"]].rows[key] = HeldRow(
            record["id"], card_of(record), record["starred"], beyond_values(record)
        )


def _record_of(record: Mapping[str, Any]) -> RunRecord:
    before = record["before_image"]
    return RunRecord(
        inserted=record["inserted"],
        before_image=None if before is None else orjson.loads(before),
        written=orjson.loads(record["written"]),
        evidence=RunEvidence.from_json(orjson.loads(record["evidence"])),
    )
