"""Differences between the structure that is needed and the one that is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ops.schema.structure import Column, ForeignKey, Index, Structure, Table


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference; `blocking` says that runferry can't work right with it."""

    table: str
    subject: str
    expected: str
    found: str
    blocking: bool

    def __str__(self) -> str:
        return f"{self.table} {self.subject}: expected {self.expected}, found {self.found}"


def compare(expected: Structure, found: Structure) -> tuple[Difference, ...]:
    """Return what of `expected` is not so in `found`.

    More tables, more plain indexes, more enum values, and more columns that an INSERT may leave out are no
    difference: the web app is free to have them. Indexes are compared by what they do, not by their names.
    """
    return tuple(_differences(expected, found))


def compare_own(expected: Structure, found: Structure) -> tuple[Difference, ...]:
    """Return the same for runferry's own schema, where more tables and columns are differences, too."""
    more = [
        Difference(_quoted(name), "table", "nothing", "a table", blocking=False)
        for name in found.tables
        if name not in expected.tables
    ]
    more += [
        Difference(_quoted(name), f"column {_quoted(column)}", "no such column", found_column.type, blocking=False)
        for name, table in expected.tables.items()
        if name in found.tables
        for column, found_column in found.tables[name].columns.items()
        if column not in table.columns and not _must_be_given(found_column)
    ]
    return (*_differences(expected, found), *more)


def _differences(expected: Structure, found: Structure) -> Iterator[Difference]:
    for name, labels in expected.enums.items():
        there = found.enums.get(name)
        if there is None:
            yield Difference(_quoted(name), "enum", _listed(labels), "no such type", blocking=True)
        elif missing := [label for label in labels if label not in there]:
            yield Difference(_quoted(name), "enum", _listed(labels), f"no {_listed(missing)}", blocking=True)
    for name, table in expected.tables.items():
        there_table = found.tables.get(name)
        if there_table is None:
            yield Difference(_quoted(name), "table", "a table", "nothing", blocking=True)
            continue
        yield from _column_differences(name, table, there_table)
        yield from _index_differences(name, table.indexes, there_table.indexes)
        yield from _foreign_key_differences(name, table.foreign_keys, there_table.foreign_keys)
        yield from _check_differences(name, table, there_table)


def _column_differences(name: str, expected: Table, found: Table) -> Iterator[Difference]:
    for column_name, column in expected.columns.items():
        subject = f"column {_quoted(column_name)}"
        there = found.columns.get(column_name)
        if there is None:
            yield Difference(_quoted(name), subject, column.type, "no such column", blocking=True)
            continue
        if column.type != there.type:
            yield Difference(_quoted(name), f"{subject} type", column.type, there.type, blocking=True)
        if column.filled_by != there.filled_by:
            yield Difference(
                _quoted(name),
                f"{subject} is filled",
                column.filled_by or "by whoever inserts",
                there.filled_by or "by whoever inserts",
                blocking=True,
            )
        if column.not_null != there.not_null:
            # A stricter column refuses the NULLs that runferry writes; a looser one takes all that it writes.
            yield Difference(
                _quoted(name), subject, _nullability(column), _nullability(there), blocking=there.not_null
            )
        if _default(column) != _default(there):
            # An INSERT leaves out what has a default.
            blocking = there.default is None and there.not_null
            yield Difference(
                _quoted(name),
                f"{subject} default",
                column.default or "none",
                there.default or "none",
                blocking=blocking,
            )
    for column_name, there in found.columns.items():
        if column_name not in expected.columns and _must_be_given(there):
            yield Difference(
                _quoted(name),
                f"column {_quoted(column_name)}",
                "no such column, or one that may be left out",
                f"{there.type} NOT NULL without a default",
                blocking=True,
            )


def _index_differences(name: str, expected: tuple[Index, ...], found: tuple[Index, ...]) -> Iterator[Difference]:
    for index in expected:
        if index.unique:
            if not any(
                there.usable_key and there.columns == index.columns and (there.primary or not index.primary)
                for there in found
            ):
                subject = "primary key" if index.primary else "unique key"
                yield Difference(_quoted(name), subject, _listed(index.columns), "none", blocking=True)
        elif not any(_serves(index, there) for there in found):
            yield Difference(_quoted(name), "index", _described(index), "none", blocking=False)
    wanted = {index.columns for index in expected if index.unique}
    for there in found:
        if there.unique and there.columns not in wanted:
            yield Difference(_quoted(name), "unique key", "none", _described(there), blocking=False)


def _serves(index: Index, there: Index) -> bool:
    """Tell whether `there` does what the plain `index` does; a key of the same columns does, too."""
    if there.predicate != index.predicate:
        return False
    return there.columns == (tuple(sorted(index.columns)) if there.unique else index.columns)


def _foreign_key_differences(
    name: str, expected: tuple[ForeignKey, ...], found: tuple[ForeignKey, ...]
) -> Iterator[Difference]:
    for key in expected:
        same = [
            there
            for there in found
            if (there.columns, there.target, there.target_columns) == (key.columns, key.target, key.target_columns)
        ]
        subject = f"foreign key {_listed(key.columns)}"
        target = f"{_quoted(key.target)} {_listed(key.target_columns)}"
        if not same:
            yield Difference(_quoted(name), subject, f"to {target}", "none", blocking=True)
        elif all((there.on_delete, there.on_update) != (key.on_delete, key.on_update) for there in same):
            yield Difference(_quoted(name), subject, _actions(key), _actions(same[0]), blocking=False)


def _check_differences(name: str, expected: Table, found: Table) -> Iterator[Difference]:
    for check in expected.checks:
        if check not in found.checks:
            yield Difference(_quoted(name), "check", check, "none", blocking=False)
    for check in found.checks:
        if check not in expected.checks:
            yield Difference(_quoted(name), "check", "none", check, blocking=False)


def _must_be_given(column: Column) -> bool:
    return column.not_null and column.default is None and column.filled_by is None


def _default(column: Column) -> str | None:
    return "CURRENT_TIMESTAMP" if column.default == "now()" else column.default


def _nullability(column: Column) -> str:
    return "NOT NULL" if column.not_null else "nullable"


def _actions(key: ForeignKey) -> str:
    return f"on delete {key.on_delete}, on update {key.on_update}"


def _described(index: Index) -> str:
    return _listed(index.columns) + (f" where {index.predicate}" if index.predicate else "")


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return "(" + ", ".join(names) + ")"


def _quoted(name: str) -> str:
    return f'"{name}"'
