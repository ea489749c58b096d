"""Ids: run ids, stages, and the ids of rows that runferry inserts."""

from __future__ import annotations

import unicodedata
from enum import IntEnum
from typing import Final, NewType
from uuid import UUID, uuid5

from shared.errors import Malformed
from shared.reasons import Reason

RunId = NewType("RunId", str)

#: File systems allow 255 bytes for a folder's name.
MAX_RUN_ID_BYTES: Final = 255

_NAMESPACE: Final = UUID("6f0a4f9e-6f0c-5d0e-9c58-3f5c3d1c7a11")


class Stage(IntEnum):
    """The five stages of the pipeline."""

    INSPIRATIONS = 1
    TRENDS = 2
    LESSONS = 3
    CONTEXT = 4
    OPPORTUNITIES = 5


def parse_run_id(text: str) -> RunId:
    """Return `text` as a run id; raises Malformed where it is no plain folder name."""
    if text in ("", ".", ".."):
        raise Malformed(Reason.RUN_ID, f"The run id {text!r} is no folder name.")
    if "/" in text or "\\" in text:
        raise Malformed(Reason.RUN_ID, f"The run id {text!r} contains a path separator.")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise Malformed(Reason.RUN_ID, f"The run id {text!r} is not UTF-8.") from None
    if size > MAX_RUN_ID_BYTES:
        raise Malformed(Reason.RUN_ID, f"The run id {text[:40]!r}… is longer than {MAX_RUN_ID_BYTES} bytes.")
    if not text.isprintable() and any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in text):
        raise Malformed(Reason.RUN_ID, f"The run id {text!r} contains a control character.")
    return RunId(text)


def row_id(run_id: RunId, table: str, number: int = 0) -> str:
    """Return the id of a row that runferry inserts: UUIDv5 of run id, table and number (0 where a run has one)."""
    return str(uuid5(_NAMESPACE, f"{run_id}\n{table}\n{number}"))
