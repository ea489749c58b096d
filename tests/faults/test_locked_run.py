"""A run that others hold: its outputs wait for them, those of other runs do not, and nothing is condemned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from real_workers import Site, until
from writing_bench import inspirations, outputs, trends

from shared.database_url import DatabaseAddress

HELD = "run-held"
#: A lock is waited for half as long.
STATEMENT_TIMEOUT = "300ms"
#: More than an output that breaks the world by itself is given.
TRIES = 6


@contextmanager
def others_hold(site: Site, statement: str) -> Iterator[None]:
    """Have another session execute a statement and keep its transaction open."""

    async def begin() -> asyncpg.Connection:
        connection = await asyncpg.connect(DatabaseAddress.parse(site.database_url).dsn)
        await connection.execute(f"BEGIN; {statement}")
        return connection

    with asyncio.Runner() as runner:
        connection = runner.run(begin())
        yield
        runner.run(connection.close())


def test_a_run_whose_row_others_hold_waits_for_them_alone_and_is_never_condemned(site: Site) -> None:
    site.start_worker(RUNFERRY_STATEMENT_TIMEOUT=STATEMENT_TIMEOUT)
    site.publish([outputs(HELD, (1, inspirations(), 0))])
    site.drain()
    with others_hold(site, f"""SELECT FROM "Run" WHERE id = '{HELD}' FOR UPDATE"""):
        site.publish([outputs(run_id, (2, trends(), 0)) for run_id in ("run-a", HELD, "run-b")])
        until(lambda: site.counts()["Run"] == 3, lambda: f"the other runs; {site.tail()}")
        until(lambda: site.log.read_text().count("run is locked") >= TRIES, lambda: f"tries; {site.tail()}")
        assert site.verdicts() == {"applied": 3}
        assert site.value("SELECT count(*) FROM runferry.dead_letter") == 0
    site.drain()

    assert site.verdicts() == {"applied": 4}
    assert site.value("SELECT max(attempts) FROM runferry.delivery") == 1
    assert site.value("SELECT count(*) FROM runferry.dead_letter") == 0
    assert not site.leftovers()


def test_a_table_that_others_hold_pauses_the_worker_which_says_why(site: Site) -> None:
    worker = site.start_worker(RUNFERRY_LOCK_TIMEOUT="100ms")
    site.await_workers(worker)
    with others_hold(site, 'LOCK TABLE "StageOutput" IN ACCESS EXCLUSIVE MODE'):
        site.publish([outputs("run-a", (2, trends(), 0))])
        assert "RUNFERRY_LOCK_TIMEOUT" in site.await_state(worker, "paused").reason
    site.drain()

    assert site.verdicts() == {"applied": 1}
