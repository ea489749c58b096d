"""Migrations as files: the web app's, in Prisma's layout, and runferry's, by number."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_OPS: Final = Path(__file__).parent.parent
_NUMBERED: Final = re.compile(r"(\d{4})_\w+\.sql")


@dataclass(frozen=True, slots=True)
class PrismaMigration:
    """A folder of `prisma/migrations`; `sha256` is over the bytes of its migration.sql, as Prisma records it."""

    name: str
    script: bytes

    @property
    def sha256(self) -> str:
        """The checksum in Prisma's bookkeeping."""
        return hashlib.sha256(self.script).hexdigest()


@dataclass(frozen=True, slots=True)
class NumberedMigration:
    """One of `ops/sql/NNNN_*.sql`."""

    version: int
    name: str
    script: bytes

    @property
    def sha256(self) -> str:
        """The checksum in runferry's bookkeeping."""
        return hashlib.sha256(self.script).hexdigest()


@cache
def prisma_migrations() -> tuple[PrismaMigration, ...]:
    """Return the web app's migrations in the order in which Prisma deploys them."""
    folder = _OPS / "prisma" / "migrations"
    return tuple(
        PrismaMigration(entry.name, (entry / "migration.sql").read_bytes())
        for entry in sorted(folder.iterdir())
        if entry.is_dir()
    )


@cache
def numbered_migrations() -> tuple[NumberedMigration, ...]:
    """Return runferry's migrations in the order of their numbers."""
    found = []
    for entry in sorted((_OPS / "sql").iterdir()):
        match = _NUMBERED.fullmatch(entry.name)
        if match is not None:
            found.append(NumberedMigration(int(match[1]), entry.name, entry.read_bytes()))
    return tuple(found)


def keys_migration() -> PrismaMigration:
    """Return the migration that adds the two unique keys."""
    return prisma_migrations()[-1]
