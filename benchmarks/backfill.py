"""How fast is a backfill? runferry beside a sequential migrator and a bare COPY, interleaved on one machine.

python -m benchmarks.backfill --runs 2000 --rounds 3
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import CONTENDERS
from benchmarks.measurement import Measurement, Summary, ratio, summarise
from benchmarks.stores import BenchmarkFailed, BenchmarkStores, benchmark_stores
from benchmarks.tree import DEFAULT_SEED, generate

_TITLES: Final = {
    "sequential": "(a) sequential",
    "copy": "(b) bare COPY",
    "copy_by_two": "(b2) two COPY",
    "dramatiq": "(d) stock Dramatiq",
    "runferry": "(c) runferry",
}
_PARTS: Final = ("client", "workers", "postgres", "redis")


def measure(
    stores: BenchmarkStores, root: Path, runs: int, rounds: int, names: Sequence[str]
) -> list[Measurement]:
    """Return the measurements of all rounds; each begins with another contender, so that none is always first.

    Raises BenchmarkFailed where a contender loses a row.
    """
    measurements = []
    for number in range(rounds):
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            stores.renew()
            measurement = CONTENDERS[name](stores, root, runs, number + 1)
            measurements.append(measurement)
            click.echo(f"round {number + 1}: {_TITLES[name]}: {measurement.runs_per_s:.0f} runs/s", err=True)
    return measurements


def ratios(measurements: Sequence[Measurement], names: Sequence[str]) -> dict[str, float]:
    """Return runferry's speed as a multiple of each baseline's."""
    if "runferry" not in names:
        return {}
    return {f"runferry/{name}": ratio(measurements, "runferry", name) for name in names if name != "runferry"}


@click.command()
@click.option(
    "--runs", type=click.IntRange(min=1), default=2_000, show_default=True, help="Run folders, 37 KB each."
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Rounds; medians are shown."
)
@click.option("--seed", type=int, default=DEFAULT_SEED, show_default=True, help="Same seed, same files.")
@click.option(
    "--only",
    "names",
    type=click.Choice(list(CONTENDERS)),
    multiple=True,
    help="Measure this one alone; may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def main(runs: int, rounds: int, seed: int, names: tuple[str, ...], as_json: bool) -> None:
    """Generate a tree, carry it to PostgreSQL in each way in turn, and compare.

    Every contender gets a fresh database on the same embedded services, with fsync, synchronous commits and
    Redis' append-only file on; its clock runs from its command's start to its end. One that loses a row ends the
    benchmark with status 1.
    """
    chosen = names or tuple(CONTENDERS)
    try:
        with tempfile.TemporaryDirectory(prefix="runferry-tree-") as folder, benchmark_stores() as stores:
            root = Path(folder) / "runs"
            tree = generate(root, runs, seed)
            click.echo(
                f"{runs} runs of {tree.content_bytes / runs / 1000:.1f} KB in {tree.seconds:.1f} s", err=True
            )
            measurements = measure(stores, root, runs, rounds, chosen)
    except BenchmarkFailed as failure:
        click.echo(str(failure), err=True)
        sys.exit(1)
    summaries = [summarise(measurements, name) for name in chosen]
    if as_json:
        click.echo(json.dumps(_document(measurements, summaries, chosen), indent=2))
    else:
        _print(summaries, ratios(measurements, chosen), rounds)


def _document(
    measurements: Sequence[Measurement], summaries: Sequence[Summary], names: Sequence[str]
) -> dict[str, Any]:
    return {
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()}",
        },
        "medians": {summary.contender: dataclasses.asdict(summary) for summary in summaries},
        "ratios": ratios(measurements, names),
        "measurements": [
            dataclasses.asdict(measurement) | {"runs_per_s": measurement.runs_per_s}
            for measurement in measurements
        ],
    }


def _print(summaries: Sequence[Summary], ratios: dict[str, float], rounds: int) -> None:
    table = Table(
        title=f"Medians of {rounds} rounds on {os.cpu_count()} cores",
        caption=f"{', '.join(_PARTS)}: processor time in ms a run",
    )
    table.add_column("", no_wrap=True)
    for heading in ("runs/s", "range", *_PARTS):
        table.add_column(heading, justify="right")
    for summary in summaries:
        parts = (summary.cpu_ms_per_run.get(part) for part in _PARTS)
        table.add_row(
            _TITLES[summary.contender],
            f"{summary.runs_per_s:.0f}",
            f"{summary.slowest_runs_per_s:.0f}–{summary.fastest_runs_per_s:.0f}",
            *("–" if value is None else f"{value:.2f}" for value in parts),
        )
    console = Console()
    console.print(table)
    for name, value in ratios.items():
        console.print(f"{name.replace('/', ' ÷ ')}: {value:.2f}")


if __name__ == "__main__":
    main()
