"""Rollback: from the choice of runs to the last of them. The composition root."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg
import orjson

from ops.backup.backup import BackupOptions, Made, make_backup
from ops.backup.progress import StepProgress
from ops.dlq.asking import who
from ops.rollback.deciding import RunAction, RunRollback
from ops.rollback.queries import QUERIES
from ops.rollback.references import USER, Reference, read_references, referred
from ops.rollback.tally import Tally
from ops.rollback.transaction import Skipped, roll_back
from shared.broker.broker import RunferryBroker, make_broker
from shared.connection_errors import DATABASE_LOST, explain_database
from shared.database import connect
from shared.errors import UsageError
from shared.ids import RunId
from shared.schema_version import check
from shared.settings import Settings
from shared.stores import resolve_stores
from workers.held_state import HeldRun
from workers.planning import MIGRATION_USER

_RUNS_ASKED_AT_ONCE: Final = 1_000
_MOST_NAMED: Final = 5
_TRIES: Final = 3
#: The web app may hold a row for a moment; a run that it holds for longer is left for another time.
_LOCK_TIMEOUT: Final = "SET lock_timeout = '10s'"


@dataclass(frozen=True, slots=True)
class RollbackOptions:
    """Which runs; without `run_ids` all that were migrated. `backup_to` is None where none shall be made."""

    run_ids: tuple[str, ...] = ()
    include_pipeline: bool = False
    dry_run: bool = False
    backup_to: Path | None = None


@dataclass(slots=True)
class RolledBack:
    """What a rollback did; `left_alone` are runs that a pipeline has written to."""

    tally: Tally = field(default_factory=Tally)
    left_alone: int = 0
    backup: Made | None = None
    seconds: float = 0.0


async def run_rollback(options: RollbackOptions, settings: Settings, progress: StepProgress) -> RolledBack:
    """Roll back; raises UsageError before anything has changed. Each run is a transaction: begun again, it goes on."""
    started_s = time.monotonic()
    stores = resolve_stores(settings)
    broker = make_broker(stores.redis_url, settings, patience=settings.connect_timeout)
    connection = await connect(stores.database, settings)
    done = RolledBack()
    try:
        await check(connection)
        run_ids = await _choose(connection, options, done)
        await asyncio.to_thread(_refuse_in_flight, broker, run_ids)
        if run_ids and not options.dry_run and options.backup_to is not None:
            done.backup = await make_backup(BackupOptions(options.backup_to, None), settings, progress)
        await connection.execute(_LOCK_TIMEOUT)
        if run_ids and not options.dry_run:
            # Before anything goes: a checklist that was made with these rows opens no gate any more, however this ends.
            await _record(connection, "begin_rollback", options, done)
        try:
            await _roll_back_all(connection, broker, run_ids, options, done, progress)
        finally:
            done.seconds = time.monotonic() - started_s
            if done.tally.runs and not options.dry_run and not connection.is_closed():
                await asyncio.shield(_record(connection, "record_rollback", options, done))
    except DATABASE_LOST as error:
        raise explain_database(error, stores.database) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise UsageError(
            f"The role {stores.database.user!r} lacks a right: {error}. A rollback deletes from the web app's tables "
            "and from runferry's."
        ) from error
    finally:
        connection.terminate()
        broker.close()
    return done


async def _choose(connection: asyncpg.Connection, options: RollbackOptions, done: RolledBack) -> list[RunId]:
    if not options.run_ids:
        records = await connection.fetch(QUERIES["migrated_runs"], options.include_pipeline)
        if not options.include_pipeline:
            done.left_alone = await connection.fetchval(QUERIES["pipeline_runs"])
        return [RunId(record["run_id"]) for record in records]
    known = {record["run_id"] for record in await connection.fetch(QUERIES["known_runs"], list(options.run_ids))}
    unknown = [run_id for run_id in options.run_ids if run_id not in known]
    if unknown:
        raise UsageError(
            f"runferry has written nothing of {', '.join(unknown[:_MOST_NAMED])}"
            f"{', …' if len(unknown) > _MOST_NAMED else ''}: there is nothing to roll back. Nothing was changed."
        )
    return [RunId(run_id) for run_id in options.run_ids]


def _refuse_in_flight(broker: RunferryBroker, run_ids: Sequence[RunId]) -> None:
    """A message that is still in a queue would write its run again right after."""
    travelling: list[str] = []
    for start in range(0, len(run_ids), _RUNS_ASKED_AT_ONCE):
        some = run_ids[start : start + _RUNS_ASKED_AT_ONCE]
        travelling += [run_id for run_id, outputs in broker.in_flight_many(some).items() if outputs]
    if travelling:
        raise UsageError(
            f"Messages of {len(travelling):,} of these runs are still in the queues "
            f"({', '.join(travelling[:_MOST_NAMED])}{', …' if len(travelling) > _MOST_NAMED else ''}), and would write "
            "them again. Let workers finish them (`worker` starts some; ops resume, if they are held), then run this "
            "again. Nothing was changed."
        )


async def _roll_back_all(
    connection: asyncpg.Connection,
    broker: RunferryBroker,
    run_ids: Sequence[RunId],
    options: RollbackOptions,
    done: RolledBack,
    progress: StepProgress,
) -> None:
    tally = done.tally
    references = await read_references(connection)
    progress.begin("Looking at runs" if options.dry_run else "Rolling back", unit="run", total=len(run_ids))
    owned = 0  # runs of the migration user that go
    for number, run_id in enumerate(run_ids, 1):
        if await asyncio.to_thread(broker.in_flight, run_id):
            tally.skipped.append((run_id, "a message of it came into the queue meanwhile"))
            continue
        try:
            result = await _with_patience(connection, run_id, references, dry_run=options.dry_run)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            tally.skipped.append((run_id, f"somebody else holds it ({error})"))
            continue
        if isinstance(result, Skipped):
            tally.deleted_in_web_app += result is Skipped.DELETED
        else:
            held, rollback = result
            tally.add(run_id, rollback)
            owned += (
                rollback.run is RunAction.DELETE and held.run is not None and held.run.user_id == MIGRATION_USER
            )
        progress.update(number)
    tally.user_removed = await _remove_user(connection, references, owned, dry_run=options.dry_run)


async def _with_patience(
    connection: asyncpg.Connection, run_id: RunId, references: Sequence[Reference], *, dry_run: bool
) -> tuple[HeldRun, RunRollback] | Skipped:
    for _ in range(_TRIES - 1):
        try:
            return await roll_back(connection, run_id, references, dry_run=dry_run)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            continue
    return await roll_back(connection, run_id, references, dry_run=dry_run)


async def _remove_user(
    connection: asyncpg.Connection, references: Sequence[Reference], owned: int, *, dry_run: bool
) -> bool:
    """Remove the user that the writer added, once nothing is left that it owns; returns whether it goes."""
    async with connection.transaction():
        user = await connection.fetchrow(QUERIES["migration_user"], MIGRATION_USER)
        if user is None or await referred(connection, references, {USER: [MIGRATION_USER]}):
            return False
        if dry_run:
            return bool(owned) and user["runs"] == owned
        if user["runs"] or user["cards"]:
            return False
        await connection.execute(QUERIES["delete_user"], MIGRATION_USER)
        return True


async def _record(connection: asyncpg.Connection, query: str, options: RollbackOptions, done: RolledBack) -> None:
    subject = {
        **done.tally.to_json(),
        "run_ids": list(options.run_ids[:_RUNS_ASKED_AT_ONCE]) or "all migrated",
        "backup": None if done.backup is None else str(done.backup.folder.absolute()),
    }
    await connection.execute(QUERIES[query], who(), "", orjson.dumps(subject).decode())
