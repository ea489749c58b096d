"""The in-flight index: which outputs are in the queues.

It is written in the same atomic step as the enqueue. Each message has its own entries, which go with its
acknowledgement: where two carry the same output, the end of one hides no other. Those of a buried message stay until
the sweep has filed the letter, so that no output is ever unaccounted for in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

import redis

from shared.broker.scripts import Scripts
from shared.frozen import frozen

_RUNS_PER_CALL: Final = 500


@frozen
class InFlight:
    """One output that is in a queue, and a message that carries it."""

    stage: int
    content_sha256: str
    queue: str
    redis_message_id: str


@frozen
class IndexEntries:
    """What one message adds to the index: fields `STAGE/SHA256` under a run."""

    run_id: str = ""
    fields: tuple[str, ...] = ()

    def arguments(self) -> tuple[str | int, ...]:
        """Return the entries as the scripts take them."""
        return (self.run_id, len(self.fields), *self.fields)


NONE: Final = IndexEntries()


def entries_of(kwargs: Mapping[str, Any]) -> IndexEntries:
    """Return the entries of a message with these keyword arguments; none where it carries no outputs."""
    body = kwargs.get("message")
    if not isinstance(body, dict):
        return NONE
    run_id, outputs = body.get("run_id"), body.get("outputs")
    if not isinstance(run_id, str) or not isinstance(outputs, list) or not run_id.isprintable():
        return NONE
    fields = tuple(
        f"{stage:d}/{content_sha256}"
        for output in outputs
        # Others may send anything, and newer producers what we don't know: it is nobody's output here.
        if isinstance(output, dict)
        and isinstance(stage := output.get("stage"), int)
        and isinstance(content_sha256 := output.get("content_sha256"), str)
        and content_sha256.isprintable()
    )
    return IndexEntries(run_id, fields) if fields else NONE


def read_in_flight(scripts: Scripts, run_ids: Iterable[str]) -> dict[str, frozenset[InFlight]]:
    """Return what is in flight of each run; runs with nothing in flight have an empty set."""
    found: dict[str, set[InFlight]] = {run_id: set() for run_id in run_ids}
    remaining = iter(list(found))
    while some := list(islice(remaining, _RUNS_PER_CALL)):
        reply: list[bytes] = scripts.run("in_flight", *some)
        values = [value.decode() for value in reply]
        for run_id, field, queue, message_id in zip(*(values[i::4] for i in range(4)), strict=True):
            stage, _, content_sha256 = field.partition("/")
            found[run_id].add(InFlight(int(stage), content_sha256, queue, message_id))
    return {run_id: frozenset(outputs) for run_id, outputs in found.items()}


def read_carried(client: redis.Redis, namespace: str, found: InFlight) -> bytes | None:
    """Return the bytes of the message that carries an output; None where it was settled meanwhile."""
    for holder in (".msgs", ".DQ.msgs"):
        data = client.hget(f"{namespace}:{found.queue}{holder}", found.redis_message_id)
        if data is not None:
            return data if isinstance(data, bytes) else data.encode()
    return None
