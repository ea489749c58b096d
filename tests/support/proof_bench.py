"""A bench for the proof: a tree, stores and a worker, and the commands that are proved with them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import dramatiq
import orjson
import pytest
import redis
import structlog
from broker_bench import eventually
from click.testing import CliRunner
from dramatiq.middleware import CurrentMessage

from ops.reconcile.command import reconcile
from producers.command import main as producer
from shared import __version__, queues
from shared.broker.broker import RunferryBroker, make_broker
from shared.broker.registry import WorkerInfo
from shared.database_url import DatabaseAddress
from shared.settings import Settings
from shared.stores import given_stores
from workers.actors import declare_actors
from workers.alike import AlikeFailures
from workers.carrier import Carrier
from workers.pause import Pause
from workers.reconciling.reconciler import Reconciler
from workers.writer import Writer

#: Long before any settle time.
OLD_S = 1_700_000_000

CARD = """# Card {number} of {mark}

## Tagline
Short.

## Problem
A problem
over two lines.

## Solution
A solution.

## Why Now
Now.

## Target Segment
Everybody.

## Quick Win
Soon.
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended; `json` is what it printed on stdout."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.stdout)

    @property
    def verdicts(self) -> dict[str, int]:
        """The verdicts of a report, after its equation was checked."""
        report = self.json
        assert sum(report["verdicts"].values()) == report["outputs_on_disk"]
        return report["verdicts"]

    def named(self, *keys: str) -> list[tuple[Any, ...]]:
        """What a report names, sorted, by the given keys."""
        return sorted(tuple(one.get(key) for key in keys) for one in self.json["named"])


@dataclass
class Proof:
    """Everything a test of the proof needs."""

    settings: Settings
    root: Path
    brokers: list[RunferryBroker] = field(default_factory=list)

    def write(self, run_id: str, stage: int, name: str, text: str | bytes, *, at_s: float = OLD_S) -> Path:
        """Write one document, of a given age."""
        path = self.root / run_id / f"stage{stage}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        for old in (path, path.parent):
            os.utime(old, (at_s, at_s))
        return path

    def run(self, run_id: str, mark: str = "a", *, at_s: float = OLD_S) -> None:
        """Write a run of five planned outputs."""
        inspirations = [
            {"title": f"A {mark}", "content": "a", "key_elements": ["x", "y"]},
            {"title": "B", "content": "b", "key_elements": []},
        ]
        self.write(run_id, 1, "inspirations.json", json.dumps({"inspirations": inspirations}), at_s=at_s)
        self.write(run_id, 2, "trends.json", json.dumps({"trends": [mark, 1.5, -0.0]}), at_s=at_s)
        self.write(run_id, 3, "universal-lessons.md", f"# Lessons\n\n{mark}\n", at_s=at_s)
        self.write(run_id, 4, "context.json", json.dumps({"brand_id": "maple-dairy", "note": mark}), at_s=at_s)
        for number in range(1, 6):
            self.write(run_id, 5, f"opportunity-{number}.md", CARD.format(number=number, mark=mark), at_s=at_s)

    def tree(self, runs: int = 3) -> list[str]:
        """Write some runs and return their ids."""
        run_ids = [f"run-{number:03d}" for number in range(runs)]
        for run_id in run_ids:
            self.run(run_id, run_id)
        return run_ids

    def malformed(self, run_id: str = "run-000", text: str = "{") -> Path:
        """Break the second stage of a run."""
        return self.write(run_id, 2, "trends.json", text)

    def remove(self, run_id: str) -> None:
        """Take a run off the disk."""
        shutil.rmtree(self.root / run_id)

    def backfill(self, *arguments: object) -> Ended:
        """Run `producer backfill --all --wait --json`."""
        return self._invoke(producer, "backfill", "--all", "--wait", "--json", *arguments)

    def reconcile(self, *arguments: object) -> Ended:
        """Run `ops reconcile --json`, by default of all runs."""
        chosen = any(
            str(argument).startswith(("--run-id", "--sample", "--history", "--report")) for argument in arguments
        )
        every = [] if chosen else ["--all"]
        return self._invoke(reconcile, *every, "--json", *arguments)

    def report(self, *arguments: object) -> str:
        """Return the report for people."""
        return self._invoke(reconcile, "--all", *arguments).stdout

    def invoke_text(self, *arguments: object) -> str:
        """Return what `ops reconcile` prints for people, with nothing chosen by itself."""
        return self._invoke(reconcile, *arguments).stdout

    def invoke(self, command: Any, *arguments: object) -> Ended:
        """Run any command on the test's stores."""
        return self._invoke(command, *arguments)

    def execute(self, statement: str, *arguments: Any) -> None:
        """Execute a statement."""
        asyncio.run(self._connected(lambda connection: connection.execute(statement, *arguments)))

    def fetch(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """Fetch rows."""
        rows = asyncio.run(self._connected(lambda connection: connection.fetch(query, *arguments)))
        return [dict(row) for row in rows]

    def settle(self) -> None:
        """Wait until nothing is in the queues any more."""
        broker = self.broker()
        assert eventually(lambda: not any(depth.pending for depth in broker.depths().values()))

    def now_s(self) -> float:
        """Return the time of the files that are written now."""
        return time.time()

    def moment(self, at_s: float) -> datetime:
        """Return a time as an emit names it."""
        return datetime.fromtimestamp(at_s, UTC)

    def lose_redis(self) -> None:
        """Empty Redis."""
        assert self.settings.redis_url is not None
        with redis.Redis.from_url(self.settings.redis_url.get_secret_value()) as client:
            client.flushdb()

    def broker(self) -> RunferryBroker:
        """Return a broker on the test's Redis."""
        stores = given_stores(self.settings)
        assert stores is not None
        broker = make_broker(stores.redis_url, self.settings, middleware=[CurrentMessage()])
        self.brokers.append(broker)
        return broker

    @contextmanager
    def worker(self, *, root: Path | None = None, queue_names: tuple[str, ...] = queues.ALL) -> Iterator[None]:
        """Run a worker in this process."""
        settings = self.settings.model_copy(update={"root": root or self.root, "worker_threads": 4})
        stores = given_stores(settings)
        assert stores is not None
        pause = Pause()
        broker = self.broker()
        writer = Writer(stores.database, settings, pause, "host:1")
        carrier = Carrier(writer, settings, AlikeFailures(8, pause), lambda: datetime.now(UTC))
        reconciler = Reconciler(stores.database, broker, settings, "host:1")
        declare_actors(broker, carrier, reconciler)
        started_at = datetime.now(UTC)
        broker.describe = lambda: WorkerInfo(
            broker.worker_id, "host", 1, __version__, str(settings.root), queue_names, started_at
        )
        worker = dramatiq.Worker(broker, queues=set(queue_names), worker_threads=4, worker_timeout=100)
        # What a command prints on stdout is looked at: the worker beside it must not print there.
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        writer.start()
        reconciler.start()
        worker.start()
        try:
            yield
        finally:
            structlog.reset_defaults()
            pause.stopping = True
            worker.stop(timeout=10_000)
            reconciler.stop(timedelta(seconds=10))
            writer.stop(timedelta(seconds=10))

    def close(self) -> None:
        """Close what was opened."""
        for broker in self.brokers:
            broker.close()

    async def _connected(self, work: Callable[[asyncpg.Connection], Any]) -> Any:
        assert self.settings.database_url is not None
        dsn = DatabaseAddress.parse(self.settings.database_url.get_secret_value()).dsn
        connection = await asyncpg.connect(dsn)
        try:
            return await work(connection)
        finally:
            await connection.close()

    def _invoke(self, command: Any, *arguments: object) -> Ended:
        runner = CliRunner()
        result = runner.invoke(command, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def proof(settings_in_environment: Settings) -> Iterator[Proof]:
    """A tree and stores, without a worker; commands of this process find them by their environment."""
    proof = Proof(settings_in_environment, settings_in_environment.root)
    yield proof
    proof.close()
