"""What is wrong is found and named, and nothing else is."""

from __future__ import annotations

import json
import os
import time

from proof_bench import OLD_S, Proof

from producers import Document, Emitter
from shared.comparing import row_sha256
from shared.ids import RunId, Stage
from shared.reconciling.verdicts import Standing
from shared.rows import StageOutputRow


def test_a_migrated_tree_is_balanced(migrated: Proof) -> None:
    report = migrated.reconcile("--final")
    assert report.status == 0
    assert report.verdicts == {"match": 15}
    assert (report.json["balanced"], report.json["final"], report.json["named"]) == (True, True, [])


def test_one_changed_character_is_named_with_its_place(migrated: Proof) -> None:
    migrated.execute(
        """UPDATE "OpportunityCard" SET problem = replace(problem, 'over', 'ever')
                WHERE "runId" = 'run-001' AND number = 3"""
    )
    report = migrated.reconcile()
    assert report.status == 1
    assert report.verdicts == {"match": 14, "differs": 1}
    (named,) = report.json["named"]
    assert (named["run_id"], named["stage"], named["fields"]) == ("run-001", 5, ["OpportunityCard[3].problem"])
    assert "character 11 (line 2, column 1)" in named["detail"]
    assert "NOT BALANCED" in migrated.report()


def test_changed_markdown_json_and_reports_are_named(migrated: Proof) -> None:
    migrated.execute(
        """UPDATE "StageOutput" SET "markdownOutput" = "markdownOutput" || ' '
                WHERE "stageNumber" = 3 AND "runId" = 'run-000'"""
    )
    migrated.execute(
        """UPDATE "StageOutput" SET "jsonOutput" = '{"trends": ["run-001", 1.6, 0]}'
                WHERE "stageNumber" = 2 AND "runId" = 'run-001'"""
    )
    migrated.execute(
        """UPDATE "InspirationReport" SET "inspiration1Elements" = '{x,z}' WHERE "runId" = 'run-002'"""
    )
    report = migrated.reconcile()
    assert report.verdicts == {"match": 12, "differs": 3}
    assert report.named("run_id", "stage", "fields") == [
        ("run-000", 3, ["StageOutput[3].markdownOutput"]),
        ("run-001", 2, ["StageOutput[2].jsonOutput"]),
        ("run-002", 1, ["InspirationReport.inspiration1Elements"]),
    ]


def test_swapped_cards_are_damage(migrated: Proof) -> None:
    for number, elsewhere in ((1, 91), (2, 1), (91, 2)):
        migrated.execute(
            """UPDATE "OpportunityCard" SET number = $2, "updatedAt" = timezone('UTC', now())
               WHERE "runId" = 'run-001' AND number = $1""",
            number,
            elsewhere,
        )
    migrated.execute(
        """
        UPDATE "OpportunityCard" AS card SET title = other.title FROM "OpportunityCard" AS other
        WHERE card."runId" = 'run-000' AND other."runId" = 'run-000' AND card.number IN (1, 2)
          AND other.number = 3 - card.number
        """
    )
    report = migrated.reconcile()
    assert report.verdicts == {"match": 13, "differs": 2}
    titles = ["OpportunityCard[1].title", "OpportunityCard[2].title"]
    assert report.named("run_id", "fields") == [("run-000", titles), ("run-001", titles)]


def test_deleted_rows_are_missing(migrated: Proof) -> None:
    migrated.execute("""DELETE FROM "OpportunityCard" WHERE "runId" = 'run-000' AND number = 2""")
    migrated.execute("""DELETE FROM "StageOutput" WHERE "runId" = 'run-001' AND "stageNumber" = 4""")
    report = migrated.reconcile()
    assert report.status == 1
    assert report.verdicts == {"match": 13, "missing": 2}
    assert report.named("run_id", "stage", "fields") == [
        ("run-000", 5, ["OpportunityCard[2]"]),
        ("run-001", 4, ["StageOutput[4]"]),
    ]


def test_a_document_that_only_runferry_keeps_is_missed(migrated: Proof) -> None:
    assert migrated.fetch("SELECT DISTINCT stage FROM runferry.document") == [{"stage": 2}]  # -0.0
    migrated.execute("DELETE FROM runferry.document WHERE run_id = 'run-000'")
    report = migrated.reconcile()
    assert report.named("run_id", "verdict", "fields") == [
        ("run-000", "missing", ["runferry.document[trends.json]"])
    ]
    assert migrated.reconcile("--repair").json["repaired"] == 1


def test_edits_in_the_web_app_and_stars_are_no_damage(migrated: Proof) -> None:
    migrated.execute(
        """UPDATE "OpportunityCard" SET starred = true, "updatedAt" = now() WHERE "runId" = 'run-000'"""
    )
    migrated.execute(
        """UPDATE "OpportunityCard" SET title = 'Mine', "updatedAt" = timezone('UTC', now())
                WHERE "runId" = 'run-001' AND number = 1"""
    )
    migrated.execute("""UPDATE "Run" SET "companyName" = 'Maple & Co' WHERE id = 'run-002'""")
    report = migrated.reconcile()
    assert report.status == 0
    assert report.verdicts == {"match": 13, "edited": 2}
    assert report.named("run_id", "fields") == [
        ("run-001", ["OpportunityCard[1].title"]),
        ("run-002", ["Run.companyName"]),
    ]


def test_an_edit_stays_an_edit_after_a_missing_row_was_put_back(migrated: Proof) -> None:
    card = """UPDATE "OpportunityCard" SET title = $1, "updatedAt" = {time} WHERE "runId" = 'run-000' AND number = $2"""
    edit, damage = card.format(time="timezone('UTC', clock_timestamp())"), card.format(time='"updatedAt"')
    migrated.execute(edit, "By a person", 1)
    migrated.execute("""DELETE FROM "OpportunityCard" WHERE "runId" = 'run-000' AND number = 2""")
    assert migrated.reconcile("--repair").status == 0
    assert migrated.reconcile().verdicts == {"match": 14, "edited": 1}
    # The row that was put back has a time of its own, by which its damage and its edits are told apart.
    migrated.execute(damage, "damaged", 2)
    assert migrated.reconcile().verdicts == {"match": 14, "differs": 1}
    migrated.execute(edit, "By a person, too", 2)
    assert migrated.reconcile().verdicts == {"match": 14, "edited": 1}
    migrated.execute(damage, "damaged", 3)
    assert migrated.reconcile().verdicts == {"match": 14, "differs": 1}


def test_an_edit_stays_an_edit_after_a_duplicate_moved_the_ledger(migrated: Proof) -> None:
    migrated.execute(
        """UPDATE "OpportunityCard" SET title = 'Mine', "updatedAt" = timezone('UTC', now())
                WHERE "runId" = 'run-001' AND number = 1"""
    )
    migrated.run("run-001", "run-001", at_s=1_700_000_100)
    assert migrated.backfill().json["duplicates"] == 15
    assert migrated.reconcile().verdicts == {"match": 14, "edited": 1}


def test_a_run_deleted_in_the_web_app_is_named_and_accounted_for(migrated: Proof) -> None:
    migrated.execute("""DELETE FROM "Run" WHERE id = 'run-001'""")
    report = migrated.reconcile()
    assert report.status == 0
    assert report.verdicts == {"match": 10, "deleted": 5}
    assert report.named("run_id", "stage") == [("run-001", stage) for stage in range(1, 6)]


def test_a_truncated_ledger_is_found_from_the_rows(migrated: Proof) -> None:
    migrated.execute("TRUNCATE runferry.ledger")
    report = migrated.reconcile()
    assert report.status == 1
    assert report.verdicts == {"ledger_wrong": 15}
    repaired = migrated.reconcile("--repair=ledger_wrong")
    assert (repaired.status, repaired.json["repaired"], repaired.verdicts) == (0, 15, {"match": 15})


def test_a_ledger_that_lies_about_equal_rows_is_found(migrated: Proof) -> None:
    migrated.execute(
        """UPDATE runferry.ledger SET rows_written = jsonb_set(rows_written, '{0,sha256}', '"00"')
                WHERE run_id = 'run-000' AND stage = 1"""
    )
    migrated.execute("UPDATE runferry.ledger SET manifest = '[]' WHERE run_id = 'run-001' AND stage = 3")
    report = migrated.reconcile()
    assert report.verdicts == {"match": 13, "ledger_wrong": 2}
    assert migrated.reconcile("--repair=ledger_wrong").verdicts == {"match": 15}


def test_damage_hidden_by_a_changed_ledger_is_found(migrated: Proof) -> None:
    """The ledger is evidence to be checked: rows are compared with the files, whatever it says."""
    migrated.execute(
        """UPDATE "StageOutput" SET "markdownOutput" = 'x' WHERE "runId" = 'run-000' AND "stageNumber" = 3"""
    )
    migrated.execute(
        """
        UPDATE runferry.ledger SET rows_written = jsonb_set(rows_written, '{0,sha256}', to_jsonb($1::text))
        WHERE run_id = 'run-000' AND stage = 3
        """,
        _sha256_of_row(migrated, "run-000"),
    )
    assert migrated.reconcile().named("run_id", "verdict") == [("run-000", "differs")]


def _sha256_of_row(proof: Proof, run_id: str) -> str:
    (row,) = proof.fetch(
        """SELECT "markdownOutput" AS text FROM "StageOutput" WHERE "runId" = $1 AND "stageNumber" = 3""", run_id
    )
    return row_sha256(StageOutputRow(RunId(run_id), Stage.LESSONS, row["text"], None))


def test_three_changed_files_of_many_are_stale_and_nothing_else_is(migrated: Proof) -> None:
    for run_id in ("run-000", "run-002"):
        migrated.write(run_id, 3, "universal-lessons.md", "# New\n", at_s=OLD_S + 50)
    migrated.write("run-001", 4, "context.json", json.dumps({"brand_id": "x"}), at_s=OLD_S + 50)
    report = migrated.reconcile()
    assert report.status == 1
    assert report.verdicts == {"match": 12, "stale": 3}
    repaired = migrated.reconcile("--repair")
    assert (repaired.status, repaired.json["repaired"], repaired.verdicts) == (0, 3, {"match": 15})


def test_a_file_that_a_stage_wrote_anew_without_a_message_is_a_conflict_with_what_it_sent(migrated: Proof) -> None:
    sent = migrated.root / "run-000" / "stage3" / "universal-lessons.md"
    with Emitter(migrated.settings) as emitter:
        emitter.emit("run-000", 3, [Document(sent.name, sent.read_bytes())])
    migrated.settle()
    now_s = migrated.now_s()
    migrated.write("run-000", 3, sent.name, "# New\n", at_s=now_s)
    named = ("--settle", "0s")
    assert migrated.reconcile("--repair", *named).verdicts == {"match": 14, "conflict": 1}
    assert migrated.reconcile("--repair=conflict", *named).verdicts == {"match": 15}


def test_an_older_file_than_the_rows_is_superseded(migrated: Proof) -> None:
    migrated.write("run-000", 3, "universal-lessons.md", "# Old\n", at_s=OLD_S - 50)
    report = migrated.reconcile()
    assert (report.status, report.verdicts) == (0, {"match": 14, "superseded": 1})
    migrated.execute("""DELETE FROM "StageOutput" WHERE "runId" = 'run-000' AND "stageNumber" = 3""")
    assert migrated.reconcile().named("verdict", "fields") == [("differs", ["StageOutput[3]"])]


def test_foreign_rows_that_differ_are_a_conflict(proof: Proof) -> None:
    proof.tree(1)
    with proof.worker():
        proof.backfill()
        proof.execute("TRUNCATE runferry.ledger")
        proof.execute("""UPDATE "StageOutput" SET "markdownOutput" = 'theirs' WHERE "stageNumber" = 3""")
        report = proof.reconcile()
        assert report.status == 1
        assert report.verdicts == {"ledger_wrong": 4, "conflict": 1}
        assert proof.reconcile("--repair=conflict,ledger_wrong").verdicts == {"match": 5}


def test_what_was_never_sent_is_missing_and_malformed(proof: Proof) -> None:
    proof.tree(2)
    proof.malformed()
    with proof.worker():
        report = proof.reconcile()
        assert report.status == 1
        assert report.verdicts == {"missing": 9, "malformed": 1}
        repaired = proof.reconcile("--repair")
        assert (repaired.status, repaired.verdicts) == (0, {"match": 9, "dead_lettered": 1})
        assert repaired.json["repaired"] == 10
        assert proof.reconcile("--final").status == 1
        (letter,) = [one for one in repaired.json["named"] if one["verdict"] == "dead_lettered"]
        assert letter["letter_id"] == 1


def test_a_discarded_letter_and_a_mended_one_are_accounted_for(proof: Proof) -> None:
    proof.tree(2)
    proof.malformed("run-000")
    with proof.worker():
        assert proof.backfill().status == 0
        proof.execute("UPDATE runferry.dead_letter SET state = 'discarded', closed_at = now()")
        report = proof.reconcile("--final")
        assert (report.status, report.verdicts) == (0, {"match": 9, "discarded": 1})


def test_a_file_that_is_still_being_written_is_looked_at_again(migrated: Proof) -> None:
    path = migrated.write("run-000", 3, "universal-lessons.md", "# New\n", at_s=time.time())
    report = migrated.reconcile("--settle", "60s", "--run-id", "run-001")
    assert report.verdicts == {"match": 5}
    report = migrated.reconcile("--settle", "1s")
    assert report.verdicts == {"match": 14, "stale": 1}
    os.utime(path, (OLD_S, OLD_S))


def test_rows_without_files_are_named_beside_the_equation(migrated: Proof) -> None:
    migrated.remove("run-002")
    for path in (migrated.root / "run-001" / "stage3").iterdir():
        path.unlink()
    report = migrated.reconcile()
    assert (report.status, report.verdicts) == (0, {"match": 9})
    assert report.json["rows_without_files"] == 6
    assert report.named("run_id", "stage", "verdict") == [
        ("run-001", 3, Standing.ROW_WITHOUT_FILES.value),
        *(("run-002", stage, Standing.ROW_WITHOUT_FILES.value) for stage in range(1, 6)),
    ]


def test_what_cannot_be_read_is_counted_and_named(migrated: Proof) -> None:
    outside = migrated.settings.home.parent / "outside"
    outside.mkdir()
    (migrated.root / "run-009").mkdir()
    (migrated.root / "run-009" / "stage1").symlink_to(outside)
    report = migrated.reconcile()
    assert (report.status, report.verdicts) == (1, {"match": 15, "unreadable": 1})
    assert report.named("run_id", "stage", "verdict") == [("run-009", 1, "unreadable")]
