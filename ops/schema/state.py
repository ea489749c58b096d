"""What is there: one frozen picture of the database, from which apply, status and revert decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from ops.schema.facts import Fact, read_facts
from ops.schema.queries import QUERIES
from ops.schema.search_path import web_app_schema
from ops.schema.structure import Structure, read_structure
from shared.schema_version import IDEMPOTENCY_KEYS, WEB_APP_TABLES

PRISMA_BOOKKEEPING = "_prisma_migrations"


@dataclass(frozen=True, slots=True)
class PrismaRow:
    """A migration in Prisma's bookkeeping."""

    name: str
    checksum: str
    finished: bool


@dataclass(frozen=True, slots=True)
class Version:
    """A numbered migration in runferry's bookkeeping."""

    version: int
    name: str
    sha256: str
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class State:
    """The database as it is."""

    database: str
    role: str
    app_schema: str
    schemas: frozenset[str]
    app_relations: dict[str, str]
    app: Structure
    prisma_rows: tuple[PrismaRow, ...] | None
    has_bookkeeping: bool
    versions: tuple[Version, ...] = ()
    facts: dict[Fact, dict[str, Any]] = field(default_factory=dict)

    @property
    def app_tables(self) -> tuple[str, ...]:
        """The web app's tables that are there."""
        return tuple(name for name in WEB_APP_TABLES if name in self.app.tables)

    @property
    def other_tables(self) -> tuple[str, ...]:
        """Tables in the web app's schema that runferry knows nothing of."""
        known = {*WEB_APP_TABLES, PRISMA_BOOKKEEPING}
        return tuple(name for name in self.app.tables if name not in known)

    @property
    def missing_keys(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The idempotency keys that the web app's tables lack."""
        return tuple(
            (table, columns)
            for table, columns in IDEMPOTENCY_KEYS
            if table in self.app.tables
            and not any(
                index.usable_key and index.columns == tuple(sorted(columns))
                for index in self.app.tables[table].indexes
            )
        )

    @property
    def version(self) -> int:
        """The version of runferry's schema; 0 where there is none."""
        return max((version.version for version in self.versions), default=0)


async def read_state(connection: asyncpg.Connection) -> State:
    """Return the state; must run in a transaction, whose search_path it sets to the web app's schema."""
    around = await connection.fetchrow(QUERIES["surroundings"], list(WEB_APP_TABLES))
    schemas = frozenset(around["schemas"])
    app_schema = around["schema_of_tables"] or web_app_schema(around["search_path"], around["role"], schemas)
    app_relations = {row["name"]: row["kind"] for row in await connection.fetch(QUERIES["relations"], app_schema)}
    structure = await read_structure(connection, app_schema)
    structure = structure.only(frozenset(app_relations))
    prisma_rows = None
    if PRISMA_BOOKKEEPING in structure.tables:
        prisma_rows = tuple(PrismaRow(**row) for row in await connection.fetch(QUERIES["prisma_rows"]))
    runferry = {row["name"] for row in await connection.fetch(QUERIES["relations"], "runferry")}
    has_bookkeeping = {"schema_migration", "schema_fact"} <= runferry
    return State(
        database=around["database"],
        role=around["role"],
        app_schema=app_schema,
        schemas=schemas,
        app_relations=app_relations,
        app=structure,
        prisma_rows=prisma_rows,
        has_bookkeeping=has_bookkeeping,
        versions=tuple(Version(**row) for row in await connection.fetch(QUERIES["versions"]))
        if has_bookkeeping
        else (),
        facts=await read_facts(connection) if has_bookkeeping else {},
    )
