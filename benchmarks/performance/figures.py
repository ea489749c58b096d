"""From a record to figures: medians over the rounds, and ratios within them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.performance.names import title
from benchmarks.performance.record import Carried, Failure, Idle, Latency, Record

PARTS: Final = ("client", "workers", "postgres", "redis")
#: Beyond this share of all cores nothing goes faster without using less of them.
_FULL: Final = 0.85


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians of one thing that was carried."""

    name: str
    rounds: int
    runs: int
    runs_per_s: float
    slowest_runs_per_s: float
    fastest_runs_per_s: float
    cpu_ms: dict[str, float]
    cores_busy: float
    wal_kb: float | None
    rows: float | None
    peak_mib: dict[str, float]

    @property
    def total_cpu_ms(self) -> float:
        """Processor time of all parts for one run."""
        return sum(self.cpu_ms.values())

    @property
    def greatest_part(self) -> str:
        """The part that used most of it."""
        return max(self.cpu_ms, key=lambda part: self.cpu_ms[part])


def carried(record: Record, name: str) -> list[Carried]:
    """Return what was measured under a name, in all rounds."""
    return [one for number in record.rounds for one in number.carried if one.name == name]


def cost(record: Record, name: str) -> Cost | None:
    """Return the medians under a name; None where nothing was measured."""
    found = carried(record, name)
    if not found:
        return None
    speeds = [one.runs / one.seconds for one in found]
    return Cost(
        name,
        len(found),
        found[0].runs,
        median(speeds),
        min(speeds),
        max(speeds),
        {part: median(one.cpu_s[part] / one.runs * 1000 for one in found) for part in found[0].cpu_s},
        median(sum(one.cpu_s.values()) / one.seconds for one in found),
        _median_of(found, lambda one: None if one.wal_bytes is None else one.wal_bytes / one.runs / 1000),
        _median_of(found, lambda one: None if one.rows is None else one.rows / one.runs),
        {part: max(one.peak_mib[part] for one in found) for part in found[0].peak_mib},
    )


def _median_of(found: Sequence[Carried], value: Callable[[Carried], float | None]) -> float | None:
    values = [one for one in map(value, found) if one is not None]
    return median(values) if values else None


def ratio(record: Record, name: str, baseline: str) -> float | None:
    """Return how many times as fast as the baseline: the median over the rounds that have both."""
    ratios = []
    for number in record.rounds:
        speeds = {one.name: one.runs / one.seconds for one in number.carried}
        if name in speeds and baseline in speeds:
            ratios.append(speeds[name] / speeds[baseline])
    return median(ratios) if ratios else None


def percentile_ms(record: Record, name: str, percent: int) -> float | None:
    """Return the median over the rounds of a percentile of each round's latencies."""
    found = [
        one.percentiles_ms[percent] for number in record.rounds for one in number.latencies if one.name == name
    ]
    return median(found) if found else None


def samples(record: Record, name: str) -> int:
    """Return how many latencies there are, in all rounds together."""
    return sum(one.count for number in record.rounds for one in number.latencies if one.name == name)


def names(record: Record) -> tuple[list[str], list[str]]:
    """Return the names of everything that was carried, and of all latencies, each in the order of its first figure."""
    carried_names = dict.fromkeys(one.name for number in record.rounds for one in number.carried)
    latency_names = dict.fromkeys(one.name for number in record.rounds for one in number.latencies)
    return list(carried_names), list(latency_names)


def bound(one: Cost, cores: int) -> str:
    """Say what keeps a figure from being greater: processors, or what they wait for."""
    share = one.cpu_ms[one.greatest_part] / one.total_cpu_ms if one.total_cpu_ms else 0.0
    if one.cores_busy >= _FULL * cores:
        return f"all {cores} cores; {one.greatest_part} takes {share:.0%}"
    return f"{one.cores_busy:.1f} of {cores} cores, it waits; {one.greatest_part} takes {share:.0%}"


def described(figure: Carried | Latency | Idle | Failure) -> str:
    """Return a figure in a line, for people who wait."""
    match figure:
        case Carried():
            used = ", ".join(f"{part} {cpu / figure.runs * 1000:.2f}" for part, cpu in figure.cpu_s.items())
            return f"{figure.name}: {figure.runs / figure.seconds:,.0f} runs/s; ms a run: {used}"
        case Latency():
            p50, p95, p99 = (figure.percentiles_ms[percent] for percent in (50, 95, 99))
            return f"{figure.name}: p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms of {figure.count}"
        case Idle():
            return f"an idle worker process: {figure.mean_share:.2%} of a core"
        case Failure():
            return f"{figure.step} failed: {figure.said}"


def lines(record: Record) -> Iterator[str]:
    """Yield the figures that the issue's goals are about."""
    carried_names, latency_names = names(record)
    for name in carried_names:
        if (found := cost(record, name)) is not None:
            used = ", ".join(f"{part} {ms:.2f}" for part, ms in found.cpu_ms.items())
            yield f"{name:22} {found.runs_per_s:8,.0f} runs/s   {found.total_cpu_ms:5.2f} ms a run: {used}"
    for name in latency_names:
        values = ", ".join(f"p{percent} {percentile_ms(record, name, percent):.1f}" for percent in (50, 95, 99))
        yield f"{name:30} {values} ms"
    for goal in goals(record):
        yield str(goal)


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing that must hold, and whether it did."""

    what: str
    wanted: str
    found: str
    reached: bool

    def __str__(self) -> str:
        return f"{'reached' if self.reached else 'MISSED ':8} {self.what}: {self.found} (goal: {self.wanted})"


def goals(record: Record) -> Iterator[Goal]:
    """Yield the goals of which something was measured."""
    for name, baseline, least in (
        ("runferry", "copy", 1.0),
        ("runferry", "copy_by_two", 0.6),
        ("runferry", "dramatiq", 1.6),
        ("duplicates", "runferry", 2.0),
    ):
        if (found := ratio(record, name, baseline)) is not None:
            yield Goal(
                f"{title(name)} ÷ {title(baseline)}", f"at least {least:.1f}", f"{found:.2f}", found >= least
            )
    for name, percent, most_ms in (
        ("idle pick-up", 95, 5.0),
        ("idle commit", 50, 8.0),
        ("idle commit", 95, 12.0),
        ("live behind a backfill", 99, 100.0),
    ):
        if (ms := percentile_ms(record, name, percent)) is not None:
            yield Goal(f"{title(name)}, p{percent}", f"at most {most_ms:g} ms", f"{ms:.1f} ms", ms <= most_ms)
    shares = [one.mean_share for number in record.rounds for one in number.idle]
    if shares:
        share = median(shares)
        yield Goal("an idle worker process", "under 1 % of a core", f"{share:.2%}", share < 0.01)
    peaks = [one.peak_mib["redis"] for number in record.rounds for one in number.carried if one.name == "large"]
    if peaks:
        yield Goal("Redis, most memory", "under 256 MB", f"{max(peaks):.0f} MiB", max(peaks) < 244)
