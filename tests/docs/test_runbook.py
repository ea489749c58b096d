"""The runbook, walked from its first command to its last: what it shows is what one sees."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from click.testing import CliRunner
from command_lines import REPOSITORY, SCRIPTS, command_lines
from real_workers import until
from runbook_steps import Step, steps_of

from ops.command import main as ops
from producers.command import main as producer
from shared.broker.broker import make_broker
from shared.broker.registry import WorkerInfo, WorkerState
from shared.database_url import DatabaseAddress
from shared.settings import Settings

RUNBOOK = (REPOSITORY / "docs" / "runbook.md").read_text()
STEPS = steps_of(RUNBOOK)
#: Long before any settle time.
OLD_S = 1_700_000_000
#: Commands whose tests are elsewhere, since they take long.
ELSEWHERE = {"ops rehearse": "tests/ways_back/test_rehearse.py"}


class Place:
    """Where the runbook is walked: two empty stores, the example runs, and a worker once one was started."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.folder = folder
        self.address = DatabaseAddress.parse(database_url)
        self.settings = Settings.from_environment(
            database_url=database_url, redis_url=redis_url, root=folder / "data/test-outputs", home=folder / "home"
        )
        self.environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "RUNFERRY_HOME": str(self.settings.home),
            "RUNFERRY_WORKER_PROCESSES": "1",
            # The walk takes a minute for what is weeks; what it writes is not left out as too new.
            "RUNFERRY_SETTLE": "0s",
            # Its reports would be among those that the runbook shows.
            "RUNFERRY_RECONCILE_EVERY": "30d",
            "COLUMNS": "100",
        }
        shutil.copytree(REPOSITORY / "examples" / "runs", self.settings.root)
        for path in self.settings.root.rglob("*"):
            os.utime(path, (OLD_S, OLD_S))
        self.broker = make_broker(redis_url, self.settings)
        self.worker: subprocess.Popen[bytes] | None = None
        self.day = 1

    def take(self, step: Step) -> str:
        """Carry out a step, and return what there is to see."""
        words = [self._here(word) for word in shlex.split(step.command)]
        if words[0] == "worker":
            self._start_worker(words)
            return ""
        main = {"ops": ops, "producer": producer}[words[0]]
        heard = self._holds_heard()
        ended = CliRunner().invoke(main, words[1:], env=self.environment, catch_exceptions=False)
        assert ended.exit_code == step.status, f"{step.command} ended with {ended.exit_code}:\n{ended.output}"
        if words[:2] == ["ops", "pause"]:
            until(lambda: self._holds_heard() > heard, "a worker that heard of the hold")
        return ended.output

    def expected(self, step: Step) -> Step:
        """The step, with what its lines are called here."""
        seen = [
            line.replace('"runferry"', f'"{self.address.database}"')
            .replace('"staging"', f'"{self.address.database}_staging"')
            .replace("/backups/", f"{self.folder}/backups/")
            for line in step.seen
        ]
        return Step(step.heading, step.block, step.command, step.status, seen)

    def happen(self, heading: str, block: int) -> None:
        """Have happen what a part of the runbook is about."""
        if (day := re.match(r"Day (\d+)", heading)) and int(day[1]) > self.day:
            self._pass(int(day[1]) - self.day)
            self.day = int(day[1])
        match heading, block:
            case "Workers are paused", 1:
                self.execute('ALTER TABLE "StageOutput" RENAME TO "Hidden"')
                emitted = ("emit", "run-20261125-0002", "1", *self._sample())
                CliRunner().invoke(producer, emitted, env=self.environment, catch_exceptions=False)
                until(lambda: any(info.state is WorkerState.PAUSED for info in self.workers()), "a paused worker")
            case "Workers are paused", 2:
                self.execute('ALTER TABLE "Hidden" RENAME TO "StageOutput"')
                self.drain()
            case "A worker died, and its messages were taken over", 1:
                (info,) = self.workers()
                psutil.Process(info.pid).send_signal(signal.SIGKILL)
                until(lambda: [one.pid for one in self.workers()] not in ([], [info.pid]), "a new worker")
            case "The report is not balanced", 1:
                self.execute("""DELETE FROM "StageOutput" WHERE "runId" = 'test-run-001' AND "stageNumber" = 2""")
                self.execute(
                    """
                    UPDATE "StageOutput" SET "jsonOutput" = '{}'
                    WHERE "runId" = 'test-run-002' AND "stageNumber" = 2
                    """
                )
            case _:
                self.drain()

    def workers(self) -> list[WorkerInfo]:
        """The live worker processes."""
        return list(self.broker.live_workers())

    def drain(self) -> None:
        """Wait until nothing is on its way, if there are workers."""
        if self.worker is not None:
            until(lambda: all(depth.pending == 0 for depth in self.broker.depths().values()), "an empty queue")

    def execute(self, statement: str, *arguments: Any) -> None:
        """Execute a statement as somebody who may."""
        asyncio.run(self._on(self.address.dsn, statement, *arguments))

    def close(self) -> None:
        """End everything, and drop the databases that were made."""
        if self.worker is not None:
            self.worker.terminate()
            try:
                self.worker.wait(60)
            except subprocess.TimeoutExpired:
                self.worker.kill()
                self.worker.wait()
        self.broker.close()
        for name in asyncio.run(self._beside()):
            self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _here(self, word: str) -> str:
        names = {"runferry": self.address.database, "staging": f"{self.address.database}_staging"}
        word = re.sub(r"^/backups", f"{self.folder}/backups", names.get(word, word))
        word = re.sub(r"^\.runferry", str(self.settings.home), word)
        if (folder := Path(word)).name == "20261125T233301Z":
            return str(max(folder.parent.iterdir()))
        return word

    def _sample(self) -> tuple[str, ...]:
        return (str(self.settings.root / "test-run-001" / "stage1" / "inspirations.json"),)

    def _start_worker(self, words: list[str]) -> None:
        with (self.folder / "worker.log").open("wb") as log:
            self.worker = subprocess.Popen(
                [str(Path(sys.executable).parent / words[0]), *words[1:]],
                env=os.environ | self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        until(self.workers, "a live worker")

    def _holds_heard(self) -> int:
        log = self.folder / "worker.log"
        return log.read_bytes().count(b"queue held") if log.exists() else 0

    def _pass(self, days: int) -> None:
        """Let days go by, in which pipelines and the nightly backup went on as they do."""
        for table, column in (
            ("schema_migration", "applied_at"),
            ("phase_change", "at"),
            ("checklist_result", "at"),
            ("attestation", "at"),
        ):
            self.execute(f"UPDATE runferry.{table} SET {column} = {column} - make_interval(days => $1)", days)

    async def _beside(self) -> list[str]:
        connection = await asyncpg.connect(self.address.dsn)
        try:
            query = "SELECT datname FROM pg_database WHERE starts_with(datname, $1)"
            return [row["datname"] for row in await connection.fetch(query, f"{self.address.database}_")]
        finally:
            await connection.close()

    @staticmethod
    async def _on(dsn: str, statement: str, *arguments: Any) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(statement, *arguments)
        finally:
            await connection.close()


@pytest.fixture
def place(
    empty_database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    monkeypatch.chdir(tmp_path)
    found = Place(tmp_path, empty_database_url, redis_url)
    yield found
    found.close()


@pytest.mark.long
def test_the_runbook_can_be_walked_from_its_first_command_to_its_last(place: Place) -> None:
    assert len(STEPS) > 50
    where = ("", 0)
    for step in STEPS:
        if step.command in ELSEWHERE:
            continue
        if (step.heading, step.block) != where:
            where = (step.heading, step.block)
            place.happen(*where)
        output = place.take(step)
        lacking = place.expected(step).difference(output)
        assert lacking is None, f"{step.heading}: {step.command} shows no {lacking!r}, but:\n{output}"


def test_what_is_tested_elsewhere_is_tested() -> None:
    for command, test in ELSEWHERE.items():
        assert command in {step.command for step in STEPS}
        assert f'"{command.split()[1]}"' in (REPOSITORY / test).read_text()


def test_every_command_that_the_runbook_only_mentions_is_one_that_is_run_with_these_options_somewhere() -> None:
    """Its table and its sentences name commands too; those that need more than the walk has are listed here."""
    run = [_shape(shlex.split(step.command)) for step in STEPS]
    tested_elsewhere = {
        ("ops schema revert", frozenset()),  # tests/schema/test_revert.py
        ("ops schema prisma", frozenset({"--to"})),  # tests/schema/test_prisma_folder.py
        ("ops restore", frozenset({"--into", "--files-to"})),  # tests/ways_back/test_restore.py
        ("ops dlq replay", frozenset({"--from-disk", "--wait"})),  # tests/dead_letters/test_replay.py
        ("ops reconcile", frozenset({"--sample"})),  # tests/proof
        ("ops status", frozenset({"--watch"})),  # tests/proof/test_status.py
        ("producer backfill", frozenset({"--run-id", "--run-workers"})),  # tests/producers/test_backfill.py
        ("worker", frozenset({"--processes"})),  # tests/end_to_end
        ("producer outbox flush", frozenset()),  # tests/phases/test_outbox.py
    }
    for line in command_lines(RUNBOOK):
        name, options = _shape(list(line))
        known = any(name == other and options <= given for other, given in [*run, *tested_elsewhere])
        assert known, f"{' '.join(line)} is run nowhere"


def _shape(words: list[str]) -> tuple[str, frozenset[str]]:
    """Return a command's name and its options."""
    assert words[0] in SCRIPTS
    groups = {"dlq", "schema", "phase", "outbox", "services"} | ({"checklist"} if "attest" in words else set())
    depth = 1 if words[0] == "worker" else 3 if len(words) > 2 and words[1] in groups else 2
    options = frozenset(word.partition("=")[0] for word in words if word.startswith("--"))
    return " ".join(words[:depth]), options


def test_steps_are_read_and_what_they_show_is_compared_in_its_order() -> None:
    (step,) = steps_of("## One\n```console\n$ ops status   # ends with 1\na … c\n…\nd\n```\n")
    assert (step.heading, step.block, step.command, step.status) == ("One", 1, "ops status", 1)
    assert step.difference("x\na b  c\ny\nd\n") is None
    assert step.difference("d\na b c\n") == "d"
