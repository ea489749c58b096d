"""The follower tells how far a backfill is, whatever it waits for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from producers import following
from producers.following import Follower
from producers.progress import Snapshot


class SlowWatch:
    """Answers once it is told to, as a PostgreSQL that hangs."""

    def __init__(self) -> None:
        self.away = None
        self.is_done = False
        self.answer = asyncio.Event()

    async def look(self) -> int:
        await self.answer.wait()
        self.is_done = True
        return 1


class Told:
    """Keeps what the user is told, and lets the answer come after the third update."""

    def __init__(self, watch: SlowWatch) -> None:
        self.updates = 0
        self.notes: list[str] = []
        self._watch = watch

    def update(self, _: Snapshot) -> None:
        self.updates += 1
        if self.notes and self.updates > 3:
            self._watch.answer.set()

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


def follower(watch: SlowWatch, told: Told) -> Follower:
    tally: Any = SimpleNamespace(runs=1, published_messages=1, handled_messages=0)
    parts: dict[str, Any] = {"feed": SimpleNamespace(settling=0), "tally": tally, "reporter": told, "watch": watch}
    return Follower(**parts, total=lambda: 1, worker_timeout_s=60)


def test_a_postgresql_that_hangs_is_told_and_progress_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_LONG_ANSWER_S", 0.0)
    monkeypatch.setattr(following, "_TICK_S", 0.01)

    async def follow() -> Told:
        watch = SlowWatch()
        told = Told(watch)
        feeding: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        feeding.set_result(None)
        async with asyncio.timeout(30):
            await follower(watch, told).follow(feeding)
        return told

    told = asyncio.run(follow())
    assert told.notes == ["Waiting for PostgreSQL: it takes long to answer."]
    assert told.updates > 3


def test_whoever_stops_following_leaves_no_question_behind() -> None:
    async def follow() -> None:
        watch = SlowWatch()
        feeding: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await follower(watch, Told(watch)).follow(feeding)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(follow())
