"""The steps of a round, in order; each begins with an empty database and yields its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.performance import carrying, latencies
from benchmarks.performance.names import LARGE, SCALES, scale_name
from benchmarks.performance.record import Carried, Idle, Latency
from benchmarks.stores import BenchmarkStores

Figure = Carried | Latency | Idle


@dataclass(frozen=True, slots=True)
class Bench:
    """What a step works with: the stores, a tree of `runs`, and one of `LARGE` times as many."""

    stores: BenchmarkStores
    root: Path
    large_root: Path
    runs: int

    @property
    def idle_messages(self) -> int:
        """Messages that find the system idle."""
        return min(200, max(5, self.runs // 10))

    @property
    def idle_s(self) -> float:
        """How long the workers are left alone."""
        return min(5.0, max(1.0, self.runs / 400))

    @property
    def steady_s(self) -> float:
        """How long messages come at a steady rate."""
        return min(10.0, max(1.0, self.runs / 200))


Step = Callable[[Bench], Iterator[Figure]]


def steps_of_round(number: int) -> Mapping[str, Step]:
    """Return the steps of a round; contenders take turns at being first."""
    names = list(carrying.BASELINES)
    turned = [*names[number % len(names) :], *names[: number % len(names)]]
    ends: dict[str, Step] = {name: partial(_carrying, carrying.BASELINES[name]) for name in turned}
    ends["runferry"] = _runferry
    order = [*ends]
    # runferry beside another one each time: its round's ratios are to neighbours.
    order.insert(number % len(order), order.pop())
    steps = {name: ends[name] for name in order}
    steps["queue"] = _queue
    steps["latency"] = lambda bench: latencies.runferry(
        bench.stores, bench.root, bench.idle_messages, bench.idle_s, bench.steady_s
    )
    steps["stock latency"] = lambda bench: latencies.stock(
        bench.stores, bench.root, max(5, bench.idle_messages // 8)
    )
    steps["large"] = lambda bench: latencies.behind_backfill(bench.stores, bench.large_root, bench.runs * LARGE)
    for processes, threads in SCALES:
        name = scale_name(processes, threads)
        steps[name] = partial(_scale, processes, threads)
    return steps


def _carrying(carry: carrying.Carry, bench: Bench) -> Iterator[Figure]:
    yield carry(bench.stores, bench.root, bench.runs)


def _runferry(bench: Bench) -> Iterator[Figure]:
    return carrying.runferry(bench.stores, bench.root, bench.runs)


def _queue(bench: Bench) -> Iterator[Figure]:
    return carrying.queue(bench.stores, bench.root, bench.runs)


def _scale(processes: int, threads: int, bench: Bench) -> Iterator[Figure]:
    yield carrying.scaled(bench.stores, bench.root, bench.runs, scale_name(processes, threads), processes, threads)
