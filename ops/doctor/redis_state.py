"""Redis: whether it keeps messages, has room for them, and is the queue's alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ops.doctor.finding import Finding, good, warning, wrong
from shared.counting import counted, word_for

_MEBIBYTE: Final = 1024 * 1024
_OLDEST: Final = (6, 2)
#: Above this share of its memory limit Redis is near refusing what producers send.
_FULL: Final = 0.9


@dataclass(frozen=True, slots=True)
class RedisState:
    """What Redis says of itself; `snapshots` is its `save` setting, `syncs` its `appendfsync`.

    Both are None where it may not be asked.
    `strangers` are clients with heartbeats of Dramatiq that are no worker of runferry; `strange_dead` counts dead
    messages that one of those buried; `expiring` names keys of dead messages that expire.
    """

    info: Mapping[str, Any]
    snapshots: str | None
    strangers: int
    strange_dead: int
    expiring: tuple[str, ...]
    syncs: str | None = None


def judge_redis(state: RedisState, *, high_water: float) -> Iterator[Finding]:
    """Yield what the state means; `high_water` is the share of memory above which producers wait."""
    yield _version(str(state.info.get("redis_version", "0")))
    yield _role(state.info)
    yield _clients(state.info)
    yield _eviction(state.info)
    yield _persistence(state.info, state.snapshots, state.syncs)
    yield _memory(state.info, high_water)
    yield _dead_letters(state)
    yield _neighbours(state)


def _version(text: str) -> Finding:
    numbers = tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())
    if numbers < _OLDEST:
        return wrong("Redis' version", f"is {text}", "Upgrade Redis to 6.2 or later.")
    return good("Redis' version", f"is {text}")


def _role(info: Mapping[str, Any]) -> Finding:
    name = "Redis' role"
    if info.get("role", "master") != "master":
        return wrong(name, "is a replica: it takes no messages", "Set REDIS_URL to the primary.")
    return good(name, "is a primary")


def _clients(info: Mapping[str, Any]) -> Finding:
    name = "Redis' connections"
    used, most = int(info.get("connected_clients", 0)), int(info.get("maxclients", 0))
    if not most:
        return good(name, f"{counted(used, 'is', 'are')} in use")
    detail = f"{used:,} of {most:,} {word_for(used, 'is', 'are')} in use"
    if used >= most * _FULL:
        return warning(name, detail, "CONFIG SET maxclients higher, and keep it in redis.conf.")
    return good(name, detail)


def _eviction(info: Mapping[str, Any]) -> Finding:
    policy = str(info.get("maxmemory_policy", ""))
    if policy == "noeviction":
        return good("eviction", "is off (noeviction)")
    return wrong(
        "eviction",
        f"is {policy}: at its memory limit Redis drops messages",
        "CONFIG SET maxmemory-policy noeviction, and keep it in redis.conf.",
    )


def _persistence(info: Mapping[str, Any], snapshots: str | None, syncs: str | None) -> Finding:
    name = "persistence"
    appends = bool(int(info.get("aof_enabled", 0)))
    if appends and info.get("aof_last_write_status", "ok") != "ok":
        return wrong(name, "Redis can't write its append-only file", "Look at its log and the space on its disk.")
    if appends and info.get("aof_last_bgrewrite_status", "ok") != "ok":
        return warning(
            name,
            "the append-only file could not be rewritten and grows",
            "Look at Redis' log and the space on its disk.",
        )
    if appends and syncs == "no":
        detail = (
            "the append-only file is never synced: a machine that dies takes half a minute of messages with it"
        )
        return warning(name, detail, "CONFIG SET appendfsync everysec, and keep it in redis.conf.")
    if appends:
        return good(name, "is on (append-only file)")
    todo = "CONFIG SET appendonly yes, and keep it in redis.conf."
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        return wrong(name, "the last snapshot failed, and the append-only file is off", todo)
    if snapshots:
        detail = "snapshots only: a crash of Redis loses what came since the last one"
        return warning(name, detail, f"{todo} A backfill sends again what was lost; a pipeline does not.")
    if snapshots is None:
        return warning(name, "the append-only file is off, and this user may not ask for snapshots", todo)
    return wrong(name, "is off: a restart of Redis loses every message", todo)


def _memory(info: Mapping[str, Any], high_water: float) -> Finding:
    name = "Redis' memory"
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not most:
        size = counted(used // _MEBIBYTE, "MiB is", "MiB are")
        detail = f"{size} used, and there is no limit: the system may kill Redis"
        return warning(name, detail, "CONFIG SET maxmemory to what Redis may have, and keep it in redis.conf.")
    system = int(info.get("total_system_memory", 0))
    if system and most > system * _FULL:
        detail = f"maxmemory is {most // _MEBIBYTE:,} MiB, and the machine has {system // _MEBIBYTE:,}"
        return warning(name, detail, "Lower maxmemory: rewriting the append-only file needs room beside it.")
    share = used / most
    are = word_for(used // _MEBIBYTE, "is", "are")
    detail = f"{used // _MEBIBYTE:,} of {most // _MEBIBYTE:,} MiB {are} used ({share:.0%})"
    todo = "Run more workers, or raise maxmemory."
    if share >= _FULL:
        return wrong(name, detail, todo)
    if share >= high_water:
        return warning(name, f"{detail}: producers wait", todo)
    return good(name, detail)


def _dead_letters(state: RedisState) -> Finding:
    name = "dead messages"
    if state.expiring:
        keys = ", ".join(state.expiring)
        return wrong(name, f"expire by themselves: {keys}", f"PERSIST {keys}, and find out who set the expiry.")
    if state.strange_dead:
        return wrong(
            name,
            f"{counted(state.strange_dead, 'was', 'were')} buried by another Dramatiq client, which purges "
            f"{word_for(state.strange_dead, 'it', 'them')} after its own time",
            "Give that client a Redis database or a namespace of its own.",
        )
    return good(name, "never expire")


def _neighbours(state: RedisState) -> Finding:
    name = "other clients"
    if not state.strangers:
        return good(name, "none use this namespace")
    clients = counted(state.strangers, "other Dramatiq client uses", "other Dramatiq clients use")
    killed = word_for(state.strangers, "a worker that was", "workers that were")
    return warning(
        name,
        f"{clients} this namespace, or did: {killed} killed, or somebody else's, whose time-to-live purges dead "
        "letters",
        "Give what is somebody else's a Redis database or a namespace of its own.",
    )
