"""`ops dlq export`, `import`, `discard` and `purge`."""

from __future__ import annotations

import orjson
import pytest

from shared.documents import Document
from shared.ids import Stage


def without_ids(rows):
    return [{key: value for key, value in row.items() if key != "id"} for row in rows]


@pytest.fixture
def odd_letters(letters, letter):
    """Letters that are hard to keep: hostile text, bytes that are no UTF-8, a history, closed and counted ones."""
    ids = letters.file(
        letter(),
        letter("run\0-\u202eid", text='"\0\ud7ff"'),
        letter(
            "run-3",
            documents=(Document("a.md", b"\xff\x00"), Document("b.json", "{ü}".encode())),
            stage=Stage.TRENDS,
        ),
        letter("run-4"),
        letter("run-4"),
    )
    letters.execute("UPDATE runferry.dead_letter SET state = 'discarded', closed_at = now() WHERE id = $1", ids[3])
    return ids


def test_export_and_import_lose_nothing(ops_dlq, letters, odd_letters, tmp_path):
    path = tmp_path / "letters.jsonl"
    before = letters.all()
    assert ops_dlq("export", "--state", "all", "--to", path).status == 0
    letters.execute("TRUNCATE runferry.dead_letter RESTART IDENTITY")

    ended = ops_dlq("import", path, "--json")

    assert ended.json == {"imported": len(before), "already_there": 0}
    assert letters.all() == before
    assert ops_dlq("export", "--state", "all").stdout == path.read_text()


def test_importing_again_and_beside_other_letters_is_harmless(ops_dlq, letters, letter, odd_letters, tmp_path):
    path = tmp_path / "letters.jsonl"
    before = letters.all()
    ops_dlq("export", "--state", "all", "--to", path)
    assert ops_dlq("import", path, "--json").json == {"imported": 0, "already_there": len(before)}
    assert letters.all() == before

    letters.execute("TRUNCATE runferry.dead_letter RESTART IDENTITY")
    (taken,) = letters.file(letter("somebody-else"))
    ops_dlq("import", path)

    (fresh,) = letters.file(letter("filed-later"))
    rows = letters.all()
    assert len({row["id"] for row in rows}) == len(rows) == len(before) + 2
    assert fresh > max(row["id"] for row in before)
    imported = [row for row in rows if row["id"] not in (taken, fresh)]
    assert sorted(map(repr, without_ids(imported))) == sorted(map(repr, without_ids(before)))


def test_export_takes_ids_and_filters_and_only_what_waits_by_default(ops_dlq, odd_letters):
    def exported(*arguments):
        return [orjson.loads(line)["id"] for line in ops_dlq("export", *arguments).stdout.splitlines()]

    assert exported() == odd_letters[:3]
    assert exported(odd_letters[1]) == [odd_letters[1]]
    assert exported("--stage", 2) == [odd_letters[2]]


@pytest.mark.parametrize("bad", [b"{", b"[]", b'{"id": 1}', b"\xff"])
def test_a_line_that_is_no_letter_is_named_and_what_stands_before_it_is_imported(ops_dlq, letters, letter, bad):
    letters.file(letter())
    line = ops_dlq("export").stdout.encode()
    letters.execute("TRUNCATE runferry.dead_letter")

    ended = ops_dlq("import", "-", stdin=line + bad + b"\n")

    assert (ended.status, "Line 2" in ended.stderr) == (2, True)
    assert len(letters.all()) == 1


def test_an_export_that_can_not_be_written_is_a_sentence(ops_dlq, tmp_path):
    ended = ops_dlq("export", "--to", tmp_path / "missing" / "letters.jsonl")
    assert (ended.status, "can't be written" in ended.stderr) == (2, True)


def test_discard_needs_a_reason_and_keeps_an_audit_line(ops_dlq, letters, letter):
    first, second = letters.file(letter(), letter("run-2"))
    assert ops_dlq("discard", first, "--yes").status == 2
    assert ops_dlq("discard", first, "--reason", " ", "--yes").status == 2
    unasked = ops_dlq("discard", first, "--reason", "a test run")
    assert (unasked.status, "--yes" in unasked.stderr) == (2, True)

    ended = ops_dlq("discard", first, "--reason", "a test run", "--yes", "--json")

    assert (ended.status, ended.json) == (0, {"discarded": 1})
    assert (letters.one(first)["state"], letters.one(second)["state"]) == ("discarded", "open")
    assert letters.one(first)["history"][-1]["why"] == "a test run"
    (audit,) = letters.fetch("SELECT * FROM runferry.audit")
    assert (audit["action"], audit["why"]) == ("discard dead letter", "a test run")
    assert "@" in audit["who"]
    assert orjson.loads(audit["subject"])["content_sha256"] == letter().content_sha256


def test_discard_takes_a_filter_by_reason_code(ops_dlq, letters, letter):
    letters.file(letter(), letter("run-2"))
    ended = ops_dlq(
        "discard", "--reason-code", "not_json", "--run-id", "run-2", "--reason", "x", "--yes", "--json"
    )
    assert ended.json == {"discarded": 1}
    assert [row["state"] for row in letters.all()] == ["open", "discarded"]


def test_purge_deletes_only_old_closed_letters(ops_dlq, letters, letter):
    waiting, resolved, recent, discarded = letters.file(*(letter(f"run-{number}") for number in range(4)))
    closed = (
        "UPDATE runferry.dead_letter SET state = $2, closed_at = now() - $3::int * interval '1 day' WHERE id = $1"
    )
    letters.execute(closed, resolved, "resolved", 100)
    letters.execute(closed, recent, "resolved", 1)
    letters.execute(closed, discarded, "discarded", 100)
    assert ops_dlq("purge", "--older-than", "90d").status == 2

    assert ops_dlq("purge", "--older-than", "90d", "--yes", "--json").json == {"purged": 1}
    assert [row["id"] for row in letters.all()] == [waiting, recent, discarded]
    assert ops_dlq("purge", "--older-than", "90d", "--state", "discarded", "--yes", "--json").json == {"purged": 1}
    assert ops_dlq("purge", "--older-than", "90d", "--state", "open", "--yes").status == 2
    audits = letters.fetch("SELECT action FROM runferry.audit")
    assert [row["action"] for row in audits] == ["purge dead letters"] * 2
