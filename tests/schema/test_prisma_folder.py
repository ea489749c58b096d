"""The migration that is written into the web app's Prisma folder."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from ops.command import main
from ops.schema import apply
from ops.schema.migrations import keys_migration
from ops.schema.prisma_folder import write_keys_migration
from shared.errors import SchemaError

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
OURS = "20251101000000_idempotency_keys"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "migrations").iterdir())


def test_it_has_the_name_and_the_bytes_that_apply_records_on_an_empty_database(app_folder):
    keys = write_keys_migration(app_folder, NOW)

    assert keys.name == OURS
    assert keys.path == app_folder / "migrations" / OURS
    assert (keys.path / "migration.sql").read_bytes() == keys_migration().script
    assert keys.path.stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in app_folder.iterdir()) == ["migrations", "schema.prisma"]


def test_a_second_call_writes_nothing(app_folder):
    first = write_keys_migration(app_folder, NOW)
    before = names(app_folder)

    second = write_keys_migration(app_folder, datetime(2027, 1, 1, tzinfo=UTC))

    assert (first.written, second.written) == (True, False)
    assert second.name == first.name
    assert names(app_folder) == before


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("20260101000000_more", "20260304050607_idempotency_keys"),
        ("20270101235959_ahead_of_its_time", "20270102000000_idempotency_keys"),
        (OURS, "20260304050607_idempotency_keys"),
    ],
)
def test_it_comes_after_the_web_app_s_migrations_and_clashes_with_none(app_folder, last, expected):
    (app_folder / "migrations" / last).mkdir()
    (app_folder / "migrations" / last / "migration.sql").write_text("SELECT 1;\n")

    assert write_keys_migration(app_folder, NOW).name == expected
    assert names(app_folder)[-2] == expected
    assert (app_folder / "migrations" / last / "migration.sql").read_text() == "SELECT 1;\n"


def test_a_name_that_no_time_follows_is_told(app_folder):
    (app_folder / "migrations" / "zz_last").mkdir()

    with pytest.raises(SchemaError, match="zz_last: no name with a time comes after it"):
        write_keys_migration(app_folder, NOW)


def test_keys_that_a_migration_of_the_web_app_adds_are_found(app_folder):
    theirs = app_folder / "migrations" / "20251201000000_unique"
    theirs.mkdir()
    (theirs / "migration.sql").write_text(
        keys_migration().script.decode().replace("CREATE UNIQUE", "create unique")
    )
    (theirs / "migration.sql").write_bytes(keys_migration().script)

    keys = write_keys_migration(app_folder, NOW)

    assert (keys.written, keys.name) == (False, theirs.name)


def test_keys_in_a_comment_are_none(app_folder):
    theirs = app_folder / "migrations" / "20251201000000_unique"
    theirs.mkdir()
    commented = "".join(f"-- {line}\n" for line in keys_migration().script.decode().splitlines())
    (theirs / "migration.sql").write_text(commented)

    assert write_keys_migration(app_folder, NOW).written


def test_a_history_without_the_plain_indexes_is_not_asked_to_drop_them(app_folder):
    first = app_folder / "migrations" / "20251022000000_init" / "migration.sql"
    script = first.read_text().replace('CREATE INDEX "StageOutput_runId_stageNumber_idx"', "-- ")
    first.write_text(script)

    path = write_keys_migration(app_folder, NOW).path

    written = (path / "migration.sql").read_text()
    assert 'DROP INDEX IF EXISTS "StageOutput_runId_stageNumber_idx"' in written
    assert 'DROP INDEX "OpportunityCard_runId_number_idx"' in written


def test_the_lines_of_the_schema_are_named_until_they_are_there(app_folder):
    lines = (
        ("OpportunityCard", "@@index([runId, number])", "@@unique([runId, number])"),
        ("StageOutput", "@@index([runId, stageNumber])", "@@unique([runId, stageNumber])"),
    )
    assert write_keys_migration(app_folder, NOW).schema_lines == lines

    schema = app_folder / "schema.prisma"
    schema.write_text(schema.read_text().replace("@@index([runId, number])", "@@unique(fields: [runId,number])"))
    assert write_keys_migration(app_folder, NOW).schema_lines == lines[1:]
    schema.write_text(schema.read_text().replace("@@index", "@@unique"))
    assert write_keys_migration(app_folder, NOW).schema_lines == ()


def test_the_migrations_folder_or_the_app_itself_may_be_named(app_folder):
    assert write_keys_migration(app_folder / "migrations", NOW).path == app_folder / "migrations" / OURS
    assert not write_keys_migration(app_folder.parent, NOW).written


def test_a_schema_in_several_files_is_read(app_folder):
    (app_folder / "schema").mkdir()
    (app_folder / "schema.prisma").rename(app_folder / "schema" / "runs.prisma")

    assert len(write_keys_migration(app_folder, NOW).schema_lines) == 2


def test_an_app_without_migrations_is_told_of_db_push(tmp_path):
    (tmp_path / "schema.prisma").write_text("")

    result = CliRunner().invoke(main, ["schema", "prisma", "--to", str(tmp_path)])

    assert result.exit_code == 0
    assert "prisma db push" in result.stdout
    assert "@@unique([runId, stageNumber])" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["schema.prisma"]


@pytest.mark.parametrize("to", ["", "nowhere"])
def test_a_folder_that_is_none_of_prisma_s_is_told(tmp_path, to):
    result = CliRunner().invoke(main, ["schema", "prisma", "--to", str(tmp_path / to)])

    assert result.exit_code == 2
    assert "is no Prisma folder" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_the_lines_and_what_to_do_next(app_folder):
    result = CliRunner().invoke(main, ["schema", "prisma", "--to", str(app_folder)])

    assert result.exit_code == 0
    assert f"Wrote {app_folder}/migrations/{OURS}/migration.sql." in result.stdout
    assert "in model StageOutput put @@unique([runId, stageNumber])" in result.stdout
    assert "npx prisma migrate deploy" in result.stdout
    assert f"npx prisma migrate resolve --applied {OURS}" in result.stdout
    again = CliRunner().invoke(main, ["schema", "prisma", "--to", str(app_folder), "--json"])
    assert json.loads(again.stdout)["written"] is False


def test_apply_goes_on_once_the_written_migration_is_deployed(web_made, app_folder):
    path = write_keys_migration(app_folder, NOW).path

    web_made.execute((path / "migration.sql").read_text())

    assert web_made.run(apply).changed
