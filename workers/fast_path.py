"""The fast path: what seems to be about new runs is written in one trip, which finds out whether it is.

A live run is so written by one statement instead of five; see `workers/transaction.py` for the way of all others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from shared.committed import CHANNEL, payload_of
from shared.contract import RunStarted, StageOutputsMessage
from shared.ids import Stage
from shared.verdicts import Verdict
from workers.held_state import QUERIES, HeldRun, lock_key
from workers.insertion import are_few, insert_if
from workers.intake import Intake, Undeliverable
from workers.new_rows import new_rows
from workers.planning import named_user, plan_batch

_ARE_NEW: Final = QUERIES["are_new"].removesuffix(";")
#: Of whole runs, no more are few enough for one statement.
_MOST_MESSAGES: Final = 5
#: A wrong guess is followed by a rest of 2 guesses, the next one by 4, and so on, to 64.
_MOST_DOUBLINGS: Final = 6
#: What was learned of PostgreSQL's clock is good for so long: ours may have stood still, or its own been set.
_LEARNED_FOR_S: Final = 60.0
#: Users are few; should they not be, all are learned anew.
_MOST_OWNERS: Final = 10_000


def session_settings(lock_timeout: timedelta) -> Mapping[str, str]:
    """Return what a session needs for the fast path, whose statement could say none of it in time.

    It is planned once, and not as for tables that happen to be empty then. It locks tables before it begins.
    """
    return {
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "lock_timeout": str(lock_timeout // timedelta(milliseconds=1)),
        "default_transaction_isolation": "read committed",
    }


@dataclass(slots=True)
class Hunch:
    """Whether guessing is worth it: after wrong guesses in a row it rests for longer each time."""

    wrong_in_a_row: int = 0
    resting: int = 0

    def rests(self) -> bool:
        """Say whether to guess now; asked once for each guess that might be made."""
        if self.resting == 0:
            return False
        self.resting -= 1
        return True

    def was(self, *, right: bool) -> None:
        """Take in what became of a guess."""
        self.wrong_in_a_row = 0 if right else min(self.wrong_in_a_row + 1, _MOST_DOUBLINGS)
        self.resting = 0 if right else 2**self.wrong_in_a_row


@dataclass(slots=True)
class FastPath:
    """What a process has learned from the transactions before, for those to come; lives on the writer's loop."""

    monotonic_s: Callable[[], float] = time.monotonic
    #: By kind of message: of a pipeline that sends both, starts begin runs and outputs never do.
    hunches: Mapping[type, Hunch] = field(
        default_factory=lambda: {RunStarted: Hunch(), StageOutputsMessage: Hunch()}
    )
    _owners: dict[str, str] = field(default_factory=dict)
    _moment: datetime | None = None
    _learned_s: float = 0.0

    def learn(self, moment: datetime, owners: Mapping[str, str]) -> None:
        """Take in PostgreSQL's time, as it is now, and the User.id that is meant by the names in messages."""
        self._moment, self._learned_s = moment, self.monotonic_s()
        if len(self._owners) + len(owners) > _MOST_OWNERS:
            self._owners.clear()
        self._owners.update(owners)

    async def write(
        self,
        connection: asyncpg.Connection,
        batch: Sequence[Intake | Undeliverable],
        *,
        quiet: timedelta,
        worker: str,
    ) -> list[Mapping[Stage, Verdict]] | None:
        """Write a batch in one trip, and return what became of each message once it is committed.

        None where nothing was written: it is no batch for it, or its runs are not new. As safe to run again as any
        other write, which is also what finds out after a lost answer: written runs are new no more. Whatever it
        raises, the next try goes the long way: what fails here alone must not fail for ever.
        """
        intakes = [intake for intake in batch if isinstance(intake, Intake) and _may_be_new(intake)]
        age_s = self.monotonic_s() - self._learned_s
        if self._moment is None or age_s > _LEARNED_FOR_S:
            return None
        if len(intakes) < len(batch) or len(batch) > _MOST_MESSAGES:
            return None
        named = {named_user(intake) for intake in intakes}
        owners = {name: owner for name in sorted(named) if (owner := self._owners.get(name)) is not None}
        hunches = [self.hunches[kind] for kind in {type(intake.message) for intake in intakes}]
        if len(owners) < len(named):
            return None
        resting = [hunch.rests() for hunch in hunches]  # each is asked, and rests by its own count
        if any(resting):
            return None
        run_ids = sorted({intake.run_id for intake in intakes})
        plan, verdicts = plan_batch(
            batch,
            {run_id: HeldRun(run_id, None, None, {}, {}, {}) for run_id in run_ids},
            owners,
            # Only the age of a run goes by this; what is written as a time is PostgreSQL's own.
            moment=self._moment + timedelta(seconds=age_s),
            quiet=quiet,
        )
        new = new_rows(plan, worker)
        if not plan.only_inserts or not are_few(new):
            return None
        keys = sorted(lock_key(run_id) for run_id in run_ids)
        arguments = (keys, run_ids, list(owners), list(owners.values()))
        notice = payload_of(plan.receipts) if plan.receipts else None
        is_written = False
        try:
            is_written = await insert_if(connection, _ARE_NEW, arguments, new, CHANNEL, notice)
        finally:
            for hunch in hunches:
                hunch.was(right=is_written)
        return verdicts if is_written else None


def _may_be_new(intake: Intake) -> bool:
    """Say whether a message is one that runs begin with. A wrong guess costs a trip, and nothing else."""
    if intake.bad or intake.consignment.attempts > 1:
        return False
    message = intake.message
    if not isinstance(message, StageOutputsMessage):
        return isinstance(message, RunStarted)
    bodies = [good.body for good in intake.good]
    return any(body.stage is Stage.INSPIRATIONS for body in bodies) and not any(body.known for body in bodies)
