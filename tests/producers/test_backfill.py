"""`producer backfill` on a real tree, real Redis and real PostgreSQL, with a stand-in for the workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from producers.delivery_watch import DeliveryWatch
from producers.worker_processes import WorkerProcesses
from shared import queues
from shared.documents import Document, content_sha256
from shared.errors import SettingsError
from shared.settings import Settings

COMMAND = [sys.executable, "-m", "producers.command"]
TRENDS = {"stage2/trends.json": "{}"}
TRENDS_SHA256 = content_sha256([Document("trends.json", b"{}")])


def waiting(settings: Settings) -> int:
    assert settings.redis_url is not None
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        return int(client.llen(f"{settings.namespace}:{queues.BACKFILL}"))


def test_without_wait_everything_is_published_and_counted(tree: Any, backfill: Any, settings: Settings) -> None:
    for number in range(230):
        tree.write(f"run-{number}", TRENDS | {"stage3/lessons.json": "{}"})
    ended = backfill("--all", "--json")
    assert (ended.status, waiting(settings)) == (0, 230)
    counts = {
        key: ended.json[key] for key in ("runs", "outputs", "published", "skipped", "unsettled", "unreadable")
    }
    assert counts == {
        "runs": 230,
        "outputs": 460,
        "published": 460,
        "skipped": 0,
        "unsettled": 0,
        "unreadable": [],
    }
    assert "applied" not in ended.json


def test_a_run_goes_as_one_message_with_all_it_has_at_its_source(tree: Any, backfill: Any, worker: Any) -> None:
    run = tree.write("run-1")
    (run / "stage4/context.json").write_text("{")
    tree.write("run-2")
    worker.start()
    ended = backfill("--run-id", "run-1", "--wait", "--settle", "1s", "--json")
    assert (ended.status, ended.json["published"], ended.json["applied"]) == (0, 5, 5)
    first, second = worker.messages
    assert [output["stage"] for output in first["outputs"]] == [1, 2, 3, 5]
    assert [output["stage"] for output in second["outputs"]] == [4]
    assert first["hints"] == second["hints"] == {"stages_at_source": [1, 2, 3, 4, 5]}
    assert (first["origin"], first["batch_id"]) == ("backfill", second["batch_id"])


def test_wait_counts_every_verdict_and_names_what_matters(tree: Any, backfill: Any, worker: Any) -> None:
    verdicts = ["applied", "applied", "duplicate", "superseded", "conflict", "dead_lettered", "deleted", "mended"]
    for number, verdict in enumerate(verdicts):
        tree.write(f"run-{number}", TRENDS)
        worker.verdicts[f"run-{number}", 2] = verdict
    worker.gaps["run-0", 2] = ["card 1 is missing", "card 2 is missing"]
    worker.start()
    ended = backfill("--all", "--wait", "--json")
    found = ended.json
    assert {key: found[key] for key in ("applied", "duplicates", "superseded", "conflicts", "dead_lettered")} == {
        "applied": 2,
        "duplicates": 1,
        "superseded": 1,
        "conflicts": 1,
        "dead_lettered": 1,
    }
    assert (found["deleted"], found["mended"], found["in_flight"]) == (1, 1, 0)
    assert found["gaps"] == [
        {"run_id": "run-0", "stage": 2, "gap": "card 1 is missing"},
        {"run_id": "run-0", "stage": 2, "gap": "card 2 is missing"},
    ]
    (dead,) = found["dead_letters"]
    assert (dead["run_id"], dead["stage"], dead["reason"]) == ("run-5", 2, "not_json")
    assert isinstance(dead["id"], int)
    assert sorted(item["verdict"] for item in found["named"]) == ["conflict", "deleted", "mended"]
    assert found["seconds"] > 0
    assert found["runs_per_s"] > 0
    assert ended.status == 1, "a conflict is a difference"


def test_dead_letters_are_accounted_for_unless_it_is_strict(tree: Any, backfill: Any, worker: Any) -> None:
    tree.write("run-1", TRENDS)
    worker.verdicts["run-1", 2] = "dead_lettered"
    worker.start()
    lenient = backfill("--all", "--wait")
    assert lenient.status == 0
    assert "run-1 stage 2: not_json: It is not JSON." in lenient.stdout
    assert "ops dlq show" in lenient.stdout


def test_strict_makes_a_dead_letter_a_difference(tree: Any, backfill: Any, worker: Any) -> None:
    tree.write("run-1", TRENDS)
    worker.verdicts["run-1", 2] = "dead_lettered"
    worker.start()
    assert backfill("--all", "--wait", "--strict").status == 1


def test_unreadable_runs_are_named_and_the_others_go_through(tree: Any, backfill: Any, worker: Any) -> None:
    tree.write("run-1", TRENDS)
    (tree.root / "loop").symlink_to("loop")
    worker.start()
    ended = backfill("--all", "--wait", "--json")
    assert ended.status == 1
    assert ended.json["applied"] == 1
    (fault,) = ended.json["unreadable"]
    assert fault["run_id"] == "loop"
    assert "loop" in fault["reason"]


def test_what_is_unsettled_is_left_out_and_named_without_wait(
    tree: Any, backfill: Any, settings: Settings
) -> None:
    tree.write("run-1", TRENDS)
    tree.write("run-2", TRENDS, at_s=time.time())
    ended = backfill("--all", "--json")
    assert (ended.status, waiting(settings)) == (1, 1)
    assert (ended.json["outputs"], ended.json["published"], ended.json["unsettled"]) == (2, 1, 1)
    assert ended.json["unsettled_outputs"][0]["run_id"] == "run-2"


def test_with_wait_unsettled_outputs_are_read_again_and_sent(tree: Any, backfill: Any, worker: Any) -> None:
    for number in range(3):
        tree.write(f"run-{number}", TRENDS, at_s=time.time())
    worker.start()
    ended = backfill("--all", "--wait", "--settle", "1s", "--json")
    assert ended.status == 0
    assert (ended.json["outputs"], ended.json["applied"], ended.json["unsettled"]) == (3, 3, 0)


def test_a_dry_run_maps_everything_and_needs_no_services(tree: Any, tmp_path: Path) -> None:
    tree.write("run-1")
    tree.write(
        "run-2", {"stage1/inspirations.json": "{", "stage5/opportunity-1.md": "# Only a title\n\n## Problem\nx\n"}
    )
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "producers.command",
            "backfill",
            "--all",
            "--dry-run",
            "--root",
            str(tree.root),
            "--json",
        ],
        env={**environment, "RUNFERRY_HOME": str(tmp_path / "home")},
        capture_output=True,
        check=False,
        timeout=60,
    )

    found = json.loads(ended.stdout)
    assert ended.returncode == 0
    assert found["rows"] == {"Run": 2, "InspirationReport": 1, "StageOutput": 6, "OpportunityCard": 6}
    assert (found["outputs"], found["published"], found["would_publish"]) == (7, 0, 7)
    assert [(bad["run_id"], bad["stage"], bad["reason"]) for bad in found["malformed"]] == [
        ("run-2", 1, "not_json")
    ]
    assert {gap["run_id"] for gap in found["gaps"]} == {"run-2"}
    assert not (tmp_path / "home").exists()


def test_a_strict_dry_run_fails_where_something_would_be_dead_lettered(tree: Any, backfill: Any) -> None:
    tree.write("run-1", {"stage2/trends.json": "{"})
    assert (backfill("--all", "--dry-run").status, backfill("--all", "--dry-run", "--strict").status) == (0, 1)


@pytest.mark.parametrize("how", ["ledger", "mends", "open", "mended", "discarded", "replaying"])
def test_resume_skips_what_is_accounted_for(
    tree: Any, backfill: Any, execute: Any, letter: Any, settings: Settings, how: str
) -> None:
    tree.write("run-1", TRENDS | {"stage3/lessons.json": "{}"})
    if how in ("ledger", "mends"):
        held, mends = (TRENDS_SHA256, []) if how == "ledger" else ("0" * 64, [TRENDS_SHA256])
        execute(
            """
            INSERT INTO runferry.ledger
              (run_id, stage, content_sha256, produced_at, origin, authority, manifest, mends, rows_written,
               batch_id, message_id)
            VALUES ('run-1', 2, $1, now(), 'backfill', 0, '[]', $2, '[]', 'b', 'm')
            """,
            held,
            mends,
        )
    else:
        letter("run-1", 2, TRENDS_SHA256, how)
    ended = backfill("--all", "--resume", "--json")
    assert ended.status == 0
    assert (ended.json["outputs"], ended.json["published"], ended.json["skipped"]) == (2, 1, 1)
    assert waiting(settings) == 1


def test_what_is_in_the_rows_is_sent_as_known(tree: Any, backfill: Any, execute: Any, worker: Any) -> None:
    tree.write("run-1", TRENDS | {"stage3/lessons.json": "{}"})
    execute(
        """
        INSERT INTO runferry.ledger
          (run_id, stage, content_sha256, produced_at, origin, authority, manifest, rows_written, batch_id, message_id)
        VALUES ('run-1', 2, $1, now(), 'backfill', 0, '[]', '[]', 'b', 'm'),
               ('run-1', 3, repeat('0', 64), now(), 'backfill', 0, '[]', '[]', 'b', 'm')
        """,
        TRENDS_SHA256,
    )
    worker.start()
    assert backfill("--all", "--wait", "--json").json["published"] == 2
    (message,) = worker.messages
    assert [(output["stage"], output.get("known")) for output in message["outputs"]] == [(2, True), (3, None)]


@pytest.mark.parametrize("how", ["other_content", "resolved"])
def test_resume_sends_what_is_not(tree: Any, backfill: Any, letter: Any, how: str) -> None:
    tree.write("run-1", TRENDS)
    if how == "resolved":
        letter("run-1", 2, TRENDS_SHA256, "resolved")
    else:
        letter("run-1", 2, "0" * 64, "open")
    assert backfill("--all", "--resume", "--json").json["published"] == 1


def test_limit_reads_so_many_runs(tree: Any, backfill: Any) -> None:
    for number in range(5):
        tree.write(f"run-{number}", TRENDS)
    (tree.root / "latest").symlink_to("run-1")
    ended = backfill("--all", "--limit", "3", "--json")
    assert (ended.status, ended.json["runs"], ended.json["published"]) == (0, 3, 3)


@pytest.mark.parametrize("named", ["user-1", "clerk_1"])
def test_a_user_may_be_named_by_either_id(tree: Any, backfill: Any, worker: Any, execute: Any, named: str) -> None:
    execute(
        """INSERT INTO "User" (id, "clerkId", email, "updatedAt") VALUES ('user-1', 'clerk_1', 'a@b.invalid', now())"""
    )
    tree.write("run-1", TRENDS)
    worker.start()
    assert backfill("--all", "--wait", "--user-id", named, "--prefer", "files").status == 0
    assert worker.messages[0]["hints"]["user_id"] == "user-1"
    assert worker.messages[0]["prefer"] == "files"


def test_an_unknown_user_is_an_error_before_anything_is_published(
    tree: Any, backfill: Any, settings: Settings
) -> None:
    tree.write("run-1", TRENDS)
    ended = backfill("--all", "--user-id", "nobody")
    assert (ended.status, waiting(settings)) == (2, 0)
    assert "no user 'nobody'" in ended.stderr


def test_no_live_worker_is_said_and_given_up(tree: Any, backfill: Any, settings: Settings) -> None:
    tree.write("run-1", TRENDS)
    ended = backfill("--all", "--wait", "--worker-timeout", "7s", "--json")
    assert ended.status == 1
    assert "No live worker for 5 s" in ended.stderr
    assert "`worker`" in ended.stderr
    assert ended.json["in_flight"] == 1
    assert "--worker-timeout" in ended.json["failure"]
    assert waiting(settings) == 1


def test_a_full_queue_without_workers_is_given_up_even_without_wait(
    tree: Any, backfill: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNFERRY_HIGH_WATER_MESSAGES", "2")
    for number in range(5):
        tree.write(f"run-{number}", TRENDS)
    ended = backfill("--all", "--worker-timeout", "6s", "--json")
    assert (ended.status, waiting(settings), ended.json["published"]) == (1, 2, 2)
    assert "No live worker" in ended.stderr


def test_backpressure_lets_everything_through_in_time(
    tree: Any, backfill: Any, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNFERRY_HIGH_WATER_MESSAGES", "10")
    for number in range(100):
        tree.write(f"run-{number}", TRENDS)
    worker.start()
    ended = backfill("--all", "--wait", "--json")
    assert (ended.status, ended.json["applied"], len(worker.messages)) == (0, 100, 100)


def test_messages_that_vanish_are_told(tree: Any, backfill: Any, worker: Any, execute: Any) -> None:
    execute("CREATE RULE swallow AS ON INSERT TO runferry.delivery DO INSTEAD NOTHING")
    tree.write("run-1", TRENDS)
    worker.start()
    ended = backfill("--all", "--wait", "--worker-timeout", "6s", "--json")
    assert ended.status == 1
    assert "another database" in ended.json["failure"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--all"),
        (["--all", "--run-id", "x"], "--all"),
        (["--all", "--rate", "fast"], "no rate"),
        (["--all", "--settle", "soon"], "no duration"),
        (["--all", "--dry-run", "--resume"], "--dry-run"),
        (["--all", "--root", "/does/not/exist"], "does not exist"),
        (["--all", "--redis-url", "redis://127.0.0.1:1/0"], "Redis"),
        (["--all", "--database-url", "postgresql://x:y@127.0.0.1:1/x"], "PostgreSQL"),
    ],
)
def test_mistakes_and_absent_services_are_one_sentence_and_status_2(
    tree: Any, backfill: Any, arguments: list[str], says: str
) -> None:
    tree.write("run-1", TRENDS)
    ended = backfill(*arguments)
    assert ended.status == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_a_database_without_the_schema_is_told_with_the_command(
    tree: Any, backfill: Any, empty_database_url: str, settings: Settings
) -> None:
    tree.write("run-1", TRENDS)
    ended = backfill("--all", "--database-url", empty_database_url)
    assert (ended.status, waiting(settings)) == (2, 0)
    assert "ops schema apply" in ended.stderr


def test_a_tree_without_outputs_is_no_success(tree: Any, backfill: Any) -> None:
    ended = backfill("--all")
    assert ended.status == 1
    assert "No stage output was found" in ended.stdout


def test_folders_that_are_passed_over_and_runs_without_outputs_are_named_with_what_to_do(
    tree: Any, backfill: Any
) -> None:
    tree.write("run-1", TRENDS)
    tree.write("run-2", {"Stage3/lessons.json": "{}", "stage06/lessons.json": "{}"})
    ended = backfill("--all")
    assert ended.status == 0
    assert "2  folders passed over: named nearly as a stage's" in ended.stdout
    assert "Passed over (2):\n  run-2: Stage3 (and 1 more)\n" in ended.stdout
    assert "Without any output (1):\n  run-2\n" in ended.stdout
    assert "stage1 to stage5" in ended.stdout
    ended = backfill("--all", "--json", "--dry-run")
    assert ended.json["passed_over"] == [
        {"run_id": "run-2", "folder": "Stage3"},
        {"run_id": "run-2", "folder": "stage06"},
    ]
    assert ended.json["runs_without_outputs"] == [{"run_id": "run-2"}]


def test_named_runs_that_cannot_be_are_named_and_hold_nobody_back(tree: Any, backfill: Any) -> None:
    tree.write("run-1", TRENDS)
    ended = backfill(
        "--run-id", "run-1", "--run-id", "a/b", "--run-id", "two\nlines", "--run-id", "gone", "--json"
    )
    assert (ended.status, ended.json["published"]) == (1, 1)
    assert [fault["run_id"] for fault in ended.json["unreadable"]] == ["a/b", "two\\nlines", "gone"]


def test_ctrl_c_ends_it_cleanly_and_says_how_to_go_on(
    tree: Any, command: list[str], settings: Settings, until: Callable[..., Any]
) -> None:
    for number in range(50):
        tree.write(f"run-{number}", TRENDS)
    process = subprocess.Popen(
        [*COMMAND, *command, "--all", "--rate", "10/s"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: waiting(settings) >= 2)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "--resume" in stdout
    assert "Traceback" not in stderr
    assert f"{waiting(settings):>9,}  published" in stdout


def test_ctrl_c_while_its_own_workers_end_loses_no_summary(
    tree: Any, backfill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.write("run-1", TRENDS)
    stop = WorkerProcesses.stop

    def interrupted(self: WorkerProcesses, timeout_s: float) -> None:
        signal.raise_signal(signal.SIGINT)
        stop(self, timeout_s)

    monkeypatch.setattr(WorkerProcesses, "stop", interrupted)
    ended = backfill("--all", "--run-workers", "1")
    assert ended.status == 0
    assert f"{1:>9,}  applied" in ended.stdout


def test_workers_of_its_own_that_die_are_told_with_the_end_of_their_log(
    tree: Any, command: list[str], settings: Settings, tmp_path: Path
) -> None:
    tree.write("run-1", TRENDS)
    sick = tmp_path / "sick" / "workers"
    sick.mkdir(parents=True)
    (sick / "__init__.py").write_text("")
    (sick / "command.py").write_text("raise SystemExit('the worker is sick')")
    ended = subprocess.run(
        [*COMMAND, *command, "--all", "--run-workers", "1", "--json"],
        env={**os.environ, "PYTHONPATH": str(sick.parent), "RUNFERRY_HOME": str(settings.home)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1, ended.stderr
    assert "the worker is sick" in ended.stdout


def test_an_error_of_the_follower_ends_the_feed_as_well(
    tree: Any, backfill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The feed asks PostgreSQL on the follower's loop: who left it waiting there would wait for ever."""
    for number in range(50):
        tree.write(f"run-{number:03d}", TRENDS)

    async def refused(_: Any) -> int:
        raise SettingsError("PostgreSQL refuses the password.")

    monkeypatch.setattr(DeliveryWatch, "look", refused)
    ended = backfill("--all", "--wait")
    assert ended.status == 2
    assert "refuses the password" in ended.stderr


def test_the_summary_names_so_many_and_counts_the_rest(tree: Any, backfill: Any) -> None:
    for number in range(30):
        tree.write(f"run-{number}", {"stage2/trends.json": "{"})
    ended = backfill("--all", "--dry-run")
    assert ended.stdout.count("not_json") == 20
    assert "… and 10 more; all of them: producer backfill --all" in ended.stdout
