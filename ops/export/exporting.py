"""Exporting: outputs out of the rows, each compared with the disk, and written where it is wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import asyncpg

from ops.export.comparing import Standing, compare
from producers.stage_store.files import read_files
from producers.stage_store.replacing import replace_output, stage_folder_to_write
from producers.stage_store.rows import restored
from shared.documents import Document
from shared.errors import Malformed, NotRestorable, RunferryError
from shared.ids import RunId, Stage, parse_run_id
from shared.sql import load_queries

_QUERIES: Final = load_queries("ops.export")
_PAGE: Final = 50
#: On disk nothing is judged: an output of any size is compared.
_ANY_SIZE: Final = 1 << 40

Took = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """One output of the rows, as documents."""

    run_id: RunId
    stage: Stage
    documents: tuple[Document, ...]
    produced_at: datetime


@dataclass(frozen=True, slots=True)
class Unexportable:
    """An output that can't be given back, and why."""

    run_id: str
    stage: int
    reason: str


@dataclass(slots=True)
class Tally:
    """What an export found and did, in outputs."""

    standing: Counter[Standing] = field(default_factory=Counter)
    newer_on_disk: int = 0
    written: int = 0
    runs: set[str] = field(default_factory=set)
    unexportable: list[Unexportable] = field(default_factory=list)


async def unknown_runs(connection: asyncpg.Connection, run_ids: Sequence[str]) -> list[str]:
    """Return which of these runs the web app does not have."""
    return [row["run_id"] for row in await connection.fetch(_QUERIES["unknown_runs"], list(run_ids))]


async def survey(
    connection: asyncpg.Connection, run_ids: Sequence[str] | None, target: Path, tally: Tally, took: Took
) -> None:
    """Compare all outputs with the disk, and write none; `took` is told how many there were so far."""
    await _go(connection, run_ids, target, tally, took, write=())


async def write(
    connection: asyncpg.Connection,
    run_ids: Sequence[str] | None,
    target: Path,
    tally: Tally,
    took: Took,
    *,
    differing: bool,
) -> None:
    """Write the outputs that the disk lacks, and with `differing` those that it has otherwise.

    What was written stands in `tally`, also when it is interrupted.
    """
    wanted = (Standing.NEW, Standing.DIFFERS) if differing else (Standing.NEW,)
    await _go(connection, run_ids, target, tally, took, write=wanted)


async def _go(
    connection: asyncpg.Connection,
    run_ids: Sequence[str] | None,
    target: Path,
    tally: Tally,
    took: Took,
    *,
    write: Sequence[Standing],
) -> None:
    outputs = 0
    async for output in _outputs(connection, run_ids):
        if isinstance(output, Unexportable):
            tally.unexportable.append(output)
        else:
            try:
                _take(output, target, tally, write)
            except (RunferryError, OSError) as error:
                tally.unexportable.append(Unexportable(output.run_id, int(output.stage), str(error)))
        outputs += 1
        took(outputs)


def _take(output: Exported, target: Path, tally: Tally, write: Sequence[Standing]) -> None:
    on_disk = read_files(target, output.run_id, output.stage, max_output_bytes=_ANY_SIZE, patience_s=2.0)
    standing = compare(output.documents, None if on_disk is None else on_disk.documents)
    tally.standing[standing] += 1
    tally.runs.add(output.run_id)
    if standing is Standing.DIFFERS and on_disk is not None and on_disk.produced_at > output.produced_at:
        tally.newer_on_disk += 1
    if standing in write:
        folder = stage_folder_to_write(target, output.run_id, output.stage)
        replace_output(folder, output.documents, output.produced_at)
        tally.written += 1


async def _outputs(
    connection: asyncpg.Connection, run_ids: Sequence[str] | None
) -> AsyncIterator[Exported | Unexportable]:
    last = ("", 0)
    wanted = None if run_ids is None else list(run_ids)
    while rows := await connection.fetch(_QUERIES["outputs"], wanted, *last, _PAGE):
        for row in rows:
            yield _output_of(row)
        last = (rows[-1]["run_id"], rows[-1]["stage"])


def _output_of(row: Any) -> Exported | Unexportable:
    name = (row["run_id"], row["stage"])
    if row["content_sha256"] is None:
        return Unexportable(
            *name, "runferry did not write this row, so it does not know its documents; a backfill adopts it."
        )
    try:
        run_id, stage = parse_run_id(row["run_id"]), Stage(row["stage"])
        return Exported(run_id, stage, restored(row, run_id, stage), row["produced_at"])
    except (NotRestorable, Malformed, ValueError) as error:
        return Unexportable(*name, str(error))
