"""The fast path beside other writers and when something breaks, on real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from writing_bench import LOCK_TIMEOUT, QUIET, Bench, Trips, cards, inspirations, judged, outputs

from shared.contract import StageOutputsMessage
from shared.database import create_pool
from shared.database_url import DatabaseAddress
from shared.ids import RunId, Stage
from shared.settings import Settings
from shared.verdicts import Verdict
from workers.fast_path import FastPath, session_settings
from workers.held_state import QUERIES, lock_key, lock_runs
from workers.insertion import insert_if
from workers.planning import MIGRATION_USER
from workers.transaction import Transactor


def new_run() -> StageOutputsMessage:
    """A message such as runs begin with."""
    return outputs("run-a", (1, inspirations(), 0), (5, cards(), 0))


def test_a_lost_answer_is_found_out_by_writing_again(bench: Bench, fast: FastPath) -> None:
    taken = [judged(new_run())]

    async def write(connection: asyncpg.Connection) -> list[Mapping[Stage, Verdict]]:
        class Losing(Trips):
            async def fetch(self, *arguments: Any) -> Any:
                await self._connection.fetch(*arguments)
                raise asyncpg.ConnectionDoesNotExistError

        transactor = Transactor(QUIET, LOCK_TIMEOUT, "host:1", fast)
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await transactor.write(Losing(connection), taken)
        trips = Trips(connection)
        found = await transactor.write(trips, taken)
        assert trips.made[0] == "transaction"  # what failed is not tried in the same way again
        return found

    assert bench.do(write) == [dict.fromkeys((1, 5), Verdict.DUPLICATE)]
    assert bench.rows("SELECT count(*) FROM runferry.delivery WHERE run_id = 'run-a'") == [{"count": 1}]


def test_a_table_that_others_hold_is_waited_for_no_longer_than_a_run(bench: Bench, fast: FastPath) -> None:
    async def write(other: asyncpg.Connection) -> list[str]:
        pool = await create_pool(
            DatabaseAddress.parse(bench.dsn),
            Settings.from_environment(),
            session_settings(timedelta(milliseconds=50)),
        )
        async with pool, pool.acquire() as writer, other.transaction():
            await other.execute('LOCK TABLE "Run" IN ACCESS EXCLUSIVE MODE')
            trips = Trips(writer)
            with pytest.raises(asyncpg.LockNotAvailableError):
                await Transactor(QUIET, LOCK_TIMEOUT, "host:1", fast).write(trips, [judged(new_run())])
        return trips.made

    assert bench.do(write) == ["fetch"]


def test_a_run_that_another_writer_has_is_left_to_the_long_way(bench: Bench, fast: FastPath) -> None:
    async def write(other: asyncpg.Connection) -> None:
        writer = await asyncpg.connect(bench.dsn)
        try:
            async with other.transaction():
                await lock_runs(other, [RunId("run-a")])
                hasty = Transactor(QUIET, timedelta(milliseconds=50), "host:1", fast)
                with pytest.raises(asyncpg.LockNotAvailableError):
                    await hasty.write(writer, [judged(new_run())])
        finally:
            await writer.close()

    bench.do(write)
    assert bench.rows("""SELECT count(*) FROM "Run" WHERE id = 'run-a'""") == [{"count": 0}]


async def _answer(connection: asyncpg.Connection) -> bool:
    """Ask whether run-a is new, by a statement that waits for key 7 once it has its snapshot."""
    query = QUERIES["are_new"].removesuffix(";")
    keys = "FROM unnest($1::bigint[]) AS key\n"
    assert keys in query
    waiting = query.replace(keys, f"{keys.rstrip()}, (SELECT pg_advisory_xact_lock_shared(7)) AS waited\n")
    arguments = ([lock_key("run-a")], ["run-a"], [MIGRATION_USER], [MIGRATION_USER])
    return await insert_if(connection, waiting, arguments, {}, "nobody", None)


async def _commit_a_letter(other: asyncpg.Connection, wait: Callable[[], Awaitable[None]]) -> None:
    async with other.transaction():
        await lock_runs(other, [RunId("run-a")])
        await wait()
        await _letter(other)


async def _commit_a_letter_begun_before(other: asyncpg.Connection, wait: Callable[[], Awaitable[None]]) -> None:
    async with other.transaction():
        await lock_runs(other, [RunId("run-a")])
        await _letter(other)
        await wait()


async def _take_a_letter_back(other: asyncpg.Connection, wait: Callable[[], Awaitable[None]]) -> None:
    transaction = other.transaction()
    await transaction.start()
    await lock_runs(other, [RunId("run-a")])
    await wait()
    await _letter(other)
    await transaction.rollback()


async def _do_nothing(other: asyncpg.Connection, wait: Callable[[], Awaitable[None]]) -> None:
    await wait()


async def _letter(connection: asyncpg.Connection) -> None:
    await connection.execute(
        """INSERT INTO runferry.dead_letter (run_id, stage, content_sha256, reason, sentence, fingerprint, attempts,
                                             first_failed_at, last_failed_at, worker_host, worker_pid, worker_version,
                                             origin, batch_id, message_id, queue, envelope, payload)
           VALUES ('run-a', 1, 'x', 'unknown_user', '', '', 1, now(), now(), '', 1, '', 'backfill', '', '', '',
                   '{}', '')"""
    )


@pytest.mark.parametrize(
    ("meanwhile", "is_new"),
    [
        (_commit_a_letter, False),
        (_commit_a_letter_begun_before, False),
        (_take_a_letter_back, True),
        (_do_nothing, True),
    ],
)
def test_what_was_committed_between_the_look_and_the_lock_is_noticed(
    bench: Bench, fast: FastPath, meanwhile: Callable[..., Awaitable[None]], is_new: bool
) -> None:
    async def race(other: asyncpg.Connection) -> bool:
        holder, asker = await asyncpg.connect(bench.dsn), await asyncpg.connect(bench.dsn)
        try:
            asking: asyncio.Task[bool] | None = None

            async def wait() -> None:
                nonlocal asking
                # A later transaction that is over: who has a number by now is one of those under way.
                await asker.execute("SELECT pg_current_xact_id()")
                asking = asyncio.create_task(_answer(asker))
                held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted"
                while not await holder.fetchval(held):
                    assert not asking.done()
                    await asyncio.sleep(0.01)

            async with holder.transaction():
                await holder.execute("SELECT pg_advisory_xact_lock(7)")
                await meanwhile(other, wait)
            assert asking is not None
            async with asyncio.timeout(30):
                return await asking
        finally:
            await holder.close()
            await asker.close()

    assert bench.do(race) is is_new


def test_who_works_on_other_runs_meanwhile_is_no_obstacle(bench: Bench, fast: FastPath) -> None:
    async def write(other: asyncpg.Connection) -> list[str]:
        writer = await asyncpg.connect(bench.dsn)
        trips = Trips(writer)
        try:
            async with other.transaction():
                await lock_runs(other, [RunId("run-b")])
                await other.execute("SELECT pg_current_xact_id()")
                await Transactor(QUIET, LOCK_TIMEOUT, "host:1", fast).write(trips, [judged(new_run())])
        finally:
            await writer.close()
        return trips.made

    assert bench.do(write) == ["fetch"]


def test_a_refusal_at_the_commit_itself_is_a_failure(bench: Bench, fast: FastPath) -> None:
    bench.execute(
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE check_violation; END $$"""
    )
    bench.execute(
        """CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON "Run" DEFERRABLE INITIALLY DEFERRED
           FOR EACH ROW EXECUTE FUNCTION refuse()"""
    )

    async def write(connection: asyncpg.Connection) -> list[str]:
        trips = Trips(connection)
        with pytest.raises(asyncpg.CheckViolationError):
            await Transactor(QUIET, LOCK_TIMEOUT, "host:1", fast).write(trips, [judged(new_run())])
        return trips.made

    assert bench.do(write) == ["fetch"]
    assert bench.rows("""SELECT count(*) FROM "Run" WHERE id = 'run-a'""") == [{"count": 0}]
