"""How new rows come in: in one statement where they are few, by COPY where they are many, on real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from writing_bench import LOCK_TIMEOUT, QUIET, Bench, Trips, cards, context, inspirations, judged, outputs, trends

from shared.ids import Stage
from shared.verdicts import Verdict
from workers.insertion import Record, Target, insert
from workers.transaction import Transactor
from workers.world import Fault, fault_of

_PROBE = Target("probe", {"name": "text", "texts": "text[]", "value": "jsonb", "size": "smallint"})
_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | _TEXT, lambda inner: st.lists(inner, max_size=3)
)
_RECORDS = st.lists(
    st.tuples(
        _TEXT | st.none(),
        st.lists(_TEXT | st.sampled_from(["NULL", '{"', "\\", ","]), max_size=3) | st.none(),
        _JSON.map(json.dumps) | st.none(),
        st.integers(-(2**15), 2**15 - 1),
    ),
    min_size=1,
    max_size=3,
)
_MANY = 101


@pytest.fixture
def probed(bench: Bench) -> Iterable[tuple[asyncio.Runner, asyncpg.Connection]]:
    """A connection to a database with the table `probe`."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(bench.dsn))
        runner.run(connection.execute("CREATE TABLE probe (name text, texts text[], value jsonb, size smallint)"))
        yield runner, connection
        runner.run(connection.close())


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables that got rows by COPY, in order."""
    tables: list[str] = []
    by_copy = asyncpg.Connection.copy_records_to_table

    async def noted(connection: asyncpg.Connection, table: str, **options: Any) -> str:
        tables.append(table)
        return str(await by_copy(connection, table, **options))

    monkeypatch.setattr(asyncpg.Connection, "copy_records_to_table", noted)
    return tables


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(records=_RECORDS)
def test_few_and_many_are_written_alike(
    probed: tuple[asyncio.Runner, asyncpg.Connection], records: list[Record]
) -> None:
    runner, connection = probed

    async def written(times: int) -> list[Record]:
        await connection.execute("TRUNCATE probe")
        await insert(connection, {_PROBE: records * times}, "nobody", None)
        return [tuple(row) for row in await connection.fetch("SELECT name, texts, value, size FROM probe")]

    few = runner.run(written(1))
    assert [(name, texts, size) for name, texts, _, size in few] == [
        (name, texts, size) for name, texts, _, size in records
    ]
    assert [None if value is None else json.loads(value) for *_, value, _ in few] == [
        None if value is None else json.loads(value) for *_, value, _ in records
    ]
    assert runner.run(written(_MANY)) == few * _MANY


@pytest.mark.parametrize("times", [1, _MANY])
def test_what_is_no_text_to_postgresql_fails_alike(
    probed: tuple[asyncio.Runner, asyncpg.Connection], times: int
) -> None:
    runner, connection = probed

    def fault(*texts: str) -> Fault:
        records = [("", list(texts), None, 0)] * times
        with pytest.raises((UnicodeError, asyncpg.PostgresError)) as raised:
            runner.run(insert(connection, {_PROBE: records}, "nobody", None))
        return fault_of(raised.value)[0]

    assert (fault("\ud800"), fault("\0")) == (Fault.DATA, Fault.DATA)


def test_runs_leave_the_same_rows_whether_they_came_alone_or_together(bench: Bench, copied: list[str]) -> None:
    runs = [
        outputs(
            f"run-{number}",
            (1, inspirations(str(number)), number),
            (2, trends(str(number)), 0.1234),
            (4, context(str(number)), 0),
            (5, cards(str(number)), 0),
        )
        for number in range(8)
    ]

    def kept() -> dict[str, Any]:
        queries = {
            "times": """SELECT id, "createdAt", "completedAt" FROM "Run" UNION ALL
                        SELECT id, "createdAt", NULL FROM "StageOutput" UNION ALL
                        SELECT id, "createdAt", NULL FROM "InspirationReport" UNION ALL
                        SELECT id, "createdAt", NULL FROM "OpportunityCard" ORDER BY id""",
            "ledger": """SELECT run_id, stage, content_sha256, produced_at, origin, authority, manifest, gaps, facts,
                                mends, settled, rows_written, batch_id, times_applied
                         FROM runferry.ledger ORDER BY run_id, stage""",
            "run": "SELECT run_id, inserted, before_image, written, evidence FROM runferry.run ORDER BY run_id",
            "delivery": """SELECT run_id, batch_id, origin, publisher, published_at, worker, attempts, verdicts, gaps
                           FROM runferry.delivery ORDER BY run_id""",
        }
        return {**bench.everything(), **{name: bench.rows(query) for name, query in queries.items()}}

    bench.write(*runs)
    alone, copies_alone = kept(), len(copied)
    bench.execute('TRUNCATE "Run", runferry.ledger, runferry.run, runferry.delivery CASCADE')
    bench.write(*runs, apart=False)
    assert (copies_alone, len(alone["times"])) == (0, 8 * 11)
    assert copied == ["Run", "StageOutput", "InspirationReport", "OpportunityCard", "ledger", "run"]
    assert kept() == alone


def test_a_large_output_comes_in_as_it_is_sent_not_all_at_once(bench: Bench, copied: list[str]) -> None:
    bench.write(outputs("run-a", (2, trends("x" * 2_000_000), 0)))
    assert copied == ["Run", "StageOutput", "ledger", "run"]
    assert bench.rows('SELECT length("markdownOutput") > 2000000 AS whole FROM "StageOutput"') == [{"whole": True}]


@pytest.mark.parametrize("runs", [1, 8])
def test_a_trigger_of_the_web_app_sees_the_run_before_what_belongs_to_it(bench: Bench, runs: int) -> None:
    bench.execute(
        """CREATE FUNCTION find_run() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN
               PERFORM FROM "Run" WHERE id = NEW."runId";
               IF NOT FOUND THEN RAISE check_violation; END IF;
               RETURN NEW;
           END $$"""
    )
    for table in ("StageOutput", "InspirationReport", "OpportunityCard"):
        bench.execute(f'CREATE TRIGGER find BEFORE INSERT ON "{table}" FOR EACH ROW EXECUTE FUNCTION find_run()')
    messages = [outputs(f"run-{number}", (1, inspirations(), 0), (5, cards(), 0)) for number in range(runs)]
    assert bench.write(*messages, apart=False) == [{1: "applied", 5: "applied"}] * runs


@pytest.mark.parametrize("runs", [1, 8])
def test_a_receipt_is_told_after_the_commit_and_a_delivery_stays_as_it_was(bench: Bench, runs: int) -> None:
    taken = [
        judged(outputs(f"run-{number}", (1, inspirations(), 0), (5, cards(), 0), wants_receipt=True))
        for number in range(runs)
    ]

    async def heard(connection: asyncpg.Connection) -> list[set[str]]:
        told: asyncio.Queue[set[str]] = asyncio.Queue()
        await connection.add_listener("runferry_committed", lambda *said: told.put_nowait(set(said[-1].split())))
        transactor = Transactor(QUIET, LOCK_TIMEOUT, "host:1")
        writer = await asyncpg.connect(bench.dsn)
        try:
            for _ in range(2):
                await transactor.write(writer, taken)
        finally:
            await writer.close()
        async with asyncio.timeout(30):
            return [await told.get() for _ in range(2)]

    everybody = {one.consignment.message_id for one in taken}
    assert bench.do(heard) == [everybody, everybody]
    handled = bench.rows("SELECT verdicts FROM runferry.delivery")
    assert [json.loads(row["verdicts"]) for row in handled] == [{"1": "applied", "5": "applied"}] * runs


def test_a_new_run_takes_three_trips_between_begin_and_commit(bench: Bench) -> None:
    bench.write(outputs("run-before", (2, trends(), 0)))

    async def made(connection: asyncpg.Connection) -> list[str]:
        trips = Trips(connection)
        transactor = Transactor(QUIET, LOCK_TIMEOUT, "host:1")
        message = outputs("run-a", (1, inspirations(), 0), (5, cards(), 0), wants_receipt=True)
        assert await transactor.write(trips, [judged(message)]) == [
            {Stage.INSPIRATIONS: Verdict.APPLIED, Stage.OPPORTUNITIES: Verdict.APPLIED}
        ]
        return trips.made

    assert bench.do(made) == ["transaction", "fetchrow", "fetchrow", "execute"]
