"""What the settler promises, without Redis."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
import redis
from broker_bench import eventually

from shared.broker.settler import Settlement, Settler
from shared.broker.tickets import Operation, Ticket


class Sent:
    """Takes the place of Redis."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.fail: Callable[[Sequence[str]], Exception | None] = lambda _ids: None
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, queue: str, tickets: Sequence[Ticket]) -> None:
        self.gate.wait(30)
        ids = [ticket.redis_message_id for ticket in tickets]
        error = self.fail(ids)
        if error is not None:
            raise error
        self.batches.append(ids)

    @property
    def ids(self) -> list[str]:
        return [redis_message_id for batch in self.batches for redis_message_id in batch]


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def settler(sent: Sent) -> Iterator[Settler]:
    settler = Settler({Operation.ACK: sent, Operation.BACK: sent})
    yield settler
    sent.gate.set()
    settler.stop()


def _ack(number: int, attempted: Callable[[], None] = lambda: None) -> Settlement:
    return Settlement(Operation.ACK, "live", Ticket(f"id-{number}"), attempted)


def test_what_is_done_during_a_round_trip_goes_in_the_next(sent: Sent, settler: Settler) -> None:
    sent.gate.clear()
    settler.submit(_ack(0))
    assert eventually(lambda: settler.unsent("live") == {"id-0"})
    for number in range(1, 100):
        settler.submit(_ack(number))
    sent.gate.set()

    assert settler.drain(30)
    assert sorted(sent.ids) == sorted(f"id-{number}" for number in range(100))
    assert len(sent.batches) <= 3


def test_it_tries_until_redis_is_back_and_says_so_once(sent: Sent, settler: Settler) -> None:
    away = threading.Event()
    away.set()
    sent.fail = lambda _ids: redis.TimeoutError("away") if away.is_set() else None
    attempts: list[int] = []
    settler.submit(_ack(0, lambda: attempts.append(0)))

    assert not settler.drain(0.3)
    assert settler.unsent("live") == {"id-0"}
    away.clear()
    assert settler.drain(30)
    assert sent.ids == ["id-0"]
    assert attempts == [0]


@pytest.mark.parametrize(
    "error",
    [redis.ResponseError("WRONGTYPE"), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")],
    ids=["by Redis", "by our own code"],
)
def test_one_that_is_refused_holds_back_no_other(sent: Sent, settler: Settler, error: Exception) -> None:
    sent.gate.clear()
    sent.fail = lambda ids: error if "id-3" in ids else None
    for number in range(6):
        settler.submit(_ack(number))
    sent.gate.set()

    assert settler.drain(30)
    assert sorted(sent.ids) == ["id-0", "id-1", "id-2", "id-4", "id-5"]


def test_operations_and_queues_are_never_mixed(sent: Sent, settler: Settler) -> None:
    sent.gate.clear()
    for number in range(4):
        settler.submit(Settlement(Operation.BACK if number % 2 else Operation.ACK, "live", Ticket(f"id-{number}")))
    sent.gate.set()

    assert settler.drain(30)
    assert all(len({int(name[-1]) % 2 for name in batch}) == 1 for batch in sent.batches)
