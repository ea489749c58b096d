"""Medians and ratios, and a measured command that fails loudly."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import pytest

from benchmarks.backfill import ratios
from benchmarks.measured_command import clean_environment, run_measured
from benchmarks.measurement import Measurement, ratio, summarise
from benchmarks.processor_time import tree_cpu_s
from benchmarks.stores import BenchmarkFailed

BURN = "import time\nwhile time.process_time() < 0.3: pass"


def _measurements(speeds: dict[str, Sequence[float]]) -> list[Measurement]:
    return [
        Measurement(contender, number, runs=100, seconds=100 / speed, cpu_s={"client": 0.2})
        for contender, by_round in speeds.items()
        for number, speed in enumerate(by_round)
    ]


def test_a_ratio_compares_contenders_within_a_round() -> None:
    """A machine that is ten times slower in one round changes no ratio."""
    measurements = _measurements({"runferry": [300, 30, 400], "copy": [600, 60, 800]})
    assert ratio(measurements, "runferry", "copy") == pytest.approx(0.5)


def test_a_summary_has_the_median_and_the_range() -> None:
    summary = summarise(_measurements({"copy": [500, 700, 600]}), "copy")
    assert (summary.runs_per_s, summary.slowest_runs_per_s, summary.fastest_runs_per_s) == pytest.approx(
        (600, 500, 700)
    )
    assert summary.cpu_ms_per_run["client"] == pytest.approx(2)


def test_ratios_are_runferrys_to_every_baseline() -> None:
    measurements = _measurements({"runferry": [300], "copy": [600], "sequential": [60]})
    assert ratios(measurements, ["sequential", "copy", "runferry"]) == pytest.approx(
        {"runferry/sequential": 5, "runferry/copy": 0.5}
    )
    assert ratios(measurements, ["sequential", "copy"]) == {}


def test_a_command_that_fails_fails_the_benchmark_with_its_words() -> None:
    with pytest.raises(BenchmarkFailed, match="lost a row"):
        run_measured([sys.executable, "-c", "import sys; sys.exit('lost a row')"], {})


def test_a_command_is_measured_with_its_children() -> None:
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}], check=True); print('done')"
    measured = run_measured([sys.executable, "-c", child], {})
    assert measured.stdout == b"done\n"
    assert measured.cpu_s >= 0.3
    assert measured.seconds > 0


def test_a_tree_of_processes_is_measured_with_its_ended_children() -> None:
    before_s = tree_cpu_s(os.getpid())
    run_measured([sys.executable, "-c", BURN], {})
    assert tree_cpu_s(os.getpid()) - before_s >= 0.25  # counted in ticks of 10 ms


def test_no_setting_of_the_caller_reaches_a_contender(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "RUNFERRY_ROOT", "PGPASSWORD"):
        monkeypatch.setenv(name, "precious")
    environment = clean_environment({"DATABASE_URL": "the round's"})
    assert "precious" not in environment.values()
    assert environment["DATABASE_URL"] == "the round's"
