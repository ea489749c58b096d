"""Insertion: records into several tables, in one statement where they are few and by COPY where they are many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, Final

import asyncpg
import orjson

#: COPY has the cheaper rows and two trips a table; a statement has one trip for all tables. A whole run is 20 rows.
_FEW: Final = 100

_TEXTS: Final = "text[]"

Record = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A table that gets records: the columns that they fill, in their order, each with its type.

    `stays` is the key by which a row that is there already stays as it is; None where that is an error.
    """

    name: str
    columns: Mapping[str, str]
    schema: str | None = None
    stays: str | None = None

    def insert(self, first: int) -> str:
        """Return an INSERT of one array a column, as parameters from number `first` on."""
        name = f'"{self.name}"' if self.schema is None else f'{self.schema}."{self.name}"'
        columns = ", ".join(f'"{column}"' for column in self.columns)
        arrays, values = [], []
        for number, (column, type_) in enumerate(self.columns.items(), first):
            # PostgreSQL would unpack an array of arrays down to the single texts.
            arrays.append(f'unnest(${number}::{"jsonb" if type_ == _TEXTS else type_}[]) AS "{column}"')
            values.append(
                f'ARRAY(SELECT jsonb_array_elements_text("{column}"))' if type_ == _TEXTS else f'"{column}"'
            )
        statement = (
            f"INSERT INTO {name} ({columns}) SELECT {', '.join(values)} "  # noqa: S608 - names of this code alone
            f"FROM (SELECT {', '.join(arrays)}) AS new"
        )
        return statement if self.stays is None else f"{statement} ON CONFLICT ({self.stays}) DO NOTHING"

    def arrays(self, records: Sequence[Record]) -> Iterable[list[Any]]:
        """Return the records as the arrays that `insert` takes."""
        for place, type_ in enumerate(self.columns.values()):
            values = [record[place] for record in records]
            yield [orjson.dumps(value).decode() for value in values] if type_ == _TEXTS else values


async def insert(
    connection: asyncpg.Connection, new: Mapping[Target, Sequence[Record]], channel: str, notice: str | None
) -> None:
    """Insert records inside the caller's transaction, the targets in an order in which foreign keys hold.

    Once it is committed, `notice` is told on the channel, unless it is None.
    """
    rest = {target: records for target, records in new.items() if records}
    if sum(map(len, rest.values())) > _FEW:
        for target in [target for target in rest if target.stays is None]:
            await connection.copy_records_to_table(
                target.name,
                columns=list(target.columns),
                records=rest.pop(target),
                schema_name=target.schema,
            )
    if rest or notice is not None:
        arrays = (array for target, records in rest.items() for array in target.arrays(records))
        await connection.execute(_statement(tuple(rest)), channel, notice, *arrays)


@cache
def _statement(targets: tuple[Target, ...]) -> str:
    """Return all inserts as one statement, at whose end PostgreSQL checks the foreign keys."""
    firsts = accumulate((len(target.columns) for target in targets), initial=3)
    parts = [
        f"part_{number} AS ({target.insert(first)})"
        for number, (target, first) in enumerate(zip(targets, firsts, strict=False))
    ]
    return f"{'WITH ' if parts else ''}{', '.join(parts)} SELECT pg_notify($1, $2) WHERE $2 IS NOT NULL"
