"""Outcome: how a backfill ended, and the exit status that says so. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from producers.options import BackfillOptions
from producers.tally import CONFLICT, DEAD_LETTERED, UNKNOWN, Tally
from shared.command import DIFFERENCE, DONE, INTERRUPTED


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended; `failure` says why it gave up, `in_flight` are messages of which nothing was heard."""

    seconds: float
    batch_id: str
    in_flight: int = 0
    interrupted: bool = False
    failure: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it came to its own end."""
        return not self.interrupted and self.failure is None


def exit_status(options: BackfillOptions, tally: Tally, outcome: Outcome) -> int:
    """Return the exit status: 0 only where every output of every run that was asked for is accounted for."""
    if outcome.interrupted:
        return INTERRUPTED
    incomplete = outcome.failure is not None or (outcome.in_flight > 0 and options.follows)
    left_out = len(tally.unreadable) + len(tally.unsettled_outputs)
    undecided = tally.verdicts[CONFLICT] + tally.verdicts[UNKNOWN]
    buried = tally.verdicts[DEAD_LETTERED] + len(tally.malformed)
    # Nothing found is no success: the root may be the wrong one, or not mounted.
    nothing = tally.outputs == 0
    if incomplete or left_out or undecided or nothing or (options.strict and buried):
        return DIFFERENCE
    return DONE
