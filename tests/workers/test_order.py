"""Every order of arrival, with any number of duplicates, ends in the same rows, on real PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from writing_bench import BROKEN, LOCK_TIMEOUT, QUIET, T0, at, cards, inspirations, outputs, trends

from shared.contract import Hints, Origin, RunFailed, RunStarted, to_wire
from shared.database_url import DatabaseAddress
from workers.fast_path import FastPath
from workers.held_state import QUERIES
from workers.intake import Consignment, take_in
from workers.planning import MIGRATION_USER
from workers.transaction import Transactor

RUN = "run-a"
_numbers = itertools.count(1)

DOCUMENTS = {
    1: {"a": inspirations("a"), "b": inspirations("b"), "bad": BROKEN},
    2: {"a": trends("a"), "b": trends("b"), "bad": (trends("a")[0].__class__("trends.json", b"{"),)},
    5: {"a": cards("a"), "b": cards("b", (1, 2, 3)), "bad": cards("a", (1, 2, 9))},
}


@dataclass(frozen=True)
class Sent:
    """One output that somebody sends."""

    stage: int
    mark: str
    seconds: int
    origin: Origin
    hint: str | None

    def message(self) -> Any:
        return outputs(
            RUN,
            (self.stage, DOCUMENTS[self.stage][self.mark], self.seconds),
            origin=self.origin,
            hints=Hints(company_id=self.hint, stages_at_source=(self.stage,)),
        )


@dataclass(frozen=True)
class Event:
    """A run event that the pipeline sends."""

    failed: bool
    seconds: int

    def message(self) -> Any:
        common = {"run_id": RUN, "publisher": "test", "published_at": T0, "occurred_at": at(self.seconds)}
        return RunFailed(error="no more credit", **common) if self.failed else RunStarted(**common)


sent = st.builds(
    Sent,
    stage=st.sampled_from(sorted(DOCUMENTS)),
    mark=st.sampled_from(("a", "b", "bad")),
    seconds=st.integers(0, 2),
    origin=st.sampled_from((Origin.BACKFILL, Origin.PIPELINE)),
    hint=st.sampled_from((None, "hinted", "other")),
)
event = st.builds(Event, failed=st.booleans(), seconds=st.integers(0, 3))
start = st.sampled_from(("empty", "same rows", "other rows", "partly there", "deleted"))


@st.composite
def schedules(draw: st.DrawFn) -> tuple[str, list[list[Any]]]:
    """A start, and several orders of the same deliveries, each with duplicates of its own."""
    deliveries: list[Any] = draw(st.lists(st.one_of(sent, sent, sent, event), min_size=2, max_size=6, unique=True))
    orders = []
    for _ in range(3):
        again = draw(st.lists(st.sampled_from(deliveries), max_size=3))
        orders.append(draw(st.permutations(deliveries + again)))
    return draw(start), orders


@pytest.fixture(scope="module")
def dsn(services, template_database: str) -> str:
    """The template itself is never written to: a database of this module's own."""
    url = services.database_url.replace("/runferry?", "/test_order?")

    async def create() -> None:
        connection = await asyncpg.connect(
            DatabaseAddress.parse(services.database_url.replace("/runferry?", "/postgres?")).dsn
        )
        await connection.execute('DROP DATABASE IF EXISTS "test_order"')
        await connection.execute(f'CREATE DATABASE "test_order" TEMPLATE "{template_database}"')
        await connection.close()

    asyncio.run(create())
    return DatabaseAddress.parse(url).dsn


async def arrange(connection: asyncpg.Connection, begin: str) -> None:
    """Make the database what it is before anything arrives."""
    await connection.execute(
        'TRUNCATE "User", "Run", "StageOutput", "InspirationReport", "OpportunityCard", runferry.run, '
        "runferry.ledger, runferry.document, runferry.delivery, runferry.dead_letter"
    )
    if begin == "empty":
        return
    if begin == "deleted":
        await write(connection, [Sent(1, "a", 0, Origin.BACKFILL, None)])
        await connection.execute('DELETE FROM "Run"')
        return
    title = "somebody's own" if begin == "other rows" else "First a"
    await connection.execute(
        "INSERT INTO \"User\" VALUES ('u', 'c', 'u@example.com', NULL, $1, $1)", T0.replace(tzinfo=None)
    )
    await connection.execute(
        """INSERT INTO "Run"
           VALUES ('run-a', 'u', 'x', 'X', 'd', 'url', 'RUNNING', 1, NULL, $1, $1, NULL)""",
        T0.replace(tzinfo=None),
    )
    await connection.execute(
        """INSERT INTO "InspirationReport"
           VALUES ('r', 'run-a', $2, 'Content a', '{one,two}', 'Second a', 'More', '{}', $1, $1)""",
        T0.replace(tzinfo=None),
        title,
    )
    if begin != "partly there":
        await connection.execute(
            """INSERT INTO "StageOutput" VALUES ('s', 'run-a', 1, '', $2::jsonb, $1)""",
            T0.replace(tzinfo=None),
            inspirations("a")[0].content.decode(),
        )


async def write(
    connection: asyncpg.Connection, deliveries: Sequence[Any], fast_path: FastPath | None = None
) -> None:
    transactor = Transactor(QUIET, LOCK_TIMEOUT, "host:1", fast_path)
    for delivery in deliveries:
        consignment = Consignment(f"m{next(_numbers)}", "backfill", 1, T0)
        await transactor.write(
            connection, [take_in(to_wire(delivery.message()), consignment, max_output_bytes=1 << 23)]
        )


class Noting(FastPath):
    """A fast path that knows whether it was tried; an autovacuum may make even a right guess wrong."""

    was_tried = False

    async def write(self, *batch: Any, **common: Any) -> Any:
        verdicts = await super().write(*batch, **common)
        self.was_tried |= verdicts is not None or any(hunch.wrong_in_a_row for hunch in self.hunches.values())
        return verdicts


def _begins_a_run(delivery: Any) -> bool:
    """Say whether the fast path is to take it, where it comes first."""
    return not delivery.failed if isinstance(delivery, Event) else (delivery.stage == 1 and delivery.mark != "bad")


async def end(connection: asyncpg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that must be the same in every order; a row's own times say when it was written."""
    queries = {
        "Run": """SELECT id, "userId", "companyId", "companyName", "documentName", "documentUrl", status::text,
                         "currentStage", "errorMessage", "createdAt", "completedAt" FROM "Run" """,
        "StageOutput": """SELECT id, "runId", "stageNumber", "markdownOutput", "jsonOutput" FROM "StageOutput"
                         ORDER BY 1""",
        "InspirationReport": """SELECT id, "inspiration1Title", "inspiration1Content", "inspiration1Elements",
                         "inspiration2Title" FROM "InspirationReport" ORDER BY 1""",
        "OpportunityCard": 'SELECT id, "userId", number, title, tagline, problem FROM "OpportunityCard" ORDER BY 1',
        "ledger": "SELECT stage, content_sha256, produced_at, authority FROM runferry.ledger ORDER BY 1",
        "letters": "SELECT stage, content_sha256, state FROM runferry.dead_letter ORDER BY 1, 2",
    }
    return {name: [tuple(row) for row in await connection.fetch(query)] for name, query in queries.items()}


def _that_wait_for_their_next_time(order: Sequence[Any]) -> list[Sent]:
    """Return the bad outputs whose letter may have been closed by the time of a file before a pipeline set it back.

    It waits again from the next time on that the output comes (docs/decisions/0051).
    """
    outputs = [each for each in order if isinstance(each, Sent)]
    origins: dict[int, set[Origin]] = {}
    for each in outputs:
        if each.mark != "bad":
            origins.setdefault(each.stage, set()).add(each.origin)
    return [each for each in outputs if each.mark == "bad" and len(origins.get(each.stage, ())) > 1]


_BAD = Sent(2, "bad", 0, Origin.BACKFILL, None)


@pytest.mark.long
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schedules())
@example(
    (
        "same rows",
        [
            [Sent(1, "a", 0, Origin.PIPELINE, None), Sent(1, "a", 1, Origin.BACKFILL, None)],
            [Sent(1, "a", 1, Origin.BACKFILL, None), Sent(1, "a", 0, Origin.PIPELINE, None)],
        ],
    )
)
@example(
    (
        "empty",
        [
            [Sent(2, "a", 0, Origin.PIPELINE, None), Sent(2, "a", 1, Origin.BACKFILL, None), _BAD],
            [Sent(2, "a", 0, Origin.PIPELINE, None), _BAD, Sent(2, "a", 1, Origin.BACKFILL, None)],
            [_BAD, Sent(2, "a", 0, Origin.PIPELINE, None), Sent(2, "a", 1, Origin.BACKFILL, None)],
        ],
    )
)
@example(
    (
        "empty",
        [
            [Sent(2, "a", 1, Origin.BACKFILL, None), *bad]
            for bad in itertools.permutations(Sent(2, "bad", seconds, Origin.BACKFILL, None) for seconds in (0, 1))
        ],
    )
)
def test_every_order_of_arrival_ends_in_the_same_rows(dsn: str, schedule: tuple[str, list[list[Any]]]) -> None:
    begin, orders = schedule

    async def run() -> list[Any]:
        connection = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
        try:
            ends = []
            for order in orders:
                await arrange(connection, begin)
                fast_path = None
                if ends:
                    # The first order goes the long way, and the others may not: they have been here before.
                    await connection.execute(QUERIES["add_migration_user"], MIGRATION_USER, "m@example.com")
                    fast_path = Noting()
                    fast_path.learn(datetime.now(UTC), {MIGRATION_USER: MIGRATION_USER})
                await write(connection, order[:1], fast_path)
                if fast_path is not None and begin == "empty" and _begins_a_run(order[0]):
                    assert fast_path.was_tried
                await write(connection, order[1:], fast_path)
                await write(connection, _that_wait_for_their_next_time(order), fast_path)
                ends.append(await end(connection))
            return ends
        finally:
            await connection.close()

    first, *others = asyncio.run(run())
    for other in others:
        assert other == first
