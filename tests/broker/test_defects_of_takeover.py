"""What stock Dramatiq does when workers die, clocks differ or Redis is full, and that ours doesn't.

As in the other tests of defects, each must show on the stock broker.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import dramatiq
import dramatiq.brokers.redis
import psutil
import pytest
import redis
from broker_bench import NAMESPACE, QUEUE, Bench, eventually, message
from dramatiq.middleware import Middleware, MiddlewareError

from shared.broker.consumer import DEATHS_THAT_CONDEMN
from shared.embedded.redis_server import RedisServer
from shared.errors import QueueAway

_WORKER = Path(__file__).with_name("doomed_worker.py")


def test_messages_of_a_killed_worker_stay_with_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defect 7."""
    # Stock Dramatiq looks for dead workers on one command in a thousand: this is the likely draw.
    monkeypatch.setattr(random, "randint", lambda _low, high: high // 2)
    broker = bench.broker(heartbeat_timeout_s=1.5)
    broker.enqueue(message())
    with _doomed_worker(bench) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    ran = threading.Event()

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="act")
    def act() -> None:
        ran.set()

    bench.worker(broker)

    defective = not ran.wait(bench.grace_s(4))
    assert defective is bench.stock


def test_nothing_drains_at_the_memory_limit(
    private_redis: RedisServer, short_folder: Path, request: pytest.FixtureRequest, stock: bool
) -> None:
    """Defect 8."""
    bench = Bench(private_redis.url, short_folder, stock=stock)
    request.addfinalizer(bench.close)
    broker = bench.broker()

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="act")
    def act(text: str) -> None:
        pass

    for _ in range(50):
        broker.enqueue(message("act", "x" * 20_000))
    bench.redis.config_set("maxmemory", bench.redis.info("memory")["used_memory"] - 200_000)
    with pytest.raises(redis.ResponseError if stock else QueueAway, match=r"OOM|memory limit"):
        broker.enqueue(message("act", "x" * 20_000))
    bench.worker(broker)

    defective = not eventually(lambda: bench.pending() == 0, bench.grace_s(2))
    assert defective is stock
    bench.redis.config_set("maxmemory", 0)


def test_a_worker_boots_without_what_its_middleware_could_not_start(bench: Bench) -> None:
    """Defect 9."""

    class Pool(Middleware):
        def before_worker_boot(self, broker: object, worker: object) -> None:
            raise OSError("the pool can't be opened")

    broker = bench.broker(middleware=(Pool(),))
    try:
        bench.worker(broker)
        defective = True
    except MiddlewareError:
        defective = False

    assert defective is bench.stock


def test_killing_one_worker_process_ends_them_all(
    stock: bool, redis_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Defect 10: a matter of Dramatiq's command line; `worker` supervises its processes by itself."""
    if stock:
        environment = {}
        (tmp_path / "actors.py").write_text(
            f"import dramatiq\nfrom dramatiq.brokers.redis import RedisBroker\n"
            f"dramatiq.set_broker(RedisBroker(url={redis_url!r}))\n"
        )
        command = ["dramatiq", "actors", "--processes=2", "--threads=1", "--path", str(tmp_path)]
    else:
        environment = {"DATABASE_URL": request.getfixturevalue("database_url"), "REDIS_URL": redis_url}
        command = ["workers.command", "--processes=2", "--threads=1"]
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=Path(__file__).parents[2],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        ready = (line for line in process.stderr if "Worker process is ready" in line or "worker started" in line)
        for _ in range(2):
            next(ready)
        # The last child of a Dramatiq command is a worker, and so is each child of ours.
        os.kill(psutil.Process(process.pid).children()[-1].pid, signal.SIGKILL)
        # Ours says so when the replacement is there; the stock command just ends.
        defective = next(ready, None) is None
        process.terminate()
        process.stderr.read()
    assert defective is stock
    assert process.returncode == (1 if stock else 0)


def test_a_slow_clock_gets_a_live_worker_robbed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defect 14."""
    with monkeypatch.context() as slow:
        real = dramatiq.brokers.redis.current_millis
        slow.setattr(dramatiq.brokers.redis, "current_millis", lambda: real() - 15_000)
        alive = bench.broker(heartbeat_timeout_s=10)
        alive.enqueue(message())
        bench.take(alive)
    other = bench.broker(heartbeat_timeout_s=10)
    other.maintenance_chance = dramatiq.brokers.redis.MAINTENANCE_SCALE
    other.do_qsize(QUEUE)

    defective = bench.redis.llen(bench.key("")) == 1
    assert defective is bench.stock


def test_nothing_tells_the_killer_from_its_neighbours(bench: Bench) -> None:
    """Defect 16: a message that kills its worker again and again is handed out for ever.

    The others that were in the dead workers' hands must survive it.
    """
    neighbours = {bench.broker().enqueue(message("neighbour")).message_id for _ in range(5)}
    killer = bench.broker().enqueue(message("killer")).message_id
    started: list[str] = []
    for _ in range(DEATHS_THAT_CONDEMN + 2):
        broker = bench.broker()
        _, taken = bench.take(broker, bench.redis.llen(bench.key("")))
        if {delivery.message_id for delivery in taken} == neighbours:
            break
        started += [delivery.message_id for delivery in taken]
        if getattr(taken[0], "deaths_alone", None) is None:
            # The first time they run together, as far as anybody knows.
            for delivery in taken:
                broker.emit_before("process_message", delivery)
        else:
            [suspect] = [delivery for delivery in taken if delivery.message_id == killer]
            broker.emit_before("process_message", suspect)
        _die(bench, broker)

    defective = bench.dead() == 0
    assert defective is bench.stock
    if not bench.stock:
        [dead] = broker.dead_messages(QUEUE)
        assert dead.evidence is not None
        assert (dead.evidence.reason, dead.evidence.message_id) == ("crash_loop", killer)


def _die(bench: Bench, broker: Any) -> None:
    """Do to a broker what kill -9 of its process and the takeover by another one do."""
    if not bench.stock:
        broker._consumption._heartbeat.stop()
    bench.redis.zadd(f"{NAMESPACE}:__heartbeats__", {broker.broker_id: 0})
    if bench.stock:
        survivor = bench.broker()
        survivor.maintenance_chance = dramatiq.brokers.redis.MAINTENANCE_SCALE
        survivor.do_qsize(QUEUE)
        return
    survivor = bench.broker(heartbeat_timeout_s=0.5)
    survivor.consume(QUEUE)
    assert eventually(lambda: not broker.hands.owned(QUEUE))


@contextlib.contextmanager
def _doomed_worker(bench: Bench) -> Any:
    """A worker process that has a message in hand, and never ends it."""
    command = [sys.executable, str(_WORKER), bench.redis_url, "stock" if bench.stock else "ours"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        yield process


@pytest.fixture(params=[True, False], ids=["stock", "ours"])
def stock(request: pytest.FixtureRequest) -> bool:
    """Whether the stock broker is tested, without a bench."""
    return bool(request.param)
