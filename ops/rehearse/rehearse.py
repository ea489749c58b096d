"""Rehearse: one journey, from the lock to the clearing away. The composition root."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from ops.backup.libpq import patient
from ops.backup.progress import StepProgress
from ops.rehearse.journey import Journey, Step
from ops.rehearse.queries import QUERIES
from ops.rehearse.scratch import Scratch, clear, scratch_for
from ops.restore import databases
from shared.connection_errors import DATABASE_LOST, explain_database
from shared.counting import counted
from shared.database import connect
from shared.errors import UsageError
from shared.run_folders.scanner import opened_root
from shared.settings import Settings
from shared.stores import resolve_stores


@dataclass(frozen=True, slots=True)
class RehearseOptions:
    """Which runs, all where `sample` is None; and how many worker processes carry them."""

    root: Path
    sample: int | None
    workers: int


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """How a rehearsal ended; `kept` says whether the live database remembers it."""

    passed: bool
    steps: tuple[Step, ...]
    seconds: float
    cleared: int
    kept: bool


async def run_rehearsal(options: RehearseOptions, settings: Settings, progress: StepProgress) -> Rehearsed:
    """Rehearse; raises UsageError where it can't begin. The live database is read for one row, and keeps the result."""
    with opened_root(options.root):
        pass
    started_s = time.monotonic()
    stores = resolve_stores(settings)
    live = await connect(stores.database, patient(settings))
    try:
        about = await live.fetchrow(QUERIES["live"])
        if not await live.fetchval(QUERIES["try_lock"]):
            raise UsageError("Another rehearsal for this database is under way; wait for its end.")
        scratch = scratch_for(about["number"], settings)
        async with databases.administration(stores.database, settings) as administration:
            cleared = await clear(administration, scratch, settings, stores.redis_url)
            if cleared:
                progress.note(
                    f"Cleared away {counted(cleared, 'scratch database')} of a rehearsal that was killed."
                )
            rehearsal_id = await _begin(live, scratch, keeps=about["keeps"])
            journey = Journey(
                scratch,
                stores,
                settings,
                administration,
                progress,
                options.root,
                options.sample,
                options.workers,
            )
            passed: bool | None = None
            try:
                passed = await journey.go()
            finally:
                await asyncio.shield(_finish(live, rehearsal_id, journey, passed))
                await asyncio.shield(clear(administration, scratch, settings, stores.redis_url))
        return Rehearsed(
            passed, tuple(journey.steps), time.monotonic() - started_s, cleared, rehearsal_id is not None
        )
    except DATABASE_LOST as error:
        raise explain_database(error, stores.database) from error
    finally:
        live.terminate()


async def _begin(live: asyncpg.Connection, scratch: Scratch, *, keeps: bool) -> int | None:
    if not keeps:
        return None
    found: int = await live.fetchval(QUERIES["begin"], [scratch.database, scratch.restored])
    return found


async def _finish(
    live: asyncpg.Connection, rehearsal_id: int | None, journey: Journey, passed: bool | None
) -> None:
    if rehearsal_id is None or live.is_closed():
        return
    steps: list[dict[str, Any]] = [step.to_json() for step in journey.steps]
    await live.execute(QUERIES["finish"], rehearsal_id, bool(passed), orjson.dumps(steps).decode())
