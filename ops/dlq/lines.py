"""Lines: letters as JSON Lines, lossless in both directions."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ops.dlq.summary import iso
from shared.dead_letters.letter import LetterState
from shared.dead_letters.storable import storable_json, storable_text
from shared.formats.limits import MAX_OUTPUT_BYTES

#: The largest output that a worker takes, as base64, with the evidence beside it.
MAX_LINE_BYTES: Final = 2 * MAX_OUTPUT_BYTES

_SHA256 = r"^[0-9a-f]{64}$"


def _decoded(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError("must be text in base64")  # noqa: TRY004 - what pydantic takes for a refusal
    return base64.b64decode(value, validate=True)  # pydantic's own passes over what is no base64


#: What the columns hold; the greatest id leaves room for letters that are yet to be filed.
Payload = Annotated[bytes, BeforeValidator(_decoded)]
Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Int64 = Annotated[int, Field(ge=0, lt=2**63)]
LetterId = Annotated[int, Field(ge=1, le=2**62)]


class LetterLine(BaseModel):
    """One line of an export: every column of `runferry.dead_letter`, the payload as base64."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = 1
    id: LetterId
    run_id: str
    stage: int = Field(ge=0, le=5)
    content_sha256: Annotated[str, Field(pattern=_SHA256)]
    state: Annotated[LetterState, Field(strict=False)]
    reason: str
    sentence: str
    place: dict[str, Any]
    error_class: str
    error_text: str
    traceback: str
    fingerprint: str
    attempts: Int32
    first_failed_at: Annotated[AwareDatetime, Field(strict=False)]
    last_failed_at: Annotated[AwareDatetime, Field(strict=False)]
    died_at: Annotated[AwareDatetime, Field(strict=False)]
    worker_host: str
    worker_pid: Int32
    worker_version: str
    origin: str
    produced_at: Annotated[AwareDatetime | None, Field(strict=False)]
    batch_id: str
    message_id: str
    queue: str
    envelope: dict[str, Any]
    payload: Payload
    seen: Int64
    replays: Int32
    history: list[dict[str, Any]]
    closed_at: Annotated[AwareDatetime | None, Field(strict=False)]


#: The columns in the order of the lines' keys.
COLUMNS = tuple(name for name in LetterLine.model_fields if name != "format")
_JSON_COLUMNS = ("place", "envelope", "history")


def line_of(row: Mapping[str, Any]) -> bytes:
    """Return a whole row of `runferry.dead_letter` as one line, without its line end."""
    line: dict[str, Any] = {"format": 1}
    for column in COLUMNS:
        value = row[column]
        if column in _JSON_COLUMNS:
            line[column] = orjson.loads(value)
        elif isinstance(value, bytes):
            line[column] = base64.b64encode(value).decode("ascii")
        elif isinstance(value, datetime):
            line[column] = iso(value)
        else:
            line[column] = value
    return orjson.dumps(line)


def parse_line(text: bytes) -> LetterLine:
    """Return the letter of one line; raises ValueError with a sentence."""
    if len(text) > MAX_LINE_BYTES:
        raise ValueError(f"it is longer than {MAX_LINE_BYTES:,} bytes")
    try:
        line = LetterLine.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}") from None
    for column in COLUMNS:
        value = getattr(line, column)
        if column in _JSON_COLUMNS and not _is_json(value):
            raise ValueError(f"{column}: it holds a number of more than 64 bits")
        stored = (
            storable_text(value) == value
            if isinstance(value, str)
            else column not in _JSON_COLUMNS or (storable_json(value) == orjson.dumps(value).decode())
        )
        if not stored:
            raise ValueError(f"{column}: it holds what PostgreSQL can't store")
    return line


def _is_json(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return True


def row_of(line: LetterLine) -> tuple[Any, ...]:
    """Return the letter's values in the order of `COLUMNS`."""
    values: list[Any] = []
    for column in COLUMNS:
        value = getattr(line, column)
        if column in _JSON_COLUMNS:
            values.append(orjson.dumps(value).decode())
        else:
            values.append(value.value if isinstance(value, LetterState) else value)
    return tuple(values)
