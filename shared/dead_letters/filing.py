"""Filing: what landed in Dramatiq's dead queue becomes dead letters. Pure but for the clock of this process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from pydantic import ValidationError

from shared.broker.burial import DeadMessage
from shared.broker.delivery import Undecodable, read_message
from shared.contract import StageOutputsMessage, message_adapter
from shared.dead_letters.evidence import letter_of_bytes, letter_of_output, this_worker
from shared.dead_letters.letter import DeadLetter, Delivery, Evidence, WorkerIdentity
from shared.dead_letters.storable import storable_label, storable_text
from shared.reasons import Reason
from shared.wire import in_json

_DEAD_LETTERED: Final = "dead_lettered"
_UNDELIVERABLE: Final = {"event": "undeliverable"}
_WITHOUT_EVIDENCE: Final = "It lay in Dramatiq's dead queue without a reason: another client buried it."


@dataclass(frozen=True, slots=True)
class Filing:
    """One dead message as letters, and what `runferry.delivery` says of it."""

    letters: tuple[DeadLetter, ...]
    delivery: Delivery
    run_id: str
    origin: str
    publisher: str
    published_at: datetime
    worker: WorkerIdentity
    verdicts: dict[str, str]

    @property
    def key(self) -> tuple[str, str]:
        """Its key in `runferry.delivery`."""
        return self.delivery.batch_id, self.delivery.message_id


def filing_of(dead: DeadMessage) -> Filing:
    """Return the letters of a dead message: one an output where it is of the contract, else one of all its bytes."""
    message_id, wire = _opened(dead)
    contract = _contract(wire)
    outputs = contract if isinstance(contract, StageOutputsMessage) else None
    evidence, worker = _evidence(dead), _worker(dead)
    delivery = _delivery(dead, message_id, outputs.batch_id if outputs else "")
    if outputs is not None:
        letters = tuple(
            letter_of_output(output, outputs, evidence, delivery, worker=worker) for output in outputs.outputs
        )
        run_id, origin, publisher, published_at = (
            letters[0].run_id,
            outputs.origin.value,
            storable_text(outputs.publisher),
            outputs.published_at,
        )
        verdicts = {str(output.stage.value): _DEAD_LETTERED for output in outputs.outputs}
    else:
        payload = dead.data if wire is None else _payload(dead, wire)
        named = wire.get("run_id") if wire is not None else None
        letter = letter_of_bytes(
            payload, evidence, delivery, run_id=named if isinstance(named, str) else "", worker=worker
        )
        letters, run_id, origin, publisher, published_at = (letter,), letter.run_id, "", "", dead.died_at
        verdicts = _UNDELIVERABLE
    return Filing(letters, delivery, run_id, origin, publisher, published_at, worker, verdicts)


def _opened(dead: DeadMessage) -> tuple[str, dict[str, Any] | None]:
    """Return the message's id and its contract body; bytes that are no message go by their id in Redis."""
    try:
        message = read_message(dead.data, dead.queue)
    except Undecodable:
        return dead.redis_message_id, None
    body = message.kwargs.get("message")
    return message.message_id, body if isinstance(body, dict) else None


def _contract(wire: dict[str, Any] | None) -> object:
    try:
        return None if wire is None else message_adapter.validate_python(wire)
    except ValidationError:
        return None


def _payload(dead: DeadMessage, wire: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(in_json(wire))
    except TypeError:
        return dead.data


def _evidence(dead: DeadMessage) -> Evidence:
    found = dead.evidence
    if found is None:
        return Evidence(Reason.UNKNOWN_ERROR, _WITHOUT_EVIDENCE)
    return Evidence(
        reason=found.reason,
        sentence=found.sentence,
        error_class=found.error_class,
        error_text=found.error_text,
        traceback=found.traceback,
    )


def _worker(dead: DeadMessage) -> WorkerIdentity:
    found = dead.evidence
    if found is None:
        return this_worker()
    return WorkerIdentity(found.worker_host, found.worker_pid, found.worker_version)


def _delivery(dead: DeadMessage, message_id: str, batch_id: str) -> Delivery:
    found = dead.evidence
    return Delivery(
        batch_id=storable_label(batch_id),
        message_id=storable_label(message_id),
        queue=dead.queue,
        attempts=1 if found is None else found.attempts,
        first_failed_at=dead.died_at if found is None else _moment(found.first_failed_at, dead.died_at),
        last_failed_at=dead.died_at if found is None else _moment(found.last_failed_at, dead.died_at),
    )


def _moment(text: str, otherwise: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return otherwise
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
