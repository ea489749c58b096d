"""`ops doctor`: each thing that is wrong is found, with what to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dramatiq.brokers.redis import RedisBroker
from real_workers import Site

from benchmarks.tree import generate
from ops.doctor.clocks import Reading, judge_clock
from ops.doctor.disk import judge_free_bytes, judge_root
from ops.doctor.finding import State
from ops.doctor.redis_state import RedisState, judge_redis

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HEALTHY_INFO = {
    "redis_version": "7.2.4",
    "maxmemory_policy": "noeviction",
    "maxmemory": 1_000,
    "used_memory": 100,
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
}
#: What is good of every healthy installation, wherever the tests run.
GOOD = (
    *("eviction", "persistence", "Redis' memory", "dead messages", "other clients", "clock of Redis"),
    *("schema", "connections", "writes", "server's time zone", "clock of PostgreSQL", "root"),
)


def examined(site: Site, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    ended = site.command("ops.command", "doctor", "--json", *arguments)
    assert ended.stdout, ended.stderr
    assert (ended.status == 0) == ended.json["healthy"]
    return ended.status, {check["name"]: check for check in ended.json["checks"]}


def test_a_healthy_installation_has_nothing_wrong(site: Site) -> None:
    generate(site.settings.root, 2)
    status, checks = examined(site)
    assert status == 0, checks
    for name in GOOD:
        assert checks[name]["state"] == "good", checks[name]
    assert checks["rights"]["state"] == "warning"
    assert "superuser" in checks["rights"]["detail"]
    assert checks["workers"]["state"] == "warning"
    assert "worker" in checks["workers"]["todo"]
    shown = site.command("ops.command", "doctor")
    assert shown.status == 0
    assert "0 wrong" in shown.stdout
    assert "→ Start workers: worker" in shown.stdout


def _old_schema(site: Site) -> None:
    site.do("UPDATE runferry.schema_migration SET version = 0")


def _local_time(site: Site) -> None:
    site.do(f"ALTER DATABASE \"{site.value('SELECT current_database()')}\" SET timezone TO 'Europe/Berlin'")


def _read_only(site: Site) -> None:
    database = site.value("SELECT current_database()")
    site.do(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')


def _expiring(site: Site) -> None:
    site.broker.client.zadd("runferry:live.XQ", {"a": 1e13})
    site.broker.client.expire("runferry:live.XQ", 1_000)


def _buried_by_a_stranger(site: Site) -> None:
    site.broker.client.zadd("runferry:live.XQ", {"a": 1.7e12})


def _a_stranger(site: Site) -> None:
    stock: Any = RedisBroker(url=site.redis_url, namespace="runferry")
    stock.declare_queue("live")
    stock.do_qsize("live")
    stock.client.zadd("runferry:__heartbeats__", {stock.broker_id: 1.7e12})
    stock.close()
    stock.client.connection_pool.disconnect()


def _held(site: Site) -> None:
    assert site.command("ops.command", "pause", "live", "--why", "a release").status == 0


@pytest.mark.parametrize(
    ("spoil", "name", "state", "says"),
    [
        (_old_schema, "schema", "wrong", "ops schema apply"),
        (_local_time, "server's time zone", "warning", "Europe/Berlin"),
        (_read_only, "writes", "wrong", "read-only"),
        (_expiring, "dead messages", "wrong", "runferry:live.XQ"),
        (_buried_by_a_stranger, "dead messages", "wrong", "another Dramatiq client"),
        (_a_stranger, "other clients", "warning", "1 other"),
        (_held, "queue live", "warning", "a release"),
    ],
)
def test_what_is_not_as_it_should_be_is_found(
    site: Site, spoil: Callable[[Site], None], name: str, state: str, says: str
) -> None:
    spoil(site)
    status, checks = examined(site)
    assert (checks[name]["state"], status) == (state, 1 if state == "wrong" else 0), checks
    assert says in checks[name]["detail"]
    assert checks[name]["todo"]


def test_missing_rights_come_with_the_statement_that_grants_them(site: Site) -> None:
    site.do("""
        DROP ROLE IF EXISTS runferry_test_reader;
        CREATE ROLE runferry_test_reader LOGIN PASSWORD 'reader';
        GRANT USAGE ON SCHEMA public, runferry TO runferry_test_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA public, runferry TO runferry_test_reader
    """)
    try:
        _, _, rest = site.database_url.partition("@")
        url = f"postgresql://runferry_test_reader:reader@{rest}"
        status, checks = examined(site, "--database-url", url)
        assert (status, checks["rights"]["state"]) == (1, "wrong")
        assert 'GRANT INSERT, UPDATE ("companyId"' in checks["rights"]["todo"]
        site.do(checks["rights"]["todo"])
        worker = examined(site, "--database-url", url)[1]["rights"]
        assert worker["state"] == "warning"
        assert "lacks what an operator needs" in worker["detail"]
        site.do(worker["todo"])
        assert examined(site, "--database-url", url)[1]["rights"]["state"] == "good"
    finally:
        site.do("DROP OWNED BY runferry_test_reader; DROP ROLE runferry_test_reader")


def test_stores_that_do_not_answer_are_one_finding_each(site: Site) -> None:
    status, checks = examined(
        site, "--redis-url", "redis://localhost:1/0", "--database-url", "postgresql://u:secret@localhost:1/db"
    )
    assert status == 1
    assert checks["Redis"]["state"] == checks["PostgreSQL"]["state"] == "wrong"
    assert "secret" not in str(checks)
    assert "root" in checks, "the rest is looked at all the same"


@pytest.mark.parametrize(
    ("change", "name", "state"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "eviction", State.WRONG),
        ({"aof_enabled": 0}, "persistence", State.WRONG),
        ({"aof_last_write_status": "err"}, "persistence", State.WRONG),
        ({"maxmemory": 0}, "Redis' memory", State.WARNING),
        ({"used_memory": 700}, "Redis' memory", State.WARNING),
        ({"used_memory": 950}, "Redis' memory", State.WRONG),
        ({"redis_version": "5.0.1"}, "Redis' version", State.WRONG),
        ({}, "eviction", State.GOOD),
    ],
)
def test_redis_is_judged_by_what_it_says(change: dict[str, Any], name: str, state: State) -> None:
    redis_state = RedisState(HEALTHY_INFO | change, snapshots="", strangers=0, strange_dead=0, expiring=())
    found = {finding.name: finding for finding in judge_redis(redis_state, high_water=0.6)}
    assert found.pop(name).state is state
    assert all(finding.state is State.GOOD for finding in found.values())


@pytest.mark.parametrize(
    ("snapshots", "state"), [("3600 1", State.WARNING), ("", State.WRONG), (None, State.WARNING)]
)
def test_snapshots_alone_are_no_safety(snapshots: str | None, state: State) -> None:
    redis_state = RedisState(HEALTHY_INFO | {"aof_enabled": 0}, snapshots, 0, 0, ())
    (finding,) = [found for found in judge_redis(redis_state, high_water=0.6) if found.name == "persistence"]
    assert finding.state is state


@pytest.mark.parametrize(
    ("ahead_s", "state"), [(0.5, State.GOOD), (2, State.WARNING), (-2, State.WARNING), (60, State.WRONG)]
)
def test_a_clock_that_differs_is_told_with_its_side(ahead_s: float, state: State) -> None:
    finding = judge_clock("Redis", Reading(NOW, NOW + timedelta(seconds=ahead_s), NOW))
    assert finding.state is state
    if state is not State.GOOD:
        assert ("ahead of" if ahead_s > 0 else "behind") in finding.detail


def test_a_slow_answer_is_no_wrong_clock() -> None:
    reading = Reading(NOW, NOW + timedelta(seconds=8), NOW + timedelta(seconds=10))
    assert judge_clock("Redis", reading).state is State.GOOD


def test_roots_are_judged(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "runs" / "run-1").mkdir(parents=True)
    states = {
        name: [finding.state for finding in judge_root(tmp_path / name)]
        for name in ("missing", "file", "empty", "runs")
    }
    assert states == {
        "missing": [State.WRONG],
        "file": [State.WRONG],
        "empty": [State.WARNING],
        "runs": [State.GOOD],
    }


@pytest.mark.parametrize(("gibibytes", "state"), [(0.1, State.WRONG), (1, State.WARNING), (50, State.GOOD)])
def test_a_disk_that_fills_up_is_told(gibibytes: float, state: State) -> None:
    assert judge_free_bytes("disk", Path("/"), int(gibibytes * 1024**3)).state is state
