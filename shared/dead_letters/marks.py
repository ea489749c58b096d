"""Marks: which outputs of a run have a letter, for the writer, `--resume` and the reconciler."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import asyncpg

from shared.dead_letters.letter import LetterState
from shared.documents import Sha256
from shared.ids import RunId
from shared.sql import load_queries

_QUERIES: Final = load_queries("shared.dead_letters")


@dataclass(frozen=True, slots=True)
class LetterMark:
    """A letter in short."""

    id: int
    content_sha256: Sha256
    state: LetterState
    reason: str


async def letter_marks(
    connection: asyncpg.Connection, run_ids: Iterable[RunId]
) -> Mapping[tuple[RunId, int], list[LetterMark]]:
    """Return all letters of these runs by run and stage (0 where a message did not say it), in every state."""
    marks: dict[tuple[RunId, int], list[LetterMark]] = defaultdict(list)
    for row in await connection.fetch(_QUERIES["marks_of_runs"], list(run_ids)):
        mark = LetterMark(
            id=row["id"],
            content_sha256=Sha256(row["content_sha256"]),
            state=LetterState(row["state"]),
            reason=row["reason"],
        )
        marks[RunId(row["run_id"]), row["stage"]].append(mark)
    return dict(marks)


async def open_letters(
    connection: asyncpg.Connection, run_ids: Iterable[RunId]
) -> Mapping[tuple[RunId, int], list[LetterMark]]:
    """Return the letters of these runs that still wait for somebody, by run and stage."""
    marks = await letter_marks(connection, run_ids)
    waiting = {key: [mark for mark in of_output if mark.state.waits] for key, of_output in marks.items()}
    return {key: of_output for key, of_output in waiting.items() if of_output}
