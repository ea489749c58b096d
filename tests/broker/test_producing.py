"""What the broker promises to producers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dramatiq
import pytest
import redis
from broker_bench import QUEUE, Bench, eventually, message, settings_of
from dramatiq.encoder import JSONEncoder
from dramatiq.message import get_encoder

from shared import queues
from shared.broker.broker import make_broker
from shared.embedded.redis_server import RedisServer
from shared.errors import QueueAway, SettingsError

_NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def bench(private_redis: RedisServer, short_folder: Path) -> Iterator[Bench]:
    """Our broker on a Redis of its own, whose memory a test may limit."""
    bench = Bench(private_redis.url, short_folder, stock=False)
    yield bench
    bench.close()


def test_nothing_connects_before_the_first_use() -> None:
    broker = make_broker(_NOWHERE, settings_of())

    assert broker.get_declared_queues() == set(queues.ALL)
    broker.close()


def test_it_is_not_the_global_broker_and_leaves_the_global_encoder_alone() -> None:
    broker = make_broker(_NOWHERE, settings_of())

    assert dramatiq.broker.global_broker is not broker
    assert isinstance(get_encoder(), JSONEncoder)
    broker.close()


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://localhost:port"])
def test_a_url_that_cannot_be_read_is_a_settings_error(url: str) -> None:
    with pytest.raises(SettingsError, match="REDIS_URL"):
        make_broker(url, settings_of())


def test_tls_is_used_where_the_url_says_so() -> None:
    broker = make_broker("rediss://localhost/0", settings_of())

    assert broker.client.connection_pool.connection_class is redis.SSLConnection
    broker.close()


def test_many_messages_are_sent_in_order(our_bench: Bench) -> None:
    broker = our_bench.broker()
    sent = [message("act", number) for number in range(1_000)]

    assert broker.enqueue_many(iter(sent)) == 1_000
    _, taken = our_bench.take(broker, 1_000)
    assert [delivery.message_id for delivery in taken] == [each.message_id for each in sent]


def test_a_send_that_is_repeated_adds_nothing(our_bench: Bench) -> None:
    broker = our_bench.broker()
    for _ in range(2):
        broker._tool_scripts.run("enqueue", QUEUE, "id", b"{}", "", "run", 1, "1/aa")

    depth = broker.depths()[QUEUE]
    assert (depth.waiting, depth.bytes, depth.pending) == (1, 2, 1)


def test_what_is_begun_is_sent_whole_and_in_order(our_bench: Bench) -> None:
    broker = our_bench.broker()
    sent = [message("act", number) for number in range(450)]

    answers = [broker.begin_enqueue(each) for each in (sent[:225], sent[225:], [])]
    assert [answer.result() for answer in answers] == [225, 225, 0]

    _, taken = our_bench.take(broker, 450)
    assert [delivery.message_id for delivery in taken] == [each.message_id for each in sent]


def test_the_caller_is_free_while_redis_takes_in_what_was_begun(our_bench: Bench) -> None:
    broker = our_bench.broker(url=our_bench.proxy.url)
    broker.begin_enqueue([message("act", 0)]).result()

    our_bench.proxy.lose_answers()
    answer = broker.begin_enqueue([message("act", 1)])
    assert eventually(lambda: our_bench.pending() == 2)
    assert not answer.done()
    our_bench.proxy.speak()
    assert answer.result() == 1


@pytest.mark.parametrize("fault", ["cut", "lose_answers"])
def test_what_was_begun_over_a_lost_connection_is_sent_again_and_is_there_once(
    our_bench: Bench, fault: str
) -> None:
    broker = our_bench.broker(url=our_bench.proxy.url)
    broker.begin_enqueue([message("act", 0)]).result()

    if fault == "cut":
        our_bench.proxy.cut()
        answer = broker.begin_enqueue([message("act", 1)])
        our_bench.proxy.restore()
    else:
        our_bench.proxy.lose_answers()
        answer = broker.begin_enqueue([message("act", 1)])
        assert eventually(lambda: our_bench.pending() == 2)
        our_bench.proxy.speak()
    answer.result()

    assert our_bench.pending() == 2
    broker.begin_enqueue([message("act", 2)]).result()
    assert our_bench.pending() == 3


def test_what_redis_has_no_memory_for_is_refused_by_the_answer(
    bench: Bench,
) -> None:
    broker = bench.broker()
    broker.begin_enqueue([message("act", 0)]).result()
    bench.redis.config_set("maxmemory", broker.memory().used_bytes)

    answer = broker.begin_enqueue([message("act", "x" * 10_000) for _ in range(100)])
    with pytest.raises(QueueAway, match="memory limit"):
        answer.result()

    bench.redis.config_set("maxmemory", 0)
    broker.begin_enqueue([message("act", 1)]).result()
    assert bench.pending() == 2


def test_a_chunk_is_sent_whole_or_not_at_all_at_the_memory_limit(
    bench: Bench,
) -> None:
    broker = bench.broker()
    memory = broker.memory()
    assert (memory.policy, memory.share < 1) == ("noeviction", True)
    bench.redis.config_set("maxmemory", memory.used_bytes + 6_000_000)

    with pytest.raises(QueueAway, match="memory limit"):
        broker.enqueue_many(message("act", "x" * 10_000) for _ in range(2_000))

    depth = broker.depths()[QUEUE]
    assert depth.waiting > 0
    assert depth.waiting % 200 == 0
    bench.redis.config_set("maxmemory", 0)


def test_an_emitter_waits_no_longer_than_its_patience(our_bench: Bench) -> None:
    settings = settings_of()
    broker = make_broker(our_bench.proxy.url, settings, patience=timedelta(seconds=0.5))
    assert broker.depths()[queues.LIVE].pending == 0
    our_bench.proxy.fall_silent()

    started = time.monotonic()
    with pytest.raises(QueueAway):
        broker.enqueue(message())
    elapsed_s = time.monotonic() - started
    our_bench.proxy.speak()
    assert eventually(lambda: broker.redis_now() is not None)
    broker.close()

    assert elapsed_s < 2


def test_an_emitter_learns_at_once_that_redis_refuses_connections() -> None:
    broker = make_broker(_NOWHERE, settings_of(), patience=timedelta(seconds=2))

    with pytest.raises(QueueAway, match="can't be reached"):
        broker.stamp("run", 1)
    broker.close()


def test_stamps_of_a_stage_always_grow(our_bench: Bench) -> None:
    brokers = [our_bench.broker() for _ in range(4)]
    stamps: list[list[object]] = [[] for _ in brokers]

    def stamp(number: int) -> None:
        for _ in range(200):
            stamps[number].append(brokers[number].stamp("run", 3))

    threads = [threading.Thread(target=stamp, args=(number,)) for number in range(len(brokers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # As after a second of Redis' clock being set back.
    [key] = our_bench.redis.keys("*__stamp__*")
    ahead = int(our_bench.redis.get(key)) + 1_000_000
    our_bench.redis.set(key, ahead)

    given = [moment for each in stamps for moment in each]
    assert len(set(given)) == 800
    assert all(each == sorted(each) for each in stamps)
    assert brokers[0].stamp("run", 3).timestamp() * 1_000_000 >= ahead
    assert our_bench.redis.ttl(key) > 0
    assert abs(brokers[0].stamp("run", 4) - brokers[0].redis_now()) < timedelta(seconds=5)
