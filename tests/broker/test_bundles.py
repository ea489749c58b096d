"""Messages that were fetched together share a thread, and each has an end of its own all the same."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import dramatiq
import pytest
from broker_bench import QUEUE, Bench, eventually, message
from dramatiq.broker import MessageProxy

from shared.broker.bundle import Bundle, Bundling
from shared.broker.delivery import Delivery
from shared.broker.handback import GoBack, HandBack
from shared.broker.options import ATTEMPTS

_MOST = 16

Together = Callable[[Sequence[Delivery]], None]


class _Calls:
    """What the actors were given, by the number that each message carries."""

    def __init__(self) -> None:
        self.together: list[list[int]] = []
        self.alone: list[int] = []

    def numbers(self) -> Counter[int]:
        return Counter(self.alone) + Counter(number for numbers in self.together for number in numbers)


def _bundling(bench: Bench, calls: _Calls, together: Together, alone: Callable[[int], None], url: str = "") -> Any:
    broker = bench.broker(url, heartbeat_timeout_s=1.0)

    def act(number: int) -> None:
        calls.alone.append(number)
        alone(number)

    def act_together(*, deliveries: Sequence[Delivery]) -> None:
        calls.together.append([_number(delivery) for delivery in deliveries])
        together(deliveries)

    dramatiq.actor(act, broker=broker, queue_name=QUEUE, actor_name="act")
    dramatiq.actor(act_together, broker=broker, queue_name=QUEUE, actor_name="act_together")
    broker.bundled[QUEUE] = Bundling("act", "act_together", _MOST)
    return broker


def _number(delivery: MessageProxy) -> int:
    return int(delivery.args[0])


def _finish(deliveries: Sequence[Delivery]) -> None:
    for delivery in deliveries:
        delivery.finished = True


def _send(broker: Any, count: int) -> None:
    broker.enqueue_many(message("act", number) for number in range(count))


def _nothing(_: object) -> None:
    return None


def test_what_is_fetched_at_once_goes_together_in_the_order_of_the_queue(our_bench: Bench) -> None:
    calls = _Calls()
    broker = _bundling(our_bench, calls, _finish, _nothing)
    _send(broker, 40)
    our_bench.worker(broker, threads=1)

    assert eventually(lambda: our_bench.pending() == 0)
    assert [number for numbers in calls.together for number in numbers] == list(range(40))
    assert calls.together[0] == list(range(_MOST))
    assert not calls.alone


def test_one_message_needs_no_bundle(our_bench: Bench) -> None:
    calls = _Calls()
    broker = _bundling(our_bench, calls, _finish, _nothing)
    our_bench.worker(broker)
    _send(broker, 1)

    assert eventually(lambda: our_bench.pending() == 0)
    assert calls.alone == [0]
    assert not calls.together


def test_what_the_actor_leaves_unfinished_comes_alone_and_only_that(our_bench: Bench) -> None:
    calls = _Calls()

    def leave_the_odd(deliveries: Sequence[Delivery]) -> None:
        _finish([delivery for delivery in deliveries if _number(delivery) % 2 == 0])

    broker = _bundling(our_bench, calls, leave_the_odd, _nothing)
    _send(broker, 10)
    our_bench.worker(broker)

    assert eventually(lambda: our_bench.pending() == 0)
    assert sorted(calls.alone) == [1, 3, 5, 7, 9]
    assert calls.together == [list(range(10))]
    assert our_bench.dead() == 0


def test_an_actor_that_raises_has_not_finished_what_it_did_not_name(our_bench: Bench) -> None:
    calls = _Calls()

    def fail_after_three(deliveries: Sequence[Delivery]) -> None:
        _finish(deliveries[:3])
        raise ValueError("a defect of the actor")

    broker = _bundling(our_bench, calls, fail_after_three, _nothing)
    _send(broker, 8)
    our_bench.worker(broker)

    assert eventually(lambda: our_bench.pending() == 0)
    assert sorted(calls.alone) == [3, 4, 5, 6, 7]
    assert our_bench.dead() == 0


def test_one_that_fails_alone_is_tried_and_buried_like_any_other_and_never_bundled_again(our_bench: Bench) -> None:
    calls = _Calls()

    def refuse_three(number: int) -> None:
        if number == 3:
            raise ValueError("never")

    broker = _bundling(
        our_bench, calls, lambda found: _finish([each for each in found if _number(each) != 3]), refuse_three
    )
    _send(broker, 8)
    our_bench.worker(broker)

    assert eventually(lambda: our_bench.dead() == 1 and our_bench.pending() == 0)
    [dead] = broker.dead_messages(QUEUE)
    assert dead.evidence is not None
    assert dead.evidence.attempts == 4
    assert calls.alone == [3] * 4
    assert calls.together == [list(range(8))]


def test_one_that_goes_back_comes_again_after_its_delay_in_whatever_company(our_bench: Bench) -> None:
    calls = _Calls()
    delayed: list[int] = []

    def delay_five(deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if _number(delivery) == 5 and not delayed:
                delayed.append(5)
                delivery.go_back = GoBack(delay_ms=200)
        _finish(deliveries)

    broker = _bundling(our_bench, calls, delay_five, _nothing)
    _send(broker, 8)
    our_bench.worker(broker)

    assert eventually(lambda: our_bench.pending() == 0)
    assert calls.numbers() == Counter(range(8)) + Counter([5])


def test_fewer_go_alone_at_once_than_there_are_threads_for(our_bench: Bench) -> None:
    calls = _Calls()
    release = threading.Event()
    broker = _bundling(our_bench, calls, _nothing, lambda _: release.wait(30) and None)
    _send(broker, _MOST)
    our_bench.worker(broker, threads=8, prefetch=3)

    assert eventually(lambda: len(calls.alone) == 2)
    assert not eventually(lambda: len(calls.alone) > 2, timeout_s=0.5)
    release.set()
    assert eventually(lambda: our_bench.pending() == 0)
    assert sorted(calls.alone) == list(range(_MOST))


def test_bundles_that_wait_leave_threads_free_however_small_they_are(our_bench: Bench) -> None:
    calls = _Calls()
    release = threading.Event()

    def wait(deliveries: Sequence[Delivery]) -> None:
        release.wait(30)
        _finish(deliveries)

    broker = _bundling(our_bench, calls, wait, _nothing)
    our_bench.worker(broker, threads=8, prefetch=3)
    for sent in range(1, 7):
        _send(broker, 2)
        assert eventually(lambda sent=sent: len(calls.together) + len(calls.alone) == min(sent, 3))
    assert not eventually(lambda: len(calls.together) + len(calls.alone) > 3, timeout_s=0.5)
    release.set()
    assert eventually(lambda: our_bench.pending() == 0)
    assert calls.numbers().total() == 12


def test_what_waits_alone_leaves_a_thread_to_bundles(our_bench: Bench) -> None:
    calls = _Calls()
    passed = threading.Event()

    def pass_the_even(deliveries: Sequence[Delivery]) -> None:
        _finish([delivery for delivery in deliveries if _number(delivery) < 100])
        if all(delivery.finished for delivery in deliveries):
            passed.set()

    broker = _bundling(our_bench, calls, pass_the_even, lambda _: passed.wait(30) and None)
    our_bench.worker(broker, threads=8, prefetch=3)
    broker.enqueue_many(message("act", number) for number in range(100, 106))
    assert eventually(lambda: len(calls.alone) == 2)
    _send(broker, 4)

    assert eventually(lambda: our_bench.pending() == 0)
    assert sorted(calls.alone) == list(range(100, 106))


def test_what_comes_back_from_a_bundle_after_its_consumer_was_closed_goes_back_to_the_queue(
    our_bench: Bench,
) -> None:
    broker = _bundling(our_bench, _Calls(), _finish, _nothing)
    _send(broker, 4)
    consumer = broker.consume(QUEUE, prefetch=8, timeout=100)
    bundles: list[MessageProxy | None] = []
    assert eventually(lambda: bundles.append(next(consumer)) or bundles[-1] is not None)
    consumer.close()
    consumer.ack(bundles[-1])

    taken_again = our_bench.take(our_bench.broker(), 4)[1]
    assert [_number(each) for each in taken_again] == list(range(4))


def test_what_a_bundle_left_goes_on_alone_while_its_queue_is_paused(
    our_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _Calls()
    begun, release, seen = threading.Event(), threading.Event(), threading.Event()

    def wait(deliveries: Sequence[Delivery]) -> None:
        begun.set()
        release.wait(30)

    broker = _bundling(our_bench, calls, wait, _nothing)
    _send(broker, 8)
    our_bench.worker(broker)
    assert begun.wait(30)
    is_paused = broker.is_paused
    monkeypatch.setattr(broker, "is_paused", lambda queue: is_paused(queue) and (seen.set() or True))
    broker.pause(QUEUE)
    assert seen.wait(30)  # a fetch that had begun before may still take what is sent now
    _send(broker, 8)
    release.set()

    assert eventually(lambda: our_bench.pending() == 8)
    assert sorted(calls.alone) == list(range(8))
    assert not eventually(lambda: our_bench.pending() < 8, timeout_s=0.5)
    broker.resume(QUEUE)
    assert eventually(lambda: our_bench.pending() == 0)


def test_bundles_and_what_they_left_outlive_an_outage_of_redis(our_bench: Bench) -> None:
    calls = _Calls()
    begun, release = threading.Event(), threading.Event()

    def wait_and_leave_the_odd(deliveries: Sequence[Delivery]) -> None:
        begun.set()
        release.wait(30)
        _finish([delivery for delivery in deliveries if _number(delivery) % 2 == 0])

    broker = _bundling(our_bench, calls, wait_and_leave_the_odd, _nothing, our_bench.proxy.url)
    _send(broker, 40)
    our_bench.worker(broker)
    assert begun.wait(30)
    our_bench.proxy.cut()
    release.set()
    # What is held goes on without Redis; that it is done can't be told yet.
    assert eventually(lambda: len(calls.alone) == _MOST / 2)
    assert our_bench.pending() == 40
    our_bench.proxy.restore()

    assert eventually(lambda: our_bench.pending() == 0)
    assert set(calls.numbers()) == set(range(40))
    holding = broker.begin_consumption().holding(QUEUE)
    assert eventually(lambda: (len(holding), holding.bytes) == (0, 0))


def test_a_suspect_runs_alone_whatever_it_was_fetched_with(our_bench: Bench) -> None:
    calls = _Calls()
    dying = our_bench.broker(heartbeat_timeout_s=1.0)
    _send(dying, 6)
    our_bench.take(dying, 3)  # and is never heard of again
    broker = _bundling(our_bench, calls, _finish, _nothing)
    dying._consumption._heartbeat.stop()
    our_bench.worker(broker)

    assert eventually(lambda: our_bench.pending() == 0)
    assert sorted(calls.alone) == [0, 1, 2]
    assert calls.together == [[3, 4, 5]]


def test_a_worker_that_stops_gives_back_what_it_did_not_begin_in_its_order(our_bench: Bench) -> None:
    calls = _Calls()
    begun, release = threading.Event(), threading.Event()

    def wait(deliveries: Sequence[Delivery]) -> None:
        begun.set()
        release.wait(30)
        _finish(deliveries[:2])

    broker = _bundling(our_bench, calls, wait, _nothing)
    _send(broker, 12)
    worker = our_bench.worker(broker, threads=1)
    assert begun.wait(30)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    assert eventually(lambda: broker._consumption is None or broker._consumption.stopping)
    release.set()
    stopping.join(30)

    assert our_bench.pending() == 10
    assert not calls.alone
    other = our_bench.broker()
    consumer, taken = our_bench.take(other, 10)
    assert [_number(each) for each in taken] == list(range(2, 12))
    consumer.requeue(taken)


def test_a_bundle_that_no_thread_took_up_goes_back_whole(our_bench: Bench) -> None:
    calls = _Calls()
    broker = _bundling(our_bench, calls, _finish, _nothing)
    _send(broker, 6)
    consumer = broker.consume(QUEUE, prefetch=8, timeout=100)
    bundles: list[MessageProxy | None] = []
    assert eventually(lambda: bundles.append(next(consumer)) or bundles[-1] is not None)
    assert isinstance(bundles[-1], Bundle)
    consumer.requeue([bundles[-1]])
    consumer.close()

    taken_again = our_bench.take(our_bench.broker(), 6)[1]
    assert [_number(each) for each in taken_again] == list(range(6))


@pytest.mark.parametrize(
    "refusing", [{"actor": "other"}, {"options": {ATTEMPTS: 1}}], ids=["of another actor", "that failed before"]
)
def test_a_message_with_a_story_of_its_own_comes_alone(our_bench: Bench, refusing: dict[str, Any]) -> None:
    calls = _Calls()
    broker = _bundling(our_bench, calls, _finish, _nothing)
    dramatiq.actor(calls.alone.append, broker=broker, queue_name=QUEUE, actor_name="other")
    _send(broker, 3)
    broker.enqueue(message(refusing.get("actor", "act"), 99, **refusing.get("options", {})))
    broker.enqueue_many(message("act", number) for number in range(3, 6))
    our_bench.worker(broker)

    assert eventually(lambda: our_bench.pending() == 0)
    assert calls.alone == [99]
    assert calls.together == [[0, 1, 2], [3, 4, 5]]


def test_a_hand_back_of_one_alone_is_still_a_hand_back(our_bench: Bench) -> None:
    calls = _Calls()

    def hand_back_once(number: int) -> None:
        if calls.alone.count(number) == 1:
            raise HandBack

    broker = _bundling(our_bench, calls, _nothing, hand_back_once)
    _send(broker, 2)
    our_bench.worker(broker)

    assert eventually(lambda: our_bench.pending() == 0)
    assert calls.numbers()[0] >= 3
    assert our_bench.dead() == 0
