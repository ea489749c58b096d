"""World or data: what an error says about whose fault it is. The one table; everything that pauses or buries asks it.

Source of the classes: PostgreSQL's error codes (appendix A of its manual), and what asyncpg raises without a code.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Final

import asyncpg

from shared.errors import FatalError, RetryableError, UsageError


class Fault(Enum):
    """Whose fault an error is, and so what is to be done."""

    WORLD = "world"  # wait until it is whole; nothing is counted against the output
    RACE = "race"  # somebody else was faster: read again and try again at once
    DATA = "data"  # this output can't be stored, ever: dead letter
    UNKNOWN = "unknown"  # a few tries, then a dead letter


#: lock_not_available: a lock was waited for as long as may be. Never the fault of what was to be written.
LOCKED: Final = "55P03"

#: SQLSTATEs and their classes, the longest prefix wins, each with its reason.
_BY_SQLSTATE: Final[dict[str, tuple[Fault, str]]] = {
    "08": (Fault.WORLD, "the connection is gone"),
    "0A000": (Fault.RACE, "a cached plan is no longer valid: the structure changed under us"),
    "22": (Fault.DATA, "a value that its column can't hold"),
    "23502": (Fault.DATA, "a NULL where none may be"),
    "23503": (Fault.RACE, "the row that this one belongs to was deleted meanwhile"),
    "23505": (Fault.RACE, "another writer inserted the same key meanwhile"),
    "23514": (Fault.DATA, "a value that a constraint forbids"),
    "25006": (Fault.WORLD, "the database is read-only: a standby, or a fail-over is under way"),
    "26": (Fault.RACE, "the prepared statement is gone: a pooler changed the session"),
    "28": (Fault.WORLD, "the password or the role is refused"),
    "3D": (Fault.WORLD, "the database does not exist"),
    "3F": (Fault.WORLD, "the schema does not exist"),
    "40": (Fault.RACE, "a deadlock or a serialization failure: the transaction was rolled back whole"),
    "42": (Fault.WORLD, "missing rights, or a structure that is not ours: an old or a newer schema"),
    "53": (Fault.WORLD, "disk full, out of memory, or too many connections"),
    "54": (Fault.DATA, "a value too large for an index, or too complex"),
    "55": (Fault.WORLD, "the object is not ready"),
    LOCKED: (Fault.WORLD, "others hold a row or a table for longer than RUNFERRY_LOCK_TIMEOUT"),
    "57": (Fault.WORLD, "shutting down, starting, in recovery, cancelled, or a backend that crashed"),
    "58": (Fault.WORLD, "the server's disk or system fails"),
    "XX001": (Fault.WORLD, "data pages are damaged: a person has to look"),
    "XX002": (Fault.WORLD, "an index is damaged: a person has to look"),
}


def fault_of(error: BaseException) -> tuple[Fault, str]:
    """Return whose fault an error is, with the reason in words."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        for prefix in (state, state[:2]):
            if prefix in _BY_SQLSTATE:
                return _BY_SQLSTATE[prefix]
        return Fault.UNKNOWN, f"PostgreSQL says {state}"
    if isinstance(error, (asyncpg.DataError, UnicodeError, FatalError)):
        # asyncpg.DataError is an InterfaceError as well, so it must be asked first.
        return Fault.DATA, "a value that can't be sent to PostgreSQL"
    if isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError)):
        return Fault.WORLD, "the connection is not usable"
    if isinstance(error, (RetryableError, UsageError)):
        # A UsageError here is a wrong password, a missing database, an old schema: a person mends it, and we go on.
        return Fault.WORLD, str(error)
    if isinstance(error, (OSError, asyncio.TimeoutError, EOFError)):
        return Fault.WORLD, "PostgreSQL can't be reached"
    return Fault.UNKNOWN, f"an unexpected {type(error).__name__}"


def reason_of(error: BaseException) -> str:
    """Return what is wrong in words that a person can act on, and what was said about it."""
    why = fault_of(error)[1]
    return why if why in str(error) else f"{why} ({error})"


def is_locked(error: BaseException) -> bool:
    """Say whether others held what was to be written."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate == LOCKED


def may_be_our_doing(error: BaseException) -> bool:
    """Say whether an error looks like the world but may come from one output that crashes its backend."""
    state = error.sqlstate or "" if isinstance(error, asyncpg.PostgresError) else ""
    return (
        state in ("57P01", "57P02", "57P03", "53200", "57014")
        or state.startswith("08")
        or isinstance(error, (asyncpg.InterfaceError, OSError, asyncio.TimeoutError, EOFError))
    )
