"""One message in a worker's hands."""

from __future__ import annotations

from typing import Any

from dramatiq.broker import MessageProxy
from dramatiq.common import current_millis
from dramatiq.message import Message

from shared.broker.encoder import ENCODER
from shared.broker.handback import GoBack
from shared.broker.in_flight import IndexEntries, entries_of
from shared.broker.options import ETA, drop_unreadable
from shared.errors import FatalError


class Undecodable(FatalError):  # noqa: N818 - it stands beside Malformed
    """Bytes in a queue that are no Dramatiq message, or one that can't be written again."""


class Delivery(MessageProxy):
    """A fetched message, with what its settling needs.

    `deaths_alone` counts the workers that died while they ran it alone; None where no worker died with it.
    `go_back` says that it is to be given back rather than acknowledged, `finished` that the actor of its bundle is
    done with it.
    """

    def __init__(self, message: Message[Any], redis_message_id: str, deaths_alone: int | None) -> None:
        super().__init__(message)
        self.redis_message_id = redis_message_id
        self.deaths_alone = deaths_alone
        self.go_back: GoBack | None = None
        self.finished = False
        self.admitted_alone: bool | None = None

    @property
    def entries(self) -> IndexEntries:
        """What the message added to the in-flight index."""
        return entries_of(self.kwargs)

    def encode(self) -> bytes:
        """Return the message as bytes, with its options as they are now; raises Undecodable."""
        try:
            return ENCODER.encode(self._message.asdict())
        except RecursionError:
            # JSON may be read from deeper nesting than it can be written.
            raise Undecodable("The message is nested too deep to be written again.") from None

    def __str__(self) -> str:
        # Dramatiq logs failing messages by this text; the whole documents don't belong there.
        return f"{self.actor_name}({self.entries.run_id})"

    def __repr__(self) -> str:
        return f"Delivery({self.actor_name!r}, {self.message_id!r})"


def read_message(data: bytes, queue_name: str) -> Message[Any]:
    """Return the message in `data`, as one of the queue it was found in; raises Undecodable."""
    try:
        fields = ENCODER.decode(data)
        message = Message[Any](**(fields | {"queue_name": queue_name, "args": tuple(fields["args"])}))
    except Exception as error:
        raise Undecodable(f"The bytes are no Dramatiq message: {error}") from error
    shapes = {"actor_name": str, "kwargs": dict, "options": dict, "message_id": str, "message_timestamp": int}
    for name, shape in shapes.items():
        if not isinstance(getattr(message, name), shape):
            raise Undecodable(f"The message's {name} is no {shape.__name__}.")
    drop_unreadable(message.options)
    return message


def remaining_delay_ms(message: Message[Any]) -> int:
    """Return how long a message of a stock producer is still to be delayed, and forget its time."""
    eta = message.options.pop(ETA, None)
    return 0 if eta is None else max(0, int(eta) - current_millis())
