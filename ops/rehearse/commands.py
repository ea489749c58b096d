"""Commands: the very ones that an operator runs, as processes of their own that know the scratch alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from shared.errors import RunferryError
from shared.settings import variable

_MOST_LINES_SAID: Final = 8
_STOP_PATIENCE_S: Final = 30.0


class StepFailedError(RunferryError):
    """A step did not do what it should; the text says what it said."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and the document that it printed."""

    status: int
    document: Any
    said: str


async def run_command(module: str, *words: object, environment: Mapping[str, str], allowed: int = 0) -> Ended:
    """Run `python -m module words --json` to its end; raises StepFailedError above the exit status `allowed`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        # Safe path: the folder that we run in may well have a `workers` or a `shared` of its own.
        "-P",
        "-m",
        module,
        *map(str, words),
        "--json",
        env={**_inherited(), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        stdout, stderr = await process.communicate()
    except BaseException:
        await _end(process)
        raise
    said = "\n".join(stderr.decode("utf-8", "replace").strip().splitlines()[-_MOST_LINES_SAID:])
    status = process.returncode or 0
    name = f"{module.split('.')[0]} {words[0]}"
    if not 0 <= status <= allowed:
        raise StepFailedError(f"{name} ended with {status}: {said or stdout.decode('utf-8', 'replace').strip()}")
    try:
        return Ended(status, orjson.loads(stdout), said)
    except ValueError:
        raise StepFailedError(f"{name} printed no JSON document: {said}") from None


def _inherited() -> dict[str, str]:
    """Return our environment without the settings that name live stores or places."""
    live = {variable(name) for name in ("database_url", "redis_url", "home", "root", "namespace", "phase")}
    return {name: value for name, value in os.environ.items() if name not in live}


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_PATIENCE_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
