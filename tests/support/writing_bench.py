"""Sample messages, and a bench to write them with on real PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from shared.contract import (
    Hints,
    Origin,
    OutputBody,
    Prefer,
    RunFailed,
    RunStarted,
    StageOutputsMessage,
    to_wire,
)
from shared.documents import Document
from shared.ids import Stage
from workers.fast_path import FastPath
from workers.intake import Consignment, Intake, Undeliverable, take_in
from workers.transaction import Transactor

T0 = datetime(2025, 10, 7, 12, 0, tzinfo=UTC)
QUIET = timedelta(hours=24)
LOCK_TIMEOUT = timedelta(seconds=5)
_numbers = itertools.count(1)


def at(seconds: float) -> datetime:
    """A moment so many seconds after a fixed one."""
    return T0 + timedelta(seconds=seconds)


def inspirations(mark: str = "a") -> tuple[Document, ...]:
    """A planned stage 1 output; `mark` makes its texts differ."""
    data = {
        "inspirations": [
            {"title": f"First {mark}", "content": f"Content {mark}", "key_elements": ["one", "two"]},
            {"title": f"Second {mark}", "content": "More", "key_elements": []},
        ]
    }
    return (Document("inspirations.json", json.dumps(data).encode()),)


def context(mark: str = "a", brand: str = "maple-dairy") -> tuple[Document, ...]:
    """A planned stage 4 output."""
    return (Document("context.json", json.dumps({"brand_id": brand, "note": mark}).encode()),)


def trends(mark: str = "a") -> tuple[Document, ...]:
    """A Markdown-only stage 2 output."""
    return (Document("trend-analysis.md", f"# Trends\n\n{mark}\n".encode()),)


def card(number: int, mark: str = "a") -> Document:
    """One planned opportunity card."""
    text = (
        f"# Card {number} {mark}\n\n## Tagline\nT {mark}\n\n## Problem\nP\nover two lines\n\n## Solution\nS\n\n"
        f"## Why Now\nW\n\n## Target Segment\nG\n\n## Quick Win\nQ\n"
    )
    return Document(f"opportunity-{number}.md", text.encode())


def cards(mark: str = "a", numbers: Sequence[int] = (1, 2, 3, 4, 5)) -> tuple[Document, ...]:
    """A planned stage 5 output."""
    return tuple(card(number, mark) for number in numbers)


BROKEN = (Document("inspirations.json", b'{"inspirations": ['),)


def outputs(
    run_id: str = "run-a",
    *bodies: tuple[int, tuple[Document, ...], float],
    origin: Origin = Origin.BACKFILL,
    prefer: Prefer | None = None,
    hints: Hints | None = None,
    batch_id: str = "batch",
    **more: Any,
) -> StageOutputsMessage:
    """A message of outputs, each (stage, documents, seconds after the fixed moment)."""
    return StageOutputsMessage(
        run_id=run_id,
        publisher="test",
        published_at=T0,
        origin=origin,
        batch_id=batch_id,
        prefer=prefer,
        hints=hints or Hints(),
        outputs=tuple(OutputBody.of(Stage(stage), documents, at(when)) for stage, documents, when in bodies),
        **more,
    )


def judged(message: StageOutputsMessage | RunStarted | RunFailed) -> Intake | Undeliverable:
    """A message as a worker has judged it."""
    consignment = Consignment(f"message-{next(_numbers)}", "backfill", 1, T0)
    return take_in(to_wire(message), consignment, max_output_bytes=1 << 23)


class Trips:
    """A connection that notes the trips that are made with it."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.made: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("execute", "fetch", "copy", "transaction")):
            self.made.append(name)
        return getattr(self._connection, name)


@dataclass
class Bench:
    """A database, and a writer to put messages into it."""

    dsn: str
    fast_path: FastPath | None = None

    def write(self, *messages: StageOutputsMessage | RunStarted | RunFailed, apart: bool = True) -> list[Any]:
        """Write messages, each in a transaction of its own, or all in one; returns their verdicts by stage number."""

        async def run(connection: asyncpg.Connection) -> list[Any]:
            transactor = Transactor(QUIET, LOCK_TIMEOUT, "host:1", self.fast_path)
            taken = [judged(message) for message in messages]
            batches = [[one] for one in taken] if apart else [taken]
            found: list[Any] = []
            for batch in batches:
                found += await transactor.write(connection, batch)
            return [{stage.value: verdict.value for stage, verdict in one.items()} for one in found]

        return self.do(run)

    def rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """Return the records of a query."""

        async def run(connection: asyncpg.Connection) -> list[dict[str, Any]]:
            return [dict(record) for record in await connection.fetch(query, *arguments)]

        return self.do(run)

    def execute(self, statement: str, *arguments: Any) -> None:
        """Execute a statement as the web app, or a vandal, would."""

        async def run(connection: asyncpg.Connection) -> None:
            await connection.execute(statement, *arguments)

        self.do(run)

    def do(self, function: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Any:
        """Run `function` with a connection."""

        async def run() -> Any:
            connection = await asyncpg.connect(self.dsn, server_settings={"timezone": "UTC"})
            try:
                return await function(connection)
            finally:
                await connection.close()

        return asyncio.run(run())

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """Return all rows of the web app, without the times at which they were written."""
        moments = ("createdAt", "updatedAt")
        return {
            table: sorted(
                (
                    {name: value for name, value in row.items() if table == "User" or name not in moments}
                    for row in self.rows(f'SELECT * FROM "{table}"')
                ),
                key=lambda row: str(row["id"]),
            )
            for table in ("User", "Run", "StageOutput", "InspirationReport", "OpportunityCard")
        }
