"""Deciding: what an output that arrives means for what is there already. Pure; the whole order rule stands here."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from enum import Enum, auto
from typing import Protocol

from shared.contract import Expectation, Prefer
from shared.documents import Sha256
from shared.frozen import frozen
from shared.verdicts import Verdict
from workers.ledger import LedgerEntry
from workers.ordering import Authority, OrderKey


class Action(Enum):
    """What the writer has to do."""

    APPLY = auto()  # write its rows, whatever they held
    FILL = auto()  # write only those of its rows that are missing
    ADOPT = auto()  # the rows that are there say the same: write the ledger and what is missing
    CONFIRM = auto()  # at most the ledger's time moves
    SETTLE = auto()  # the rows were preferred: remember it
    KEEP_DOCUMENTS = auto()  # the output never became rows: keep its documents
    NOTHING = auto()


@frozen
class Candidate:
    """An output that arrives, as far as its place among others goes."""

    content_sha256: Sha256
    produced_at: datetime
    authority: Authority
    prefer: Prefer | None = None
    expects: Expectation | None = None
    mended: frozenset[Sha256] = frozenset()

    @property
    def key(self) -> OrderKey:
        """Its place among all outputs of its run and stage."""
        return OrderKey(self.authority, self.produced_at, self.content_sha256)


class RowsSeen(Protocol):
    """What the rows say about the candidate; asked only where it matters, since reading rows costs."""

    @property
    def recorded_are_there(self) -> bool:
        """Every row that the ledger records exists."""

    @property
    def equal(self) -> bool:
        """All rows hold exactly what the candidate says."""

    @property
    def foreign(self) -> bool:
        """Rows are there that runferry did not write."""

    @property
    def foreign_agree(self) -> bool:
        """They say what the candidate says."""


@frozen
class Decision:
    """A verdict, what to do, and the authority and time that the applied output then has (None: its own time)."""

    verdict: Verdict
    action: Action
    authority: Authority
    produced_at: datetime | None = None


def decide(candidate: Candidate, entry: LedgerEntry | None, rows: RowsSeen, *, run_deleted: bool) -> Decision:
    """Return what an output means for what is there."""
    prefers_files = candidate.prefer is Prefer.FILES
    if run_deleted and not prefers_files:
        return _unwritten(candidate, Verdict.DELETED)
    if candidate.expects is not None:
        return _repair(candidate, entry, rows, candidate.expects)
    if entry is None:
        return _without_entry(candidate, rows)
    if candidate.content_sha256 == entry.content_sha256:
        return _same_hash(candidate, entry, rows, prefers_files=prefers_files)
    if candidate.content_sha256 in entry.mends:
        return Decision(Verdict.MENDED, Action.NOTHING, entry.authority)
    if candidate.content_sha256 in entry.settled and not prefers_files:
        return Decision(Verdict.SUPERSEDED, Action.NOTHING, entry.authority)
    return _other_hash(candidate, entry, rows)


def _repair(candidate: Candidate, entry: LedgerEntry | None, rows: RowsSeen, expects: Expectation) -> Decision:
    """A repair holds only for the state that the reconciler saw; then it holds whatever the hash.

    What a user or the app wrote is overwritten only by a person's word.
    """
    seen = None if entry is None else entry.content_sha256
    moved = entry is not None and expects.produced_at is not None and entry.produced_at != expects.produced_at
    if seen != expects.content_sha256 or moved:
        return Decision(Verdict.OUTDATED, Action.NOTHING, candidate.authority)
    if entry is None:
        return _without_entry(candidate, rows)
    if candidate.content_sha256 == entry.content_sha256:
        action = Action.APPLY if candidate.prefer is Prefer.FILES else Action.FILL
        return Decision(Verdict.APPLIED, action, *_greater(candidate, entry))
    return Decision(Verdict.APPLIED, Action.APPLY, max(candidate.authority, entry.authority))


def _without_entry(candidate: Candidate, rows: RowsSeen) -> Decision:
    if not rows.foreign:
        return Decision(Verdict.APPLIED, Action.APPLY, candidate.authority)
    if rows.foreign_agree:
        return Decision(Verdict.APPLIED, Action.ADOPT, max(candidate.authority, Authority.ADOPTED))
    if candidate.authority is Authority.PIPELINE:
        return Decision(Verdict.APPLIED, Action.APPLY, candidate.authority)
    return _conflict(candidate, candidate.authority)


def _same_hash(candidate: Candidate, entry: LedgerEntry, rows: RowsSeen, *, prefers_files: bool) -> Decision:
    authority, produced_at = _greater(candidate, entry)
    if prefers_files and not rows.equal:
        return Decision(Verdict.APPLIED, Action.APPLY, max(authority, Authority.PIPELINE), produced_at)
    if not rows.recorded_are_there:
        # The ledger alone never makes a duplicate of what isn't there.
        return Decision(Verdict.APPLIED, Action.FILL, authority, produced_at)
    return Decision(Verdict.DUPLICATE, Action.CONFIRM, authority, produced_at)


def _greater(candidate: Candidate, entry: LedgerEntry) -> tuple[Authority, datetime]:
    """Return the greater place of two equal outputs, so that duplicates in any order leave the same ledger.

    One place holds as a whole: a file's later time never lends itself to what the pipeline stamped. A file that says
    what adopted rows say is worth as much as they are.
    """
    authority = max(candidate.authority, min(entry.authority, Authority.ADOPTED))
    return max((authority, candidate.produced_at), (entry.authority, entry.produced_at))


def _other_hash(candidate: Candidate, entry: LedgerEntry, rows: RowsSeen) -> Decision:
    if candidate.key > entry.key:
        return Decision(Verdict.APPLIED, Action.APPLY, candidate.authority)
    if candidate.authority < entry.authority:
        if entry.authority is Authority.ADOPTED and rows.foreign and rows.foreign_agree:
            raised = replace(candidate, authority=Authority.ADOPTED)
            if raised.key > entry.key:
                return Decision(Verdict.APPLIED, Action.APPLY, Authority.ADOPTED)
            return _unwritten(candidate, Verdict.SUPERSEDED)
        if candidate.produced_at > entry.produced_at or entry.authority is Authority.ADOPTED:
            return _conflict(candidate, entry.authority)
    return _unwritten(candidate, Verdict.SUPERSEDED)


def _conflict(candidate: Candidate, authority: Authority) -> Decision:
    if candidate.prefer is Prefer.FILES:
        # By a person's word; from now on it counts as what the pipeline wrote.
        return Decision(Verdict.APPLIED, Action.APPLY, Authority.PIPELINE)
    if candidate.prefer is Prefer.ROWS:
        return Decision(Verdict.SUPERSEDED, Action.SETTLE, authority)
    return Decision(Verdict.CONFLICT, Action.NOTHING, authority)


def _unwritten(candidate: Candidate, verdict: Verdict) -> Decision:
    """A pipeline's output that never becomes rows is kept as documents; files are kept by the disk."""
    keep = candidate.authority is Authority.PIPELINE
    return Decision(verdict, Action.KEEP_DOCUMENTS if keep else Action.NOTHING, candidate.authority)
