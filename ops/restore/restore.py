"""Restore: a backup into a database that is empty, new, or swapped in once it was verified. The composition root."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from ops.backup import manifest as parts
from ops.backup.dump import run_program
from ops.backup.folder import list_backups
from ops.backup.libpq import database_address, libpq_address, on_database, patient
from ops.backup.manifest import Manifest
from ops.backup.programs import find_program
from ops.backup.progress import StepProgress
from ops.backup.queries import QUERIES as BACKUP_QUERIES
from ops.backup.table_hashes import TableDifference, differences, hash_tables
from ops.backup.verification import verify
from ops.restore import databases
from ops.restore.extraction import Extraction, check_free
from ops.restore.phase import KeptPhase, keep_phase, phase_before
from ops.restore.queries import QUERIES
from shared.connection_errors import DATABASE_ERRORS, DATABASE_LOST, explain_database
from shared.database import connect
from shared.database_url import DatabaseAddress
from shared.errors import RunferryError, UsageError
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """Which backup goes where: into the database of the settings, into a new one, or in the place of one."""

    source: Path
    into: str | None = None
    overwrite: str | None = None
    files_to: Path | None = None
    outbox_to: Path | None = None
    with_rights: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """A database that holds a backup; `aside` is what the one before is called now."""

    manifest: Manifest
    database: str
    differences: tuple[TableDifference, ...]
    aside: str | None = None
    left: str | None = None  # a database that was to be swapped in, and differs
    files: int | None = None
    outbox_files: int | None = None
    unplaced: str | None = None  # why extracted files are still hidden in their folder
    phase: KeptPhase | None = None  # where the backup has another phase than the one in force


@dataclass(frozen=True, slots=True)
class _Target:
    """The database that is filled, and what it shall be called in the end."""

    filled: str
    name: str
    made_here: bool


async def restore_backup(options: RestoreOptions, settings: Settings, progress: StepProgress) -> Restored:
    """Restore a backup; raises UsageError or DatabaseAway, and then no database has changed."""
    address = database_address(settings)
    manifest = await asyncio.to_thread(_verified, options.source, progress)
    _check_folders(options, manifest)
    try:
        # The database is filled last: what can fail by a full disk has happened by then, and can be taken back.
        async with _target(options, address, settings) as target, _extracted(options, progress) as extractions:
            filled = on_database(address, target.filled)
            # Asked before anything is in the database, which may be the one of the address itself.
            in_force = await phase_before(address, settings) if target.name == address.database else None
            found = await _fill(options, manifest, target, filled, settings, progress)
            # Before the swap: from then on processes may ask it.
            phase = None if found else await keep_phase(filled, settings, manifest, in_force)
            aside, left = await _swap(target, found, address, settings)
    except DATABASE_LOST as error:
        raise explain_database(error, address) from error
    runs, outbox = extractions
    if target.filled != address.database and not found:
        await _tell(manifest, address, settings)
    return Restored(
        manifest,
        target.filled if left else target.name,
        found,
        aside,
        left,
        runs.files if runs is not None else None,
        outbox.files if outbox is not None else None,
        _appear(runs, outbox),
        phase,
    )


def _verified(source: Path, progress: StepProgress) -> Manifest:
    progress.begin(f"Verifying {source}", unit="byte")
    done = 0

    def took(size: int) -> None:
        nonlocal done
        done += size
        progress.update(done)

    verified = verify(source, took)
    if verified.manifest is None and source.is_dir() and (backups := list_backups(source)):
        raise UsageError(f"{source} holds backups and is none itself; the newest is {backups[0]}.")
    if verified.faults or verified.manifest is None:
        raise UsageError(
            f"{source} can't be relied on, and nothing was changed: {'; '.join(verified.faults).rstrip('.')}."
        )
    return verified.manifest


def _check_folders(options: RestoreOptions, manifest: Manifest) -> None:
    for part, folder, what in (
        (parts.RUNS, options.files_to, "run folders"),
        (parts.OUTBOX, options.outbox_to, "outbox"),
    ):
        if folder is not None:
            if manifest.part(part) is None:
                raise UsageError(f"{options.source} was made without {what}.")
            check_free(folder)
    if options.files_to is not None and options.outbox_to is not None:
        one, other = options.files_to.resolve(), options.outbox_to.resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise UsageError("--files-to and --outbox-to: two folders, neither inside of the other.")


@asynccontextmanager
async def _target(options: RestoreOptions, address: DatabaseAddress, settings: Settings) -> AsyncIterator[_Target]:
    """Yield the database to fill; one that was made for it goes away where it could not be filled."""
    name = options.into if options.into is not None else options.overwrite
    if name is None:
        connection = await connect(address, settings)
        try:
            await _refuse_contents(connection, address.database, options)
        finally:
            connection.terminate()
        yield _Target(address.database, address.database, made_here=False)
        return
    if options.overwrite is not None and options.overwrite != address.database:
        raise UsageError(
            f'--overwrite {options.overwrite}: the address names the database "{address.database}"; '
            "say the one that is meant twice."
        )
    async with databases.administration(address, settings) as connection:
        filled = name
        if options.overwrite is not None:
            filled = databases.suffixed(name, f"{databases.RESTORING}{datetime.now(UTC):%Y%m%d%H%M%S}")
            await databases.claim(connection, name)
            await databases.clear_unfinished(connection, name)
        existing = await databases.names(connection)
        if options.overwrite is not None and name not in existing:
            raise UsageError(f'There is no database "{name}" to overwrite; --into {name} makes it.')
        made_here = filled not in existing
        if made_here:
            await databases.create(connection, filled)
            if filled != name:
                await databases.mark(connection, filled, name)
        try:
            if not made_here:
                # A restore that was killed leaves an empty one.
                await _refuse_contents_of(on_database(address, filled), settings, options)
            yield _Target(filled, name, made_here)
        except BaseException:
            if made_here:
                await asyncio.shield(databases.drop(connection, filled))
            raise


async def _refuse_contents_of(address: DatabaseAddress, settings: Settings, options: RestoreOptions) -> None:
    connection = await connect(address, settings)
    try:
        await _refuse_contents(connection, address.database, options)
    finally:
        connection.terminate()


async def _refuse_contents(connection: asyncpg.Connection, name: str, options: RestoreOptions) -> None:
    found = [record["what"] for record in await connection.fetch(QUERIES["contents"])]
    if not found:
        return
    shown = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
    ways = (
        "choose another name"
        if options.into
        else f"restore beside it (--into NEWNAME), or in its place (--overwrite {name}: it is kept under another name)"
    )
    raise UsageError(f'The database "{name}" is not empty ({shown}), and nothing was changed: {ways}.')


async def _fill(
    options: RestoreOptions,
    manifest: Manifest,
    target: _Target,
    address: DatabaseAddress,
    settings: Settings,
    progress: StepProgress,
) -> tuple[TableDifference, ...]:
    dumped_by = str(manifest.database["dumped_by"])
    program = find_program(
        "pg_restore", int(dumped_by.split(".")[0]), f"The backup was made by pg_dump {dumped_by}", address
    )
    rights = () if options.with_rights else ("--no-owner", "--no-privileges")
    progress.begin(f'Restoring into the database "{target.filled}"', unit="row", total=manifest.rows)
    # One transaction: a restore that is killed leaves the database empty.
    arguments = ["--single-transaction", "--exit-on-error", "--no-password", *rights]
    await run_program(
        program,
        [*arguments, f"--dbname={libpq_address(address, settings).uri}", str(options.source / parts.DATABASE)],
        libpq_address(address, settings),
        lambda: progress.update(0),
    )
    progress.begin("Comparing the hashes of the tables", unit="row", total=manifest.rows)
    done = 0

    def took(rows: int) -> None:
        nonlocal done
        done += rows
        progress.update(done)

    connection = await connect(address, patient(settings))
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            found = differences(manifest.tables, await hash_tables(connection, took=took))
        # The planner knows nothing of rows that came by a restore.
        await connection.execute("ANALYZE")
        if manifest.position is not None and not found:
            await connection.execute(
                BACKUP_QUERIES["record_backup"],
                manifest.made_at,
                manifest.host,
                str(options.source.absolute()),
                manifest.to_bytes().decode(),
                datetime.now(UTC),
            )
    finally:
        connection.terminate()
    return found


async def _tell(manifest: Manifest, address: DatabaseAddress, settings: Settings) -> None:
    """Have the database of the address remember that its backup can be restored, if it is there and knows of it."""
    with contextlib.suppress(RunferryError, *DATABASE_ERRORS):
        connection = await connect(address, settings)
        try:
            await connection.execute(BACKUP_QUERIES["record_restore"], manifest.made_at, manifest.name)
        finally:
            connection.terminate()


async def _swap(
    target: _Target, found: tuple[TableDifference, ...], address: DatabaseAddress, settings: Settings
) -> tuple[str | None, str | None]:
    if target.filled == target.name:
        return None, None
    if found:
        async with databases.administration(address, settings) as connection:
            await databases.unmark(connection, target.filled)
        return None, target.filled
    aside = databases.suffixed(target.name, f"_before_{datetime.now(UTC):%Y%m%d%H%M%S}")
    async with databases.administration(address, settings) as connection:
        await databases.swap(connection, target.name, target.filled, aside)
    return aside, None


@asynccontextmanager
async def _extracted(options: RestoreOptions, progress: StepProgress) -> AsyncIterator[list[Extraction | None]]:
    """Yield run folders and outbox, extracted and still hidden; where the rest fails they go away."""
    made: list[Extraction | None] = []
    ending = threading.Event()

    def took(files: int) -> None:
        if ending.is_set():
            # Ctrl-C reaches the thread that extracts nowhere else.
            raise UsageError("The restore was interrupted.")
        progress.update(files)

    try:
        for part, folder, word in (
            (parts.RUNS, options.files_to, "Extracting the run folders"),
            (parts.OUTBOX, options.outbox_to, "Extracting the outbox"),
        ):
            if folder is None:
                made.append(None)
                continue
            progress.begin(f"{word} to {folder}", unit="file")
            made.append(await asyncio.to_thread(Extraction, options.source / part, folder, took))
        yield made
    except BaseException:
        ending.set()
        for one in made:
            if one is not None:
                await asyncio.to_thread(one.discard)
        raise


def _appear(*extractions: Extraction | None) -> str | None:
    """Have it appear; the database is in its place by now, so a failure is told and takes nothing back."""
    try:
        for one in extractions:
            if one is not None:
                one.appear()
    except OSError as error:
        return f"{error.strerror}: {error.filename}"
    return None
