"""A tree in the planned shape, from files to rows by real processes, beside what the user's script writes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from real_workers import REPOSITORY, Site

from benchmarks.tree import CARDS, generate, run_id

RUNS = 200
#: Long enough to have something in every section, short enough to be migrated twice in the gate.
FEW = 6
SECTIONS = ("tagline", "problem", "solution", "why_now", "target_segment", "quick_win")
COLUMNS = {
    "Run": """id, "userId", "companyId", "companyName", "documentName", "documentUrl", status::text, "currentStage",
              "errorMessage" """,
    "InspirationReport": """"runId", "inspiration1Title", "inspiration1Content", "inspiration1Elements",
              "inspiration2Title", "inspiration2Content", "inspiration2Elements" """,
    "OpportunityCard": f'"runId", number, "userId", title, {", ".join(SECTIONS)}, starred',
    "StageOutput": '"runId", "stageNumber", "markdownOutput", "jsonOutput"',
}
#: One line a section: what the user's script gets right.
ONE_LINE_CARD = "# Card {n}\n\n" + "\n\n".join(
    f"## {heading}\nOne line."
    for heading in ("Tagline", "Problem", "Solution", "Why Now", "Target Segment", "Quick Win")
)


def selected(table: str) -> str:
    return f'SELECT {COLUMNS[table]} FROM "{table}" ORDER BY 1, 2'


def script_section(text: str) -> str:
    """What the user's script makes of a section: its lines run together."""
    return "".join(f"{line.strip()} " for line in text.split("\n") if line.strip())


def as_the_script_writes(cards: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**card, **{name: script_section(card[name]) for name in SECTIONS}} for card in cards]


@pytest.mark.long
def test_a_tree_becomes_exactly_its_rows_and_they_equal_what_the_script_writes_where_that_is_right(
    site: Site, baseline: Any
) -> None:
    generate(site.settings.root, RUNS)
    ended = site.backfill("--run-workers", "2")
    assert ended.status == 0, ended.stderr
    assert (ended.json["runs"], ended.json["applied"], ended.json["gaps"]) == (RUNS, 5 * RUNS, [])
    assert site.counts() == {
        "User": 1,
        "Run": RUNS,
        "InspirationReport": RUNS,
        "OpportunityCard": CARDS * RUNS,
        "StageOutput": 5 * RUNS,
    }
    assert not site.leftovers()

    before = site.versions()
    second = site.backfill("--run-workers", "2")
    assert second.status == 0, second.stderr
    assert (second.json["applied"], second.json["duplicates"]) == (0, 5 * RUNS)
    assert site.versions() == before, "a second backfill touches no row"

    baseline.migrate(site.settings.root)
    for table in ("Run", "InspirationReport"):
        assert site.rows(selected(table)) == baseline.rows(selected(table)), table
    cards = site.rows(selected("OpportunityCard"))
    assert as_the_script_writes(cards) == baseline.rows(selected("OpportunityCard"))
    assert all("\n" in card["solution"] for card in cards), "where the script ran lines together, ours are kept"
    outputs = site.rows(selected("StageOutput"))
    assert [row for row in outputs if row["stageNumber"] < 5] == baseline.rows(selected("StageOutput"))
    for row in outputs:
        if row["stageNumber"] == 5:
            assert row["jsonOutput"] is None
            folder = site.settings.root / row["runId"] / "stage5"
            for path in folder.iterdir():
                assert path.read_text() in row["markdownOutput"], path

    # The times that the script lost: of the run, and of its documents.
    (first,) = site.rows('SELECT "createdAt", "completedAt" FROM "Run" ORDER BY id LIMIT 1')
    assert first["createdAt"].timestamp() > 0
    assert first["completedAt"].year == 2025


def test_what_the_script_migrated_is_adopted_where_it_was_right_and_the_rest_is_a_conflict(
    site: Site, baseline: Any
) -> None:
    root = site.settings.root
    generate(root, FEW)
    right = run_id(0)
    for number in range(1, 6):
        path = root / right / "stage5" / f"opportunity-{number}.md"
        path.write_text(ONE_LINE_CARD.format(n=number))
        os.utime(path, (1_759_300_000, 1_759_300_000))
    baseline.on(site.database_url).migrate(root)
    before = site.versions()

    first = site.backfill("--run-workers", "1")
    assert first.status == 1, "conflicts are a difference"
    assert first.json["conflicts"] == FEW - 1
    assert {(named["run_id"], named["stage"], named["verdict"]) for named in first.json["named"]} == {
        (run_id(number), 5, "conflict") for number in range(1, FEW)
    }
    assert first.json["applied"] == 5 * FEW - (FEW - 1)
    after = site.versions()
    for table in ("User", "Run", "InspirationReport", "OpportunityCard"):
        assert after[table] == before[table], f"{table}: a row that was right was touched"
    assert before["StageOutput"].items() <= after["StageOutput"].items()
    added = site.rows('SELECT "runId" FROM "StageOutput" WHERE "stageNumber" = 5')
    assert [row["runId"] for row in added] == [right], "the stage that the script lost is filled in"

    preferred = site.backfill("--run-workers", "1", "--prefer", "files")
    assert (preferred.status, preferred.json["conflicts"]) == (0, 0), preferred.stderr
    # The one that was right as well: the script left a blank at the end of its sections.
    assert preferred.json["applied"] == FEW
    cards = site.rows(f"""SELECT {COLUMNS["OpportunityCard"]}, id FROM "OpportunityCard" ORDER BY 1, 2""")
    assert all("\n" in card["solution"] for card in cards if card["runId"] != right)
    assert {card["id"] for card in cards} == set(before["OpportunityCard"]), "rows keep their ids"
    assert site.backfill("--run-workers", "1").json["duplicates"] == 5 * FEW


def test_rows_that_were_deleted_or_damaged_come_back_by_preferring_files(site: Site) -> None:
    generate(site.settings.root, FEW)
    assert site.backfill("--run-workers", "1").status == 0
    whole = site.everything()
    runs = [run_id(number) for number in range(FEW)]
    site.do('DELETE FROM "OpportunityCard" WHERE "runId" = $1 AND number IN (2, 4)', runs[0])
    site.do("""UPDATE "OpportunityCard" SET problem = 'gone' WHERE "runId" = $1""", runs[1])
    site.do("""UPDATE "StageOutput" SET "jsonOutput" = '{}' WHERE "runId" = $1 AND "stageNumber" = 3""", runs[2])
    site.do('DELETE FROM "InspirationReport" WHERE "runId" = $1', runs[3])
    site.do('DELETE FROM "StageOutput" WHERE "runId" = $1', runs[4])
    site.do('DELETE FROM "Run" WHERE id = $1', runs[5])

    mended = site.backfill("--run-workers", "1", "--prefer", "files")
    assert mended.status == 0, mended.stderr
    restored = site.everything()
    for table, rows in whole.items():
        if table != "Run":
            assert restored[table] == rows, table
    times = ("createdAt", "completedAt", "updatedAt")
    assert [{k: v for k, v in row.items() if k not in times} for row in restored["Run"]] == [
        {k: v for k, v in row.items() if k not in times} for row in whole["Run"]
    ]


def test_deleted_rows_come_back_by_a_plain_backfill_but_deleted_runs_never_do(site: Site) -> None:
    generate(site.settings.root, 2)
    assert site.backfill("--run-workers", "1").status == 0
    site.do('DELETE FROM "OpportunityCard" WHERE "runId" = $1 AND number = 3', run_id(0))
    site.do('DELETE FROM "Run" WHERE id = $1', run_id(1))
    again = site.backfill("--run-workers", "1")
    assert (again.json["applied"], again.json["duplicates"], again.json["deleted"]) == (1, 4, 5)
    assert site.counts() == {
        "User": 1,
        "Run": 1,
        "InspirationReport": 1,
        "OpportunityCard": 5,
        "StageOutput": 5,
    }


def test_the_examples_twice_change_no_row(site: Site) -> None:
    examples = REPOSITORY / "examples" / "runs"
    first = site.backfill("--run-workers", "1", root=examples, YES="1")
    assert first.status == 0, first.stderr
    before = site.versions()
    second = site.backfill("--run-workers", "1", root=examples, YES="1")
    assert second.status == 0, second.stderr
    assert (second.json["applied"], second.json["duplicates"]) == (0, first.json["applied"])
    assert second.json["dead_lettered"] == first.json["dead_lettered"] > 0
    assert site.versions() == before
