"""Running PostgreSQL's programs: to their end, with what they said where they failed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ops.backup.libpq import LibpqAddress
from ops.backup.programs import Program
from shared.errors import DatabaseAway, UsageError
from shared.secrets import hide_passwords

_LOOK_EVERY_S: Final = 0.5
_MOST_LINES_SAID: Final = 6
_STOP_PATIENCE_S: Final = 10.0
#: Somebody who alters a table is waited for so long.
_LOCK_WAIT: Final = "60s"
_AWAY: Final = ("connection to server", "server closed the connection", "terminating connection")


async def dump_database(
    program: Program, address: LibpqAddress, snapshot: str, target: Path, grew: Callable[[int], None]
) -> None:
    """Dump the database as the exported snapshot sees it; raises UsageError or DatabaseAway with what was said."""
    command = [
        "--format=custom",
        f"--snapshot={snapshot}",
        f"--lock-wait-timeout={_LOCK_WAIT}",
        "--no-password",
        f"--file={target}",
        f"--dbname={address.uri}",
    ]
    await run_program(program, command, address, lambda: grew(target.stat().st_size if target.exists() else 0))


async def run_program(
    program: Program, arguments: Sequence[str], address: LibpqAddress, meanwhile: Callable[[], None]
) -> None:
    """Run a program to its end; `meanwhile` is called now and then. Raises UsageError or DatabaseAway."""
    process = await asyncio.create_subprocess_exec(
        str(program.path),
        *arguments,
        env=dict(address.environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        # Ctrl-C ends us, and we end it: otherwise both would report.
        start_new_session=True,
    )
    talking = asyncio.create_task(process.communicate())
    try:
        while not talking.done():
            await asyncio.wait({talking}, timeout=_LOOK_EVERY_S)
            meanwhile()
        _, said = await talking
    except BaseException:
        await _end(process)
        talking.cancel()
        raise
    if process.returncode:
        text = said.decode("utf-8", "replace").strip()
        sentence = hide_passwords("\n".join(text.splitlines()[-_MOST_LINES_SAID:])) or "it said nothing"
        error = DatabaseAway if any(words in text for words in _AWAY) else UsageError
        raise error(f"{program.path.name} {program.version} ended with {process.returncode}: {sentence}")


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_PATIENCE_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
