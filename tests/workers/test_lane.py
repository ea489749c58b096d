"""A lane goes on, whatever happens to one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import asyncpg
from writing_bench import LOCK_TIMEOUT, QUIET, Bench, context, judged, outputs, trends

from shared.ids import Stage
from shared.verdicts import Verdict
from workers.commit_stats import CommitStats
from workers.intake import Intake, Undeliverable
from workers.lane import Item, Lane
from workers.pause import Pause
from workers.transaction import Transactor


class _Miscounting(CommitStats):
    """Numbers that fail at the first batch, and a lane's own error with them."""

    failed = False

    def committed(self, *counted: Any) -> None:
        if not self.failed:
            self.failed = True
            raise ZeroDivisionError
        super().committed(*counted)


class _Forgetful(Transactor):
    """Writes all, and tells of nothing."""

    async def write(
        self, connection: asyncpg.Connection, batch: Sequence[Intake | Undeliverable]
    ) -> list[Mapping[Stage, Verdict]]:
        await super().write(connection, batch)
        return []


def test_an_error_of_the_writer_itself_is_told_to_those_who_wait_and_ends_no_lane(bench: Bench) -> None:
    async def commit(connection: asyncpg.Connection) -> list[Item]:
        async with asyncpg.create_pool(bench.dsn, min_size=1, max_size=1) as pool:
            found = []
            for transactor in (
                _Forgetful(QUIET, LOCK_TIMEOUT, "host:1"),
                Transactor(QUIET, LOCK_TIMEOUT, "host:1"),
            ):
                lane = Lane(transactor, pool.acquire, _is_whole, Pause(), _Miscounting())
                running = asyncio.create_task(lane.run())
                for number in range(2):
                    item = Item(judged(outputs(f"run-{len(found)}", (2, trends(), number))), Future())
                    found.append(item)
                    lane.put(item)
                    async with asyncio.timeout(30):
                        await asyncio.gather(asyncio.wrap_future(item.done), return_exceptions=True)
                assert not running.done()
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            return found

    untold, untold_again, miscounted, counted = (item.done for item in bench.do(commit))
    assert isinstance(untold.exception(), ValueError)
    assert isinstance(untold_again.exception(), ValueError)
    assert miscounted.result() == counted.result() == {Stage.TRENDS: Verdict.APPLIED}


def test_a_world_that_breaks_while_the_bad_output_is_looked_for_condemns_none(bench: Bench) -> None:
    refusals: list[Exception] = [asyncpg.DataError("one of them can't be stored")]
    outages: list[Exception] = [asyncpg.CannotConnectNowError("the database system is starting up")]

    class Stormy(Transactor):
        async def write(
            self, connection: asyncpg.Connection, batch: Sequence[Intake | Undeliverable]
        ) -> list[Mapping[Stage, Verdict]]:
            if refusals:
                raise refusals.pop()
            return await super().write(connection, batch)

        async def rehearse(self, connection: asyncpg.Connection, intake: Intake) -> None:
            if outages:
                raise outages.pop()
            await super().rehearse(connection, intake)

    async def commit(connection: asyncpg.Connection) -> Item:
        async with asyncpg.create_pool(bench.dsn, min_size=1, max_size=1) as pool:
            lane = Lane(Stormy(QUIET, LOCK_TIMEOUT, "host:1"), pool.acquire, _is_whole, Pause(), CommitStats())
            item = Item(judged(outputs("run-a", (2, trends(), 0), (4, context(), 0))), Future())
            lane.put(item)
            running = asyncio.create_task(lane.run())
            async with asyncio.timeout(30):
                await asyncio.wrap_future(item.done)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            return item

    assert bench.do(commit).done.result() == {Stage.TRENDS: Verdict.APPLIED, Stage.CONTEXT: Verdict.APPLIED}


async def _is_whole() -> None:
    """The probe of a world in which nothing is broken."""
