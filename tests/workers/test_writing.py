"""What becomes of outputs in the rows, on real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from writing_bench import (
    BROKEN,
    LOCK_TIMEOUT,
    QUIET,
    Bench,
    at,
    cards,
    context,
    inspirations,
    outputs,
    trends,
)

from shared.contract import Expectation, Hints, Origin, OutputBody, Prefer, RunFailed, RunStarted
from shared.documents import content_sha256
from shared.ids import Stage
from workers.transaction import Transactor


def whole_run(mark: str = "a", when: float = 0, **more):
    return outputs(
        "run-a",
        (1, inspirations(mark), when),
        (2, trends(mark), when),
        (4, context(mark), when),
        (5, cards(mark), when),
        hints=Hints(stages_at_source=(1, 2, 4, 5)),
        **more,
    )


def test_a_run_becomes_all_its_rows_in_one_transaction(bench: Bench) -> None:
    assert bench.write(whole_run()) == [dict.fromkeys((1, 2, 4, 5), "applied")]
    (run,) = bench.rows('SELECT * FROM "Run"')
    assert run["companyId"] == "maple-dairy"
    assert run["companyName"] == "Maple Dairy"
    assert run["documentUrl"] == "https://migrated/run-a"
    assert run["status"] == "COMPLETED"
    assert run["currentStage"] == 5
    assert run["userId"] == "migration-user"
    assert run["completedAt"] == datetime(2025, 10, 7, 12)
    assert bench.rows('SELECT number, problem FROM "OpportunityCard" ORDER BY number')[0] == {
        "number": 1,
        "problem": "P\nover two lines",
    }
    assert bench.rows('SELECT count(*) FROM "StageOutput"')[0]["count"] == 4
    assert bench.rows('SELECT "inspiration1Elements" e FROM "InspirationReport"')[0]["e"] == ["one", "two"]
    (user,) = bench.rows('SELECT * FROM "User"')
    assert (user["id"], user["clerkId"], user["email"]) == (
        "migration-user",
        "migration-user",
        "migration-user@runferry.invalid",
    )


def test_a_duplicate_touches_no_row(bench: Bench) -> None:
    bench.write(whole_run())
    before = [
        bench.rows(f'SELECT xmin::text, ctid::text, id FROM "{t}" ORDER BY id')
        for t in ("Run", "StageOutput", "OpportunityCard", "InspirationReport", "User")
    ]
    assert bench.write(whole_run()) == [dict.fromkeys((1, 2, 4, 5), "duplicate")]
    after = [
        bench.rows(f'SELECT xmin::text, ctid::text, id FROM "{t}" ORDER BY id')
        for t in ("Run", "StageOutput", "OpportunityCard", "InspirationReport", "User")
    ]
    assert before == after


def test_a_later_output_wins_and_an_older_one_never_does(bench: Bench) -> None:
    bench.write(whole_run("old", 0))
    assert set(bench.write(whole_run("new", 60))[0].values()) == {"applied"}
    assert set(bench.write(whole_run("old", 0))[0].values()) == {"superseded"}
    assert {row["title"] for row in bench.rows('SELECT title FROM "OpportunityCard"')} == {
        f"Card {n} new" for n in range(1, 6)
    }


def test_the_same_hash_with_a_later_time_moves_only_the_ledger(bench: Bench) -> None:
    bench.write(outputs("run-a", (1, inspirations(), 0)))
    xmin = bench.rows('SELECT xmin::text FROM "StageOutput"')
    assert bench.write(outputs("run-a", (1, inspirations(), 50))) == [{1: "duplicate"}]
    assert bench.rows('SELECT xmin::text FROM "StageOutput"') == xmin
    assert bench.rows("SELECT produced_at, times_applied FROM runferry.ledger") == [
        {"produced_at": at(50), "times_applied": 1}
    ]
    assert bench.write(outputs("run-a", (1, inspirations("b"), 40))) == [{1: "superseded"}]


def test_a_deleted_row_comes_back_and_the_ledger_alone_makes_no_duplicate(bench: Bench) -> None:
    bench.write(whole_run())
    bench.execute("""DELETE FROM "OpportunityCard" WHERE number = 3""")
    assert bench.write(whole_run())[0] == {1: "duplicate", 2: "duplicate", 4: "duplicate", 5: "applied"}
    assert len(bench.rows('SELECT 1 FROM "OpportunityCard"')) == 5
    assert bench.write(whole_run())[0][5] == "duplicate"


def test_filling_what_is_missing_keeps_a_users_edit(bench: Bench) -> None:
    bench.write(whole_run())
    bench.execute("""DELETE FROM "OpportunityCard" WHERE number = 3""")
    bench.execute("""UPDATE "OpportunityCard" SET title = 'mine' WHERE number = 1""")
    bench.write(whole_run())
    assert bench.rows('SELECT title FROM "OpportunityCard" WHERE number = 1') == [{"title": "mine"}]


def test_damage_comes_back_by_preferring_files_and_only_so(bench: Bench) -> None:
    bench.write(whole_run())
    clean = bench.everything()
    bench.execute("""UPDATE "OpportunityCard" SET problem = 'lost' WHERE number = 2""")
    bench.execute("""DELETE FROM "InspirationReport" """)
    bench.execute("""UPDATE "StageOutput" SET "markdownOutput" = '' WHERE "stageNumber" = 2""")
    bench.write(whole_run())
    assert bench.rows('SELECT problem FROM "OpportunityCard" WHERE number = 2') == [{"problem": "lost"}]
    found = bench.write(whole_run(prefer=Prefer.FILES))[0]
    assert found == {1: "duplicate", 2: "applied", 4: "duplicate", 5: "applied"}
    assert bench.everything() == clean


def test_stars_ids_and_creation_times_survive_a_newer_output(bench: Bench) -> None:
    bench.write(whole_run())
    bench.execute("""UPDATE "OpportunityCard" SET starred = true WHERE number = 4""")
    before = bench.rows('SELECT id, number, starred, "createdAt" FROM "OpportunityCard" ORDER BY number')
    bench.write(whole_run("b", 60))
    assert bench.rows('SELECT id, number, starred, "createdAt" FROM "OpportunityCard" ORDER BY number') == before


def test_cards_the_newer_output_lacks_go_unless_starred_or_edited(bench: Bench) -> None:
    bench.write(whole_run())
    bench.execute("""UPDATE "OpportunityCard" SET starred = true WHERE number = 4""")
    bench.execute("""UPDATE "OpportunityCard" SET tagline = 'edited' WHERE number = 5""")
    bench.write(outputs("run-a", (5, cards("b", (1, 2)), 60)))
    assert [row["number"] for row in bench.rows('SELECT number FROM "OpportunityCard" ORDER BY 1')] == [1, 2, 4, 5]
    (entry,) = bench.rows("SELECT gaps FROM runferry.ledger WHERE stage = 5")
    assert "card 4 is kept" in entry["gaps"]
    assert "card 5 is kept" in entry["gaps"]


def test_a_backfill_never_overwrites_what_the_pipeline_wrote_by_time_alone(bench: Bench) -> None:
    bench.write(outputs("run-a", (1, inspirations("live"), 0), origin=Origin.PIPELINE))
    assert bench.write(outputs("run-a", (1, inspirations("copied"), 99))) == [{1: "conflict"}]
    assert bench.rows('SELECT "inspiration1Title" t FROM "InspirationReport"') == [{"t": "First live"}]
    assert bench.write(outputs("run-a", (1, inspirations("copied"), 99), prefer=Prefer.ROWS)) == [
        {1: "superseded"}
    ]
    assert bench.write(outputs("run-a", (1, inspirations("copied"), 99))) == [{1: "superseded"}]
    assert bench.write(outputs("run-a", (1, inspirations("copied"), 99), prefer=Prefer.FILES)) == [{1: "applied"}]
    assert bench.rows('SELECT "inspiration1Title" t FROM "InspirationReport"') == [{"t": "First copied"}]


def adopt_rows(bench: Bench, *, title: str = "First a") -> None:
    bench.execute("""INSERT INTO "User" VALUES ('u', 'c', 'u@example.com', NULL, now(), now())""")
    bench.execute(
        """INSERT INTO "Run"
           VALUES ('run-a', 'u', 'x', 'X', 'd.pdf', 'url', 'COMPLETED', 5, NULL, now(), now(), now())"""
    )
    bench.execute(
        """INSERT INTO "InspirationReport" VALUES ('r', 'run-a', $1, 'Content a', '{one,two}', 'Second a', 'More', '{}',
           now(), now())""",
        title,
    )
    bench.execute(
        """INSERT INTO "StageOutput" VALUES ('s', 'run-a', 1, '', $1::jsonb, now())""",
        inspirations()[0].content.decode(),
    )


def test_equal_rows_without_a_ledger_entry_are_adopted_untouched(bench: Bench) -> None:
    adopt_rows(bench)
    before = (
        bench.rows('SELECT xmin::text, * FROM "InspirationReport"'),
        bench.rows('SELECT xmin::text, * FROM "Run"'),
    )
    assert bench.write(outputs("run-a", (1, inspirations(), 0))) == [{1: "applied"}]
    after = (
        bench.rows('SELECT xmin::text, * FROM "InspirationReport"'),
        bench.rows('SELECT xmin::text, * FROM "Run"'),
    )
    assert before == after
    assert bench.write(outputs("run-a", (1, inspirations(), 0))) == [{1: "duplicate"}]


def test_differing_rows_without_a_ledger_entry_are_a_conflict_for_files_and_not_for_the_pipeline(
    bench: Bench,
) -> None:
    adopt_rows(bench, title="somebody's own")
    assert bench.write(outputs("run-a", (1, inspirations(), 0))) == [{1: "conflict"}]
    assert bench.rows('SELECT "inspiration1Title" t FROM "InspirationReport"') == [{"t": "somebody's own"}]
    assert bench.write(outputs("run-a", (1, inspirations(), 0), origin=Origin.PIPELINE)) == [{1: "applied"}]
    assert bench.rows('SELECT id, "inspiration1Title" t FROM "InspirationReport"') == [{"id": "r", "t": "First a"}]
    (entry,) = bench.rows("SELECT rows_written FROM runferry.ledger")
    assert "somebody's own" in entry["rows_written"]


def test_a_run_that_was_deleted_in_the_web_app_is_never_brought_back_unasked(bench: Bench) -> None:
    bench.write(whole_run())
    bench.execute("""DELETE FROM "Run" """)
    assert bench.write(whole_run("b", 60)) == [dict.fromkeys((1, 2, 4, 5), "deleted")]
    assert bench.write(whole_run("live", 60, origin=Origin.PIPELINE)) == [dict.fromkeys((1, 2, 4, 5), "deleted")]
    assert bench.rows('SELECT id FROM "Run"') == []
    assert bench.write(whole_run("b", 60, prefer=Prefer.FILES)) == [dict.fromkeys((1, 2, 4, 5), "applied")]
    assert len(bench.rows('SELECT id FROM "OpportunityCard"')) == 5
    assert bench.write(whole_run("b", 60)) == [dict.fromkeys((1, 2, 4, 5), "duplicate")]


def test_the_good_outputs_of_a_message_commit_with_the_dead_letters_of_its_bad_ones(bench: Bench) -> None:
    message = outputs("run-a", (1, BROKEN, 0), (2, trends(), 0))
    assert bench.write(message) == [{1: "dead_lettered", 2: "applied"}]
    assert bench.write(message) == [{1: "dead_lettered", 2: "duplicate"}]
    (letter,) = bench.rows("SELECT run_id, stage, reason, seen, state FROM runferry.dead_letter")
    assert letter == {"run_id": "run-a", "stage": 1, "reason": "not_json", "seen": 2, "state": "open"}


def test_a_later_good_output_resolves_the_dead_letter(bench: Bench) -> None:
    bench.write(outputs("run-a", (1, BROKEN, 0)))
    bench.write(outputs("run-a", (1, inspirations(), 60)))
    assert bench.rows("SELECT state FROM runferry.dead_letter") == [{"state": "resolved"}]
    bench.write(outputs("run-a", (1, BROKEN, 0)))
    assert bench.rows("SELECT state FROM runferry.dead_letter") == [{"state": "resolved"}]


def test_a_mended_output_keeps_the_bad_one_from_dying_again(bench: Bench) -> None:
    bench.write(outputs("run-a", (1, BROKEN, 0)))
    mended = OutputBody.of(Stage(1), inspirations(), at(0), mends=content_sha256(BROKEN))
    bench.write(
        outputs("run-a", (1, inspirations(), 0), origin=Origin.REPLAY, replay_of=Origin.BACKFILL).model_copy(
            update={"outputs": (mended,)}
        )
    )
    assert bench.rows("SELECT state FROM runferry.dead_letter") == [{"state": "mended"}]
    assert bench.write(outputs("run-a", (1, BROKEN, 0))) == [{1: "mended"}]
    assert bench.write(outputs("run-a", (1, BROKEN, 99))) == [{1: "mended"}]


def test_a_repair_holds_only_for_the_state_that_was_seen(bench: Bench) -> None:
    bench.write(outputs("run-a", (1, inspirations("a"), 50)))
    seen = Expectation(content_sha256=content_sha256(inspirations("a")))
    repair = OutputBody.of(Stage(1), inspirations("b"), at(0), expects=seen)
    message = outputs("run-a", (1, inspirations("b"), 0), origin=Origin.REPAIR).model_copy(
        update={"outputs": (repair,)}
    )
    assert bench.write(message) == [{1: "applied"}]
    assert bench.write(message) == [{1: "outdated"}]


def test_the_migration_user_may_be_named_before_it_is_there(bench: Bench) -> None:
    """`producer backfill --user-id migration-user` lets it pass, since workers add it."""
    named = outputs("run-a", (2, trends(), 0), hints=Hints(user_id="migration-user"))
    assert bench.write(named) == [{2: "applied"}]
    assert bench.rows('SELECT "userId" FROM "Run"') == [{"userId": "migration-user"}]


def test_an_unknown_user_is_a_dead_letter_and_a_known_one_owns_the_run_by_either_id(bench: Bench) -> None:
    assert bench.write(outputs("run-a", (2, trends(), 0), hints=Hints(user_id="nobody"))) == [{2: "dead_lettered"}]
    assert bench.rows("SELECT reason FROM runferry.dead_letter") == [{"reason": "unknown_user"}]
    assert bench.rows('SELECT id FROM "Run"') == []
    bench.execute("""INSERT INTO "User" VALUES ('u', 'user_2abc', 'u@example.com', NULL, now(), now())""")
    for run_id, user_id in (("run-b", "u"), ("run-c", "user_2abc")):
        bench.write(outputs(run_id, (5, cards(), 0), hints=Hints(user_id=user_id)))
    assert {row["userId"] for row in bench.rows('SELECT "userId" FROM "Run"')} == {"u"}
    assert {row["userId"] for row in bench.rows('SELECT "userId" FROM "OpportunityCard"')} == {"u"}


def test_a_run_fails_by_event_and_recovers_when_more_arrives(bench: Bench) -> None:
    def event(cls, seconds: float, **more):
        return cls(run_id="run-a", publisher="test", published_at=at(seconds), occurred_at=at(seconds), **more)

    bench.write(event(RunStarted, 0), event(RunFailed, 20, error="out of credit"))
    assert bench.rows('SELECT status::text, "errorMessage" e FROM "Run"') == [
        {"status": "FAILED", "e": "out of credit"}
    ]
    bench.write(outputs("run-a", (1, inspirations(), 30), origin=Origin.PIPELINE))
    assert bench.rows('SELECT status::text, "errorMessage" e FROM "Run"') == [{"status": "RUNNING", "e": None}]
    bench.write(outputs("run-a", (5, cards(), 40), origin=Origin.PIPELINE))
    assert bench.rows('SELECT status::text FROM "Run"') == [{"status": "COMPLETED"}]


def test_a_run_of_the_web_app_is_only_advanced(bench: Bench) -> None:
    adopt_rows(bench)
    bench.execute("""UPDATE "Run" SET status = 'RUNNING', "currentStage" = 2, "completedAt" = NULL""")
    bench.write(outputs("run-a", (5, cards(), 40), (4, context(), 40), origin=Origin.PIPELINE))
    (run,) = bench.rows('SELECT * FROM "Run"')
    assert (run["companyId"], run["companyName"], run["documentName"]) == ("x", "X", "d.pdf")
    assert (run["status"], run["currentStage"]) == ("COMPLETED", 5)
    assert run["completedAt"] is not None


def test_many_messages_of_one_run_in_one_batch_end_as_one_after_the_other(bench: Bench) -> None:
    messages = [whole_run("old", 0), whole_run("new", 60), whole_run("old", 0), outputs("run-a", (1, BROKEN, 30))]
    found = bench.write(*messages, apart=False)
    assert [set(one.values()) for one in found] == [{"applied"}, {"applied"}, {"superseded"}, {"dead_lettered"}]
    assert {row["title"] for row in bench.rows('SELECT title FROM "OpportunityCard"')} == {
        f"Card {n} new" for n in range(1, 6)
    }
    assert bench.rows("SELECT state FROM runferry.dead_letter") == [{"state": "resolved"}]
    assert bench.rows("SELECT times_applied FROM runferry.ledger WHERE stage = 5") == [{"times_applied": 2}]


def test_the_delivery_says_what_became_of_each_output(bench: Bench) -> None:
    bench.write(outputs("run-a", (1, BROKEN, 0), (5, cards("a", (1, 2)), 0), batch_id="b1"))
    (delivery,) = bench.rows("SELECT batch_id, run_id, origin, verdicts, gaps, worker FROM runferry.delivery")
    assert delivery["batch_id"] == "b1"
    assert '"1": "dead_lettered"' in delivery["verdicts"]
    assert "3, 4" in delivery["gaps"] or "3" in delivery["gaps"]


def test_a_superseded_pipeline_output_keeps_its_documents(bench: Bench) -> None:
    bench.write(outputs("run-a", (1, inspirations("new"), 60), origin=Origin.PIPELINE))
    bench.write(outputs("run-a", (1, inspirations("old"), 0), origin=Origin.PIPELINE))
    (kept,) = bench.rows("SELECT name, content, superseded FROM runferry.document")
    assert kept == {"name": "inspirations.json", "content": inspirations("old")[0].content, "superseded": True}


def test_a_backfilled_run_that_ends_early_fails_once_it_has_been_quiet(bench: Bench) -> None:
    hints = Hints(stages_at_source=(1, 2))
    bench.write(outputs("run-a", (1, inspirations(), 0), (2, trends(), 0), hints=hints))
    bench.write(outputs("run-b", (1, inspirations(), 0), (2, trends(), 0), hints=hints, origin=Origin.PIPELINE))
    bench.execute("""UPDATE "Run" SET status = 'RUNNING', "errorMessage" = NULL""")
    bench.execute("""UPDATE runferry.run SET written = written || '{"status": "RUNNING", "errorMessage": null}'""")

    async def settle(connection) -> int:
        async with connection.transaction():
            return await Transactor(QUIET, LOCK_TIMEOUT, "host:1").settle_quiet(connection, 10)

    assert bench.do(settle) == 1
    assert bench.rows('SELECT id, status::text, "errorMessage" e FROM "Run" ORDER BY id') == [
        {
            "id": "run-a",
            "status": "FAILED",
            "e": "The source ends early: it has no output of stages 3, 4 and 5.",
        },
        {"id": "run-b", "status": "RUNNING", "e": None},
    ]
    assert bench.do(settle) == 0


@pytest.mark.parametrize("moment", [datetime.min, datetime.max], ids=["the first", "the last"])
def test_a_moment_that_is_infinity_for_postgresqls_driver_is_a_moment_all_the_same(
    bench: Bench, moment: datetime
) -> None:
    extreme = moment.replace(tzinfo=UTC)
    body = OutputBody.of(Stage.TRENDS, trends(), extreme)
    message = whole_run().model_copy(update={"outputs": (body,), "published_at": extreme})
    events = [
        RunStarted(run_id="run-a", publisher="p", published_at=extreme, occurred_at=extreme),
        RunFailed(run_id="run-a", publisher="p", published_at=extreme, occurred_at=extreme, error="e"),
    ]
    bench.write(message, *events)
    bench.write(whole_run("b"), *events, message)
    assert bench.rows('SELECT count(*) FROM "StageOutput"')[0]["count"] == 4
    assert bench.rows("SELECT count(*) FROM runferry.ledger WHERE NOT isfinite(produced_at)")[0]["count"] == 0


def test_a_hint_and_an_error_that_postgresql_cannot_store_are_worth_no_output(bench: Bench) -> None:
    odd = "\ud800"
    hints = Hints(company_id=odd, company_name=odd, document_name=odd, document_url=odd)
    failed = RunFailed(
        run_id="run-a", publisher="p", published_at=at(1), occurred_at=at(1), error=f"it said {odd}"
    )
    assert bench.write(outputs("run-a", (2, trends(), 0), hints=hints), failed)[0] == {2: "applied"}
    (run,) = bench.rows('SELECT "companyName", "errorMessage" FROM "Run"')
    assert run == {"companyName": "Unknown", "errorMessage": "it said \ufffd"}
