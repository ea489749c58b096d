"""What is missing is sent again through the queue; what somebody may have meant is left alone."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from proof_bench import OLD_S, Proof

from ops.reconcile import repairing
from shared.reconciling.slices import Named


def test_a_lost_redis_is_recovered_from_files_and_rows_alone(proof: Proof) -> None:
    proof.tree(3)
    proof.malformed("run-002")
    assert proof.backfill("--worker-timeout", "0s").status == 1  # all of it is in the queue, and no worker
    with proof.worker(queue_names=("reconcile",)):
        report = proof.reconcile()
        assert (report.status, report.verdicts) == (0, {"in_flight": 15})
        assert proof.reconcile("--final").status == 1
        proof.lose_redis()
    with proof.worker():
        report = proof.reconcile()
        assert (report.status, report.verdicts) == (1, {"missing": 14, "malformed": 1})
        repaired = proof.reconcile("--repair")
        assert (repaired.status, repaired.verdicts) == (0, {"match": 14, "dead_lettered": 1})


def test_missing_rows_come_back_beside_an_edit_that_stays(migrated: Proof) -> None:
    migrated.execute("""DELETE FROM "OpportunityCard" WHERE "runId" = 'run-000' AND number = 2""")
    migrated.execute(
        """UPDATE "OpportunityCard" SET title = 'Mine', "updatedAt" = timezone('UTC', now())
           WHERE "runId" = 'run-000' AND number = 3"""
    )
    assert migrated.reconcile("--repair").json["repair_sent"] == 1
    cards = migrated.fetch(
        """SELECT number, title FROM "OpportunityCard" WHERE "runId" = 'run-000' ORDER BY number"""
    )
    assert [(card["number"], card["title"]) for card in cards] == [
        (1, "Card 1 of run-000"),
        (2, "Card 2 of run-000"),
        (3, "Mine"),
        (4, "Card 4 of run-000"),
        (5, "Card 5 of run-000"),
    ]


def test_what_differs_is_overwritten_only_when_it_is_named(migrated: Proof) -> None:
    migrated.execute("""UPDATE "OpportunityCard" SET problem = 'x' WHERE "runId" = 'run-000' AND number = 1""")
    left = migrated.reconcile("--repair")
    assert (left.status, left.json["repair_sent"], left.verdicts) == (1, 0, {"match": 14, "differs": 1})
    repaired = migrated.reconcile("--repair=differs")
    assert (repaired.status, repaired.json["repaired"], repaired.verdicts) == (0, 1, {"match": 15})


def test_a_run_deleted_in_the_web_app_comes_back_only_when_it_is_named(migrated: Proof) -> None:
    migrated.execute("""DELETE FROM "Run" WHERE id = 'run-000'""")
    assert migrated.reconcile("--repair").verdicts == {"match": 10, "deleted": 5}
    repaired = migrated.reconcile("--repair=deleted")
    assert (repaired.status, repaired.json["repaired"], repaired.verdicts) == (0, 5, {"match": 15})


def test_a_repair_is_not_applied_to_another_state_than_was_seen(
    migrated: Proof, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrated.write("run-000", 3, "universal-lessons.md", "# New\n", at_s=OLD_S + 50)
    expecting = repairing._expecting

    def after_somebody_else(packed: Any, named: Named) -> Any:
        migrated.execute("UPDATE runferry.ledger SET produced_at = produced_at + interval '1 s' WHERE stage = 3")
        return expecting(packed, named)

    monkeypatch.setattr(repairing, "_expecting", after_somebody_else)
    report = migrated.reconcile("--repair")
    assert (report.status, report.json["repaired"], report.verdicts) == (1, 0, {"match": 14, "stale": 1})
    assert migrated.fetch("SELECT verdicts FROM runferry.delivery WHERE origin = 'repair'") == [
        {"verdicts": '{"3": "outdated"}'}
    ]


def test_a_restored_backup_of_yesterday_is_brought_up_to_date(proof: Proof) -> None:
    proof.tree(2)
    with proof.worker():
        assert proof.backfill().status == 0
        tables = ["ledger", "run", "delivery", "document"]
        for table in tables:
            proof.execute(f"CREATE TABLE saved_{table} AS TABLE runferry.{table}")
        for table in ("Run", "StageOutput", "InspirationReport", "OpportunityCard"):
            proof.execute(f'CREATE TABLE "saved{table}" AS TABLE "{table}"')
        proof.run("run-009", "later")
        proof.write("run-000", 4, "context.json", '{"brand_id": "later"}', at_s=OLD_S + 99)
        assert proof.backfill().status == 0
        assert proof.reconcile().verdicts == {"match": 15}
        proof.execute('DELETE FROM "Run"')
        for table in tables:
            proof.execute(f"TRUNCATE runferry.{table}")
            proof.execute(f"INSERT INTO runferry.{table} SELECT * FROM saved_{table}")
        for table in ("Run", "StageOutput", "InspirationReport", "OpportunityCard"):
            proof.execute(f'INSERT INTO "{table}" SELECT * FROM "saved{table}"')
        report = proof.reconcile()
        assert (report.status, report.verdicts) == (1, {"match": 9, "missing": 5, "stale": 1})
        assert proof.reconcile("--repair").verdicts == {"match": 15}


def test_a_repair_that_is_unknown_is_refused(proof: Proof) -> None:
    ended = proof.reconcile("--repair=in_flight")
    assert (ended.status, ended.stdout) == (2, "")
    assert "--repair does not take in_flight" in ended.stderr


def test_rows_without_files_of_a_run_that_is_repaired_are_named_once(migrated: Proof) -> None:
    shutil.rmtree(migrated.root / "run-000" / "stage5")
    migrated.write("run-000", 3, "universal-lessons.md", "# New\n", at_s=OLD_S + 1)
    report = migrated.reconcile("--repair")
    assert report.verdicts == {"match": 14}
    assert report.named("run_id", "stage", "verdict") == [("run-000", 5, "row_without_files")]
    assert report.json["rows_without_files"] == 1
