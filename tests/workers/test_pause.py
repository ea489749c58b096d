"""A paused worker says what is wrong now, not what its first cut connection said."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from shared.errors import DatabaseAway
from workers import pause as pausing
from workers.pause import Pause, Stopping
from workers.world import reason_of


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(pausing, "_LONGEST_PAUSE_S", 0.0)


def reasons_while(pause: Pause, first: Exception, *failures: Exception) -> list[str]:
    """Return the reasons that could be read while the world was broken, one before each probe."""
    seen: list[str] = []
    left: Iterator[Exception] = iter(failures)

    async def probe() -> None:
        seen.append(pause.reason)
        for failure in left:
            raise failure

    asyncio.run(pause.until_whole(reason_of(first), probe))
    return seen


def test_the_reason_is_what_the_last_probe_found() -> None:
    pause = Pause()
    cut = asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")
    away = DatabaseAway("PostgreSQL at db:5432 can't be reached; start it.")
    read_only = asyncpg.ReadOnlySQLTransactionError("the database is still read-only")

    seen = reasons_while(pause, cut, away, read_only)

    assert seen == [
        f"the connection is not usable ({cut})",
        "PostgreSQL at db:5432 can't be reached; start it.",
        "the database is read-only: a standby, or a fail-over is under way (the database is still read-only)",
    ]
    assert pause.reason == ""


def test_a_lane_that_resumes_does_not_hide_what_another_still_waits_for() -> None:
    pause = Pause()
    seen: list[str] = []

    async def probe() -> None:
        seen.append(pause.reason)
        if len(seen) < 3:
            pause.world_reason = ""  # the other lane has just resumed
            raise asyncpg.DiskFullError("no space left")

    asyncio.run(pause.until_whole("disk", probe))
    assert len(seen) == 3
    assert all(seen)


def test_a_process_that_is_asked_to_end_does_not_wait_for_a_broken_world() -> None:
    pause = Pause()

    async def probe() -> None:
        pause.stopping = True
        raise asyncpg.DiskFullError("no space left")

    with pytest.raises(Stopping):
        asyncio.run(pause.until_whole("disk", probe))
    assert "disk full" in pause.reason
