"""Revert takes away what apply added, and no row of the web app."""

from __future__ import annotations

import asyncio
import json

import pytest

from ops.schema import apply, reversion
from ops.schema.reversion import revert
from ops.schema.verification import verify
from shared.errors import DatabaseAway, SchemaError

INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexdef"
USER = "INSERT INTO \"User\" (id, \"clerkId\", email, \"updatedAt\") VALUES ('u', 'u', 'u@example.invalid', now())"
LETTER = (
    "INSERT INTO runferry.dead_letter (content_sha256, reason, sentence, fingerprint, first_failed_at, "
    "last_failed_at, worker_host, worker_pid, worker_version, payload) "
    "VALUES ('x', 'not_json', '', 'f', now(), now(), 'h', 1, '0', '')"
)


def here(connection):
    return apply(connection, here=True)


def test_what_apply_made_in_an_empty_database_goes_without_a_trace(empty):
    trace = (
        "SELECT count(*) AS n FROM pg_class WHERE relnamespace = 'public'::regnamespace UNION ALL "
        "SELECT count(*) FROM pg_type WHERE typname = 'RunStatus' UNION ALL "
        "SELECT count(*) FROM pg_namespace WHERE nspname = 'runferry'"
    )
    before = empty.fetch(trace)
    empty.run(apply)

    reverted = empty.run(revert)

    assert reverted.kept == ()
    assert empty.fetch(trace) == before
    assert empty.run(apply).changed
    assert empty.run(verify).equal


def test_tables_with_a_row_stay_with_every_row_and_with_prisma_s_bookkeeping(applied):
    applied.execute(USER)
    before = applied.fetch('SELECT *, xmin::text FROM "User"')

    reverted = applied.run(revert)

    assert reverted.kept == ('the web app\'s tables: there are rows in "User"',)
    assert applied.fetch('SELECT *, xmin::text FROM "User"') == before
    assert len(applied.fetch("SELECT * FROM _prisma_migrations")) == 2
    assert not applied.names("runferry")
    assert applied.run(apply).prisma == ()
    assert applied.run(verify).equal


def test_tables_that_the_web_app_built_on_stay(applied):
    applied.execute(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count) "
        "VALUES ('3', 'theirs', '20260101000000_more', now(), 1)"
    )

    reverted = applied.run(revert)

    assert reverted.kept == ("the web app's tables: the web app has deployed 20260101000000_more since",)
    assert "Run" in applied.names("public")


def test_tables_that_something_depends_on_stay(applied):
    applied.execute('CREATE TABLE invoices (run text REFERENCES "Run" (id))')

    reverted = applied.run(revert)

    assert "invoices" in reverted.kept[0]
    assert {"Run", "User", "invoices"} <= applied.names("public")
    assert not applied.names("runferry")


def test_tables_that_the_web_app_made_stay_even_when_they_are_empty(web_made_with_keys):
    before = web_made_with_keys.fetch(INDEXES)
    web_made_with_keys.run(apply)

    web_made_with_keys.run(revert)

    assert web_made_with_keys.fetch(INDEXES) == before
    assert not web_made_with_keys.names("runferry")


def test_keys_that_here_added_go_and_the_plain_indexes_come_back(web_made):
    before = web_made.fetch(INDEXES)
    web_made.run(here)
    assert web_made.fetch(INDEXES) != before

    web_made.run(revert)

    assert web_made.fetch(INDEXES) == before


def test_keys_that_the_web_app_has_taken_up_since_stay(web_made):
    web_made.run(here)
    before = web_made.fetch(INDEXES)
    web_made.execute(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at) "
        "VALUES ('2', 'c', '20251101000000_idempotency_keys', clock_timestamp(), clock_timestamp())"
    )

    reverted = web_made.run(revert)

    assert "20251101000000_idempotency_keys since" in reverted.kept[0]
    assert web_made.fetch(INDEXES) == before


def test_a_schema_that_was_there_before_stays_empty(web_made_with_keys):
    web_made_with_keys.execute("CREATE SCHEMA runferry")
    web_made_with_keys.run(apply)

    web_made_with_keys.run(revert)

    assert web_made_with_keys.names("runferry") == set()
    assert web_made_with_keys.fetch("SELECT 1 AS is_there FROM pg_namespace WHERE nspname = 'runferry'")


def test_the_schema_of_the_address_that_apply_made_goes_too(empty):
    app = empty.in_schema("app")
    app.run(apply)

    app.run(revert)

    assert not empty.fetch("SELECT 1 FROM pg_namespace WHERE nspname IN ('app', 'runferry')")


@pytest.mark.parametrize("state", ["open", "replaying"])
def test_open_dead_letters_are_refused_unless_both_words_are_said(applied, state):
    applied.execute(LETTER)
    applied.execute(f"UPDATE runferry.dead_letter SET state = '{state}'")

    refused = applied.ops("revert", "--yes")

    assert refused.exit_code == 2
    assert "1 dead letter is open, and this database holds its only copy" in refused.stderr
    assert "dead_letter" in applied.names("runferry")
    assert applied.ops("revert", "--even-with-dead-letters").exit_code == 2
    assert applied.ops("revert", "--yes", "--even-with-dead-letters").exit_code == 0
    assert not applied.names("runferry")


def test_a_closed_dead_letter_is_no_hindrance(applied):
    applied.execute(LETTER)
    applied.execute("UPDATE runferry.dead_letter SET state = 'resolved'")

    assert applied.ops("revert", "--yes").exit_code == 0


def test_the_command_says_what_is_lost_and_asks(applied):
    applied.execute("INSERT INTO runferry.audit (who, action) VALUES ('w', 'a'), ('w', 'b')")

    refused = applied.ops("revert", input="n\n")

    assert refused.exit_code == 1
    assert "loses 2 in audit." in refused.stderr
    assert "ledger" in applied.names("runferry")
    agreed = applied.ops("revert", "--json", input="y\n")
    assert agreed.exit_code == 0
    assert json.loads(agreed.stdout)["lost"]["audit"] == 2
    assert not applied.names("runferry")


def test_a_revert_of_nothing_asks_nothing(web_made):
    result = web_made.ops("revert")

    assert result.exit_code == 0
    assert "nothing that `ops schema apply` made" in result.stderr


def test_somebody_else_s_table_in_the_schema_stops_the_revert_and_is_named(applied):
    applied.execute("CREATE TABLE runferry.mine (id int)")

    with pytest.raises(
        SchemaError, match=r"Something else depends.*table runferry\.mine depends on schema runferry\). Nothing"
    ):
        applied.run(revert)

    assert "ledger" in applied.names("runferry")
    assert "Run" in applied.names("public")


def test_a_newer_schema_is_left_to_the_newer_runferry(applied):
    applied.execute("INSERT INTO runferry.schema_migration VALUES (99, '0099_later.sql', 'x')")

    with pytest.raises(SchemaError, match="version 99"):
        applied.run(revert)


def test_a_kill_in_the_middle_of_a_revert_leaves_everything(web_made, monkeypatch):
    web_made.run(here)
    before = web_made.fetch(INDEXES)

    async def kill(connection, *_):
        other = await web_made.connect()
        await other.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
        await other.close()
        await connection.execute("SELECT 1")

    monkeypatch.setattr(reversion, "_drop_own", kill)
    with pytest.raises(DatabaseAway):
        web_made.run(revert)

    assert web_made.fetch(INDEXES) == before
    assert web_made.run(verify).equal


def test_an_apply_and_a_revert_at_once_end_with_all_or_nothing(empty):
    async def one(work):
        connection = await empty.connect()
        try:
            return await work(connection)
        finally:
            await connection.close()

    async def story():
        await asyncio.gather(one(apply), one(revert), one(apply))

    asyncio.run(story())

    assert empty.run(verify).equal or not empty.names("runferry")
