"""Roles: the least rights of workers, producers and operators, as `ops/sql/roles.sql` grants them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import asyncpg

from ops.schema.locking import take_lock
from ops.schema.refusals import explained_refusals

ROLES: Final = ("runferry_worker", "runferry_producer", "runferry_ops")

_FILE: Final = Path(__file__).parent.parent / "sql" / "roles.sql"
_BLOCK: Final = re.compile(r"^DO \$\$.*?^END \$\$;", re.MULTILINE | re.DOTALL)
_GRANT: Final = re.compile(r"GRANT (?P<rights>.+?) ON (?P<tables>[^()]+?) TO (?P<role>\w+)")
_RIGHT: Final = re.compile(r"(?P<right>[A-Z]+)(?:\s*\((?P<columns>[^)]*)\))?")


@dataclass(frozen=True, slots=True)
class NeededRight:
    """One right on a table that a role needs; without columns, on all of it. Table and columns are quoted as SQL."""

    role: str
    table: str
    right: str
    columns: tuple[str, ...] = ()


def roles_script() -> str:
    """Return the SQL that makes the roles and grants them their rights."""
    return _FILE.read_text(encoding="utf-8")


@cache
def needed_rights() -> tuple[NeededRight, ...]:
    """Return what the script grants by table; that operators read every table is not among it."""
    return tuple(_rights_in(roles_script()))


async def grant_roles(connection: asyncpg.Connection) -> str:
    """Make the roles, grant them what this version needs and nothing else, and return the database's name.

    One transaction. Raises SchemaError where the tables are missing or this role may not.
    """
    with explained_refusals("ops schema roles"):
        async with connection.transaction():
            await take_lock(connection)
            await connection.execute(roles_script())
            name: str = await connection.fetchval("SELECT current_database()")
            return name


def _rights_in(script: str) -> Iterator[NeededRight]:
    statements = re.sub(r"--.*", "", _BLOCK.sub("", script))
    for statement in statements.split(";"):
        if not (words := " ".join(statement.split())):
            continue
        grant = _GRANT.fullmatch(words)
        if grant is None:
            raise ValueError(f"roles.sql: not a grant by table: {words}")
        for table in grant["tables"].split(","):
            for right in _RIGHT.finditer(grant["rights"]):
                columns = tuple(column.strip() for column in (right["columns"] or "").split(",") if column.strip())
                yield NeededRight(grant["role"], table.strip(), right["right"], columns)
