"""What one worker process tells Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import Metric as Family

from shared.metrics.metric import Kind, Metric
from shared.reasons import Reason
from shared.secrets import hide_passwords
from shared.verdicts import Verdict
from workers.commit_stats import CommitStats
from workers.pause import Pause
from workers.world import Fault

_REASON_CHARACTERS: Final = 200

OUTPUTS: Final = Metric(
    "runferry_worker_outputs_total",
    Kind.COUNTER,
    "Outputs handled since the start of the process, by what became of them.",
    ("queue", "verdict"),
)
DEAD: Final = Metric(
    "runferry_worker_dead_lettered_total",
    Kind.COUNTER,
    "Outputs that became dead letters, or were seen again as one, by reason.",
    ("queue", "reason"),
)
FAILURES: Final = Metric(
    "runferry_worker_commit_failures_total",
    Kind.COUNTER,
    "Transactions that failed and were tried again or taken apart, by whose fault it was.",
    ("queue", "fault"),
)
COMMIT_S: Final = Metric(
    "runferry_worker_commit_seconds",
    Kind.HISTOGRAM,
    "Time of one transaction, from asking for a connection to the commit.",
    ("queue",),
)
BATCH_MESSAGES: Final = Metric(
    "runferry_worker_batch_messages",
    Kind.HISTOGRAM,
    "Messages that one transaction committed together.",
    ("queue",),
)
PUBLISH_TO_COMMIT_S: Final = Metric(
    "runferry_worker_publish_to_commit_seconds",
    Kind.HISTOGRAM,
    "Time from the publishing of a message to its commit, by the clocks of their hosts.",
    ("queue",),
)
HELD: Final = Metric(
    "runferry_worker_held_messages",
    Kind.GAUGE,
    "Messages that the process has fetched and not settled.",
    ("queue",),
)
PAUSED: Final = Metric("runferry_worker_paused", Kind.GAUGE, "1 while the process consumes nothing, else 0.")
PAUSED_S: Final = Metric(
    "runferry_worker_paused_seconds", Kind.GAUGE, "How long the process has been paused by now."
)
PAUSE_INFO: Final = Metric(
    "runferry_worker_pause_info", Kind.GAUGE, "1 with the reason, while the process is paused.", ("reason",)
)

WORKER_METRICS: Final = (
    OUTPUTS,
    DEAD,
    FAILURES,
    COMMIT_S,
    BATCH_MESSAGES,
    PUBLISH_TO_COMMIT_S,
    HELD,
    PAUSED,
    PAUSED_S,
    PAUSE_INFO,
)


class WorkerCollector:
    """Reads the numbers of a process at each scrape; nothing is done for it while nobody scrapes."""

    def __init__(
        self, lanes: Mapping[str, CommitStats], pause: Pause, held_messages: Callable[[], Mapping[str, int]]
    ) -> None:
        self._lanes = lanes
        self._pause = pause
        self._held_messages = held_messages

    def collect(self) -> Iterator[Family]:
        """Yield every metric."""
        lanes = self._lanes
        # What is counted only once it happens could not be seen to rise: every series begins at 0.
        yield OUTPUTS.of(
            ((queue, verdict.value), stats.outputs[verdict])
            for queue, stats in lanes.items()
            for verdict in Verdict
        )
        yield DEAD.of(
            ((queue, reason), stats.dead[reason])
            for queue, stats in lanes.items()
            for reason in sorted({*Reason, *stats.dead})
        )
        yield FAILURES.of(
            ((queue, fault.value), stats.failures[fault]) for queue, stats in lanes.items() for fault in Fault
        )
        yield COMMIT_S.of_tallies(((queue,), stats.commit_s) for queue, stats in lanes.items())
        yield BATCH_MESSAGES.of_tallies(((queue,), stats.batch_messages) for queue, stats in lanes.items())
        yield PUBLISH_TO_COMMIT_S.of_tallies(
            ((queue,), stats.publish_to_commit_s) for queue, stats in lanes.items()
        )
        yield HELD.of(((queue,), count) for queue, count in self._held_messages().items())
        reason = self._pause.reason
        yield PAUSED.alone(1 if reason else 0)
        yield PAUSED_S.alone(time.monotonic() - self._pause.since if reason and self._pause.since else 0)
        yield PAUSE_INFO.of([((hide_passwords(reason)[:_REASON_CHARACTERS],), 1)] if reason else [])
