"""Refusals of PostgreSQL in the user's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from shared.connection_errors import DATABASE_LOST
from shared.errors import DatabaseAway, RunferryError, SchemaError

_LOOKING: Final = ("ops schema status", "ops schema verify")
_ROLES: Final = "ops schema roles"


@contextmanager
def explained_refusals(command: str) -> Iterator[None]:
    """Raise SchemaError or DatabaseAway, naming `command`, in place of what asyncpg raises."""
    try:
        yield
    except (asyncpg.PostgresError, *DATABASE_LOST, ConnectionError) as error:
        raise _explained(error, command) from error


def _explained(error: Exception, command: str) -> RunferryError:
    # Without PostgreSQL's hints: one of them is to drop everything that depends.
    said = getattr(error, "message", None) or str(error)
    match error:
        case asyncpg.InsufficientPrivilegeError() if command in _LOOKING:
            return SchemaError(
                f"The role of this address lacks a right: {said}. `{command}` needs USAGE on the schemas of the web "
                "app and of runferry, and SELECT on their tables."
            )
        case asyncpg.InsufficientPrivilegeError() if command == _ROLES:
            return SchemaError(
                f"The role of this address lacks a right: {said}. `{command}` needs CREATEROLE where the roles are not "
                "there yet (an administrator may make them), and to be the owner of the web app's tables and of "
                "runferry's. Nothing was changed."
            )
        case asyncpg.RaiseError():
            return SchemaError(f"`{command}`: {said}.")
        case asyncpg.InsufficientPrivilegeError():
            return SchemaError(
                f"The role of this address lacks a right: {said}. `{command}` needs CREATE on the database "
                "(GRANT CREATE ON DATABASE … TO …), or a schema runferry that the role owns; and to change the "
                "web app's tables it needs to be their owner. Nothing was changed by this step."
            )
        case asyncpg.ReadOnlySQLTransactionError():
            return SchemaError(
                f"The database is read-only ({said}): give `{command}` the address of the primary server, "
                "of a role whose default_transaction_read_only is off."
            )
        case asyncpg.LockNotAvailableError() | asyncpg.DeadlockDetectedError():
            return SchemaError(
                f"Somebody else holds what `{command}` needs ({said}): another apply, a Prisma migration, or a "
                "long transaction of the web app. Nothing was changed by this step; run it again."
            )
        case asyncpg.DependentObjectsStillExistError():
            return SchemaError(
                f"Something else depends on what `{command}` would take away: {said} ({error.detail}). "
                "Nothing was changed by this step."
            )
        case _ if isinstance(error, (*DATABASE_LOST, ConnectionError)):
            return DatabaseAway(
                f"PostgreSQL went away ({said}). Each step is one transaction, so none is half done; "
                f"run `{command}` again."
            )
        case _:
            return SchemaError(f"PostgreSQL refused a step of `{command}`: {said}. Nothing was changed by it.")
