"""A proxy in front of a Redis: its connections can be cut, or fall silent."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

_READ_BYTES = 65_536


class RedisProxy:
    """Listens on a socket of its own and passes on to the Redis at `upstream_url`."""

    def __init__(self, upstream_url: str, folder: Path) -> None:
        self._upstream = urlsplit(upstream_url)
        self._path = folder / "proxy.sock"
        self._listener: socket.socket | None = None
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._silent = False
        self._answerless = False
        self.restore()

    @property
    def url(self) -> str:
        """The upstream's URL, by way of this proxy."""
        upstream = self._upstream
        password = f":{upstream.password}@" if upstream.password else ""
        database = upstream.query or f"db={upstream.path.strip('/') or 0}"
        return f"unix://{password}{quote(str(self._path))}?{database}"

    def cut(self) -> None:
        """Drop all connections, and refuse new ones."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
            listener, self._listener = self._listener, None
        if listener is not None:
            _close(listener)
            self._path.unlink()
        for connected in sockets:
            _close(connected)

    def restore(self) -> None:
        """Accept connections, and pass everything on."""
        self._silent = self._answerless = False
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        listener.listen()
        with self._lock:
            self._listener = listener
        self._start(self._accept, listener)

    def fall_silent(self) -> None:
        """Accept connections, and pass nothing on: every request times out and is never executed."""
        self._silent = True

    def lose_answers(self) -> None:
        """Pass requests on, and no answers: every request is executed, and times out."""
        self._answerless = True

    def speak(self) -> None:
        """Pass on again, over new connections."""
        self.cut()
        self.restore()

    def close(self) -> None:
        """End it."""
        self.cut()
        for thread in self._threads:
            thread.join()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = self._connect()
            except OSError:
                return
            with self._lock:
                if self._listener is not listener:
                    _close(client)
                    _close(server)
                    return
                self._sockets |= {client, server}
            self._start(self._pump, client, server, lambda: self._silent)
            self._start(self._pump, server, client, lambda: self._silent or self._answerless)

    def _connect(self) -> socket.socket:
        upstream = self._upstream
        if upstream.scheme == "unix":
            server = socket.socket(socket.AF_UNIX)
            server.connect(unquote(upstream.path))
            return server
        return socket.create_connection((upstream.hostname, upstream.port or 6379))

    def _pump(self, source: socket.socket, target: socket.socket, loses: Callable[[], bool]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_READ_BYTES):
                if not loses():
                    target.sendall(data)
        for end in (source, target):
            with self._lock:
                self._sockets.discard(end)
            _close(end)


def _close(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
    connected.close()
