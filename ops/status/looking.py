"""Looking: asks both stores; one that is away takes nothing from what the other says."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import orjson
import redis

from ops.status.overview import Aged, Database, Overview, Queue, QueueState, Report
from shared import queues
from shared.broker.broker import RunferryBroker, make_broker
from shared.broker.holds import Holds
from shared.connection_errors import DATABASE_ERRORS, explain_database, explain_redis, redis_place
from shared.database import connect
from shared.errors import RunferryError
from shared.phase.history import in_force
from shared.phase.presence import live_processes
from shared.phase.redis_copy import read_copy
from shared.schema_version import check
from shared.settings import Settings
from shared.sql import load_queries
from shared.stores import Stores
from workers.held_state import QUERIES as WORKERS_QUERIES

_QUERIES: Final = load_queries("ops.status")
_RATE_OVER: Final = timedelta(minutes=1)
_PATIENCE: Final = timedelta(seconds=2)
#: The end of a queue's first message, where its time stands; the message itself may have megabytes.
_FIRST_MESSAGE: Final = """
local id = redis.call("lindex", KEYS[1], 0)
local data = id and redis.call("hget", KEYS[1] .. ".msgs", id)
return data and string.sub(data, -400)
"""
_TIMESTAMP: Final = re.compile(rb'"message_timestamp":\s*(\d+)')


class Onlooker:
    """Looks again and again over the same connections; `close` them at the end."""

    def __init__(self, stores: Stores, settings: Settings) -> None:
        self._stores = stores
        self._settings = settings
        self._broker: RunferryBroker = make_broker(stores.redis_url, settings, patience=_PATIENCE)
        self._longest_s = (settings.connect_timeout + settings.statement_timeout).total_seconds()
        self._connection: asyncpg.Connection | None = None

    async def look(self) -> Overview:
        """Return what is to be seen now; never raises for a store that is away."""
        faults: dict[str, str] = {}
        database: Database | None = None
        queue: Queue | None = None
        try:
            queue = await asyncio.to_thread(self._look_at_queue)
        except (RunferryError, redis.RedisError) as error:
            fault = error if isinstance(error, RunferryError) else explain_redis(error, self._stores.redis_url)
            faults["redis"] = str(fault)
        try:
            # A server that hangs enforces no time-out of its own.
            async with asyncio.timeout(self._longest_s):
                database = await self._look_at_database()
        except RunferryError as error:
            faults["postgresql"] = str(error)
        except DATABASE_ERRORS as error:
            faults["postgresql"] = str(explain_database(error, self._stores.database))
        if "postgresql" in faults:
            self._drop_connection()
        return Overview(
            at=datetime.now(UTC),
            default_phase=self._settings.phase.value,
            places={"postgresql": str(self._stores.database.place), "redis": redis_place(self._stores.redis_url)},
            embedded=self._stores.embedded,
            database=database,
            queue=queue,
            faults=faults,
        )

    def close(self) -> None:
        """Close the connections."""
        self._drop_connection()
        self._broker.close()

    def _look_at_queue(self) -> Queue:
        broker, client = self._broker, self._broker.client
        now = broker.redis_now()
        holds = Holds(client, self._settings.namespace).all()
        depths = broker.depths()
        memory = broker.memory()
        return Queue(
            queues={
                name: QueueState(depths[name], self._oldest(client, name, now), holds.get(name))
                for name in queues.ALL
            },
            workers=tuple(broker.live_workers()),
            used_bytes=memory.used_bytes,
            max_bytes=memory.max_bytes,
            processes=tuple(live_processes(client, self._settings.namespace)),
            phase=read_copy(client, self._settings.namespace),
        )

    def _oldest(self, client: Any, queue: str, now: datetime) -> timedelta | None:
        tail = client.eval(_FIRST_MESSAGE, 1, f"{self._settings.namespace}:{queue}")
        found = None if tail is None else _TIMESTAMP.search(tail)
        if found is None:
            return None
        return max(timedelta(0), now - datetime.fromtimestamp(int(found[1]) / 1000, tz=UTC))

    async def _look_at_database(self) -> Database:
        if self._connection is None:
            self._connection = await connect(self._stores.database, self._settings)
            await check(self._connection)
        connection = self._connection
        change = await in_force(connection)
        handled: int = await connection.fetchval(_QUERIES["handled"], _RATE_OVER)
        reports = [_report(row) for row in await connection.fetch(_QUERIES["last_reports"])]
        standing = await connection.fetchrow(_QUERIES["standing"])
        letters = await connection.fetch(_QUERIES["dead_letters"])
        return Database(
            phase=None if change is None else change.phase.value,
            phase_since=None if change is None else change.at,
            rows=dict(await connection.fetchrow(_QUERIES["rows"])),
            ledger=await connection.fetchval(_QUERIES["ledger"]),
            dead_letters={row["reason"]: row["letters"] for row in letters},
            handled_per_s=handled / _RATE_OVER.total_seconds(),
            report=reports[0] if reports else None,
            sample=next((report for report in reports if not report.is_whole), None),
            scheduled=await connection.fetchval(WORKERS_QUERIES["is_scheduled"]),
            oldest_letter=standing["oldest_letter"],
            checklist=_aged(standing["checklist_age"], standing["checklist_passed"]),
            backup=_aged(standing["backup_age"], standing["backup_verified"]),
        )

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _aged(age: timedelta | None, good: bool | None) -> Aged | None:
    return None if age is None else Aged(age, bool(good))


def _report(row: Any) -> Report:
    report = orjson.loads(row["report"])
    return Report(
        id=row["id"],
        age=row["age"],
        scope=orjson.loads(row["scope"]),
        balanced=row["balanced"],
        verdicts=report.get("verdicts", {}),
        outputs_on_disk=report.get("outputs_on_disk", 0),
        rolled_back_since=row["rolled_back_since"],
    )
