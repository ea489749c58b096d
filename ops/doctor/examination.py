"""The examination: asks both stores and this machine, and hands what they say to those who judge it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import redis

from ops.doctor.clocks import judge_clock
from ops.doctor.database_state import DatabaseState, judge_database
from ops.doctor.disk import judge_space
from ops.doctor.encryption import judge_database_encryption, judge_redis_encryption
from ops.doctor.finding import Finding, warning, wrong
from ops.doctor.limits import judge_open_files
from ops.doctor.programs import judge_programs
from ops.doctor.redis_state import RedisState, judge_redis
from ops.doctor.rights import judge_rights, read_rights
from ops.doctor.run_folders import look_at_root
from ops.doctor.workers import judge_workers
from ops.schema.verification import verify
from shared import queues
from shared.broker.broker import RunferryBroker, make_broker
from shared.broker.client import queue_errors
from shared.broker.holds import Holds
from shared.clock_reading import Reading, read_clock, this_clock
from shared.connection_errors import DATABASE_ERRORS, explain_database, explain_redis
from shared.database import connect
from shared.errors import RunferryError, SchemaError
from shared.schema_version import check, tables_without_key
from shared.settings import Settings
from shared.sql import load_queries
from shared.stores import Stores

_QUERIES: Final = load_queries("ops.doctor")
#: Scores of messages that runferry buried lie a century ahead; see `shared/broker/lua/keys.lua`.
_STRANGE_BEFORE_MS: Final = 3_155_760_000_000
#: What a worker process holds at most: a connection for each lane, one for its chores, and the reconciler's.
_CONNECTIONS_A_PROCESS: Final = 4


def examine(stores: Stores, settings: Settings, backup_to: Path | None = None) -> list[Finding]:
    """Return what is found, store by store; one that does not answer is one finding."""
    looked, of_root = look_at_root(settings.root, settings.max_output_bytes)
    found, database = _database(stores, settings)
    return [
        *_redis(stores, settings),
        *found,
        *of_root,
        *_disks(
            stores,
            settings,
            backup_to or database.last_backup,
            database.size_bytes + looked.expected_bytes,
            asked=database.knows_backups,
        ),
        judge_open_files(),
    ]


def _disks(
    stores: Stores, settings: Settings, backup_to: Path | None, backup_bytes: int, *, asked: bool
) -> Iterator[Finding]:
    yield judge_space("the run folders", settings.root, written=False)
    yield judge_space("the outbox", settings.home / "outbox", needed_bytes=settings.outbox_max_bytes)
    if stores.home is not None:
        yield judge_space("the embedded services", stores.home)
    if backup_to is not None:
        # Both parts are compressed; what they are made of is the most that they can need.
        yield judge_space("backups", backup_to, needed_bytes=backup_bytes)
    elif asked:
        todo = "ops backup --to DIR makes one; ops doctor --backup-to DIR looks at the room for it."
        yield warning("backups", "none was made from this machine", todo)


def _redis(stores: Stores, settings: Settings) -> Iterator[Finding]:
    broker = make_broker(stores.redis_url, settings, patience=settings.connect_timeout)
    try:
        with queue_errors():
            reading = read_clock(broker.redis_now)
            state = _redis_state(broker, settings.namespace)
            holds = Holds(broker.client, settings.namespace).all()
            workers, depths = broker.live_workers(), broker.depths()
    except redis.RedisError as error:
        yield wrong("Redis", str(explain_redis(error, stores.redis_url)), "Start it, or correct REDIS_URL.")
        return
    except RunferryError as error:
        yield wrong("Redis", str(error), "Start it, or correct REDIS_URL.")
        return
    finally:
        broker.close()
    yield from judge_redis(state, high_water=settings.high_water_memory)
    yield judge_redis_encryption(stores.redis_url)
    yield judge_clock("Redis", reading)
    yield from judge_workers(workers, holds, depths)


def _redis_state(broker: RunferryBroker, namespace: str) -> RedisState:
    client = broker.client
    known = {worker.worker_id for worker in broker.live_workers()}
    beating = client.zrangebyscore(f"{namespace}:__heartbeats__", "-inf", "+inf")
    dead = [f"{namespace}:{queue}.XQ" for queue in queues.ALL]
    keys = [key for name in dead for key in (name, f"{name}.msgs", f"{name}.evidence")]
    return RedisState(
        info=client.info(),
        snapshots=_setting(client, "save"),
        syncs=_setting(client, "appendfsync"),
        strangers=len({worker.decode() if isinstance(worker, bytes) else worker for worker in beating} - known),
        strange_dead=sum(client.zcount(name, "-inf", f"({_STRANGE_BEFORE_MS}") for name in dead),
        expiring=tuple(key for key in keys if client.ttl(key) >= 0),
    )


def _setting(client: redis.Redis, name: str) -> str | None:
    try:
        return str(client.config_get(name).get(name, ""))
    except redis.ResponseError:
        return None  # managed services keep CONFIG to themselves


@dataclass(frozen=True, slots=True)
class _Seen:
    """What else is told of the database: its size, and where it was backed up to from this machine, if it can tell."""

    size_bytes: int = 0
    last_backup: Path | None = None
    knows_backups: bool = False


def _database(stores: Stores, settings: Settings) -> tuple[list[Finding], _Seen]:
    try:
        return asyncio.run(_examine_database(stores, settings))
    except DATABASE_ERRORS as error:
        fault: RunferryError = explain_database(error, stores.database)
    except RunferryError as error:
        fault = error
    return [wrong("PostgreSQL", str(fault), "Start it, or correct DATABASE_URL.")], _Seen()


async def _examine_database(stores: Stores, settings: Settings) -> tuple[list[Finding], _Seen]:
    address = stores.database
    connection = await connect(address, settings)
    try:
        before = this_clock()
        reading = Reading(before, await connection.fetchval(_QUERIES["now"]), this_clock())
        schema_fault = await _schema_fault(connection)
        keyless = await tables_without_key(connection)
        differences = 0 if schema_fault else await _differences(connection)
        rights = await read_rights(connection, address.schema)
        knows_backups, backup = (False, None) if schema_fault else await _last_backup(connection)
    finally:
        connection.terminate()
    # Our own sessions ask for UTC; this one gets what everybody gets.
    plain = await asyncpg.connect(**address.connect_arguments(), timeout=settings.connect_timeout.total_seconds())
    try:
        server = dict(await plain.fetchrow(_QUERIES["server"]))
    finally:
        plain.terminate()
    size_bytes, encrypted = server.pop("size_bytes"), server.pop("encrypted")
    state = DatabaseState(
        **server,
        needed_connections=settings.worker_processes * _CONNECTIONS_A_PROCESS,
        schema_fault=schema_fault,
        keyless=keyless,
        differences=differences,
    )
    findings = [
        *judge_database(state),
        *judge_rights(rights, own_server=stores.embedded),
        judge_database_encryption(address, encrypted=encrypted),
        judge_clock("PostgreSQL", reading),
        *judge_programs(state.version, address),
    ]
    return findings, _Seen(size_bytes, backup, knows_backups)


async def _differences(connection: asyncpg.Connection) -> int:
    """Return how many differences `ops schema verify` would show; a role that may not look has its own finding."""
    try:
        return len((await verify(connection)).differences)
    except SchemaError:
        return 0


async def _last_backup(connection: asyncpg.Connection) -> tuple[bool, Path | None]:
    try:
        folder = await connection.fetchval(_QUERIES["last_backup"], socket.gethostname())
    except asyncpg.InsufficientPrivilegeError:
        return False, None
    return True, None if folder is None else Path(folder).parent


async def _schema_fault(connection: asyncpg.Connection) -> str:
    try:
        await check(connection)
    except SchemaError as error:
        return str(error)
    return ""
