"""`ops dlq replay` and `edit`, with a real worker."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta

import dramatiq
import pytest

from ops.dlq.editor import put
from ops.dlq.following import Follower
from shared import queues
from shared.broker.broker import make_broker
from shared.broker.encoder import ENCODER
from shared.broker.holds import Hold, Holds
from shared.broker.registry import WorkerInfo, WorkerState
from shared.contract import Origin, OutputBody, StageOutputsMessage, to_wire
from shared.dead_letters.evidence import evidence_of, letter_of_bytes, payload_of
from shared.dead_letters.letter import Delivery
from shared.dead_letters.recording import record
from shared.documents import Document
from shared.errors import Malformed, Place
from shared.ids import Stage
from shared.reasons import Reason

INSPIRATION = '{"title": "T", "content": "C", "key_elements": ["a"]}'
GOOD = f'{{"inspirations": [{INSPIRATION}, {INSPIRATION}]}}'
BAD = GOOD.replace('"C"', "NaN")

REPLAY_KEYS = {"replayed", "committed", "duplicates", "superseded", "died_again"}


@pytest.fixture
def broker(settings):
    broker = make_broker(settings.redis_url.get_secret_value(), settings)
    yield broker
    broker.close()


def titles(letters):
    return [row["inspiration1Content"] for row in letters.fetch('SELECT * FROM "InspirationReport"')]


def test_a_letter_whose_code_was_mended_is_committed_and_resolved(ops_dlq, letters, letter, worker):
    (letter_id,) = letters.file(letter(text=GOOD))

    ended = ops_dlq("replay", letter_id, "--wait", "--json")

    assert ended.status == 0
    assert ended.json.keys() >= REPLAY_KEYS
    assert (ended.json["replayed"], ended.json["committed"], ended.json["died_again"]) == (1, 1, [])
    row = letters.one(letter_id)
    assert (row["state"], row["replays"]) == ("resolved", 1)
    assert [line["what"] for line in row["history"]] == ["died", "replaying", "resolved"]
    assert titles(letters) == ["C"]
    (ledger,) = letters.fetch("SELECT * FROM runferry.ledger")
    assert (ledger["produced_at"], ledger["origin"]) == (row["produced_at"], "backfill")


def test_a_letter_that_dies_again_is_the_same_letter_with_one_more_line(ops_dlq, letters, letter, worker):
    dead, _ = letters.file(letter(text=BAD), letter("run-2", text=GOOD))

    ended = ops_dlq("replay", "--all", "--wait", "--json")

    assert ended.status == 1
    assert (ended.json["replayed"], ended.json["committed"], ended.json["died_again"]) == (2, 1, [dead])
    assert len(letters.all()) == 2
    row = letters.one(dead)
    assert (row["state"], row["replays"], row["origin"], row["reason"]) == (
        "open",
        1,
        "backfill",
        "json_not_finite",
    )
    assert [line["what"] for line in row["history"]] == ["died", "replaying", "died_again"]
    again = ops_dlq("replay", dead, "--wait", "--json")
    assert (again.status, again.json["died_again"], letters.one(dead)["replays"]) == (1, [dead], 2)


def test_a_replay_never_overwrites_a_newer_row(ops_dlq, letters, letter, worker, broker):
    old = letter(text=GOOD.replace('"C"', '"old"'))
    (letter_id,) = letters.file(old)
    newer = letter(text=GOOD, produced_at=old.produced_at + timedelta(hours=1))
    # Filed and replayed too, so that the newer row is there before the older letter is replayed.
    (newer_id,) = letters.file(newer)
    assert ops_dlq("replay", newer_id, "--wait").status == 0
    letters.execute("UPDATE runferry.dead_letter SET state = 'open' WHERE id = $1", letter_id)

    ended = ops_dlq("replay", letter_id, "--wait", "--json")

    assert (ended.status, ended.json["superseded"], ended.json["committed"]) == (0, 1, 0)
    assert titles(letters) == ["C"]
    assert letters.one(letter_id)["state"] == "resolved"


def test_a_replayed_pipeline_output_keeps_its_authority(ops_dlq, letters, letter, worker):
    (letter_id,) = letters.file(letter(text=GOOD, origin=Origin.PIPELINE))
    ops_dlq("replay", letter_id, "--wait")
    (ledger,) = letters.fetch("SELECT * FROM runferry.ledger")
    assert (ledger["origin"], ledger["authority"]) == ("pipeline", 2)


def test_a_file_mended_on_disk_mends_the_letter_and_the_old_output_never_dies_anew(
    ops_dlq, letters, letter, worker, folders, broker
):
    bad = letter(text=BAD)
    (letter_id,) = letters.file(bad)
    path = folders.write("run-1", 1, "inspirations.json", GOOD)
    os.utime(path, (1_767_400_000, 1_767_400_000))

    ended = ops_dlq("replay", letter_id, "--from-disk", "--wait", "--json")

    assert (ended.status, ended.json["committed"]) == (0, 1)
    assert letters.one(letter_id)["state"] == "mended"
    assert [line["what"] for line in letters.one(letter_id)["history"]] == ["died", "reread", "mended"]
    (ledger,) = letters.fetch("SELECT * FROM runferry.ledger")
    assert ledger["produced_at"].timestamp() == 1_767_400_000
    assert ledger["mends"] == [bad.content_sha256]
    # The bad output again, as the next backfill of an old copy would send it.
    letters.file(bad)
    assert (letters.one(letter_id)["state"], len(letters.all())) == ("mended", 1)


def test_a_file_that_is_still_bad_is_a_letter_of_its_own_until_the_third_try_mends_both(
    ops_dlq, letters, letter, worker, folders
):
    (first,) = letters.file(letter(text=BAD))
    folders.write("run-1", 1, "inspirations.json", "[")
    assert ops_dlq("replay", first, "--from-disk", "--wait").status == 1
    states = {row["id"]: row["state"] for row in letters.all()}
    assert (len(states), set(states.values())) == (2, {"open"})

    folders.write("run-1", 1, "inspirations.json", GOOD)
    second = max(states)
    assert ops_dlq("replay", second, "--from-disk", "--wait").status == 0

    assert [row["state"] for row in letters.all()] == ["mended", "mended"]


def test_documents_that_are_not_on_disk_are_named_and_the_others_go_on(ops_dlq, letters, letter, worker, folders):
    there, away = letters.file(letter(text=BAD), letter("run-2", text=BAD))
    folders.write("run-1", 1, "inspirations.json", GOOD)

    ended = ops_dlq("replay", "--all", "--from-disk", "--wait", "--json")

    assert (ended.status, ended.json["committed"]) == (1, 1)
    assert [named["id"] for named in ended.json["unreplayable"]] == [away]
    assert (letters.one(there)["state"], letters.one(away)["state"]) == ("mended", "open")


def test_of_many_letters_that_are_not_sent_the_first_are_named_and_json_has_all(ops_dlq, letters, letter, folders):
    letters.file(*(letter(f"run-{number}", text=BAD) for number in range(22)))

    ended = ops_dlq("replay", "--all", "--from-disk")
    assert (ended.status, ended.stderr.count(" was not sent: ")) == (1, 20)
    assert "2 more were not sent; `ops dlq list` shows what waits" in ended.stderr

    ended = ops_dlq("replay", "--all", "--from-disk", "--json")
    assert len(ended.json["unreplayable"]) == 22


def test_a_dry_run_judges_by_todays_code_and_publishes_nothing(ops_dlq, letters, letter, folders, broker):
    good, bad = letters.file(letter(text=GOOD), letter("run-2", text=BAD))

    ended = ops_dlq("replay", "--all", "--dry-run", "--json")

    assert ended.json["would_pass"] == [good]
    (failing,) = ended.json["would_fail"]
    assert (failing["id"], failing["reason"]) == (bad, "json_not_finite")
    assert broker.depths()[queues.BACKFILL].pending == 0
    assert [(row["state"], row["replays"]) for row in letters.all()] == [("open", 0)] * 2

    folders.write("run-2", 1, "inspirations.json", GOOD)
    assert ops_dlq("replay", bad, "--dry-run", "--from-disk", "--json").json["would_pass"] == [bad]


def test_replaying_everything_must_be_said(ops_dlq, letters, letter):
    letters.file(letter())
    for arguments in (["replay"], ["replay", "--dry-run"], ["discard", "--reason", "x", "--yes"]):
        ended = ops_dlq(*arguments)
        assert (ended.status, "--all" in ended.stderr) == (2, True)
    assert ops_dlq("replay", 1, "--all").status == 2
    unknown = ops_dlq("replay", 1, 77, 78)
    assert (unknown.status, "77, 78" in unknown.stderr) == (2, True)


def test_a_letter_that_is_in_the_queue_is_not_sent_twice(ops_dlq, letters, letter, broker):
    (letter_id,) = letters.file(letter(text=GOOD))

    first = ops_dlq("replay", letter_id, "--json")
    second = ops_dlq("replay", letter_id, "--json")

    assert (first.json["replayed"], first.json["committed"]) == (1, None)
    assert (second.json["replayed"], second.json["in_flight"]) == (0, [letter_id])
    assert broker.depths()[queues.BACKFILL].waiting == 1
    assert (letters.one(letter_id)["state"], letters.one(letter_id)["replays"]) == ("replaying", 1)


def backfilled(run_id, at):
    """The message by which a backfill carries a stage 1 that is good."""
    output = OutputBody.of(Stage.INSPIRATIONS, (Document("inspirations.json", GOOD.encode()),), at)
    message = StageOutputsMessage(
        run_id=run_id, publisher="p", published_at=at, origin=Origin.BACKFILL, batch_id="b", outputs=(output,)
    )
    return dramatiq.Message(queues.BACKFILL, queues.WRITE_BACKFILL, (), {"message": to_wire(message)}, options={})


def test_an_output_that_a_backfill_has_queued_is_not_replayed_beside_it(ops_dlq, letters, letter, broker):
    bad = letter(text=GOOD)
    (letter_id,) = letters.file(bad)
    broker.enqueue(backfilled("run-1", bad.produced_at))
    assert ops_dlq("replay", letter_id, "--json").json["in_flight"] == [letter_id]


def test_a_replay_whose_message_was_lost_can_be_replayed_again(ops_dlq, letters, letter, broker, worker):
    (letter_id,) = letters.file(letter(text=GOOD))
    letters.execute("UPDATE runferry.dead_letter SET state = 'replaying', replays = 1")
    assert ops_dlq("replay", "--all", "--wait").status == 0
    assert (letters.one(letter_id)["state"], letters.one(letter_id)["replays"]) == ("resolved", 2)


def test_when_redis_is_away_the_letter_stays_dead(ops_dlq, letters, letter):
    (letter_id,) = letters.file(letter(text=GOOD))
    ended = ops_dlq("replay", letter_id, "--redis-url", "redis://127.0.0.1:9/0")
    assert (ended.status, "127.0.0.1:9" in ended.stderr) == (2, True)
    assert (letters.one(letter_id)["state"], letters.one(letter_id)["replays"]) == ("open", 0)


def test_a_canary_that_dies_stops_the_replay(ops_dlq, letters, letter, worker, broker):
    dead, *others = letters.file(letter(text=BAD), *(letter(f"good-{n}", text=GOOD) for n in range(3)))

    ended = ops_dlq("replay", "--all", "--canary", 1, "--wait", "--json")

    assert (ended.status, ended.json["replayed"], ended.json["died_again"]) == (1, 1, [dead])
    assert ended.json["stopped"]
    assert [letters.one(letter_id)["state"] for letter_id in others] == ["open"] * 3


def test_a_canary_that_lives_lets_the_others_follow(ops_dlq, letters, letter, worker):
    letters.file(*(letter(f"good-{n}", text=GOOD) for n in range(4)))
    ended = ops_dlq("replay", "--all", "--canary", 2, "--rate", "20/s", "--wait", "--json")
    assert (ended.status, ended.json["committed"], ended.json["stopped"]) == (0, 4, None)


def test_without_a_worker_the_wait_says_so_and_ends(ops_dlq, letters, letter):
    (letter_id,) = letters.file(letter(text=GOOD))
    ended = ops_dlq("replay", letter_id, "--wait", "--worker-timeout", "1s", "--json")
    assert (ended.status, ended.json["pending"]) == (1, 1)
    assert "worker" in ended.stderr
    assert letters.one(letter_id)["state"] == "replaying"


def test_waiting_for_a_held_queue_says_who_holds_it(broker, settings, monkeypatch):
    Holds(broker.client, settings.namespace).put(queues.BACKFILL, Hold("me@here", "a night", datetime.now(UTC)))
    message = dramatiq.Message(queues.BACKFILL, queues.WRITE_BACKFILL, (), {"message": {}}, {})
    broker.declare_queue(queues.BACKFILL)
    broker.enqueue(message)
    at_work = WorkerInfo(
        worker_id="w",
        host="h",
        pid=1,
        version="0",
        root="/",
        queues=(queues.BACKFILL,),
        started_at=datetime.now(UTC),
        state=WorkerState.RUNNING,
    )
    monkeypatch.setattr(broker, "live_workers", lambda: [at_work])
    said = []
    follower = Follower(None, broker, "batch", worker_timeout_s=60, own_workers=False, say=said.append)
    assert not asyncio.run(follower.gives_up(1))
    assert said == ["The queue backfill is held by me@here: a night. Let it go on with: ops resume backfill"]


def test_a_whole_message_that_is_understood_by_now_is_replayed(ops_dlq, letters, letter, worker, in_database):
    plain = letter(text=GOOD)
    output = OutputBody.of(Stage.INSPIRATIONS, (Document("inspirations.json", GOOD.encode()),), plain.produced_at)
    wire = (
        b'{"schema_version": 1, "kind": "stage_outputs", "run_id": "run-9", "publisher": "p", "origin": "pipeline",'
        b'"published_at": "2026-01-01T00:00:00Z", "batch_id": "b", "outputs": [' + payload_of(output) + b"]}"
    )
    evidence = evidence_of(Malformed(Reason.MESSAGE_VERSION, "newer"))
    delivery = Delivery("", "m", "live", 1, plain.produced_at, plain.produced_at)
    letters.run(lambda c: record(c, [letter_of_bytes(wire, evidence, delivery, run_id="run-9")]))

    ended = ops_dlq("replay", "--all", "--wait", "--json")

    assert (ended.status, ended.json["committed"]) == (0, 1)
    assert [row["state"] for row in letters.all()] == ["resolved"]


def test_the_bytes_of_a_message_that_hold_its_documents_as_bytes_are_replayed(ops_dlq, letters, letter, worker):
    plain = letter(text=GOOD)
    sent = backfilled("run-9", plain.produced_at)
    evidence = evidence_of(Malformed(Reason.MESSAGE, "It could not be written as JSON."))
    delivery = Delivery("", "m", "live", 1, plain.produced_at, plain.produced_at)
    raw = letter_of_bytes(ENCODER.encode(sent.asdict()), evidence, delivery, run_id="run-9")
    letters.run(lambda c: record(c, [raw]))

    ended = ops_dlq("replay", "--all", "--wait", "--json")

    assert (ended.status, ended.json["committed"]) == (0, 1)
    assert [row["state"] for row in letters.all()] == ["resolved"]


def test_a_whole_message_that_may_not_be_written_waits_again(ops_dlq, letters, letter, worker):
    """It holds the only copy of its output: a run that the web app deleted is not brought back, and nothing is lost."""
    plain = letter(text=GOOD)
    evidence = evidence_of(Malformed(Reason.MESSAGE, "It could not be written as JSON."))
    delivery = Delivery("", "m", "live", 1, plain.produced_at, plain.produced_at)
    for state, status in (("resolved", 0), ("open", 1)):
        data = ENCODER.encode(backfilled("run-9", plain.produced_at).asdict())
        letters.run(lambda c, data=data: record(c, [letter_of_bytes(data, evidence, delivery, run_id="run-9")]))
        assert ops_dlq("replay", "--all", "--wait", "--json").status == status
        (found,) = letters.fetch("SELECT state, history FROM runferry.dead_letter ORDER BY id DESC LIMIT 1")
        assert found["state"] == state
        letters.execute("""DELETE FROM "Run" WHERE id = 'run-9'""")
    assert '"verdict": "deleted"' in str(found["history"]) or "'verdict': 'deleted'" in str(found["history"])


def test_bytes_that_are_no_message_are_shown_and_refused(ops_dlq, letters, letter):
    at = letter().produced_at
    evidence = evidence_of(Malformed(Reason.MESSAGE, "The bytes are no message."))
    raw = letter_of_bytes(b"\x00\xff garbage", evidence, Delivery("", "", "live", 1, at, at))
    letters.run(lambda c: record(c, [raw]))

    shown = ops_dlq("show", 1)
    ended = ops_dlq("replay", 1, "--json")

    assert "garbage" in shown.stdout
    assert "\x00" not in shown.stdout
    assert (ended.status, ended.json["unreplayable"][0]["id"]) == (1, 1)


def test_edit_mends_the_document_and_the_original_stays(ops_dlq, letters, letter, worker, monkeypatch):
    error = Malformed(Reason.JSON_NOT_FINITE, "NaN", Place("inspirations.json", 1, 40))
    bad = letter(text=BAD, error=error)
    (letter_id,) = letters.file(bad)
    monkeypatch.setenv("EDITOR", 'sed -i s/NaN/\\"mended\\"/g')

    ended = ops_dlq("edit", letter_id, "--yes", "--wait", "--json")

    assert (ended.status, ended.json["outcome"]) == (0, "applied")
    assert any(line.startswith("+") and '"mended"' in line for line in ended.stderr.splitlines())
    row = letters.one(letter_id)
    assert (row["state"], row["payload"]) == ("mended", bad.payload)
    assert [line["what"] for line in row["history"]] == ["died", "edited", "mended"]
    assert titles(letters)[0] == "mended"
    (ledger,) = letters.fetch("SELECT * FROM runferry.ledger")
    assert (ledger["produced_at"], ledger["mends"]) == (bad.produced_at, [bad.content_sha256])
    letters.file(bad)
    assert letters.one(letter_id)["state"] == "mended"


def test_an_edit_that_would_die_as_well_is_not_sent(ops_dlq, letters, letter, broker, monkeypatch):
    (letter_id,) = letters.file(letter(text=BAD))
    monkeypatch.setenv("EDITOR", "sed -i s/NaN/Infinity/")
    ended = ops_dlq("edit", letter_id, "--yes", "--json")
    assert (ended.status, ended.json["would_fail"]["reason"]) == (1, "json_not_finite")
    assert broker.depths()[queues.BACKFILL].pending == 0
    assert letters.one(letter_id)["state"] == "open"


def test_an_edit_without_changes_and_an_editor_that_fails_change_nothing(ops_dlq, letters, letter, monkeypatch):
    (letter_id,) = letters.file(letter(text=BAD))
    monkeypatch.setenv("EDITOR", "true")
    assert "Nothing was changed" in ops_dlq("edit", letter_id).stderr
    for editor in ("false", "no-such-editor-anywhere", "'"):
        monkeypatch.setenv("EDITOR", editor)
        assert ops_dlq("edit", letter_id).status == 2
    assert letters.one(letter_id)["state"] == "open"


def test_without_a_terminal_an_edit_asks_for_yes(ops_dlq, letters, letter, monkeypatch):
    (letter_id,) = letters.file(letter(text=BAD))
    monkeypatch.setenv("EDITOR", 'sed -i s/NaN/\\"x\\"/g')
    ended = ops_dlq("edit", letter_id)
    assert (ended.status, "--yes" in ended.stderr) == (2, True)


def test_a_document_whose_name_is_no_file_name_is_edited_under_another(tmp_path):
    names = ["a" * 300 + ".md", "../a.md", ".hidden", "", "plain.md"]
    paths = put([Document(name, name.encode()) for name in names], tmp_path)
    assert [paths[name].name for name in names] == [f"document-{number}" for number in range(1, 5)] + ["plain.md"]
    assert all(paths[name].read_bytes() == name.encode() for name in names)
