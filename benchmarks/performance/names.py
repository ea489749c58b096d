"""The names of everything that is measured, and what people read instead."""

from __future__ import annotations

from typing import Final

#: How many times the runs of the other steps the large tree has: memory must not have grown with it.
LARGE: Final = 4
#: In how many worker processes and threads the tree is carried, to see where that saturates.
SCALES: Final = ((1, 32), (2, 32), (4, 32), (2, 4), (2, 16))
#: Runs of the growing trees.
SIZES: Final = (1_000, 10_000, 100_000)

BASELINES: Final = {
    "sequential": "sequential script",
    "copy": "one COPY process",
    "copy_by_two": "two COPY processes",
    "dramatiq": "stock Dramatiq",
}
END_TO_END: Final = {**BASELINES, "runferry": "runferry"}
ALONE: Final = {
    "publish": "publish alone",
    "drain": "drain alone",
    "duplicates": "a second backfill, all duplicates",
    "reconcile": "the proof (`ops reconcile`)",
}
LARGE_TREE: Final = {"large": f"{LARGE} times the runs, with live runs beside"}
LATENCIES: Final = {
    "idle pick-up": "idle: enqueue to actor start",
    "idle commit": "idle: enqueue to committed rows",
    "stock idle pick-up": "idle, stock Dramatiq: enqueue to actor start",
    "stock idle commit": "idle, stock Dramatiq: enqueue to committed rows",
    "steady commit": "steady 50 runs/s: enqueue to committed rows",
    "live behind a backfill": "a live run behind a backfill: enqueue to committed rows",
}
TITLES: Final = {**END_TO_END, **ALONE, **LARGE_TREE, **LATENCIES}


def title(name: str) -> str:
    """Return what people read for a name."""
    return TITLES.get(name, name)


def scale_name(processes: int, threads: int) -> str:
    """Return the name of the figure for so many worker processes with so many threads each."""
    return f"{processes} x {threads}"


def size_name(runs: int) -> str:
    """Return the name of the figure of a growing tree."""
    return f"{runs:,} runs"


def backlog_name(messages: int) -> str:
    """Return the name of the figure of a queue of so many messages."""
    return f"{messages:,} queued"


def filling_name(messages: int) -> str:
    """Return the name of the figure for the filling of such a queue."""
    return f"{messages:,} sent"


def behind_name(messages: int) -> str:
    """Return the name of the latency of a live run behind such a queue."""
    return f"a live run behind {messages:,} queued: enqueue to committed rows"
