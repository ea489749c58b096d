"""The `producer` command."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click
from pydantic import SecretStr, TypeAdapter, ValidationError

from producers.backfill import run_backfill
from producers.emitter import Emitter
from producers.options import BackfillOptions
from producers.outbox.command import outbox
from producers.rate import parse_rate
from shared import __version__
from shared.command import DONE, USAGE, RunferryGroup, print_json, say, store_options
from shared.contract import Prefer
from shared.counting import counted
from shared.documents import Document
from shared.durations import Duration
from shared.errors import Malformed, UsageError
from shared.ids import parse_run_id
from shared.printable import printable
from shared.run_folders.share import Share
from shared.run_folders.stage_folder import is_document
from shared.settings import Settings
from shared.stores import resolve_stores

_WORKER_TIMEOUT: Final = timedelta(seconds=60)


class _DurationOption(click.ParamType[timedelta]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        try:
            duration = TypeAdapter[timedelta](Duration).validate_python(value)
        except ValidationError:
            self.fail(f"{value!r} is no duration: write 10s, 5m or 1h.", param, ctx)
        if duration < timedelta(0):
            self.fail("a duration can't be negative.", param, ctx)
        return duration


class _RateOption(click.ParamType[float]):
    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_rate(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _ShareOption(click.ParamType[Share]):
    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Share:
        try:
            return Share.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group(cls=RunferryGroup)
@click.version_option(__version__, prog_name="runferry")
def main() -> None:
    """Send stage outputs to the workers: all that is on disk, or one output now.

    \b
    Examples:
      producer backfill --all --dry-run
      producer backfill --all --wait --run-workers 2
      producer outbox status
    """


@main.command(
    epilog="""\b
Examples:
  producer backfill --all --wait --run-workers 2     everything, with workers of its own, to the end
  producer backfill --all --dry-run                  what would become of it; needs no services
  producer backfill --run-id test-run-001 --wait     one run, by workers that run already
  producer backfill --all --resume --rate 50/s       only what is not accounted for, gently
  producer backfill --all --share 2/3 --wait         the second of three producers that read one root

\b
Exit status: 0 every output is accounted for (a dead letter is: it is named), 1 something was left out, conflicts,
or could not be read (with --strict also dead letters), 2 wrong usage or could not run, 130 interrupted."""
)
@click.option("--all", "every", is_flag=True, help="All runs of the root.")
@click.option("--run-id", "run_ids", multiple=True, metavar="ID", help="This run; may be given several times.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="The folder of the run folders (default data/test-outputs; RUNFERRY_ROOT).",
)
@click.option(
    "--user-id", metavar="USER", help="Owner of new runs: a User.id or clerkId (default migration-user)."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Read so many runs at most.")
@click.option(
    "--share",
    type=_ShareOption(),
    metavar="K/N",
    help="Of all runs only the K-th of N shares: for several producers that read one root.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would become of the outputs; publish nothing.")
@click.option("--resume", is_flag=True, help="Leave out what is accounted for already.")
@click.option("--rate", type=_RateOption(), metavar="N/s", help="Publish so many messages a second at most.")
@click.option(
    "--settle",
    type=_DurationOption(),
    metavar="S",
    help="Leave out what changed in the last S (default 10s; RUNFERRY_SETTLE).",
)
@click.option(
    "--prefer",
    type=click.Choice([prefer.value for prefer in Prefer]),
    help="Which side wins where files differ from rows that a backfill may not overwrite.",
)
@click.option("--wait", is_flag=True, help="Follow every output to its end; reads unsettled ones again.")
@click.option(
    "--run-workers",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Run N worker processes for the length of the backfill; implies --wait.",
)
@click.option(
    "--worker-timeout",
    type=_DurationOption(),
    default=_WORKER_TIMEOUT,
    metavar="S",
    help="Give up when no worker lives for so long (default 60s).",
)
@click.option("--strict", is_flag=True, help="Exit with 1 on dead letters too.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON document.")
@store_options
def backfill(
    settings: Settings,
    every: bool,
    run_ids: tuple[str, ...],
    root: Path | None,
    user_id: str | None,
    limit: int | None,
    share: Share | None,
    dry_run: bool,
    resume: bool,
    rate: float | None,
    settle: timedelta | None,
    prefer: str | None,
    wait: bool,
    run_workers: int | None,
    worker_timeout: timedelta,
    strict: bool,
    as_json: bool,
) -> int:
    """Publish the outputs of the run folders below a root.

    A full scan is the default: what is in the rows already comes back as a duplicate, and no row is touched.
    """
    if every == bool(run_ids):
        raise UsageError("Say which runs: either --all, or --run-id ID (several times for several runs).")
    if share is not None and run_ids:
        raise UsageError("--share is a part of all runs: leave it out where runs are named.")
    if dry_run and (resume or run_workers is not None):
        raise UsageError("--dry-run looks at the files alone: leave out --resume and --run-workers.")
    options = BackfillOptions(
        root=root or settings.root,
        settle_s=(settings.settle if settle is None else settle).total_seconds(),
        worker_timeout_s=worker_timeout.total_seconds(),
        run_ids=tuple(dict.fromkeys(run_ids)),
        user_id=user_id,
        limit=limit,
        share=share,
        dry_run=dry_run,
        resume=resume,
        rate_per_s=rate,
        prefer=None if prefer is None else Prefer(prefer),
        wait=wait or run_workers is not None,
        run_workers=run_workers,
        strict=strict,
    )
    return run_backfill(options, settings, as_json=as_json)


@main.command(
    epilog="""\b
Examples:
  producer emit run-1 2 trends.json trend-analysis.md
  producer emit run-1 5 opportunity-1.md --root data/test-outputs     the file in run-1/stage5/"""
)
@click.argument("run_id")
@click.argument("stage", type=click.IntRange(1, 5))
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option(
    "--root", type=click.Path(path_type=Path), help="Look for the files in RUN_ID's stage folder of DIR."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was sent as one JSON document.")
@store_options
def emit(
    settings: Settings, run_id: str, stage: int, files: tuple[str, ...], root: Path | None, as_json: bool
) -> int:
    """Send the FILEs as the output of one STAGE (1 to 5) of a run, as a pipeline stage does.

    They are the whole output of that stage: what the rows have of it is replaced.
    """
    try:
        folder = Path() if root is None else root / parse_run_id(run_id) / f"stage{stage}"
        documents = [_document(folder / name) for name in files]
        if len({document.name for document in documents}) < len(documents):
            raise UsageError("Two of the files have the same name: an output has each name once.")
        stores = resolve_stores(settings)
        with Emitter(settings.model_copy(update={"redis_url": SecretStr(stores.redis_url)})) as emitter:
            emitted = emitter.emit(run_id, stage, documents)
    except Malformed as malformed:
        say(f"producer emit: {printable(malformed.sentence)}")
        return USAGE
    if as_json:
        print_json(
            {
                "published": emitted.published,
                "message_id": emitted.message_id,
                "produced_at": emitted.produced_at,
                "content_sha256": emitted.content_sha256,
            }
        )
    elif emitted.published:
        click.echo(f"Sent stage {stage} of {run_id} to the live queue: {counted(len(documents), 'document')}.")
    else:
        click.echo("Nothing was sent: the phase is files-only.")
    return DONE


main.add_command(outbox)


def _document(path: Path) -> Document:
    if not is_document(path.name):
        raise UsageError(f"{path} is no document: outputs hold .json and .md files that are not hidden.")
    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    return Document(path.name, path.read_bytes())


if __name__ == "__main__":
    main()
