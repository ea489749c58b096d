"""Workers that a command runs end with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from producers.worker_processes import WorkerProcesses

WORKER = """
import os, pathlib, signal, sys, time
pathlib.Path(os.environ["STARTED"]).write_text(f"{os.getpid()} {sys.argv[1:]}")
if os.environ.get("STUBBORN"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("at work", flush=True)
time.sleep(600)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which `workers.command` is a process that does nothing."""
    package = tmp_path / "path" / "workers"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "command.py").write_text(WORKER)
    return {"PYTHONPATH": str(package.parent), "STARTED": str(tmp_path / "started")}


def started(environment: dict[str, str]) -> psutil.Process | None:
    path = Path(environment["STARTED"])
    text = path.read_text() if path.exists() else ""
    return psutil.Process(int(text.split()[0])) if text.endswith("]") else None


def test_workers_are_started_with_their_number_and_end_when_asked(
    tmp_path: Path, environment: dict[str, str], until: Callable[..., Any]
) -> None:
    workers = WorkerProcesses.start(3, tmp_path / "logs" / "w.log", environment)
    process = until(lambda: started(environment))
    assert "['--processes', '3']" in Path(environment["STARTED"]).read_text()
    until(lambda: workers.tail() == "at work")
    assert workers.exit_status() is None
    workers.stop(10)
    assert not process.is_running()
    assert workers.exit_status() == -signal.SIGTERM


def test_workers_that_do_not_end_are_killed(
    tmp_path: Path, environment: dict[str, str], until: Callable[..., Any]
) -> None:
    workers = WorkerProcesses.start(1, tmp_path / "w.log", {**environment, "STUBBORN": "1"})
    until(lambda: started(environment) and workers.tail() == "at work")
    workers.stop(0.2)
    assert workers.exit_status() == -signal.SIGKILL


def test_workers_end_when_their_command_is_killed_outright(
    tmp_path: Path, environment: dict[str, str], until: Callable[..., Any]
) -> None:
    code = (
        "import pathlib, sys, time; from producers.worker_processes import WorkerProcesses;"
        "WorkerProcesses.start(1, pathlib.Path(sys.argv[1]), {}); time.sleep(600)"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "w.log")], env={**os.environ, **environment}
    )
    process = until(lambda: started(environment))
    command.kill()
    command.wait()
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
