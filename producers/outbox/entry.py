"""An entry of the outbox: one file, which holds the exact bytes of one message of the queue.

Its name tells when its output was produced, of which run and stage it is, and the message's id, so that most questions
are answered by listing the folder:

    01761684318140123-9f86d081884c7d65-5d41402a-bc4b-4a76-b971-9d911017c592.msg
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

from dramatiq import Message
from dramatiq.errors import DecodeError
from pydantic import ValidationError

from shared.broker.encoder import ENCODER
from shared.contract import OutputBody, StageOutputsMessage, message_adapter
from shared.documents import Sha256
from shared.ids import RunId, Stage

_NAME: Final = re.compile(
    r"(?P<at>\d{17})-(?P<key>[0-9a-f]{16})-(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.msg"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_KEY_BYTES: Final = 8


@dataclass(frozen=True, slots=True, order=True)
class EntryName:
    """What the name of an entry's file tells; `key` stands for its run and stage."""

    produced_at: datetime
    key: str
    message_id: str

    @property
    def file_name(self) -> str:
        """The name of its file; names sort by time."""
        microseconds = (self.produced_at - _EPOCH) // _MICROSECOND
        return f"{microseconds:017d}-{self.key}-{self.message_id}.msg"

    @classmethod
    def parse(cls, file_name: str) -> EntryName | None:
        """Return what a file's name tells; None where it is no entry."""
        found = _NAME.fullmatch(file_name)
        if found is None:
            return None
        return cls(_EPOCH + int(found["at"]) * _MICROSECOND, found["key"], found["id"])


@dataclass(frozen=True, slots=True)
class Slip:
    """An entry without its documents: what is asked about it."""

    name: EntryName
    batch_id: str
    run_id: RunId
    stage: Stage
    content_sha256: Sha256
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A message in the outbox, read."""

    name: EntryName
    message: Message[Any]
    contract: StageOutputsMessage

    @property
    def output(self) -> OutputBody:
        """The one output that it carries."""
        return self.contract.outputs[0]

    def slip(self) -> Slip:
        """Return what is asked about it."""
        output = self.output
        return Slip(
            self.name,
            self.contract.batch_id,
            RunId(self.contract.run_id),
            output.stage,
            Sha256(output.content_sha256),
            sum(len(document.content or document.text or document.base64 or "") for document in output.documents),
        )


def key_of(run_id: RunId, stage: Stage) -> str:
    """Return what stands for a run and stage in the names of entries."""
    return blake2b(f"{run_id}\n{int(stage)}".encode(), digest_size=_KEY_BYTES).hexdigest()


def encode(message: Message[Any]) -> bytes:
    """Return the bytes of a message, as its file holds them."""
    return ENCODER.encode(dict(message.asdict()))


def decode(name: EntryName, content: bytes) -> Entry:
    """Return the entry in a file's bytes; raises ValueError where they are none."""
    try:
        message: Message[Any] = Message(**ENCODER.decode(content))
        contract = message_adapter.validate_python(message.kwargs["message"])
    except (DecodeError, ValidationError, TypeError, KeyError) as error:
        raise ValueError(f"no message of the contract: {error}") from error
    if not isinstance(contract, StageOutputsMessage) or message.message_id != name.message_id:
        raise ValueError("another message than its name says")
    return Entry(name, message, contract)
