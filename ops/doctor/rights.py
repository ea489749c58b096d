"""Rights: which role may do what, beside what workers, producers and operators need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from ops.doctor.finding import Finding, good, warning, wrong
from ops.schema.identifiers import quoted
from ops.schema.roles import ROLES, needed_rights
from shared.counting import word_for
from shared.sql import load_queries

_QUERIES: Final = load_queries("ops.doctor")
_WORKER, _, _OPERATOR = ROLES
_WORK: Final[Mapping[str, str]] = dict(zip(ROLES, ("a worker", "a producer", "an operator"), strict=True))


@dataclass(frozen=True, slots=True)
class MissingRight:
    """A right that `who` lacks for the work of `role`; `what` is a table, or a schema in words that GRANT takes."""

    who: str
    role: str
    what: str
    right: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.right} ({', '.join(quoted(name) for name in self.columns)})" if self.columns else self.right


@dataclass(frozen=True, slots=True)
class Rights:
    """Who may do what: `members` are the login roles of each of runferry's roles that this database knows.

    `strangers` are the members of those that this server has for another database.
    """

    user: str
    is_superuser: bool
    members: Mapping[str, Sequence[str]]
    strangers: Sequence[str]
    missing: Sequence[MissingRight]


async def read_rights(connection: asyncpg.Connection, app_schema: str) -> Rights:
    """Return the rights of the session's user, and of runferry's roles and their members."""
    user = await connection.fetchrow(_QUERIES["user"])
    known = await connection.fetch(_QUERIES["role_holders"], list(ROLES))
    holders = [record for record in known if record["is_used"]]
    who = [user["name"]] * len(ROLES) + [record["who"] for record in holders]
    roles = [*ROLES, *(record["role"] for record in holders)]
    tables = [_split(right.table, app_schema) for right in needed_rights()]
    missing = await connection.fetch(
        _QUERIES["missing_rights"],
        who,
        roles,
        [right.role for right in needed_rights()],
        [schema for schema, _ in tables],
        [name for _, name in tables],
        [right.right for right in needed_rights()],
        [",".join(column.strip('"') for column in right.columns) for right in needed_rights()],
        app_schema,
        _OPERATOR,
    )
    members: dict[str, list[str]] = {}
    for record in holders:
        named = members.setdefault(record["role"], [])
        if record["who"] != record["role"]:
            named.append(record["who"])
    return Rights(
        user["name"],
        user["is_superuser"],
        members,
        sorted({record["who"] for record in known if not record["is_used"] and record["who"] != record["role"]}),
        [
            MissingRight(row["who"], row["role"], row["what"], row["right"], tuple(row["columns"]))
            for row in missing
        ],
    )


def judge_rights(rights: Rights, *, own_server: bool) -> Iterator[Finding]:
    """Yield what the rights mean; on a server of runferry's own nobody minds a superuser."""
    yield from _user(rights, own_server=own_server)
    for role, members in rights.members.items():
        for who in (role, *members):
            lacking = _lacking(rights, who, role)
            if lacking and who != rights.user:
                yield wrong(
                    f"rights of {who}", f"lacks what {_WORK[role]} needs: {_said(lacking)}", _role_todo(who, role)
                )
    if rights.members:
        shown = "; ".join(f"{role}: {', '.join(names) or 'nobody'}" for role, names in rights.members.items())
        yield good("roles", shown)
    if rights.strangers:
        have = word_for(len(rights.strangers), "has", "have")
        detail = f"{', '.join(rights.strangers)} {have} a role of runferry's that has no rights in this database"
        yield warning("roles", detail, "If they shall work here, as the owner of the tables: ops schema roles")


def _user(rights: Rights, *, own_server: bool) -> Iterator[Finding]:
    name, user = "rights", quoted(rights.user)
    mine = [role for role, members in rights.members.items() if rights.user in members]
    if mine:
        lacking = [one for role in mine for one in _lacking(rights, rights.user, role)]
        work = " and ".join(_WORK[role] for role in mine)
        if lacking:
            yield wrong(
                name, f"{user} lacks what {work} needs: {_said(lacking)}", _role_todo(rights.user, mine[0])
            )
        else:
            yield good(name, f"{user} may do all that {work} does")
        return
    lacking = _lacking(rights, rights.user, _WORKER)
    if lacking:
        yield wrong(name, f"{user} lacks what a worker needs: {_said(lacking)}", _grants(lacking, user))
        return
    if rights.is_superuser and not own_server:
        detail = f"{user} is a superuser: a worker needs far less, and can do far less harm with it"
        yield warning(name, detail, "ops schema roles makes roles with the least rights; see docs/security.md.")
        return
    lacking = _lacking(rights, rights.user, _OPERATOR)
    if lacking:
        detail = f"{user} may do all that a worker does, but lacks what an operator needs: {_said(lacking)}"
        yield warning(name, detail, _grants(lacking, user))
        return
    yield good(name, f"{user} may do all that workers, producers and operators do")


def _lacking(rights: Rights, who: str, role: str) -> list[MissingRight]:
    return [one for one in rights.missing if one.who == who and one.role == role]


def _said(lacking: Sequence[MissingRight]) -> str:
    return "; ".join(f"{', '.join(rights)} on {what}" for what, rights in _by_what(lacking, plain=True).items())


def _grants(lacking: Sequence[MissingRight], user: str) -> str:
    by_what = _by_what(lacking, plain=False)
    return " ".join(f"GRANT {', '.join(rights)} ON {what} TO {user};" for what, rights in by_what.items())


def _by_what(lacking: Sequence[MissingRight], *, plain: bool) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in lacking:
        found.setdefault(one.what, []).append(one.right if plain else str(one))
    return found


def _role_todo(who: str, role: str) -> str:
    if who == role:
        return "As the owner of the tables: ops schema roles"
    inherit = f"GRANT {role} TO {quoted(who)} WITH INHERIT TRUE;"
    return f"As the owner of the tables: ops schema roles. Where {quoted(who)} does not inherit them: {inherit}"


def _split(table: str, app_schema: str) -> tuple[str, str]:
    schema, dot, name = table.rpartition(".")
    return (schema if dot else app_schema, name.strip('"'))
