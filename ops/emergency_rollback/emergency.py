"""Emergency rollback: stop, save, empty, prove. The composition root."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from pydantic import SecretStr

from ops.backup.backup import BackupOptions, Made, make_backup
from ops.backup.libpq import patient
from ops.backup.progress import StepProgress
from ops.emergency_rollback.emptying import empty
from ops.emergency_rollback.file_path import FilePath, read_a_run
from ops.emergency_rollback.losses import Losses, read_losses
from ops.emergency_rollback.stopping import Stopped, stop_publishing
from ops.phase.facts import OnlyInRows, count_only_in_rows
from ops.schema.refusals import explained_refusals
from ops.schema.reversion import Reverted
from producers.outbox.outbox import Outbox
from shared.database import connect
from shared.errors import RunferryError
from shared.settings import Settings
from shared.stores import Stores, resolve_stores


@dataclass(frozen=True, slots=True)
class EmergencyOptions:
    """What is spared, what goes as well, and where the backup goes; None where none shall be made."""

    keep_users: bool
    include_web_app_tables: bool
    backup_to: Path | None


@dataclass(frozen=True, slots=True)
class Emptied:
    """What an emergency rollback did."""

    losses: Losses
    stopped: Stopped
    backup: Made | None
    reverted: Reverted
    file_path: FilePath


@dataclass(frozen=True, slots=True)
class NotInFiles:
    """Outputs that no file has, or a newer one of: in rows that go, and unsent in the outbox of this host."""

    in_rows: OnlyInRows
    in_outbox: int


async def run_emergency_rollback(
    options: EmergencyOptions,
    settings: Settings,
    progress: StepProgress,
    confirm: Callable[[Losses, NotInFiles, Stores], bool],
) -> Emptied | None:
    """Go back to files; None where `confirm` said no. Raises before anything was emptied, or not at all."""
    stores = resolve_stores(settings)
    connection = await connect(stores.database, patient(settings))
    try:
        with explained_refusals("ops emergency-rollback"):
            losses = await read_losses(
                connection, keep_users=options.keep_users, include_web_app_tables=options.include_web_app_tables
            )
        not_in_files = await _read_not_in_files(connection, settings, has_runferry=losses.has_runferry)
        if not confirm(losses, not_in_files, stores):
            return None
        progress.note("Setting the phase to files-only and holding the queues.")
        with explained_refusals("ops emergency-rollback"):
            stopped = await stop_publishing(
                connection, settings, stores.redis_url, has_runferry=losses.has_runferry
            )
        try:
            made = None
            if options.backup_to is not None:
                made = await make_backup(BackupOptions(options.backup_to, None), settings, progress)
            progress.note("Emptying the tables and taking away runferry's schema.")
            reverted = await empty(connection, losses, keep_users=options.keep_users)
        except RunferryError:
            progress.note(
                "Nothing was emptied, but publishing is stopped: the phase is files-only, and all queues are held. "
                "Mend what follows and run this again, or go on as before with `ops phase set dual-write` and "
                "`ops resume`."
            )
            raise
    finally:
        if not connection.is_closed():
            connection.terminate()
    store_settings = _named(settings, stores)
    return Emptied(losses, stopped, made, reverted, await asyncio.to_thread(read_a_run, store_settings))


def _named(settings: Settings, stores: Stores) -> Settings:
    """Return settings that name the stores: a stage store never starts embedded ones."""
    named = {"database_url": SecretStr(stores.database.url), "redis_url": SecretStr(stores.redis_url)}
    return settings.model_copy(update=named)


async def _read_not_in_files(
    connection: asyncpg.Connection, settings: Settings, *, has_runferry: bool
) -> NotInFiles:
    in_rows = OnlyInRows(looked=True)
    if has_runferry:
        in_rows = await count_only_in_rows(connection, settings.root)
    return NotInFiles(in_rows, await asyncio.to_thread(Outbox(settings.home, settings.outbox_max_bytes).count))
