"""Verify names every difference, in runferry's own schema too."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            "ALTER TABLE runferry.ledger DROP COLUMN facts",
            'runferry."ledger" column "facts": expected jsonb, found no such column',
        ),
        (
            "ALTER TABLE runferry.ledger ALTER COLUMN manifest DROP NOT NULL",
            'runferry."ledger" column "manifest": expected NOT NULL, found nullable',
        ),
        (
            "ALTER TABLE runferry.ledger ALTER COLUMN times_applied SET DEFAULT 7",
            'runferry."ledger" column "times_applied" default: expected 1, found 7',
        ),
        (
            "ALTER TABLE runferry.ledger ADD COLUMN note text",
            'runferry."ledger" column "note": expected no such column, found text',
        ),
        ("CREATE TABLE runferry.mine (id int)", 'runferry."mine" table: expected nothing, found a table'),
        (
            "DROP INDEX runferry.delivery_run_id",
            'runferry."delivery" index: expected (run_id, handled_at), found none',
        ),
        (
            "ALTER TABLE runferry.dead_letter DROP CONSTRAINT dead_letter_identity",
            'runferry."dead_letter" unique key: expected (content_sha256, run_id, stage), found none',
        ),
        (
            "ALTER TABLE runferry.ledger DROP CONSTRAINT ledger_stage_check",
            'runferry."ledger" check: expected CHECK (((stage >= 1) AND (stage <= 5))), found none',
        ),
        (
            "ALTER TABLE runferry.reconcile_answer DROP CONSTRAINT reconcile_answer_report_id_fkey",
            'runferry."reconcile_answer" foreign key (report_id): expected to "reconcile_report" (id), found none',
        ),
        (
            "ALTER TABLE runferry.audit ALTER COLUMN id DROP IDENTITY",
            'runferry."audit" column "id" is filled: expected identity always, found by whoever inserts',
        ),
        (
            "UPDATE runferry.schema_migration SET sha256 = 'other'",
            "runferry.schema_migration 0001_runferry.sql: expected ",
        ),
        (
            "UPDATE _prisma_migrations SET checksum = 'other' WHERE migration_name LIKE '%init'",
            "public._prisma_migrations 20251022000000_init: expected ",
        ),
        (
            "UPDATE _prisma_migrations SET finished_at = NULL WHERE migration_name LIKE '%keys'",
            "public._prisma_migrations 20251101000000_idempotency_keys: expected applied, found started, not finished",
        ),
        (
            'ALTER TABLE "Run" ALTER COLUMN "companyId" DROP NOT NULL',
            'public."Run" column "companyId": expected NOT NULL, found nullable',
        ),
        ('DROP INDEX "Run_status_idx"', 'public."Run" index: expected (status), found none'),
        (
            'CREATE UNIQUE INDEX ON "Run" ("documentUrl")',
            'public."Run" unique key: expected none, found (documentUrl)',
        ),
        (
            'ALTER TABLE "StageOutput" DROP CONSTRAINT "StageOutput_runId_fkey", '
            'ADD FOREIGN KEY ("runId") REFERENCES "Run" (id)',
            'public."StageOutput" foreign key (runId): expected on delete cascade, on update cascade, '
            "found on delete no action, on update no action",
        ),
        (
            'ALTER TABLE "Run" ADD CHECK ("currentStage" < 5)',
            'public."Run" check: expected none, found CHECK (("currentStage" < 5))',
        ),
    ],
)
def test_a_difference_is_named_and_the_exit_status_is_1(applied, change, named):
    applied.execute(change)

    result = applied.ops("verify")

    assert result.exit_code == 1
    assert named in result.stdout
    assert "1 difference in the database" in result.stderr


def test_equal_is_exit_status_0_and_one_json_document(applied):
    result = applied.ops("verify", "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["differences"] == []


def test_a_difference_in_json_has_its_parts(applied):
    applied.execute("DROP TABLE runferry.phase_change")

    result = applied.ops("verify", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["differences"] == [
        {
            "schema": "runferry",
            "table": '"phase_change"',
            "subject": "table",
            "expected": "a table",
            "found": "nothing",
            "blocking": True,
        }
    ]


def test_every_table_of_an_empty_database_is_named(empty):
    result = empty.ops("verify")

    assert result.exit_code == 1
    for name in ('public."StageOutput"', 'runferry."ledger"', 'public."RunStatus" enum'):
        assert name in result.stdout


def test_verify_and_status_write_nothing_so_a_standby_will_do(applied):
    name = applied.fetch("SELECT current_database() AS name")[0]["name"]
    applied.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')

    assert applied.ops("verify").exit_code == 0
    assert applied.ops("status").exit_code == 0
    assert applied.ops("apply").exit_code == 0
