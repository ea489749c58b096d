"""`ops doctor`: each thing that is wrong is found, with what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dramatiq.brokers.redis import RedisBroker
from real_workers import Site, until
from storm import SKEWED_CLOCK

from benchmarks.tree import generate
from ops.command import main as ops
from ops.doctor.clocks import judge_clock, judge_worker_clocks
from ops.doctor.disk import judge_free_bytes
from ops.doctor.encryption import judge_database_encryption, judge_redis_encryption
from ops.doctor.finding import State
from ops.doctor.limits import judge_open_files
from ops.doctor.programs import judge_programs
from ops.doctor.redis_state import RedisState, judge_redis
from ops.doctor.run_folders import look_at_root
from shared.broker.registry import WorkerInfo
from shared.clock_reading import Reading
from shared.database_url import DatabaseAddress

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
    *("Redis' role", "Redis' connections", "Redis' memory", "way to Redis", "eviction", "persistence"),
    *("dead messages", "other clients", "clock of Redis", "schema", "unique keys", "connections", "writes"),
    *("way to PostgreSQL", "pg_dump", "pg_restore", "server's time zone", "clock of PostgreSQL"),
    *("root", "run folders", "disk of the outbox"),
)


def examined(site: Site, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    environment = {name: value for name, value in site.environment().items() if name not in os.environ}
    ended = CliRunner(env=environment).invoke(ops, ["doctor", "--json", *arguments], catch_exceptions=False)
    assert ended.stdout, ended.stderr
    document = json.loads(ended.stdout)
    assert (ended.exit_code == 0) == document["healthy"]
    return ended.exit_code, {check["name"]: check for check in document["checks"]}


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


def _without_keys(site: Site) -> None:
    site.do('DROP INDEX "StageOutput_runId_stageNumber_key"')


def _another_structure(site: Site) -> None:
    site.do("DROP INDEX runferry.delivery_run_id")


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
        (_without_keys, "unique keys", "wrong", "StageOutput"),
        (_another_structure, "schema", "warning", "1 difference"),
        (_local_time, "server's time zone", "warning", "Europe/Berlin"),
        (_read_only, "writes", "wrong", "read-only"),
        (_expiring, "dead messages", "wrong", "runferry:live.XQ"),
        (_buried_by_a_stranger, "dead messages", "wrong", "another Dramatiq client"),
        (
            _a_stranger,
            "other clients",
            "warning",
            "1 other Dramatiq client uses this namespace, or did: a worker that was killed",
        ),
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
        ({"maxmemory": 1_000, "total_system_memory": 900}, "Redis' memory", State.WARNING),
        ({"role": "slave"}, "Redis' role", State.WRONG),
        ({"connected_clients": 95, "maxclients": 100}, "Redis' connections", State.WARNING),
        ({"aof_last_bgrewrite_status": "err"}, "persistence", State.WARNING),
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


def test_an_append_only_file_that_is_never_synced_is_told() -> None:
    redis_state = RedisState(HEALTHY_INFO, "", 0, 0, (), syncs="no")
    (finding,) = [found for found in judge_redis(redis_state, high_water=0.6) if found.name == "persistence"]
    assert finding.state is State.WARNING
    assert "appendfsync everysec" in finding.todo


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


def _worker(host: str, ahead_ms: int | None) -> WorkerInfo:
    return WorkerInfo(host, host, 1, "1", "/", (), NOW, clock_ahead_ms=ahead_ms)


@pytest.mark.parametrize(
    ("ahead_ms", "state", "says"),
    [
        ((0, 20, -40), State.GOOD, "agree"),
        ((None, None), State.GOOD, "no worker has told"),
        ((0, 2_000), State.WARNING, "b is 2.0 s ahead of Redis'"),
        ((-700, 700), State.WARNING, "a is 0.7 s behind Redis', b is 0.7 s ahead of Redis'"),
        ((0, -60_000), State.WRONG, "b is 60.0 s behind"),
    ],
)
def test_clocks_of_workers_are_compared_with_redis_and_with_each_other(
    ahead_ms: tuple[int | None, ...], state: State, says: str
) -> None:
    workers = [_worker(host, ahead) for host, ahead in zip("abc", ahead_ms, strict=False)]
    finding = judge_worker_clocks(workers)
    assert finding.state is state
    assert says in finding.detail


def test_a_worker_whose_machine_has_a_wrong_clock_says_so_itself(site: Site) -> None:
    path = os.pathsep.join((str(SKEWED_CLOCK), site.environment()["PYTHONPATH"]))
    worker = site.start_worker(PYTHONPATH=path, SKEW_S="90")
    until(lambda: (info := site.info(worker)) and info.clock_ahead_ms, "its announcement, with its clock")
    assert 80_000 < site.info(worker).clock_ahead_ms < 91_000
    _, checks = examined(site)
    assert checks["clocks of workers"]["state"] == "wrong"
    assert "ahead of Redis'" in checks["clocks of workers"]["detail"]


def _states(root: Path, **how: Any) -> dict[str, tuple[State, str]]:
    return {finding.name: (finding.state, finding.detail) for finding in look_at_root(root, 1_000_000, **how)[1]}


def test_roots_are_judged(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "runs" / "run-1").mkdir(parents=True)
    assert {name: _states(tmp_path / name)["root"][0] for name in ("missing", "file", "empty", "runs")} == {
        "missing": State.WRONG,
        "file": State.WRONG,
        "empty": State.WARNING,
        "runs": State.GOOD,
    }


def test_run_folders_that_cannot_be_sent_are_named_with_the_reason(tmp_path: Path) -> None:
    generate(tmp_path / "runs", 2)
    (tmp_path / "elsewhere" / "stage1").mkdir(parents=True)
    (tmp_path / "runs" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "runs" / "large" / "stage2").mkdir(parents=True)
    (tmp_path / "runs" / "large" / "stage2" / "trends.json").write_bytes(b" " * 1_000_001)
    found = _states(tmp_path / "runs")
    assert "out of the root" in found["run folders (outside_root)"][1]
    assert "too large" in found["run folders (too_large)"][1]
    assert "4 run folders" in found["root"][1]


def test_folders_that_are_named_nearly_as_a_stage_are_named_with_what_to_do(tmp_path: Path) -> None:
    generate(tmp_path, 2)
    assert "folders of stages" not in _states(tmp_path)
    for name in ("Stage3", "stage03", "Stage 3", "stage6"):
        (tmp_path / "typed-by-hand" / name).mkdir(parents=True)
    state, detail = _states(tmp_path)["folders of stages"]
    assert state is State.WARNING
    assert (
        "4 passed over: typed-by-hand/Stage 3, typed-by-hand/Stage3, typed-by-hand/stage03, and 1 more" in detail
    )


def test_a_tree_that_is_too_large_to_be_read_in_time_is_looked_at_in_part(tmp_path: Path) -> None:
    generate(tmp_path, 5)
    seconds = iter(range(0, 100, 2))
    found = _states(tmp_path, clock_s=lambda: float(next(seconds)))
    assert "5 run folders, of which 2 were read in time" in found["root"][1]


def test_a_pg_dump_that_is_older_than_the_server_is_told_with_what_to_install() -> None:
    address = DatabaseAddress.parse("postgresql://localhost/db")
    dump, restore = judge_programs("99.1", address)
    assert dump.state is restore.state is State.WRONG
    assert "needs pg_dump 99 or later" in dump.detail
    assert "postgresql-client-99" in dump.todo


@pytest.mark.parametrize(
    ("finding", "state", "says"),
    [
        (judge_redis_encryption("rediss://:p@queue:6379/0"), State.GOOD, "encrypted"),
        (judge_redis_encryption("redis://127.0.0.1:6379/0"), State.GOOD, "this machine"),
        (judge_redis_encryption("redis://:secret@queue:6379/0"), State.WARNING, "not encrypted"),
        (judge_redis_encryption("redis://queue:6379/0"), State.WARNING, "needs no password"),
        (
            judge_database_encryption(DatabaseAddress.parse("postgresql://db/x"), encrypted=False),
            State.WARNING,
            "not encrypted",
        ),
        (
            judge_database_encryption(DatabaseAddress.parse("postgresql://db/x"), encrypted=True),
            State.GOOD,
            "encrypted",
        ),
    ],
)
def test_a_way_that_others_can_listen_on_is_told(finding: Any, state: State, says: str) -> None:
    assert finding.state is state
    assert says in finding.detail
    assert "secret" not in f"{finding.detail} {finding.todo}"


@pytest.mark.parametrize(
    ("most", "state"), [(100, State.WRONG), (512, State.WARNING), (65_536, State.GOOD), (-1, State.GOOD)]
)
def test_few_open_files_are_told(most: int, state: State) -> None:
    assert judge_open_files(most).state is state


def test_room_for_a_backup_is_looked_for_where_it_shall_go(site: Site, tmp_path: Path) -> None:
    generate(site.settings.root, 1)
    assert examined(site)[1]["backups"]["state"] == "warning"
    checks = examined(site, "--backup-to", str(tmp_path / "backups"))[1]
    assert "backups" not in checks
    assert "GiB are free at" in checks["disk of backups"]["detail"]


def test_backups_that_can_not_be_asked_for_are_not_said_to_be_missing(site: Site) -> None:
    away = examined(site, "--database-url", "postgresql://nobody@127.0.0.1:1/nothing")[1]
    assert away["PostgreSQL"]["state"] == "wrong"
    assert "backups" not in away


def test_a_disk_with_less_than_is_needed_is_told() -> None:
    finding = judge_free_bytes("disk", Path("/"), 5 * 1024**3, needed_bytes=6 * 1024**3)
    assert finding.state is State.WARNING
    assert "6.0 may be needed" in finding.detail


@pytest.mark.parametrize(("gibibytes", "state"), [(0.1, State.WRONG), (1, State.WARNING), (50, State.GOOD)])
def test_a_disk_that_fills_up_is_told(gibibytes: float, state: State) -> None:
    assert judge_free_bytes("disk", Path("/"), int(gibibytes * 1024**3)).state is state
