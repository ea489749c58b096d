"""The migration folder and the schema lines with which the web app adds the two unique keys itself."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from ops.schema.keys import key_name, plain_name
from ops.schema.migrations import PrismaMigration, keys_migration
from shared.errors import SchemaError
from shared.schema_version import IDEMPOTENCY_KEYS

_SUFFIX: Final = "_idempotency_keys"
_STAMP: Final = "%Y%m%d%H%M%S"
_COMMENT: Final = re.compile(r"^\s*--.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class KeysInApp:
    """What the web app has after the call: its migration's name, None where it keeps no migrations."""

    name: str | None
    path: Path | None
    written: bool
    #: (model, line to take away, line to put there), where schema.prisma lacks it
    schema_lines: tuple[tuple[str, str, str], ...]


def write_keys_migration(to: Path, now: datetime) -> KeysInApp:
    """Write the migration into the web app's Prisma folder `to`, unless it has one that adds the keys.

    Raises SchemaError where `to` is no Prisma folder or can't be written.
    """
    to = _prisma_folder(to)
    migrations = to / "migrations"
    # Prisma also takes a folder of files for its schema.
    schemas = [path for pattern in ("*.prisma", "*/*.prisma") for path in sorted(to.glob(pattern))]
    if not schemas and not migrations.is_dir():
        raise SchemaError(
            f"{to} is no Prisma folder: it has neither a schema.prisma nor migrations. Name the web app's folder, "
            "such as --to ../web/prisma."
        )
    lines = missing_lines("\n".join(path.read_text(encoding="utf-8", errors="replace") for path in schemas))
    if not migrations.is_dir():
        return KeysInApp(None, None, written=False, schema_lines=lines)
    existing = {
        folder.name: script.read_text(encoding="utf-8", errors="replace") if script.is_file() else ""
        for folder in sorted(migrations.iterdir())
        if folder.is_dir()
        for script in [folder / "migration.sql"]
    }
    present = adds_keys(existing)
    if present is not None:
        return KeysInApp(present, migrations / present, written=False, schema_lines=lines)
    migration = plan_migration(existing, keys_migration(), now)
    try:
        _write(migrations, migration)
    except OSError as error:
        raise SchemaError(f"{migrations} can't be written: {error.strerror}.") from error
    return KeysInApp(migration.name, migrations / migration.name, written=True, schema_lines=lines)


def _prisma_folder(to: Path) -> Path:
    """Return the Prisma folder where `to` is its migrations folder, or the web app's own folder."""
    if (to / "migration_lock.toml").is_file():
        return to.parent
    if not (to / "migrations").is_dir() and not any(to.glob("*.prisma")) and (to / "prisma").is_dir():
        return to / "prisma"
    return to


def adds_keys(existing: Mapping[str, str]) -> str | None:
    """Return the name of the last of the migrations that add the keys; None where one of the keys is not added."""
    adding = None
    for table, columns in IDEMPOTENCY_KEYS:
        pattern = re.compile(rf'CREATE\s+UNIQUE\s+INDEX[^;]*"{key_name(table, columns)}"')
        names = [name for name, script in existing.items() if pattern.search(_COMMENT.sub("", script))]
        if not names:
            return None
        adding = max(names[-1], adding or "")
    return adding


def plan_migration(existing: Mapping[str, str], ours: PrismaMigration, now: datetime) -> PrismaMigration:
    """Return the migration to write: after all that exist, and with a name that none of them has.

    Its bytes and name are those that apply records on an empty database, unless the app's history differs.
    """
    last = max(existing, default="")
    name = ours.name if ours.name > last else _later_name(last, now)
    created = "\n".join(_COMMENT.sub("", script) for script in existing.values())
    script = ours.script.decode()
    for table, columns in IDEMPOTENCY_KEYS:
        plain = plain_name(table, columns)
        # Without the plain index in its history the app's shadow database would stop at the DROP.
        if f'CREATE INDEX "{plain}"' not in created:
            script = script.replace(f'DROP INDEX "{plain}"', f'DROP INDEX IF EXISTS "{plain}"')
    return PrismaMigration(name, script.encode())


def _later_name(last: str, now: datetime) -> str:
    stamp = now.astimezone(UTC)
    try:
        newest = datetime.strptime(last[:14], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        newest = stamp
    name = max(stamp, newest + timedelta(seconds=1)).strftime(_STAMP) + _SUFFIX
    if name <= last:
        raise SchemaError(
            f"The web app's last migration is called {last}: no name with a time comes after it. Copy the SQL by "
            "hand from ops/prisma/migrations of runferry."
        )
    return name


def missing_lines(schema: str) -> tuple[tuple[str, str, str], ...]:
    """Return the lines that schema.prisma lacks: the model, the line to take away, the line to put there."""
    lines = []
    for table, columns in IDEMPOTENCY_KEYS:
        model = re.search(rf"^model\s+{table}\s*{{(.*?)^}}", schema, re.DOTALL | re.MULTILINE)
        listed = r"\s*,\s*".join(columns)
        if model is None or not re.search(rf"@@unique\(\s*(?:fields:\s*)?\[\s*{listed}\s*\]", model[1]):
            fields = ", ".join(columns)
            lines.append((table, f"@@index([{fields}])", f"@@unique([{fields}])"))
    return tuple(lines)


def _write(migrations: Path, migration: PrismaMigration) -> None:
    """Write the folder as a whole or not at all: Prisma stops at a folder without its migration.sql."""
    beside = Path(tempfile.mkdtemp(prefix=".runferry-", dir=migrations.parent))
    try:
        (beside / "migration.sql").write_bytes(migration.script)
        beside.chmod(0o755)
        beside.rename(migrations / migration.name)
    except OSError:
        shutil.rmtree(beside, ignore_errors=True)
        raise
