"""The phase over a restore: what is in force stays in force, whatever was when the backup was made."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import asyncpg
import redis

from ops.backup.manifest import Manifest
from ops.dlq.asking import who
from shared.broker.client import make_client
from shared.connection_errors import DATABASE_ERRORS
from shared.database import connect
from shared.database_url import DatabaseAddress
from shared.errors import RunferryError
from shared.phase.change import PhaseChange, latest
from shared.phase.history import in_force, record
from shared.phase.redis_copy import read_copy
from shared.settings import Phase, Settings
from shared.stores import resolve_stores


@dataclass(frozen=True, slots=True)
class KeptPhase:
    """The phase that stays in force, and the one that the backup has (None where nobody had set one)."""

    kept: Phase
    in_backup: Phase | None


async def phase_before(address: DatabaseAddress, settings: Settings) -> PhaseChange | None:
    """Return the change of phase in force, by the database of the address and by Redis, as far as they answer."""
    truth: PhaseChange | None = None
    with contextlib.suppress(RunferryError, *DATABASE_ERRORS, asyncpg.UndefinedTableError):
        connection = await connect(address, settings)
        try:
            truth = await in_force(connection)
        finally:
            connection.terminate()
    copy: PhaseChange | None = None
    with contextlib.suppress(RunferryError, redis.RedisError, OSError):
        url = settings.redis_url
        client = make_client(
            resolve_stores(settings).redis_url if url is None else url.get_secret_value(),
            timeout_s=settings.connect_timeout.total_seconds(),
            retried=False,
        )
        try:
            copy = read_copy(client, settings.namespace)
        finally:
            client.close()
    return latest(truth, copy)


async def keep_phase(
    address: DatabaseAddress, settings: Settings, manifest: Manifest, before: PhaseChange | None
) -> KeptPhase | None:
    """Set the phase that was in force in the restored database too; None where that has it already.

    Safe to die before: then the backup's phase is in the history alone, and older than what every process follows.
    """
    if before is None or manifest.position is None:
        return None
    connection = await connect(address, settings)
    try:
        restored = await in_force(connection)
        if restored is not None and (restored.phase is before.phase or latest(restored, before) is restored):
            return None
        in_backup = None if restored is None else restored.phase
        had = "no phase" if in_backup is None else in_backup.value
        why = f"kept over a restore: the backup of {manifest.made_at:%Y-%m-%d %H:%M} UTC had {had}"
        if before.why:
            why = f"{before.why} ({why})"
        await record(
            connection,
            before.phase,
            who=who(),
            why=why,
            forced=False,
            evidence={"before": None if in_backup is None else in_backup.value},
            after=latest(restored, before),
        )
    finally:
        connection.terminate()
    return KeptPhase(before.phase, in_backup)
