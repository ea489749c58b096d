"""What Prometheus is told: by a worker process of itself, by `ops metrics` of the whole, by an outbox of its disk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from dramatiq import Message
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families
from proof_bench import Proof
from real_workers import Site, until

from ops.metrics.command import metrics as ops_metrics
from ops.metrics.serving import serve
from ops.metrics.system import SYSTEM_METRICS, families
from ops.pause import pause as ops_pause
from ops.status.overview import Aged, Database, Overview, Queue, QueueState, Report
from producers.command import main as producer
from producers.live_queue import live_message
from producers.outbox.metrics import OUTBOX_METRICS
from producers.outbox.outbox import Outbox
from shared.broker.depths import Depth
from shared.broker.holds import Hold
from shared.broker.registry import WorkerInfo, WorkerState
from shared.contract import Origin, OutputBody, StageOutputsMessage
from shared.documents import Document
from shared.errors import SettingsError, UsageError
from shared.ids import RunId, Stage
from shared.metrics import endpoint as endpoints
from shared.metrics.endpoint import Endpoint, endpoint
from shared.metrics.metric import Kind, Metric
from shared.metrics.tally import Tally
from shared.phase.presence import Process
from shared.settings import Phase, Settings
from shared.stores import given_stores
from shared.verdicts import Verdict
from workers.commit_stats import CommitStats
from workers.metrics import WORKER_METRICS, WorkerCollector
from workers.pause import Pause

Scrape = dict[str, dict[tuple[str, ...], float]]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def parsed(text: str) -> tuple[set[str], Scrape]:
    """Return the names of all families of a scrape, and each sample by its name and its labels' values."""
    found = list(text_string_to_metric_families(text))
    samples: Scrape = {}
    for family in found:
        for sample in family.samples:
            samples.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return {family.name for family in found}, samples


def scraped(port: int) -> tuple[set[str], Scrape]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        return parsed(answer.read().decode())


def family_names(metrics: tuple[Metric, ...]) -> set[str]:
    return {metric.name.removesuffix("_total") for metric in metrics}


def two_free_ports() -> int:
    """Return a port that is free, with the next."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def test_a_supervisor_serves_the_system_and_each_process_on_loopback(settings: Settings, tmp_path: Path) -> None:
    site, port = Site(settings, tmp_path), two_free_ports()
    tree = Proof(settings, settings.root)
    tree.tree(3)
    tree.malformed()
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "workers.command", "--processes", "1", "--scheduler"],
            env=site.environment(RUNFERRY_METRICS_PORT=str(port), RUNFERRY_RECONCILE_EVERY="1h"),
            cwd=tmp_path,
            stderr=log,
        )
    try:
        assert site.backfill("--wait").status == 0
        until(lambda: listens(port) and listens(port + 1), "both endpoints")
        # The scheduler's first report is one over all runs.
        until(
            lambda: site.value("SELECT count(*) FROM runferry.reconcile_report WHERE finished_at IS NOT NULL"),
            "it",
        )
        names, of_worker = scraped(port + 1)
        assert names == family_names((*WORKER_METRICS, endpoints.BUILD)) | {
            name.removesuffix("_total") for name in names if name.startswith(("process_", "python_"))
        }
        assert of_worker["runferry_worker_outputs_total"]["backfill", "applied"] == 14
        assert of_worker["runferry_worker_outputs_total"]["backfill", "dead_lettered"] == 1
        dead = of_worker["runferry_worker_dead_lettered_total"]
        assert {labels for labels, count in dead.items() if count} == {("backfill", "not_json")}
        assert dead["live", "crash_loop"] == 0  # what is not there from the start can't be seen to rise
        assert of_worker["runferry_worker_publish_to_commit_seconds_count"]["backfill",] == 3
        assert of_worker["runferry_worker_batch_messages_sum"]["backfill",] == 3
        assert 0 < of_worker["runferry_worker_commit_seconds_sum"]["backfill",] < 60
        assert of_worker["runferry_worker_paused"] == {(): 0}

        names, of_system = scraped(port)
        assert names >= family_names((*SYSTEM_METRICS, endpoints.BUILD))
        assert of_system["runferry_store_up"] == {("postgresql",): 1, ("redis",): 1}
        assert of_system["runferry_workers"]["running",] == 1
        assert of_system["runferry_ledger_outputs"] == {(): 14}
        assert of_system["runferry_dead_letters"] == {("not_json",): 1}
        # Made while the backfill was under way: what it found is a matter of chance, what it counted is not.
        assert of_system["runferry_reconcile_outputs_on_disk"]["all",] == 15
        assert of_system["runferry_scheduler_leads"] == {(): 1}

        stranger = {"run_id": "run-x", "outputs": [{"stage": 1, "content_sha256": "0"}]}
        sent = site.broker.enqueue(Message[Any]("live", "nobody", (), {"message": stranger}, {}))
        until(lambda: "Buried" in (tmp_path / "worker.log").read_text(), "a message without an actor to be buried")

        supervisor = psutil.Process(worker.pid)
        family = [supervisor, *supervisor.children(recursive=True)]
        assert {address for process in family for address in bound(process)} == {"127.0.0.1"}
    finally:
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(60)
        tree.close()
        site.close()
    assert status == 0, (tmp_path / "worker.log").read_text()
    assert not listens(port)
    check_log((tmp_path / "worker.log").read_text(), sent.message_id, site)


def bound(process: psutil.Process) -> set[str]:
    """The addresses at which a process listens: none, where it was a command that has ended meanwhile."""
    with contextlib.suppress(psutil.NoSuchProcess):
        found = process.net_connections("inet")
        return {connection.laddr.ip for connection in found if connection.status == psutil.CONN_LISTEN}
    return set()


def check_log(text: str, buried_id: str, site: Site) -> None:
    """All processes write lines of JSON, those that concern a message with its ids, and never a password."""
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line["logger"] for line in lines} >= {"workers.process", "workers.scheduler", "workers.carrier"}
    (letter,) = (line for line in lines if line["event"] == "dead letter")
    assert letter["run_id"] == "run-000"
    assert letter["message_id"] == site.value(
        "SELECT message_id FROM runferry.dead_letter WHERE run_id = 'run-000'"
    )
    (buried,) = (line for line in lines if line["event"].startswith("Buried"))
    assert (buried["run_id"], buried["message_id"]) == ("run-x", buried_id)
    for url in (site.database_url, site.redis_url):
        password = urlsplit(url).password
        assert password
        assert password not in text


def listens(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(5)
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_metrics_are_off_unless_asked_for() -> None:
    settings = Settings.from_environment()
    assert endpoint(settings, WorkerCollector({}, Pause(), dict), 1) is None
    assert settings.metrics_host == "127.0.0.1"


def test_ports_that_are_none_are_refused_before_the_start() -> None:
    settings = Settings.from_environment(metrics_port=65_535)
    with pytest.raises(SettingsError, match="RUNFERRY_METRICS_PORT"):
        endpoint(settings, WorkerCollector({}, Pause(), dict), 1)


def test_a_port_that_is_taken_costs_the_metrics_and_not_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "_AGAIN_AFTER_S", 0.0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        served = Endpoint(WorkerCollector({}, Pause(), dict), "127.0.0.1", port)
        served.tend()
        assert not served.is_open
    served.tend()
    assert served.is_open
    assert scraped(port)[1]["runferry_worker_paused"] == {(): 0}
    served.close()
    assert not listens(port)


def test_a_paused_worker_says_why_and_no_password() -> None:
    pause = Pause(
        world_reason="no answer of postgresql://ann:s3cret@db/app " + "x" * 500, since=time.monotonic() - 5
    )
    found = values(WorkerCollector({"live": CommitStats()}, pause, dict).collect())
    assert found["runferry_worker_paused"] == {(): 1}
    assert found["runferry_worker_paused_seconds"][()] >= 5
    ((reason,),) = found["runferry_worker_pause_info"]
    assert reason.startswith("no answer of postgresql://ann:***@db/app")
    assert len(reason) == 200


def test_numbers_are_read_while_a_verdict_is_counted_for_the_first_time() -> None:
    stats = CommitStats()
    reading = iter(stats.outputs.items())
    next(reading)
    stats.committed([], [{Stage.INSPIRATIONS: Verdict.APPLIED}], 0.1)
    assert dict(reading)[Verdict.DUPLICATE] == 0
    assert stats.outputs[Verdict.APPLIED] == 1


def test_an_address_that_is_none_costs_the_metrics_and_never_the_work() -> None:
    for host in ("nosuch.invalid", "metrics..example", "x" * 70):
        unserved = Endpoint(WorkerCollector({}, Pause(), dict), host, 9464)
        unserved.tend()
        assert not unserved.is_open


def values(found: Iterator[Family]) -> Scrape:
    return {
        sample.name: {
            tuple(other.labels.values()): other.value for other in family.samples if other.name == sample.name
        }
        for family in found
        for sample in family.samples
    }


def test_a_tally_counts_into_the_first_bucket_that_is_not_below() -> None:
    tally = Tally((1.0, 2.5))
    for value in (0.0, 1.0, 1.1, 2.5, 9.0):
        tally.observe(value)
    found = Metric("runferry_x", Kind.HISTOGRAM, "x", ("queue",)).of_tallies([(("live",), tally)])
    assert [(sample.name[10:], sample.labels.get("le"), sample.value) for sample in found.samples] == [
        ("_bucket", "1.0", 2),
        ("_bucket", "2.5", 4),
        ("_bucket", "+Inf", 5),
        ("_count", None, 5),
        ("_sum", None, 13.6),
    ]


def test_every_metric_of_the_system_has_its_numbers() -> None:
    paused = WorkerInfo(
        "p", "h", 1, "1", "/d", ("live",), NOW, WorkerState.PAUSED, "the disk is full", {"applied": 7}
    )
    store = Process("id", "web", 7, "stage store", Phase.DB_ONLY, NOW, outbox_entries=3, outbox_bytes=900)
    full = Report(7, timedelta(hours=5), {"all": True}, False, {"match": 98, "differs": 2}, 100)
    sample = Report(9, timedelta(minutes=5), {"sample": 50}, True, {"match": 10}, 10)
    overview = Overview(
        at=NOW,
        default_phase="dual-write",
        places={"postgresql": "db", "redis": "queue"},
        embedded=False,
        database=Database(
            phase="db-only",
            phase_since=NOW,
            rows={"Run": 20},
            ledger=98,
            dead_letters={"not_json": 12},
            handled_per_s=3.5,
            report=full,
            sample=sample,
            scheduled=True,
            oldest_letter=timedelta(days=2),
            checklist=Aged(timedelta(hours=2), good=True),
            backup=Aged(timedelta(hours=9), good=False),
        ),
        queue=Queue(
            {"live": QueueState(Depth(4, 3, 2, 1, 900), timedelta(seconds=9), Hold("ops", "a release", NOW))},
            (paused,),
            used_bytes=5,
            max_bytes=10,
            processes=(store,),
        ),
    )
    found = values(families(overview, 0.5))
    assert found.keys() == {metric.name for metric in SYSTEM_METRICS}
    assert found["runferry_phase"]["db-only",] == 1
    assert sum(found["runferry_phase"].values()) == 1
    assert found["runferry_queue_messages"]["live", "delayed"] == 2
    assert found["runferry_queue_hold_info"] == {("live", "ops", "a release"): 1}
    assert found["runferry_workers_pause_info"] == {("h:1", "the disk is full"): 1}
    assert found["runferry_outbox_announced_bytes"] == {("stage store web:7",): 900}
    assert found["runferry_reconcile_outputs"]["all", "differs"] == 2
    assert found["runferry_reconcile_balanced"] == {("all",): 0, ("some",): 1}
    assert found["runferry_reconcile_age_seconds"] == {("all",): 18_000, ("some",): 300}
    assert found["runferry_backup_verified"] == {(): 0}


def test_a_store_that_is_away_has_no_made_up_numbers(proof: Proof) -> None:
    ended = proof.invoke(ops_metrics, "--redis-url", "redis://:s3cret@localhost:1/0")
    assert ended.status == 1
    assert "s3cret" not in ended.stdout
    found = parsed(ended.stdout)[1]
    assert found["runferry_store_up"] == {("postgresql",): 1, ("redis",): 0}
    assert found["runferry_ledger_outputs"] == {(): 0}
    assert "runferry_queue_messages" not in found
    assert "runferry_workers" not in found


def test_metrics_go_to_a_file_whole(proof: Proof, tmp_path: Path) -> None:
    proof.invoke(ops_pause, "backfill", "--why", 'a "release"')
    file = tmp_path / "runferry.prom"
    file.write_text("old")
    assert proof.invoke(ops_metrics, "--to", file).status == 0
    names, found = parsed(file.read_text())
    # A node exporter tells of its own process by the same names.
    assert names == family_names((*SYSTEM_METRICS, endpoints.BUILD))
    assert [why for _, _, why in found["runferry_queue_hold_info"]] == ['a "release"']
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["runferry.prom"]
    refused = proof.invoke(ops_metrics, "--to", tmp_path / "nowhere" / "x.prom")
    assert (refused.status, "can't be written" in refused.stderr) == (2, True)


def test_a_port_that_is_taken_ends_a_command_with_the_way_out(proof: Proof) -> None:
    stores = given_stores(proof.settings)
    assert stores is not None
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UsageError, match="choose another with --port"):
            asyncio.run(serve(stores, proof.settings, "127.0.0.1", other.getsockname()[1], None))


def test_an_outbox_tells_of_its_disk_while_both_stores_are_away(settings: Settings, proof: Proof) -> None:
    proof.lose_redis()
    body = OutputBody.of(Stage.TRENDS, (Document("trends.json", b"{}"),), NOW)
    message = StageOutputsMessage(
        run_id="run-1", publisher="x", published_at=NOW, origin=Origin.PIPELINE, batch_id="b", outputs=(body,)
    )
    Outbox(settings.home, settings.outbox_max_bytes).put(live_message(message), RunId("run-1"), Stage.TRENDS, NOW)
    stores = ("--redis-url", "redis://localhost:1/0", "--database-url", "postgres://localhost:1/x")
    ended = proof.invoke(producer, "outbox", "metrics", *stores)
    assert ended.status == 0
    names, found = parsed(ended.stdout)
    assert names == family_names(OUTBOX_METRICS)
    assert found["runferry_outbox_entries"] == {(): 1}
    assert 0 < found["runferry_outbox_bytes"][()] < found["runferry_outbox_max_bytes"][()]
    assert found["runferry_outbox_oldest_timestamp_seconds"] == {(): NOW.timestamp()}
