"""`ops dlq replay`: to send letters again, once their files or the code are mended."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import click
import orjson

from ops.dlq.asking import who
from ops.dlq.database import with_database
from ops.dlq.discard import require_choice
from ops.dlq.messages import Batch
from ops.dlq.own_workers import own_workers
from ops.dlq.progress import ReplayProgress
from ops.dlq.replaying import DryRun, Replayer, ReplayOptions, ReplayResult, dry_run
from ops.dlq.rereading import check_root
from ops.dlq.selection import Selection, selection_options
from ops.dlq.streaming import check_ids, count
from ops.dlq.summary import letters
from ops.dlq.tables import Row, print_rows
from producers.identity import publisher_name
from producers.rate import parse_rate
from producers.spill import write_document
from shared.broker.broker import make_broker
from shared.command import DIFFERENCE, DONE, RunferryCommand, say, store_options
from shared.counting import counted
from shared.durations import parse_duration
from shared.errors import UsageError
from shared.printable import printable
from shared.settings import Settings
from shared.stores import Stores

_MOST_NAMED: Final = 20


class Rate(click.ParamType[float]):
    """A rate on the command line."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_rate(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Seconds(click.ParamType[float]):
    """A duration on the command line, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        duration = parse_duration(str(value))
        if isinstance(duration, str):
            self.fail(f"{value!r} is no duration: write 10s, 5m or 1h.", param, ctx)
        return float(duration.total_seconds())  # type: ignore[attr-defined]


@click.command("replay", cls=RunferryCommand)
@selection_options(ids=True, states=False)
@click.option("--all", "everything", is_flag=True, help="All letters that wait.")
@click.option("--dry-run", "only_judge", is_flag=True, help="Say which would pass by today's code; send nothing.")
@click.option("--from-disk", is_flag=True, help="Read the documents from the run folders again: they were mended.")
@click.option(
    "--root", type=click.Path(file_okay=False, path_type=Path), help="The run folders; default: RUNFERRY_ROOT."
)
@click.option("--rate", "rate_per_s", type=Rate(), metavar="N/s", help="Send no faster.")
@click.option("--canary", type=click.IntRange(min=1), metavar="N", help="Send N first; go on once they are rows.")
@click.option("--wait", is_flag=True, help="Follow each one to its end; status 1 if any did not become rows.")
@click.option("--run-workers", type=click.IntRange(min=1), metavar="N", help="Run N workers meanwhile; waits.")
@click.option(
    "--worker-timeout", type=Seconds(), default="60s", show_default=True, help="Give up without workers."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@store_options
def replay_letters(
    selection: Selection,
    everything: bool,
    only_judge: bool,
    from_disk: bool,
    root: Path | None,
    rate_per_s: float | None,
    canary: int | None,
    wait: bool,
    run_workers: int | None,
    worker_timeout: float,
    as_json: bool,
    settings: Settings,
) -> int:
    """Send letters again, by ids or filters. A replay never overwrites a newer row, and none runs twice at once.

    A letter that dies again is the same letter, with one more line of history.

    \b
    Examples:
      ops dlq replay 12 --wait
      ops dlq replay --reason not_json --dry-run
      ops dlq replay --run-id run-1761684318140-2849 --from-disk --wait
      ops dlq replay --fingerprint 3f2b8c1e --canary 5 --rate 50/s --wait --json
    """
    require_choice(selection, everything=everything)
    if root is not None and not from_disk:
        raise UsageError("--root says where to read with --from-disk; add it, or leave out --root.")
    folder = (root or settings.root) if from_disk else None
    if folder is not None:
        check_root(folder)
    batch = Batch(f"replay-{uuid4()}", publisher_name(), datetime.now(UTC))
    if only_judge:
        return _judge(settings, selection, batch, folder, as_json=as_json)
    options = ReplayOptions(
        folder, rate_per_s, canary or 0, wait or run_workers is not None, worker_timeout, run_workers
    )
    with closing(ReplayResult()) as result:
        replay(settings, selection, batch, options, result)
        if as_json:
            lists = {"unreplayable": result.unreplayable.lines()}
            write_document(sys.stdout.buffer, result_json(result, batch), lists)
        _tell(result, batch, options)
        return DIFFERENCE if _some_failed(result) else DONE


def replay(
    settings: Settings, selection: Selection, batch: Batch, options: ReplayOptions, result: ReplayResult
) -> None:
    """Replay a selection, and add what was done to `result`; raises UsageError or RetryableError with a sentence."""

    async def run(connection: asyncpg.Connection, stores: Stores) -> None:
        await check_ids(connection, selection)
        total = await count(connection, selection)
        broker = make_broker(stores.redis_url, settings)
        try:
            with (
                own_workers(options.run_workers, stores, settings, batch.batch_id),
                ReplayProgress(total, "sent") as progress,
            ):
                replayer = Replayer(connection, broker, batch, options, settings, progress, who(), result)
                await _replayed(replayer, selection)
        finally:
            broker.close()

    with_database(settings, run)


async def _replayed(replayer: Replayer, selection: Selection) -> None:
    try:
        await replayer.run(selection)
    except asyncio.CancelledError:
        say(
            f"Interrupted: {counted(replayer.result.replayed, 'letter was', 'letters were')} sent in batch "
            f"{replayer.batch.batch_id}, the others are as they were. The same command goes on."
        )
        raise


def _judge(settings: Settings, selection: Selection, batch: Batch, root: Path | None, *, as_json: bool) -> int:
    with closing(DryRun()) as found:

        async def run(connection: asyncpg.Connection, _: Stores) -> None:
            await check_ids(connection, selection)
            await dry_run(connection, selection, batch, root, settings.max_output_bytes, found)

        with_database(settings, run)
        if as_json:
            lists = {"would_pass": found.would_pass.lines(), "would_fail": found.would_fail.lines()}
            write_document(sys.stdout.buffer, {}, lists)
        else:
            print_rows(_judged(found))
        say(f"{len(found.would_pass):,} would pass, {len(found.would_fail):,} would fail; nothing was sent.")
        return DIFFERENCE if len(found.would_fail) else DONE


def _judged(found: DryRun) -> Iterator[Row]:
    for failing in map(orjson.loads, found.would_fail.lines()):
        letter_id, reason, sentence = failing["id"], failing["reason"], failing["sentence"]
        yield Row((letter_id, "would fail", reason, sentence), str(letter_id), f"would fail: {reason}", sentence)
    for letter_id in map(orjson.loads, found.would_pass.lines()):
        yield Row((letter_id, "would pass"), str(letter_id), "would pass", "")


def result_json(result: ReplayResult, batch: Batch) -> dict[str, Any]:
    """Return the keys that scripts rely on and more, without the letters that can't be sent."""
    counts = None if result.outcomes is None else result.outcomes.counts

    def of(outcome: str) -> int | None:
        return None if counts is None else counts.get(outcome, 0)

    return {
        "replayed": result.replayed,
        "committed": of("applied"),
        "duplicates": of("duplicate"),
        "superseded": of("superseded"),
        "died_again": list(result.not_committed.get("dead_lettered", [])),
        "conflicts": list(result.not_committed.get("conflict", [])),
        "run_deleted": list(result.not_committed.get("deleted", [])),
        "pending": result.pending if counts is not None else None,
        "in_flight": result.in_flight,
        "stopped": result.stopped,
        "batch_id": batch.batch_id,
    }


def _some_failed(result: ReplayResult) -> bool:
    pending = result.outcomes is not None and result.pending > 0
    return bool(result.not_committed or len(result.unreplayable) or result.stopped or pending)


def _tell(result: ReplayResult, batch: Batch, options: ReplayOptions) -> None:
    if not (result.replayed or result.in_flight or len(result.unreplayable)):
        say("No waiting dead letters match.")
        return
    say(f"Replayed {letters(result.replayed)} in batch {batch.batch_id}.")
    if result.outcomes is not None:
        counts = result.outcomes.counts
        say(
            f"{counts.get('applied', 0):,} committed, {counted(counts.get('duplicate', 0), 'duplicate')}, "
            f"{counts.get('superseded', 0):,} superseded, {counts.get('dead_lettered', 0):,} died again."
        )
    sentences: dict[str, Callable[[str], str]] = {
        "dead_lettered": lambda ids: f"Died again: {ids}. `ops dlq show ID` says why.",
        "conflict": lambda ids: f"Not written, because the rows differ and may not be overwritten: {ids}.",
        "deleted": lambda ids: f"Not written, because the run was deleted in the web app: {ids}.",
    }
    for outcome, ids in result.not_committed.items():
        say(sentences[outcome](_named(ids)))
    if result.in_flight:
        say(f"In the queue already, so not sent again: {_named(result.in_flight)}.")
    for unsent in map(orjson.loads, islice(result.unreplayable.lines(), _MOST_NAMED)):
        say(f"{unsent['id']} was not sent: {printable(unsent['reason'])}")
    if (more := len(result.unreplayable) - _MOST_NAMED) > 0:
        unsent_too = counted(more, "more was", "more were")
        say(f"{unsent_too} not sent; `ops dlq list` shows what waits, --json says why of each.")
    if result.stopped:
        say(f"Stopped: {result.stopped}. The other letters are as they were.")
    if result.outcomes is not None and result.pending:
        pending = counted(result.pending, "is still on its", "are still on their")
        say(f"{pending} way; `ops dlq list` shows what waits.")
    if not options.follows and result.replayed:
        say("Workers write them now; --wait follows them, `ops dlq list` shows what died again.")


def _named(ids: list[int]) -> str:
    shown = ", ".join(str(letter_id) for letter_id in ids[:_MOST_NAMED])
    return f"{shown} and {len(ids) - _MOST_NAMED:,} more" if len(ids) > _MOST_NAMED else shown
