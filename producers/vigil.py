"""Vigil: notices when nobody is there to do the work that a producer waits for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared import queues
from shared.broker.holds import Hold
from shared.broker.registry import WorkerInfo, WorkerState
from shared.counting import counted, word_for
from shared.printable import printable

_PATIENCE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen: something to say, if there is something new, and why to give up, if it is time to."""

    note: str | None = None
    give_up: str | None = None


class Vigil:
    """Keeps what was said already; times are seconds of the monotonic clock."""

    def __init__(
        self, worker_timeout_s: float, *, own_workers: bool = False, queue: str = queues.BACKFILL
    ) -> None:
        self._queue = queue
        self._worker_timeout_s = worker_timeout_s
        self._own_workers = own_workers
        self._alone_since_s: float | None = None
        self._vanished_since_s: float | None = None
        self._said: str | None = None

    def rest(self) -> None:
        """Nothing is waited for now."""
        self._alone_since_s = self._vanished_since_s = None

    def look(
        self,
        workers: Sequence[WorkerInfo],
        *,
        queued: int,
        buried: int,
        unheard: int,
        now_s: float,
        hold: Hold | None = None,
    ) -> Sight:
        """Judge the live workers, and messages: in the queue, in Dramatiq's dead queue, sent and not heard of.

        A queue that a person holds is told, and never given up while there are workers.
        """
        ours = [worker for worker in workers if self._queue in worker.queues]
        if ours:
            self._alone_since_s = None
            if unheard and not queued:
                return self._vanished(unheard, buried, now_s)
            self._vanished_since_s = None
            if hold is not None:
                why = f": {printable(hold.why)}" if hold.why else ""
                return self._say(
                    f"The queue {self._queue} is held by {printable(hold.who)}{why}. "
                    f"Let it go on with: ops resume {self._queue}"
                )
            if all(worker.state is WorkerState.PAUSED for worker in ours):
                return self._say(f"The workers pause: {ours[0].reason or 'no reason given'}")
            return self._say("Workers are at work." if self._said is not None else None)
        self._vanished_since_s = None
        self._alone_since_s = now_s if self._alone_since_s is None else self._alone_since_s
        alone_s = now_s - self._alone_since_s
        if alone_s >= self._worker_timeout_s:
            reason = f"No live worker for {self._worker_timeout_s:g} s (--worker-timeout)."
            return Sight(give_up=f"{reason} What was published waits in the queue: start workers with `worker`.")
        if alone_s >= _PATIENCE_S:
            if self._own_workers:
                return self._say("The workers of this command have not reported yet.")
            return self._say(
                f"No live worker for {_PATIENCE_S:g} s: start one with `worker`, "
                "or let this command run them with --run-workers 2."
            )
        return Sight()

    def _vanished(self, unheard: int, buried: int, now_s: float) -> Sight:
        self._vanished_since_s = now_s if self._vanished_since_s is None else self._vanished_since_s
        vanished_s = now_s - self._vanished_since_s
        sentence = f"The queue is empty, but this database tells nothing of {counted(unheard, 'message')}"
        if buried:
            sentence += (
                f"; {counted(buried, 'is', 'are')} in Dramatiq's dead queue and "
                f"{word_for(buried, 'waits', 'wait')} to be filed."
            )
        else:
            sentence += ": do the workers write to another database?"
        if vanished_s >= self._worker_timeout_s:
            return Sight(give_up=sentence)
        return self._say(sentence) if vanished_s >= _PATIENCE_S else Sight()

    def _say(self, sentence: str | None) -> Sight:
        if sentence is None or sentence == self._said:
            return Sight()
        self._said = sentence
        return Sight(note=sentence)
