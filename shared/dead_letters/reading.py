"""Reading: rows of `runferry.dead_letter` as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import orjson

from shared.dead_letters.letter import (
    DeadLetter,
    Delivery,
    Evidence,
    FiledLetter,
    LetterState,
    WorkerIdentity,
)
from shared.documents import Sha256
from shared.errors import Place
from shared.ids import RunId
from shared.sql import load_queries

_QUERIES: Final = load_queries("shared.dead_letters")


async def read_letter(connection: asyncpg.Connection, letter_id: int) -> FiledLetter | None:
    """Return one letter with everything, None where there is none of this id."""
    row = await connection.fetchrow(_QUERIES["letter"], letter_id)
    return None if row is None else filed_letter(row)


def filed_letter(row: Mapping[str, Any]) -> FiledLetter:
    """Return the letter that a whole row of `runferry.dead_letter` holds."""
    letter = DeadLetter(
        run_id=RunId(row["run_id"]),
        stage=row["stage"],
        content_sha256=Sha256(row["content_sha256"]),
        evidence=Evidence(
            reason=row["reason"],
            sentence=row["sentence"],
            place=place_of(orjson.loads(row["place"])),
            error_class=row["error_class"],
            error_text=row["error_text"],
            traceback=row["traceback"],
        ),
        fingerprint=row["fingerprint"],
        worker=WorkerIdentity(row["worker_host"], row["worker_pid"], row["worker_version"]),
        delivery=Delivery(
            batch_id=row["batch_id"],
            message_id=row["message_id"],
            queue=row["queue"],
            attempts=row["attempts"],
            first_failed_at=row["first_failed_at"],
            last_failed_at=row["last_failed_at"],
        ),
        origin=row["origin"],
        produced_at=row["produced_at"],
        envelope=orjson.loads(row["envelope"]),
        payload=row["payload"],
    )
    return FiledLetter(
        id=row["id"],
        state=LetterState(row["state"]),
        letter=letter,
        died_at=row["died_at"],
        seen=row["seen"],
        replays=row["replays"],
        history=tuple(orjson.loads(row["history"])),
        closed_at=row["closed_at"],
    )


def place_of(value: Mapping[str, Any]) -> Place:
    """Return the place that the column `place` holds; what a newer version added is left out."""
    return Place(value.get("document"), value.get("line"), value.get("column"), value.get("section"))
