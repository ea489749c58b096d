"""Draw a record: python -m benchmarks.performance.plots docs/performance/record.json docs/performance

Needs matplotlib (benchmarks/plots.lock), and of runferry nothing but the record.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.performance import names
from benchmarks.performance.figures import PARTS, cost, percentile_ms
from benchmarks.performance.names import title
from benchmarks.performance.record import Record

_COLOURS: Final = {"client": "#4c78a8", "workers": "#f58518", "postgres": "#54a24b", "redis": "#e45756"}
_GREY: Final = "#9d9d9d"
_WIDTH_IN: Final = 8.0
_GOAL_MS: Final = 100.0


def end_to_end(record: Record) -> Figure:
    """Runs a second, with the range over the rounds."""
    found = [one for name in reversed([*names.END_TO_END]) if (one := cost(record, name)) is not None]
    figure, axes = _axes(0.45 * len(found) + 1.0)
    speeds = [one.runs_per_s for one in found]
    ranges = [
        [one.runs_per_s - one.slowest_runs_per_s for one in found],
        [one.fastest_runs_per_s - one.runs_per_s for one in found],
    ]
    colours = [_COLOURS["workers"] if one.name == "runferry" else _GREY for one in found]
    axes.barh([title(one.name) for one in found], speeds, color=colours, xerr=ranges, ecolor="#333333", capsize=3)
    axes.set_xlabel("runs/s from end to end; bars are medians, lines the range over the rounds")
    return figure


def processor_time(record: Record) -> Figure:
    """Milliseconds of processor time a run, by part."""
    chosen = [*names.END_TO_END, *names.ALONE]
    found = [one for name in reversed(chosen) if (one := cost(record, name)) is not None]
    figure, axes = _axes(0.4 * len(found) + 1.2)
    left = [0.0] * len(found)
    for part in PARTS:
        widths = [one.cpu_ms.get(part, 0.0) for one in found]
        axes.barh([_plain(one.name) for one in found], widths, left=left, color=_COLOURS[part], label=part)
        left = [before + width for before, width in zip(left, widths, strict=True)]
    axes.set_xlabel("processor time, ms a run")
    axes.legend(frameon=False, ncols=len(PARTS), loc="upper center", bbox_to_anchor=(0.4, 1.12))
    return figure


def latency(record: Record) -> Figure:
    """Which share of messages took at most how long."""
    figure, axes = _axes(4.0)
    for name in names.LATENCIES:
        found = [percentile_ms(record, name, percent) for percent in range(101)]
        values = [one for one in found if one is not None]
        if values:
            axes.plot(values, range(len(values)), label=title(name))
    axes.axvline(_GOAL_MS, color=_GREY, linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("ms (logarithmic)")
    axes.set_ylabel("% of messages")
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    return figure


def scale(record: Record) -> Figure:
    """Runs a second by worker processes, and by threads of each."""
    figure = Figure(figsize=(_WIDTH_IN, 3.2), layout="constrained")
    by_processes, by_threads = figure.subplots(1, 2, sharey=True)
    fixed_threads, fixed_processes = 32, 2
    _line(by_processes, record, {n: names.scale_name(n, t) for n, t in names.SCALES if t == fixed_threads})
    by_processes.set_xlabel(f"worker processes of {fixed_threads} threads")
    by_processes.set_ylabel("runs/s")
    _line(by_threads, record, {t: names.scale_name(n, t) for n, t in names.SCALES if n == fixed_processes})
    by_threads.set_xlabel(f"threads in each of {fixed_processes} processes")
    return figure


def growth(record: Record) -> Figure | None:
    """Processor time a run against the number of runs; None where growth was not measured."""
    found = [(runs, one) for runs in names.SIZES if (one := cost(record, names.size_name(runs))) is not None]
    if not found:
        return None
    figure, axes = _axes(3.2)
    for part in PARTS:
        axes.plot([runs for runs, _ in found], [one.cpu_ms.get(part, 0.0) for _, one in found], marker="o",
                  color=_COLOURS[part], label=part)  # fmt: skip
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("runs in the tree (logarithmic)")
    axes.set_ylabel("processor time, ms a run")
    axes.legend(frameon=False)
    return figure


PLOTS: Final[Mapping[str, Callable[[Record], Figure | None]]] = {
    "end-to-end": end_to_end,
    "processor-time": processor_time,
    "latency": latency,
    "scale": scale,
    "growth": growth,
}


def draw(record: Record, folder: Path) -> list[Path]:
    """Write every plot as SVG, the same bytes for the same record; return the files."""
    mpl.rcParams.update({"svg.hashsalt": "runferry", "svg.fonttype": "none", "font.family": "sans-serif"})
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, plot in PLOTS.items():
        figure = plot(record)
        if figure is not None:
            path = folder / f"{name}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
            written.append(path)
    return written


def _axes(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _line(axes: Axes, record: Record, chosen: Mapping[int, str]) -> None:
    found = sorted((x, one) for x, name in chosen.items() if (one := cost(record, name)) is not None)
    xs = [x for x, _ in found]
    axes.plot(xs, [one.runs_per_s for _, one in found], marker="o", color=_COLOURS["workers"])
    axes.fill_between(
        xs,
        [one.slowest_runs_per_s for _, one in found],
        [one.fastest_runs_per_s for _, one in found],
        color=_COLOURS["workers"],
        alpha=0.2,
        linewidth=0,
    )
    axes.set_xticks(xs)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)


def _plain(name: str) -> str:
    return title(name).replace("`", "")


if __name__ == "__main__":
    for drawn in draw(Record.read(Path(sys.argv[1])), Path(sys.argv[2])):
        print(drawn)
