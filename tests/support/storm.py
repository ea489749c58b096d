"""A storm: everything that can go wrong goes wrong while a backfill and live emits run; and what must hold after.

What happens, and in which order, comes from a seed alone; where exactly it strikes depends on the machine.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

import psutil
import redis
from dramatiq import Message
from real_workers import Ended, Site, end_of, kill, until
from writing_bench import BROKEN, at, cards, context, inspirations, outputs, trends

from benchmarks.tree import generate, run_id
from producers import Emitter
from shared import embedded, queues
from shared.contract import Hints, StageOutputsMessage, to_wire
from shared.errors import QueueAway

SKEWED_CLOCK = Path(__file__).parent / "skewed_clock"
_STAGES: dict[int, Any] = {1: inspirations, 2: trends, 4: context, 5: cards}
_REDIS_DATABASES = 16


class Fault(StrEnum):
    """What goes wrong."""

    KILL_WORKER = "kill -9 of a worker"
    KILL_REDIS = "kill -9 of Redis"
    RESTART_POSTGRES = "a restart of PostgreSQL"
    CRASH_POSTGRES = "an immediate stop of PostgreSQL"
    KILL_POSTGRES = "kill -9 of PostgreSQL"
    DROP_CONNECTIONS = "CLIENT KILL of all connections"
    FREEZE_WORKER = "SIGSTOP of a worker beyond its heartbeat"


@dataclass(frozen=True)
class Plan:
    """A storm; `away_s` is how long a stopped store stays away."""

    seed: int
    runs: int
    fed_runs: int
    live_runs: int
    workers: int
    away_s: float
    heartbeat_s: int
    backfill_rate: str
    faults: tuple[Fault, ...]

    @classmethod
    def short(cls, seed: int) -> Plan:
        """What fits in the gate."""
        faults = [Fault.KILL_WORKER] * 3 + [Fault.KILL_REDIS, Fault.DROP_CONNECTIONS, Fault.FREEZE_WORKER]
        faults.append(Random(seed).choice((Fault.RESTART_POSTGRES, Fault.CRASH_POSTGRES)))
        Random(seed).shuffle(faults)
        return cls(
            seed,
            runs=40,
            fed_runs=6,
            live_runs=6,
            workers=2,
            away_s=3,
            heartbeat_s=3,
            backfill_rate="2/s",
            faults=tuple(faults),
        )

    @classmethod
    def long(cls, seed: int) -> Plan:
        """Some minutes."""
        faults = [Fault.KILL_WORKER] * 10 + [fault for fault in Fault if fault is not Fault.KILL_WORKER] * 2
        Random(seed).shuffle(faults)
        return cls(
            seed,
            runs=400,
            fed_runs=40,
            live_runs=40,
            workers=3,
            away_s=20,
            heartbeat_s=10,
            backfill_rate="2/s",
            faults=tuple(faults),
        )


class OwnServices:
    """A pair of services that nobody else uses, so that killing them harms nobody else."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def start(self) -> embedded.EmbeddedServices:
        """Start what does not run."""
        return embedded.start(
            self.home,
            # Processes are killed, never the machine: fsync would add nothing here but time.
            postgres_settings={"fsync": "off"},
            # With `everysec`, Redis puts its writes off while the disk is busy, and a kill loses what it answered.
            redis_settings={"databases": str(_REDIS_DATABASES), "appendfsync": "always"},
        )

    def end(self, server: str, number: int) -> None:
        """Send a signal to `postgres` or `redis`, and wait until it is gone."""
        found = embedded.status(self.home)
        assert found is not None
        pid = getattr(found, server).pid
        assert pid is not None, f"{server} does not run"
        process = psutil.Process(pid)
        process.send_signal(number)
        until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, f"the end of {server}")


@dataclass
class Sent:
    """What was sent: the outputs of each message by its id, and how many sendings ended in doubt."""

    outputs: dict[str, int] = field(default_factory=dict)
    doubtful: int = 0


class Storm:
    """One storm over one installation."""

    def __init__(self, plan: Plan, site: Site, services: OwnServices, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._site = site
        self._services = services
        self._say = say
        self._random = Random(plan.seed)
        self._pause = threading.Event()
        self._fed, self._live = _fed(plan), _live(plan)
        self.sent = Sent()
        self.backfill: Ended | None = None

    def calm(self) -> dict[str, Any]:
        """Send everything without any fault, and return all rows."""
        site = self._site
        site.start_worker()
        for share in self._shares(1):
            self._send(share)
        self.backfill = site.backfill()
        site.drain()
        site.stop_workers()
        return site.everything()

    def rage(self) -> dict[str, Any]:
        """Send everything while all the faults happen, and return all rows once all is handled."""
        site, plan = self._site, self._plan
        for number in range(plan.workers):
            self.start_worker(skewed=number == 0)
        backfill = site.start_backfill("--wait", "--rate", plan.backfill_rate)
        # One that meets no Redis as it starts ends, and says so: the faults come once it is under way.
        self._progress()
        first, *shares = self._shares(len(plan.faults) + 1)
        with ThreadPoolExecutor(1) as sender:
            sending: list[Future[None]] = [sender.submit(self._send, first)]
            for fault, share in zip(plan.faults, shares, strict=True):
                self._say(f"{fault}")
                sending.append(sender.submit(self._send, share))
                self.strike(fault)
                self._progress()
            for future in sending:
                future.result()
            self.backfill = end_of(backfill)
        site.drain()
        return site.everything()

    # Sending.

    def _shares(self, number: int) -> list[list[Any]]:
        """Everything to send, shuffled and dealt; each message twice, the second time elsewhere."""
        feed: list[Any] = [*self._fed, *self._fed, *self._live, _UNDECODABLE]
        self._random.shuffle(feed)
        return [feed[place::number] for place in range(number)]

    def _send(self, share: Sequence[Any]) -> None:
        with Emitter(self._site.settings.model_copy(update={"emit_timeout": timedelta(seconds=1)})) as emitter:
            for item in share:
                match item:
                    case Message():
                        self._until_sent(lambda item=item: self._site.broker.enqueue_many([item]))
                        self.sent.outputs[item.message_id] = len(item.kwargs["message"]["outputs"])
                    case LiveOutput():
                        message_id = self._until_sent(lambda item=item: item.emit(emitter))
                        self.sent.outputs[message_id] = 1
                    case bytes():
                        self._until_sent(lambda item=item: _push_bytes(self._site, item))

    def _until_sent(self, send: Callable[[], Any]) -> Any:
        while True:
            try:
                return send()
            except (QueueAway, redis.RedisError):
                self.sent.doubtful += 1
                self._pause.wait(0.2)

    # Faults.

    def start_worker(self, *, skewed: bool = False) -> None:
        """Start one more worker, one whose clock is wrong if asked."""
        environment = {"RUNFERRY_HEARTBEAT_TIMEOUT": f"{self._plan.heartbeat_s}s"}
        if skewed:
            paths = [str(SKEWED_CLOCK), self._site.environment()["PYTHONPATH"]]
            environment |= {"SKEW_S": "60", "PYTHONPATH": os.pathsep.join(paths)}
        self._site.start_worker(**environment)

    def strike(self, fault: Fault) -> None:
        """Let one thing go wrong, and mend what does not mend itself."""
        match fault:
            case Fault.KILL_WORKER:
                victim = self._random.choice(self._site.workers)
                self._site.workers.remove(victim)
                kill(victim)
                self.start_worker()
            case Fault.KILL_REDIS:
                self._stop("redis", signal.SIGKILL, away_s=min(self._plan.away_s, 5))
            case Fault.RESTART_POSTGRES:
                self._stop("postgres", signal.SIGINT, away_s=self._plan.away_s)
            case Fault.CRASH_POSTGRES:
                self._stop("postgres", signal.SIGQUIT, away_s=self._plan.away_s)
            case Fault.KILL_POSTGRES:
                self._stop("postgres", signal.SIGKILL, away_s=self._plan.away_s)
            case Fault.DROP_CONNECTIONS:
                self._site.broker.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
            case Fault.FREEZE_WORKER:
                self._freeze()

    def _stop(self, server: str, number: int, *, away_s: float) -> None:
        self._services.end(server, number)
        self._pause.wait(away_s)
        self._services.start()

    def _freeze(self) -> None:
        """Stop a worker until another one has taken it for dead, and then let it go on."""
        victim = self._random.choice(self._site.workers)
        info = until(lambda: self._site.info(victim), "a worker to freeze")
        victim.send_signal(signal.SIGSTOP)
        heartbeats = f"{self._site.settings.namespace}:__heartbeats__"
        try:
            until(lambda: self._site.broker.client.zscore(heartbeats, info.worker_id) is None, "its takeover")
        finally:
            victim.send_signal(signal.SIGCONT)

    def _progress(self) -> None:
        """Wait until something was handled since, or nothing is left to be."""
        before = self._handled()
        until(
            lambda: self._handled() > before or self._site.pending() == 0,
            lambda: f"progress: {self._site.broker.depths()}; the log: {self._site.tail()}",
        )

    def _handled(self) -> int:
        count: int = self._site.value("SELECT count(*) FROM runferry.delivery")
        return count


def plant(root: Path, plan: Plan) -> None:
    """Make the tree to backfill: runs in the planned shape, some with a malformed stage."""
    generate(root, plan.runs, plan.seed)
    for number in range(0, plan.runs, 7):
        path = root / run_id(number) / "stage2" / "trends.json"
        stat = path.stat()
        path.write_bytes(b'{"trends": [')
        os.utime(path, (stat.st_atime, stat.st_mtime))


def check(site: Site, storm: Storm, plan: Plan) -> None:
    """Fail where the sum does not come out: of the backfill, of what was sent, of all that was handled."""
    ended = storm.backfill
    assert ended is not None
    assert ended.status == 0, ended.stderr[-3000:]
    summary = ended.json
    ends = ("applied", "duplicates", "superseded", "conflicts", "dead_lettered")
    assert summary["published"] == sum(summary[end] for end in ends) == 5 * plan.runs, summary
    deliveries = {
        row["message_id"]: row for row in site.rows("SELECT message_id, batch_id, verdicts FROM runferry.delivery")
    }
    missing = storm.sent.outputs.keys() - deliveries.keys()
    assert not missing, f"{len(missing)} messages that were sent have no end"
    verdicts = site.verdicts()
    assert verdicts.pop("undeliverable") == 1, "the bytes that no Dramatiq can read"
    published = sum(storm.sent.outputs.values()) + summary["published"]
    handled = verdicts.total()
    # A sending that ended in doubt may have arrived, once more, under an id that the sender never heard of.
    assert published <= handled <= published + storm.sent.doubtful, (published, verdicts, storm.sent.doubtful)
    assert not site.leftovers()


@dataclass(frozen=True)
class LiveOutput:
    """One output that a pipeline emits."""

    run_id: str
    stage: int
    documents: Any
    seconds: float

    def emit(self, emitter: Emitter) -> str:
        """Emit it; its time is given, so that every storm ends in the same rows."""
        emitted = emitter.emit(self.run_id, self.stage, self.documents, produced_at=at(self.seconds))
        assert emitted.message_id is not None
        return emitted.message_id


#: What no Dramatiq can read; it becomes a letter of a whole message.
_UNDECODABLE = b"\xff\xfe no message"


def _fed(plan: Plan) -> list[Message[Any]]:
    """Older, newer, equally old, and malformed outputs of the same runs, whole and in parts."""
    hints = Hints(stages_at_source=tuple(_STAGES))
    found: list[StageOutputsMessage] = []
    for number in range(plan.fed_runs):
        name = f"fed-{number:03d}"
        for mark, seconds in (("a", 0), ("b", 5), ("c", 5)):
            whole = [(stage, make(mark), seconds) for stage, make in _STAGES.items()]
            found.append(outputs(name, *whole, hints=hints))
            found += [outputs(name, part, hints=hints) for part in whole]
        found.append(outputs(name, (1, BROKEN, 9), hints=hints))
    return [
        Message(queues.BACKFILL, queues.WRITE_BACKFILL, (), {"message": to_wire(message)}, {}) for message in found
    ]


def _live(plan: Plan) -> list[LiveOutput]:
    """What pipelines emit: on runs of their own, on fed ones, and a malformed one now and then."""
    found = [
        LiveOutput(f"live-{number:03d}", stage, make("live"), number)
        for number in range(plan.live_runs)
        for stage, make in _STAGES.items()
    ]
    found += [LiveOutput(f"fed-{number:03d}", 2, trends("live"), 3) for number in range(0, plan.fed_runs, 2)]
    found += [LiveOutput(f"live-{number:03d}", 1, BROKEN, 1_000) for number in range(0, plan.live_runs, 3)]
    return found


def _push_bytes(site: Site, data: bytes) -> None:
    key = f"{site.settings.namespace}:{queues.BACKFILL}"
    with site.broker.client.pipeline(transaction=True) as pipeline:
        pipeline.hset(f"{key}.msgs", "undecodable", data)
        pipeline.rpush(key, "undecodable")
        pipeline.execute()
