"""Insertion: records into several tables, in one statement where they are few and by COPY where they are many."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, chain
from typing import Any, Final

import asyncpg

#: COPY has the cheaper rows and two trips a table; a statement has one trip for all tables. A whole run is 20 rows.
_FEW_RECORDS: Final = 100
#: COPY sends as it goes; the arguments of a statement are in memory more than once.
_FEW_CHARACTERS: Final = 1024 * 1024

_TEXTS: Final = "text[]"

Record = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A table that gets records: the columns that they fill, in their order, each with its type.

    A row that has the same `conflict_key` already stays as it is; without one it is an error.
    """

    name: str
    columns: Mapping[str, str]
    schema: str | None = None
    conflict_key: str | None = None

    def insert_sql(self, first_parameter: int) -> str:
        """Return an INSERT of one array a column, as parameters that are numbered from the first one on."""
        name = f'"{self.name}"' if self.schema is None else f'{self.schema}."{self.name}"'
        columns = ", ".join(f'"{column}"' for column in self.columns)
        arrays, values = [], []
        for number, (column, type_) in enumerate(self.columns.items(), first_parameter):
            # PostgreSQL would unpack an array of arrays down to the single texts.
            arrays.append(f'unnest(${number}::{"jsonb" if type_ == _TEXTS else type_}[]) AS "{column}"')
            values.append(
                f'CASE WHEN "{column}" IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text("{column}")) END'
                if type_ == _TEXTS
                else f'"{column}"'
            )
        statement = (
            f"INSERT INTO {name} ({columns}) SELECT {', '.join(values)} "  # noqa: S608 - names of this code alone
            f"FROM (SELECT {', '.join(arrays)}) AS new"
        )
        return f"{statement} ON CONFLICT ({self.conflict_key}) DO NOTHING" if self.conflict_key else statement

    def arrays(self, records: Sequence[Record]) -> Iterable[list[Any]]:
        """Return the records as the arrays that `insert_sql` takes."""
        for place, type_ in enumerate(self.columns.values()):
            values = [record[place] for record in records]
            yield [_as_json(value) for value in values] if type_ == _TEXTS else values


async def insert(
    connection: asyncpg.Connection, new: Mapping[Target, Sequence[Record]], channel: str, notice: str | None
) -> None:
    """Insert records inside the caller's transaction, the targets in an order in which foreign keys hold.

    Once it is committed, `notice` is told on the channel, unless it is None.
    """
    rest = {target: records for target, records in new.items() if records}
    if not _are_few(rest.values()):
        for target in [target for target in rest if target.conflict_key is None]:
            await connection.copy_records_to_table(
                target.name,
                columns=list(target.columns),
                records=rest.pop(target),
                schema_name=target.schema,
            )
    if rest or notice is not None:
        arrays = (array for target, records in rest.items() for array in target.arrays(records))
        await connection.execute(_statement(tuple(rest)), channel, notice, *arrays)


def _are_few(new: Iterable[Sequence[Record]]) -> bool:
    records = list(chain.from_iterable(new))
    if len(records) > _FEW_RECORDS:
        return False
    return sum([len(value) for record in records for value in record if type(value) is str]) <= _FEW_CHARACTERS


@cache
def _statement(targets: tuple[Target, ...]) -> str:
    """Return all inserts as one statement, at whose end PostgreSQL checks the foreign keys.

    It runs parts of a WITH that nothing refers to from the last one to the first, so the first target is the last
    part: triggers of the web app's see a run before what belongs to it, as they do with COPY. A test holds it to that.
    """
    firsts = accumulate((len(target.columns) for target in targets), initial=3)
    parts = [
        f"part_{number} AS ({target.insert_sql(first)})"
        for number, (target, first) in enumerate(zip(targets, firsts, strict=False))
    ]
    return f"{'WITH ' if parts else ''}{', '.join(reversed(parts))} SELECT pg_notify($1, $2) WHERE $2 IS NOT NULL"


def _as_json(texts: Sequence[str] | None) -> str | None:
    if texts is None:
        return None
    # What is no text to PostgreSQL, such as half of a surrogate pair, fails where it does in COPY: as it is sent.
    return json.dumps(texts, ensure_ascii=False) if texts else "[]"
