"""The embedded Redis: started, asked and stopped by hand, with the wheel's server."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil
import redis

from shared.embedded import processes
from shared.embedded.home import write_private
from shared.embedded.waiting import wait_until
from shared.errors import ServicesError

_PROGRAM: Final = "redis-server"
_SOCKET: Final = "redis.sock"
_CONFIGURATION: Final = "redis.conf"
_START_DEADLINE_S: Final = 60.0
_STOP_PATIENCE_S: Final = 30.0
_ASK_TIMEOUT_S: Final = 5.0
_MAX_LOG_BYTES: Final = 10 * 1024 * 1024

_SETTINGS: Final = {
    "port": "0",
    "unixsocketperm": "700",
    "databases": "16",
    "appendonly": "yes",
    "appendfsync": "everysec",
    # The append-only file is what persists; snapshots beside it would only write everything twice.
    "save": '""',
    # That file grows by everything that passes, and is rewritten to what waits. A rewrite at every 64 MB, each string
    # of it compressed, took as much of a processor as carrying the messages did.
    "auto-aof-rewrite-min-size": "256mb",
    "rdbcompression": "no",
    "maxmemory": "512mb",
    # Any other policy drops messages.
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
    "always-show-logo": "no",
}


@dataclass(frozen=True, slots=True)
class RedisServer:
    """One Redis server: its program, its folder (data and log inside), its socket's folder."""

    program: Path
    folder: Path
    sockets: Path
    password: str

    @property
    def url(self) -> str:
        """The URL of its database 0."""
        return f"unix://:{self.password}@{quote(str(self.socket))}?db=0"

    @property
    def socket(self) -> Path:
        """Its socket."""
        return self.sockets / _SOCKET

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "redis.log"

    def answers(self) -> bool:
        """Whether it takes commands now."""
        client = redis.Redis.from_url(self.url, socket_timeout=_ASK_TIMEOUT_S, retry=None)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def process(self) -> psutil.Process | None:
        """Return the server's process, verified to be this server's."""
        return processes.first_server(_PROGRAM, self.folder)

    def start(self, settings: Mapping[str, str]) -> None:
        """Start the server where it doesn't run; returns when it answers."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if self._adopt():
            return
        self._write_configuration({**_SETTINGS, **settings})
        if self.log.exists() and self.log.stat().st_size > _MAX_LOG_BYTES:
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        offset = self.log.stat().st_size if self.log.exists() else 0
        # Its folder is its working folder, so that no path in its configuration needs quoting.
        # Redis crashes on a relative configuration file where that folder's path has 1,024 bytes or more.
        started = processes.launch(
            [self.program, self.folder / _CONFIGURATION], self.folder, self.log, umask=0o077
        )
        wait_until(lambda: self.answers() or processes.has_ended(started), _START_DEADLINE_S)
        if not self.answers():
            raise self._failure(offset)

    def stop(self) -> None:
        """Stop the server with its data saved."""
        process = self.process()
        if process is None:
            return
        client = redis.Redis.from_url(self.url, socket_timeout=_STOP_PATIENCE_S, retry=None)
        try:
            client.shutdown(save=True)
        except redis.RedisError:
            # It lost its socket: the signal saves as well, for the append-only file is on.
            pass
        finally:
            client.close()
        ended = wait_until(lambda: processes.has_ended(process), _STOP_PATIENCE_S)
        if not ended and not processes.end(process, [signal.SIGTERM, signal.SIGKILL], _STOP_PATIENCE_S):
            raise ServicesError(f"Redis (process {process.pid}) does not stop; its log: {self.log}.")

    def version(self) -> str:
        """Return the version of the program, as `6.2.14`."""
        said = subprocess.run([self.program, "--version"], check=True, capture_output=True, text=True).stdout
        return said.partition("v=")[2].split(" ")[0]

    def _adopt(self) -> bool:
        """Whether the server runs already; one that lost its socket is stopped: two would spoil its file."""
        process = self.process()
        if process is None:
            return False
        wait_until(
            lambda: self.answers() or processes.has_ended(process) or not self.socket.exists(), _START_DEADLINE_S
        )
        if self.answers():
            return True
        processes.end(process, [signal.SIGTERM, signal.SIGKILL], _STOP_PATIENCE_S)
        return False

    def _write_configuration(self, settings: Mapping[str, str]) -> None:
        lines = [f"{name} {value}" for name, value in settings.items()]
        lines += [f'unixsocket "{self.socket}"', f"requirepass {self.password}"]
        write_private(self.folder / _CONFIGURATION, "\n".join(lines) + "\n")

    def _failure(self, offset: int) -> ServicesError:
        said = ""
        if self.log.exists():
            with self.log.open("rb") as file:
                file.seek(offset)
                said = file.read().decode("utf-8", "replace")
        if os.strerror(28) in said:
            return ServicesError(f"The disk that holds {self.folder} is full; make room and start again.")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        reason = lines[-1].rstrip(".") if lines else "it said nothing"
        return ServicesError(f"The embedded Redis did not start: {reason}. Its log: {self.log}.")
