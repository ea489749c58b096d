"""Insertion: records into several tables, in one statement where they are few and by COPY where they are many."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate, chain
from typing import Any, Final

import asyncpg

#: COPY has the cheaper rows and two trips a table; a statement has one trip for all tables. A whole run is 20 rows.
_FEW_RECORDS: Final = 100
#: COPY sends as it goes; the arguments of a statement are in memory more than once.
_FEW_CHARACTERS: Final = 1024 * 1024

_TEXTS: Final = "text[]"
#: Type of a column that tells when the row was written: records say the transaction's time there. PostgreSQL knows it
#: better than a client that has not asked yet. Cut to milliseconds as `shared.mapping.moments` does, never rounded.
WRITTEN_AT: Final = "date_trunc('milliseconds', timezone('UTC', now()))"

Record = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Target:
    """A table that gets records: the columns that they fill, in their order, each with its type.

    A row that has the same `conflict_key` already stays as it is; without one it is an error.
    """

    name: str
    columns: Mapping[str, str]
    schema: str | None = None
    conflict_key: str | None = None

    @cached_property
    def sent(self) -> list[tuple[int, str, str]]:
        """Place, name and type of each column that a statement has an array for."""
        return [
            (place, column, type_)
            for place, (column, type_) in enumerate(self.columns.items())
            if type_ != WRITTEN_AT
        ]

    def insert_sql(self, first_parameter: int, condition: str | None = None) -> str:
        """Return an INSERT of one array a sent column, as parameters that are numbered from the first one on.

        With a `condition`, a relation of one row or none, it inserts only where there is one.
        """
        name = f'"{self.name}"' if self.schema is None else f'{self.schema}."{self.name}"'
        columns = ", ".join(f'"{column}"' for column in self.columns)
        values = {column: WRITTEN_AT for column, type_ in self.columns.items() if type_ == WRITTEN_AT}
        arrays = []
        for number, (_, column, type_) in enumerate(self.sent, first_parameter):
            # PostgreSQL would unpack an array of arrays down to the single texts.
            arrays.append(f'unnest(${number}::{"jsonb" if type_ == _TEXTS else type_}[]) AS "{column}"')
            values[column] = (
                f'CASE WHEN "{column}" IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text("{column}")) END'
                if type_ == _TEXTS
                else f'"{column}"'
            )
        selected = ", ".join(values[column] for column in self.columns)
        statement = (
            f"INSERT INTO {name} ({columns}) SELECT {selected} "  # noqa: S608 - names of this code alone
            f"FROM (SELECT {', '.join(arrays)}) AS new"
        )
        if condition is not None:
            statement += f" CROSS JOIN {condition}"
        return f"{statement} ON CONFLICT ({self.conflict_key}) DO NOTHING" if self.conflict_key else statement

    def arrays(self, records: Sequence[Record]) -> Iterable[Sequence[Any]]:
        """Return the records as the arrays that `insert_sql` takes."""
        columns = list(zip(*records, strict=True))
        for place, _, type_ in self.sent:
            values = columns[place]
            yield [_as_json(value) for value in values] if type_ == _TEXTS else values


async def insert(
    connection: asyncpg.Connection, new: Mapping[Target, Sequence[Record]], channel: str, notice: str | None
) -> None:
    """Insert records inside the caller's transaction, the targets in an order in which foreign keys hold.

    Once it is committed, `notice` is told on the channel, unless it is None.
    """
    rest = {target: records for target, records in new.items() if records}
    if not are_few(rest):
        for target in [target for target in rest if target.conflict_key is None]:
            await connection.copy_records_to_table(
                target.name,
                columns=list(target.columns),
                records=rest.pop(target),
                schema_name=target.schema,
            )
    if rest or notice is not None:
        await connection.execute(_statement(tuple(rest)), channel, notice, *_arrays(rest))


async def insert_if(
    connection: asyncpg.Connection,
    condition: str,
    arguments: Sequence[Any],
    new: Mapping[Target, Sequence[Record]],
    channel: str,
    notice: str | None,
) -> bool:
    """Insert a few records as `insert` does, and tell the notice, but only where a query gives a row; returns whether.

    One statement, which by itself is a transaction. `condition` is a query of one row or none, `arguments` are its own.
    """
    rest = {target: records for target, records in new.items() if records}
    statement = _statement(tuple(rest), condition, len(arguments))
    return bool(await connection.fetch(statement, *arguments, channel, notice, *_arrays(rest)))


def are_few(new: Mapping[Target, Sequence[Record]]) -> bool:
    """Say whether records are few and small enough to be written by one statement."""
    records = list(chain.from_iterable(new.values()))
    if len(records) > _FEW_RECORDS:
        return False
    return sum([len(value) for record in records for value in record if type(value) is str]) <= _FEW_CHARACTERS


@cache
def _statement(targets: tuple[Target, ...], condition: str | None = None, arguments: int = 0) -> str:
    """Return all inserts as one statement, at whose end PostgreSQL checks the foreign keys.

    With a condition, whose `arguments` come first, it gives one row where it wrote, and none where it did not.

    PostgreSQL runs parts of a WITH that nothing refers to from the last one to the first, so the first target is the
    last part: triggers of the web app's see a run before what belongs to it, as with COPY. A test holds it to that.
    """
    channel, notice = f"${arguments + 1}", f"${arguments + 2}"
    firsts = accumulate((len(target.sent) for target in targets), initial=arguments + 3)
    held = "condition" if condition is not None else None
    parts = [
        f"part_{number} AS ({target.insert_sql(first, held)})"
        for number, (target, first) in enumerate(zip(targets, firsts, strict=False))
    ]
    told = f"SELECT pg_notify({channel}, {notice}) WHERE {notice} IS NOT NULL"
    if condition is None:
        return f"{'WITH ' if parts else ''}{', '.join(reversed(parts))} {told}"
    # The notice stands in a subquery, which is asked only for a row that is there.
    parts.append(f"condition AS MATERIALIZED ({condition})")
    return f"WITH {', '.join(reversed(parts))} SELECT ({told}) AS told FROM condition"  # noqa: S608 - as above


def _arrays(new: Mapping[Target, Sequence[Record]]) -> Iterable[Sequence[Any]]:
    return (array for target, records in new.items() for array in target.arrays(records))


def _as_json(texts: Sequence[str] | None) -> str | None:
    if texts is None:
        return None
    # What is no text to PostgreSQL, such as half of a surrogate pair, fails where it does in COPY: as it is sent.
    return json.dumps(texts, ensure_ascii=False) if texts else "[]"
