"""Limits: what the system lets a process of this user have."""

from __future__ import annotations

import resource
from typing import Final

from ops.doctor.finding import Finding, good, warning, wrong

#: A worker process holds its pool, a connection to Redis a thread, and the documents that it reads.
_TOO_FEW_FILES: Final = 256
_FEW_FILES: Final = 1024


def judge_open_files(most: int | None = None) -> Finding:
    """Return what the limit of open files means, by default this process' own."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if most is None else most
    name = "open files"
    if most in (resource.RLIM_INFINITY, -1):
        return good(name, "are not limited")
    detail = f"{most:,} are allowed a process"
    todo = f"ulimit -n {4 * _FEW_FILES}, or LimitNOFILE={4 * _FEW_FILES} in the service."
    if most < _TOO_FEW_FILES:
        return wrong(name, detail, todo)
    if most < _FEW_FILES:
        return warning(name, detail, todo)
    return good(name, detail)
