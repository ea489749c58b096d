"""One transaction: lock the runs of a batch, read what is held, plan, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from shared.ids import RunId, Stage
from shared.verdicts import Verdict
from workers.committing import commit_plan
from workers.fast_path import FastPath
from workers.held_state import QUERIES, HeldRun, lock_runs, look, read_held, read_values
from workers.intake import Intake, Undeliverable
from workers.plan import Plan
from workers.planning import MIGRATION_USER, named_user, needs_values, plan_batch
from workers.run_fold import RunFold

#: RFC 2606 reserves `.invalid`: no mail can ever be sent there.
_MIGRATION_EMAIL = f"{MIGRATION_USER}@runferry.invalid"


@dataclass(frozen=True, slots=True)
class Transactor:
    """What every transaction of a worker process has in common; `worker` is host:pid.

    Without a `fast_path`, every batch goes the long way.
    """

    quiet: timedelta
    lock_timeout: timedelta
    worker: str
    fast_path: FastPath | None = None

    async def write(
        self, connection: asyncpg.Connection, batch: Sequence[Intake | Undeliverable]
    ) -> list[Mapping[Stage, Verdict]]:
        """Write a batch in one transaction, and return what became of each message once it is committed.

        Safe to run again after any failure: before the commit nothing has happened, and after it the same messages
        are duplicates.
        """
        if self.fast_path is not None:
            verdicts = await self.fast_path.write(connection, batch, quiet=self.quiet, worker=self.worker)
            if verdicts is not None:
                return verdicts
        # Whatever the database's default is: what is read after a lock is what others committed before they let go.
        async with connection.transaction(isolation="read_committed"):
            return await self._write(connection, batch)

    async def rehearse(self, connection: asyncpg.Connection, intake: Intake) -> None:
        """Write one message and take it back; raises what PostgreSQL says about it."""
        transaction = connection.transaction(isolation="read_committed")
        await transaction.start()
        try:
            await self._write(connection, [intake])
            # Deferred constraints and triggers speak only now, not at a rollback.
            await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        finally:
            await transaction.rollback()

    async def settle_quiet(self, connection: asyncpg.Connection, limit: int) -> int:
        """Derive the status of runs anew whose source has been quiet for long; returns how many were looked at.

        Must run inside a transaction. Status depends on time here alone: everywhere else a message brings it about.
        """
        records = await connection.fetch(QUERIES["quiet_runs"], self.quiet, limit)
        run_ids = [RunId(record["id"]) for record in records]
        if run_ids:
            moment = await lock_runs(connection, run_ids, self.lock_timeout)
            plan = Plan(moment)
            for held in (await read_held(connection, run_ids)).values():
                RunFold(held, moment).finish(plan, quiet=self.quiet)
            await commit_plan(connection, plan, self.worker)
        return len(run_ids)

    async def _write(
        self, connection: asyncpg.Connection, batch: Sequence[Intake | Undeliverable]
    ) -> list[Mapping[Stage, Verdict]]:
        intakes = [intake for intake in batch if isinstance(intake, Intake)]
        run_ids = {intake.run_id for intake in intakes}
        moment = await lock_runs(connection, run_ids or {RunId("")}, self.lock_timeout)
        held: dict[RunId, HeldRun] = {}
        owners: Mapping[str, str] = {}
        if run_ids:
            seen = await look(connection, run_ids, {named_user(intake) for intake in intakes})
            held = await read_held(connection, run_ids, seen)
            wanted = {intake.run_id for intake in intakes if needs_values(intake, held[intake.run_id])}
            if wanted:
                await read_values(connection, held, wanted)
            owners = await _with_migration_user(connection, intakes, held, seen.users)
            if self.fast_path is not None:
                self.fast_path.learn(moment, owners)
        plan, verdicts = plan_batch(batch, held, owners, moment=moment, quiet=self.quiet)
        await commit_plan(connection, plan, self.worker)
        return verdicts


async def _with_migration_user(
    connection: asyncpg.Connection,
    intakes: Sequence[Intake],
    held: Mapping[RunId, HeldRun],
    users: Mapping[str, str],
) -> Mapping[str, str]:
    """Return the users, with the migration user among them where a run without an owner needs it: it is added then."""
    if MIGRATION_USER in users or not any(
        held[intake.run_id].run is None and named_user(intake) == MIGRATION_USER for intake in intakes
    ):
        return users
    await connection.execute(QUERIES["add_migration_user"], MIGRATION_USER, _MIGRATION_EMAIL)
    return {**users, **(await look(connection, [], [MIGRATION_USER])).users}
