"""Real worker processes, real commands, and what is true once they are done."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from dramatiq import Message

from shared import queues
from shared.broker.broker import RunferryBroker, make_broker
from shared.broker.registry import WorkerInfo
from shared.contract import RunFailed, RunStarted, StageOutputsMessage, to_wire
from shared.database_url import DatabaseAddress
from shared.settings import Settings

REPOSITORY = Path(__file__).parents[2]
# The generated trees and the baseline are the benchmarks', which are run from the checkout and never installed.
if str(REPOSITORY) not in sys.path:
    sys.path.append(str(REPOSITORY))

#: The machine may be busy with other things; nothing waits that long where all is well.
PATIENCE_S = 90.0
_TABLES = ("User", "Run", "InspirationReport", "OpportunityCard", "StageOutput")


def until(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """Wait until the condition gives something true, and return that; fails with `what` when the time is over."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        if found := condition():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what() if callable(what) else what}")
        pause.wait(0.05)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON document that it printed."""
        document: dict[str, Any] = json.loads(self.stdout)
        return document


class Site:
    """One installation of runferry: two stores, a root, worker processes and commands."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        assert settings.database_url is not None
        assert settings.redis_url is not None
        self.settings = settings
        self.folder = folder
        self.database_url = settings.database_url.get_secret_value()
        self.redis_url = settings.redis_url.get_secret_value()
        self.workers: list[subprocess.Popen[bytes]] = []
        self.broker: RunferryBroker = make_broker(self.redis_url, settings)

    # Processes.

    @property
    def log(self) -> Path:
        """What all worker processes said."""
        return self.folder / "workers.log"

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of every process of this installation."""
        return {
            **os.environ,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "RUNFERRY_HOME": str(self.settings.home),
            "RUNFERRY_ROOT": str(self.settings.root),
            "RUNFERRY_WORKER_THREADS": "8",
            "PYTHONPATH": str(REPOSITORY),
            **more,
        }

    def start_worker(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start one worker process; it is ended with the test."""
        with self.log.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "workers.process"],
                env=self.environment(**environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.workers.append(worker)
        return worker

    def info(self, worker: subprocess.Popen[bytes]) -> WorkerInfo | None:
        """What a worker process says of itself now."""
        assert worker.poll() is None, f"the worker ended with {worker.returncode}; the log: {self.tail()}"
        return next((info for info in self.broker.live_workers() if info.pid == worker.pid), None)

    def await_workers(self, *workers: subprocess.Popen[bytes]) -> None:
        """Wait until these (all, by default) are at work."""
        for worker in workers or self.workers:
            until(lambda worker=worker: self.info(worker), lambda: f"a live worker; the log: {self.tail()}")

    def await_state(self, worker: subprocess.Popen[bytes], state: str) -> WorkerInfo:
        """Wait until a worker says that it is in this state."""
        info: WorkerInfo = until(
            lambda: (found := self.info(worker)) and found.state == state and found,
            lambda: f"{state}; it says {self.info(worker)}; the log: {self.tail()}",
        )
        return info

    def stop_workers(self) -> list[int]:
        """End all worker processes in peace; returns their exit statuses."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.terminate()
        statuses = []
        for worker in self.workers:
            try:
                statuses.append(worker.wait(60))
            except subprocess.TimeoutExpired:
                worker.kill()
                statuses.append(worker.wait())
        self.workers.clear()
        return statuses

    def tail(self, lines: int = 20) -> str:
        """The end of the workers' log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def close(self) -> None:
        """End everything of this installation."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
        self.broker.close()

    def command(self, module: str, *arguments: object, timeout_s: float = 300, **environment: str) -> Ended:
        """Run a command (`producers.command`, `ops.command`, …) to its end."""
        ended = subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            env=self.environment(**environment),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def start_backfill(self, *arguments: object) -> subprocess.Popen[str]:
        """Start `producer backfill` of the root; its result is read with `end_of`."""
        return subprocess.Popen(
            [sys.executable, "-m", "producers.command", *_backfill_of(self.settings.root, arguments)],
            env=self.environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def backfill(self, *arguments: object, root: Path | None = None, **environment: str) -> Ended:
        """Run `producer backfill` of a root to its end; with `--json`."""
        words = _backfill_of(root or self.settings.root, arguments)
        return self.command("producers.command", *words, **environment)

    # Messages.

    def publish(
        self,
        messages: Iterable[StageOutputsMessage | RunStarted | RunFailed | dict[str, Any]],
        queue: str = queues.BACKFILL,
    ) -> list[str]:
        """Send messages to a queue; returns their ids."""
        actor = queues.WRITE_LIVE if queue == queues.LIVE else queues.WRITE_BACKFILL
        made = [
            Message[Any](
                queue, actor, (), {"message": message if isinstance(message, dict) else to_wire(message)}, {}
            )
            for message in messages
        ]
        self.broker.enqueue_many(made)
        return [message.message_id for message in made]

    def pending(self) -> int:
        """How many messages are still to be handled, dead ones that are not filed yet among them."""
        return sum(depth.pending + depth.dead for depth in self.broker.depths().values())

    def drain(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait until no message is left to be handled."""
        until(
            lambda: self.pending() == 0,
            lambda: f"an empty queue: {self.broker.depths()}; the log: {self.tail()}",
            timeout_s,
        )

    # What is in the stores.

    def do(self, statement: str, *arguments: Any) -> None:
        """Execute a statement as the database's owner."""

        async def run() -> None:
            connection = await asyncpg.connect(DatabaseAddress.parse(self.database_url).dsn)
            try:
                await connection.execute(statement, *arguments)
            finally:
                await connection.close()

        asyncio.run(run())

    def rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """Return the records of a query."""

        async def run() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(
                DatabaseAddress.parse(self.database_url).dsn, server_settings={"timezone": "UTC"}
            )
            try:
                return [dict(record) for record in await connection.fetch(query, *arguments)]
            finally:
                await connection.close()

        return asyncio.run(run())

    def value(self, query: str, *arguments: Any) -> Any:
        """Return the one value of a query."""
        (record,) = self.rows(query, *arguments)
        (value,) = record.values()
        return value

    def counts(self) -> dict[str, int]:
        """How many rows each of the web app's tables has."""
        return {table: self.value(f'SELECT count(*) FROM "{table}"') for table in _TABLES}

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """All rows of the web app but for the times at which they were written, and all letters' identities.

        A row keeps the `createdAt` of the output that inserted it, which depends on the order of arrival; a Run's
        is derived.
        """
        found = {}
        for table in _TABLES:
            left_out = ("updatedAt",) if table == "Run" else ("updatedAt", "createdAt")
            rows = [
                {name: value for name, value in row.items() if name not in left_out}
                for row in self.rows(f'SELECT * FROM "{table}"')
            ]
            found[table] = sorted(rows, key=lambda row: str(row["id"]))
        found["letters"] = self.rows(
            "SELECT run_id, stage, content_sha256, reason, state FROM runferry.dead_letter ORDER BY 1, 2, 3"
        )
        return found

    def versions(self) -> dict[str, dict[str, Any]]:
        """Which transaction wrote each row of the web app last."""
        return {
            table: {row["id"]: row["xmin"] for row in self.rows(f'SELECT id, xmin::text FROM "{table}"')}
            for table in _TABLES
        }

    def verdicts(self) -> Counter[str]:
        """What became of all outputs of all messages."""
        found = self.rows(
            """
            SELECT verdict, count(*) AS n
            FROM runferry.delivery, jsonb_each_text(verdicts) AS each (stage, verdict) GROUP BY 1
            """
        )
        return Counter({row["verdict"]: row["n"] for row in found})

    def leftovers(self) -> dict[str, Any]:
        """What must be nothing once every message was handled: held and pending messages, the in-flight index."""
        keys = [key.decode() for key in self.broker.client.scan_iter("*")]
        namespace = self.settings.namespace
        ours = [key.removeprefix(f"{namespace}:") for key in keys]
        suffixes = (".msgs", ".DQ", ".due", ".suspects", ".XQ")
        return {
            key: self.broker.client.type(f"{namespace}:{key}").decode()
            for key in ours
            if key.startswith(("__acks__", "__run__", "__alone__"))
            or key in queues.ALL
            or any(key == queue + suffix for queue in queues.ALL for suffix in suffixes)
        }


def end_of(process: subprocess.Popen[str], timeout_s: float = 300) -> Ended:
    """Wait for a command that was started, and return how it ended."""
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
        raise AssertionError(f"it did not end within {timeout_s:g} s: {stderr[-2000:]}") from None
    return Ended(process.returncode, stdout, stderr)


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill a process outright, and let nothing of it remain."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()


def _backfill_of(root: Path, arguments: Iterable[object]) -> list[str]:
    words = [str(argument) for argument in arguments]
    which = [] if "--run-id" in words else ["--all"]
    return ["backfill", *which, "--root", str(root), "--settle", "0s", "--json", *words]
