"""Which schema holds the web app's tables: what Prisma's `?schema=` becomes in a session."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

_ELEMENT: Final = re.compile(r'\s*("(?:[^"]|"")*"|[^,"]+?)\s*(?:,|$)')


def web_app_schema(search_path: str, role: str, schemas: Collection[str]) -> str:
    """Return the schema in which a session with this search_path creates tables, though it may not exist yet."""
    for match in _ELEMENT.finditer(search_path):
        element = match[1]
        if element == '"$user"':
            if role in schemas:
                return role
            continue
        name = element[1:-1].replace('""', '"') if element.startswith('"') else element.lower()
        if name and name != "pg_catalog":
            return name
    return "public"
