"""What a backfill asks PostgreSQL: who a user is, what is accounted for, and what became of its messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import orjson

from shared import schema_version
from shared.connection_errors import DATABASE_LOST
from shared.database import connect
from shared.database_url import DatabaseAddress
from shared.documents import Sha256
from shared.errors import DatabaseAway, UsageError
from shared.ids import RunId, Stage
from shared.settings import Settings
from shared.sql import load_queries

_QUERIES: Final = load_queries("producers")

#: The worker adds this user when it is missing.
MIGRATION_USER: Final = "migration-user"

#: One output by what it is: run, stage and content.
OutputKey = tuple[RunId, Stage, Sha256]


@dataclass(frozen=True, slots=True)
class Delivered:
    """One handled message: verdict and gaps of each stage in it."""

    message_id: str
    verdicts: Mapping[str, str]
    gaps: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Letter:
    """The dead letter of one output."""

    id: int
    run_id: str
    stage: Stage
    reason: str
    sentence: str


class Database:
    """One connection, made when it is needed and made again after it was lost.

    Every method raises DatabaseAway while PostgreSQL can't answer, and SettingsError where only the user can help.
    """

    def __init__(self, address: DatabaseAddress, settings: Settings) -> None:
        self._address = address
        self._settings = settings
        self._connection: asyncpg.Connection | None = None

    async def check_schema(self) -> None:
        """Raise SchemaError where the database is not what this runferry needs."""
        if self._connection is None:
            self._connection = await connect(self._address, self._settings)
        await schema_version.check(self._connection)

    async def user_id(self, named: str) -> str:
        """Return the User.id for a User.id or clerkId; raises UsageError where there is no such user."""
        rows = await self._fetch("user", named)
        if rows:
            return str(rows[0]["id"])
        if named == MIGRATION_USER:
            return named
        raise UsageError(f"There is no user {named!r} in the web app, neither by id nor by clerkId (--user-id).")

    async def accounted(self, run_ids: Sequence[RunId]) -> frozenset[OutputKey]:
        """Return the outputs of these runs that need not be sent again."""
        return await self._outputs("accounted", run_ids)

    async def applied(self, run_ids: Sequence[RunId]) -> frozenset[OutputKey]:
        """Return the outputs of these runs that are in the rows."""
        return await self._outputs("applied", run_ids)

    async def deliveries(self, batch_id: str, message_ids: Sequence[str]) -> list[Delivered]:
        """Return those of these messages that were handled."""
        rows = await self._fetch("deliveries", batch_id, list(message_ids))
        return [Delivered(row[0], orjson.loads(row[1]), orjson.loads(row[2])) for row in rows]

    async def letters(self, outputs: Sequence[OutputKey]) -> list[Letter]:
        """Return the dead letters of these outputs."""
        columns = [list(column) for column in zip(*outputs, strict=True)]
        rows = await self._fetch("letters", *columns)
        return [Letter(row[0], row[1], Stage(row[2]), row[3], row[4]) for row in rows]

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _outputs(self, query: str, run_ids: Sequence[RunId]) -> frozenset[OutputKey]:
        rows = await self._fetch(query, list(run_ids))
        return frozenset((RunId(run_id), Stage(stage), Sha256(sha256)) for run_id, stage, sha256 in rows if stage)

    async def _fetch(self, query: str, *arguments: Any) -> list[Any]:
        if self._connection is None:
            self._connection = await connect(self._address, self._settings)
        try:
            rows: list[Any] = await self._connection.fetch(_QUERIES[query], *arguments)
        except (OSError, *DATABASE_LOST) as error:
            await self.close()
            raise DatabaseAway(f"PostgreSQL does not answer: {error}") from error
        except asyncpg.PostgresError as error:
            # Out of resources, or a failing system: it passes.
            if error.sqlstate is None or error.sqlstate[:2] not in _PASSING:
                raise
            await self.close()
            raise DatabaseAway(f"PostgreSQL can't work now: {error}") from error
        return rows


#: Classes of SQLSTATEs: insufficient resources, system error.
_PASSING: Final = ("53", "58")
