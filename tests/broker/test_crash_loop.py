"""A message that kills its worker, by the hand of a real kernel."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from broker_bench import QUEUE, Bench, eventually, message

from shared.broker.consumer import DEATHS_THAT_CONDEMN
from shared.reasons import Reason

_WORKER = Path(__file__).with_name("mortal_worker.py")


@contextlib.contextmanager
def _worker(bench: Bench) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, str(_WORKER), bench.redis_url]) as process:
        try:
            yield process
        finally:
            process.kill()


def _deaths_until_one_is_buried(our_bench: Bench) -> int:
    """Start workers one after the other, and return how many died before a message was buried."""
    deaths = 0
    while not our_bench.dead():
        assert deaths <= DEATHS_THAT_CONDEMN + 1
        with _worker(our_bench) as process:
            assert eventually(lambda process=process: process.poll() is not None or our_bench.dead(), 60)
            deaths += process.poll() is not None
            assert eventually(lambda: our_bench.pending() == 0) if our_bench.dead() else True
    return deaths


def test_a_message_that_kills_its_worker_is_buried_and_its_neighbours_are_not(our_bench: Bench) -> None:
    broker = our_bench.broker()
    broker.enqueue_many(message("work", number) for number in range(10))
    killer = broker.enqueue(message("kill"))
    broker.enqueue_many(message("work", number) for number in range(10, 20))
    deaths = _deaths_until_one_is_buried(our_bench)

    [dead] = broker.dead_messages(QUEUE)
    assert dead.evidence is not None
    assert (dead.evidence.reason, dead.evidence.message_id) == (Reason.CRASH_LOOP, killer.message_id)
    assert {int(number) for number in our_bench.redis.smembers("done")} == set(range(20))
    # One death made it a suspect; then it took so many alone.
    assert deaths == DEATHS_THAT_CONDEMN + 1
    assert not our_bench.redis.exists(our_bench.key(".suspects"))


def test_a_message_that_kills_its_worker_in_a_bundle_is_found_among_its_neighbours(our_bench: Bench) -> None:
    broker = our_bench.broker()
    sent = [message("bundled", number if number != 47 else -1) for number in range(100)]
    broker.enqueue_many(sent)
    deaths = _deaths_until_one_is_buried(our_bench)

    [dead] = broker.dead_messages(QUEUE)
    assert dead.evidence is not None
    assert (dead.evidence.reason, dead.evidence.message_id) == (Reason.CRASH_LOOP, sent[47].message_id)
    assert {int(number) for number in our_bench.redis.smembers("done")} == set(range(100)) - {47}
    assert deaths == DEATHS_THAT_CONDEMN + 1
    assert not our_bench.redis.exists(our_bench.key(".suspects"))


def test_kills_of_a_busy_worker_bury_nobody(our_bench: Bench) -> None:
    broker = our_bench.broker()
    broker.enqueue_many(message("slow", number) for number in range(60))
    for _ in range(4):
        before = our_bench.redis.scard("done")
        with _worker(our_bench) as process:
            assert eventually(lambda before=before: our_bench.redis.scard("done") > before, 60)
            process.kill()
            process.wait()
    with _worker(our_bench):
        assert eventually(lambda: our_bench.pending() == 0, 60)

    assert our_bench.dead() == 0
    assert {int(number) for number in our_bench.redis.smembers("done")} == set(range(60))
