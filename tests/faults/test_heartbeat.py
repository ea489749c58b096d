"""A worker that lives is never taken for dead, whatever it says of itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from real_workers import Site, until
from writing_bench import outputs, trends

from shared.broker.heartbeat import Heartbeat
from shared.broker.registry import WorkerInfo
from shared.broker.scripts import Scripts


def test_a_worker_that_has_committed_announces_itself_with_what_it_did(site: Site) -> None:
    worker = site.start_worker()
    site.publish(outputs(f"run-{number}", (2, trends(), 0)) for number in range(3))
    site.drain()
    until(
        lambda: (info := site.info(worker)) and info.counters == {"applied": 3},
        lambda: f"its counters; the log: {site.tail()}",
    )
    assert "A heartbeat failed" not in site.log.read_text()


def speechless() -> None:
    raise TypeError("nothing can be said")


def unspeakable() -> WorkerInfo:
    return WorkerInfo("speechless", "host", 1, "0", "/data/caf\udce9", (), datetime.now(UTC))


@pytest.mark.parametrize("describe", [speechless, unspeakable])
def test_a_worker_that_cannot_describe_itself_still_beats(site: Site, describe: Any) -> None:
    heartbeat = Heartbeat(Scripts(site.broker.client, "runferry"), "speechless", 1_000, describe)
    try:
        until(
            lambda: site.broker.client.zscore("runferry:__heartbeats__", "speechless"), "a heartbeat", timeout_s=20
        )
    finally:
        heartbeat.stop()
