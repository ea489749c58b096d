"""The follower: knows the phase in force in this process, within two seconds, and says so.

A thread of its own asks Redis each second; where Redis is away, or has lost its copy, it asks PostgreSQL, if the
process may. While neither can tell, the last phase that was heard of on this host holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Final
from uuid import uuid4

import redis

from shared.broker.client import make_client
from shared.connection_errors import DATABASE_ERRORS
from shared.database import connect
from shared.database_url import DatabaseAddress
from shared.errors import RunferryError
from shared.phase.change import PhaseChange, latest
from shared.phase.history import in_force
from shared.phase.presence import Kept, Process, announce, withdraw
from shared.phase.redis_copy import read_copy, write_copy
from shared.phase.remembered import recall, remember
from shared.settings import Phase, Settings

_INTERVAL_S: Final = 1.0
_ANSWER_S: Final = 0.5
#: How often PostgreSQL is asked although Redis answers and only has no copy: usually nobody ever set a phase.
_CONFIRM_EVERY_S: Final = 30.0

log = logging.getLogger(__name__)


class PhaseFollower:
    """Follows the phase from its first use on; may be shared by threads, and is started anew after a fork.

    `role` is what the process is called where live processes are named; `kept` is asked each second.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        role: str,
        redis_url: str | None,
        database: DatabaseAddress | None,
        kept: Callable[[], Kept] = Kept,
    ) -> None:
        self._settings = settings
        self._role = role
        self._redis_url = redis_url
        self._database = database
        self._kept = kept
        self._known: PhaseChange | None = None
        self._confirmed_at_s: float | None = None
        self._lock = threading.Lock()
        self._pid = 0
        self._ending = threading.Event()
        self._heard = threading.Event()
        self._process_id = ""
        self._client: redis.Redis | None = None
        self._thread: threading.Thread | None = None

    def phase(self, patience_s: float = 0.0) -> Phase:
        """Return the phase in force; the first call waits up to `patience_s` for an answer of the stores."""
        self.start()
        if not self._heard.is_set():
            self._heard.wait(patience_s)
        return self._phase()

    def start(self) -> None:
        """Begin to follow, where that has not begun in this process."""
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid == os.getpid():
                return
            self._known = recall(self._settings.home)
            self._confirmed_at_s = None
            self._ending, self._heard = threading.Event(), threading.Event()
            self._process_id = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
            self._client = None
            if self._redis_url is None and self._database is None:
                self._heard.set()
            else:
                self._thread = threading.Thread(
                    target=self._run, args=(self._ending, self._heard), name="runferry-phase", daemon=True
                )
                self._thread.start()
            self._pid = os.getpid()

    def close(self) -> None:
        """Stop following; the next use starts anew."""
        with self._lock:
            if self._pid != os.getpid():
                return
            self._pid = 0
            self._ending.set()

    def _phase(self) -> Phase:
        known = self._known
        return self._settings.phase if known is None else known.phase

    def _run(self, ending: threading.Event, heard: threading.Event) -> None:
        while not ending.is_set():
            try:
                self._look()
            except Exception as error:
                # Whatever it is, it must not end the following; the next look is in a second.
                log.warning("can't follow the phase: %s: %s", type(error).__name__, error)
            heard.set()
            ending.wait(_INTERVAL_S)
        client = self._client
        if client is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                withdraw(client, self._settings.namespace, self._process_id)
            client.close()

    def _look(self) -> None:
        """Ask the stores once, take up what they say, and announce it."""
        namespace = self._settings.namespace
        client = self._redis()
        copy: PhaseChange | None = None
        reachable = client is not None
        if client is not None:
            try:
                copy = read_copy(client, namespace)
            except (redis.RedisError, OSError):
                reachable = False
        known = latest(self._known, copy)
        # Missing, or older than what this host heard: Redis lost its memory, or a part of it.
        doubtful = copy is None or copy != known
        if doubtful and self._is_time_to_confirm(reachable):
            truth = self._truth()
            if truth is not None:
                self._confirmed_at_s = time.monotonic()
                (known,) = truth  # also None: nobody set a phase, and what was remembered is of another database
                if known is not None and reachable and client is not None:
                    with contextlib.suppress(redis.RedisError, OSError):
                        write_copy(client, namespace, known)
        elif not doubtful:
            self._confirmed_at_s = None
        self._take_up(known)
        if reachable and client is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                announce(client, namespace, self._process())

    def _is_time_to_confirm(self, reachable: bool) -> bool:
        if self._database is None:
            return False
        last_s = self._confirmed_at_s
        return not reachable or last_s is None or time.monotonic() - last_s > _CONFIRM_EVERY_S

    def _take_up(self, known: PhaseChange | None) -> None:
        if known == self._known:
            return
        before = self._phase()
        self._known = known
        remember(self._settings.home, known)
        if self._phase() is not before:
            log.info("the phase is %s now; it was %s", self._phase().value, before.value)

    def _process(self) -> Process:
        kept = self._kept()
        return Process(
            process_id=self._process_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            role=self._role,
            phase=self._phase(),
            changed_at=None if self._known is None else self._known.at,
            outbox_entries=kept.entries,
            outbox_bytes=kept.bytes,
        )

    def _redis(self) -> redis.Redis | None:
        if self._client is None and self._redis_url is not None:
            self._client = make_client(self._redis_url, timeout_s=_ANSWER_S, retried=False)
        return self._client

    def _truth(self) -> tuple[PhaseChange | None] | None:
        """Return what PostgreSQL says, None where it doesn't answer."""
        database = self._database
        if database is None:
            return None

        async def ask() -> PhaseChange | None:
            connection = await connect(database, self._settings)
            try:
                return await in_force(connection)
            finally:
                connection.terminate()

        try:
            return (asyncio.run(asyncio.wait_for(ask(), _INTERVAL_S)),)
        except (RunferryError, *DATABASE_ERRORS):
            return None


def follow(settings: Settings, *, role: str, kept: Callable[[], Kept] = Kept) -> PhaseFollower:
    """Return a follower of the stores that the settings name; it never starts embedded ones."""
    database_url, redis_url = settings.database_url, settings.redis_url
    return PhaseFollower(
        settings,
        role=role,
        redis_url=None if redis_url is None else redis_url.get_secret_value(),
        database=None if database_url is None else DatabaseAddress.parse(database_url.get_secret_value()),
        kept=kept,
    )
