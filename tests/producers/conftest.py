"""Run trees on a real file system, and a queue that remembers what it was sent."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner

from producers.command import main
from shared import queues
from shared.broker.broker import make_broker
from shared.broker.depths import Depth, Memory
from shared.broker.encoder import ENCODER
from shared.broker.registry import WorkerInfo
from shared.database_url import DatabaseAddress
from shared.errors import QueueAway
from shared.run_folders.scanner import Scanner
from shared.run_folders.stage_folder import Limits
from shared.settings import Settings

#: Long before any settle time.
OLD_S = 1_700_000_000

CARD = """# Card {number}

## Tagline
Short.

## Problem
A problem.

## Solution
A solution.

## Why Now
Now.

## Target Segment
Everybody.

## Quick Win
Soon.
"""
INSPIRATIONS = (
    '{"inspirations": [{"title": "A", "content": "a", "key_elements": ["x"]},'
    ' {"title": "B", "content": "b", "key_elements": []}]}'
)
WHOLE_RUN: dict[str, str | bytes] = {
    "stage1/inspirations.json": INSPIRATIONS,
    "stage2/trends.json": '{"trends": []}',
    "stage3/lessons.json": '{"lessons": []}',
    "stage4/context.json": '{"brand_id": "acme"}',
    **{f"stage5/opportunity-{number}.md": CARD.format(number=number) for number in range(1, 6)},
}


class Tree:
    """A root of run folders; what is written is old unless it is said otherwise."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, run_id: str, files: Mapping[str, str | bytes] = WHOLE_RUN, *, at_s: float = OLD_S) -> Path:
        run = self.root / run_id
        run.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            path = run / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            os.utime(path, (at_s, at_s))
        self.age(run, at_s)
        return run

    def age(self, run: Path, at_s: float = OLD_S) -> None:
        """Set the times of the run's folders, which every new name changes."""
        for folder in [run, *(path for path in run.iterdir() if path.is_dir() and not path.is_symlink())]:
            os.utime(folder, (at_s, at_s))

    def scanner(self, *, settle_s: float = 10, max_output_bytes: int = 8 << 20, **clocks: Any) -> Scanner:
        return Scanner(self.root, Limits(settle_s, max_output_bytes), **clocks)


class FakeQueue:
    """Takes messages until it is told that Redis is away, and drains nothing by itself."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.calls: list[int] = []
        self.failures: list[QueueAway] = []
        self.lost_answers: list[QueueAway] = []
        self.pending = 0
        self.bytes = 0
        self.memory_now = Memory(used_bytes=0, max_bytes=0, policy="noeviction")

    def enqueue_many(self, messages: Iterable[Any]) -> int:
        if self.failures:
            raise self.failures.pop()
        sent = list(messages)
        self.messages.extend(sent)
        self.calls.append(len(sent))
        self.pending += len(sent)
        return len(sent)

    def begin_enqueue(self, messages: Iterable[Any]) -> Future[int]:
        answer: Future[int] = Future()
        try:
            count = self.enqueue_many(messages)
            if self.lost_answers:
                raise self.lost_answers.pop()
        except QueueAway as away:
            answer.set_exception(away)
        else:
            answer.set_result(count)
        return answer

    def depths(self) -> Mapping[str, Depth]:
        return {queues.BACKFILL: Depth(self.pending, 0, 0, 0, self.bytes)}

    def memory(self) -> Memory:
        return self.memory_now


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    root = tmp_path / "runs"
    root.mkdir()
    return Tree(root)


@pytest.fixture
def fake_queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Any]:
    """Wait for a condition, for 20 s at most, and return what it gave."""

    def wait(condition: Callable[[], Any]) -> Any:
        end_s = time.monotonic() + 20
        pause = threading.Event()
        while time.monotonic() < end_s:
            if result := condition():
                return result
            pause.wait(0.01)
        raise AssertionError("it did not become true within 20 s")

    return wait


class StandInWorker:
    """Takes backfill messages off the queue and writes only what a producer looks at: deliveries and letters."""

    def __init__(self, settings: Settings) -> None:
        assert settings.redis_url is not None
        assert settings.database_url is not None
        self.verdicts: dict[tuple[str, int], str] = {}
        self.gaps: dict[tuple[str, int], list[str]] = {}
        self.messages: list[dict[str, Any]] = []
        self.announces = True
        self.handles = True
        self._settings = settings
        self._redis_url = settings.redis_url.get_secret_value()
        self._dsn = DatabaseAddress.parse(settings.database_url.get_secret_value()).dsn
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()), name="stand-in-worker")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(20)
            assert not self._thread.is_alive()

    async def _work(self) -> None:
        broker = make_broker(self._redis_url, self._settings)
        info = WorkerInfo("stand-in", "host", 1, "0", "", (queues.BACKFILL,), datetime.now(UTC))
        connection = await asyncpg.connect(self._dsn)
        queue = f"{self._settings.namespace}:{queues.BACKFILL}"
        while not self._stop.is_set():
            if self.announces:
                broker.announce(info)
            taken = broker.client.lpop(queue, 50) if self.handles else None
            for found in taken or ():
                envelope = ENCODER.decode(broker.client.hget(f"{queue}.msgs", found))
                broker.client.hdel(f"{queue}.msgs", found)
                await self._handle(connection, envelope)
            if not taken:
                await asyncio.sleep(0.05)
        await connection.close()
        broker.close()

    async def _handle(self, connection: asyncpg.Connection, envelope: dict[str, Any]) -> None:
        message = envelope["kwargs"]["message"]
        self.messages.append(message)
        run_id = message["run_id"]
        verdicts = {}
        for output in message["outputs"]:
            place = (run_id, output["stage"])
            verdicts[str(output["stage"])] = verdict = self.verdicts.get(place, "applied")
            if verdict == "dead_lettered":
                await add_letter(connection, run_id, output["stage"], output["content_sha256"])
        gaps = {str(stage): found for (owner, stage), found in self.gaps.items() if owner == run_id}
        await connection.execute(
            """
            INSERT INTO runferry.delivery
              (batch_id, message_id, run_id, origin, publisher, published_at, worker, verdicts, gaps)
            VALUES ($1, $2, $3, 'backfill', '', now(), 'host:1', $4, $5)
            """,
            message["batch_id"],
            envelope["message_id"],
            run_id,
            json.dumps(verdicts),
            json.dumps(gaps),
        )


async def add_letter(
    connection: asyncpg.Connection, run_id: str, stage: int, content_sha256: str, state: str = "open"
) -> None:
    await connection.execute(
        """
        INSERT INTO runferry.dead_letter
          (run_id, stage, content_sha256, state, reason, sentence, fingerprint, first_failed_at, last_failed_at,
           worker_host, worker_pid, worker_version, payload)
        VALUES ($1, $2, $3, $4, 'not_json', 'It is not JSON.', 'f', now(), now(), 'host', 1, '0', '')
        """,
        run_id,
        stage,
        content_sha256,
        state,
    )


@pytest.fixture
def worker(settings: Settings) -> Iterator[StandInWorker]:
    stand_in = StandInWorker(settings)
    yield stand_in
    stand_in.stop()


@pytest.fixture
def execute(settings: Settings) -> Callable[..., list[Any]]:
    """Run one statement on the test's database."""
    assert settings.database_url is not None
    dsn = DatabaseAddress.parse(settings.database_url.get_secret_value()).dsn

    def run(statement: str, *arguments: Any) -> list[Any]:
        async def once() -> list[Any]:
            connection = await asyncpg.connect(dsn)
            try:
                return list(await connection.fetch(statement, *arguments))
            finally:
                await connection.close()

        return asyncio.run(once())

    return run


@pytest.fixture
def letter(settings: Settings) -> Callable[..., None]:
    """Add a dead letter to the test's database."""
    assert settings.database_url is not None
    dsn = DatabaseAddress.parse(settings.database_url.get_secret_value()).dsn

    def add(run_id: str, stage: int, content_sha256: str, state: str) -> None:
        async def once() -> None:
            connection = await asyncpg.connect(dsn)
            try:
                await add_letter(connection, run_id, stage, content_sha256, state)
            finally:
                await connection.close()

        asyncio.run(once())

    return add


@dataclass(frozen=True)
class Ended:
    """How `producer backfill` ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.stdout)
        return document


@pytest.fixture
def command(settings: Settings, tree: Tree) -> list[str]:
    """The words of `producer backfill` on the test's tree and stores."""
    assert settings.redis_url is not None
    assert settings.database_url is not None
    return [
        "backfill",
        "--root",
        str(tree.root),
        "--redis-url",
        settings.redis_url.get_secret_value(),
        "--database-url",
        settings.database_url.get_secret_value(),
    ]


@pytest.fixture
def backfill(command: list[str]) -> Callable[..., Ended]:
    """Call `producer backfill` in this process."""

    def call(*arguments: str) -> Ended:
        result = CliRunner().invoke(main, [*command, *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return Ended(result.exit_code, result.stdout, result.stderr)

    return call
