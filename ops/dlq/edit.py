"""`ops dlq edit`: to mend a letter's document in an editor, and replay the copy."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import click

from ops.dlq import editor
from ops.dlq.asking import confirmed, who
from ops.dlq.database import with_database
from ops.dlq.editing import diff_lines, documents_to_edit, kept_edit, last_edited, original_documents, replaced
from ops.dlq.following import Follower, Outcomes
from ops.dlq.messages import Batch, Copy, Replay, Unreplayable, fault_of, replay_of
from ops.dlq.own_workers import own_workers
from ops.dlq.replay import Seconds
from ops.dlq.sending import Sent, send
from ops.dlq.show import letter_or_fail
from producers.identity import publisher_name
from shared.broker.broker import make_broker
from shared.command import DIFFERENCE, DONE, RunferryCommand, print_json, say, store_options
from shared.dead_letters.letter import FiledLetter
from shared.documents import Document
from shared.errors import Malformed, UsageError
from shared.printable import printable
from shared.settings import Settings
from shared.stores import Stores


@click.command("edit", cls=RunferryCommand)
@click.argument("letter_id", metavar="ID", type=click.IntRange(min=1))
@click.option("--document", "names", metavar="NAME", multiple=True, help="Repeatable; default: the one at fault.")
@click.option("--original", is_flag=True, help="Begin with what died, not with the last edited copy.")
@click.option("--wait", is_flag=True, help="Follow the copy to its end; status 1 if it did not become rows.")
@click.option("--run-workers", type=click.IntRange(min=1), metavar="N", help="Run N workers meanwhile; waits.")
@click.option(
    "--worker-timeout", type=Seconds(), default="60s", show_default=True, help="Give up without workers."
)
@click.option("--yes", is_flag=True, help="Don't ask: replay the copy if it would pass.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@store_options
def edit_letter(
    letter_id: int,
    names: tuple[str, ...],
    original: bool,
    wait: bool,
    run_workers: int | None,
    worker_timeout: float,
    yes: bool,
    as_json: bool,
    settings: Settings,
) -> int:
    """Open the document at fault in $EDITOR, show what changed, check it by today's code, ask, and replay the copy.

    What died stays in the letter. Once the copy is in the rows, the output on disk counts as mended.

    \b
    Examples:
      ops dlq edit 12 --wait
      EDITOR=nano ops dlq edit 12 --document opportunity-3.md
      EDITOR="sed -i s/NaN/null/g" ops dlq edit 12 --yes --wait
    """
    batch = Batch(f"replay-{uuid4()}", publisher_name(), datetime.now(UTC))

    async def read(connection: asyncpg.Connection, _: Stores) -> FiledLetter:
        return await letter_or_fail(connection, letter_id)

    # No connection stays open while a person types.
    filed = with_database(settings, read)
    copy, fault = _edited(filed, batch, names, settings, original=original, yes=yes)
    if copy is None or fault is not None or not confirmed("Replay this copy?", yes=yes):
        if as_json:
            print_json(_unsent_json(filed, fault))
        return DONE if fault is None else DIFFERENCE
    sent, outcomes = _replay(
        settings, filed, batch, copy, worker_timeout if wait or run_workers else None, run_workers
    )
    return _tell(filed, batch, sent, outcomes, as_json=as_json)


def _edited(
    filed: FiledLetter, batch: Batch, names: Sequence[str], settings: Settings, *, original: bool, yes: bool
) -> tuple[Copy | None, Malformed | None]:
    """Return the edited copy, None where nothing changed, and what is still wrong with it."""
    if not filed.state.waits:
        raise UsageError(f"Dead letter {filed.id} is {filed.state.value}; only letters that wait can be edited.")
    try:
        before = original_documents(filed)
        edits = {} if original else last_edited(filed)
        chosen = replaced(documents_to_edit(filed, names), edits)
    except Unreplayable as reason:
        raise UsageError(f"Dead letter {filed.id}: {reason}") from None
    if edits:
        say("Going on with the copy that was edited last; --original begins anew.")
    folder = Path(tempfile.mkdtemp(prefix=f"dead-letter-{filed.id}-"))
    paths = editor.put(chosen, folder)
    while True:
        editor.edit(paths.values())
        try:
            copies = {name: Document(name, path.read_bytes()) for name, path in paths.items()}
        except OSError as error:
            raise UsageError(
                f"The editor left nothing to read in {error.filename}: {error.strerror}; nothing was changed."
            ) from None
        after = replaced(before, {**edits, **copies})
        if after == before:
            _clear(paths, folder)
            say("Nothing was changed.")
            return None, None
        for line in diff_lines(before, after):
            click.echo(_coloured(line), err=True)
        output_time = filed.letter.produced_at or filed.letter.delivery.first_failed_at
        copy = Copy(after, output_time)
        fault = fault_of(replay_of(filed, batch, copy), settings.max_output_bytes)
        if fault is None:
            _clear(paths, folder)
            return copy, None
        say(f"The copy would die as well, of {fault.reason.value}: {printable(fault.sentence)}")
        if yes or not sys.stdin.isatty() or not click.confirm("Edit again?", default=True, err=True):
            say(f"Nothing was sent; the copy is kept in {folder}.")
            return copy, fault


def _replay(
    settings: Settings, filed: FiledLetter, batch: Batch, copy: Copy, wait_s: float | None, run_workers: int | None
) -> tuple[Sent, Outcomes | None]:
    kept = kept_edit(original_documents(filed), copy.documents)

    def line(replay: Replay) -> Mapping[str, Any]:
        return {
            "what": "edited",
            "who": who(),
            "batch_id": batch.batch_id,
            "as": replay.copy_sha256,
            "documents": kept,
        }

    async def run(connection: asyncpg.Connection, stores: Stores) -> tuple[Sent, Outcomes | None]:
        broker = make_broker(stores.redis_url, settings)
        try:
            sent = await send(connection, broker, [filed.id], lambda found: replay_of(found, batch, copy), line)
            if wait_s is None or not sent.sent:
                return sent, None
            follower = Follower(
                connection,
                broker,
                batch.batch_id,
                worker_timeout_s=wait_s,
                own_workers=run_workers is not None,
                say=say,
            )
            with own_workers(run_workers, stores, settings, batch.batch_id):
                return sent, await follower.until(1, lambda _: None)
        finally:
            broker.close()

    return with_database(settings, run)


def _tell(filed: FiledLetter, batch: Batch, sent: Sent, outcomes: Outcomes | None, *, as_json: bool) -> int:
    outcome = None if outcomes is None else next(iter(outcomes.counts), "pending")
    if as_json:
        print_json({"id": filed.id, "replayed": len(sent.sent), "outcome": outcome, "batch_id": batch.batch_id})
    if not sent.sent:
        say(f"Dead letter {filed.id} is in the queue already, or was closed meanwhile; the copy was not sent.")
        return DIFFERENCE
    say(f"Replayed the copy of dead letter {filed.id} in batch {batch.batch_id}.")
    if outcome is None:
        return DONE
    say(f"It is {outcome.replace('_', ' ')}.")
    return DONE if outcome in ("applied", "duplicate", "superseded") else DIFFERENCE


def _unsent_json(filed: FiledLetter, fault: Malformed | None) -> dict[str, Any]:
    would_fail = None if fault is None else {"reason": fault.reason.value, "sentence": fault.sentence}
    return {"id": filed.id, "replayed": 0, "outcome": None, "would_fail": would_fail}


def _clear(paths: Mapping[str, Path], folder: Path) -> None:
    for path in paths.values():
        path.unlink(missing_ok=True)
    # An editor may have left a backup there, which is the user's.
    if not any(folder.iterdir()):
        folder.rmdir()


def _coloured(line: str) -> str:
    if line.startswith("+"):
        return click.style(line, fg="green")
    return click.style(line, fg="red") if line.startswith("-") else line
