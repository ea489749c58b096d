"""Named queries: SQL lives in `.sql` files beside the code that runs it, each with a name and a sentence.

A file holds one or more queries:

    -- name: open_letters
    -- The letters of some runs that wait for somebody.
    SELECT …

A query is taken by its name as text, `QUERIES["open_letters"]`, so that grep finds both ends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Final

_NAME: Final = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)\s*$", re.MULTILINE)


def load_queries(package: str) -> Mapping[str, str]:
    """Return the queries of all `.sql` files in the `sql` folder of `package`, by name.

    Raises ValueError where a name is given twice, or a file has SQL before its first name.
    """
    queries: dict[str, str] = {}
    folder = files(package).joinpath("sql")
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        for name, query in parse_queries(file.read_text(encoding="utf-8"), file.name).items():
            if name in queries:
                raise ValueError(f"{package}/sql/{file.name}: the query {name!r} is named twice.")
            queries[name] = query
    return MappingProxyType(queries)


def parse_queries(text: str, file_name: str) -> dict[str, str]:
    """Return the queries in the text of one file, by name; raises ValueError as `load_queries`."""
    head, *parts = _NAME.split(text)
    if any(line.strip() and not line.startswith("--") for line in head.splitlines()):
        raise ValueError(f"{file_name}: there is SQL before the first name.")
    queries: dict[str, str] = {}
    for name, query in zip(parts[::2], parts[1::2], strict=True):
        if name in queries:
            raise ValueError(f"{file_name}: the query {name!r} is named twice.")
        queries[name] = query.strip()
    return queries
