"""Processor time of process trees, with what their ended children used."""

from __future__ import annotations

from contextlib import suppress

import psutil


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
