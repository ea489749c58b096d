"""Checks: each point looked at by machine, with the evidence in words."""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import asyncpg
import orjson
from pydantic import SecretStr

from ops.checklist.api import fault_of_run
from ops.checklist.points import Point, PointName, failed, not_checkable, passed
from producers.stage_store.store import StageStore
from shared.broker.broker import make_broker
from shared.comparing.json_value import canonical_json
from shared.counting import counted, word_for
from shared.documents import Document
from shared.errors import RunferryError
from shared.formats.kinds import Kind, kind_of
from shared.ids import RunId
from shared.reconciling.verdicts import Standing
from shared.run_folders.listing import list_named, list_runs, run_names
from shared.run_folders.scanner import Scanner
from shared.run_folders.stage_folder import Limits
from shared.settings import Phase, Settings
from shared.sql import load_queries
from shared.stores import Stores
from workers.reconciling.held import read_held
from workers.reconciling.judging import check_record
from workers.reconciling.observer import Observer

QUERIES: Final = load_queries("ops.checklist")
RANDOM_RUNS: Final = 5
FRESH: Final = timedelta(days=7)
BACKUP_FRESH: Final = timedelta(days=1)
REHEARSAL_FRESH: Final = timedelta(days=30)
_RUNS_AT_ONCE: Final = 1_000
_MOST_NAMED: Final = 3
_LOOKS: Final = 3
_LOOK_AGAIN_S: Final = 1.0
#: What counts as equal: a file whose rows somebody edited, or whose later output is in the rows, is as it should be.
_EQUAL: Final = frozenset({Standing.MATCH, Standing.EDITED, Standing.SUPERSEDED})
_ACCOUNTED: Final = _EQUAL | {Standing.DEAD_LETTERED, Standing.DISCARDED, Standing.MENDED}
_NOWHERE: Final = {
    "database_url": SecretStr("postgresql://nobody@127.0.0.1:1/nothing"),
    "redis_url": SecretStr("redis://127.0.0.1:1/0"),
}
_CI_FILES: Final = (
    ".github/workflows/*.y*ml",
    ".gitlab-ci.yml",
    ".circleci/config.yml",
    ".ci/*",
    "azure-pipelines.yml",
    "Jenkinsfile",
)


@dataclass(frozen=True, slots=True)
class Checker:
    """What all checks look at; `seed` chooses the random runs, `folder` is the repository with the CI."""

    connection: asyncpg.Connection
    stores: Stores
    settings: Settings
    root: Path
    seed: int
    folder: Path
    api_url: str | None = None
    api_headers: Sequence[tuple[str, str]] = ()

    async def check_all(self) -> list[Point]:
        """Return every point, in the checklist's order."""
        chosen = await asyncio.to_thread(self._choose)
        return [
            await self.all_runs_migrated(),
            await self.random_runs_equal(chosen),
            await self.new_outputs_reach_rows(),
            await self.api_reads_rows(chosen),
            await self.reads_and_fallback(chosen),
            await self.backups_restorable(),
            await asyncio.to_thread(self.backfill_in_ci),
            await self.rehearsed(),
        ]

    async def all_runs_migrated(self) -> Point:
        """Count the runs on disk that have outputs, and those of them that are in the database."""
        name = PointName.ALL_RUNS_MIGRATED
        on_disk = 0
        missing: list[str] = []
        beside: Counter[str] = Counter()
        listing = (run.run_id for run in list_runs(self.root, self.settings.max_output_bytes) if run.stages)
        while run_ids := await asyncio.to_thread(lambda: list(islice(listing, _RUNS_AT_ONCE))):
            on_disk += len(run_ids)
            present = {
                row["run_id"]: row["how"] for row in await self.connection.fetch(QUERIES["present_runs"], run_ids)
            }
            missing += [run_id for run_id in run_ids if run_id not in present]
            beside.update(how for how in present.values() if how)
        if not on_disk:
            return failed(name, f"No run with an output was found in {self.root}.")
        if missing:
            lacking = f"{len(missing):,} of {counted(on_disk, 'run')} {word_for(len(missing), 'is', 'are')}"
            return failed(name, f"{lacking} not there: {_some(missing)}.")
        known = "".join(f", {counted(count, 'was', 'were')} {how}" for how, count in sorted(beside.items()))
        return passed(name, f"{word_for(on_disk, 'The only run is', f'All {on_disk:,} runs are')} there{known}.")

    async def random_runs_equal(self, chosen: Sequence[RunId]) -> Point:
        """Compare random runs with their rows, as the reconciler does."""
        name = PointName.RANDOM_RUNS_EQUAL
        if not chosen:
            return failed(name, f"No run with an output was found in {self.root}.")
        broker = make_broker(self.stores.redis_url, self.settings, patience=self.settings.connect_timeout)
        try:
            observer = Observer(self.root, self.settings, broker, partial(read_held, self.connection))
            for looks in range(_LOOKS):
                found = await observer.observe(chosen)
                standings = [
                    (run_id, stage, judgement.standing)
                    for run_id in chosen
                    for stage, (_, judgement) in found[run_id].items()
                ]
                wrong = [
                    f"{run_id} stage {stage.value} {word.value}"
                    for run_id, stage, word in standings
                    if word not in _ACCOUNTED
                ]
                if not wrong or looks == _LOOKS - 1:
                    break
                await asyncio.sleep(_LOOK_AGAIN_S)  # pipelines may be at work on these very runs
        finally:
            broker.close()
        if wrong:
            differing = word_for(len(wrong), "is not as its", "are not as their")
            return failed(
                name, f"{len(wrong)} of {counted(len(standings), 'output')} {differing} files: {_some(wrong)}."
            )
        equal = sum(word in _EQUAL for _, _, word in standings)
        if not equal:
            dead = word_for(len(standings), "The only output", f"All {len(standings)} outputs")
            are = word_for(len(standings), "is a dead letter", "are dead letters")
            return failed(name, f"{dead} of {counted(len(chosen), 'run')} {are}.")
        are_equal = (
            f"{counted(equal, 'output')} of {counted(len(chosen), 'run')} {word_for(equal, 'is', 'are')} equal"
        )
        return passed(
            name, f"{are_equal}, {counted(len(standings) - equal, 'is a dead letter', 'are dead letters')}."
        )

    async def new_outputs_reach_rows(self) -> Point:
        """Look at the newest outputs that a pipeline sent, and at their rows."""
        name = PointName.NEW_OUTPUTS_REACH_ROWS
        newest = await self.connection.fetch(QUERIES["pipeline_outputs"], FRESH)
        if not newest:
            return not_checkable(name, f"No pipeline sent an output in the last {FRESH.days} days.")
        held = await read_held(self.connection, {RunId(row["run_id"]) for row in newest})
        for row in newest:
            stage = held[RunId(row["run_id"])].stages[row["stage"]]
            if stage.entry is None or (fault := check_record(stage, stage.entry)) is not None:
                fields = "" if stage.entry is None else ", ".join(fault.fields if fault else ())
                return failed(
                    name, f"{row['run_id']} stage {row['stage']} is not in the rows as it was written: {fields}."
                )
        last = f"{newest[0]['applied_at']:%Y-%m-%d %H:%M} UTC"
        there = word_for(len(newest), "output of pipelines is", f"{len(newest)} outputs of pipelines are")
        return passed(name, f"The newest {there} in the rows; the last is of {last}.")

    async def api_reads_rows(self, chosen: Sequence[RunId]) -> Point:
        """Fetch random runs from the web app, and look for the run and the titles of its cards in the answer."""
        name = PointName.API_READS_ROWS
        if self.api_url is None:
            return not_checkable(name, "No route was given: --api-url https://…/api/runs/{run_id}.")
        for run_id in chosen:
            titles = [row["title"] for row in await self.connection.fetch(QUERIES["cards"], run_id)]
            fault = await asyncio.to_thread(fault_of_run, self.api_url, self.api_headers, run_id, titles)
            if fault is not None:
                return failed(name, fault)
        return passed(
            name,
            f"{counted(len(chosen), 'run')} came back with all of {word_for(len(chosen), 'its', 'their')} cards.",
        )

    async def reads_and_fallback(self, chosen: Sequence[RunId]) -> Point:
        """Read outputs through the stage store: from the rows without files, and from files without a database."""
        name = PointName.READS_AND_FALLBACK
        return await asyncio.to_thread(self._read_both_ways, name, chosen)

    async def backups_restorable(self) -> Point:
        """Look for a backup of today that was verified or restored since it was made."""
        name = PointName.BACKUPS_RESTORABLE
        row = await self.connection.fetchrow(QUERIES["newest_backup"], BACKUP_FRESH)
        if row is None:
            return not_checkable(name, "runferry made no backup of this database.")
        where = f"The newest backup, {row['host']}:{row['folder']} of {row['made_at']:%Y-%m-%d %H:%M} UTC,"
        if row["age"] > BACKUP_FRESH:
            return failed(name, f"{where} is older than a day: ops backup --to DIR, then with --verify.")
        if row["restored_at"] is None and row["verified_at"] is None:
            verify = f"ops backup --to {Path(row['folder']).parent} --verify"
            return failed(name, f"{where} was neither verified nor restored: {verify}")
        return passed(name, f"{where} was {'restored' if row['restored_at'] else 'verified'}.")

    async def rehearsed(self) -> Point:
        """Look at the newest rehearsal that came to its end."""
        name = PointName.REHEARSED
        row = await self.connection.fetchrow(QUERIES["newest_rehearsal"])
        if row is None:
            return not_checkable(name, "Nobody rehearsed it for this database.")
        what = f"The rehearsal of {row['finished_at']:%Y-%m-%d %H:%M} UTC"
        steps = orjson.loads(row["steps"])
        if not row["passed"]:
            wrong = [step for step in steps if not step["passed"]]
            why = f"{wrong[0]['step']}: {wrong[0]['detail']}" if wrong else "it was interrupted"
            return failed(name, f"{what} did not come through; {why}. Once mended: ops rehearse")
        if row["age"] > REHEARSAL_FRESH:
            return failed(name, f"{what} is older than {REHEARSAL_FRESH.days} days: ops rehearse")
        return passed(name, f"{what} came through in {len(steps)} steps.")

    def backfill_in_ci(self) -> Point:
        """Look for the backfill in the files of the CI systems that keep theirs in the repository."""
        name = PointName.BACKFILL_IN_CI
        files = [path for pattern in _CI_FILES for path in sorted(self.folder.glob(pattern)) if path.is_file()]
        for path in files:
            text = path.read_text(errors="replace")
            if "make backfill" in text or "producer backfill" in text:
                return passed(name, f"{path.relative_to(self.folder)} runs it.")
        return not_checkable(name, f"No CI file in {self.folder} runs it.")

    def _choose(self) -> list[RunId]:
        """Return random runs that have outputs; some folders may have none, so more are looked at than are taken."""
        names = sorted(run_names(self.root))
        random.Random(self.seed).shuffle(names)  # noqa: S311 - a sample, not a secret
        listed = list_named(self.root, names, self.settings.max_output_bytes)
        return list(islice((run.run_id for run in listed if run.stages), RANDOM_RUNS))

    def _read_both_ways(self, name: PointName, chosen: Sequence[RunId]) -> Point:
        scanner = Scanner(self.root, Limits(0.0, self.settings.max_output_bytes))
        outputs = [(run.run_id, output) for run in scanner.named(chosen) for output in run.outputs]
        with tempfile.TemporaryDirectory(prefix="runferry-checklist-") as folder, _meant_fallbacks():
            empty = Path(folder)
            rows = self._store(empty, root=empty, phase=Phase.DB_FIRST, **self._urls())
            files = self._store(empty, root=self.root, phase=Phase.DB_FIRST, **_NOWHERE)
            try:
                from_rows = sum(
                    _reads(rows, run_id, output.stage.value, output.documents) for run_id, output in outputs
                )
                for run_id, output in outputs:
                    if not _reads(files, run_id, output.stage.value, output.documents):
                        return failed(
                            name, f"Without a database, {run_id} stage {output.stage.value} can't be read."
                        )
            finally:
                rows.close()
                files.close()
        if not from_rows:
            return failed(name, "No output could be read back from the rows as it is on disk.")
        return passed(
            name,
            f"{counted(from_rows, 'output')} came back from the rows, {len(outputs)} from files without a database.",
        )

    def _store(self, home: Path, *, root: Path, phase: Phase, **urls: SecretStr) -> StageStore:
        return StageStore(self.settings.model_copy(update={"home": home, "root": root, "phase": phase, **urls}))

    def _urls(self) -> Mapping[str, SecretStr]:
        return {
            "database_url": SecretStr(self.stores.database.url),
            "redis_url": SecretStr(self.stores.redis_url),
        }


@contextmanager
def _meant_fallbacks() -> Iterator[None]:
    """Keep the stage store from warning of each fallback: here they are meant."""
    logger = logging.getLogger(StageStore.__module__.rpartition(".")[0])
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reads(store: StageStore, run_id: RunId, stage: int, documents: Sequence[Document]) -> bool:
    """Return whether the store gives these documents: Markdown byte for byte, JSON by value."""
    try:
        found = {document.name: document.content for document in store.read(run_id, stage).documents}
    except (RunferryError, OSError):
        return False
    return found.keys() == {document.name for document in documents} and all(
        _same(document, found[document.name]) for document in documents
    )


def _same(document: Document, content: bytes) -> bool:
    if document.content == content:
        return True
    if kind_of(document.name) is not Kind.JSON:
        return False
    return canonical_json(document.content.decode()) == canonical_json(content.decode())


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (" …" if len(names) > _MOST_NAMED else "")
