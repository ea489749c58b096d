"""Verdicts of the reconciler: where one output on disk stands, and what that means for the proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final

from shared.counting import word_for


class Standing(StrEnum):
    """Where an output on disk stands; the word is what scripts rely on."""

    MATCH = "match"
    MISSING = "missing"
    DIFFERS = "differs"
    EDITED = "edited"
    STALE = "stale"
    CONFLICT = "conflict"
    SUPERSEDED = "superseded"
    IN_FLIGHT = "in_flight"
    DEAD_LETTERED = "dead_lettered"
    MENDED = "mended"
    DISCARDED = "discarded"
    MALFORMED = "malformed"
    LEDGER_WRONG = "ledger_wrong"
    DELETED = "deleted"
    UNSETTLED = "unsettled"
    UNREADABLE = "unreadable"
    #: The other way round: rows that no output on disk stands for. Outside of the equation.
    ROW_WITHOUT_FILES = "row_without_files"


class Weight(Enum):
    """What a verdict does to the proof."""

    ACCOUNTED = auto()  # fine, also where files are to be deleted
    WAITING = auto()  # fine for now; files must stay until it has ended
    FAULT = auto()  # the promise does not hold for this output
    ASIDE = auto()  # about rows, not about an output on disk


class Repair(Enum):
    """Whether `--repair` sends the output."""

    ALWAYS = auto()  # also without naming the verdict: nothing that anybody wrote is overwritten
    NAMED = auto()  # only where a person names the verdict: somebody may have meant what is there
    NEVER = auto()


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a verdict says, in words for the report."""

    weight: Weight
    repair: Repair
    words: str
    #: The words for a single output, where those for several don't fit.
    words_of_one: str | None = None

    def words_for(self, count: int) -> str:
        """Return the words for so many outputs."""
        return word_for(count, self.words_of_one or self.words, self.words)


MEANINGS: Final[Mapping[Standing, Meaning]] = {
    Standing.MATCH: Meaning(
        Weight.ACCOUNTED,
        Repair.NEVER,
        "match their rows, field by field",
        "matches its rows, field by field",
    ),
    Standing.EDITED: Meaning(
        Weight.ACCOUNTED,
        Repair.NAMED,
        "edited in the web app since they were written",
        "edited in the web app since it was written",
    ),
    Standing.SUPERSEDED: Meaning(Weight.ACCOUNTED, Repair.NEVER, "superseded: the rows hold a later output"),
    Standing.MENDED: Meaning(Weight.ACCOUNTED, Repair.NEVER, "mended: a mended copy is in the rows"),
    Standing.DISCARDED: Meaning(Weight.ACCOUNTED, Repair.NEVER, "discarded by a person"),
    Standing.DELETED: Meaning(
        Weight.ACCOUNTED,
        Repair.NAMED,
        "of runs that were deleted in the web app",
        "of a run that was deleted in the web app",
    ),
    Standing.IN_FLIGHT: Meaning(Weight.WAITING, Repair.NEVER, "in flight"),
    Standing.DEAD_LETTERED: Meaning(Weight.WAITING, Repair.NEVER, "dead-lettered, each with its reason"),
    Standing.MISSING: Meaning(Weight.FAULT, Repair.ALWAYS, "missing from the rows"),
    Standing.STALE: Meaning(Weight.FAULT, Repair.ALWAYS, "stale: the file is newer than its rows"),
    Standing.MALFORMED: Meaning(Weight.FAULT, Repair.ALWAYS, "malformed, without a dead letter"),
    Standing.DIFFERS: Meaning(Weight.FAULT, Repair.NAMED, "differ from their rows", "differs from its rows"),
    Standing.CONFLICT: Meaning(
        Weight.FAULT, Repair.NAMED, "in conflict with rows that a backfill may not overwrite"
    ),
    Standing.LEDGER_WRONG: Meaning(Weight.FAULT, Repair.NAMED, "in the rows, but the ledger is wrong about them"),
    Standing.UNSETTLED: Meaning(Weight.FAULT, Repair.NEVER, "unsettled: still being written"),
    Standing.UNREADABLE: Meaning(Weight.FAULT, Repair.NEVER, "not readable"),
    Standing.ROW_WITHOUT_FILES: Meaning(Weight.ASIDE, Repair.NEVER, "outputs in the rows have no files"),
}

#: What `--repair` sends where no verdicts are named.
DEFAULT_REPAIRS: Final = frozenset(word for word, meaning in MEANINGS.items() if meaning.repair is Repair.ALWAYS)
#: What `--final` may be told to let go, where only the files hold it.
ALLOWABLE: Final = frozenset(
    word for word, meaning in MEANINGS.items() if meaning.weight is Weight.ACCOUNTED and word is not Standing.MATCH
)
#: Everything that `--repair=…` takes.
REPAIRABLE: Final = frozenset(word for word, meaning in MEANINGS.items() if meaning.repair is not Repair.NEVER)


def is_fault(standing: Standing) -> bool:
    """Return whether the promise does not hold for an output that stands so."""
    return MEANINGS[standing].weight is Weight.FAULT


def is_accounted(standing: Standing) -> bool:
    """Return whether an output that stands so is at its end, and nothing is waited for."""
    return MEANINGS[standing].weight is Weight.ACCOUNTED


def blocks_final(standing: Standing) -> bool:
    """Return whether files must not be deleted while an output stands so."""
    return MEANINGS[standing].weight in (Weight.FAULT, Weight.WAITING)
