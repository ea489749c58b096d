"""The checklist: what a machine can see is seen, and a person's word stands only for the rest."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from broker_bench import eventually
from proof_bench import Ended, Proof

from ops.checklist.command import checklist
from producers.emitter import Emitter
from shared.documents import Document

#: A rehearsal that ended so, so many days ago.
REHEARSED = """
INSERT INTO runferry.rehearsal (finished_at, passed, steps)
VALUES (now() - $2 * interval '1 day', $1, jsonb_build_array(
    jsonb_build_object('step', 'restore', 'seconds', 1, 'passed', $1::boolean, 'detail', 'hashes differ')))
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a repository of its own, with no CI in it."""
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")


def states(ended: Ended) -> dict[str, str]:
    return {point["name"]: point["state"] for point in ended.json["points"]}


def test_a_migrated_tree_passes_what_can_be_seen(migrated: Proof) -> None:
    ended = migrated.invoke(checklist, "--json")
    assert ended.status == 1
    assert states(ended) == {
        "all_runs_migrated": "passed",
        "random_runs_equal": "passed",
        "new_outputs_reach_rows": "not_checkable",
        "api_reads_rows": "not_checkable",
        "reads_and_fallback": "passed",
        "backups_restorable": "not_checkable",
        "backfill_in_ci": "not_checkable",
        "rehearsed": "not_checkable",
    }
    assert ended.json["passed"] is False
    assert migrated.fetch("SELECT passed FROM runferry.checklist_result") == [{"passed": False}]


def test_it_is_green_when_everything_is_seen_or_attested(migrated: Proof) -> None:
    with Emitter(migrated.settings) as emitter:
        emitter.emit("run-000", 3, [Document("universal-lessons.md", b"# New\n")])
    (migrated.root / "run-000" / "stage3" / "universal-lessons.md").write_bytes(b"# New\n")
    Path(".gitlab-ci.yml").write_text("script: make backfill\n")
    migrated.execute(
        """INSERT INTO runferry.backup (made_at, host, folder, manifest, verified_at)
           VALUES (now(), 'h', '/b', '{}', now())"""
    )
    migrated.execute(REHEARSED, True, 0)
    assert migrated.invoke(checklist, "attest", "api_reads_rows", "--note", "looked at five runs").status == 0
    assert eventually(lambda: migrated.fetch("SELECT FROM runferry.ledger WHERE origin = 'pipeline'"))
    ended = migrated.invoke(checklist, "--json")
    assert states(ended) == {
        "all_runs_migrated": "passed",
        "random_runs_equal": "passed",
        "new_outputs_reach_rows": "passed",
        "api_reads_rows": "attested",
        "reads_and_fallback": "passed",
        "backups_restorable": "passed",
        "backfill_in_ci": "passed",
        "rehearsed": "passed",
    }
    assert (ended.status, ended.json["passed"]) == (0, True)
    assert "GREEN" in migrated.invoke(checklist).stdout


def test_a_word_never_stands_against_what_was_seen_and_is_void_after_30_days(migrated: Proof) -> None:
    for point in ("all_runs_migrated", "backups_restorable"):
        assert migrated.invoke(checklist, "attest", point, "--note", "trust me").status == 0
    migrated.run("run-999")
    migrated.execute(
        "UPDATE runferry.attestation SET at = now() - interval '31 days' WHERE point = 'backups_restorable'"
    )
    found = states(migrated.invoke(checklist, "--json"))
    assert found["all_runs_migrated"] == "failed"
    assert found["backups_restorable"] == "not_checkable"


def test_how_to_give_a_word_is_said_once_and_a_rehearsal_is_to_be_made(migrated: Proof) -> None:
    said, _, advice = migrated.invoke(checklist).stdout.partition("NOT GREEN.")
    assert "attest" not in said
    assert advice.count("ops checklist attest") == 1
    points = "new_outputs_reach_rows, api_reads_rows, backups_restorable, backfill_in_ci"
    assert f"POINT is one of: {points}\n" in advice
    assert "ops rehearse\n" in advice


def test_an_attestation_is_told_as_json(migrated: Proof) -> None:
    told = migrated.invoke(checklist, "attest", "api_reads_rows", "--note", " seen ", "--json").json
    kept = migrated.fetch("SELECT who, note FROM runferry.attestation")
    assert told == {"point": "api_reads_rows", **kept[0], "holds_days": 30}
    assert told["note"] == "seen"


def test_damage_and_old_backups_fail(migrated: Proof) -> None:
    migrated.execute("""UPDATE "StageOutput" SET "markdownOutput" = 'x' WHERE "stageNumber" = 3""")
    migrated.execute(
        """INSERT INTO runferry.backup (made_at, host, folder, manifest, verified_at)
           VALUES (now() - interval '2 days', 'h', '/b', '{}', now())"""
    )
    ended = migrated.invoke(checklist, "--json")
    found = states(ended)
    assert (found["random_runs_equal"], found["backups_restorable"]) == ("failed", "failed")
    assert "run-00" in next(
        point["detail"] for point in ended.json["points"] if point["name"] == "random_runs_equal"
    )


def test_a_verified_backup_of_today_counts_though_a_newer_one_is_not_verified(migrated: Proof) -> None:
    insert = """INSERT INTO runferry.backup (made_at, host, folder, manifest, verified_at)
                VALUES (now() - $1::text::interval, 'h', $2, '{}', CASE WHEN $3 THEN now() END)"""
    migrated.execute(insert, "1 minute", "/home/backups/new", False)
    found = next(
        p for p in migrated.invoke(checklist, "--json").json["points"] if p["name"] == "backups_restorable"
    )
    assert found["state"] == "failed"
    assert found["detail"].endswith("verified nor restored: ops backup --to /home/backups --verify")
    migrated.execute(insert, "1 hour", "/backups/old", True)
    assert states(migrated.invoke(checklist, "--json"))["backups_restorable"] == "passed"


def test_the_api_must_show_the_run_and_its_cards(migrated: Proof) -> None:
    def answer(run_id: str) -> object:
        cards = migrated.fetch('SELECT title FROM "OpportunityCard" WHERE "runId" = $1', run_id)
        return {"run": {"id": run_id}, "cards": [{"title": card["title"]} for card in cards]}

    with api(answer) as url:
        assert states(migrated.invoke(checklist, "--json", "--api-url", url))["api_reads_rows"] == "passed"
    with api(lambda run_id: {"id": run_id, "cards": []}) as url:
        ended = migrated.invoke(checklist, "--json", "--api-url", url + "/{run_id}")
        assert states(ended)["api_reads_rows"] == "failed"
    assert migrated.invoke(checklist, "--api-url", "file:///etc/passwd").status == 2


def test_a_rehearsal_that_failed_or_is_old_fails_its_point_and_a_newer_one_mends_it(proof: Proof) -> None:
    proof.execute(REHEARSED, False, 0)
    (point,) = [one for one in proof.invoke(checklist, "--json").json["points"] if one["name"] == "rehearsed"]
    assert (point["state"], "restore: hashes differ" in point["detail"]) == ("failed", True)
    proof.execute("DELETE FROM runferry.rehearsal")
    proof.execute(REHEARSED, True, 31)
    assert states(proof.invoke(checklist, "--json"))["rehearsed"] == "failed"
    proof.execute(REHEARSED, True, 2)
    assert states(proof.invoke(checklist, "--json"))["rehearsed"] == "passed"


def test_runs_that_were_deleted_in_the_web_app_are_no_missing_ones_and_prove_nothing(proof: Proof) -> None:
    proof.run("run-001")
    proof.malformed("run-000")
    assert states(proof.invoke(checklist, "--json"))["all_runs_migrated"] == "failed"
    with proof.worker():
        assert proof.backfill().status == 0
        proof.execute("""DELETE FROM "Run" WHERE id = 'run-001'""")
        points = {one["name"]: one for one in proof.invoke(checklist, "--json").json["points"]}
    assert points["all_runs_migrated"]["state"] == "passed"
    assert "All 2 runs are there, 1 was deleted in the web app" in points["all_runs_migrated"]["detail"]
    assert points["random_runs_equal"]["state"] == "failed"


@contextmanager
def api(answer: object) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answer(self.path.rpartition("/")[2])).encode()  # type: ignore[operator]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/runs"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
