"""Processes of the embedded services, known by program and working folder, so that no reused id deceives."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from shared.embedded.waiting import wait_until


def is_server(process: psutil.Process, program: str, folder: Path) -> bool:
    """Whether `process` lives, runs `program`, and works in `folder`."""
    try:
        return (
            process.name() == program
            and process.status() != psutil.STATUS_ZOMBIE
            and folder.samefile(process.cwd())
        )
    except (psutil.Error, OSError):
        return False


def servers(program: str, folder: Path) -> list[psutil.Process]:
    """Return every process of `program` that works in `folder`, those that it forked included."""
    if not folder.exists():
        return []
    return [process for process in psutil.process_iter() if is_server(process, program, folder)]


def first_server(program: str, folder: Path) -> psutil.Process | None:
    """Return the one that forked the others, if any lives."""
    found = servers(program, folder)
    pids = {process.pid for process in found}
    for process in found:
        try:
            if process.ppid() not in pids:
                return process
        except psutil.Error:
            continue
    return None


def launch(
    command: Sequence[str | Path], folder: Path, log: Path, **process_arguments: Any
) -> psutil.Process | None:
    """Start a server that outlives this command; None when it is gone already.

    A shell in between makes it no child of ours: it leaves no zombie, and no signal of our terminal reaches it.
    """
    started = subprocess.run(
        ["/bin/sh", "-c", 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!', "sh", log, *command],
        check=True,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        **process_arguments,
    )
    try:
        return psutil.Process(int(started.stdout))
    except psutil.NoSuchProcess:
        return None


def has_ended(process: psutil.Process | None) -> bool:
    """Whether the process is gone, or only its exit status is left."""
    if process is None:
        return True
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def end(process: psutil.Process, signals: Sequence[int], patience_s: float) -> bool:
    """Send the signals one after the other, each with its patience, until the process is gone; whether it is."""
    for number in signals:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            return True
        # Not psutil's own wait: it waits on for one of which only the exit status is left.
        if wait_until(lambda: has_ended(process), patience_s):
            return True
    return False
