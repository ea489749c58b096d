"""`ops dlq list`, `groups` and `show`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from click import unstyle

from ops.dlq.selection import parse_moment
from ops.dlq.tables import Row, row_lines
from shared.contract import Origin
from shared.errors import Malformed, Place
from shared.ids import Stage
from shared.reasons import Reason

LIST_KEYS = {"id", "reason", "run_id", "stage", "origin", "died_at", "fingerprint", "seen", "replays"}


def test_list_prints_the_keys_that_scripts_rely_on_newest_first(ops_dlq, letters, letter):
    first, second = letters.file(letter(), letter("run-2", origin=Origin.PIPELINE))

    ended = ops_dlq("list", "--json")

    assert ended.status == 0
    assert [row["id"] for row in ended.json] == [second, first]
    assert ended.json[0].keys() >= LIST_KEYS
    assert (ended.json[0]["origin"], ended.json[0]["reason"], ended.json[0]["stage"]) == (
        "pipeline",
        "not_json",
        1,
    )


def test_list_pages(ops_dlq, letters, letter):
    ids = letters.file(*(letter(f"run-{number}") for number in range(5)))

    first = ops_dlq("list", "--limit", 2)
    pages = [
        [row["id"] for row in ops_dlq("list", "--limit", 2, "--json", "--before", i).json]
        for i in (ids[3], ids[1])
    ]

    assert f"--before {ids[3]}" in first.stderr
    assert len(first.stdout.splitlines()) == 2
    assert pages == [[ids[2], ids[1]], [ids[0]]]


def test_list_filters(ops_dlq, letters, letter):
    other = Malformed(Reason.EMPTY_FILE, "trends.json is empty.", Place("trends.json"))
    plain, empty, piped, gone = letters.file(
        letter("run-1"),
        letter("run-2", stage=Stage.TRENDS, error=other),
        letter("run-3", origin=Origin.PIPELINE),
        letter("run-4"),
    )
    letters.execute("UPDATE runferry.dead_letter SET died_at = now() - interval '3 hours' WHERE id = $1", plain)
    letters.execute("UPDATE runferry.dead_letter SET state = 'resolved' WHERE id = $1", gone)
    fingerprint = letters.one(empty)["fingerprint"]

    def listed(*options):
        return [row["id"] for row in ops_dlq("list", "--json", *options).json]

    assert listed() == [piped, empty, plain]
    assert listed("--reason", "empty_file") == [empty]
    assert listed("--fingerprint", fingerprint[:6]) == [empty]
    assert listed("--run-id", "run-3") == [piped]
    assert listed("--stage", 2) == [empty]
    assert listed("--origin", "pipeline") == [piped]
    assert listed("--since", "2h") == [piped, empty]
    assert listed("--until", "2h") == [plain]
    assert listed("--state", "resolved") == [gone]
    assert listed("--state", "all") == [gone, piped, empty, plain]


def test_nothing_that_matches_is_said_on_stderr_and_is_an_empty_array_in_json(ops_dlq):
    assert ops_dlq("list").stdout == ""
    assert "No dead letters" in ops_dlq("list").stderr
    assert ops_dlq("list", "--json").json == []
    assert ops_dlq("groups", "--json").json == []


def test_groups_count_equal_failures(ops_dlq, letters, letter):
    other = Malformed(Reason.EMPTY_FILE, "trends.json is empty.", Place("trends.json"))
    ids = letters.file(letter("run-1"), letter("run-2"), letter("run-3", error=other))

    large, small = ops_dlq("groups", "--json").json

    assert (large["count"], large["example"], large["reason"]) == (2, ids[1], "not_json")
    assert (small["count"], small["example"], small["reason"]) == (1, ids[2], "empty_file")
    assert large["first"] <= large["last"]
    assert len(ops_dlq("groups").stdout.splitlines()) == 2


def test_show_marks_the_line_and_column_in_json(ops_dlq, letters, letter):
    (letter_id,) = letters.file(letter())

    shown = ops_dlq("show", letter_id).stdout.splitlines()

    fault = shown.index('▶     2 │   "inspirations": [}')
    assert shown[fault + 1].index("^") == shown[fault].index("}")
    assert any("Traceback" in line for line in shown)
    assert any("died of not_json" in line for line in shown)
    assert any(f"ops dlq edit {letter_id}" in line for line in shown)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_show_fits_a_narrow_and_a_wide_terminal(ops_dlq, letters, letter, monkeypatch, columns):
    text = '{"inspirations": "' + "x" * 5_000 + '", }'
    error = Malformed(Reason.NOT_JSON, "broken " * 40, Place("inspirations.json", 1, len(text)))
    (letter_id,) = letters.file(letter(text=text, error=error))
    monkeypatch.setenv("COLUMNS", str(columns))

    lines = ops_dlq("show", letter_id).stdout.splitlines()

    upper = lines[: lines.index("Traceback")]
    assert max(len(line) for line in upper if "content" not in line) <= columns
    assert any(line.strip().endswith("^") for line in upper)


def test_show_json_adds_error_traceback_documents_and_history(ops_dlq, letters, letter):
    (letter_id,) = letters.file(letter())

    shown = ops_dlq("show", letter_id, "--json").json

    assert shown.keys() >= LIST_KEYS | {"error", "traceback", "documents", "history", "state", "place"}
    assert shown["place"] == {"document": "inspirations.json", "line": 2, "column": 20}
    assert shown["documents"][0]["text"] == letter.text
    assert [entry["what"] for entry in shown["history"]] == ["died"]


def test_show_gives_one_document_as_it_is(ops_dlq, letters, letter):
    (letter_id,) = letters.file(letter())
    assert ops_dlq("show", letter_id, "--document", "inspirations.json").stdout == letter.text
    missing = ops_dlq("show", letter_id, "--document", "other.md")
    assert (missing.status, "it has: inspirations.json" in missing.stderr) == (2, True)


def test_an_unknown_id_is_a_sentence(ops_dlq):
    ended = ops_dlq("show", 99)
    assert ended.status == 2
    assert "There is no dead letter 99" in ended.stderr
    assert ended.stdout == ""


def test_a_database_that_is_away_is_a_sentence(ops_dlq):
    ended = ops_dlq("list", "--database-url", "postgresql://nobody:secret@127.0.0.1:9/none")
    assert ended.status == 2
    assert "127.0.0.1:9" in ended.stderr
    assert "secret" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_moments_are_ages_or_times_in_utc():
    now = datetime(2026, 5, 1, tzinfo=UTC)
    assert parse_moment("2h", now) == now - timedelta(hours=2)
    assert parse_moment("2026-04-30", now) == datetime(2026, 4, 30, tzinfo=UTC)
    assert parse_moment("2026-04-30T12:00+02:00", now) == datetime(2026, 4, 30, 10, tzinfo=UTC)
    with pytest.raises(ValueError):
        parse_moment("yesterday", now)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_on_a_terminal_the_number_and_the_reason_are_whole_however_narrow_it_is(width):
    row = Row((), "123456", "card_without_sections  " + "long-run-id-" * 6 + " stage 5", "because " * 30)
    lines = [unstyle(line) for line in row_lines(row, width)]
    assert lines[0].startswith(" 123456  card_without_sections")
    assert max(map(len, lines)) <= width
    assert " ".join("".join(lines).split()).count("because") == 30
