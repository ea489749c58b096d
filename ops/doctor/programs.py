"""PostgreSQL's programs: whether this machine can back the database up, and restore it."""

from __future__ import annotations

from collections.abc import Iterator

from ops.backup.programs import find_program
from ops.doctor.finding import Finding, good, wrong
from shared.database_url import DatabaseAddress
from shared.errors import UsageError


def judge_programs(server_version: str, address: DatabaseAddress) -> Iterator[Finding]:
    """Yield whether there is a pg_dump and a pg_restore for a server of this version."""
    major = int(server_version.split(".")[0])
    for name in ("pg_dump", "pg_restore"):
        try:
            found = find_program(name, major, f"The server is {server_version}", address)
        except UsageError as error:
            sentence, _, todo = str(error).partition(": ")
            yield wrong(name, f"{sentence[:1].lower()}{sentence[1:]}", f"{todo[:1].upper()}{todo[1:]}")
        else:
            yield good(name, f"is {found.version}, for a server {server_version}: {found.path}")
