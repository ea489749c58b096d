"""New runs in one trip, and everything that makes a run not new, on real PostgreSQL."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from writing_bench import (
    LOCK_TIMEOUT,
    QUIET,
    T0,
    Bench,
    Trips,
    at,
    cards,
    context,
    inspirations,
    judged,
    outputs,
    trends,
)

from shared.contract import Hints, Origin, RunFailed, RunStarted, StageOutputsMessage
from shared.database import create_pool
from shared.database_url import DatabaseAddress
from shared.documents import Document
from shared.ids import Stage
from shared.settings import Settings
from shared.verdicts import Verdict
from workers.fast_path import FastPath, session_settings
from workers.held_state import QUERIES
from workers.pause import Pause
from workers.planning import MIGRATION_USER
from workers.transaction import Transactor
from workers.writer import Writer


def whole_run(run_id: str = "run-a", mark: str = "a", **more: Any):
    """A message such as the end of a pipeline sends."""
    bodies = ((1, inspirations(mark), 0), (2, trends(mark), 1), (4, context(mark), 2), (5, cards(mark), 3))
    return outputs(run_id, *bodies, hints=Hints(stages_at_source=(1, 2, 4, 5)), **more)


def started(run_id: str) -> RunStarted:
    return RunStarted(run_id=run_id, publisher="test", published_at=T0, occurred_at=at(0))


def trips_of(bench: Bench, *messages: Any) -> tuple[list[str], list[Mapping[Stage, Verdict]]]:
    """Write messages together; returns the trips and the verdicts."""

    async def write(connection: asyncpg.Connection) -> tuple[list[str], list[Mapping[Stage, Verdict]]]:
        trips = Trips(connection)
        transactor = Transactor(QUIET, LOCK_TIMEOUT, "host:1", bench.fast_path)
        found = await transactor.write(trips, [judged(message) for message in messages])
        return trips.made, found

    return bench.do(write)


def took_the_long_way(bench: Bench, message: Any) -> bool:
    return "transaction" in trips_of(bench, message)[0]


def test_new_runs_take_one_trip_and_leave_the_same_rows_as_by_the_long_way(bench: Bench, fast: FastPath) -> None:
    messages = [whole_run("run-0", wants_receipt=True), started("run-1"), outputs("run-1", (1, inspirations(), 0))]
    # Quiet for long, and so failed by its age.
    messages.append(outputs("run-2", (1, inspirations("b"), 0), hints=Hints(stages_at_source=(1,))))
    own = "SELECT * FROM runferry.{} WHERE run_id <> 'run-before' ORDER BY run_id"
    moments = ("applied_at", "updated_at", "handled_at", "message_id")

    def kept() -> dict[str, Any]:
        ours = {
            table: [
                {name: value for name, value in row.items() if name not in moments}
                for row in bench.rows(own.format(table))
            ]
            for table in ("run", "ledger", "delivery")
        }
        return {**bench.everything(), **ours}

    trips, verdicts = trips_of(bench, *messages)
    assert trips == ["fetch"]
    assert verdicts[1:] == [{}, *[{Stage.INSPIRATIONS: Verdict.APPLIED}] * 2]
    written = kept()
    assert {run["id"]: run["status"] for run in written["Run"]} == {
        "run-0": "COMPLETED",
        "run-1": "RUNNING",
        "run-2": "FAILED",
        "run-before": "RUNNING",
    }
    bench.execute('DELETE FROM "Run" WHERE id <> $1', "run-before")
    for table in ("run", "ledger", "delivery"):
        bench.execute(f"DELETE FROM runferry.{table} WHERE run_id <> 'run-before'")
    bench.fast_path = None
    assert trips_of(bench, *messages)[1] == verdicts
    assert kept() == written


def test_no_row_is_later_than_its_entry_in_the_ledger(bench: Bench, fast: FastPath) -> None:
    """A later one would be an edit made in the web app."""
    fast.learn(datetime(2100, 1, 1, tzinfo=UTC), {})  # a clock that is wrong changes no row
    assert not took_the_long_way(bench, whole_run())
    (late,) = bench.rows(
        """SELECT count(*) FROM runferry.ledger, "Run", "OpportunityCard" AS card, "InspirationReport" AS report
           WHERE "Run".id = 'run-a' AND run_id = 'run-a'
             AND greatest("Run"."updatedAt", card."updatedAt", report."updatedAt") > applied_at"""
    )
    (told,) = bench.rows("""SELECT count(*) FROM "Run" WHERE "updatedAt" > now() - interval '1 minute'""")
    assert (late["count"], told["count"]) == (0, 2)


def test_what_is_more_than_new_rows_goes_the_long_way_and_is_all_there(bench: Bench, fast: FastPath) -> None:
    kept = (*inspirations(), Document("notes.json", b'{"a": 1}'))
    assert took_the_long_way(bench, outputs("run-kept", (1, kept, 0)))
    assert bench.rows("SELECT run_id, name FROM runferry.document") == [
        {"run_id": "run-kept", "name": "notes.json"}
    ]
    older = [
        outputs("run-twice", (1, inspirations(mark), when), origin=Origin.PIPELINE)
        for mark, when in (("b", 1), ("a", 0))
    ]
    assert "transaction" in trips_of(bench, *older)[0]
    superseded = bench.rows("SELECT superseded FROM runferry.document WHERE run_id = 'run-twice'")
    assert superseded == [{"superseded": True}]
    large = inspirations("x" * 1_100_000)
    assert took_the_long_way(bench, outputs("run-large", (1, large, 0)))


def test_a_receipt_is_told_where_it_was_written(bench: Bench, fast: FastPath) -> None:
    taken = [judged(whole_run(f"run-{number}", wants_receipt=True)) for number in range(2)]

    async def heard(connection: asyncpg.Connection) -> set[str]:
        told: asyncio.Queue[str] = asyncio.Queue()
        await connection.add_listener("runferry_committed", lambda *said: told.put_nowait(said[-1]))
        writer = await asyncpg.connect(bench.dsn)
        try:
            trips = Trips(writer)
            await Transactor(QUIET, LOCK_TIMEOUT, "host:1", fast).write(trips, taken)
        finally:
            await writer.close()
        assert trips.made == ["fetch"]
        async with asyncio.timeout(30):
            return set((await told.get()).split())

    assert bench.do(heard) == {one.consignment.message_id for one in taken}


_RUN = """INSERT INTO "Run" (id, "userId", "companyId", "companyName", "documentName", "documentUrl", "updatedAt")
          VALUES ('run-a', 'migration-user', '', '', '', '', now())"""


@pytest.mark.parametrize(
    "held",
    [
        pytest.param(_RUN, id="a run of the web app"),
        pytest.param("INSERT INTO runferry.run (run_id, inserted) VALUES ('run-a', true)", id="a deleted run"),
        pytest.param(
            """INSERT INTO runferry.ledger (run_id, stage, content_sha256, produced_at, origin, authority, manifest,
                                            rows_written, batch_id, message_id)
               VALUES ('run-a', 2, 'x', now(), 'backfill', 1, '[]', '[]', '', '')""",
            id="an entry of the ledger",
        ),
    ],
)
def test_what_is_held_of_a_run_makes_it_not_new(bench: Bench, fast: FastPath, held: str) -> None:
    bench.execute(held)
    assert took_the_long_way(bench, whole_run())
    assert bench.rows("SELECT count(*) FROM runferry.delivery")[0]["count"] == 2


@pytest.mark.parametrize("state", ["open", "replaying", "discarded"])
def test_a_letter_that_a_run_may_answer_makes_it_not_new(bench: Bench, fast: FastPath, state: str) -> None:
    bench.write(outputs("run-a", (1, inspirations("bad")[:0], 0), hints=Hints(user_id="nobody")))
    bench.execute("UPDATE runferry.dead_letter SET state = $1", state)
    assert bench.rows("SELECT run_id, stage FROM runferry.dead_letter") == [{"run_id": "run-a", "stage": 1}]
    assert took_the_long_way(bench, whole_run())


@pytest.mark.parametrize(
    "change",
    [
        """DELETE FROM "User" WHERE id = 'ann'""",
        """UPDATE "User" SET "clerkId" = 'other' WHERE id = 'ann'""",
        """INSERT INTO "User" (id, "clerkId", email, "updatedAt") VALUES ('clerk-ann', 'x', 'x@example.com', now())""",
    ],
)
def test_a_user_who_is_meant_no_more_makes_the_guess_wrong(bench: Bench, fast: FastPath, change: str) -> None:
    bench.execute(
        """INSERT INTO "User" (id, "clerkId", email, "updatedAt") VALUES ('ann', 'clerk-ann', 'a@example.com', now())"""
    )
    hints = Hints(user_id="clerk-ann")
    bench.write(outputs("run-first", (2, trends(), 0), hints=hints))
    assert not took_the_long_way(bench, outputs("run-b", (1, inspirations(), 0), hints=hints))
    bench.execute('UPDATE "Run" SET "userId" = $1', MIGRATION_USER)
    bench.execute(change)
    assert took_the_long_way(bench, outputs("run-c", (1, inspirations(), 0), hints=hints))


def test_what_cannot_begin_a_run_is_not_guessed(bench: Bench, fast: FastPath) -> None:
    known = whole_run("run-known")
    known = known.model_copy(
        update={"outputs": tuple(body.model_copy(update={"known": True}) for body in known.outputs)}
    )
    failed = RunFailed(
        run_id="run-failed", publisher="test", published_at=T0, occurred_at=at(0), error="no more credit"
    )
    for message in (
        outputs("run-later", (2, trends(), 0)),
        outputs("run-bad", (1, (), 0)),
        failed,
        known,
        outputs("run-stranger", (1, inspirations(), 0), hints=Hints(user_id="nobody")),
    ):
        assert trips_of(bench, message)[0][0] == "transaction", message.run_id
    redelivered = judged(whole_run("run-again"))
    again = replace(redelivered, consignment=replace(redelivered.consignment, attempts=2))

    async def write(connection: asyncpg.Connection) -> list[str]:
        trips = Trips(connection)
        await Transactor(QUIET, LOCK_TIMEOUT, "host:1", fast).write(trips, [again])
        return trips.made

    assert bench.do(write)[0] == "transaction"
    many = [outputs(f"run-{number}", (1, inspirations(), 0)) for number in range(6)]
    assert trips_of(bench, *many)[0][0] == "transaction"


def test_after_a_wrong_guess_it_rests_for_longer_each_time(bench: Bench, fast: FastPath) -> None:
    def guessed() -> bool:
        return trips_of(bench, whole_run(origin=Origin.PIPELINE))[0][0] == "fetch"

    assert guessed()  # it is new
    rests = []
    for _ in range(7):
        assert guessed()
        rests.append(0)
        while fast.hunches[StageOutputsMessage].resting:
            assert not guessed()
            rests[-1] += 1
    assert rests == [2, 4, 8, 16, 32, 64, 64]
    # Starts have a count of their own, and a right guess makes up for all wrong ones.
    assert trips_of(bench, started("run-b"))[0] == ["fetch"]
    assert trips_of(bench, outputs("run-c", (1, inspirations(), 0)))[0] == ["fetch"]
    assert guessed()
    assert fast.hunches[StageOutputsMessage].resting == 2


def test_its_statement_finds_by_index_also_where_it_was_planned_on_empty_tables(bench: Bench) -> None:
    arguments = "ARRAY[1]::bigint[], ARRAY['a'], ARRAY['a'], ARRAY['a']"

    async def plan(connection: asyncpg.Connection) -> str:
        for name, value in session_settings(LOCK_TIMEOUT).items():
            await connection.execute("SELECT set_config($1, $2, false)", name, value)
        await connection.execute(f"PREPARE are_new AS {QUERIES['are_new']}")
        return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE are_new ({arguments})"))

    found = bench.do(plan)
    assert "Seq Scan" not in found
    assert len(re.findall(r"Index (?:Only )?Scan", found)) == found.count("Index Cond: ") == 6, found


def test_the_sessions_of_a_pool_have_what_is_asked_for_them(bench: Bench) -> None:
    wanted = session_settings(timedelta(seconds=7))

    async def shown(url: str) -> dict[str, str]:
        pool = await create_pool(DatabaseAddress.parse(url), Settings.from_environment(), wanted)
        async with pool, pool.acquire() as one:
            return {name: await one.fetchval(f"SHOW {name}") for name in wanted}

    assert bench.do(lambda _: shown(bench.dsn)) == {**wanted, "lock_timeout": "7s"}
    behind_a_pooler = bench.dsn + ("&" if "?" in bench.dsn else "?") + "pgbouncer=true"
    assert bench.do(lambda _: shown(behind_a_pooler))["enable_seqscan"] == "on"


def test_behind_a_transaction_pooler_there_is_no_fast_path() -> None:
    def writer(url: str) -> Writer:
        return Writer(DatabaseAddress.parse(url), Settings.from_environment(), Pause(), "host:1")

    assert writer("postgresql://u@localhost/db").transactor.fast_path is not None
    assert writer("postgresql://u@localhost/db?pgbouncer=true").transactor.fast_path is None


def test_what_it_learned_is_good_for_a_minute(bench: Bench) -> None:
    now_s = 0.0
    bench.fast_path = FastPath(monotonic_s=lambda: now_s)
    bench.write(outputs("run-before", (2, trends(), 0)))
    now_s = 59.0
    assert not took_the_long_way(bench, whole_run("run-a"))
    now_s = 61.0
    assert took_the_long_way(bench, whole_run("run-b"))
    assert not took_the_long_way(bench, whole_run("run-c"))
