"""Health: whether a worker process of this host announced itself lately; for container health checks.

`python -m workers.health` exits with 0 where one did, else with 1. It needs Redis alone.
"""

from __future__ import annotations

import socket
import sys

from shared.broker.broker import make_broker
from shared.command import DIFFERENCE, DONE, USAGE, say
from shared.errors import RunferryError
from shared.settings import Settings
from shared.stores import given_stores


def main() -> int:
    """Return the exit status."""
    try:
        settings = Settings.from_environment()
        stores = given_stores(settings)
        if stores is None:
            say("workers.health: set DATABASE_URL and REDIS_URL.")
            return USAGE
        broker = make_broker(stores.redis_url, settings, patience=settings.emit_timeout)
        alive = [worker for worker in broker.live_workers() if worker.host == socket.gethostname()]
    except RunferryError as error:
        say(f"workers.health: {error}")
        return DIFFERENCE
    return DONE if alive else DIFFERENCE


if __name__ == "__main__":
    sys.exit(main())
