"""A proxy that speaks TLS in front of a store that can't: the embedded servers are built without."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_READ_BYTES: Final = 65_536
#: What a client of PostgreSQL sends before its start-up to ask for TLS: a length, and a number in its place.
_SSL_REQUEST: Final = struct.pack("!ii", 8, 80_877_103)


class TlsProxy:
    """Listens on 127.0.0.1, ends TLS, and passes on to a Unix socket; with PostgreSQL's handshake or plain TLS.

    Without a context it refuses TLS as a server that was built without does.
    """

    def __init__(self, upstream: str, context: ssl.SSLContext | None, *, postgres: bool) -> None:
        self._upstream = upstream
        self._context = context
        self._postgres = postgres
        #: How many connections were encrypted.
        self.encrypted = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = {self._listener}
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End it, with all connections."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            begun = b""
            encrypts = not self._postgres
            if self._postgres:
                begun = client.recv(len(_SSL_REQUEST), socket.MSG_WAITALL)
                if begun == _SSL_REQUEST:
                    client.sendall(b"S" if self._context else b"N")
                    begun, encrypts = b"", True
            if encrypts and self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
                self.encrypted += 1
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._upstream)
            self._open |= {client, server}
            server.sendall(begun)
            threading.Thread(target=_pump, args=(server, client), daemon=True).start()
            _pump(client, server)
        client.close()


@contextmanager
def tls_proxy(upstream: str, context: ssl.SSLContext | None, *, postgres: bool) -> Iterator[TlsProxy]:
    """Run a proxy for the length of a block."""
    proxy = TlsProxy(upstream, context, postgres=postgres)
    try:
        yield proxy
    finally:
        proxy.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError, ValueError):
        while data := source.recv(_READ_BYTES):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
