"""The structure of a schema's tables, as read from PostgreSQL's catalog."""

from __future__ import annotations

from typing import Any, Final

import asyncpg
from pydantic import BaseModel, ConfigDict

from ops.schema.queries import QUERIES

_ACTIONS: Final = {"a": "no action", "r": "restrict", "c": "cascade", "n": "set null", "d": "set default"}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Frozen):
    """A column; `filled_by` says when PostgreSQL computes it: identity or generated."""

    type: str
    not_null: bool
    default: str | None = None
    filled_by: str | None = None


class Index(_Frozen):
    """An index; of a unique one the order of `columns` has no meaning here, so they are sorted."""

    name: str
    columns: tuple[str, ...]
    unique: bool = False
    primary: bool = False
    usable_key: bool = False
    predicate: str | None = None


class ForeignKey(_Frozen):
    """A foreign key with what happens to the row when its target is deleted or changed."""

    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    on_delete: str
    on_update: str


class Table(_Frozen):
    """One table."""

    columns: dict[str, Column]
    indexes: tuple[Index, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    checks: tuple[str, ...] = ()


class Structure(_Frozen):
    """The tables and enum types of one schema."""

    tables: dict[str, Table]
    enums: dict[str, tuple[str, ...]] = {}

    def only(self, names: frozenset[str]) -> Structure:
        """Return this structure with the tables of `names` alone."""
        return Structure(
            tables={name: table for name, table in self.tables.items() if name in names}, enums=self.enums
        )


async def read_structure(connection: asyncpg.Connection, schema: str) -> Structure:
    """Return the structure of `schema`; must run in a transaction, whose search_path it changes."""
    await connection.execute("SELECT set_config('search_path', quote_ident($1), true)", schema)
    tables: dict[str, dict[str, Any]] = {}
    for row in await connection.fetch(QUERIES["columns"], schema):
        table = tables.setdefault(row["table"], {"columns": {}, "indexes": [], "foreign_keys": [], "checks": []})
        table["columns"][row["name"]] = Column(
            type=row["type"], not_null=row["not_null"], default=row["default"], filled_by=row["filled_by"]
        )
    for row in await connection.fetch(QUERIES["indexes"], schema):
        if row["is_valid"]:
            tables[row["table"]]["indexes"].append(
                Index(
                    name=row["name"],
                    columns=tuple(sorted(row["columns"]) if row["is_unique"] else row["columns"]),
                    unique=row["is_unique"],
                    primary=row["is_primary"],
                    usable_key=row["usable_key"],
                    predicate=row["predicate"],
                )
            )
    for row in await connection.fetch(QUERIES["constraints"], schema):
        if row["kind"] == "c":
            tables[row["table"]]["checks"].append(row["definition"])
        else:
            tables[row["table"]]["foreign_keys"].append(
                ForeignKey(
                    columns=tuple(row["columns"]),
                    target=row["target"],
                    target_columns=tuple(row["target_columns"]),
                    on_delete=_ACTIONS[row["on_delete"]],
                    on_update=_ACTIONS[row["on_update"]],
                )
            )
    enums = {row["name"]: tuple(row["labels"]) for row in await connection.fetch(QUERIES["enums"], schema)}
    return Structure(tables={name: Table(**parts) for name, parts in tables.items()}, enums=enums)
