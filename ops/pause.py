"""`ops pause` and `ops resume`: hold queues by hand, and let them go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from ops.dlq.asking import who
from ops.dlq.summary import iso, short_time
from shared import queues
from shared.broker.broker import RunferryBroker, make_broker
from shared.broker.client import queue_errors
from shared.broker.holds import Hold, Holds
from shared.command import DONE, RunferryCommand, print_json, store_options
from shared.counting import counted
from shared.settings import Settings
from shared.stores import resolve_stores

_queue = click.argument("queue", required=False, type=click.Choice(queues.ALL))
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command(
    cls=RunferryCommand,
    epilog="""\b
Examples:
  ops pause                                         all queues
  ops pause backfill --why "a release is under way"
  ops resume backfill""",
)
@_queue
@click.option("--why", default="", metavar="TEXT", help="Why; shown to everybody who looks.")
@_as_json
@store_options
def pause(settings: Settings, *, queue: str | None, why: str, as_json: bool) -> int:
    """Stop consuming QUEUE (live, backfill or reconcile; all of them by default).

    Workers follow within two seconds. What they are working on is finished, what comes in waits in Redis, and
    nothing is lost, however long it lasts.
    """
    names = _named(queue)
    with _broker(settings) as (broker, holds):
        hold = Hold(who(), why, broker.redis_now())
        for name in names:
            holds.put(name, hold)
        return _show(broker, holds.all(), names, _paused, as_json=as_json)


@click.command(
    cls=RunferryCommand,
    epilog="""\b
Examples:
  ops resume              all queues that are held
  ops resume backfill""",
)
@_queue
@_as_json
@store_options
def resume(settings: Settings, *, queue: str | None, as_json: bool) -> int:
    """Let QUEUE go on (all that are held by default). Workers follow within two seconds."""
    with _broker(settings) as (broker, holds):
        lifted = [name for name in _named(queue) if holds.lift(name)]
        return _show(broker, holds.all(), lifted, _resumed, as_json=as_json)


def _named(queue: str | None) -> tuple[str, ...]:
    return queues.ALL if queue is None else (queue,)


@contextmanager
def _broker(settings: Settings) -> Iterator[tuple[RunferryBroker, Holds]]:
    broker = make_broker(resolve_stores(settings).redis_url, settings, patience=settings.connect_timeout)
    try:
        with queue_errors():
            yield broker, Holds(broker.client, settings.namespace)
    finally:
        broker.close()


def _show(
    broker: RunferryBroker,
    held: Mapping[str, Hold],
    changed: Sequence[str],
    sentence: Callable[[Sequence[str]], str],
    *,
    as_json: bool,
) -> int:
    depths = broker.depths()
    workers = len(broker.live_workers())
    if as_json:
        print_json({"changed": list(changed), "held": {name: _hold_json(hold) for name, hold in held.items()}})
        return DONE
    click.echo(sentence(changed))
    for name, hold in sorted(held.items()):
        why = f": {hold.why}" if hold.why else ""
        waiting = depths[name].waiting if name in depths else 0
        click.echo(f"  {name} is held by {hold.who} since {short_time(hold.at)} UTC{why} ({waiting:,} waiting)")
    if changed:
        click.echo(
            f"{counted(workers, 'live worker process follows', 'live worker processes follow')} within two seconds."
        )
    return DONE


def _paused(changed: Sequence[str]) -> str:
    return f"Paused: {', '.join(changed)}. Let it go on with: ops resume"


def _resumed(changed: Sequence[str]) -> str:
    return f"Goes on: {', '.join(changed)}." if changed else "Nothing was held there."


def _hold_json(hold: Hold) -> dict[str, Any]:
    return {"who": hold.who, "why": hold.why, "at": iso(hold.at)}
