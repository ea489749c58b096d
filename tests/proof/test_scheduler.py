"""Reports on a schedule: one leader, nothing twice, and a leader that goes is followed by another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta

from broker_bench import eventually
from proof_bench import Proof

from shared.stores import given_stores
from workers.held_state import QUERIES
from workers.schedule import Due, Schedule
from workers.scheduler import Scheduler, make_report

SCHEDULE = Schedule(timedelta(minutes=5), time(3, 0))


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, minute, tzinfo=UTC)


def test_a_full_report_is_due_once_each_night_also_when_the_night_was_missed() -> None:
    assert SCHEDULE.due(at(2, 12), None, None) is Due.FULL
    assert SCHEDULE.due(at(2, 12), at(2, 3), at(2, 11, 58)) is None
    assert SCHEDULE.due(at(3, 2, 59), at(2, 3), at(3, 2, 58)) is None
    assert SCHEDULE.due(at(3, 3), at(2, 3), at(3, 2, 58)) is Due.FULL
    assert SCHEDULE.due(at(5, 1), at(2, 3), at(2, 3)) is Due.FULL


def test_a_sample_is_due_some_minutes_after_any_report() -> None:
    assert SCHEDULE.due(at(2, 12), at(2, 3), at(2, 11, 55)) is Due.SAMPLE
    assert SCHEDULE.due(at(2, 12), at(2, 11, 56), at(2, 11, 56)) is None


def test_one_of_several_leads_and_another_follows(proof: Proof) -> None:
    stores = given_stores(proof.settings)
    assert stores is not None

    async def both() -> list[str]:
        made: list[str] = []
        schedulers = []
        for name in ("a", "b"):

            async def report(arguments: Sequence[str], name: str = name) -> int:
                made.append(f"{name} {arguments[0]}")
                return 0

            scheduler = Scheduler(stores, proof.settings, report, tick_s=0.02)
            stop = asyncio.Event()
            schedulers.append((scheduler, stop, asyncio.create_task(scheduler.run(stop))))
            await _until(lambda: any(one.leads for one, _, _ in schedulers))
        (first, stop_first, task_first), (second, stop_second, task_second) = schedulers
        await _until(lambda: len(made) > 3)
        assert (first.leads, second.leads) == (True, False)
        stop_first.set()
        await task_first
        await _until(lambda: any(line.startswith("b") for line in made))
        stop_second.set()
        await task_second
        return made

    made = asyncio.run(both())
    assert made[0] == "a --all"
    assert made[-1] == "b --all"
    assert sorted(made) == made


def test_a_report_that_was_left_is_finished_once_it_is_answered(
    migrated: Proof,
) -> None:
    report_id = migrated.reconcile("--no-wait").json["report_id"]
    migrated.settle()
    stores = given_stores(migrated.settings)
    assert stores is not None

    async def lead() -> list[list[str]]:
        made: list[list[str]] = []

        async def report(arguments: Sequence[str]) -> int:
            made.append(list(arguments))
            return 0

        stop = asyncio.Event()
        scheduling = asyncio.create_task(Scheduler(stores, migrated.settings, report, tick_s=0.02).run(stop))
        await _until(lambda: bool(made))
        stop.set()
        await scheduling
        return made

    made = asyncio.run(lead())
    assert made == [["--report", str(report_id)]]
    assert asyncio.run(make_report(["--report", str(report_id)])) == 0


async def _until(condition: Callable[[], bool]) -> None:
    assert await asyncio.to_thread(eventually, condition)


def test_a_scheduled_report_is_kept_and_not_repeated(migrated: Proof) -> None:
    assert asyncio.run(make_report(["--all"])) == 0
    (report,) = migrated.reconcile("--history").json
    assert (report["balanced"], report["verdicts"]) == (True, {"match": 15})
    (known,) = migrated.fetch(QUERIES["last_reports"])
    assert SCHEDULE.due(known["now"], known["last_full"], known["last_any"]) is None
