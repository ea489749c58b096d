"""`producer outbox`: what waits on this disk, and sending it now."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
from pydantic import SecretStr, TypeAdapter, ValidationError

from producers.database_thread import DatabaseThread
from producers.live_queue import LiveQueue
from producers.outbox.flusher import Flusher, Round
from producers.outbox.outbox import Outbox
from shared.command import DIFFERENCE, DONE, RunferryGroup, print_json, say, store_options
from shared.counting import counted, word_for
from shared.durations import Duration
from shared.errors import UsageError
from shared.metrics.textfile import textfile_option, write_textfile
from shared.phase.follower import PhaseFollower
from shared.settings import Phase, Settings
from shared.stores import resolve_stores

_PAUSE_S: Final = 0.2
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group("outbox", cls=RunferryGroup)
def outbox() -> None:
    """Look at the outputs that wait on this disk, or send them now.

    Emitters and stage stores flush it by themselves while they live; `flush` is for a host on which none does.

    \b
    Examples:
      producer outbox status
      producer outbox flush --wait 5m
    """


@outbox.command()
@_json_option
@store_options
def status(settings: Settings, *, as_json: bool) -> int:
    """Show how many outputs wait, and since when. Exit status 1 where any does."""
    usage = Outbox(settings.home, settings.outbox_max_bytes).usage()
    folder = settings.home / "outbox"
    if as_json:
        print_json(
            {
                "folder": str(folder.absolute()),
                "entries": usage.entries,
                "bytes": usage.bytes,
                "max_bytes": settings.outbox_max_bytes,
                "oldest_produced_at": None if usage.oldest is None else usage.oldest.produced_at,
            }
        )
    elif usage.oldest is None:
        click.echo(f"Nothing waits in {folder}.")
    else:
        age = datetime.now(UTC) - usage.oldest.produced_at
        click.echo(
            f"{counted(usage.entries, 'output waits', 'outputs wait')} in {folder}: {usage.bytes:,} of at most "
            f"{settings.outbox_max_bytes:,} bytes, {word_for(usage.entries, '', 'the oldest ')}for {_rounded(age)}. "
            f"{word_for(usage.entries, 'It', 'Each')} leaves once PostgreSQL has a durable end for it."
        )
    return DIFFERENCE if usage.entries else DONE


@outbox.command()
@textfile_option
@store_options
def metrics(settings: Settings, *, file: Path | None) -> int:
    """Tell Prometheus how much waits, from this disk alone: also while Redis and PostgreSQL are away.

    \b
    Examples:
      producer outbox metrics
      producer outbox metrics --to /var/lib/node_exporter/runferry.prom      (each minute, by cron)
    """
    from producers.outbox.metrics import exposition  # the exporter's library costs every other command its start

    text = exposition(Outbox(settings.home, settings.outbox_max_bytes).usage(), settings.outbox_max_bytes)
    if file is None:
        click.echo(text, nl=False)
    else:
        write_textfile(file, text)
    return DONE


@outbox.command()
@click.option(
    "--wait", "patience", metavar="DURATION", default="30s", show_default=True, help="Longest wait for their ends."
)
@_json_option
@store_options
def flush(settings: Settings, *, patience: str, as_json: bool) -> int:
    """Send what waits, and take out what has its end in PostgreSQL. Exit status 1 where something is left."""
    deadline_s = time.monotonic() + _seconds(patience)
    stores = resolve_stores(settings)
    given = settings.model_copy(update={"redis_url": SecretStr(stores.redis_url)})
    queue, database = LiveQueue(given), DatabaseThread(stores.database, given)
    follower = PhaseFollower(given, role="producer outbox", redis_url=stores.redis_url, database=stores.database)
    box = Outbox(settings.home, settings.outbox_max_bytes)
    flusher = Flusher(box, given, queue, database)
    removed = published = 0
    try:
        phase = follower.phase(patience_s=settings.connect_timeout.total_seconds())
        while True:
            done = flusher.round(publishing=phase is not Phase.FILES_ONLY, all_at_once=True)
            removed, published = removed + done.removed, published + done.published
            if not box.count() or phase is Phase.FILES_ONLY or time.monotonic() > deadline_s:
                break
            time.sleep(_PAUSE_S)
    finally:
        follower.close()
        database.close()
        queue.close()
    return _show(box, done, phase, removed=removed, published=published, as_json=as_json)


def _show(box: Outbox, done: Round, phase: Phase, *, removed: int, published: int, as_json: bool) -> int:
    left = box.count()
    result: dict[str, Any] = {"removed": removed, "published": published, "left": left}
    if as_json:
        print_json(result | {"damaged": done.damaged, "troubles": list(dict.fromkeys(done.troubles))})
    else:
        click.echo(
            f"{published:,} sent, {counted(removed, 'has its', 'have their')} end in PostgreSQL, {left:,} left."
        )
    if left and not as_json:
        if phase is Phase.FILES_ONLY:
            say("The phase is files-only: nothing is sent. Raise it with: ops phase set dual-write")
        for trouble in dict.fromkeys(done.troubles):
            say(trouble)
        for name in done.damaged:
            say(f"{box.folder / name} is damaged, and stays until somebody has looked at it.")
    return DIFFERENCE if left else DONE


def _seconds(text: str) -> float:
    try:
        return TypeAdapter[timedelta](Duration).validate_python(text).total_seconds()
    except ValidationError:
        raise UsageError(f"--wait: {text!r} is no duration: write 10s, 5m or 1h.") from None


def _rounded(age: timedelta) -> str:
    return str(timedelta(seconds=round(max(age.total_seconds(), 0))))
