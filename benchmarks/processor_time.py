"""Processor time and memory of process trees."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

_KIBIBYTE: Final = 1024


def tree_cpu_s(pid: int) -> float:
    """Return the seconds of processor time that the process and all its children, living or reaped, have used."""
    root = psutil.Process(pid)
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        # A child that ends in between is reaped by its parent, whose own children's time then holds it.
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def peak_mib(pid: int) -> float:
    """Return the most memory that one process of this tree ever had; Linux knows it, elsewhere it is 0."""
    peaks = [0]
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        with suppress(FileNotFoundError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            peaks += [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")]
    return max(peaks) / _KIBIBYTE
