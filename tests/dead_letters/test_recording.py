"""Filing letters, and closing them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.contract import Origin
from shared.dead_letters.marks import letter_marks, open_letters
from shared.dead_letters.recording import SettledOutput, record, resolve
from shared.documents import Sha256
from shared.errors import Malformed, Place
from shared.ids import RunId, Stage
from shared.reasons import Reason

#: What the letters of the fixture say.
PRODUCED_AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
GOOD = Sha256("f" * 64)
LATER = PRODUCED_AT + timedelta(minutes=1)


def settled(letter, verdict="applied", *, sha256=GOOD, produced_at=LATER, mends=None):
    return SettledOutput(RunId(letter.run_id), Stage(letter.stage), sha256, produced_at, verdict, mends)


def test_the_same_bad_output_is_one_letter_that_counts_how_often_it_was_seen(letters, letter, in_database):
    in_database(lambda connection: record(connection, [letter(), letter(), letter("run-2")]))
    letters.file(letter(failed_at=LATER))

    first, second = letters.all()

    assert (first["run_id"], first["seen"], first["state"]) == ("run-1", 3, "open")
    assert (first["first_failed_at"], first["last_failed_at"]) == (PRODUCED_AT, LATER)
    assert [line["what"] for line in first["history"]] == ["died"]
    assert (second["run_id"], second["seen"]) == ("run-2", 1)


def test_a_letter_holds_all_of_the_evidence(letters, letter):
    filed = letters.one(*letters.file(letter()))

    assert filed["reason"] == "not_json"
    assert filed["place"] == {"document": "inspirations.json", "line": 2, "column": 20}
    assert filed["error_class"] == "shared.errors.Malformed"
    assert "Malformed: inspirations.json is no JSON" in filed["traceback"]
    assert filed["origin"] == "backfill"
    assert filed["produced_at"] == PRODUCED_AT
    assert filed["envelope"]["hints"] == {"company_name": "Savannah Bananas"}
    assert "outputs" not in filed["envelope"]
    assert filed["worker_pid"] > 0


def test_evidence_of_hostile_text_can_be_stored(letters, letter):
    error = Malformed(Reason.UNSTORABLE_TEXT, "has \0 and \ud800", Place("a\0b.json", section="\udcff"))
    (filed,) = letters.file(letter("run\0id", text='"\0"', error=error))

    row = letters.one(filed)

    assert row["run_id"] == "run\\u0000id"
    assert row["sentence"] == "has \\u0000 and \\ud800"
    assert row["place"] == {"document": "a\\u0000b.json", "section": "\\udcff"}
    assert row["payload"] == letter("run\0id", text='"\0"').payload


def test_another_failure_of_the_same_output_keeps_the_old_one_in_its_history(letters, letter):
    letters.file(letter())
    letters.file(letter(error=Malformed(Reason.EMPTY_FILE, "inspirations.json is empty.")))

    (row,) = letters.all()

    assert row["reason"] == "empty_file"
    assert [(line["what"], line["reason"]) for line in row["history"]] == [
        ("died", "not_json"),
        ("failed_otherwise", "empty_file"),
    ]


def test_a_replay_that_dies_opens_the_same_letter_with_one_more_line(letters, letter):
    (letter_id,) = letters.file(letter(origin=Origin.PIPELINE))
    letters.execute("UPDATE runferry.dead_letter SET state = 'replaying'")

    letters.file(letter(origin=Origin.REPLAY, replay_of=Origin.PIPELINE, batch_id="replay-1"))

    row = letters.one(letter_id)
    assert (row["state"], row["origin"], row["seen"]) == ("open", "pipeline", 2)
    assert [line["what"] for line in row["history"]] == ["died", "died_again"]
    assert row["history"][1]["batch_id"] == "replay-1"


def test_a_backfill_beside_a_replay_does_not_end_the_replay(letters, letter):
    (letter_id,) = letters.file(letter())
    letters.execute("UPDATE runferry.dead_letter SET state = 'replaying'")
    letters.file(letter())
    assert letters.one(letter_id)["state"] == "replaying"


def test_a_mended_copy_that_dies_is_a_letter_of_its_own_and_opens_the_first_again(letters, letter):
    bad = letter()
    (letter_id,) = letters.file(bad)
    letters.execute("UPDATE runferry.dead_letter SET state = 'replaying'")

    letters.file(letter(text="[", origin=Origin.REPLAY, replay_of=Origin.BACKFILL, mends=bad.content_sha256))

    first, copy = letters.all()
    assert (first["id"], first["state"], first["history"][-1]["what"]) == (letter_id, "open", "mend_died")
    assert (copy["state"], copy["origin"]) == ("open", "backfill")


def test_a_mended_copy_that_is_applied_mends_the_letter_and_every_earlier_try(letters, letter, in_database):
    bad = letter()
    letters.file(bad, letter(text="[", origin=Origin.REPLAY, mends=bad.content_sha256))

    in_database(lambda c: resolve(c, [settled(bad, produced_at=PRODUCED_AT, mends=bad.content_sha256)]))

    assert [row["state"] for row in letters.all()] == ["mended", "mended"]
    assert letters.all()[0]["closed_at"] is not None


def test_a_later_good_output_resolves_and_an_older_one_does_not(letters, letter, in_database):
    older, other_stage, other_run = letter(), letter(stage=Stage.TRENDS), letter("run-2")
    ids = letters.file(older, other_stage, other_run)

    earlier = settled(older, produced_at=PRODUCED_AT - timedelta(seconds=1))
    assert in_database(lambda c: resolve(c, [earlier])) == 0
    assert in_database(lambda c: resolve(c, [settled(older)])) == 1

    assert [letters.one(letter_id)["state"] for letter_id in ids] == ["resolved", "open", "open"]
    assert letters.one(ids[0])["history"][-1]["by"] == GOOD


@pytest.mark.parametrize("verdict", ["applied", "duplicate", "superseded"])
def test_a_replay_that_is_settled_closes_its_letter(letters, letter, in_database, verdict):
    bad = letter()
    (letter_id,) = letters.file(bad)
    letters.execute("UPDATE runferry.dead_letter SET state = 'replaying'")
    own = settled(bad, verdict, sha256=bad.content_sha256, produced_at=PRODUCED_AT)
    in_database(lambda c: resolve(c, [own]))
    assert letters.one(letter_id)["state"] == "resolved"


@pytest.mark.parametrize("verdict", ["conflict", "deleted", "outdated"])
def test_a_replay_that_was_not_written_lets_its_letter_wait_again(letters, letter, in_database, verdict):
    bad = letter()
    (letter_id,) = letters.file(bad)
    own = settled(bad, verdict, sha256=bad.content_sha256)
    assert in_database(lambda c: resolve(c, [own])) == 0
    letters.execute("UPDATE runferry.dead_letter SET state = 'replaying'")
    in_database(lambda c: resolve(c, [own]))
    row = letters.one(letter_id)
    assert (row["state"], row["closed_at"], row["history"][-1]["verdict"]) == ("open", None, verdict)


def test_a_bad_output_that_is_older_than_what_is_applied_waits_for_nobody(letters, letter):
    bad = letter()
    letters.write_ledger(letter(text="[]"), produced_at=LATER)
    (letter_id,) = letters.file(bad)
    row = letters.one(letter_id)
    assert (row["state"], row["closed_at"] is not None) == ("resolved", True)


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one after the other"])
@pytest.mark.parametrize("older_first", [True, False])
@pytest.mark.parametrize(
    ("origins", "state"),
    [
        ((Origin.BACKFILL, Origin.BACKFILL), "open"),
        ((Origin.PIPELINE, Origin.PIPELINE), "open"),
        ((Origin.PIPELINE, Origin.BACKFILL), "resolved"),
    ],
)
def test_the_time_of_a_bad_output_that_came_twice_decides_in_every_order(
    letters, letter, in_database, together, older_first, origins, state
):
    older, later = letter(origin=origins[0]), letter(origin=origins[1], produced_at=LATER)
    letters.write_ledger(letter(text="[]"), produced_at=LATER)
    both = [older, later] if older_first else [later, older]
    if together:
        in_database(lambda connection: record(connection, both))
    else:
        letters.file(*both)
    (row,) = letters.all()
    assert (row["state"], row["seen"], row["closed_at"] is None) == (state, 2, state == "open")


@pytest.mark.parametrize("replay_first", [True, False])
def test_a_replay_that_dies_beside_the_same_output_of_a_backfill_does_not_stay_claimed(
    letters, letter, in_database, replay_first
):
    letters.file(letter())
    letters.execute("UPDATE runferry.dead_letter SET state = 'replaying'")
    replayed, backfilled = letter(origin=Origin.REPLAY, replay_of=Origin.BACKFILL), letter()
    both = [replayed, backfilled] if replay_first else [backfilled, replayed]
    in_database(lambda connection: record(connection, both))
    (row,) = letters.all()
    assert (row["state"], row["seen"], row["history"][-1]["what"]) == ("open", 3, "died_again")


def test_a_mended_output_that_comes_again_stays_mended(letters, letter):
    bad = letter()
    letters.write_ledger(letter(text="[]"), produced_at=PRODUCED_AT, mends=(bad.content_sha256,))
    (letter_id,) = letters.file(bad)
    letters.file(bad)
    assert (letters.one(letter_id)["state"], letters.one(letter_id)["seen"]) == ("mended", 2)


def test_a_mended_letter_opens_again_when_the_mending_rows_are_gone(letters, letter):
    bad = letter()
    letters.write_ledger(letter(text="[]"), produced_at=PRODUCED_AT, mends=(bad.content_sha256,))
    (letter_id,) = letters.file(bad)
    letters.execute("DELETE FROM runferry.ledger")
    letters.file(bad)
    row = letters.one(letter_id)
    assert (row["state"], row["closed_at"], row["history"][-1]["what"]) == ("open", None, "came_back")


def test_a_discarded_output_stays_discarded_and_counts(letters, letter):
    (letter_id,) = letters.file(letter())
    letters.execute("UPDATE runferry.dead_letter SET state = 'discarded', closed_at = now()")
    letters.file(letter())
    row = letters.one(letter_id)
    assert (row["state"], row["seen"], row["closed_at"] is not None) == ("discarded", 2, True)


def test_a_file_found_by_a_backfill_does_not_take_the_pipelines_time_away(letters, letter):
    (letter_id,) = letters.file(letter(origin=Origin.PIPELINE))
    letters.file(letter(origin=Origin.BACKFILL, produced_at=LATER))
    row = letters.one(letter_id)
    assert (row["origin"], row["produced_at"]) == ("pipeline", PRODUCED_AT)


def test_the_marks_name_every_letter_and_open_letters_only_those_that_wait(letters, letter, in_database):
    open_id, discarded_id = letters.file(letter(), letter(stage=Stage.TRENDS))
    letters.execute("UPDATE runferry.dead_letter SET state = 'discarded' WHERE id = $1", discarded_id)

    marks = in_database(lambda c: letter_marks(c, [RunId("run-1"), RunId("run-9")]))
    waiting = in_database(lambda c: open_letters(c, [RunId("run-1")]))

    assert {key: [mark.id for mark in of_output] for key, of_output in marks.items()} == {
        ("run-1", 1): [open_id],
        ("run-1", 2): [discarded_id],
    }
    assert list(waiting) == [("run-1", 1)]
