"""Commits are notified once, and only where somebody wants a receipt."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
from writing_bench import Bench, outputs, trends

from shared.committed import CHANNEL, EVERYBODY, message_ids_in, payload_of
from shared.contract import Origin
from shared.database_url import DatabaseAddress


def heard(database_url: str, *messages: Any) -> list[str]:
    """Write messages in one transaction, and return the payloads that a listener hears."""
    dsn = DatabaseAddress.parse(database_url).dsn
    payloads: list[str] = []

    async def listen() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.add_listener(CHANNEL, lambda *heard: payloads.append(heard[-1]))
        await asyncio.to_thread(Bench(dsn).write, *messages, apart=False)
        # What was notified before this statement is delivered before its answer.
        await connection.fetchval("SELECT 1")
        await connection.close()

    asyncio.run(listen())
    return payloads


def test_a_group_commit_notifies_once_and_names_the_messages_that_want_a_receipt(database_url: str) -> None:
    wanted = [
        outputs(f"run-{number}", (2, trends(), number), origin=Origin.PIPELINE, wants_receipt=number < 2)
        for number in range(4)
    ]
    (payload,) = heard(database_url, *wanted)
    ids = message_ids_in(payload)
    assert ids is not None
    assert len(ids) == 2


def test_a_commit_that_nobody_waits_for_notifies_nobody(database_url: str) -> None:
    assert heard(database_url, outputs("run-1", (2, trends(), 0))) == []


def test_more_ids_than_a_payload_holds_mean_everybody() -> None:
    assert payload_of(["x" * 36] * 64) == " ".join(["x" * 36] * 64)
    assert payload_of(["x" * 36] * 300) == EVERYBODY
    assert message_ids_in(EVERYBODY) is None
