"""Every metric that there is, and stores with something in them."""

from __future__ import annotations

import pytest
from proof_bench import proof

from ops.metrics.system import SYSTEM_METRICS
from producers.outbox.metrics import OUTBOX_METRICS
from shared.metrics.endpoint import BUILD
from shared.metrics.metric import Kind, Metric
from workers.metrics import WORKER_METRICS

__all__ = ["EVERY_METRIC", "labels_by_series", "proof"]

#: What prometheus_client says of a process by itself; on other systems than Linux it says less.
PROCESS = {
    "process_virtual_memory_bytes",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_max_fds",
    "python_info",
}
EVERY_METRIC = (*WORKER_METRICS, *SYSTEM_METRICS, *OUTBOX_METRICS, BUILD)


@pytest.fixture(scope="session")
def labels_by_series() -> dict[str, set[str]]:
    """The labels of every series that a query may name; a scrape adds `job` and `instance` to each."""
    series: dict[str, set[str]] = {name: set() for name in (*PROCESS, "up")}
    for metric in EVERY_METRIC:
        for name in _series(metric):
            series[name] = set(metric.labels) | ({"le"} if name.endswith("_bucket") else set())
    return {name: labels | {"job", "instance"} for name, labels in series.items()}


def _series(metric: Metric) -> list[str]:
    if metric.kind is Kind.HISTOGRAM:
        return [metric.name + suffix for suffix in ("_bucket", "_count", "_sum")]
    return [metric.name]
