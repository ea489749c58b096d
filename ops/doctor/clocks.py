"""Clocks: how far the stores' are from this machine's, and the workers' from Redis' and from each other's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from ops.doctor.finding import Finding, good, warning, wrong
from shared.broker.registry import WorkerInfo
from shared.clock_reading import Reading

#: Outputs of a pipeline are stamped by Redis, those of files by their machine: what is compared must not drift far.
_NOTABLE: Final = timedelta(seconds=1)
_WRONG: Final = timedelta(seconds=5)


def judge_clock(store: str, reading: Reading) -> Finding:
    """Return what a reading says of a store's clock."""
    name = f"clock of {store}"
    offset = reading.offset
    if abs(offset) < _NOTABLE:
        return good(name, "agrees with this machine's")
    todo = "Keep both machines' clocks right by NTP: outputs are ordered by time."
    finding = wrong if abs(offset) >= _WRONG else warning
    return finding(name, f"is {_side(offset)} this machine's", todo)


def judge_worker_clocks(workers: Sequence[WorkerInfo]) -> Finding:
    """Return what the workers' own readings of Redis' clock say of their machines."""
    name = "clocks of workers"
    offsets = _by_host(workers)
    if not offsets:
        return good(name, "no worker has told of its clock" if workers else "no worker is alive")
    # All are measured by one clock, so their differences are those between the machines.
    apart = max([*offsets.values(), timedelta(0)]) - min([*offsets.values(), timedelta(0)])
    if apart < _NOTABLE:
        return good(name, "agree with Redis' and with each other")
    off = sorted(
        (host for host in offsets if abs(offsets[host]) >= _NOTABLE / 2), key=lambda host: -abs(offsets[host])
    )
    detail = ", ".join(f"{host} is {_side(offsets[host])} Redis'" for host in off)
    todo = "Keep these machines' clocks right by NTP: times of files order outputs, and logs tell when."
    return (wrong if apart >= _WRONG else warning)(name, detail, todo)


def _by_host(workers: Sequence[WorkerInfo]) -> Mapping[str, timedelta]:
    """Return the offset of each machine that says one: of its workers' the least, since a slow answer adds to it."""
    offsets: dict[str, timedelta] = {}
    for worker in workers:
        if worker.clock_ahead_ms is not None:
            ahead = timedelta(milliseconds=worker.clock_ahead_ms)
            offsets[worker.host] = min(offsets.get(worker.host, ahead), ahead, key=abs)
    return offsets


def _side(offset: timedelta) -> str:
    return f"{abs(offset).total_seconds():.1f} s {'ahead of' if offset > timedelta(0) else 'behind'}"
