"""What the outbox of this disk tells Prometheus, through a node exporter: producers come and go, the disk stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Metric as Family

from producers.outbox.outbox import Usage
from shared.metrics.metric import Kind, Metric

ENTRIES: Final = Metric("runferry_outbox_entries", Kind.GAUGE, "Outputs that wait in the outbox.")
BYTES: Final = Metric("runferry_outbox_bytes", Kind.GAUGE, "Bytes that wait in the outbox.")
MAX_BYTES: Final = Metric("runferry_outbox_max_bytes", Kind.GAUGE, "Most bytes that it takes.")
OLDEST: Final = Metric(
    "runferry_outbox_oldest_timestamp_seconds",
    Kind.GAUGE,
    "When the output was produced that waits for longest; none where the outbox is empty.",
)
WRITTEN: Final = Metric("runferry_outbox_written_timestamp_seconds", Kind.GAUGE, "When this was written.")

OUTBOX_METRICS: Final = (ENTRIES, BYTES, MAX_BYTES, OLDEST, WRITTEN)


def exposition(usage: Usage, max_bytes: int) -> bytes:
    """Return the metrics as text."""
    registry = CollectorRegistry()
    registry.register(_Collector(usage, max_bytes))
    return generate_latest(registry)


class _Collector:
    def __init__(self, usage: Usage, max_bytes: int) -> None:
        self._usage = usage
        self._max_bytes = max_bytes

    def collect(self) -> Iterator[Family]:
        oldest = self._usage.oldest
        yield ENTRIES.alone(self._usage.entries)
        yield BYTES.alone(self._usage.bytes)
        yield MAX_BYTES.alone(self._max_bytes)
        # A time, not an age: the file stays as it is until somebody writes it again.
        yield OLDEST.alone(None if oldest is None else oldest.produced_at.timestamp())
        yield WRITTEN.alone(datetime.now(UTC).timestamp())
