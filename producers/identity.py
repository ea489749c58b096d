"""Identity: how a producer names itself in its messages."""

from __future__ import annotations

import os
import socket


def publisher_name() -> str:
    """Return host:pid of this process."""
    return f"{socket.gethostname()}:{os.getpid()}"
