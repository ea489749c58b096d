"""`--final`: files may be deleted on its word, so whatever only the files hold must be named, and allowed by name."""

from __future__ import annotations

from proof_bench import OLD_S, Ended, Proof

from producers.emitter import Emitter
from shared.documents import Document


def refused(ended: Ended, verdict: str, place: tuple[str, int]) -> bool:
    """Whether a report is balanced, but not final, because one output stands so and is only on disk."""
    report = ended.json
    (only,) = [one for one in report["named"] if one.get("only_on_disk")]
    return (
        (ended.status, report["balanced"], report["final"]) == (1, True, False)
        and report["only_on_disk"] == {verdict: 1}
        and (only["verdict"], only["run_id"], only["stage"]) == (verdict, *place)
    )


def test_an_older_file_that_no_row_holds_is_refused_until_it_is_allowed_by_name(migrated: Proof) -> None:
    migrated.write("run-000", 3, "universal-lessons.md", "# Old\n", at_s=OLD_S - 50)
    assert refused(migrated.reconcile("--final"), "superseded", ("run-000", 3))
    assert migrated.reconcile("--final", "--allow", "edited").status == 1
    allowed = migrated.reconcile("--final", "--allow", "superseded")
    assert (allowed.status, allowed.json["final"]) == (0, True)
    text = migrated.report("--final")
    assert "run-000 stage 3: superseded: only on disk" in text
    assert "ops backup --to DIR" in text
    assert "--final --allow superseded" in text
    assert "1 output is only on disk; you allowed that: superseded" in migrated.report(
        "--final", "--allow", "superseded"
    )


def test_a_superseded_output_whose_documents_were_kept_may_go(migrated: Proof) -> None:
    old, new = (Document("universal-lessons.md", text) for text in (b"# Old\n", b"# New\n"))
    with Emitter(migrated.settings) as emitter:
        emitter.emit("run-000", 3, [new])
        migrated.settle()
        # An emit is always later than the last of its run and stage; only one that names its time can be late.
        emitter.emit("run-000", 3, [old], produced_at=migrated.moment(OLD_S + 10))
    migrated.settle()
    migrated.write("run-000", 3, "universal-lessons.md", old.content, at_s=OLD_S + 10)
    report = migrated.reconcile("--final")
    assert (report.status, report.verdicts) == (0, {"match": 14, "superseded": 1})
    migrated.execute("UPDATE runferry.document SET content = 'damaged' WHERE superseded")
    assert refused(migrated.reconcile("--final"), "superseded", ("run-000", 3))


def test_an_edited_card_may_go_and_an_edited_stage_output_may_not(migrated: Proof) -> None:
    migrated.execute(
        """UPDATE "OpportunityCard" SET title = 'Mine', "updatedAt" = now() + interval '1 s'
           WHERE "runId" = 'run-000' AND number = 1"""
    )
    migrated.execute("""UPDATE "Run" SET "companyName" = 'Mine' WHERE id = 'run-001'""")
    report = migrated.reconcile("--final")
    assert (report.status, report.verdicts) == (0, {"match": 13, "edited": 2})
    # The documents of stage 5 are made from this row again, not from the cards.
    migrated.execute(
        """UPDATE "StageOutput" SET "markdownOutput" = '' WHERE "runId" = 'run-000' AND "stageNumber" = 5"""
    )
    report = migrated.reconcile("--final")
    assert (report.status, report.verdicts) == (1, {"match": 13, "edited": 1, "differs": 1})


def test_files_of_a_deleted_run_are_the_last_copy(migrated: Proof) -> None:
    migrated.execute("""DELETE FROM "Run" WHERE id = 'run-000'""")
    report = migrated.reconcile("--final")
    # Of stage 2 the bytes are kept beside the rows: it has a number that jsonb can't give back.
    assert (report.status, report.json["only_on_disk"]) == (1, {"deleted": 4})
    assert migrated.reconcile("--final", "--allow", "deleted").status == 0


def test_discarded_and_mended_outputs_may_go_while_their_letters_hold_the_bytes(proof: Proof) -> None:
    proof.tree(2)
    proof.malformed()
    with proof.worker():
        assert proof.backfill().status == 0
        proof.execute("UPDATE runferry.dead_letter SET state = 'discarded', closed_at = now()")
        assert proof.reconcile("--final").verdicts == {"match": 9, "discarded": 1}
        assert proof.reconcile("--final").status == 0
        proof.execute("UPDATE runferry.dead_letter SET payload = convert_to('{}', 'UTF8')")
        assert refused(proof.reconcile("--final"), "discarded", ("run-000", 2))
        # A letter that was purged holds nothing any more; what was mended stays accounted for by the ledger.
        (letter,) = proof.fetch("DELETE FROM runferry.dead_letter RETURNING content_sha256")
        proof.execute(
            "UPDATE runferry.ledger SET mends = ARRAY[$1] WHERE run_id = 'run-001' AND stage = 2",
            letter["content_sha256"],
        )
        proof.malformed("run-001")
        report = proof.reconcile("--final", "--run-id", "run-001")
        assert refused(report, "mended", ("run-001", 2))


def test_letters_and_messages_of_other_content_keep_the_files_as_well(migrated: Proof) -> None:
    migrated.execute(
        """INSERT INTO runferry.dead_letter (run_id, stage, content_sha256, reason, sentence, fingerprint,
               first_failed_at, last_failed_at, worker_host, worker_pid, worker_version, payload)
           VALUES ('run-000', 2, 'x', 'not_json', '', 'f', now(), now(), 'h', 1, '0', '')"""
    )
    report = migrated.reconcile("--final")
    assert (report.status, report.verdicts) == (1, {"match": 15})
    assert report.json["elsewhere"] == {"open_letters": 1, "in_flight": 0}
    assert migrated.reconcile("--final", "--run-id", "run-001").status == 0
    assert migrated.reconcile("--final", "--run-id", "run-000").status == 1
    assert "Open dead letters: 1" in migrated.report("--final")


def test_options_that_say_nothing_together_are_refused(proof: Proof) -> None:
    for words, sentence in (
        (("--allow", "deleted"), "--allow is about --final"),
        (("--final", "--allow", "missing"), "--allow does not take missing"),
        (("--final", "--sample", "5"), "--final needs --all or --run-id"),
        (("--no-wait", "--repair"), "leave out --no-wait"),
        (("--no-wait", "--run-workers", "1"), "leave out --no-wait"),
    ):
        ended = proof.reconcile(*words)
        assert (ended.status, ended.stdout) == (2, "")
        assert sentence in ended.stderr
