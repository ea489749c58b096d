"""A bundle: messages that were fetched together and go through one actor's call, each with an end of its own.

A thread that waits for a commit a message costs more than the message: so many fetched at once share one. It is the
short way for messages about which nothing is known but that they came. Whatever becomes of one is done by the
consumer as if it had come alone, and one that the actor did not finish comes alone next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from dramatiq.broker import MessageProxy
from dramatiq.common import current_millis
from dramatiq.message import Message

from shared.broker.delivery import Delivery
from shared.broker.handback import GoBack
from shared.broker.options import ATTEMPTS


@dataclass(frozen=True, slots=True)
class Bundling:
    """What of a queue goes in bundles of `most`: messages for `actor_name`, handed to the actor `together`."""

    actor_name: str
    together: str
    most: int

    def takes(self, delivery: Delivery) -> bool:
        """Say whether a message may go with others: it killed nobody and never failed."""
        return (
            delivery.actor_name == self.actor_name
            and delivery.deaths_alone is None
            and not delivery.options.get(ATTEMPTS)
        )


class Bundle(MessageProxy):
    """Deliveries of one queue for `actor_name`, which gets them as its keyword `deliveries`.

    The actor says of each that it is `finished`: to be acknowledged, or given back where it set `go_back`. `go_back`
    of the bundle itself says that none of it was begun.
    """

    def __init__(self, queue_name: str, actor_name: str, deliveries: Sequence[Delivery]) -> None:
        super().__init__(
            Message[Any](
                queue_name=queue_name,
                actor_name=actor_name,
                args=(),
                kwargs={"deliveries": deliveries},
                options={},
                message_id=str(uuid4()),
                message_timestamp=current_millis(),
            )
        )
        self.deliveries = deliveries
        self.go_back: GoBack | None = None
        self.admitted_alone: bool | None = None
        #: No suspect is ever in a bundle.
        self.deaths_alone: int | None = None

    def __str__(self) -> str:
        # Dramatiq logs by this text; the documents of all messages don't belong there.
        return f"{self.actor_name}({len(self.deliveries)} messages)"

    def __repr__(self) -> str:
        return f"Bundle({self.actor_name!r}, {[delivery.message_id for delivery in self.deliveries]!r})"
