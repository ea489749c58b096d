"""The queries of `ops dlq`, by name."""

from __future__ import annotations

from typing import Final

from ops.dlq.selection import Selection
from shared.sql import load_queries

QUERIES: Final = load_queries("ops.dlq")


def query(name: str, selection: Selection) -> str:
    """Return a query that takes a selection as its first parameters."""
    states = QUERIES["waiting"] if selection.waits else "-- Of any state.\ntrue"
    return QUERIES[name].replace("{states}", f"\n{states}\n").replace("{selected}", f"\n{QUERIES['selected']}\n")
