"""The queries of rehearsals, by name."""

from __future__ import annotations

from typing import Final

from shared.sql import load_queries

QUERIES: Final = load_queries("ops.rehearse")
