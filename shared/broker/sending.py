"""Sending: messages made ready, cut into chunks, and handed to Redis, a chunk whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from uuid import uuid4

from dramatiq.common import q_name
from dramatiq.message import Message

from shared.broker.encoder import ENCODER
from shared.broker.in_flight import entries_of
from shared.broker.scripts import Scripts
from shared.frozen import frozen

#: One script call carries so many messages or bytes at most: Redis serves nobody else meanwhile.
_CHUNK_MESSAGES: Final = 200
_CHUNK_BYTES: Final = 4 * 1024 * 1024


@frozen
class Outgoing:
    """A message that is ready to be sent; `delay_ms` of None means at once."""

    message: Message[Any]
    data: bytes
    delay_ms: int | None = None


def outgoing(message: Message[Any], delay_ms: int | None = None) -> Outgoing:
    """Return the message as it is sent; raises TypeError where it can't be JSON."""
    # Retried and delayed messages keep their message_id, so each one in Redis has another id besides.
    ready = message.copy(queue_name=q_name(message.queue_name), options={"redis_message_id": str(uuid4())})
    return Outgoing(ready, ENCODER.encode(ready.asdict()), delay_ms)


def chunks(messages: Iterable[Message[Any]]) -> Iterator[list[Outgoing]]:
    """Cut a stream of messages into chunks that are sent together."""
    chunk: list[Outgoing] = []
    chunk_bytes = 0
    for message in messages:
        ready = outgoing(message)
        if chunk and (len(chunk) == _CHUNK_MESSAGES or chunk_bytes + len(ready.data) > _CHUNK_BYTES):
            yield chunk
            chunk, chunk_bytes = [], 0
        chunk.append(ready)
        chunk_bytes += len(ready.data)
    if chunk:
        yield chunk


def send(scripts: Scripts, chunk: Sequence[Outgoing]) -> None:
    """Send a chunk; sending it again changes nothing. Raises redis.RedisError."""
    arguments: list[str | bytes | int] = []
    for each in chunk:
        arguments += [each.message.queue_name, each.message.options["redis_message_id"], each.data]
        arguments += ["" if each.delay_ms is None else each.delay_ms, *entries_of(each.message.kwargs).arguments()]
    scripts.run("enqueue", *arguments)
