"""What the system tells Prometheus, from one look at both stores. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from prometheus_client import Metric as Family

from ops.status.overview import Aged, Database, Overview, Queue
from shared.broker.registry import WorkerState
from shared.metrics.metric import Kind, Metric
from shared.secrets import hide_passwords
from shared.settings import Phase

_TEXT_CHARACTERS: Final = 200

STORE_UP: Final = Metric("runferry_store_up", Kind.GAUGE, "1 where the store answered, else 0.", ("store",))
LOOK_S: Final = Metric("runferry_look_seconds", Kind.GAUGE, "How long this look at both stores took.")
PHASE: Final = Metric("runferry_phase", Kind.GAUGE, "1 for the phase in force, 0 for the others.", ("phase",))
PROCESSES: Final = Metric(
    "runferry_processes", Kind.GAUGE, "Live processes that follow the phase, by role.", ("role", "phase")
)

MESSAGES: Final = Metric(
    "runferry_queue_messages",
    Kind.GAUGE,
    "Messages in a queue: waiting, in_flight (a worker has them), delayed, dead (not filed yet).",
    ("queue", "state"),
)
QUEUE_BYTES: Final = Metric("runferry_queue_bytes", Kind.GAUGE, "Bytes of all but the dead messages.", ("queue",))
OLDEST_S: Final = Metric(
    "runferry_queue_oldest_seconds",
    Kind.GAUGE,
    "How long the first waiting message waits; 0 where none does.",
    ("queue",),
)
HELD: Final = Metric(
    "runferry_queue_held", Kind.GAUGE, "1 where a person or a phase holds the queue, else 0.", ("queue",)
)
HOLD_INFO: Final = Metric(
    "runferry_queue_hold_info", Kind.GAUGE, "1 with who holds the queue, and why.", ("queue", "who", "why")
)
REDIS_USED: Final = Metric("runferry_redis_used_bytes", Kind.GAUGE, "Memory that Redis uses.")
REDIS_MAX: Final = Metric("runferry_redis_max_bytes", Kind.GAUGE, "Memory that Redis may use; 0 without a limit.")

WORKERS: Final = Metric("runferry_workers", Kind.GAUGE, "Live worker processes, by state.", ("state",))
PAUSE_INFO: Final = Metric(
    "runferry_workers_pause_info",
    Kind.GAUGE,
    "1 with the reason, for each paused worker process.",
    ("worker", "reason"),
)
WORKERS_OUTPUTS: Final = Metric(
    "runferry_workers_outputs",
    Kind.GAUGE,
    "Outputs that the live worker processes handled since their starts, by what became of them.",
    ("verdict",),
)
OUTBOX_ENTRIES: Final = Metric(
    "runferry_outbox_announced_entries",
    Kind.GAUGE,
    "Outputs in the outbox of a live producer process.",
    ("process",),
)
OUTBOX_BYTES: Final = Metric(
    "runferry_outbox_announced_bytes", Kind.GAUGE, "Bytes in the outbox of a live producer process.", ("process",)
)

LEDGER: Final = Metric("runferry_ledger_outputs", Kind.GAUGE, "Outputs that are applied.")
ROWS: Final = Metric("runferry_rows", Kind.GAUGE, "Rows of the web app's tables.", ("table",))
HANDLED: Final = Metric(
    "runferry_handled_messages_per_second", Kind.GAUGE, "Messages handled a second, over the last minute."
)
LETTERS: Final = Metric(
    "runferry_dead_letters", Kind.GAUGE, "Dead letters that wait for somebody, by reason.", ("reason",)
)
LETTERS_OLDEST_S: Final = Metric(
    "runferry_dead_letters_oldest_seconds",
    Kind.GAUGE,
    "How long the oldest open dead letter waits; 0 without one.",
)

VERDICTS: Final = Metric(
    "runferry_reconcile_outputs",
    Kind.GAUGE,
    "Outputs by the reconciler's verdict, in its last report over all runs or some.",
    ("scope", "verdict"),
)
ON_DISK: Final = Metric(
    "runferry_reconcile_outputs_on_disk", Kind.GAUGE, "Outputs on disk that the report counted.", ("scope",)
)
BALANCED: Final = Metric(
    "runferry_reconcile_balanced", Kind.GAUGE, "1 where the report balanced, else 0.", ("scope",)
)
REPORT_AGE_S: Final = Metric(
    "runferry_reconcile_age_seconds", Kind.GAUGE, "How long ago the report was finished.", ("scope",)
)
SCHEDULED: Final = Metric("runferry_scheduler_leads", Kind.GAUGE, "1 where a scheduler leads, else 0.")
CHECKLIST: Final = Metric("runferry_checklist_passed", Kind.GAUGE, "1 where the last checklist was green, else 0.")
CHECKLIST_AGE_S: Final = Metric("runferry_checklist_age_seconds", Kind.GAUGE, "How long ago it was made.")
BACKUP: Final = Metric(
    "runferry_backup_verified", Kind.GAUGE, "1 where the newest backup was verified or restored since, else 0."
)
BACKUP_AGE_S: Final = Metric("runferry_backup_age_seconds", Kind.GAUGE, "How long ago the newest backup was made.")

SYSTEM_METRICS: Final = tuple(value for value in globals().values() if isinstance(value, Metric))


def families(overview: Overview, look_s: float) -> Iterator[Family]:
    """Yield every metric; what an absent store would have said is without samples, and never a made-up 0."""
    database, queue = overview.database, overview.queue
    yield STORE_UP.of(((store,), 0 if store in overview.faults else 1) for store in overview.places)
    yield LOOK_S.alone(look_s)
    # Without PostgreSQL only the default is known, which may not be what is in force.
    known = overview.phase if database is not None else None
    yield PHASE.of([((phase.value,), int(phase.value == known)) for phase in Phase] if known else [])
    yield from _of_queue(queue)
    yield from _of_database(database)


def _of_queue(queue: Queue | None) -> Iterator[Family]:
    states = {} if queue is None else queue.queues
    workers = () if queue is None else queue.workers
    processes = () if queue is None else queue.processes
    yield PROCESSES.of(
        (key, count) for key, count in Counter((one.role, one.phase.value) for one in processes).items()
    )
    yield MESSAGES.of(
        ((name, state), getattr(one.depth, state))
        for name, one in states.items()
        for state in ("waiting", "in_flight", "delayed", "dead")
    )
    yield QUEUE_BYTES.of(((name,), one.depth.bytes) for name, one in states.items())
    yield OLDEST_S.of(((name,), (one.oldest or timedelta()).total_seconds()) for name, one in states.items())
    yield HELD.of(((name,), int(one.hold is not None)) for name, one in states.items())
    yield HOLD_INFO.of(
        ((name, _text(one.hold.who), _text(one.hold.why)), 1)
        for name, one in states.items()
        if one.hold is not None
    )
    yield REDIS_USED.alone(None if queue is None else queue.used_bytes)
    yield REDIS_MAX.alone(None if queue is None else queue.max_bytes)
    count = Counter(worker.state for worker in workers)
    yield WORKERS.of([] if queue is None else [((state.value,), count[state]) for state in WorkerState])
    yield PAUSE_INFO.of(
        ((f"{worker.host}:{worker.pid}", _text(worker.reason)), 1)
        for worker in workers
        if worker.state is WorkerState.PAUSED
    )
    handled: Counter[str] = Counter()
    for worker in workers:
        handled.update(worker.counters)
    yield WORKERS_OUTPUTS.of(((verdict,), count) for verdict, count in handled.items())
    keepers = [one for one in processes if one.role != "worker"]
    yield OUTBOX_ENTRIES.of(((one.name,), one.outbox_entries) for one in keepers)
    yield OUTBOX_BYTES.of(((one.name,), one.outbox_bytes) for one in keepers)


def _of_database(database: Database | None) -> Iterator[Family]:
    yield LEDGER.alone(None if database is None else database.ledger)
    yield ROWS.of([] if database is None else [((table,), count) for table, count in database.rows.items()])
    yield HANDLED.alone(None if database is None else database.handled_per_s)
    yield LETTERS.of(
        [] if database is None else [((reason,), count) for reason, count in database.dead_letters.items()]
    )
    yield LETTERS_OLDEST_S.alone(
        None if database is None else (database.oldest_letter or timedelta()).total_seconds()
    )
    reports = [] if database is None else [one for one in (database.report, database.sample) if one is not None]
    by_scope = {"all" if report.is_whole else "some": report for report in reports}
    yield VERDICTS.of(
        ((scope, verdict), count) for scope, one in by_scope.items() for verdict, count in one.verdicts.items()
    )
    yield ON_DISK.of(((scope,), one.outputs_on_disk) for scope, one in by_scope.items())
    yield BALANCED.of(((scope,), int(one.balanced)) for scope, one in by_scope.items())
    yield REPORT_AGE_S.of(((scope,), one.age.total_seconds()) for scope, one in by_scope.items())
    yield SCHEDULED.alone(None if database is None else int(database.scheduled))
    yield from _aged(CHECKLIST, CHECKLIST_AGE_S, None if database is None else database.checklist)
    yield from _aged(BACKUP, BACKUP_AGE_S, None if database is None else database.backup)


def _aged(good: Metric, age: Metric, aged: Aged | None) -> Sequence[Family]:
    return (
        good.alone(None if aged is None else int(aged.good)),
        age.alone(None if aged is None else aged.age.total_seconds()),
    )


def _text(text: str) -> str:
    return hide_passwords(text)[:_TEXT_CHARACTERS]
