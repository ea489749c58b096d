"""Which runs a transaction holds against other writers, on real PostgreSQL."""

from __future__ import annotations

import asyncpg
from writing_bench import Bench

from shared.ids import RunId
from workers.held_state import lock_key, lock_runs


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
