"""What outputs and files hold never steers a terminal, and never ends a command in a traceback."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ops.dlq.command import dlq
from shared.documents import Document
from shared.errors import Malformed, Place
from shared.ids import Stage
from shared.reasons import Reason

EVIL = "\x1b[2J\x1b]0;title\x07\u202e"


@pytest.fixture
def evil(letters, letter, ops_dlq):
    """A letter whose name, sentence and document want to steer the terminal."""
    name = f"a{EVIL}.md"
    error = Malformed(Reason.NOT_UTF8, f"{name} is not UTF-8.", Place(name))
    made = letter(
        stage=Stage.LESSONS, documents=(Document(name, f"{EVIL}\xff".encode("latin-1", "replace")),), error=error
    )
    (letter_id,) = letters.file(made)
    return letter_id


@pytest.mark.parametrize(
    "words",
    [["list"], ["groups"], ["show", "{id}"], ["replay", "--all", "--dry-run"], ["edit", "{id}", "--yes"]],
    ids=lambda words: words[0],
)
def test_nothing_that_a_letter_holds_reaches_the_terminal_as_it_is(ops_dlq, evil, words, monkeypatch):
    monkeypatch.setenv("EDITOR", "sed -i s/?/!/")
    # With colour, as on a terminal: without, click takes such sequences out by itself.
    ended = CliRunner().invoke(dlq, [word.format(id=evil) for word in words], color=True)
    assert ended.exit_code in (0, 1)
    assert ended.stdout + ended.stderr
    for sequence in ("\x1b[2J", "\x1b]", "\x07", "\u202e"):
        assert sequence not in ended.stdout + ended.stderr


def test_an_editor_that_takes_the_document_away_changes_nothing(ops_dlq, letters, letter, monkeypatch):
    (letter_id,) = letters.file(letter())
    monkeypatch.setenv("EDITOR", "rm -f")
    ended = ops_dlq("edit", str(letter_id), "--yes")
    assert ended.status == 2
    assert "The editor left nothing to read" in ended.stderr
    assert [one["state"] for one in letters.all()] == ["open"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("fingerprint", "a\x00b"),
        ("history", [{"what": "died\x00"}]),
        ("history", [{"n": 10**30}]),
        ("seen", 10**30),
        ("seen", -1),
        ("worker_pid", 2**31),
        # The ids of letters that are yet to be filed come after the greatest one.
        ("id", 2**63 - 1),
        ("payload", "no base64!"),
    ],
)
def test_a_mangled_line_is_named_and_nothing_of_it_is_kept(ops_dlq, letters, letter, tmp_path, column, value):
    letters.file(letter())
    line = json.loads(ops_dlq("export").stdout)
    file = tmp_path / "letters.jsonl"
    file.write_text(json.dumps({**line, "run_id": "run-2", column: value}))
    ended = ops_dlq("import", str(file))
    assert ended.status == 2
    assert f"Line 1 is no dead letter: {column}" in ended.stderr
    assert len(letters.all()) == 1
