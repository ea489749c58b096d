"""Apply on databases whose tables the web app made: it never writes Prisma's bookkeeping there."""

from __future__ import annotations

import asyncio
import json

import pytest

from ops.schema import apply
from ops.schema.status import read_status
from ops.schema.verification import verify
from shared.errors import SchemaError
from shared.schema_version import check

PRISMA_ROWS = "SELECT *, xmin::text FROM _prisma_migrations ORDER BY migration_name"
KEYS = {"OpportunityCard_runId_number_key", "StageOutput_runId_stageNumber_key"}
PLAIN = {"OpportunityCard_runId_number_idx", "StageOutput_runId_stageNumber_idx"}


def here(connection):
    return apply(connection, here=True)


def test_missing_keys_are_explained_with_both_ways_and_nothing_is_changed(web_made):
    before = web_made.fetch(PRISMA_ROWS)

    with pytest.raises(SchemaError) as raised:
        web_made.run(apply)

    text = str(raised.value)
    assert '"OpportunityCard" (runId, number) and "StageOutput" (runId, stageNumber)' in text
    assert "ops schema prisma --to APP/prisma" in text
    assert "npx prisma migrate deploy" in text
    assert "ops schema apply --here" in text
    assert web_made.fetch(PRISMA_ROWS) == before
    assert web_made.names("public") >= PLAIN
    assert not web_made.names("runferry")


def test_apply_goes_on_once_the_web_app_has_deployed_the_keys(web_made_with_keys):
    before = web_made_with_keys.fetch(PRISMA_ROWS)

    applied = web_made_with_keys.run(apply)

    assert (applied.prisma, applied.keys) == ((), ())
    assert applied.runferry
    assert web_made_with_keys.fetch(PRISMA_ROWS) == before
    web_made_with_keys.run(check)
    assert web_made_with_keys.run(verify).equal


def test_a_web_app_that_deployed_the_same_migrations_by_itself_is_left_its_bookkeeping(empty):
    empty.run(apply)
    empty.execute("DROP SCHEMA runferry CASCADE")
    before = empty.fetch(PRISMA_ROWS)

    assert empty.run(apply).prisma == ()
    assert empty.fetch(PRISMA_ROWS) == before


def test_tables_without_any_bookkeeping_of_prisma_get_none(web_made_with_keys):
    web_made_with_keys.execute("DROP TABLE _prisma_migrations")

    web_made_with_keys.run(apply)

    assert "_prisma_migrations" not in web_made_with_keys.names("public")
    assert web_made_with_keys.run(verify).equal


def test_here_adds_the_keys_in_the_place_of_the_plain_indexes_and_no_row_of_prisma_s(web_made):
    before = web_made.fetch(PRISMA_ROWS)

    applied = web_made.run(here)

    assert applied.keys == ("OpportunityCard", "StageOutput")
    assert web_made.names("public") >= KEYS
    assert not web_made.names("public") & PLAIN
    assert web_made.fetch(PRISMA_ROWS) == before
    web_made.run(check)
    assert web_made.run(verify).equal


def test_here_on_tables_that_have_the_keys_adds_nothing(web_made_with_keys):
    assert web_made_with_keys.run(here).keys == ()


def test_two_applies_here_at_once_add_the_keys_once(web_made):
    async def story():
        connections = [await web_made.connect() for _ in range(2)]
        try:
            return await asyncio.gather(*(here(connection) for connection in connections))
        finally:
            for connection in connections:
                await connection.close()

    assert sum(len(result.keys) for result in asyncio.run(story())) == 2


def test_a_key_of_any_name_and_order_of_columns_will_do(web_made):
    web_made.execute(
        'ALTER TABLE "OpportunityCard" ADD CONSTRAINT one_card UNIQUE ("number", "runId");'
        'CREATE UNIQUE INDEX one_output ON "StageOutput" ("stageNumber", "runId")'
    )

    assert web_made.run(apply).keys == ()
    web_made.run(check)
    assert web_made.run(verify).equal


@pytest.mark.parametrize(
    "key",
    [
        'ALTER TABLE "StageOutput" ADD UNIQUE ("runId", "stageNumber") DEFERRABLE',
        'CREATE UNIQUE INDEX ON "StageOutput" ("runId", "stageNumber") WHERE "stageNumber" > 1',
        'CREATE UNIQUE INDEX ON "StageOutput" ("runId", lower("stageNumber"::text))',
        'CREATE UNIQUE INDEX ON "StageOutput" ("runId", "stageNumber", "id")',
    ],
)
def test_a_key_that_an_insert_can_t_rely_on_is_none(web_made, key):
    web_made.execute('CREATE UNIQUE INDEX ON "OpportunityCard" ("runId", "number")')
    web_made.execute(key)

    with pytest.raises(
        SchemaError, match=r'lack the unique keys of "StageOutput" \(runId, stageNumber\), without'
    ):
        web_made.run(apply)


def test_an_unusable_index_under_the_key_s_name_is_named(web_made):
    web_made.execute(
        'CREATE UNIQUE INDEX "StageOutput_runId_stageNumber_key" ON "StageOutput" ("runId", "stageNumber", "id")'
    )

    with pytest.raises(SchemaError, match='There is an index "StageOutput_runId_stageNumber_key", but'):
        web_made.run(here)

    assert "OpportunityCard_runId_number_key" not in web_made.names("public")


@pytest.mark.parametrize("work", [apply, here])
def test_duplicates_in_the_way_are_listed_and_nothing_is_changed(web_made, duplicate_rows, work):
    web_made.execute(duplicate_rows)

    with pytest.raises(SchemaError) as raised:
        web_made.run(work)

    assert '"OpportunityCard" run run-1 number 1: ids card-a, card-b' in str(raised.value)
    assert '"StageOutput" run run-1 number 2: ids out-a, out-b' in str(raised.value)
    assert web_made.names("public") >= PLAIN
    assert not web_made.names("public") & KEYS
    assert not web_made.names("runferry")


def test_status_lists_every_duplicate(web_made, duplicate_rows):
    web_made.execute(duplicate_rows)

    document = web_made.run(read_status).document()

    assert document["web_app"]["duplicates"] == [
        {"table": "OpportunityCard", "run_id": "run-1", "number": 1, "ids": ("card-a", "card-b")},
        {"table": "StageOutput", "run_id": "run-1", "number": 2, "ids": ("out-a", "out-b")},
    ]
    assert not document["complete"]


def test_here_waits_for_nobody_for_long(web_made):
    async def story():
        app = await web_made.connect()
        await app.execute('BEGIN; LOCK TABLE "StageOutput" IN ROW EXCLUSIVE MODE')
        ours = await web_made.connect()
        try:
            await apply(ours, here=True)
        finally:
            await app.close()
            await ours.close()

    with pytest.raises(SchemaError, match=r"Somebody else holds what `ops schema apply` needs.*run it again"):
        asyncio.run(story())
    assert web_made.names("public") >= PLAIN


@pytest.mark.parametrize(
    "change",
    [
        'ALTER TABLE "Run" ADD COLUMN "priority" integer',
        'ALTER TABLE "Run" ADD COLUMN "priority" integer NOT NULL DEFAULT 0',
        'ALTER TABLE "Run" ADD COLUMN "twice" integer GENERATED ALWAYS AS ("currentStage" * 2) STORED',
        'ALTER TABLE "Run" ADD COLUMN "serial" bigint NOT NULL GENERATED ALWAYS AS IDENTITY',
        "CREATE TABLE invoices (id int)",
        'CREATE VIEW finished AS SELECT * FROM "Run"',
        'CREATE INDEX ON "Run" ("documentName")',
        "ALTER TYPE \"RunStatus\" ADD VALUE 'CANCELLED'",
        'ALTER TABLE "User" ALTER COLUMN "email" SET STATISTICS 500',
        'ALTER INDEX "Run_status_idx" RENAME TO by_status',
    ],
)
def test_what_the_web_app_may_have_more_is_no_difference(web_made_with_keys, change):
    web_made_with_keys.execute(change)

    assert web_made_with_keys.run(apply).changed
    assert web_made_with_keys.run(verify).differences == ()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            'ALTER TABLE "Run" DROP COLUMN "documentUrl"',
            '"Run" column "documentUrl": expected text, found no such column',
        ),
        (
            'ALTER TABLE "StageOutput" ALTER COLUMN "jsonOutput" TYPE json',
            '"StageOutput" column "jsonOutput" type: expected jsonb, found json',
        ),
        (
            'ALTER TABLE "Run" ALTER COLUMN "createdAt" TYPE timestamptz',
            '"Run" column "createdAt" type: expected timestamp(3) without time zone, found timestamp with time zone',
        ),
        (
            'ALTER TABLE "Run" ALTER COLUMN "completedAt" SET NOT NULL',
            '"Run" column "completedAt": expected nullable, found NOT NULL',
        ),
        (
            'ALTER TABLE "Run" ADD COLUMN "priority" integer NOT NULL',
            '"Run" column "priority": expected no such column, or one that may be left out, '
            "found integer NOT NULL without a default",
        ),
        (
            'ALTER TABLE "Run" ALTER COLUMN "createdAt" DROP DEFAULT',
            '"Run" column "createdAt" default: expected CURRENT_TIMESTAMP, found none',
        ),
        (
            'DROP INDEX "InspirationReport_runId_key"',
            '"InspirationReport" unique key: expected (runId), found none',
        ),
        (
            'ALTER TABLE "StageOutput" DROP CONSTRAINT "StageOutput_runId_fkey"',
            '"StageOutput" foreign key (runId): expected to "Run" (id), found none',
        ),
        (
            'ALTER TABLE "StageOutput" DROP CONSTRAINT "StageOutput_pkey"',
            '"StageOutput" primary key: expected (id)',
        ),
        ('DROP TABLE "InspirationReport"', '"InspirationReport" table: expected a table, found nothing'),
        (
            'ALTER TABLE "Run" ALTER COLUMN "status" DROP DEFAULT, ALTER COLUMN "status" TYPE text',
            '"Run" column "status" type: expected "RunStatus", found text',
        ),
        (
            "ALTER TYPE \"RunStatus\" RENAME VALUE 'FAILED' TO 'BROKEN'",
            '"RunStatus" enum: expected (PENDING, RUNNING, COMPLETED, FAILED), found no (FAILED)',
        ),
    ],
)
def test_tables_that_differ_are_refused_with_the_differences_named(web_made_with_keys, change, named):
    web_made_with_keys.execute(change)

    with pytest.raises(SchemaError) as raised:
        web_made_with_keys.run(apply)

    assert named in str(raised.value)
    assert not web_made_with_keys.names("runferry")
    assert any(named in f"{difference}" for _, difference in web_made_with_keys.run(verify).differences)


def test_the_web_app_s_tables_in_another_schema_are_found_and_kept_apart(web_made_with_keys):
    web_made_with_keys.execute("ALTER SCHEMA public RENAME TO app; CREATE SCHEMA public")
    app = web_made_with_keys.in_schema("app")

    assert app.run(apply).app_schema == "app"
    app.run(check)
    assert app.run(verify).equal
    assert web_made_with_keys.names("public") == set()


def test_the_keys_are_added_in_the_schema_of_the_address(web_made):
    web_made.execute("ALTER SCHEMA public RENAME TO app; CREATE SCHEMA public")
    app = web_made.in_schema("app")

    assert app.run(here).keys == ("OpportunityCard", "StageOutput")
    assert app.names("app") >= KEYS
    assert app.run(verify).equal


def test_a_role_that_doesn_t_own_the_tables_is_told_at_here(web_made, role):
    web_made.execute(
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO runferry_plain;"
        'GRANT UPDATE ON "OpportunityCard", "StageOutput" TO runferry_plain'
    )

    with pytest.raises(SchemaError, match="must be owner of table OpportunityCard"):
        role.run(here)


def test_a_schema_that_somebody_made_for_the_role_is_enough(web_made_with_keys, role):
    web_made_with_keys.execute(
        "CREATE SCHEMA runferry AUTHORIZATION runferry_plain;"
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO runferry_plain"
    )

    assert role.run(apply).changed
    assert role.run(verify).equal


def test_the_command_says_what_the_web_app_must_do_after_here(web_made):
    result = web_made.ops("apply", "--here")

    assert result.exit_code == 0
    assert "Added the unique key of OpportunityCard." in result.stdout
    assert "npx prisma migrate resolve --applied NAME" in result.stderr


def test_the_command_ends_with_2_and_both_ways_where_keys_are_missing(web_made):
    result = web_made.ops("apply", "--json")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "ops schema apply --here" in result.stderr


def test_status_says_what_is_there_and_what_comes_next(web_made):
    result = web_made.ops("status", "--json")

    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["web_app"]["made_by"] == "the web app"
    assert document["web_app"]["missing_keys"] == [
        {"table": "OpportunityCard", "columns": ["runId", "number"]},
        {"table": "StageOutput", "columns": ["runId", "stageNumber"]},
    ]
    assert document["runferry"]["version"] == 0
    assert document["runferry"]["pending"] == ["0001_runferry.sql"]
    text = web_made.ops("status").stdout
    assert "made by the web app" in text
    assert "ops schema prisma --to APP/prisma" in text
