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

#: What a session needs for it: the statement is planned once, and not as for tables that happen to be empty then.
SESSION: Final[Mapping[str, str]] = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}

_ARE_NEW: Final = QUERIES["are_new"].removesuffix(";")
#: Of whole runs, no more are few enough for one statement.
_MOST_MESSAGES: Final = 5
#: After wrong guesses in a row it guesses again only this much later, in batches that might have been guessed.
_LONGEST_REST: Final = 64
#: Users are few; should they not be, all are learned anew.
_MOST_OWNERS: Final = 10_000


@dataclass(slots=True)
class FastPath:
    """What a process has learned from the transactions before, and writes by; lives on the writer's loop.

    `worker` is host:pid.
    """

    quiet: timedelta
    lock_timeout: timedelta
    worker: str
    monotonic_s: Callable[[], float] = time.monotonic
    _owners: dict[str, str] = field(default_factory=dict)
    _moment: datetime | None = None
    _learned_s: float = 0.0
    _wrong_in_a_row: int = 0
    _resting: int = 0

    def learn(self, moment: datetime, owners: Mapping[str, str]) -> None:
        """Take in PostgreSQL's time, as it is now, and the User.id that is meant by the names in messages."""
        self._moment, self._learned_s = moment, self.monotonic_s()
        if len(self._owners) + len(owners) > _MOST_OWNERS:
            self._owners.clear()
        self._owners.update(owners)

    async def write(
        self, connection: asyncpg.Connection, batch: Sequence[Intake | Undeliverable]
    ) -> list[Mapping[Stage, Verdict]] | None:
        """Write a batch in one trip, and return what became of each message once it is committed.

        None where nothing was written: it is no batch for it, or its runs are not new. As safe to run again as any
        other write, which is also what finds out after a lost answer: written runs are new no more.
        """
        intakes = [intake for intake in batch if isinstance(intake, Intake) and _may_be_new(intake)]
        if self._moment is None or len(intakes) < len(batch) or len(batch) > _MOST_MESSAGES:
            return None
        owners = {name: self._owners.get(name) for name in sorted({named_user(intake) for intake in intakes})}
        if None in owners.values() or self._rests():
            return None
        run_ids = sorted({intake.run_id for intake in intakes})
        plan, verdicts = plan_batch(
            batch,
            {run_id: HeldRun(run_id, None, None, {}, {}, {}) for run_id in run_ids},
            {name: owner for name, owner in owners.items() if owner is not None},
            # Only the age of a run goes by this; what is written as a time is PostgreSQL's own.
            moment=self._moment + timedelta(seconds=self.monotonic_s() - self._learned_s),
            quiet=self.quiet,
        )
        new = new_rows(plan, self.worker)
        if not plan.only_inserts or not are_few(new):
            return None
        arguments = (
            sorted(lock_key(run_id) for run_id in run_ids),
            str(self.lock_timeout // timedelta(milliseconds=1)),
            run_ids,
            list(owners),
            list(owners.values()),
        )
        notice = payload_of(plan.receipts) if plan.receipts else None
        if await insert_if(connection, _ARE_NEW, arguments, new, CHANNEL, notice):
            self._wrong_in_a_row = 0
            return verdicts
        self._wrong_in_a_row += 1
        self._resting = min(2**self._wrong_in_a_row, _LONGEST_REST)
        return None

    def _rests(self) -> bool:
        if self._resting == 0:
            return False
        self._resting -= 1
        return True


def _may_be_new(intake: Intake) -> bool:
    """Say whether a message is one that runs begin with. A wrong guess costs a trip, and nothing else."""
    if intake.bad or intake.consignment.attempts > 1:
        return False
    message = intake.message
    if not isinstance(message, StageOutputsMessage):
        return isinstance(message, RunStarted)
    bodies = [good.body for good in intake.good]
    return any(body.stage is Stage.INSPIRATIONS for body in bodies) and not any(body.known for body in bodies)
