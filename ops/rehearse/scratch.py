"""Scratch: the databases, the Redis namespace and the folder of one rehearsal; all else is left alone."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg
import redis

from ops.backup.libpq import on_database
from ops.restore import databases
from shared.broker.client import make_client, queue_errors
from shared.database_url import DatabaseAddress
from shared.settings import Settings
from shared.stores import Stores

_PREFIX: Final = "runferry_rehearsal"
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Scratch:
    """Names that begin alike for all rehearsals of one live database, so that the next one knows what is left."""

    prefix: str
    name: str
    folder: Path

    @property
    def database(self) -> str:
        """Where the journey goes."""
        return self.name

    @property
    def restored(self) -> str:
        """Where the backup is restored."""
        return f"{self.name}_restored"

    @property
    def namespace(self) -> str:
        """The prefix of every Redis key."""
        return self.name

    def environment(self, stores: Stores, database: str) -> dict[str, str]:
        """Return what commands are told, so that they see nothing but the scratch."""
        return {
            "DATABASE_URL": self.address(stores, database).url,
            "REDIS_URL": stores.redis_url,
            "RUNFERRY_NAMESPACE": self.namespace,
            "RUNFERRY_HOME": str(self.folder / "home"),
            "RUNFERRY_ROOT": str(self.folder / "root"),
        }

    def address(self, stores: Stores, database: str) -> DatabaseAddress:
        """Return the address of one of the scratch databases."""
        return on_database(stores.database, database)


def scratch_for(live_number: int, settings: Settings) -> Scratch:
    """Return the names of a new rehearsal; `live_number` is the live database's on its server."""
    prefix = f"{_PREFIX}_{live_number}_"
    name = f"{prefix}{datetime.now(UTC):%Y%m%d%H%M%S%f}"
    return Scratch(prefix, name, settings.home.absolute() / "rehearsals" / name)


async def clear(connection: asyncpg.Connection, scratch: Scratch, settings: Settings, redis_url: str) -> int:
    """Clear away everything that begins with the prefix, and return how many databases that were."""
    left = sorted(name for name in await databases.names(connection) if name.startswith(scratch.prefix))
    for name in left:
        await databases.drop(connection, name)
    await asyncio.to_thread(_clear_redis, scratch.prefix, settings, redis_url)
    await asyncio.to_thread(_clear_folders, scratch)
    return len(left)


def _clear_redis(prefix: str, settings: Settings, redis_url: str) -> None:
    client: redis.Redis = make_client(redis_url, timeout_s=settings.connect_timeout.total_seconds(), retried=True)
    try:
        with queue_errors():
            keys: list[bytes] = []
            for key in client.scan_iter(match=f"{prefix}*", count=_AT_ONCE):
                keys.append(key)
                if len(keys) >= _AT_ONCE:
                    client.unlink(*keys)
                    keys.clear()
            if keys:
                client.unlink(*keys)
    finally:
        client.close()


def _clear_folders(scratch: Scratch) -> None:
    for folder in scratch.folder.parent.glob(f"{scratch.prefix}*"):
        shutil.rmtree(folder, ignore_errors=True)
