"""Backup: one snapshot from its beginning to its whole folder. The composition root."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from ops.backup import manifest as parts
from ops.backup.archive import Archived, archive_folder
from ops.backup.dead_queue import save_dead_queues
from ops.backup.dump import dump_database
from ops.backup.folder import choose_name, complete, making
from ops.backup.hashed_file import part_of
from ops.backup.libpq import database_address, libpq_address, patient
from ops.backup.manifest import Manifest, Part
from ops.backup.programs import find_program
from ops.backup.progress import StepProgress
from ops.backup.queries import QUERIES
from ops.backup.table_hashes import TableHash, hash_tables
from shared import __version__
from shared.connection_errors import DATABASE_ERRORS, DATABASE_LOST, explain_database
from shared.database import connect
from shared.database_url import DatabaseAddress
from shared.errors import QueueAway, UsageError
from shared.settings import Settings
from shared.stores import resolve_stores


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """What to back up, and into which folder; without `root` the run folders are left out."""

    to: Path
    root: Path | None


@dataclass(frozen=True, slots=True)
class Made:
    """A whole backup."""

    folder: Path
    manifest: Manifest

    @property
    def incomplete(self) -> list[str]:
        """Documents that could not be read, or that never held still."""
        found: list[str] = []
        for part in (self.manifest.runs, self.manifest.outbox):
            if part is not None:
                found += [f"{name}: can't be read" for name in part["unreadable"]]
                found += [f"{name}: changed while it was archived" for name in part["changed"]]
        return found


@dataclass(frozen=True, slots=True)
class _Database:
    server: Mapping[str, Any]
    dumped_by: str
    taken_at: datetime
    position: dict[str, Any] | None
    tables: tuple[TableHash, ...]
    part: Part


async def make_backup(options: BackupOptions, settings: Settings, progress: StepProgress) -> Made:
    """Make a backup; raises UsageError or DatabaseAway, and then there is none."""
    _check_places(options)
    address = database_address(settings)
    with making(options.to) as folder, _explained(folder):
        database = await _save_database(address, settings, folder, progress)
        archives = await asyncio.to_thread(_save_files, options, settings, folder, progress)
        queue, queue_part = await asyncio.to_thread(_save_queue, settings, folder, progress)
        saved = [database.part, *(one.part for one in archives.values()), queue_part]
        manifest = Manifest(
            name=choose_name(options.to, database.taken_at),
            made_at=database.taken_at,
            host=socket.gethostname(),
            runferry=__version__,
            database={
                "name": database.server["database"],
                "server": address.place,
                "url": address.redacted,
                "schema": address.schema,
                "version": database.server["version"],
                "bytes": database.server["bytes"],
                "dumped_by": database.dumped_by,
            },
            position=database.position,
            tables=database.tables,
            parts=tuple(part for part in saved if part is not None),
            runs=_described(archives.get(parts.RUNS), options.root),
            outbox=_described(archives.get(parts.OUTBOX), settings.home / "outbox"),
            queue=queue,
        )
        made = Made(complete(folder, manifest), manifest)
    await _remember(made, address, settings, progress)
    return made


def _check_places(options: BackupOptions) -> None:
    if options.root is None:
        return
    if not options.root.is_dir():
        raise UsageError(
            f"The root {options.root} does not exist. Name the folder of your run folders with --root or "
            "RUNFERRY_ROOT, or leave them out with --no-files."
        )
    if options.to.resolve().is_relative_to(options.root.resolve()):
        raise UsageError(f"{options.to} is inside of {options.root}, which is backed up: choose another folder.")


async def _save_database(
    address: DatabaseAddress, settings: Settings, folder: Path, progress: StepProgress
) -> _Database:
    connection = await connect(address, patient(settings))
    try:
        server = await connection.fetchrow(QUERIES["server"])
        program = find_program(
            "pg_dump", server["major"], f"The server at {address.place} is PostgreSQL {server['version']}", address
        )
        target = folder / parts.DATABASE
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute("SET idle_in_transaction_session_timeout = 0")
            snapshot = await connection.fetchrow(QUERIES["export_snapshot"])
            position = await _position(connection, snapshot["transactions"]) if server["has_runferry"] else None
            progress.begin(f'Dumping the database "{server["database"]}"', unit="byte")
            dumping = asyncio.create_task(
                dump_database(
                    program, libpq_address(address, settings), snapshot["snapshot"], target, progress.update
                )
            )
            hashing = asyncio.create_task(hash_tables(connection))
            try:
                # Both see the same snapshot, so they may run beside each other.
                _, tables = await asyncio.gather(dumping, hashing)
            finally:
                for task in (dumping, hashing):
                    task.cancel()
                await asyncio.gather(dumping, hashing, return_exceptions=True)
        part = await asyncio.to_thread(_dumped_part, target)
        return _Database(server, program.version, snapshot["taken_at"], position, tables, part)
    except DATABASE_LOST as error:
        raise explain_database(error, address) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise UsageError(
            f"The role {address.user!r} lacks a right: {error}. A backup reads every table of the database."
        ) from error
    finally:
        connection.terminate()


def _dumped_part(target: Path) -> Part:
    target.chmod(0o600)
    return part_of(target, sync=True)


async def _position(connection: asyncpg.Connection, transactions: str) -> dict[str, Any]:
    found = dict(await connection.fetchrow(QUERIES["position"]))
    moments = {name: value.isoformat() for name, value in found.items() if isinstance(value, datetime)}
    return {**found, **moments, "transactions": transactions}


def _save_files(
    options: BackupOptions, settings: Settings, folder: Path, progress: StepProgress
) -> dict[str, Archived]:
    archives = {}
    for name, source, word in (
        (parts.RUNS, options.root, "Archiving the run folders"),
        (parts.OUTBOX, settings.home / "outbox", "Archiving the outbox of this host"),
    ):
        if source is not None and source.is_dir():
            progress.begin(word, unit="file")
            archives[name] = archive_folder(
                source, folder / name, lambda archived: progress.update(archived.files)
            )
    return archives


def _save_queue(settings: Settings, folder: Path, progress: StepProgress) -> tuple[dict[str, Any], Part | None]:
    """Save what only Redis has; a backup is wanted most when something is broken, so that may be Redis."""
    try:
        url = resolve_stores(settings).redis_url
        part, messages = save_dead_queues(url, settings, folder / parts.DEAD_QUEUE)
    except (QueueAway, UsageError) as error:
        progress.note(f"The dead queues in Redis are not part of this backup: {error}")
        return {"saved": False, "why": str(error)}, None
    return {"saved": True, "dead": messages}, part


def _described(archived: Archived | None, source: Path | None) -> dict[str, Any] | None:
    return None if archived is None else {"folder": str(source), **archived.to_json()}


async def _remember(made: Made, address: DatabaseAddress, settings: Settings, progress: StepProgress) -> None:
    """Have the database that was backed up tell of it; the backup is whole without."""
    if made.manifest.position is None:
        return
    try:
        connection = await connect(address, settings)
        try:
            await connection.execute(
                QUERIES["record_backup"],
                made.manifest.made_at,
                made.manifest.host,
                str(made.folder.absolute()),
                made.manifest.to_bytes().decode(),
                None,
            )
        finally:
            connection.terminate()
    except DATABASE_ERRORS as error:
        progress.note(f"The backup is whole, but could not be noted in the database: {error}")


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise
        free = ""
        with contextlib.suppress(OSError):
            free = f" ({shutil.disk_usage(folder.parent).free:,} bytes are free there)"
        place = error.filename or folder.parent
        raise UsageError(f"The backup could not be made: {error.strerror or error}: {place}{free}.") from error
