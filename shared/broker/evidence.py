"""Why a message died, as it is kept beside its bytes until the letter is filed."""

from __future__ import annotations

import os
import socket
import traceback
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from dramatiq.errors import ActorNotFound

import shared
from shared.broker.delivery import Undecodable
from shared.broker.options import ATTEMPTS, FIRST_FAILED_AT
from shared.errors import Malformed
from shared.reasons import Reason

_TEXT_LIMIT: Final = 20_000


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a death; times are ISO 8601 in UTC."""

    reason: Reason
    sentence: str
    error_class: str
    error_text: str
    traceback: str
    attempts: int
    first_failed_at: str
    last_failed_at: str
    worker_host: str
    worker_pid: int
    worker_version: str
    queue: str
    message_id: str

    def to_json(self) -> bytes:
        """Return the evidence as it is kept in Redis."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes) -> Evidence:
        """Return the evidence in `text`; raises ValueError, KeyError or TypeError where it is none."""
        values = orjson.loads(text)
        known = {name: values[name] for name in cls.__dataclass_fields__}
        return cls(**known | {"reason": Reason(known["reason"])})


def evidence_of(
    error: BaseException | None, *, queue: str, message_id: str = "", options: dict[str, Any] | None = None
) -> Evidence:
    """Return the evidence of a message that died of `error` in this process just now."""
    now = utc_now_text()
    reason, sentence = _reason(error)
    return Evidence(
        reason=reason,
        sentence=_printable(sentence),
        error_class=_class_name(error),
        error_text=_printable(str(error or "")),
        traceback=_printable("".join(traceback.format_exception(error))) if error else "",
        attempts=max(1, (options or {}).get(ATTEMPTS, 1)),
        first_failed_at=(options or {}).get(FIRST_FAILED_AT, now),
        last_failed_at=now,
        worker_host=socket.gethostname(),
        worker_pid=os.getpid(),
        worker_version=shared.__version__,
        queue=queue,
        message_id=_printable(message_id),
    )


class CrashLoop(Exception):  # noqa: N818 - the field's own word for it
    """A message whose processing killed its worker again and again, while nothing else ran there."""


def utc_now_text() -> str:
    """Return the present in UTC as ISO 8601."""
    return datetime.now(UTC).isoformat()


def _reason(error: BaseException | None) -> tuple[Reason, str]:
    match error:
        case None:
            return Reason.UNKNOWN_ERROR, "The message was rejected without an error."
        case Malformed():
            return error.reason, error.sentence
        case Undecodable():
            return Reason.MESSAGE, str(error)
        case ActorNotFound():
            return Reason.MESSAGE, f"No worker knows the actor {str(error)!r}."
        case CrashLoop():
            return Reason.CRASH_LOOP, str(error)
        case _:
            return Reason.UNKNOWN_ERROR, f"Processing failed: {_class_name(error)}: {_printable(str(error))[:500]}"


def _class_name(error: BaseException | None) -> str:
    if error is None:
        return ""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _printable(text: str) -> str:
    # Errors quote the data that caused them: lone surrogates can't be encoded, and a text can be megabytes long.
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}… ({len(text)} characters)"
