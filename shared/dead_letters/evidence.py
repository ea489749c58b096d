"""Evidence: from an exception, and the output it came from, to a dead letter."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import traceback
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

from shared import __version__
from shared.contract import Origin, OutputBody, StageOutputsMessage
from shared.dead_letters.fingerprint import fingerprint
from shared.dead_letters.letter import DeadLetter, Delivery, Evidence, WorkerIdentity
from shared.dead_letters.storable import storable_label, storable_text
from shared.documents import Sha256, content_sha256
from shared.errors import Malformed, Place
from shared.ids import RunId
from shared.reasons import Reason

_MAX_TEXT_CHARACTERS: Final = 4_000
_MAX_TRACEBACK_CHARACTERS: Final = 16_000
#: Reasons by which a worker condemns an output for an error of somebody else.
_CONDEMNED: Final = (Reason.DATABASE_REFUSED, Reason.BREAKS_THE_WORLD, Reason.UNKNOWN_ERROR)


def this_worker() -> WorkerIdentity:
    """Return the identity of this process."""
    return WorkerIdentity(host=_host(), pid=os.getpid(), version=__version__)


def evidence_of(
    error: BaseException,
    *,
    reason: Reason = Reason.UNKNOWN_ERROR,
    sentence: str | None = None,
    place: Place | None = None,
) -> Evidence:
    """Return the evidence that an exception gives; a Malformed brings its own reason, sentence and place."""
    if isinstance(error, Malformed):
        reason, sentence, place = error.reason, error.sentence, error.place
    source = _source_of(error)
    text = storable_text(str(source))
    return Evidence(
        reason=reason.value,
        sentence=_bounded(storable_text(sentence if sentence is not None else _sentence_of(error))),
        place=place or Place(),
        error_class=_class_name(source),
        error_text=_bounded(text),
        traceback=_tail(storable_text("".join(traceback.format_exception(error)))),
    )


def letter_of_output(
    output: OutputBody,
    message: StageOutputsMessage,
    evidence: Evidence,
    delivery: Delivery,
    *,
    worker: WorkerIdentity | None = None,
) -> DeadLetter:
    """Return the dead letter of one output of a message."""
    payload = payload_of(output)
    origin = message.origin
    if origin is Origin.REPLAY and message.replay_of is not None:
        origin = message.replay_of
    envelope = message.model_dump(mode="json", exclude_none=True, exclude={"outputs"})
    if output.mends is not None:
        envelope["mends"] = output.mends
    return DeadLetter(
        run_id=RunId(storable_label(message.run_id)),
        stage=output.stage.value,
        content_sha256=_identity_hash(output, evidence.reason, payload),
        evidence=evidence,
        fingerprint=_fingerprint_of(evidence, output.stage.value, message.run_id),
        worker=worker or this_worker(),
        delivery=delivery,
        origin=origin.value,
        produced_at=output.produced_at,
        envelope=envelope,
        payload=payload,
    )


def letter_of_bytes(
    payload: bytes,
    evidence: Evidence,
    delivery: Delivery,
    *,
    run_id: str = "",
    stage: int = 0,
    origin: str = "",
    envelope: Mapping[str, Any] | None = None,
    worker: WorkerIdentity | None = None,
) -> DeadLetter:
    """Return the dead letter of bytes that are no message of the contract; what they did not say stays empty."""
    return DeadLetter(
        run_id=RunId(storable_label(run_id)),
        stage=stage,
        content_sha256=Sha256(hashlib.sha256(payload).hexdigest()),
        evidence=evidence,
        fingerprint=_fingerprint_of(evidence, stage, run_id),
        worker=worker or this_worker(),
        delivery=delivery,
        origin=storable_text(origin),
        produced_at=None,
        envelope=envelope or {},
        payload=payload,
    )


def payload_of(output: OutputBody) -> bytes:
    """Return the output's body as JSON bytes, without what held only when it was published."""
    body = output.model_dump(mode="json", exclude_none=True, exclude={"known"})
    try:
        return orjson.dumps(body)
    except TypeError:
        # A file name that is not UTF-8 reaches us with lone surrogates, which only an escape can carry.
        return json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def output_of(payload: bytes) -> OutputBody:
    """Return the output that `payload_of` made bytes of; raises ValueError for bytes that are none."""
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError:
        body = json.loads(payload)
    return OutputBody.model_validate(body)


@lru_cache(maxsize=1)
def _host() -> str:
    return socket.gethostname()


def _identity_hash(output: OutputBody, reason: str, payload: bytes) -> Sha256:
    if reason != Reason.HASH_MISMATCH:
        return Sha256(output.content_sha256)
    # A wrong hash may be the true one of another output: the letter must not take that one's place.
    try:
        return content_sha256(body.document() for body in output.documents)
    except ValueError:
        return Sha256(hashlib.sha256(payload).hexdigest())


def _fingerprint_of(evidence: Evidence, stage: int, run_id: str) -> str:
    text = evidence.error_text or evidence.sentence
    return fingerprint(evidence.reason, evidence.error_class, text, stage, evidence.place.document, run_id)


def _sentence_of(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else f"{type(error).__name__}."


def _source_of(error: BaseException) -> BaseException:
    """Return the error that tells what happened: of a condemned output the one that it was condemned for."""
    if isinstance(error, Malformed) and error.reason in _CONDEMNED and error.__cause__ is not None:
        return error.__cause__
    return error


def _class_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _bounded(text: str) -> str:
    return text if len(text) <= _MAX_TEXT_CHARACTERS else text[: _MAX_TEXT_CHARACTERS - 1] + "…"


def _tail(text: str) -> str:
    return text if len(text) <= _MAX_TRACEBACK_CHARACTERS else "…" + text[1 - _MAX_TRACEBACK_CHARACTERS :]
