"""A letter is dead, or queued, or both, whatever is killed and whoever else replays."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import asyncpg
import pytest

from ops.dlq.messages import Batch, replay_of
from ops.dlq.sending import send
from shared import queues
from shared.broker.broker import make_broker
from shared.database_url import DatabaseAddress
from shared.errors import QueueAway

INSPIRATION = '{"title": "T", "content": "C", "key_elements": ["a"]}'
GOOD = f'{{"inspirations": [{INSPIRATION}, {INSPIRATION}]}}'


@pytest.fixture
def broker(settings):
    broker = make_broker(settings.redis_url.get_secret_value(), settings)
    yield broker
    broker.close()


@pytest.fixture
def connect(database_url):
    return lambda: asyncpg.connect(DatabaseAddress.parse(database_url).dsn)


def until(condition, timeout_s=60.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "the condition did not come true in time"
        threading.Event().wait(0.02)


def test_after_a_kill_every_letter_is_dead_or_queued_and_the_same_command_goes_on(
    ops_dlq, letters, letter, broker, request
):
    ids = letters.file(*(letter(f"run-{number}", text=GOOD) for number in range(40)))
    command = [sys.executable, "-m", "ops.command", "dlq", "replay", "--all", "--rate", "20/s"]
    process = subprocess.Popen(command, env=os.environ, stderr=subprocess.DEVNULL)
    # What was sent last may not be committed yet; what was sent before it is.
    until(lambda: letters.fetch("SELECT FROM runferry.dead_letter WHERE state = 'replaying'"))
    process.kill()
    process.wait()

    states = [row["state"] for row in letters.all()]
    queued = broker.depths()[queues.BACKFILL].waiting
    assert set(states) == {"open", "replaying"}
    assert states.count("replaying") <= queued < len(ids)

    request.getfixturevalue("worker")
    until(lambda: broker.depths()[queues.BACKFILL].pending == 0)
    ended = ops_dlq("replay", "--all", "--wait", "--json")

    assert (ended.status, ended.json["committed"]) == (0, len(ids) - queued)
    assert {row["state"] for row in letters.all()} == {"resolved"}


def test_a_replay_that_fails_to_enqueue_leaves_the_letters_as_they_were(
    letters, letter, broker, connect, monkeypatch
):
    (letter_id,) = letters.file(letter(text=GOOD))
    monkeypatch.setattr(broker, "enqueue_many", lambda _: (_ for _ in ()).throw(QueueAway("away")))

    async def replay():
        connection = await connect()
        try:
            batch = Batch("b", "tests", datetime.now(UTC))
            await send(connection, broker, [letter_id], lambda filed: replay_of(filed, batch), lambda _: {})
        finally:
            await connection.close()

    with pytest.raises(QueueAway):
        asyncio.run(replay())
    row = letters.one(letter_id)
    assert (row["state"], row["replays"], len(row["history"])) == ("open", 0, 1)


def test_two_replays_at_once_send_each_letter_once(letters, letter, broker, connect):
    ids = letters.file(*(letter(f"run-{number}", text=GOOD) for number in range(30)))

    async def replay(number):
        connection = await connect()
        sent = 0
        try:
            batch = Batch(f"batch-{number}", "tests", datetime.now(UTC))
            for start in range(0, len(ids), 5):
                portion = ids[start : start + 5]
                found = await send(
                    connection, broker, portion, lambda filed: replay_of(filed, batch), lambda _: {}
                )
                sent += len(found.sent)
        finally:
            await connection.close()
        return sent

    async def both():
        return await asyncio.gather(replay(1), replay(2))

    assert sum(asyncio.run(both())) == len(ids)
    assert broker.depths()[queues.BACKFILL].waiting == len(ids)
    assert {row["replays"] for row in letters.all()} == {1}
