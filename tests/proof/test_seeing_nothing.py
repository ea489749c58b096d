"""The proof can't pass by seeing nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from proof_bench import Proof

from ops.reconcile import portions, survey
from shared import queues
from shared.broker.broker import RunferryBroker
from shared.errors import QueueAway
from shared.reconciling.slices import Answer, Slice
from shared.reconciling.verdicts import Standing
from workers.reconciling import observer, reconciler


def test_no_outputs_are_no_success(proof: Proof) -> None:
    ended = proof.reconcile()
    assert ended.status == 2
    assert ended.stdout == ""
    assert "No stage output was found" in ended.stderr


def test_a_root_that_is_not_there_is_an_error(proof: Proof) -> None:
    ended = proof.reconcile("--root", proof.root / "nowhere")
    assert (ended.status, ended.stdout) == (2, "")
    assert "does not exist" in ended.stderr


def test_runs_that_are_not_there_are_an_error(migrated: Proof) -> None:
    ended = migrated.reconcile("--run-id", "run-999")
    assert ended.status == 2
    assert "None of these runs has an output" in ended.stderr


def test_without_a_worker_it_says_so_and_gives_up(proof: Proof) -> None:
    proof.tree(1)
    ended = proof.reconcile("--worker-timeout", "6s")
    assert (ended.status, ended.stdout) == (2, "")
    assert "No live worker for 5 s: start one with `worker`" in ended.stderr
    assert "No live worker for 6 s (--worker-timeout)" in ended.stderr
    assert proof.reconcile("--history").json[0]["error"].startswith("No live worker")


def test_workers_of_other_queues_are_no_workers(proof: Proof) -> None:
    proof.tree(1)
    with proof.worker(queue_names=(queues.LIVE, queues.BACKFILL)):
        assert proof.reconcile("--worker-timeout", "2s").status == 2


def test_a_worker_that_sees_an_empty_mount_is_an_error_and_nothing_is_missing(
    migrated: Proof, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr(reconciler.Reconciler, "_root", lambda _self, _question: empty)
    ended = migrated.reconcile()
    assert (ended.status, ended.stdout) == (2, "")
    assert "does not see run-00" in ended.stderr
    monkeypatch.setattr(reconciler.Reconciler, "_root", lambda _self, _question: None)
    assert "It sees no run folders in" in migrated.reconcile().stderr


def test_a_worker_that_sees_an_old_copy_is_an_error(
    migrated: Proof, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old"
    shutil.copytree(migrated.root, old)
    migrated.write("run-001", 3, "universal-lessons.md", "# Newer than the copy\n")
    monkeypatch.setattr(reconciler.Reconciler, "_root", lambda _self, _question: old)
    ended = migrated.reconcile()
    assert (ended.status, ended.stdout) == (2, "")
    assert "sees other files in run-001/stage3" in ended.stderr


def test_a_worker_may_see_the_same_tree_at_another_path(
    proof: Proof, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof.tree(1)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(proof.root, elsewhere)
    to_wire = Slice.to_wire
    monkeypatch.setattr(Slice, "to_wire", lambda self: {**to_wire(self), "root": "/not/mounted/here"})
    with proof.worker(root=elsewhere):
        assert proof.reconcile().verdicts == {"missing": 5}


def test_an_output_without_an_answer_unbalances_the_sum(migrated: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = survey.Answer.from_json

    def forgetful(value: object) -> Answer:
        answer = whole(value)
        return Answer({run_id: {} for run_id in answer.standings}, answer.named)

    monkeypatch.setattr(survey.Answer, "from_json", forgetful)
    ended = migrated.reconcile()
    assert ended.status == 1
    assert (ended.json["outputs_on_disk"], ended.json["verdicts"], ended.json["balanced"]) == (15, {}, False)
    assert "15  without a verdict: the sum does not hold" in migrated.report()


@pytest.mark.parametrize("step", ["judge", "map_output"])
def test_a_worker_that_cannot_judge_is_an_error(
    migrated: Proof, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(observer, step, lambda *_a, **_k: broken())
    ended = migrated.reconcile()
    assert (ended.status, ended.stdout) == (2, "")
    assert "could not judge: ZeroDivisionError: a defect" in ended.stderr


def test_a_file_that_was_removed_meanwhile_is_no_output_any_more(
    migrated: Proof, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = survey.message_of

    def remove_first(asked: Slice) -> object:
        shutil.rmtree(migrated.root / "run-001" / "stage3", ignore_errors=True)
        return message(asked)

    monkeypatch.setattr(survey, "message_of", remove_first)
    report = migrated.reconcile()
    assert (report.status, report.verdicts) == (0, {"match": 14})


def test_questions_of_a_command_that_gave_up_are_not_answered(proof: Proof) -> None:
    proof.tree(1)
    assert proof.reconcile("--worker-timeout", "0s").status == 2
    with proof.worker():
        assert proof.reconcile().verdicts == {"missing": 5}
    assert proof.fetch("SELECT count(*) AS n FROM runferry.reconcile_answer") == [{"n": 0}]


def test_every_verdict_has_a_meaning_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "proof.md").read_text()
    for standing in Standing:
        assert f"| `{standing.value}` |" in text


def test_a_slice_is_bounded_in_bytes_as_well(migrated: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "_SLICE_BYTES", 1)
    asked: list[int] = []
    message = survey.message_of

    def counted(question: Slice) -> object:
        asked.append(len(question.runs))
        return message(question)

    monkeypatch.setattr(survey, "message_of", counted)
    assert migrated.reconcile().verdicts == {"match": 15}
    assert asked == [1, 1, 1]


def test_a_redis_that_is_away_for_a_moment_is_waited_for(migrated: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
    in_flight_many = RunferryBroker.in_flight_many
    calls: list[object] = []

    def flaky(self: RunferryBroker, run_ids: object) -> object:
        calls.append(run_ids)
        if len(calls) == 1:
            raise QueueAway("Redis is away")
        return in_flight_many(self, run_ids)

    monkeypatch.setattr(RunferryBroker, "in_flight_many", flaky)
    report = migrated.reconcile()
    assert (report.status, report.verdicts) == (0, {"match": 15})
    assert len(calls) > 1
