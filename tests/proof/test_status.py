"""The migration at a glance: every number is there, and what is away is said without hiding the rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from proof_bench import Proof
from rich.console import Console

from ops.status.command import status
from ops.status.overview import Aged, Database, Overview, Queue, QueueState, Report
from ops.status.screen import screen
from shared.broker.depths import Depth
from shared.broker.holds import Hold
from shared.broker.registry import WorkerInfo, WorkerState

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_json_has_the_keys_that_scripts_rely_on(migrated: Proof) -> None:
    migrated.reconcile()
    migrated.write("run-000", 2, "trends.json", "{")
    migrated.backfill()
    ended = migrated.invoke(status, "--json")
    assert ended.status == 0
    shown = ended.json
    assert shown["phase"] == "dual-write"
    assert shown["rows"] == {"Run": 3, "InspirationReport": 3, "OpportunityCard": 15, "StageOutput": 15}
    assert (shown["ledger"], shown["dead_letters"]) == (15, 1)
    assert shown["dead_letters_by_reason"] == {"not_json": 1}
    assert shown["queues"].keys() == {"live", "backfill", "reconcile"}
    assert shown["queues"]["backfill"].items() >= {"waiting": 0, "in_flight": 0, "delayed": 0, "dead": 0}.items()
    assert [(one["host"], one["state"]) for one in shown["workers"]] == [("host", "running")]
    assert (shown["report"]["balanced"], shown["report"]["verdicts"]) == (True, {"match": 15})
    assert shown["handled_per_s"] > 0


def test_a_proof_of_before_a_rollback_is_told_as_such(migrated: Proof) -> None:
    migrated.reconcile()
    assert not migrated.invoke(status, "--json").json["report"]["rolled_back_since"]
    migrated.execute("INSERT INTO runferry.audit (who, action) VALUES ('me@here', 'rollback begun')")
    assert migrated.invoke(status, "--json").json["report"]["rolled_back_since"]
    assert "Runs were rolled back since; prove it anew with: ops reconcile --all" in migrated.invoke(status).stdout


def test_what_waits_shows_its_age(proof: Proof) -> None:
    proof.tree(1)
    proof.backfill("--worker-timeout", "0s")
    shown = proof.invoke(status, "--json").json
    assert shown["queues"]["backfill"]["waiting"] == 1
    assert 0 <= shown["queues"]["backfill"]["oldest_s"] < 60
    printed = proof.invoke(status).stdout
    assert "none; start them with: worker" in printed
    assert all(line == line.rstrip() for line in printed.splitlines())


def test_a_store_that_is_away_hides_nothing_of_the_other(migrated: Proof) -> None:
    ended = migrated.invoke(status, "--json", "--redis-url", "redis://localhost:1/0")
    assert (ended.status, ended.json["queues"], ended.json["ledger"]) == (1, None, 15)
    ended = migrated.invoke(status, "--database-url", "postgres://x:secret@localhost:1/x")
    assert ended.status == 1
    assert "Nothing answers at localhost:1" in ended.stdout
    assert "secret" not in ended.stdout
    assert "backfill" in ended.stdout


def overview() -> Overview:
    held = Hold("ops@host", "a release is under way", NOW)
    counters = {"applied": 123_456, "duplicate": 789, "superseded": 12, "dead_lettered": 3}
    workers = [
        WorkerInfo(f"w{number}", "worker-7f9c4d.example", 4_000 + number, "1", "/data", ("live", "backfill"), NOW)
        for number in range(10)
    ]
    paused = WorkerInfo(
        "p",
        "h",
        1,
        "1",
        "/d",
        ("live",),
        NOW,
        WorkerState.PAUSED,
        "the disk is full (could not extend file)",
        counters,
    )
    return Overview(
        at=NOW,
        default_phase="dual-write",
        places={"postgresql": "db.example:5432", "redis": "redis.example:6379/0"},
        embedded=False,
        database=Database(
            phase="db-first",
            phase_since=NOW,
            rows={"Run": 20_000, "InspirationReport": 19_998, "OpportunityCard": 99_871, "StageOutput": 98_765},
            ledger=98_765,
            dead_letters={"not_json": 12, "card_without_sections": 3},
            handled_per_s=312.5,
            report=Report(7, timedelta(hours=5), {"all": True}, False, {"match": 98_700, "differs": 2}, 98_702),
            backup=Aged(timedelta(hours=5), good=True),
        ),
        queue=Queue(
            {
                "live": QueueState(Depth(0, 3, 0, 0, 900)),
                "backfill": QueueState(Depth(1_995, 64, 1, 2, 64_000_000), timedelta(minutes=3), held),
            },
            (paused, *workers),
            1,
        ),
    )


def test_the_screen_fits_narrow_and_wide_terminals() -> None:
    for width in (80, 160):
        console = Console(width=width)
        with console.capture() as captured:
            console.print(screen(overview()))
        lines = captured.get().splitlines()
        assert max(map(len, lines)) <= width
        assert len(lines) <= 40
        text = "\n".join(lines)
        for words in (
            "db-first",
            "NOT BALANCED 5 h ago",
            "2 differs",
            "1,995",
            "3 min",
            "12 not_json",
            "… and 3 more",
            "no scheduler; start one with: worker --scheduler",
            "Backup     5 h ago, verified",
        ):
            assert words in text
        assert "paused: the disk is full" in text
        assert "Held       backfill by ops@host: a release is under way" in text
