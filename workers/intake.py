"""Intake: a delivered message becomes judged outputs, each mapped to rows or malformed with its reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from pydantic import ValidationError

from shared.contract import (
    SCHEMA_VERSION,
    OutputBody,
    RunFailed,
    RunStarted,
    StageOutputsMessage,
    message_adapter,
)
from shared.dead_letters.evidence import letter_of_bytes, letter_of_output
from shared.dead_letters.letter import DeadLetter, Delivery, Evidence
from shared.dead_letters.storable import storable_label
from shared.documents import Document, Sha256, content_sha256
from shared.errors import Malformed
from shared.frozen import frozen
from shared.ids import RunId, parse_run_id
from shared.reasons import Reason
from shared.wire import in_json
from workers.deciding import Candidate
from workers.ordering import authority_of
from workers.stage_fold import Applicant


@frozen
class Consignment:
    """How a message came: what Dramatiq knows of it, `attempts` counts from 1."""

    message_id: str
    queue: str
    attempts: int
    received_at: datetime
    first_failed_at: datetime | None = None  # where an earlier attempt failed


@dataclass(frozen=True, slots=True)
class BadOutput:
    """An output that can't become rows."""

    candidate: Candidate
    body: OutputBody
    malformed: Malformed


@frozen
class Intake:
    """A message of the contract, with its outputs judged one by one."""

    run_id: RunId
    message: StageOutputsMessage | RunStarted | RunFailed
    consignment: Consignment
    good: tuple[Applicant, ...]
    bad: tuple[BadOutput, ...]
    size_bytes: int  # of the documents; what bounds a batch

    @property
    def batch_id(self) -> str:
        """The batch it was published in; run events belong to none."""
        return self.message.batch_id if isinstance(self.message, StageOutputsMessage) else ""


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """A message that no run can be made of: the whole of it is one or more dead letters."""

    letters: tuple[DeadLetter, ...]
    run_id: str
    batch_id: str
    consignment: Consignment
    message: StageOutputsMessage | None


class NewerVersion(Exception):  # noqa: N818 - an expected outcome of a rolling upgrade
    """The message was sent by a newer producer than this worker understands."""

    def __init__(self, version: object) -> None:
        super().__init__(f"The message has schema version {version}; this worker knows up to {SCHEMA_VERSION}.")


def take_in(wire: Mapping[str, Any], consignment: Consignment, *, max_output_bytes: int) -> Intake | Undeliverable:
    """Return the message judged; raises NewerVersion, and Malformed where only its bytes can be kept."""
    if not isinstance(wire, Mapping):
        raise Malformed(Reason.MESSAGE, f"The message is no object but of type {type(wire).__name__}.")
    version = wire.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise NewerVersion(version)
    try:
        message = message_adapter.validate_python(wire)
    except ValidationError as error:
        return _not_of_the_contract(wire, consignment, error)
    try:
        run_id = parse_run_id(message.run_id)
    except Malformed as malformed:
        return _without_run(message, consignment, malformed)
    if not isinstance(message, StageOutputsMessage):
        return Intake(run_id, message, consignment, (), (), 0)
    good: list[Applicant] = []
    bad: list[BadOutput] = []
    size_bytes = 0
    stages = [body.stage for body in message.outputs]
    for body in message.outputs:
        candidate = _candidate_of(message, body)
        try:
            if stages.count(body.stage) > 1:
                raise Malformed(Reason.MESSAGE, f"The message carries stage {body.stage} twice.")
            documents, size = _documents_of(body, max_output_bytes)
            size_bytes += size
            applicant = _applicant(run_id, message, body, candidate, documents, consignment)
            if not body.known:
                applicant.map()
        except Malformed as malformed:
            bad.append(BadOutput(candidate, body, malformed))
        else:
            good.append(applicant)
    return Intake(run_id, message, consignment, tuple(good), tuple(bad), size_bytes)


def letter_for(bad: BadOutput, intake: Intake, evidence: Evidence) -> DeadLetter:
    """Return the dead letter of a malformed output."""
    if not isinstance(intake.message, StageOutputsMessage):
        raise TypeError("only outputs die")
    return letter_of_output(bad.body, intake.message, evidence, delivery_of(intake.message, intake.consignment))


def delivery_of(message: StageOutputsMessage | None, consignment: Consignment) -> Delivery:
    """Return how a message came, as its dead letters record it."""
    return Delivery(
        batch_id=message.batch_id if message is not None else "",
        message_id=consignment.message_id,
        queue=consignment.queue,
        attempts=consignment.attempts,
        first_failed_at=consignment.first_failed_at or consignment.received_at,
        last_failed_at=consignment.received_at,
    )


def _candidate_of(message: StageOutputsMessage, body: OutputBody) -> Candidate:
    return Candidate(
        content_sha256=Sha256(body.content_sha256),
        produced_at=body.produced_at,
        authority=authority_of(message.origin, message.replay_of),
        prefer=message.prefer,
        expects=body.expects,
        mended=frozenset([Sha256(body.mends)]) if body.mends is not None else frozenset(),
    )


def _documents_of(body: OutputBody, max_output_bytes: int) -> tuple[tuple[Document, ...], int]:
    try:
        documents = tuple(document.document() for document in body.documents)
    except ValueError as error:
        raise Malformed(Reason.MESSAGE, f"A document's content can't be decoded: {error}.") from error
    size = sum(len(document.content) for document in documents)
    if size > max_output_bytes:
        raise Malformed(Reason.TOO_LARGE, f"The output has {size:,} bytes; the limit is {max_output_bytes:,}.")
    found = content_sha256(documents)
    if found != body.content_sha256:
        raise Malformed(
            Reason.HASH_MISMATCH,
            f"The content's hash is {found[:12]}…, the message says {body.content_sha256[:12]}….",
        )
    if not documents:
        raise Malformed(Reason.NO_DOCUMENTS, "The output has no documents.")
    return documents, size


def _applicant(
    run_id: RunId,
    message: StageOutputsMessage,
    body: OutputBody,
    candidate: Candidate,
    documents: tuple[Document, ...],
    consignment: Consignment,
) -> Applicant:
    return Applicant(
        run_id=run_id,
        candidate=candidate,
        documents=documents,
        body=body,
        origin=message.replay_of or message.origin,
        batch_id=message.batch_id,
        message_id=consignment.message_id,
    )


def whole_message(wire: Mapping[str, Any], consignment: Consignment, evidence: Evidence) -> Undeliverable:
    """Return the whole message as one dead letter: of it as it came, no single output can be told.

    Raises Malformed where it can't be written again: whoever has its bytes has to keep them.
    """
    run_id = _text(wire.get("run_id"))
    try:
        payload = orjson.dumps(in_json(wire), default=str)
    except TypeError as error:
        # Lone surrogates, integers beyond 64 bits, nesting deeper than it writes.
        raise Malformed(Reason(evidence.reason), evidence.sentence) from error
    letter = letter_of_bytes(
        payload,
        evidence,
        delivery_of(None, consignment),
        run_id=run_id,
        origin=_text(wire.get("origin")),
    )
    return Undeliverable((letter,), letter.run_id, storable_label(_text(wire.get("batch_id"))), consignment, None)


def _not_of_the_contract(
    wire: Mapping[str, Any], consignment: Consignment, error: ValidationError
) -> Undeliverable:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    evidence = Evidence(
        reason=Reason.MESSAGE,
        sentence=f"The message is not of the contract: {where or 'message'}: {first['msg']}.",
        error_class="pydantic.ValidationError",
    )
    return whole_message(wire, consignment, evidence)


def _without_run(
    message: StageOutputsMessage | RunStarted | RunFailed, consignment: Consignment, malformed: Malformed
) -> Undeliverable:
    evidence = Evidence(reason=malformed.reason, sentence=malformed.sentence, place=malformed.place)
    if isinstance(message, StageOutputsMessage):
        delivery = delivery_of(message, consignment)
        letters = tuple(letter_of_output(body, message, evidence, delivery) for body in message.outputs)
        return Undeliverable(letters, message.run_id, message.batch_id, consignment, message)
    try:
        payload = message.model_dump_json().encode()
    except ValueError:
        raise malformed from None
    letter = letter_of_bytes(payload, evidence, delivery_of(None, consignment), run_id=message.run_id)
    return Undeliverable((letter,), message.run_id, "", consignment, None)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
