"""What health checks of containers ask."""

from __future__ import annotations

import asyncio

import pytest
from broker_bench import eventually
from click.testing import CliRunner
from proof_bench import Proof

from shared.stores import given_stores
from workers import health
from workers.command import main as worker
from workers.scheduler import Scheduler


def test_a_scheduler_is_healthy_while_one_leads(proof: Proof) -> None:
    stores = given_stores(proof.settings)
    assert stores is not None

    async def report(_: object) -> int:
        return 0

    async def led() -> int:
        scheduler = Scheduler(stores, proof.settings, report, tick_s=0.02)
        stop = asyncio.Event()
        leading = asyncio.create_task(scheduler.run(stop))
        assert await asyncio.to_thread(eventually, lambda: scheduler.leads)
        status = await asyncio.to_thread(health.main, ["--scheduler"])
        stop.set()
        await leading
        return status

    assert health.main(["--scheduler"]) == 1
    assert asyncio.run(led()) == 0
    assert eventually(lambda: health.main(["--scheduler"]) == 1)


def test_a_worker_is_healthy_only_where_one_of_its_host_is_announced(proof: Proof) -> None:
    with proof.worker():  # it calls itself by another host's name
        assert health.main([]) == 1


def test_a_store_that_is_away_is_no_traceback(
    proof: Proof, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://ann:s3cret@localhost:1/x")
    monkeypatch.setenv("REDIS_URL", "redis://:s3cret@localhost:1/0")
    assert (health.main([]), health.main(["--scheduler"]), health.main(["--sched"])) == (1, 1, 2)
    assert "s3cret" not in capsys.readouterr().err


def test_no_processes_run_only_beside_a_scheduler(proof: Proof) -> None:
    ended = CliRunner().invoke(worker, ["--processes", "0"])
    assert ended.exit_code == 2
    assert "--scheduler" in ended.stderr
