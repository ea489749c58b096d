"""Apply on empty databases, and twice, at once, killed, without rights."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import asyncpg
import pytest

import ops
from ops.schema import application, apply
from ops.schema.expected import build, expected
from ops.schema.migrations import numbered_migrations, prisma_migrations
from ops.schema.verification import verify
from shared.errors import DatabaseAway, SchemaError
from shared.schema_version import REQUIRED_VERSION, check

FOLDER = Path(ops.__file__).parent


def test_the_required_version_is_the_highest_number_of_the_files():
    assert [migration.version for migration in numbered_migrations()] == list(range(1, REQUIRED_VERSION + 1))


def test_the_expected_structure_is_what_the_migrations_make(empty):
    assert empty.run(build) == expected()
    assert not empty.names("runferry")


def test_an_empty_database_gets_both_bookkeepings_with_the_hashes_of_the_files(empty):
    applied = empty.run(apply)

    assert applied.prisma == ("20251022000000_init", "20251101000000_idempotency_keys")
    assert applied.runferry == ("0001_runferry.sql",)
    rows = empty.fetch("SELECT * FROM _prisma_migrations ORDER BY migration_name")
    assert [row["migration_name"] for row in rows] == list(applied.prisma)
    for row in rows:
        script = FOLDER / "prisma" / "migrations" / row["migration_name"] / "migration.sql"
        assert row["checksum"] == hashlib.sha256(script.read_bytes()).hexdigest()
        assert row["finished_at"] is not None
        assert row["applied_steps_count"] == 1
        assert row["rolled_back_at"] is None
        assert len(row["id"]) == 36
    versions = empty.fetch("SELECT version, name, sha256 FROM runferry.schema_migration")
    script = FOLDER / "sql" / "0001_runferry.sql"
    assert versions == [
        {"version": 1, "name": "0001_runferry.sql", "sha256": hashlib.sha256(script.read_bytes()).hexdigest()}
    ]
    empty.run(check)
    assert empty.run(verify).equal


def test_prisma_s_bookkeeping_has_the_columns_that_prisma_makes(applied):
    columns = applied.fetch(
        "SELECT column_name AS name, data_type AS type, character_maximum_length AS length, "
        "is_nullable = 'YES' AS nullable, column_default AS default "
        "FROM information_schema.columns WHERE table_name = '_prisma_migrations' ORDER BY ordinal_position"
    )

    moment = "timestamp with time zone"
    assert [tuple(column.values()) for column in columns] == [
        ("id", "character varying", 36, False, None),
        ("checksum", "character varying", 64, False, None),
        ("finished_at", moment, None, True, None),
        ("migration_name", "character varying", 255, False, None),
        ("logs", "text", None, True, None),
        ("rolled_back_at", moment, None, True, None),
        ("started_at", moment, None, False, "now()"),
        ("applied_steps_count", "integer", None, False, "0"),
    ]


def test_a_second_apply_changes_nothing(applied):
    before = applied.fetch("SELECT *, xmin::text FROM _prisma_migrations ORDER BY migration_name")

    again = applied.run(apply)

    assert not again.changed
    assert again.version == REQUIRED_VERSION
    assert applied.fetch("SELECT *, xmin::text FROM _prisma_migrations ORDER BY migration_name") == before


def test_applies_at_once_do_every_step_once(empty):
    async def story():
        connections = [await empty.connect() for _ in range(4)]
        try:
            return await asyncio.gather(*(apply(connection) for connection in connections))
        finally:
            for connection in connections:
                await connection.close()

    results = asyncio.run(story())

    done = [step for result in results for step in (*result.prisma, *result.runferry)]
    assert sorted(done) == sorted(
        [*(one.name for one in prisma_migrations()), *(one.name for one in numbered_migrations())]
    )
    assert empty.run(verify).equal


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_a_kill_in_the_middle_leaves_whole_steps_and_the_next_apply_goes_on(empty, monkeypatch, killed_at):
    steps = 0
    do_step = application._do

    async def kill_after(connection, state, step, *, here):
        nonlocal steps
        await do_step(connection, state, step, here=here)
        steps += 1
        if steps == killed_at:
            other = await empty.connect()
            await other.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
            await other.close()

    monkeypatch.setattr(application, "_do", kill_after)
    with pytest.raises(DatabaseAway, match="run `ops schema apply` again"):
        empty.run(apply)
    monkeypatch.undo()

    tables = empty.names("public") & {"User", "Run", "StageOutput", "_prisma_migrations"}
    assert len(tables) == (0 if killed_at == 1 else 4)
    assert ("ledger" in empty.names("runferry")) is False
    with pytest.raises(SchemaError, match="ops schema apply"):
        empty.run(check)
    rest = empty.run(apply)
    assert len(rest.prisma) + len(rest.runferry) == 4 - killed_at
    assert empty.run(verify).equal


def test_a_migration_waits_for_prisma_s_own_lock(empty):
    async def story():
        prisma = await empty.connect()
        await prisma.execute("SELECT pg_advisory_lock(72707369)")
        ours = await empty.connect()
        task = asyncio.create_task(apply(ours))
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        async with asyncio.timeout(20):
            while not await prisma.fetchval(waiting):
                assert not task.done()
        await prisma.execute("SELECT pg_advisory_unlock(72707369)")
        result = await task
        await prisma.close()
        await ours.close()
        return result

    assert asyncio.run(story()).changed


def test_the_tables_go_into_the_schema_of_the_address_which_is_made(empty):
    app = empty.in_schema("app")

    result = app.run(apply)

    assert result.app_schema == "app"
    assert {"Run", "_prisma_migrations"} <= app.names("app")
    assert "Run" not in app.names("public")
    app.run(check)
    assert app.run(verify).equal
    assert not app.run(apply).changed


def test_another_schema_in_the_address_is_refused_once_the_schema_serves_one(applied):
    with pytest.raises(SchemaError, match=r"belongs to the web app in the schema \"public\".*\?schema=public"):
        applied.in_schema("app").run(apply)


def test_a_schema_with_other_tables_and_none_of_the_web_app_s_is_refused_as_prisma_does(empty):
    empty.execute("CREATE TABLE orders (id int)")

    with pytest.raises(SchemaError, match=r"not empty \(orders\).*is this the right database"):
        empty.run(apply)

    assert empty.names("public") == {"orders"}
    assert not empty.names("runferry")


def test_tables_that_prisma_never_made_are_never_made_where_prisma_s_bookkeeping_is(web_made):
    web_made.execute('DROP TABLE "StageOutput", "InspirationReport", "OpportunityCard", "Run", "User"')

    with pytest.raises(SchemaError, match="deploy it first"):
        web_made.run(apply)


def test_a_newer_database_is_refused_with_the_way_out(applied):
    applied.execute("INSERT INTO runferry.schema_migration VALUES (99, '0099_later.sql', 'x')")

    for function in (apply, check):
        with pytest.raises(SchemaError, match=r"version 99, newer than the \d+ that this runferry knows: upgrade"):
            applied.run(function)


def test_a_changed_file_is_refused_with_the_way_out(applied):
    applied.execute("UPDATE runferry.schema_migration SET sha256 = 'other'")

    with pytest.raises(SchemaError, match=r"0001_runferry\.sql is not the file that was applied"):
        applied.run(apply)


def test_an_older_database_is_told_at_the_start_of_a_worker(applied):
    applied.execute("DELETE FROM runferry.schema_migration")

    with pytest.raises(SchemaError, match=r"at version 0, and this runferry needs \d+: run `ops schema apply`"):
        applied.run(check)


def test_a_reset_of_the_web_app_is_told_at_the_start_of_a_worker(applied):
    applied.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    with pytest.raises(SchemaError, match='lacks the web app\'s tables "User"'):
        applied.run(check)
    assert applied.run(apply).prisma == tuple(one.name for one in prisma_migrations())
    applied.run(check)


def test_a_role_without_rights_is_told_what_it_needs(role):
    with pytest.raises(
        SchemaError, match=r"lacks a right: permission denied for database.*GRANT CREATE ON DATABASE"
    ):
        role.run(apply)


def test_a_role_that_may_create_needs_no_superuser(empty, role):
    name = empty.fetch("SELECT current_database() AS name")[0]["name"]
    empty.execute(
        f'GRANT CREATE ON DATABASE "{name}" TO runferry_plain; GRANT CREATE ON SCHEMA public TO runferry_plain'
    )

    assert role.run(apply).changed
    assert role.run(verify).equal


def test_a_worker_s_role_without_rights_is_told_at_its_start(empty, role):
    empty.run(apply)

    with pytest.raises(SchemaError, match='does not let "runferry_plain" read the schema runferry'):
        role.run(check)


def test_a_role_that_may_not_look_is_told_what_looking_needs(empty, role):
    empty.run(apply)

    with pytest.raises(SchemaError, match=r"lacks a right: .*`ops schema verify` needs USAGE .* SELECT"):
        role.run(verify)


def test_a_read_only_database_is_told(empty):
    name = empty.fetch("SELECT current_database() AS name")[0]["name"]
    empty.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')

    with pytest.raises(SchemaError, match=r"The database is read-only.*primary"):
        empty.run(apply)


def test_two_processes_never_meet_half_a_step(empty):
    """Whatever a reader sees between two steps is complete for its version."""

    async def story():
        reader = await empty.connect()
        task = asyncio.create_task(_apply(empty))
        seen = set()
        while not task.done():
            tables = await reader.fetchval(
                "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_prisma_migrations'"
            )
            seen.add(tables)
            await asyncio.sleep(0)
        await task
        await reader.close()
        return seen

    assert asyncio.run(story()) <= {0, 5}


async def _apply(database) -> None:
    connection: asyncpg.Connection = await database.connect()
    try:
        await apply(connection)
    finally:
        await connection.close()
