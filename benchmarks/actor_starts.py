"""When did an actor start? Each worker process writes it down, runferry's or not, on the clock that all share."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

import dramatiq
from dramatiq.middleware import Middleware

#: Names the folder that the times go to.
FOLDER_VARIABLE: Final = "BENCHMARK_ACTOR_STARTS"


class ActorStarts(Middleware):
    """Appends a line for each message whose actor is about to be called to a file of this process."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def before_process_message(self, broker: dramatiq.Broker, message: dramatiq.Message[Any]) -> None:  # noqa: ARG002
        """Write the time down."""
        line = f"{message.message_id} {time.monotonic()}\n"
        if self._descriptor is None:  # opened here: Dramatiq forks after the broker was made
            path = f"{self._folder}/{os.getpid()}"
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(self._descriptor, line.encode())


def read(folder: Path) -> dict[str, float]:
    """Return the monotonic time of each message's first start."""
    starts: dict[str, float] = {}
    for path in folder.iterdir():
        for line in path.read_text().splitlines():
            message_id, started_s = line.split()
            starts[message_id] = min(float(started_s), starts.get(message_id, float("inf")))
    return starts
