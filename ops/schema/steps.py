"""Steps of apply: decided one at a time from what is there, each done in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

from ops.schema.differences import compare
from ops.schema.expected import Expected
from ops.schema.facts import Fact
from ops.schema.migrations import NumberedMigration, PrismaMigration
from ops.schema.state import State
from shared.errors import SchemaError


@dataclass(frozen=True, slots=True)
class DeployPrismaMigration:
    """Run one of the web app's migrations and record it as Prisma does."""

    migration: PrismaMigration


@dataclass(frozen=True, slots=True)
class SettleKeys:
    """The web app's tables lack unique keys: add them here, or say who can."""

    keys: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class RunNumberedMigration:
    """Run one of runferry's migrations."""

    migration: NumberedMigration


Step = DeployPrismaMigration | SettleKeys | RunNumberedMigration


def next_step(
    state: State,
    expected: Expected,
    prisma: tuple[PrismaMigration, ...],
    numbered: tuple[NumberedMigration, ...],
) -> Step | None:
    """Return the next step towards the expected schema, None where nothing is left to do.

    Raises SchemaError where no step may be taken.
    """
    refuse_foreign_bookkeeping(state, numbered)
    if _is_ours(state, prisma):
        recorded = {row.name for row in state.prisma_rows or ()}
        for migration in prisma:
            if migration.name not in recorded:
                return DeployPrismaMigration(migration)
    _refuse_other_structure(state, expected)
    if state.missing_keys:
        return SettleKeys(state.missing_keys)
    applied = {version.version for version in state.versions}
    for number in numbered:
        if number.version not in applied:
            return RunNumberedMigration(number)
    return None


def refuse_foreign_bookkeeping(state: State, numbered: tuple[NumberedMigration, ...]) -> None:
    """Raise SchemaError where runferry's schema was made by another build, or for another web app."""
    refuse_newer(state, numbered)
    known = {migration.version: migration for migration in numbered}
    for version in state.versions:
        if version.sha256 != known[version.version].sha256:
            raise SchemaError(
                f'{version.name} is not the file that was applied to the database "{state.database}" on '
                f"{version.applied_at:%Y-%m-%d %H:%M} UTC: another build of runferry made this schema. Use that "
                "build; or, where nothing in the schema runferry is worth keeping, `ops schema revert` and then "
                "`ops schema apply`."
            )
    serves = state.facts.get(Fact.WEB_APP_SCHEMA)
    if serves is not None and serves["name"] != state.app_schema:
        raise SchemaError(
            f'runferry\'s schema in the database "{state.database}" belongs to the web app in the schema '
            f'"{serves["name"]}", and this address says "{state.app_schema}": write ?schema={serves["name"]} in '
            "the address, or use another database."
        )


def refuse_newer(state: State, numbered: tuple[NumberedMigration, ...]) -> None:
    """Raise SchemaError where a newer runferry made the schema."""
    newest = max(migration.version for migration in numbered)
    if state.version > newest:
        raise SchemaError(
            f'runferry\'s schema in the database "{state.database}" is at version {state.version}, newer than the '
            f"{newest} that this runferry knows: upgrade runferry, or use the one that applied it."
        )


def _is_ours(state: State, prisma: tuple[PrismaMigration, ...]) -> bool:
    """Tell whether apply may write Prisma's bookkeeping: it made the tables, or there is nothing at all yet."""
    known = {migration.name: migration.sha256 for migration in prisma}
    rows = state.prisma_rows or ()
    if Fact.WEB_APP_TABLES in state.facts:
        return all(row.finished and known.get(row.name) == row.checksum for row in rows)
    if state.app_tables or state.prisma_rows is not None:
        return False
    if state.other_tables:
        # Prisma's own `migrate deploy` refuses such a schema too (P3005).
        raise SchemaError(
            f'The schema "{state.app_schema}" of the database "{state.database}" is not empty '
            f"({', '.join(state.other_tables[:5])}{', …' if len(state.other_tables) > 5 else ''}) and has none of "
            "the web app's tables: is this the right database? Use an empty one, or deploy the web app first."
        )
    return True


def _refuse_other_structure(state: State, expected: Expected) -> None:
    if not state.app_tables:
        raise SchemaError(
            f'Prisma manages the schema "{state.app_schema}" of the database "{state.database}", but the web '
            "app's tables are not there: deploy it first (`npx prisma migrate deploy`), then run this again."
        )
    keys = set(state.missing_keys)
    blocking = [
        difference
        for difference in compare(expected.web_app, state.app)
        if difference.blocking and not _is_missing_key(difference.table, difference.expected, keys)
    ]
    if blocking:
        raise SchemaError(
            f'The web app\'s tables in the schema "{state.app_schema}" of the database "{state.database}" are not '
            "what runferry writes to; nothing was changed:\n" + "\n".join(f"  {one}" for one in blocking)
        )


def _is_missing_key(table: str, expected: str, keys: set[tuple[str, tuple[str, ...]]]) -> bool:
    return any(table == f'"{name}"' and expected == f"({', '.join(sorted(columns))})" for name, columns in keys)
