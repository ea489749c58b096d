"""A live output and a backfill in one worker process."""

from __future__ import annotations

import asyncio

import asyncpg
from real_workers import Site, until
from writing_bench import outputs, trends

from shared import queues
from shared.contract import Origin
from shared.database_url import DatabaseAddress
from workers.held_state import lock_key

THREADS = 8


def test_a_live_output_is_committed_while_every_output_of_a_backfill_waits(site: Site) -> None:
    worker = site.start_worker(
        RUNFERRY_WORKER_THREADS=str(THREADS), RUNFERRY_LOCK_TIMEOUT="10m", RUNFERRY_STATEMENT_TIMEOUT="30m"
    )
    site.await_workers(worker)

    def all_threads_wait() -> bool:
        depth = site.broker.depths()[queues.BACKFILL]
        waiting = site.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'")
        return bool(waiting) and depth.in_flight >= THREADS - 1

    with asyncio.Runner() as runner:
        other = runner.run(asyncpg.connect(DatabaseAddress.parse(site.database_url).dsn))
        runner.run(other.execute("SELECT pg_advisory_lock($1)", lock_key("run-0")))
        site.publish(outputs(f"run-{number}", (2, trends(), 0)) for number in range(100))
        until(all_threads_wait, "a worker whose threads all wait for the locked run")
        site.publish([outputs("run-live", (2, trends(), 0), origin=Origin.PIPELINE)], queues.LIVE)
        until(
            lambda: site.value("SELECT count(*) FROM runferry.ledger WHERE run_id = 'run-live'"), "the live output"
        )
        assert site.value("SELECT count(*) FROM runferry.ledger") == 1, "the backfill waits still"
        runner.run(other.close())
    site.drain()
    assert site.verdicts() == {"applied": 101}
