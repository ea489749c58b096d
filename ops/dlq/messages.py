"""Messages: what a replay of a letter sends, and what today's workers would say to it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from dramatiq import Message
from dramatiq.errors import DecodeError
from pydantic import ValidationError

from ops.dlq.contents import output_in
from shared import queues
from shared.broker.encoder import ENCODER
from shared.contract import (
    Hints,
    Origin,
    OutputBody,
    RunFailed,
    RunStarted,
    StageOutputsMessage,
    message_adapter,
    to_wire,
)
from shared.dead_letters.letter import FiledLetter
from shared.documents import Document, Sha256, content_sha256
from shared.errors import Malformed
from shared.ids import Stage
from shared.reasons import Reason
from workers.intake import Consignment, Intake, NewerVersion, take_in

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Copy:
    """Documents that take the place of a letter's own, and when they were produced."""

    documents: tuple[Document, ...]
    produced_at: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """What all messages of one replay have in common."""

    batch_id: str
    publisher: str
    published_at: datetime

    def message_id(self, letter_id: int) -> str:
        """Return the id of the message that replays a letter; `letter_id_of` reads it back."""
        return f"{self.batch_id}.{letter_id}"


def letter_id_of(message_id: str) -> int:
    """Return the letter that a message of a replay is about."""
    return int(message_id.rpartition(".")[2])


class Unreplayable(Exception):  # noqa: N818 - an expected outcome
    """There is nothing in the letter that could be sent; the text says why."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A message that replays a letter; `copy_sha256` is the hash of what takes the place of the letter's documents."""

    letter_id: int
    contract: StageOutputsMessage | RunStarted | RunFailed
    message: Message[Any]
    copy_sha256: Sha256 | None = None

    @property
    def outputs(self) -> tuple[OutputBody, ...]:
        """The outputs that it carries; none where it replays a run event."""
        return self.contract.outputs if isinstance(self.contract, StageOutputsMessage) else ()


def replay_of(filed: FiledLetter, batch: Batch, copy: Copy | None = None) -> Replay:
    """Return the message that sends a letter's output again, or a copy that mends it; raises Unreplayable.

    The output keeps its time and, as `replay_of`, who sent it first, so that it ranks where it ranked. What a person
    once asked for (`--prefer`, a repair's expectation) was about rows of that day, and is not repeated.
    """
    output = output_in(filed.letter)
    if output is None:
        if copy is not None:
            raise Unreplayable("The letter holds a whole message, not an output that has documents.")
        return _replay_of_message(filed, batch)
    copied = copy is not None and content_sha256(copy.documents) != filed.letter.content_sha256
    if copy is not None and copied:
        stage = Stage(filed.letter.stage)
        output = OutputBody.of(stage, copy.documents, copy.produced_at, mends=root_hash(filed))
    else:
        produced_at = filed.letter.produced_at or output.produced_at
        output = output.model_copy(update={"produced_at": produced_at, "expects": None, "known": None})
    contract = StageOutputsMessage(
        run_id=filed.letter.envelope.get("run_id", filed.letter.run_id),
        publisher=batch.publisher,
        published_at=batch.published_at,
        origin=Origin.REPLAY,
        replay_of=_origin(filed.letter.origin),
        batch_id=batch.batch_id,
        outputs=(output,),
        hints=_hints(filed.letter.envelope.get("hints")),
    )
    sent = _replay(filed, contract, batch, queues.BACKFILL, queues.WRITE_BACKFILL)
    return replace(sent, copy_sha256=Sha256(output.content_sha256)) if copied else sent


def fault_of(replay: Replay, max_output_bytes: int) -> Malformed | None:
    """Return what today's workers would find wrong, None where the documents would become rows."""
    consignment = Consignment(replay.message.message_id, replay.message.queue_name, 1, _EPOCH)
    try:
        intake = take_in(to_wire(replay.contract), consignment, max_output_bytes=max_output_bytes)
    except NewerVersion as newer:
        return Malformed(Reason.MESSAGE_VERSION, str(newer))
    if isinstance(intake, Intake):
        return intake.bad[0].malformed if intake.bad else None
    evidence = intake.letters[0].evidence
    return Malformed(Reason(evidence.reason), evidence.sentence, evidence.place)


def root_hash(filed: FiledLetter) -> Sha256:
    """Return the hash of the output at the root: a copy of a copy mends what the first one was to mend."""
    return filed.letter.mends or filed.letter.content_sha256


def _replay_of_message(filed: FiledLetter, batch: Batch) -> Replay:
    """Return the message of a letter that holds a whole one: of a newer version then, of a known one by now."""
    try:
        wire = ENCODER.decode(filed.letter.payload)
        if isinstance(wire.get("kwargs"), dict):
            wire = wire["kwargs"].get("message")
        contract = message_adapter.validate_python(wire)
    except DecodeError:
        raise Unreplayable(
            "What came is no message; `ops dlq export` keeps it, `ops dlq discard` gives it up."
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "message"
        raise Unreplayable(f"The message is not of the contract: {where}: {first['msg']}.") from None
    if not isinstance(contract, StageOutputsMessage):
        return _replay(filed, contract, batch, queues.LIVE, queues.WRITE_LIVE)
    outputs = tuple(
        output.model_copy(
            update={"mends": output.mends or filed.letter.content_sha256, "expects": None, "known": None}
        )
        for output in contract.outputs
    )
    first_origin = contract.replay_of if contract.origin is Origin.REPLAY else contract.origin
    contract = contract.model_copy(
        update={
            "publisher": batch.publisher,
            "published_at": batch.published_at,
            "origin": Origin.REPLAY,
            "replay_of": first_origin,
            "batch_id": batch.batch_id,
            "wants_receipt": False,
            "prefer": None,
            "outputs": outputs,
        }
    )
    return _replay(filed, contract, batch, queues.BACKFILL, queues.WRITE_BACKFILL)


def _replay(
    filed: FiledLetter,
    contract: StageOutputsMessage | RunStarted | RunFailed,
    batch: Batch,
    queue: str,
    actor: str,
) -> Replay:
    message: Message[Any] = Message(
        queue_name=queue,
        actor_name=actor,
        args=(),
        kwargs={"message": to_wire(contract)},
        options={},
        message_id=batch.message_id(filed.id),
    )
    return Replay(filed.id, contract, message)


def _origin(text: str) -> Origin | None:
    try:
        return Origin(text)
    except ValueError:
        return None


def _hints(value: object) -> Hints:
    try:
        return Hints.model_validate(value or {})
    except ValidationError:
        return Hints()
