"""What a scan finds: outputs, outputs that are still being written, and faults."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.documents import Document
from shared.frozen import frozen
from shared.ids import RunId, Stage


class FaultKind(StrEnum):
    """Why something on disk can't be sent; the word is what scripts rely on."""

    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    OUTSIDE_ROOT = "outside_root"
    LINK = "link"  # a loop, or a link that leads nowhere
    NAME = "name"  # not UTF-8, or no plain folder name
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something on disk that can't be sent, as a sentence that names it; `stage` is None for a whole run."""

    kind: FaultKind
    reason: str
    stage: Stage | None = None


@frozen
class ScannedOutput:
    """The documents of one stage, in natural order; `produced_at` is the newest modification time among them."""

    stage: Stage
    documents: tuple[Document, ...]
    produced_at: datetime


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A stage that may still be written.

    `signature` changes when its folder does. `seen_at_s` and `ready_at_s` are of the monotonic clock: since when
    it has been seen like this, and when it is worth reading again.
    """

    stage: Stage
    reason: str
    signature: bytes
    seen_at_s: float
    ready_at_s: float


@frozen
class ScannedRun:
    """One run folder.

    `run_id` is made printable where the folder's name is no run id (then there is a fault). `alias_of` is set
    where the folder is only a link to another run of the root; then it is not read. `passed_over` are folders that
    are named nearly as a stage's; they are not read either.
    """

    run_id: RunId
    outputs: tuple[ScannedOutput, ...] = ()
    unsettled: tuple[Unsettled, ...] = ()
    faults: tuple[Fault, ...] = ()
    alias_of: str | None = None
    passed_over: tuple[str, ...] = ()

    @property
    def stages_at_source(self) -> tuple[Stage, ...]:
        """All stages that have something on disk, readable or not."""
        found = {output.stage for output in self.outputs}
        found.update(unsettled.stage for unsettled in self.unsettled)
        found.update(fault.stage for fault in self.faults if fault.stage is not None)
        return tuple(sorted(found))
