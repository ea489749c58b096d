"""Delivery watch: follows the messages of one backfill to their end in PostgreSQL.

It asks only for what is still open, by primary key. That is as much as the high-water mark lets be open, and each
delivery is read once, however long the backfill is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from producers.database import Database, Letter, OutputKey
from producers.sinks import Outbound
from producers.tally import Tally
from shared.errors import DatabaseAway

_IDS_A_QUERY: Final = 1_000


class DeliveryWatch:
    """Takes messages out of `outbound` and counts what became of them; `away` says why it can't ask now."""

    def __init__(self, database: Database, batch_id: str, outbound: Outbound, tally: Tally) -> None:
        self.away: str | None = None
        self._database = database
        self._batch_id = batch_id
        self._outbound = outbound
        self._tally = tally
        self._unnamed: list[OutputKey] = []

    async def look(self) -> int:
        """Return how many more messages were handled since the last look; 0 while PostgreSQL is away."""
        handled = 0
        try:
            ids = self._outbound.message_ids()
            for start in range(0, len(ids), _IDS_A_QUERY):
                handled += await self._take(ids[start : start + _IDS_A_QUERY])
            await self._name_dead()
        except DatabaseAway as away:
            self.away = str(away)
        else:
            self.away = None
        return handled

    @property
    def is_done(self) -> bool:
        """Whether every message was heard of and every dead letter has its name."""
        return not self._outbound and not self._unnamed

    async def _take(self, message_ids: Sequence[str]) -> int:
        handled = 0
        for delivered in await self._database.deliveries(self._batch_id, message_ids):
            slip = self._outbound.take(delivered.message_id)
            if slip is not None:
                handled += 1
                self._unnamed.extend(self._tally.heard(slip, delivered))
        return handled

    async def _name_dead(self) -> None:
        if not self._unnamed:
            return
        letters = {(letter.run_id, letter.stage): letter for letter in await self._database.letters(self._unnamed)}
        for run_id, stage, _ in self._unnamed:
            self._tally.dead_letters.append(_named(run_id, int(stage), letters.get((run_id, stage))))
        self._unnamed.clear()


def _named(run_id: str, stage: int, letter: Letter | None) -> dict[str, str | int | None]:
    """Return the entry of a dead-lettered output; a letter that somebody purged meanwhile has no id."""
    return {
        "id": letter.id if letter else None,
        "run_id": run_id,
        "stage": stage,
        "reason": letter.reason if letter else None,
        "sentence": letter.sentence if letter else "",
    }
