"""Outputs in flight: written, and not in the rows yet; read from this host's outbox or out of the queue."""

from __future__ import annotations

import logging
import time
from typing import Final

import redis
from dramatiq.errors import DecodeError
from pydantic import ValidationError

from producers.dispatch import Dispatch
from producers.stage_store.output import Source, StageOutput
from shared import queues
from shared.broker.encoder import ENCODER
from shared.contract import OutputBody, StageOutputsMessage, message_adapter
from shared.errors import QueueAway
from shared.ids import RunId, Stage

#: After Redis did not answer, reads do without it for so long: each would wait for it again.
_LEFT_ALONE_S: Final = 5.0

log = logging.getLogger(__name__)


class InFlightOutputs:
    """Best effort: what is found is true, what is not found may still be on its way elsewhere."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._not_before_s = 0.0

    def in_outbox(self, run_id: RunId, stage: Stage) -> StageOutput | None:
        """Return the newest output of a run and stage in this host's outbox."""
        entry = self._dispatch.outbox.newest(run_id, stage)
        return None if entry is None else _output(run_id, entry.output)

    def in_queue(self, run_id: RunId, stage: Stage) -> StageOutput | None:
        """Return the newest output of a run and stage in the live queue; None also where Redis doesn't answer."""
        queue = self._dispatch.queue
        if queue is None or time.monotonic() < self._not_before_s:
            return None
        newest: StageOutput | None = None
        try:
            for found in queue.broker.in_flight(run_id):
                if (found.stage, found.queue) == (int(stage), queues.LIVE):
                    data = queue.broker.carried(found)
                    for body in _bodies(data, run_id, stage):
                        if newest is None or body.produced_at > newest.produced_at:
                            newest = _output(run_id, body)
        except (QueueAway, redis.RedisError) as error:
            self._not_before_s = time.monotonic() + _LEFT_ALONE_S
            log.warning("can't see what is in flight: %s", error, extra={"run_id": run_id})
        return newest


def _bodies(data: bytes | None, run_id: RunId, stage: Stage) -> list[OutputBody]:
    if data is None:
        return []
    try:
        message = message_adapter.validate_python(ENCODER.decode(data)["kwargs"]["message"])
    except (DecodeError, ValidationError, KeyError, TypeError):
        return []
    if not isinstance(message, StageOutputsMessage) or message.run_id != run_id:
        return []
    return [body for body in message.outputs if body.stage == stage]


def _output(run_id: RunId, body: OutputBody) -> StageOutput:
    documents = tuple(document.document() for document in body.documents)
    return StageOutput(run_id, body.stage, documents, Source.IN_FLIGHT, body.produced_at)
