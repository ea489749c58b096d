"""The benchmark behind docs/performance.md: its arithmetic, what it keeps of a run that fails, and a tiny run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks.measured_command import REPOSITORY, clean_environment
from benchmarks.performance import names, thousandfold
from benchmarks.performance.document import DOCUMENT, SECTIONS, rendered
from benchmarks.performance.figures import bound, cost, goals, percentile_ms, ratio
from benchmarks.performance.figures import names as measured_names
from benchmarks.performance.measuring import Measuring
from benchmarks.performance.names import title
from benchmarks.performance.record import Carried, Failure, Idle, Latency, Record, Round
from benchmarks.performance.steps import Bench, steps_of_round
from benchmarks.stores import BenchmarkFailed

RECORD = REPOSITORY / "docs/performance/record.json"
MACHINE = {"cores": 2, "processor": "a test", "memory_gib": 8.0, "system": "Linux", "fsync_ms": 1.0,
           "python": "3.11", "postgres": "18", "redis": "6.2", "runferry": "0", "load_at_start": 0.0}  # fmt: skip
BENCH = cast(Bench, None)


def _carried(name: str, runs_per_s: float, cpu_ms: float = 1.0, **more: Any) -> Carried:
    return Carried(name, 100, 100 / runs_per_s, {"client": cpu_ms / 10, "postgres": 0.0}, **more)


def _record(*rounds: Sequence[Carried | Latency | Idle]) -> Record:
    record = Record(MACHINE, {"runs": 100, "seed": 1}, "2026-01-01T00:00:00+00:00", commands=["a test"])
    for number, figures in enumerate(rounds, 1):
        record.rounds.append(Round(number))
        for figure in figures:
            record.rounds[-1].take(figure)
    return record


def test_a_ratio_is_taken_within_rounds_that_have_both() -> None:
    slow, broken = [_carried("runferry", 30), _carried("copy", 60)], [_carried("runferry", 1_000)]
    record = _record([_carried("runferry", 300), _carried("copy", 600)], slow, broken)
    assert ratio(record, "runferry", "copy") == pytest.approx(0.5)
    assert ratio(record, "runferry", "sequential") is None


def test_a_cost_has_medians_and_the_greatest_peaks() -> None:
    found = cost(
        _record(
            *([_carried("large", speed, peak_mib={"redis": peak})] for speed, peak in ((10, 5), (30, 9), (20, 7)))
        ),
        "large",
    )
    assert found is not None
    assert (found.runs_per_s, found.slowest_runs_per_s, found.fastest_runs_per_s) == pytest.approx((20, 10, 30))
    assert found.peak_mib == {"redis": 9}


def test_what_bounds_a_figure_is_told_by_the_cores_that_were_busy() -> None:
    busy = cost(_record([_carried("copy", 1_000, cpu_ms=1.9)]), "copy")
    waiting = cost(_record([_carried("copy", 100, cpu_ms=1.9)]), "copy")
    assert busy is not None
    assert waiting is not None
    assert bound(busy, 2).startswith("all 2 cores; client takes 100%")
    assert "it waits" in bound(waiting, 2)


def test_goals_are_missed_by_the_figures_that_miss_them() -> None:
    fast, slow = tuple(float(n) / 100 for n in range(101)), tuple(float(n) * 10 for n in range(101))
    record = _record(
        [
            _carried("runferry", 300),
            _carried("copy", 250),
            _carried("dramatiq", 299),
            Latency("idle pick-up", 10, fast),
            Latency("idle commit", 10, slow),
            Idle(1.0, 0.02, 0.03),
        ]
    )
    reached = {goal.what: goal.reached for goal in goals(record)}
    assert reached == {
        "runferry ÷ one COPY process": True,
        "runferry ÷ stock Dramatiq": False,
        "idle: enqueue to actor start, p95": True,
        "idle: enqueue to committed rows, p50": False,
        "idle: enqueue to committed rows, p95": False,
        "an idle worker process": False,
    }


def test_the_part_that_saturates_first_is_the_one_that_carries_least() -> None:
    publish = Carried("publish", 1_000, 1.0, {"client": 0.8, "redis": 0.1})
    whole = {"client": 1.0, "workers": 1.0, "postgres": 1.0, "redis": 0.25}
    record = _record([publish, Carried("runferry", 1_000, 2.0, whole, wal_bytes=40_000_000)])
    first = thousandfold.first_to_saturate(record)
    assert first is not None
    assert first.name.startswith("workers")
    assert first.runs_per_s == pytest.approx(1_000)
    assert "278 MB/s" in [part.needed.split(",")[0] for part in thousandfold.parts(record)]


def test_a_step_that_fails_or_is_interrupted_costs_only_itself(tmp_path: Path) -> None:
    def fails(_bench: Bench) -> Iterator[Carried]:
        yield _carried("publish", 10)
        raise BenchmarkFailed("a row is missing")

    def is_interrupted(_bench: Bench) -> Iterator[Carried]:
        yield _carried("runferry", 30)
        raise KeyboardInterrupt

    record, path = _record(), tmp_path / "record.json"
    measuring = Measuring(record, path, lambda _line: None)
    with pytest.raises(KeyboardInterrupt):
        measuring.measure(
            {"queue": fails, "copy": lambda _bench: iter([_carried("copy", 20)]), "runferry": is_interrupted},
            BENCH,
        )
    kept = Record.read(path)
    assert [one.name for one in kept.rounds[0].carried] == ["publish", "copy"]
    assert kept.failures == [Failure("queue", "BenchmarkFailed: a row is missing")]
    measuring.keep()
    assert [one.name for one in Record.read(path).rounds[0].carried] == ["publish", "copy", "runferry"]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    latency = Latency("idle commit", 3, tuple(float(n) for n in range(101)))
    record = _record([_carried("copy", 8, wal_bytes=5, rows=7), latency, Idle(1.0, 0.1, 0.2)])
    record.write(tmp_path / "record.json")
    assert Record.read(tmp_path / "record.json") == record
    assert percentile_ms(record, "idle commit", 95) == 95


def test_contenders_take_turns_in_every_round() -> None:
    order = [[name for name in steps_of_round(number) if name in names.END_TO_END] for number in range(5)]
    assert all(sorted(one) == sorted(names.END_TO_END) for one in order)
    assert len({tuple(one) for one in order}) > 3
    assert {one.index("runferry") for one in order} == set(range(5))


def test_a_document_without_the_marker_of_a_section_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        rendered("<!-- figures: goals -->\n<!-- end of figures -->", _record())


def test_a_document_says_what_failed_and_what_was_not_measured() -> None:
    record = _record([_carried("copy", 20)])
    record.rounds[0].take(Failure("queue", "BenchmarkFailed: a row is missing\nand more"))
    text = rendered("".join(f"<!-- figures: {name} -->\n<!-- end of figures -->\n" for name in SECTIONS), record)
    assert "**failed**: queue: BenchmarkFailed: a row is missing\n" in text
    assert "Not measured in this record." in text
    assert "| one COPY process | 20 |" in text


def test_the_document_is_what_its_record_says_and_names_everything_measured() -> None:
    record, text = Record.read(RECORD), DOCUMENT.read_text()
    assert text == rendered(text, record)
    carried, latencies = measured_names(record)
    sized = {names.scale_name(*scale) for scale in names.SCALES}
    missing = [name for name in [*carried, *latencies] if title(name) not in text and name not in sized]
    assert missing == []
    assert record.failures == []
    assert {*names.END_TO_END, *names.ALONE, *names.LARGE_TREE, *sized} <= set(carried)
    assert set(names.LATENCIES) <= set(latencies)


@pytest.mark.long
def test_a_tiny_run_measures_what_its_steps_are_for(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.performance", "--runs", "20", "--rounds", "1", "--json", str(path),
         "--step", "runferry", "--step", "dramatiq", "--step", "latency"],
        cwd=REPOSITORY,
        env=clean_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    record = Record.read(path)
    carried, latencies = measured_names(record)
    assert carried == ["runferry", "duplicates", "reconcile", "dramatiq"]
    assert latencies == ["idle pick-up", "idle commit", "steady commit"]
    assert record.rounds[0].idle[0].greatest_share < 0.5
    whole = cost(record, "runferry")
    assert whole is not None
    assert all(whole.peak_mib[part] > 1 for part in ("producer", "worker", "redis"))
    assert whole.rows is not None
    assert whole.rows > 12  # the web app's rows, and runferry's beside them
