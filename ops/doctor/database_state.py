"""PostgreSQL: whether it takes writes, by the structure that runferry needs, with room for workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ops.doctor.finding import Finding, good, warning, wrong
from shared.counting import counted, word_for

#: What the web app's schema and runferry's own are tested with begins here.
_OLDEST: Final = 140_000
_UTC: Final = ("UTC", "ETC/UTC", "GMT", "ETC/UCT", "UCT", "ZULU")


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """What PostgreSQL says of itself; `schema_fault` is why the structure is not what runferry needs, else empty."""

    version: str
    version_number: int
    in_recovery: bool
    read_only: bool
    most_connections: int
    connections: int
    needed_connections: int
    time_zone: str
    schema_fault: str
    keyless: tuple[str, ...]
    differences: int


def judge_database(state: DatabaseState) -> Iterator[Finding]:
    """Yield what the state means."""
    yield _version(state)
    yield _writable(state)
    yield _schema(state)
    yield _keys(state)
    yield _connections(state)
    yield _time_zone(state)


def _version(state: DatabaseState) -> Finding:
    name, detail = "PostgreSQL's version", f"is {state.version}"
    if state.version_number < _OLDEST:
        return warning(name, detail, "Upgrade PostgreSQL to 14 or later: runferry is not tested with this one.")
    return good(name, detail)


def _writable(state: DatabaseState) -> Finding:
    name = "writes"
    if state.in_recovery:
        return wrong(name, "are refused: it is a standby", "Set DATABASE_URL to the primary.")
    if state.read_only:
        return wrong(
            name,
            "are refused: transactions are read-only by default",
            "Find out who set default_transaction_read_only; a full disk or a fail-over are the usual reasons.",
        )
    return good(name, "are taken")


def _schema(state: DatabaseState) -> Finding:
    if state.schema_fault:
        return wrong("schema", state.schema_fault, "Look at: ops schema status")
    if state.differences:
        differences = counted(state.differences, "difference")
        detail = f"has all that this runferry needs, and {differences} from the expected structure"
        return warning("schema", detail, "Look at them: ops schema verify")
    return good("schema", "is what this runferry needs")


def _keys(state: DatabaseState) -> Finding:
    name = "unique keys"
    if state.keyless:
        detail = f"are missing: {', '.join(state.keyless)}: the same output twice would be two rows"
        return wrong(name, detail, "ops schema apply says how they come back.")
    return good(name, "make a second delivery an update")


def _connections(state: DatabaseState) -> Finding:
    name = "connections"
    free = state.most_connections - state.connections
    detail = f"{state.connections} of {state.most_connections} {word_for(state.connections, 'is', 'are')} in use"
    todo = "Raise max_connections, lower connection_limit or RUNFERRY_POOL_MAX_SIZE, or put a pooler in between."
    if free <= 0:
        return wrong(name, detail, todo)
    if free < state.needed_connections:
        return warning(name, f"{detail}, and workers may open {state.needed_connections} more", todo)
    return good(name, detail)


def _time_zone(state: DatabaseState) -> Finding:
    name = "server's time zone"
    if state.time_zone.upper() in _UTC:
        return good(name, "is UTC")
    return warning(
        name,
        f"is {state.time_zone}: times that the database fills in by itself are local ones",
        "ALTER DATABASE … SET timezone TO 'UTC'; runferry writes UTC whatever it is.",
    )
