"""Several worker processes at once on the same runs, delivered again and again in different orders."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from real_workers import Site, until
from writing_bench import cards, context, inspirations, outputs, trends

from shared import queues
from shared.contract import Hints, Origin, StageOutputsMessage

RUNS = 12
PROCESSES = 4
STAGES: dict[int, Any] = {1: inspirations, 2: trends, 4: context, 5: cards}


def deliveries() -> list[tuple[str, StageOutputsMessage]]:
    """Each run: whole, in parts, older and newer, from files and from a pipeline, each several times."""
    hints = Hints(stages_at_source=tuple(STAGES))
    found = []
    for number in range(RUNS):
        run_id = f"run-{number:03d}"
        for mark, seconds in (("a", 0), ("b", 5), ("c", 5)):
            whole = [(stage, make(mark), seconds) for stage, make in STAGES.items()]
            found.append((queues.BACKFILL, outputs(run_id, *whole, hints=hints)))
            found += [(queues.BACKFILL, outputs(run_id, part, hints=hints)) for part in whole]
        pipeline = outputs(run_id, (2, trends("live"), 3), origin=Origin.PIPELINE)
        found.append((queues.LIVE, pipeline))
    return found * 2


@pytest.mark.long
def test_four_processes_at_once_end_in_the_same_rows_as_one_by_one(
    site: Site, site_on: Any, baseline: Any
) -> None:
    orders = Random(7)
    sent = deliveries()
    one_by_one = site_on(database_url=baseline.database_url)
    for queue, message in sent[: len(sent) // 2]:
        one_by_one.publish([message], queue)
    alone = one_by_one.start_worker(RUNFERRY_WORKER_THREADS="1")
    one_by_one.drain()
    expected = one_by_one.everything()
    one_by_one.stop_workers()
    assert alone.poll() is not None

    orders.shuffle(sent)
    half = len(sent) // 2
    for queue, message in sent[:half]:
        site.publish([message], queue)
    for _ in range(PROCESSES):
        site.start_worker()
    for queue, message in sent[half:]:
        site.publish([message], queue)
    site.await_workers()
    site.drain()
    assert site.stop_workers() == [0] * PROCESSES

    found = site.everything()
    for table, rows in expected.items():
        assert found[table] == rows, table
    assert Counter(row["runId"] for row in found["OpportunityCard"]) == {
        f"run-{number:03d}": 5 for number in range(RUNS)
    }
    assert sum(site.verdicts().values()) == sum(len(message.outputs) for _, message in sent)
    assert site.verdicts()["dead_lettered"] == 0
    assert not site.leftovers()
    workers = {row["worker"] for row in site.rows("SELECT DISTINCT worker FROM runferry.delivery")}
    assert len(workers) > 1, "several processes took part"


def test_a_worker_that_is_told_to_end_finishes_what_it_has_and_leaves_nothing(site: Site, tmp_path: Path) -> None:
    worker = site.start_worker()
    site.await_workers(worker)
    site.publish([outputs(f"run-{number}", (2, trends(), 0)) for number in range(200)])
    until(lambda: site.verdicts(), "a first commit")
    assert site.stop_workers() == [0]
    done = site.verdicts()["applied"]
    depth = site.broker.depths()[queues.BACKFILL]
    assert (depth.waiting + done, depth.in_flight, depth.delayed, depth.dead) == (200, 0, 0, 0)
    assert not any(key.startswith("__acks__") for key in site.leftovers())
