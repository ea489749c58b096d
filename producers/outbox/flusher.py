"""The flusher: publishes what waits in the outbox, and takes out what has a durable end in PostgreSQL.

It keeps no state that matters: queue, rows and folder tell everything, so that it may die at any instant, and any
process of the host may go on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import redis

from producers.back_pressure import HighWater, Room, room
from producers.database_thread import DatabaseThread
from producers.live_queue import LiveQueue
from producers.outbox.deciding import Sight, Step, decide
from producers.outbox.ends import read_ends
from producers.outbox.entry import Entry, EntryName, Slip
from producers.outbox.outbox import Outbox
from shared import queues
from shared.errors import QueueAway, RunferryError
from shared.settings import Settings

_AT_ONCE: Final = 200
_ANSWER_S: Final = 10.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Round:
    """What one round did, and why it could not do more."""

    removed: int = 0
    published: int = 0
    waiting: int = 0
    damaged: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    elsewhere: bool = False  # another process flushes at this moment


class Flusher:
    """Does rounds over one outbox; `queue` or `database` is None where the process has no access."""

    def __init__(
        self, outbox: Outbox, settings: Settings, queue: LiveQueue | None, database: DatabaseThread | None
    ) -> None:
        self._outbox = outbox
        self._grace_s = settings.emit_timeout.total_seconds()
        self._marks = HighWater.of(settings)
        self._queue = queue
        self._database = database
        self._sent: set[EntryName] = set()
        self._damaged: set[EntryName] = set()
        self._slips: dict[EntryName, Slip] = {}

    def round(self, *, publishing: bool, all_at_once: bool = False) -> Round:
        """Look at every entry once; `all_at_once` also at those whose writer may be sending them just now."""
        done = Round()
        with self._outbox.flushing() as ours:
            if not ours:
                done.elsewhere = self._outbox.count() > 0
                return done
            names = self._outbox.names()
            self._sent &= set(names)
            self._slips = {name: self._slips[name] for name in names if name in self._slips}
            for start in range(0, len(names), _AT_ONCE):
                slips = list(self._look_at(names[start : start + _AT_ONCE], done))
                if slips:
                    self._step(slips, done, publishing=publishing, all_at_once=all_at_once)
        return done

    def _look_at(self, names: Iterable[EntryName], done: Round) -> Iterator[Slip]:
        for name in names:
            slip = self._slips.get(name)
            if slip is None:
                entry = self._read(name, done)
                if entry is None:
                    continue
                slip = self._slips[name] = entry.slip()
            yield slip

    def _read(self, name: EntryName, done: Round) -> Entry | None:
        try:
            return self._outbox.read(name)
        except (ValueError, OSError) as error:
            done.damaged.append(name.file_name)
            if name not in self._damaged:
                self._damaged.add(name)
                ids = {"message_id": name.message_id}
                log.warning("%s in the outbox can't be read: %s", name.file_name, error, extra=ids)
            return None

    def _step(self, slips: Sequence[Slip], done: Round, *, publishing: bool, all_at_once: bool) -> None:
        # In this order: an acknowledgement comes after its commit.
        in_flight = self._in_flight(slips, done)
        verdicts = self._verdicts(slips, done)
        publish: list[Slip] = []
        for slip in slips:
            sight = Sight(
                verdict=None if verdicts is None else verdicts.get(slip.name),
                database_answers=verdicts is not None,
                in_flight=in_flight is not None and slip.name in in_flight,
                queue_answers=in_flight is not None,
                publishing=publishing,
                fresh=not all_at_once and self._is_fresh(slip.name),
                sent_before=slip.name in self._sent,
            )
            match decide(sight):
                case Step.REMOVE:
                    self._outbox.remove(slip.name)
                    done.removed += 1
                case Step.PUBLISH:
                    publish.append(slip)
                case Step.WAIT:
                    done.waiting += 1
        if publish:
            self._publish(publish, done)

    def _in_flight(self, slips: Sequence[Slip], done: Round) -> set[EntryName] | None:
        if self._queue is None:
            done.troubles.append("REDIS_URL is not set.")
            return None
        try:
            found = self._queue.broker.in_flight_many({slip.run_id for slip in slips})
        except (QueueAway, redis.RedisError) as error:
            done.troubles.append(str(error))
            return None
        outputs = {(run_id, one.stage, one.content_sha256) for run_id, many in found.items() for one in many}
        return {slip.name for slip in slips if (slip.run_id, int(slip.stage), slip.content_sha256) in outputs}

    def _verdicts(self, slips: Sequence[Slip], done: Round) -> Mapping[EntryName, str] | None:
        if self._database is None:
            done.troubles.append("DATABASE_URL is not set, so that nothing tells when a message has its end.")
            return None
        try:
            return self._database.run(lambda pool: read_ends(pool, slips), _ANSWER_S)
        except RunferryError as error:
            done.troubles.append(str(error))
            return None

    def _publish(self, slips: Sequence[Slip], done: Round) -> None:
        if self._queue is None:
            raise AssertionError("nothing is published without a queue")
        broker = self._queue.broker
        done.waiting += len(slips)
        try:
            left = room(broker.depths()[queues.LIVE], broker.memory(), self._marks)
            for slip in slips:
                if not left.messages or (left.bytes < slip.size_bytes and done.published):
                    done.troubles.append(f"{left.reason}.")
                    return
                entry = self._read(slip.name, done)
                if entry is None:
                    continue
                # A time that was given while Redis was away: those that Redis gives from now on are later.
                broker.stamp(slip.run_id, int(slip.stage), slip.name.produced_at)
                broker.enqueue_many([entry.message])
                self._sent.add(slip.name)
                left = Room(left.messages - 1, left.bytes - slip.size_bytes, left.reason)
                done.published += 1
        except (QueueAway, redis.RedisError) as error:
            done.troubles.append(str(error))

    def _is_fresh(self, name: EntryName) -> bool:
        try:
            written_s = (self._outbox.folder / name.file_name).stat().st_mtime
        except OSError:
            return True
        return 0 <= time.time() - written_s < self._grace_s
