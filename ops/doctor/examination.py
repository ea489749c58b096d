"""The examination: asks both stores and this machine, and hands what they say to those who judge it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import asyncpg
import redis

from ops.doctor.clocks import Reading, judge_clock
from ops.doctor.database_state import DatabaseState, judge_database
from ops.doctor.disk import judge_root, judge_space
from ops.doctor.finding import Finding, wrong
from ops.doctor.redis_state import RedisState, judge_redis
from ops.doctor.rights import judge_rights, read_rights
from ops.doctor.workers import judge_workers
from shared import queues
from shared.broker.broker import RunferryBroker, make_broker
from shared.broker.client import queue_errors
from shared.broker.holds import Holds
from shared.connection_errors import DATABASE_ERRORS, explain_database, explain_redis
from shared.database import connect
from shared.errors import RunferryError, SchemaError
from shared.schema_version import check
from shared.settings import Settings
from shared.sql import load_queries
from shared.stores import Stores

_QUERIES: Final = load_queries("ops.doctor")
#: Scores of messages that runferry buried lie a century ahead; see `shared/broker/lua/keys.lua`.
_STRANGE_BEFORE_MS: Final = 3_155_760_000_000
#: What a worker process holds of its pool at most: a lane for each queue, and its chores.
_CONNECTIONS_A_PROCESS: Final = 4


def examine(stores: Stores, settings: Settings) -> list[Finding]:
    """Return what is found, store by store; one that does not answer is one finding."""
    findings = [*_redis(stores, settings), *_database(stores, settings), *judge_root(settings.root)]
    findings.append(judge_space("the run folders", settings.root))
    if stores.home is not None:
        findings.append(judge_space("the embedded services", stores.home))
    return findings


def _redis(stores: Stores, settings: Settings) -> Iterator[Finding]:
    broker = make_broker(stores.redis_url, settings, patience=settings.connect_timeout)
    try:
        with queue_errors():
            before = datetime.now(UTC)
            now = broker.redis_now()
            reading = Reading(before, now, datetime.now(UTC))
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
        snapshots=_snapshots(client),
        strangers=len({worker.decode() if isinstance(worker, bytes) else worker for worker in beating} - known),
        strange_dead=sum(client.zcount(name, "-inf", f"({_STRANGE_BEFORE_MS}") for name in dead),
        expiring=tuple(key for key in keys if client.ttl(key) >= 0),
    )


def _snapshots(client: redis.Redis) -> str | None:
    try:
        return str(client.config_get("save").get("save", ""))
    except redis.ResponseError:
        return None  # managed services keep CONFIG to themselves


def _database(stores: Stores, settings: Settings) -> list[Finding]:
    try:
        return asyncio.run(_examine_database(stores, settings))
    except DATABASE_ERRORS as error:
        fault: RunferryError = explain_database(error, stores.database)
    except RunferryError as error:
        fault = error
    return [wrong("PostgreSQL", str(fault), "Start it, or correct DATABASE_URL.")]


async def _examine_database(stores: Stores, settings: Settings) -> list[Finding]:
    connection = await connect(stores.database, settings)
    try:
        before = datetime.now(UTC)
        now = await connection.fetchval(_QUERIES["now"])
        reading = Reading(before, now, datetime.now(UTC))
        schema_fault = await _schema_fault(connection)
        rights = await read_rights(connection, stores.database.schema)
    finally:
        connection.terminate()
    # Our own sessions ask for UTC; this one gets what everybody gets.
    plain = await asyncpg.connect(
        **stores.database.connect_arguments(), timeout=settings.connect_timeout.total_seconds()
    )
    try:
        server = await plain.fetchrow(_QUERIES["server"])
    finally:
        plain.terminate()
    state = DatabaseState(
        **server,
        needed_connections=settings.worker_processes * _CONNECTIONS_A_PROCESS,
        schema_fault=schema_fault,
    )
    return [
        *judge_database(state),
        *judge_rights(rights, own_server=stores.embedded),
        judge_clock("PostgreSQL", reading),
    ]


async def _schema_fault(connection: asyncpg.Connection) -> str:
    try:
        await check(connection)
    except SchemaError as error:
        return str(error)
    return ""
