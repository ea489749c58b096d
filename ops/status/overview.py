"""Overview: what one look at the migration saw. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.broker.depths import Depth
from shared.broker.holds import Hold
from shared.broker.registry import WorkerInfo
from shared.phase.change import PhaseChange
from shared.phase.presence import Process


@dataclass(frozen=True, slots=True)
class Report:
    """The last report of the reconciler, in short; after a rollback it tells of rows that were there then."""

    id: int
    age: timedelta
    scope: Mapping[str, Any]
    balanced: bool
    verdicts: Mapping[str, int]
    outputs_on_disk: int
    rolled_back_since: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it was over all runs."""
        return bool(self.scope.get("all"))


@dataclass(frozen=True, slots=True)
class Aged:
    """Something that was done once, how long ago, and whether it is good: a checklist, a backup."""

    age: timedelta
    good: bool


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue; `oldest` is how long its first message waits."""

    depth: Depth
    oldest: timedelta | None = None
    hold: Hold | None = None


@dataclass(frozen=True, slots=True)
class Database:
    """What PostgreSQL said; `handled_per_s` is the rate over the last minute, `report` the last over all runs where
    there is one, `sample` the last over some.
    """

    phase: str | None
    phase_since: datetime | None
    rows: Mapping[str, int]
    ledger: int
    dead_letters: Mapping[str, int]
    handled_per_s: float
    report: Report | None
    sample: Report | None = None
    scheduled: bool = False
    oldest_letter: timedelta | None = None
    checklist: Aged | None = None
    backup: Aged | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """What Redis said."""

    queues: Mapping[str, QueueState]
    workers: tuple[WorkerInfo, ...]
    used_bytes: int
    max_bytes: int = 0
    processes: tuple[Process, ...] = ()
    phase: PhaseChange | None = None  # the copy that processes obey where PostgreSQL has no history


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything; a store that did not answer is None, and `faults` says why, by its name."""

    at: datetime
    default_phase: str
    places: Mapping[str, str]
    embedded: bool
    database: Database | None
    queue: Queue | None
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def phase(self) -> str:
        """The phase in force, as far as it can be told."""
        if self.database and self.database.phase:
            return self.database.phase
        return self.queue.phase.phase.value if self.queue and self.queue.phase else self.default_phase

    @property
    def phase_since(self) -> datetime | None:
        """When the phase was set; None where it is the default."""
        if self.database and self.database.phase:
            return self.database.phase_since
        return self.queue.phase.at if self.queue and self.queue.phase else None

    @property
    def pending(self) -> int:
        """Messages that are still to be handled."""
        return sum(state.depth.pending for state in self.queue.queues.values()) if self.queue else 0

    @property
    def left(self) -> timedelta | None:
        """How long the queues will take at the present rate; None where it can't be told."""
        if self.database is None or not self.pending or self.database.handled_per_s <= 0:
            return None
        return timedelta(seconds=round(self.pending / self.database.handled_per_s))

    def to_json(self) -> dict[str, Any]:
        """Return the overview for scripts; what a store did not say is null."""
        database, queue = self.database, self.queue
        return {
            "at": self.at,
            "phase": self.phase,
            "services": {
                name: {"place": place, "fault": self.faults.get(name)} for name, place in self.places.items()
            },
            "queues": None if queue is None else {name: _queue(state) for name, state in queue.queues.items()},
            "dead_letters": None if database is None else sum(database.dead_letters.values()),
            "dead_letters_by_reason": None if database is None else dict(database.dead_letters),
            "workers": None if queue is None else [_worker(worker) for worker in queue.workers],
            "rows": None if database is None else dict(database.rows),
            "ledger": None if database is None else database.ledger,
            "handled_per_s": None if database is None else round(database.handled_per_s, 2),
            "seconds_left": None if self.left is None else self.left.total_seconds(),
            "scheduled": None if database is None else database.scheduled,
            "checklist": None if database is None else _aged(database.checklist),
            "backup": None if database is None else _aged(database.backup),
            "redis": None if queue is None else {"used_bytes": queue.used_bytes, "max_bytes": queue.max_bytes},
            "report": None if database is None or database.report is None else _report(database.report),
        }


def _queue(state: QueueState) -> dict[str, Any]:
    depth = state.depth
    return {
        "waiting": depth.waiting,
        "in_flight": depth.in_flight,
        "delayed": depth.delayed,
        "dead": depth.dead,
        "bytes": depth.bytes,
        "oldest_s": None if state.oldest is None else state.oldest.total_seconds(),
        "held": None
        if state.hold is None
        else {"who": state.hold.who, "why": state.hold.why, "at": state.hold.at},
    }


def _worker(worker: WorkerInfo) -> dict[str, Any]:
    return {**asdict(worker), "queues": list(worker.queues), "state": worker.state.value}


def _aged(aged: Aged | None) -> dict[str, Any] | None:
    return None if aged is None else {"age_s": aged.age.total_seconds(), "good": aged.good}


def _report(report: Report) -> dict[str, Any]:
    return {
        "id": report.id,
        "age_s": report.age.total_seconds(),
        "scope": dict(report.scope),
        "balanced": report.balanced,
        "outputs_on_disk": report.outputs_on_disk,
        "rolled_back_since": report.rolled_back_since,
        "verdicts": dict(report.verdicts),
    }
