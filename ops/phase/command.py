"""`ops phase show` and `ops phase set`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import asyncpg
import click
import orjson
import redis

from ops.dlq.asking import who
from ops.dlq.database import with_database
from ops.dlq.summary import iso, short_time
from ops.phase.acknowledging import Answers, await_answers
from ops.phase.facts import OnlyInRows, count_only_in_rows, read_standing
from ops.phase.gates import Standing, check_neighbours, is_upwards, next_above, obstacles
from producers.outbox.outbox import Outbox
from shared.broker.client import make_client
from shared.command import DIFFERENCE, DONE, RunferryGroup, print_json, say, store_options
from shared.counting import counted, word_for
from shared.errors import UsageError
from shared.phase.change import PhaseChange, latest
from shared.phase.history import history, in_force, lock, record
from shared.phase.presence import Process, live_processes
from shared.phase.redis_copy import read_copy, write_copy
from shared.settings import Phase, Settings
from shared.stores import Stores

_SHOWN: Final = 10
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group("phase", cls=RunferryGroup)
def phase() -> None:
    """Show or set the phase: files-only, dual-write, db-first or db-only.

    Every process that reaches Redis or PostgreSQL follows within two seconds.

    \b
    Examples:
      ops phase show
      ops phase set db-first
      ops phase set dual-write --why "reads are slow"       downwards: always, and at once
    """


@phase.command()
@_json_option
@store_options
def show(settings: Settings, *, as_json: bool) -> int:
    """Show the phase in force, who set it, who follows it, what stands before the next one, and the history."""

    async def look(connection: asyncpg.Connection, stores: Stores) -> dict[str, Any]:
        copy = _copy(settings, stores)
        standing = await read_standing(connection, settings, copy)
        changes = await history(connection, _SHOWN)
        truth = await in_force(connection)
        above = next_above(standing.phase)
        return {
            "phase": standing.phase.value,
            "since": iso(standing.since),
            "override": (truth or copy) is not None,
            "in_history": truth is None or truth.phase is standing.phase,
            "next": None
            if above is None
            else {"phase": above.value, "obstacles": obstacles(standing, above, settings)},
            **_processes_json(settings, stores, truth),
            "history": [_change_json(change) for change in changes],
        }

    found = with_database(settings, look)
    if as_json:
        print_json(found)
    else:
        _print(found)
    return DONE


@phase.command("set")
@click.argument("target", metavar="PHASE", type=click.Choice([one.value for one in Phase]))
@click.option("--why", default="", metavar="TEXT", help="Why; kept in the history.")
@click.option("--force", is_flag=True, help="Go up although the gate is closed; needs --why.")
@_json_option
@store_options
def set_phase(settings: Settings, *, target: str, why: str, force: bool, as_json: bool) -> int:
    """Set the phase to PHASE.

    Up goes one at a time, after a soak and on a green checklist of the last day; --force goes past these, and its
    reason is kept. Down goes always, any number of phases, at once. Exit status 1: it is set, and some process did
    not answer.
    """
    if force and not why:
        raise UsageError("--force needs --why: the reason is kept for good.")
    wanted = Phase(target)

    async def change(connection: asyncpg.Connection, stores: Stores) -> dict[str, Any]:
        async with connection.transaction():
            await lock(connection)
            copy = _copy(settings, stores)
            standing = await read_standing(connection, settings, copy)
            truth = await in_force(connection)
            forced = _check_gate(standing, wanted, settings, force=force)
            going_down = is_upwards(wanted, standing.phase)
            only = await count_only_in_rows(connection, settings.root) if going_down else OnlyInRows(looked=True)
            # Where the copy is later, the history is of a restored database: who follows it would not be moved by less.
            if truth is None or truth.phase is not wanted or (latest(truth, copy) or truth).phase is not wanted:
                truth = await record(
                    connection,
                    wanted,
                    who=who(),
                    why=why,
                    forced=bool(forced),
                    evidence=_evidence(standing, forced, only),
                    after=latest(truth, copy),
                )
        _tell_only_in_rows(only, settings)
        unsent = _unsent_here(settings) if wanted is Phase.FILES_ONLY else 0
        told = _tell(settings, stores, truth)
        answers = await_answers(settings, stores.redis_url, truth) if told is None else Answers((), (), ())
        return {
            "phase": wanted.value,
            "before": standing.phase.value,
            "forced_past": forced,
            "only_in_rows": asdict(only),
            "acknowledged": [process.name for process in answers.acknowledged],
            "silent": [process.name for process in answers.silent],
            "outboxes": {process.name: process.outbox_entries for process in answers.with_outbox},
            "outbox_here": unsent,
            "redis": told or "told",
        }

    result = with_database(settings, change)
    if as_json:
        print_json(result)
    else:
        _print_set(result)
    return DIFFERENCE if result["silent"] or result["redis"] != "told" else DONE


def _check_gate(standing: Standing, wanted: Phase, settings: Settings, *, force: bool) -> list[str]:
    """Return what was forced past; raises UsageError where the gate is closed."""
    check_neighbours(standing.phase, wanted)
    found = obstacles(standing, wanted, settings)
    if found and not force:
        raise UsageError(" ".join([*found, "(--force --why REASON goes past.)"]))
    return found


def _tell_only_in_rows(only: OnlyInRows, settings: Settings) -> None:
    if not only.looked:
        say(f"The root {settings.root} is not here, so it can't be told which outputs are only in rows.")
    if only.outputs:
        example = word_for(only.runs, only.example, f"such as {only.example}")
        outputs = f"{counted(only.outputs, 'output')} of {counted(only.runs, 'run')} ({example})"
        say(
            f"{outputs} {word_for(only.outputs, 'is', 'are')} only in rows, or newer there: "
            f"{word_for(only.outputs, 'its', 'their')} files in {settings.root} are missing or old. "
            f"To have {word_for(only.outputs, 'it', 'them')} as files: ops export --all --to {settings.root}"
        )


def _unsent_here(settings: Settings) -> int:
    """Count what waits in the outbox of this host, and say so: no process need be alive that would send it."""
    unsent = Outbox(settings.home, settings.outbox_max_bytes).count()
    if unsent:
        say(
            f"{counted(unsent, 'output waits', 'outputs wait')} in {settings.home.absolute() / 'outbox'} on this host, "
            f"in no file and perhaps in no row: in files-only {word_for(unsent, 'it stays', 'they stay')} there. "
            "In another phase `producer outbox flush` sends what is left."
        )
    return unsent


def _evidence(standing: Standing, forced: Sequence[str], only: OnlyInRows) -> Mapping[str, Any]:
    return {
        "before": standing.phase.value,
        "since": iso(standing.since),
        "checklist_at": iso(standing.checklist_at),
        "checklist_passed": standing.checklist_passed,
        "forced_past": list(forced),
        "only_in_rows": only.outputs,
    }


@contextlib.contextmanager
def _client(settings: Settings, redis_url: str) -> Iterator[redis.Redis]:
    client = make_client(redis_url, timeout_s=settings.connect_timeout.total_seconds(), retried=False)
    try:
        yield client
    finally:
        client.close()


def _copy(settings: Settings, stores: Stores) -> PhaseChange | None:
    with contextlib.suppress(redis.RedisError, OSError), _client(settings, stores.redis_url) as client:
        return read_copy(client, settings.namespace)
    return None


def _tell(settings: Settings, stores: Stores, change: PhaseChange) -> str | None:
    """Write the copy in Redis; returns why that could not be done."""
    try:
        with _client(settings, stores.redis_url) as client:
            write_copy(client, settings.namespace, change)
    except (redis.RedisError, OSError) as error:
        return str(error)
    return None


def _processes_json(settings: Settings, stores: Stores, truth: PhaseChange | None) -> dict[str, Any]:
    try:
        with _client(settings, stores.redis_url) as client:
            copy = read_copy(client, settings.namespace)
            if truth is not None and latest(copy, truth) is not copy:
                # Whoever set it was cut off in between, or Redis lost its memory.
                write_copy(client, settings.namespace, truth)
            processes = live_processes(client, settings.namespace)
    except (redis.RedisError, OSError) as error:
        return {"processes": None, "redis": str(error)}
    return {"processes": [_process_json(process) for process in processes]}


def _process_json(process: Process) -> dict[str, Any]:
    return {
        "name": process.name,
        "phase": process.phase.value,
        "since": iso(process.changed_at),
        "outbox_entries": process.outbox_entries,
    }


def _change_json(change: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "phase": change["phase"],
        "at": iso(change["at"]),
        "who": change["who"],
        "why": change["why"],
        "forced": change["forced"],
        "evidence": orjson.loads(change["evidence"]),
    }


def _print(found: Mapping[str, Any]) -> None:
    since = short_time(datetime.fromisoformat(found["since"]))
    how = "" if found["override"] else " (by RUNFERRY_PHASE: nobody has set it yet)"
    click.echo(f"The phase is {found['phase']} since {since} UTC{how}.")
    if not found["in_history"]:
        click.echo(
            "PostgreSQL's history ends before that: its database was restored. "
            f"`ops phase set {found['phase']}` writes it there as well."
        )
    above = found["next"]
    if above is not None:
        opens = "is open" if not above["obstacles"] else "is closed"
        click.echo(f"The way up to {above['phase']} {opens}.")
        for obstacle in above["obstacles"]:
            click.echo(f"  {obstacle}")
    if found["processes"] is None:
        click.echo(f"Redis can't say who follows it: {found['redis']}")
    else:
        click.echo(_following(len(found["processes"])))
        for process in found["processes"]:
            waiting = f", {process['outbox_entries']:,} in its outbox" if process["outbox_entries"] else ""
            click.echo(f"  {process['name']}: {process['phase']}{waiting}")
    for change in found["history"]:
        at = short_time(datetime.fromisoformat(change["at"]))
        forced = " (forced)" if change["forced"] else ""
        why = f": {change['why']}" if change["why"] else ""
        click.echo(f"  {at}  {change['phase']}{forced} by {change['who']}{why}")


def _following(processes: int) -> str:
    return f"{counted(processes, 'live process follows', 'live processes follow')} it."


def _print_set(result: Mapping[str, Any]) -> None:
    click.echo(f"The phase is {result['phase']}; it was {result['before']}.")
    for obstacle in result["forced_past"]:
        click.echo(f"Forced past: {obstacle}")
    if result["redis"] != "told":
        say(
            f"Redis could not be told: {result['redis']} Processes that reach PostgreSQL follow while Redis is away; "
            "once it is back, `ops phase show` tells it."
        )
        return
    click.echo(_following(len(result["acknowledged"])))
    for name in result["silent"]:
        say(f"No answer from {name}: it may still be in {result['before']}.")
    for name, entries in result["outboxes"].items():
        stays = word_for(entries, "it stays", "they stay")
        say(f"{name} has {counted(entries, 'output')} in its outbox; in files-only {stays} there.")
