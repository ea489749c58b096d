"""`--no-wait`: the command leaves, and whoever looks at the report finishes it; it can fail as any other."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import pytest
from broker_bench import eventually
from proof_bench import Proof

from ops.command import main as operator
from ops.reconcile import portions
from ops.reconcile.finishing import finish_reports
from ops.reconcile.progress import ReconcileProgress
from ops.reconcile.proving import Proving
from ops.reconcile.queries import QUERIES as RECONCILE
from ops.reconcile.report import Ending
from shared.database import connect
from shared.database_url import DatabaseAddress
from shared.errors import QueueAway
from shared.reconciling.slices import Answer
from workers.held_state import QUERIES


@pytest.fixture
def left(proof: Proof) -> int:
    """A report that was asked for, and left before any worker was there; in two slices."""
    proof.tree(3)
    (proof.root / "run-009" / "stage1").mkdir(parents=True)
    (proof.root / "run-009" / "stage1" / "out.md").symlink_to("/etc/hostname")
    asked = proof.reconcile("--no-wait")
    assert (asked.status, asked.json["finished"]) == (0, False)
    assert (asked.json["outputs_on_disk"], asked.json["slices"]) == (16, 2)
    report_id: int = asked.json["report_id"]
    return report_id


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "_SLICE_RUNS", 2)


def answered(proof: Proof) -> None:
    with proof.worker():
        proof.settle()


def test_the_report_ends_up_in_the_history_once_the_workers_are_done(proof: Proof, left: int) -> None:
    (report,) = proof.reconcile("--history").json
    assert (report["id"], report["finished_at"]) == (left, None)
    unfinished = proof.reconcile("--report", left)
    assert (unfinished.status, unfinished.stdout) == (2, "")
    assert "0 of 2 slices are answered" in unfinished.stderr
    assert proof.fetch(QUERIES["left_reports"]) == []

    answered(proof)
    assert proof.fetch(QUERIES["left_reports"]) == [{"id": left}]
    (report,) = proof.reconcile("--history").json
    assert report["verdicts"] == {"missing": 15, "unreadable": 1}
    assert (report["balanced"], report["outputs_on_disk"], report["runs"]) == (False, 16, 4)
    shown = proof.reconcile("--report", left)
    assert shown.status == 1
    assert len(shown.json["named"]) == 16
    text = proof.invoke_text("--report", left)
    assert "16  outputs on disk" in text
    assert "… and 5 more that are missing" in text
    assert "ops reconcile --all --root" in text
    assert [
        proof.fetch(f"SELECT count(*) AS n FROM runferry.reconcile_{one}") for one in ("question", "answer")
    ] == [
        [{"n": 0}],
        [{"n": 0}],
    ]


def test_a_role_that_may_only_read_sees_the_history_and_leaves_reports_to_others(proof: Proof, left: int) -> None:
    answered(proof)
    begun = proof.fetch(
        "INSERT INTO runferry.reconcile_report (started_at, scope) VALUES (now(), '{}') RETURNING id"
    )
    url = proof.settings.database_url.get_secret_value()
    proof.execute(
        "CREATE ROLE only_reads LOGIN PASSWORD 'only_reads'; GRANT USAGE ON SCHEMA runferry TO only_reads;"
        "GRANT SELECT ON ALL TABLES IN SCHEMA runferry TO only_reads"
    )
    address = ("--database-url", f"postgresql://only_reads:only_reads@{url.partition('@')[2]}")
    try:
        listed = proof.reconcile("--history", *address)
        shown = proof.reconcile("--report", left, *address)
    finally:
        proof.execute("DROP OWNED BY only_reads; DROP ROLE only_reads")
    assert listed.status == 0
    assert [(one["id"], one["finished_at"]) for one in listed.json] == [(begun[0]["id"], None), (left, None)]
    assert "the role 'only_reads' may only read: permission denied" in listed.stderr
    assert (shown.status, shown.stdout) == (2, "")
    assert "the role 'only_reads' may not end it" in shown.stderr


def test_it_is_green_where_all_is_well_and_says_final_only_where_that_was_asked(migrated: Proof) -> None:
    asked = migrated.reconcile("--no-wait", "--final")
    migrated.settle()
    shown = migrated.reconcile("--report", asked.json["report_id"])
    assert (shown.status, shown.json["verdicts"], shown.json["final"]) == (0, {"match": 15}, True)
    migrated.write("run-000", 3, "universal-lessons.md", "# Old\n", at_s=1)
    asked = migrated.reconcile("--no-wait", "--final")
    migrated.settle()
    assert migrated.reconcile("--report", asked.json["report_id"]).status == 1


def test_what_redis_lost_is_never_answered_and_the_report_says_so(proof: Proof, left: int) -> None:
    proof.lose_redis()
    assert "2 of 2 slices were never answered" in proof.reconcile("--report", left).stderr
    (report,) = proof.reconcile("--history").json
    assert "Redis lost them" in report["error"]


def test_a_worker_that_saw_another_tree_fails_the_report_afterwards(
    proof: Proof, left: int, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(proof.root, old, symlinks=True)
    proof.write("run-001", 3, "universal-lessons.md", "# Newer than the copy\n")
    proof.lose_redis()
    report_id = proof.reconcile("--no-wait").json["report_id"]
    moved = proof.root.rename(tmp_path / "moved")
    with proof.worker(root=old):
        proof.settle()
    assert f"finish it where {proof.root} is seen" in proof.reconcile("--report", report_id).stderr
    moved.rename(proof.root)
    ended = proof.reconcile("--report", report_id)
    assert ended.status == 2
    assert "sees other files in run-001/stage3" in ended.stderr


def test_a_report_whose_command_was_killed_is_named_so(proof: Proof) -> None:
    proof.execute("INSERT INTO runferry.reconcile_report (started_at, scope) VALUES (now(), $1)", '{"root": "/x"}')
    (report,) = proof.reconcile("--history").json
    assert report["error"].startswith("Its command ended without a word")


def test_what_is_still_being_written_is_asked_again_by_whoever_finishes(migrated: Proof) -> None:
    migrated.write("run-000", 3, "universal-lessons.md", "# New\n", at_s=migrated.now_s())
    asked = migrated.reconcile("--no-wait", "--settle", "1s")
    migrated.settle()
    assert eventually(lambda: migrated.fetch(QUERIES["left_reports"]))
    assert migrated.reconcile("--report", asked.json["report_id"]).json["verdicts"] == {"match": 14, "stale": 1}


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), QueueAway("Redis is away.")], ids=["Ctrl-C", "Redis"])
def test_who_is_stopped_while_he_finishes_leaves_the_report_to_the_next(
    migrated: Proof, monkeypatch: pytest.MonkeyPatch, trouble: BaseException
) -> None:
    migrated.write("run-000", 3, "universal-lessons.md", "# New\n", at_s=migrated.now_s())
    report_id = migrated.reconcile("--no-wait", "--settle", "1s").json["report_id"]
    migrated.settle()
    with monkeypatch.context() as patched:
        patched.setattr(Proving, "conclude", _raising(trouble))
        stopped = migrated.invoke(operator, "reconcile", "--report", report_id)
    assert (stopped.status, stopped.stdout) == (130 if isinstance(trouble, KeyboardInterrupt) else 2, "")
    # An answer to what the first one asked comes late; the question was another one.
    late = Answer({}, (), ())
    migrated.execute(
        "INSERT INTO runferry.reconcile_answer (report_id, slice, worker, answer) VALUES ($1, 3, 'late', $2)",
        report_id,
        orjson.dumps(late.to_json()).decode(),
    )
    assert migrated.reconcile("--report", report_id).json["verdicts"] == {"match": 14, "stale": 1}


def test_behind_a_pooler_a_lock_that_a_session_kept_is_no_reason_to_wait(proof: Proof, left: int) -> None:
    answered(proof)
    assert proof.settings.database_url is not None
    address = DatabaseAddress.parse(proof.settings.database_url.get_secret_value())

    async def finish_while_held() -> dict[int, str]:
        holder, connection = [await connect(address, proof.settings) for _ in range(2)]
        assert await holder.fetchval(RECONCILE["hold_report"], left)
        try:
            with ReconcileProgress() as progress:
                return await finish_reports(
                    connection, proof.broker(), proof.settings, progress, left, keeps_locks=False
                )
        finally:
            await holder.close()
            await connection.close()

    assert asyncio.run(finish_while_held()) == {}
    assert proof.reconcile("--report", left).status == 1


def _raising(trouble: BaseException) -> Callable[[Proving], Awaitable[Ending]]:
    async def conclude(_: Proving) -> Ending:
        raise trouble

    return conclude


def test_no_outputs_are_no_success_here_either(proof: Proof) -> None:
    ended = proof.reconcile("--no-wait")
    assert (ended.status, ended.stdout) == (2, "")
    assert "No stage output was found" in ended.stderr
    assert "There is no report #77" in proof.reconcile("--report", 77).stderr
