"""An output that moves on while it is observed is seen on its way, and a worker that ends keeps no slice."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import asyncpg
import pytest
from proof_bench import Proof
from real_workers import PATIENCE_S

from shared.broker.handback import HandBack
from shared.documents import Document
from shared.ids import RunId, Stage
from shared.mapping import map_output
from shared.rows import MappedOutput
from shared.run_folders.scanner import Scanner
from shared.stores import given_stores
from workers.reconciling import observer
from workers.reconciling.held import RunHeld
from workers.reconciling.observer import Observer
from workers.reconciling.reconciler import Reconciler

_RUNS = 3
_LOCKED = "LOCK TABLE runferry.reconcile_report IN ACCESS EXCLUSIVE MODE"
_WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"


def test_rows_are_asked_for_after_files_and_queue_and_while_documents_are_mapped(
    proof: Proof, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_ids = [RunId(run_id) for run_id in proof.tree(_RUNS)]
    seen: list[str] = []

    async def read(asked: list[RunId]) -> dict[RunId, RunHeld]:
        seen.append("rows asked")
        for _ in range(_RUNS - 1):
            await asyncio.sleep(0)  # as for each answer of PostgreSQL
        seen.append("rows read")
        return {run_id: RunHeld() for run_id in asked}

    def mapped(run_id: RunId, stage: Stage, documents: tuple[Document, ...]) -> MappedOutput:
        if stage is Stage.INSPIRATIONS:
            seen.append("mapped")
        return map_output(run_id, stage, documents)

    broker = proof.broker()
    scanned, in_flight_many = Scanner.named, broker.in_flight_many
    monkeypatch.setattr(observer, "map_output", mapped)
    monkeypatch.setattr(Scanner, "named", lambda *given: seen.append("files") or scanned(*given))
    monkeypatch.setattr(broker, "in_flight_many", lambda given: seen.append("queue") or in_flight_many(given))
    found = asyncio.run(Observer(proof.root, proof.settings, broker, read).observe(run_ids))
    assert seen == ["files", "queue", "rows asked", "mapped", "mapped", "rows read", "mapped"]
    assert {run_id: len(stages) for run_id, stages in found.items()} == dict.fromkeys(run_ids, 5)


def test_a_slice_that_a_worker_cannot_end_goes_back_when_it_stops(proof: Proof) -> None:
    stores = given_stores(proof.settings)
    assert stores is not None
    reconciler = Reconciler(stores.database, proof.broker(), proof.settings, "host:1")
    reconciler.start()

    async def stop_behind_a_lock() -> None:
        connection = await asyncpg.connect(stores.database.dsn)
        try:
            async with connection.transaction():
                await connection.execute(_LOCKED)
                slice_ = threads.submit(reconciler.reconcile, {"report_id": 1, "number": 1})
                async with asyncio.timeout(PATIENCE_S):
                    while not await connection.fetchval(_WAITS):
                        pass
                reconciler.stop(timedelta(seconds=10))
                with pytest.raises(HandBack):
                    slice_.result(10)  # long before the statement would end by itself
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as threads:
        asyncio.run(stop_behind_a_lock())
