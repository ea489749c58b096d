"""Packing: the outputs of scanned runs become messages, as few as the size limit allows.

The wire form is built without the contract's models: they validate what was just read, and take three times as
long as all the rest. A test holds it equal to what `shared.contract.to_wire` makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dramatiq import Message

from shared import queues
from shared.contract import SCHEMA_VERSION, Origin, Prefer
from shared.documents import Sha256, content_sha256
from shared.ids import RunId, Stage
from shared.run_folders.scanned import ScannedOutput


@dataclass(frozen=True, slots=True)
class PackedOutput:
    """One stage's output in wire form, with its hash and the bytes of its documents."""

    stage: Stage
    content_sha256: Sha256
    size_bytes: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Slip:
    """What is kept of a message that was sent: which outputs are in it."""

    run_id: RunId
    hashes: tuple[tuple[Stage, Sha256], ...]


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message, its slip, and the bytes of its documents."""

    message: Message[Any]
    slip: Slip
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Sender:
    """What all messages of one backfill, or of one repair, have in common; `user_id` is a User.id."""

    batch_id: str
    publisher: str
    user_id: str | None = None
    prefer: Prefer | None = None
    origin: Origin = Origin.BACKFILL


def pack(output: ScannedOutput) -> PackedOutput:
    """Return the output in wire form."""
    sha256 = content_sha256(output.documents)
    return PackedOutput(
        stage=output.stage,
        content_sha256=sha256,
        size_bytes=sum([len(document.content) for document in output.documents]),
        body={
            "stage": int(output.stage),
            "documents": [{"name": each.name, "content": each.content} for each in output.documents],
            "produced_at": wire_moment(output.produced_at),
            "content_sha256": sha256,
        },
    )


def parcels(
    sender: Sender,
    run_id: RunId,
    outputs: Sequence[PackedOutput],
    stages_at_source: Iterable[Stage],
    *,
    max_message_bytes: int,
) -> Iterator[Parcel]:
    """Yield the messages of one run: one with all outputs, or more where they exceed the size limit together."""
    hints: dict[str, Any] = {"stages_at_source": [int(stage) for stage in stages_at_source]}
    if sender.user_id is not None:
        hints["user_id"] = sender.user_id
    for group in _groups(outputs, max_message_bytes):
        wire: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "kind": "stage_outputs",
            "run_id": run_id,
            "publisher": sender.publisher,
            "published_at": wire_moment(datetime.now(UTC)),
            "origin": sender.origin.value,
            "batch_id": sender.batch_id,
            "wants_receipt": False,
            "outputs": [output.body for output in group],
            "hints": hints,
        }
        if sender.prefer is not None:
            wire["prefer"] = sender.prefer.value
        yield Parcel(
            message=Message(
                queue_name=queues.BACKFILL,
                actor_name=queues.WRITE_BACKFILL,
                args=(),
                kwargs={"message": wire},
                options={},
            ),
            slip=Slip(run_id, tuple((output.stage, output.content_sha256) for output in group)),
            size_bytes=sum(output.size_bytes for output in group),
        )


def wire_moment(moment: datetime) -> str:
    """Return a UTC moment as the contract writes it."""
    return moment.isoformat().replace("+00:00", "Z")


def _groups(outputs: Sequence[PackedOutput], max_bytes: int) -> Iterator[list[PackedOutput]]:
    group: list[PackedOutput] = []
    size = 0
    for output in outputs:
        if group and size + output.size_bytes > max_bytes:
            yield group
            group, size = [], 0
        group.append(output)
        size += output.size_bytes
    if group:
        yield group
