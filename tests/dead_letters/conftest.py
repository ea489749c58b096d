"""Dead letters of tests: made like the writer makes them, in a database of the test's own."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import orjson
import pytest
from click.testing import CliRunner
from proof_bench import Proof

from ops.dlq.command import dlq
from shared.contract import Hints, Origin, OutputBody, StageOutputsMessage
from shared.database_url import DatabaseAddress
from shared.dead_letters.evidence import evidence_of, letter_of_output
from shared.dead_letters.letter import DeadLetter, Delivery
from shared.dead_letters.recording import record
from shared.documents import Document, Sha256
from shared.errors import Malformed, Place
from shared.ids import Stage
from shared.reasons import Reason
from shared.settings import Settings

Result = TypeVar("Result")

PRODUCED_AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@dataclass(frozen=True)
class LetterMaker:
    """Makes dead letters as the writer does: by default stage 1 of `run-1`, whose JSON is broken in line 2."""

    text: str = '{\n  "inspirations": [}\n'
    documents: tuple[Document, ...] = field(default=())

    def __call__(
        self,
        run_id: str = "run-1",
        *,
        stage: Stage = Stage.INSPIRATIONS,
        text: str | None = None,
        documents: tuple[Document, ...] | None = None,
        produced_at: datetime = PRODUCED_AT,
        origin: Origin = Origin.BACKFILL,
        replay_of: Origin | None = None,
        mends: Sha256 | None = None,
        error: Malformed | None = None,
        batch_id: str = "batch-1",
        failed_at: datetime = PRODUCED_AT,
    ) -> DeadLetter:
        if documents is None:
            documents = (Document("inspirations.json", (text or self.text).encode()),)
        output = OutputBody.of(stage, documents, produced_at, mends=mends)
        message = StageOutputsMessage(
            run_id=run_id,
            publisher="tests",
            published_at=failed_at,
            origin=origin,
            replay_of=replay_of,
            batch_id=batch_id,
            outputs=(output,),
            hints=Hints(company_name="Savannah Bananas"),
        )
        error = error or Malformed(
            Reason.NOT_JSON, "inspirations.json is no JSON: line 2, column 20.", Place("inspirations.json", 2, 20)
        )
        delivery = Delivery(batch_id, f"message-of-{run_id}", "backfill", 1, failed_at, failed_at)
        return letter_of_output(output, message, evidence_of(error), delivery)


@pytest.fixture
def letter() -> LetterMaker:
    return LetterMaker()


@pytest.fixture
def in_database(database_url: str) -> Callable[[Callable[[asyncpg.Connection], Awaitable[Result]]], Result]:
    """Run a coroutine function with a connection to the test's database."""

    def run(function: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
        async def connected() -> Result:
            connection = await asyncpg.connect(DatabaseAddress.parse(database_url).dsn)
            try:
                return await function(connection)
            finally:
                await connection.close()

        return asyncio.run(connected())

    return run


@dataclass(frozen=True)
class Letters:
    """The table of dead letters of a test's database."""

    run: Callable[[Callable[[asyncpg.Connection], Awaitable[Any]]], Any]

    def file(self, *letters: DeadLetter) -> list[int]:
        """File letters in one transaction each, and return their ids."""

        async def filing(connection: asyncpg.Connection) -> list[int]:
            return [(await record(connection, [letter]))[letter.identity] for letter in letters]

        return self.run(filing)

    def all(self) -> list[dict[str, Any]]:
        """Return all letters, oldest first, with their history as values."""

        async def reading(connection: asyncpg.Connection) -> list[dict[str, Any]]:
            rows = await connection.fetch("SELECT * FROM runferry.dead_letter ORDER BY id")
            return [
                {
                    **row,
                    "history": orjson.loads(row["history"]),
                    "place": orjson.loads(row["place"]),
                    "envelope": orjson.loads(row["envelope"]),
                }
                for row in rows
            ]

        return self.run(reading)

    def one(self, letter_id: int) -> dict[str, Any]:
        """Return one letter."""
        return next(row for row in self.all() if row["id"] == letter_id)

    def execute(self, statement: str, *arguments: Any) -> None:
        """Execute a statement."""
        self.run(lambda connection: connection.execute(statement, *arguments))

    def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Fetch the rows of a query."""
        return self.run(lambda connection: connection.fetch(query, *arguments))

    def write_ledger(self, applied: DeadLetter, *, produced_at: datetime, mends: tuple[str, ...] = ()) -> None:
        """Write the ledger as if this output had been applied."""
        self.execute(
            """
            INSERT INTO runferry.ledger (run_id, stage, content_sha256, produced_at, origin, authority, manifest,
                                         mends, rows_written, batch_id, message_id)
            VALUES ($1, $2, $3, $4, 'backfill', 0, '[]', $5, '[]', 'b', 'm')
            """,
            applied.run_id,
            applied.stage,
            applied.content_sha256,
            produced_at,
            list(mends),
        )


@pytest.fixture
def letters(in_database: Any) -> Letters:
    return Letters(in_database)


@dataclass(frozen=True)
class Ended:
    """How a command ended; `json` is what it printed on stdout."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.stdout)


@pytest.fixture
def ops_dlq(settings_in_environment: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Run `ops dlq …` on the test's stores, and return how it ended."""
    # An edit that is not sent is kept where temporary files are.
    monkeypatch.setattr(tempfile, "tempdir", str(settings_in_environment.root.parent))

    def run(*arguments: object, stdin: bytes | None = None) -> Ended:
        runner = CliRunner()
        result = runner.invoke(dlq, [str(argument) for argument in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def worker(settings: Settings) -> Iterator[None]:
    """A worker on the test's stores, in this process."""
    proof = Proof(settings, settings.root)
    with proof.worker():
        yield
    proof.close()


@dataclass(frozen=True)
class RunFolders:
    """Run folders below the root of a test."""

    root: Path

    def write(self, run_id: str, stage: int, name: str, content: str) -> Path:
        """Write one document and return its path."""
        path = self.root / run_id / f"stage{stage}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path


@pytest.fixture
def folders(settings: Settings) -> RunFolders:
    return RunFolders(settings.root)
