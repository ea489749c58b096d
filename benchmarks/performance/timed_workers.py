"""`worker`, whose processes also write down when each actor starts; for latencies.

python -m benchmarks.performance.timed_workers --processes 2
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Final

import click

from benchmarks.actor_starts import FOLDER_VARIABLE, ActorStarts
from benchmarks.measured_command import REPOSITORY
from shared.settings import Settings
from workers import process
from workers.supervisor import Supervisor

_MODULE: Final = "benchmarks.performance.timed_workers"
_CHILD: Final = "process"


@click.command()
@click.option("--processes", type=int, default=2, show_default=True)
def main(processes: int) -> None:
    """Supervise worker processes as `worker` does."""
    settings = Settings.from_environment()
    companions = [(_MODULE, _CHILD)] * processes
    # The benchmarks are not installed, and a supervisor's processes find nothing by the folder that they run in.
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    sys.exit(Supervisor(0, environment, settings.drain_timeout, companions).run())


def _run_process() -> None:
    # The one place where a worker's broker is made; Dramatiq's way to look on is a middleware.
    process.make_broker = partial(_make_broker, process.make_broker)
    process.main()


def _make_broker(make, redis_url, settings, *, middleware=(), **options):  # type: ignore[no-untyped-def]
    starts = ActorStarts(os.environ[FOLDER_VARIABLE])
    return make(redis_url, settings, middleware=[*middleware, starts], **options)


if __name__ == "__main__":
    if sys.argv[1:] == [_CHILD]:
        _run_process()
    else:
        main()
