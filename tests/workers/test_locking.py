"""Which runs a transaction holds against other writers, on real PostgreSQL."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import timedelta

import asyncpg
from writing_bench import QUIET, Bench, cards, inspirations, judged, outputs, trends

from shared.broker.handback import HandBack
from shared.ids import RunId, Stage
from shared.verdicts import Verdict
from workers.commit_stats import CommitStats
from workers.held_state import QUERIES, lock_key, lock_runs
from workers.intake import Intake, Undeliverable
from workers.lane import Item, Lane
from workers.pause import Pause
from workers.transaction import Transactor


def test_a_transaction_holds_every_run_of_its_batch_not_only_the_first(bench: Bench) -> None:
    run_ids = [RunId(f"run-{number}") for number in range(5)]

    async def held_keys(connection: asyncpg.Connection) -> set[int]:
        async with connection.transaction():
            await lock_runs(connection, run_ids)
            records = await connection.fetch(
                "SELECT classid::bigint << 32 | objid::bigint AS key FROM pg_locks"
                " WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
            )
        return {record["key"] for record in records}

    assert bench.do(held_keys) == {lock_key(run_id) for run_id in run_ids}


def test_what_is_found_by_run_id_is_found_by_an_index_also_where_it_was_planned_on_empty_tables(
    bench: Bench,
) -> None:
    """A plan is made once for many batches, and a first backfill begins on empty tables."""
    names = [name for name in QUERIES if name.startswith(("look", "read_"))]
    settings = ("lock_timeout", "plan_cache_mode", "enable_seqscan")

    async def plans(connection: asyncpg.Connection) -> tuple[list[str], dict[str, str]]:
        found: dict[str, str] = {}
        async with connection.transaction():
            await lock_runs(connection, [RunId("run-a")], timedelta(seconds=7))
            for name in names:
                await connection.execute(f"PREPARE {name} AS {QUERIES[name]}")
                arguments = ", ".join(["ARRAY['a']"] * (2 if "$2" in QUERIES[name] else 1))
                rows = await connection.fetch(f"EXPLAIN EXECUTE {name} ({arguments})")
                found[name] = "\n".join(row[0] for row in rows)
            held = [await connection.fetchval(f"SHOW {setting}") for setting in settings]
        return held, found

    held, found = bench.do(plans)
    assert held == ["7s", "force_generic_plan", "off"]
    assert found.keys() >= {"look", "read_runs", "read_ledger", "read_cards"}
    scans = re.compile(r"Seq Scan|Index (?:Only )?Scan")
    for name, plan in found.items():
        assert "Seq Scan" not in plan, name
        # One that reads a whole index has no condition.
        assert len(scans.findall(plan)) == plan.count("Index Cond: "), plan


def test_a_writer_that_waited_sees_what_was_committed_meanwhile_whatever_the_isolation(bench: Bench) -> None:
    message = outputs("run-a", (2, trends(), 0))

    async def second(first: asyncpg.Connection) -> list[Mapping[Stage, Verdict]]:
        by_default = {"default_transaction_isolation": "repeatable read"}
        writer = await asyncpg.connect(bench.dsn, server_settings=by_default)
        transactor = Transactor(QUIET, timedelta(seconds=30), "host:1")
        try:
            async with first.transaction():
                await lock_runs(first, [RunId("run-a")])
                waiting = asyncio.create_task(transactor.write(writer, [judged(message)]))
                held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                while not await first.fetchval(held):
                    assert not waiting.done()
                    await asyncio.sleep(0.01)
                await first.execute(
                    """INSERT INTO "User" VALUES ('ann', 'ann', 'ann@example.com', 'Ann', now(), now())"""
                )
                await first.execute(
                    """INSERT INTO "Run" ("id", "userId", "companyId", "companyName", "documentName", "documentUrl",
                                          "updatedAt") VALUES ('run-a', 'ann', '', '', '', '', now())"""
                )
            return await waiting
        finally:
            await writer.close()

    assert bench.do(second) == [{Stage.TRENDS: Verdict.APPLIED}]
    assert bench.rows('SELECT "userId" AS owner FROM "Run"') == [{"owner": "ann"}]


def test_a_batch_waits_for_a_run_that_others_hold_only_once_more(bench: Bench) -> None:
    batch = [outputs("run-held", (2, trends(f"held {number}"), number)) for number in range(4)]
    batch.insert(2, outputs("run-free", (2, trends(), 0)))
    waits = 0

    class Counting(Transactor):
        async def write(
            self, connection: asyncpg.Connection, batch: Sequence[Intake | Undeliverable]
        ) -> list[Mapping[Stage, Verdict]]:
            nonlocal waits
            try:
                return await super().write(connection, batch)
            except asyncpg.LockNotAvailableError:
                waits += 1
                raise

    async def commit(held: asyncpg.Connection) -> list[Item]:
        async with held.transaction(), asyncpg.create_pool(bench.dsn, min_size=1, max_size=1) as pool:
            await lock_runs(held, [RunId("run-held")])
            transactor = Counting(QUIET, timedelta(milliseconds=50), "host:1")
            lane = Lane(transactor, pool.acquire, _is_whole, Pause(), CommitStats())
            items = [Item(judged(message), Future()) for message in batch]
            for item in items:
                lane.put(item)
            running = asyncio.create_task(lane.run())
            async with asyncio.timeout(30):
                await asyncio.gather(*(asyncio.wrap_future(item.done) for item in items), return_exceptions=True)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            return items

    left = [isinstance(item.done.exception(), HandBack) for item in bench.do(commit)]
    assert left == [True, True, False, True, True]
    assert waits == 2
    assert bench.rows('SELECT id FROM "Run"') == [{"id": "run-free"}]


def test_the_next_stage_waits_for_no_row_of_the_others(bench: Bench) -> None:
    bench.write(outputs("run-a", (1, inspirations(), 0), (5, cards(), 0)))

    async def write(busy: asyncpg.Connection) -> list[Mapping[Stage, Verdict]]:
        writer = await asyncpg.connect(bench.dsn)
        try:
            async with busy.transaction():
                # The web app works on what is there already.
                await busy.execute(
                    """SELECT FROM "OpportunityCard", "InspirationReport", "StageOutput" FOR UPDATE"""
                )
                transactor = Transactor(QUIET, timedelta(milliseconds=100), "host:1")
                return await transactor.write(writer, [judged(outputs("run-a", (2, trends(), 0)))])
        finally:
            await writer.close()

    assert bench.do(write) == [{Stage.TRENDS: Verdict.APPLIED}]
    assert bench.rows('SELECT "currentStage" AS stage FROM "Run"') == [{"stage": 5}]


async def _is_whole() -> None:
    """The probe of a world in which nothing is broken."""
