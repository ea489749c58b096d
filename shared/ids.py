"""Ids: run ids, stages, and the ids of rows that runferry inserts."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from enum import IntEnum
from hashlib import sha1
from typing import Final, NewType
from uuid import UUID

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

    # Enum's own hash is a Python function; stages are dictionary keys wherever outputs are counted.
    __hash__ = int.__hash__


#: By number: Enum's own look-up is a chain of Python functions, and a run has a dozen of them.
STAGES: Final[Mapping[int, Stage]] = {stage.value: stage for stage in Stage}


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
    # RFC 9562, 5.5; the standard library's uuid5 takes six times as long, and there are eleven rows a run.
    digest = bytearray(
        sha1(_NAMESPACE.bytes + f"{run_id}\n{table}\n{number}".encode(), usedforsecurity=False).digest()
    )
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest[:16].hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
