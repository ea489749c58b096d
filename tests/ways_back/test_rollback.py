"""`ops rollback`: it leaves exactly what runferry did not make."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from dramatiq import Message
from ways_back_bench import Installation, whole_run
from writing_bench import BROKEN, T0, cards, inspirations, outputs, trends

from shared import queues
from shared.broker.broker import make_broker
from shared.contract import Origin, RunStarted, to_wire
from shared.ids import RunId
from workers.held_state import lock_runs

NOW = T0.replace(tzinfo=None)


def web_app_made(installation: Installation, runs: int = 500) -> None:
    """Runs that the web app made: with reports of both kinds of empty lists, cards, stars and stage outputs."""
    bench = installation.bench
    bench.execute(
        """
        INSERT INTO "User" VALUES ('u', 'user_2abc', 'u@example.com', 'U', '2025-01-01 10:00:00.123', '2025-01-02')
        """
    )
    bench.execute(
        """
        INSERT INTO "Run" SELECT 'web-' || n, 'u', 'maple-dairy', 'Maple', 'd.pdf', 'https://x/' || n, 'RUNNING', 3,
               NULL, '2025-03-01 10:00:00.123', '2025-03-02 10:00:00.456', NULL
        FROM generate_series(1, $1::integer) AS n
        """,
        runs,
    )
    bench.execute(
        """
        INSERT INTO "InspirationReport" SELECT 'report-' || n, 'web-' || n, 'T', 'C', NULL, 'T2', 'C2', '{}',
               '2025-03-01 10:00:00.123', '2025-03-02 10:00:00.456' FROM generate_series(1, $1::integer) AS n
        """,
        runs,
    )
    bench.execute(
        """
        INSERT INTO "OpportunityCard"
        SELECT 'card-' || n || '-' || c, 'web-' || n, 'u', c, 'Title', '', 'p', 's', '', 't', 'q', n % 3 = 0,
               '2025-03-01 10:00:00.123', '2025-03-02 10:00:00.456'
        FROM generate_series(1, $1::integer) AS n, generate_series(1, 2) AS c
        """,
        runs,
    )
    bench.execute(
        """
        INSERT INTO "StageOutput" SELECT 'output-' || n, 'web-' || n, 2, '# Web' || chr(10), '{"b": 1.50, "a": null}',
               '2025-03-01 10:00:00.123' FROM generate_series(1, $1::integer) AS n
        """,
        runs,
    )


def test_a_rollback_of_all_migrated_runs_leaves_exactly_what_others_made(installation: Installation) -> None:
    web_app_made(installation)
    before = installation.tables()
    bench = installation.bench
    installation.migrate(*(f"run-{number:02}" for number in range(40)))
    # What files say of runs that the web app made, where somebody said to prefer them.
    for number in range(1, 21):
        installation.migrate(f"web-{number}", prefer="files")
    bench.write(outputs("broken", (1, BROKEN, 0), (2, trends(), 0)))
    assert installation.tables()["InspirationReport"] != before["InspirationReport"]

    ended = installation.ops("rollback", "--all-migrated", "--json").json

    assert installation.tables() == before
    assert ended["kept"] == []
    assert ended["runs"] == 61
    assert ended["runs_deleted"] == 41
    assert ended["user_removed"]
    for table in ("run", "ledger", "document"):
        assert bench.rows(f"SELECT count(*) AS n FROM runferry.{table}") == [{"n": 0}]
    assert bench.rows("SELECT reason, state FROM runferry.dead_letter") == [
        {"reason": "not_json", "state": "open"}
    ]
    assert (Path(ended["backup"]) / "manifest.json").exists()
    begun, audit = bench.rows("SELECT action, subject::text AS subject FROM runferry.audit ORDER BY id")
    assert (begun["action"], audit["action"]) == ("rollback begun", "rollback")
    assert ended["backup"] in audit["subject"]


def test_stars_edits_and_cards_of_the_web_app_stay_to_the_byte(installation: Installation) -> None:
    bench = installation.bench
    web_app_made(installation, 3)
    before = installation.tables()
    installation.migrate("starred", "edited", "added", "plain", "renamed")
    bench.execute(
        """UPDATE "OpportunityCard" SET starred = true, "updatedAt" = $1 WHERE "runId" = 'starred' AND number = 4""",
        NOW,
    )
    bench.execute("""UPDATE "OpportunityCard" SET solution = 'mine' WHERE "runId" = 'edited' AND number = 2""")
    bench.execute("""DELETE FROM "OpportunityCard" WHERE "runId" = 'added' AND number = 5""")
    bench.execute(
        """
        INSERT INTO "OpportunityCard"
        VALUES ('own', 'added', 'u', 5, 'Mine', '', '', '', '', '', '', false, $1, $1)
        """,
        NOW,
    )
    bench.execute("""UPDATE "Run" SET "companyName" = 'Renamed' WHERE id = 'renamed'""")
    theirs = {
        "Run": bench.rows(
            """SELECT t::text AS row FROM "Run" AS t WHERE id = ANY('{starred,edited,added,renamed}')"""
        ),
        "OpportunityCard": bench.rows(
            """
            SELECT t::text AS row FROM "OpportunityCard" AS t
            WHERE (starred AND "runId" = 'starred') OR solution = 'mine' OR id = 'own'
            """
        ),
        "User": bench.rows("""SELECT t::text AS row FROM "User" AS t WHERE id = 'migration-user'"""),
    }

    ended = installation.ops("rollback", "--all-migrated", "--json").json

    expected = {
        table: sorted(rows + [row["row"] for row in theirs.get(table, [])]) for table, rows in before.items()
    }
    assert {table: sorted(rows) for table, rows in installation.tables().items()} == expected
    named = {(kept["run_id"], kept["table"], kept["number"], kept["why"]) for kept in ended["kept"]}
    assert named == {
        ("starred", "OpportunityCard", 4, "starred"),
        ("starred", "Run", None, "rows that are kept hang on it"),
        ("edited", "OpportunityCard", 2, "edited since runferry wrote it"),
        ("edited", "Run", None, "rows that are kept hang on it"),
        ("added", "Run", None, "rows that are kept hang on it"),
        ("renamed", "Run", None, "changed in the web app since runferry wrote it"),
    }
    assert not ended["user_removed"]


def test_an_edit_that_a_newer_output_overwrote_is_put_back(installation: Installation) -> None:
    bench = installation.bench
    bench.write(outputs("run-a", (5, cards("a"), 0), origin=Origin.PIPELINE))
    bench.execute("""UPDATE "OpportunityCard" SET title = 'mine', "updatedAt" = $1 WHERE number = 3""", NOW)
    edited = bench.rows('SELECT t::text AS row FROM "OpportunityCard" AS t WHERE number = 3')
    bench.write(outputs("run-a", (5, cards("b"), 60), origin=Origin.PIPELINE))
    assert bench.rows('SELECT title FROM "OpportunityCard" WHERE number = 3') == [{"title": "Card 3 b"}]

    installation.ops("rollback", "--run-id", "run-a")

    assert bench.rows('SELECT t::text AS row FROM "OpportunityCard" AS t') == edited


def test_what_was_changed_after_runferry_overwrote_it_stays_changed(installation: Installation) -> None:
    web_app_made(installation, 1)
    installation.migrate("web-1", prefer="files")
    bench = installation.bench
    bench.execute("""UPDATE "InspirationReport" SET "inspiration1Title" = 'mine'""")
    bench.execute("""UPDATE "Run" SET status = 'FAILED'""")
    report = bench.rows('SELECT t::text AS row FROM "InspirationReport" AS t')

    ended = installation.ops("rollback", "--run-id", "web-1", "--json").json

    assert bench.rows('SELECT t::text AS row FROM "InspirationReport" AS t') == report
    (run,) = bench.rows('SELECT status::text, "companyName", "currentStage" FROM "Run"')
    assert run == {"status": "FAILED", "companyName": "Maple", "currentStage": 3}
    assert {kept["table"] for kept in ended["kept"]} == {"Run", "InspirationReport"}


def test_rows_that_unknown_tables_refer_to_stay(installation: Installation) -> None:
    bench = installation.bench
    bench.execute(
        """
        CREATE TABLE public."Note" (
            id text PRIMARY KEY, "cardId" text REFERENCES "OpportunityCard" ON DELETE CASCADE,
            "runId" text REFERENCES "Run" ON DELETE CASCADE
        )
        """
    )
    installation.migrate("with-card-note", "with-run-note", "without")
    bench.execute(
        """
        INSERT INTO "Note"
        SELECT 'n1', id, NULL FROM "OpportunityCard" WHERE "runId" = 'with-card-note' AND number = 1
        """
    )
    bench.execute("""INSERT INTO "Note" VALUES ('n2', NULL, 'with-run-note')""")

    installation.ops("rollback", "--all-migrated")

    assert bench.rows('SELECT id FROM "Note" ORDER BY 1') == [{"id": "n1"}, {"id": "n2"}]
    assert bench.rows('SELECT id FROM "Run" ORDER BY 1') == [{"id": "with-card-note"}, {"id": "with-run-note"}]
    assert bench.rows('SELECT number FROM "OpportunityCard"') == [{"number": 1}]


def test_a_backfill_after_a_rollback_applies_everything_again(installation: Installation) -> None:
    installation.migrate("run-a", "run-b")
    before = installation.bench.everything()
    installation.ops("rollback", "--run-id", "run-a")
    (again,) = installation.bench.write(whole_run("run-a"))
    assert set(again.values()) == {"applied"}
    assert installation.bench.everything() == before


def test_runs_of_live_pipelines_are_left_alone_unless_asked(installation: Installation) -> None:
    installation.migrate("migrated", "mixed")
    installation.bench.write(
        outputs("live", (1, inspirations(), 0), origin=Origin.PIPELINE),
        outputs("mixed", (2, trends("b"), 60), origin=Origin.PIPELINE),
        RunStarted(run_id="begun", publisher="test", published_at=T0, occurred_at=T0),
    )
    ended = installation.ops("rollback", "--all-migrated", "--json").json
    assert ended["pipeline_runs_left_alone"] == 3
    assert [run["id"] for run in installation.bench.rows('SELECT id FROM "Run" ORDER BY 1')] == [
        "begun",
        "live",
        "mixed",
    ]

    installation.ops("rollback", "--all-migrated", "--include-pipeline")
    assert installation.bench.rows('SELECT id FROM "Run"') == []


def test_a_dry_run_counts_the_same_and_changes_nothing(installation: Installation) -> None:
    web_app_made(installation, 2)
    installation.migrate("run-a", "run-b")
    installation.bench.execute(
        """UPDATE "OpportunityCard" SET starred = true WHERE "runId" = 'run-a' AND number = 1"""
    )
    before = installation.tables()

    dry = installation.ops("rollback", "--all-migrated", "--dry-run", "--json").json
    assert installation.tables() == before
    assert installation.bench.rows("SELECT count(*) AS n FROM runferry.ledger") == [{"n": 8}]
    assert not (installation.settings.home / "backups").exists()

    real = installation.ops("rollback", "--all-migrated", "--json").json
    apart = ("dry_run", "seconds", "backup")
    assert {k: v for k, v in dry.items() if k not in apart} == {k: v for k, v in real.items() if k not in apart}


def test_messages_that_are_still_in_the_queues_are_a_reason_to_refuse(installation: Installation) -> None:
    installation.migrate("run-a")
    before = installation.tables()
    broker = make_broker(installation.environment["REDIS_URL"], installation.settings)
    message: Message[Any] = Message(
        queues.BACKFILL, queues.WRITE_BACKFILL, (), {"message": to_wire(whole_run("run-a"))}, {}
    )
    broker.enqueue(message)
    ended = installation.ops("rollback", "--all-migrated", expect=2)
    broker.flush(queues.BACKFILL)
    broker.close()
    assert "still in the queues (run-a)" in ended.stderr
    assert installation.tables() == before


def test_a_run_that_the_web_app_deleted_stays_remembered(installation: Installation) -> None:
    installation.migrate("gone", "run-a")
    installation.bench.execute("""DELETE FROM "Run" WHERE id = 'gone'""")
    ended = installation.ops("rollback", "--all-migrated", "--json").json
    assert ended["deleted_in_web_app"] == 1
    (verdicts,) = installation.bench.write(whole_run("gone"))
    assert set(verdicts.values()) == {"deleted"}


def test_a_rollback_waits_for_the_writer_of_its_run(installation: Installation) -> None:
    installation.migrate("run-a")

    async def hold() -> bool:
        connection = await asyncpg.connect(installation.bench.dsn)
        try:
            async with connection.transaction():
                await lock_runs(connection, [RunId("run-a")])
                rolling = asyncio.create_task(
                    asyncio.to_thread(installation.ops, "rollback", "--run-id", "run-a", "--no-backup", "--yes")
                )
                waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                while not await connection.fetchval(waiting):
                    assert not rolling.done()
                    await asyncio.sleep(0.02)
                before = bool(await connection.fetchval('SELECT count(*) FROM "Run"'))
            await rolling
            return before
        finally:
            await connection.close()

    assert asyncio.run(hold())
    assert installation.bench.rows('SELECT id FROM "Run"') == []


def test_an_adopted_row_was_there_before_and_stays(installation: Installation) -> None:
    installation.migrate("run-a")
    installation.bench.execute("TRUNCATE runferry.ledger, runferry.run, runferry.document")
    before = installation.tables()
    installation.migrate("run-a")
    ended = installation.ops("rollback", "--all-migrated", "--json").json
    assert ended["rows_that_existed"] == 10
    assert installation.tables() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Say which runs"),
        (("--run-id", "a", "--all-migrated"), "Say which runs"),
        (("--run-id", "nobody"), "runferry has written nothing of nobody"),
        (("--run-id", "a", "--include-pipeline"), "goes with --all-migrated"),
        (("--all-migrated", "--no-backup"), "add --yes"),
    ],
)
def test_wrong_usage_is_told(installation: Installation, words: tuple[str, ...], said: str) -> None:
    assert said in installation.ops("rollback", *words, expect=2).stderr


def test_what_a_rollback_kept_is_adopted_by_the_next_backfill(installation: Installation) -> None:
    installation.migrate("starred")
    installation.bench.execute('UPDATE "OpportunityCard" SET starred = true WHERE number = 4')
    installation.ops("rollback", "--all-migrated")
    (verdicts,) = installation.bench.write(whole_run("starred"))
    assert set(verdicts.values()) == {"applied"}
    cards_now = installation.bench.rows('SELECT number, starred FROM "OpportunityCard" ORDER BY 1')
    assert [row["starred"] for row in cards_now] == [False, False, False, True, False]
