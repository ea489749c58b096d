"""A thousand times more, from measured costs: what each part would need, and which saturates first. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.performance.figures import cost
from benchmarks.performance.record import Record

#: 200,000 run folders and one night, a thousand times.
RUNS: Final = 200_000_000
NIGHT_HOURS: Final = 8
RUNS_PER_S: Final = RUNS / (NIGHT_HOURS * 3600)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the system: what a run costs it, and how many runs a second one unit of it carries at most.

    `runs_per_s` is None where a unit has no bound that was measured.
    """

    name: str
    measured: str
    runs_per_s: float | None
    needed: str


def parts(record: Record) -> Iterator[Part]:
    """Yield the parts in the order in which a run passes them; those of which nothing was measured are left out."""
    whole, published = cost(record, "runferry"), cost(record, "publish")
    if published is not None:
        yield _processes("scan and publish: one producer process", published.cpu_ms["client"])
    if whole is None:
        return
    yield _processes("Redis: the one thread that runs its commands", whole.cpu_ms["redis"])
    yield _processes("workers: one process", whole.cpu_ms["workers"])
    ms = whole.cpu_ms["postgres"]
    yield Part("PostgreSQL: processor time", f"{ms:.2f} ms", None, f"{RUNS_PER_S * ms / 1000:.0f} cores")
    if whole.wal_kb is not None:
        megabytes = RUNS_PER_S * whole.wal_kb / 1000
        terabytes = RUNS * whole.wal_kb / 1e9
        yield Part(
            "PostgreSQL: its write-ahead log",
            f"{whole.wal_kb:.0f} KB",
            None,
            f"{megabytes:,.0f} MB/s, {terabytes:.1f} TB a night",
        )


def first_to_saturate(record: Record) -> Part | None:
    """Return the part of which one unit carries the fewest runs."""
    bounded = [part for part in parts(record) if part.runs_per_s is not None]
    return min(bounded, key=lambda part: part.runs_per_s or 0.0, default=None)


def _processes(name: str, cpu_ms: float) -> Part:
    if not cpu_ms:
        return Part(name, "too little to be seen", None, "one")
    units = -(-RUNS_PER_S * cpu_ms // 1000)
    return Part(name, f"{cpu_ms:.2f} ms", 1000 / cpu_ms, f"{units:.0f} of them")
