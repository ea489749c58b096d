"""The example pipeline, while phases are switched under it and stores are away: no stage fails, no output is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import click
import pytest
from click.testing import CliRunner
from real_workers import Site, until

from ops import schema
from ops.command import main as ops
from producers.command import main as producer
from shared import embedded
from shared.database_url import DatabaseAddress
from shared.settings import Phase, Settings

#: In the gate; `make phases` does a hundred in each phase.
RUNS = int(os.environ.get("RUNS", "8"))
STAGES = 5


class Harbour:
    """An installation on services of its own, which may be stopped."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home = home
        self.services = embedded.start(home, postgres_settings={"fsync": "off"})

        async def apply() -> None:
            connection = await asyncpg.connect(DatabaseAddress.parse(self.services.database_url).dsn)
            await schema.apply(connection)
            await connection.close()

        asyncio.run(apply())
        root = folder / "root"
        root.mkdir()
        settings = Settings.from_environment(
            database_url=self.services.database_url,
            redis_url=self.services.redis_url,
            root=root,
            home=folder / ".runferry",
        )
        self.site = Site(settings, folder)

    def start(self) -> None:
        self.services = embedded.start(self.home, postgres_settings={"fsync": "off"})

    def kill(self, pid: int | None, signal_number: int) -> None:
        assert pid is not None
        os.kill(pid, signal_number)


@pytest.fixture
def harbour(tmp_path: Path) -> Iterator[Harbour]:
    home = Path(tempfile.mkdtemp(prefix="runferry-phases-"))
    home.chmod(0o711)
    made: Harbour | None = None
    try:
        made = Harbour(home, tmp_path)
        yield made
    finally:
        if made is not None:
            made.site.close()
        embedded.stop(home)
        shutil.rmtree(home)


class Pipeline:
    """A process that runs the pipeline many times, four at once; the next one where the operator is slower than it."""

    def __init__(self, site: Site, runs: int) -> None:
        self.lines: list[str] = []
        self._runs = runs
        self._site = site
        self._log = site.folder / "pipeline.log"
        self._ending = threading.Event()
        self._status = 0
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End with the process that runs now."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        batch = 0
        while self._status == 0 and not self._ending.is_set():
            arguments = ["--name", f"run-{batch}", "--runs", str(self._runs), "--parallel", "4", "--pause", "0.2"]
            batch += 1
            with (
                self._log.open("ab") as log,
                subprocess.Popen(
                    [sys.executable, "-m", "examples.pipeline", *arguments],
                    env=self._site.environment(RUNFERRY_EMIT_TIMEOUT="1s"),
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                ) as process,
            ):
                assert process.stdout is not None
                for line in process.stdout:
                    self.lines.append(line.strip())
            self._status = process.returncode

    def has_run(self, phase: Phase, times: int = RUNS) -> None:
        """Wait until so many more runs ended in a phase."""
        before = len(self.lines)
        until(
            lambda: sum(line.endswith(f" {phase.value}") for line in self.lines[before:]) >= times,
            lambda: f"{times} runs in {phase.value}; {self.lines[-1:]}; {self._log.read_text()[-2000:]}",
        )

    def end(self) -> int:
        """Wait for the end, and return how many runs there were."""
        self.close()
        assert self._status == 0, self._log.read_text()[-3000:]
        return len(self.lines)


@pytest.fixture
def pipeline(harbour: Harbour) -> Iterator[Pipeline]:
    made = Pipeline(harbour.site, RUNS * 12)
    yield made
    made.close()


class Commands:
    """The commands of an operator, in this process."""

    def __init__(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        self._site = site
        for name in ("HOME", "ROOT"):
            monkeypatch.setenv(f"RUNFERRY_{name}", str(getattr(site.settings, name.lower())))
        self._urls = ["--database-url", site.database_url, "--redis-url", site.redis_url]

    def call(self, group: click.Command, *arguments: object) -> Any:
        result = CliRunner().invoke(group, [*map(str, arguments), *self._urls])
        assert result.exit_code == 0, result.output
        return result

    def set_phase(self, phase: Phase) -> None:
        self.call(ops, "phase", "set", phase.value, "--force", "--why", "a test")

    def settle(self, runs: int) -> None:
        """Bring everything to one place, as an operator does at the end, and prove that nothing is missing."""
        site, root = self._site, self._site.settings.root
        self.call(producer, "outbox", "flush", "--wait", "120s")
        site.drain()
        self.call(ops, "export", "--all", "--to", root)
        filled = site.backfill("--wait")
        assert filled.status == 0, filled.stderr
        assert (filled.json["conflicts"], filled.json["dead_lettered"]) == (0, 0)
        reconciled = site.command("ops.command", "reconcile", "--all", "--root", root, "--settle", "0s", "--json")
        assert reconciled.status == 0, reconciled.stdout + reconciled.stderr
        assert reconciled.json["balanced"]
        assert reconciled.json["outputs_on_disk"] == runs * STAGES
        assert site.value("SELECT count(*) FROM runferry.ledger") == runs * STAGES
        assert site.value("""SELECT count(*) FROM "Run" WHERE status = 'COMPLETED'""") == runs
        assert site.value('SELECT count(*) FROM "OpportunityCard"') == runs * STAGES


@pytest.mark.long
def test_phases_are_switched_under_a_running_pipeline_while_stores_go_away_and_come_back(
    harbour: Harbour, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, operator = harbour.site, Commands(harbour.site, monkeypatch)
    site.start_worker(RUNFERRY_HEARTBEAT_TIMEOUT="3s")
    pipeline.start()
    pipeline.has_run(Phase.DUAL_WRITE)
    harbour.kill(harbour.services.redis.pid, signal.SIGKILL)
    pipeline.has_run(Phase.DUAL_WRITE, 4)
    harbour.start()
    operator.set_phase(Phase.DB_FIRST)
    pipeline.has_run(Phase.DB_FIRST)
    harbour.kill(harbour.services.postgres.pid, signal.SIGINT)
    pipeline.has_run(Phase.DB_FIRST, 4)
    harbour.start()
    operator.set_phase(Phase.DB_ONLY)
    pipeline.has_run(Phase.DB_ONLY)
    harbour.kill(harbour.services.redis.pid, signal.SIGKILL)
    harbour.start()
    operator.set_phase(Phase.DB_FIRST)
    operator.set_phase(Phase.FILES_ONLY)
    pipeline.has_run(Phase.FILES_ONLY)
    operator.set_phase(Phase.DUAL_WRITE)
    operator.settle(pipeline.end())
