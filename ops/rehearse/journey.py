"""The journey: every step there and back, each timed, each with what it found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg

from ops.backup.progress import StepProgress
from ops.backup.table_hashes import TableHash, differences, hash_tables
from ops.rehearse.commands import StepFailedError, run_command
from ops.rehearse.queries import QUERIES
from ops.rehearse.scratch import Scratch
from ops.rehearse.trees import copy_runs, differing, read_outputs
from ops.restore import databases
from shared.connection_errors import DATABASE_ERRORS
from shared.counting import counted
from shared.database import connect
from shared.errors import RunferryError
from shared.printable import printable
from shared.schema_version import WEB_APP_TABLES
from shared.settings import Settings
from shared.stores import Stores

_OPS: Final = "ops.command"
_PRODUCER: Final = "producers.command"
_MOST_NAMED: Final = 5
#: Nobody else writes to the copy: what is in it is settled.
_SETTLED: Final = ("--settle", "0s")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it found, or why it failed."""

    step: str
    seconds: float
    passed: bool
    detail: str

    def to_json(self) -> dict[str, Any]:
        """Return it as `runferry.rehearsal` keeps it."""
        return asdict(self)


@dataclass(slots=True)
class Journey:
    """One rehearsal on its way."""

    scratch: Scratch
    stores: Stores
    settings: Settings
    administration: asyncpg.Connection
    progress: StepProgress
    root: Path
    sample: int | None
    workers: int
    steps: list[Step] = field(default_factory=list)
    _before: tuple[TableHash, ...] = ()
    _backup: str = ""

    async def go(self) -> bool:
        """Take every step until one fails; returns whether none did."""
        for name, take in (
            ("copy the run folders", self._copy),
            ("apply the schema", self._apply),
            ("backfill", self._backfill),
            ("reconcile", self._reconcile),
            ("export", self._export),
            ("back up", self._back_up),
            ("roll back", self._roll_back),
            ("restore", self._restore),
            ("reconcile what was restored", self._reconcile_restored),
        ):
            if not await self._take(name, take):
                return False
        return True

    async def _take(self, name: str, take: Callable[[], Awaitable[str]]) -> bool:
        self.progress.begin(name.capitalize(), unit="step")
        started_s = time.monotonic()
        try:
            detail, passed = await take(), True
        except (RunferryError, *DATABASE_ERRORS) as error:
            detail, passed = str(error), False
        step = Step(name, round(time.monotonic() - started_s, 3), passed, detail)
        self.steps.append(step)
        self.progress.note(f"{'ok' if passed else 'FAILED':>6}  {step.seconds:>7.1f} s  {name}: {detail}")
        return passed

    async def _run(self, module: str, *words: object, database: str | None = None, allowed: int = 0) -> Any:
        environment = self.scratch.environment(self.stores, database or self.scratch.database)
        return (await run_command(module, *words, environment=environment, allowed=allowed)).document

    async def _copy(self) -> str:
        copied = await asyncio.to_thread(copy_runs, self.root, self._copied, self.sample)
        if not copied:
            raise StepFailedError(f"There is no run in {self.root}.")
        return f"{counted(copied, 'run')} of {self.root}"

    async def _apply(self) -> str:
        await databases.create(self.administration, self.scratch.database)
        await self._run(_OPS, "schema", "apply")
        await self._run(_OPS, "schema", "verify")
        connection = await self._connect(self.scratch.database)
        try:
            for query in ("web_app_user", "web_app_runs", "web_app_cards"):
                await connection.execute(QUERIES[query])
        finally:
            connection.terminate()
        self._before = await self._hashes()
        return f'a new database "{self.scratch.database}", with rows as a web app makes them'

    async def _backfill(self) -> str:
        # Dead letters are outputs that are accounted for; unreadable folders are as they are in the live tree.
        done = await self._run(_PRODUCER, "backfill", "--all", *_SETTLED, "--run-workers", self.workers, allowed=1)
        if not done["applied"]:
            raise StepFailedError(f"no output was applied: {done}")
        dead = f", {counted(done['dead_lettered'], 'dead letter')}" if done["dead_lettered"] else ""
        return f"{counted(done['applied'], 'output')} applied{dead}"

    async def _reconcile(self) -> str:
        return await self._balanced(self.scratch.database)

    async def _reconcile_restored(self) -> str:
        return await self._balanced(self.scratch.restored)

    async def _balanced(self, database: str) -> str:
        report = await self._run(
            _OPS, "reconcile", "--all", *_SETTLED, "--run-workers", self.workers, database=database, allowed=1
        )
        counts = ", ".join(f"{count:,} {word}" for word, count in report["verdicts"].items())
        found = f"{counted(report['outputs_on_disk'], 'output')} on disk: {counts}"
        if not report["balanced"]:
            raise StepFailedError("; ".join([f"not balanced: {found}", *map(_said, report["named"][:1])]))
        return found

    async def _export(self) -> str:
        target = self.scratch.folder / "exported"
        exported = await self._run(_OPS, "export", "--all", "--to", target)
        wrong = await asyncio.to_thread(self._differing, target)
        if wrong:
            raise _otherwise(wrong)
        if not exported["written"]:
            raise StepFailedError("nothing was exported")
        return f"{counted(exported['written'], 'output, equal to its', 'outputs, equal to their')} files"

    async def _back_up(self) -> str:
        made = await self._run(_OPS, "backup", "--to", self.scratch.folder / "backups")
        self._backup = made["folder"]
        size = sum(part["bytes"] for part in made["parts"])
        rows = sum(table["rows"] for table in made["tables"])
        return f"{counted(rows, 'row')} and {counted(made['runs']['files'], 'file')} in {size:,} bytes"

    async def _roll_back(self) -> str:
        done = await self._run(_OPS, "rollback", "--all-migrated", "--no-backup", "--yes")
        wrong = differences(self._before, await self._hashes())
        if wrong:
            raise StepFailedError(f"not as before the backfill: {'; '.join(map(str, wrong))}")
        return f"{counted(done['runs'], 'run')}; the web app's tables are as they were before, to the byte"

    async def _restore(self) -> str:
        files = self.scratch.folder / "restored"
        done = await self._run(_OPS, "restore", self._backup, "--into", self.scratch.restored, "--files-to", files)
        wrong = await asyncio.to_thread(self._differing, files)
        if wrong:
            raise _otherwise(wrong)
        return (
            f"{counted(done['rows'], 'row')} of {counted(done['tables'], 'table')}, every hash equal; "
            f"{counted(done['files'], 'file')}, equal"
        )

    @property
    def _copied(self) -> Path:
        return self.scratch.folder / "root"

    def _differing(self, folder: Path) -> list[str]:
        limit = self.settings.max_output_bytes
        return differing(read_outputs(self._copied, limit), read_outputs(folder, limit))

    async def _hashes(self) -> tuple[TableHash, ...]:
        connection = await self._connect(self.scratch.database)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                hashes = await hash_tables(connection)
        finally:
            connection.terminate()
        return tuple(table for table in hashes if table.schema != "runferry" and table.name in WEB_APP_TABLES)

    async def _connect(self, database: str) -> asyncpg.Connection:
        return await connect(self.scratch.address(self.stores, database), self.settings)


def _otherwise(wrong: list[str]) -> StepFailedError:
    return StepFailedError(
        f"{counted(len(wrong), 'output')} came back otherwise: {', '.join(wrong[:_MOST_NAMED])}"
    )


def _said(named: Mapping[str, Any]) -> str:
    """Return what a report names, its gravest first, in words."""
    stage = f" stage {named['stage']}" if named["stage"] else ""
    return printable(f"{named['run_id']}{stage}: {named['verdict']}: {named['detail']}".rstrip(": "))
