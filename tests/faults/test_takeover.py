"""What a killed worker held is taken over by one that was idle, with the settings as they come."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import psutil
import pytest
from real_workers import Site, kill, until
from writing_bench import outputs, trends

from shared.database_url import DatabaseAddress

#: Fewer than one worker takes in hand at once.
MESSAGES = 6
TAKEOVER_S = 20.0


@contextmanager
def stuck(site: Site) -> Iterator[None]:
    """Keep every writer waiting for a table."""
    locked, release = threading.Event(), threading.Event()

    async def hold() -> None:
        connection = await asyncpg.connect(DatabaseAddress.parse(site.database_url).dsn)
        async with connection.transaction():
            await connection.execute('LOCK TABLE "StageOutput" IN ACCESS EXCLUSIVE MODE')
            locked.set()
            await asyncio.to_thread(release.wait)
        await connection.close()

    thread = threading.Thread(target=lambda: asyncio.run(hold()))
    thread.start()
    assert locked.wait(30)
    try:
        yield
    finally:
        release.set()
        thread.join()


@pytest.mark.long
def test_an_idle_survivor_takes_over_within_20_s_what_a_killed_worker_held(site: Site) -> None:
    victim = site.start_worker()
    survivor = site.start_worker()
    site.await_workers()
    # A worker that has just come does not judge others yet.
    until(lambda: "worker started" in site.tail(50), "two workers at work")
    ids = {worker.pid: info.worker_id for worker in (victim, survivor) if (info := site.info(worker))}
    survivor.send_signal(signal.SIGSTOP)
    with stuck(site):
        site.publish(outputs(f"run-{number}", (2, trends(), 0)) for number in range(MESSAGES))
        held = f"runferry:__acks__.{ids[victim.pid]}.backfill"
        until(lambda: site.broker.client.scard(held) == MESSAGES, "all messages in one worker's hands")
        survivor.send_signal(signal.SIGCONT)
        until(lambda: site.info(survivor), "an idle survivor")
        site.workers.remove(victim)
        kill(victim)
        killed_s = time.monotonic()
    until(lambda: site.verdicts()["applied"] == MESSAGES, lambda: f"the takeover; the log: {site.tail()}")
    assert time.monotonic() - killed_s < TAKEOVER_S
    site.drain()
    assert site.stop_workers() == [0]
    assert site.value("SELECT count(*) FROM runferry.dead_letter") == 0
    assert not site.leftovers()


@pytest.mark.long
def test_the_supervisor_replaces_a_process_that_is_killed_and_the_others_go_on(site: Site) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "workers.command", "--processes", "2"],
        env=site.environment(),
        cwd=site.folder,
        stderr=subprocess.DEVNULL,
    )

    def alive() -> set[int]:
        # The announcement of a killed one stays for some seconds.
        return {worker.pid for worker in site.broker.live_workers() if psutil.pid_exists(worker.pid)}

    try:
        until(lambda: len(alive()) == 2, "two workers")
        before = alive()
        psutil.Process(min(before)).kill()
        site.publish(outputs(f"run-{number}", (2, trends(), 0)) for number in range(MESSAGES))
        until(lambda: alive() - before, "a new process in place of the killed one")
        site.drain()
        assert max(before) in alive(), "the other one goes on"
        supervisor.terminate()
        assert supervisor.wait(60) == 0
    finally:
        kill(supervisor)
    assert site.verdicts() == {"applied": MESSAGES}
    assert not site.leftovers()
