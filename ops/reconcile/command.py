"""The `ops reconcile` command."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click
from pydantic import TypeAdapter, ValidationError

from ops.reconcile.history import show_history, show_report
from ops.reconcile.options import ReconcileOptions, Sample
from ops.reconcile.reconcile import run_publish, run_reconcile
from shared.command import RunferryCommand, store_options
from shared.durations import Duration
from shared.errors import UsageError
from shared.reconciling.verdicts import ALLOWABLE, DEFAULT_REPAIRS, REPAIRABLE, Standing
from shared.settings import Settings

_DEFAULT: Final = "default"
_WORKER_TIMEOUT: Final = timedelta(seconds=60)


class _DurationOption(click.ParamType[timedelta]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        try:
            return TypeAdapter[timedelta](Duration).validate_python(value)
        except ValidationError:
            self.fail(f"{value!r} is no duration: write 10s, 5m or 1h.", param, ctx)


@click.command(
    "reconcile",
    cls=RunferryCommand,
    epilog="""\b
Examples:
  ops reconcile --all --run-workers 2          prove it for every run, with workers of its own
  ops reconcile --sample 50                    look at 50 runs
  ops reconcile --all --repair                 send again what is missing or stale, then report
  ops reconcile --all --repair=differs         overwrite rows that differ, once you know that the files are right
  ops reconcile --all --final                  also demand what deleting files needs
  ops reconcile --all --no-wait                ask the workers, and look at the report later
  ops reconcile --history                      the reports so far

\b
Exit status: 0 every output is in the rows, in flight, or in a dead letter; 1 an output is missing, different, or
otherwise not accounted for (with --final also: in flight, an open dead letter, or on disk alone); 2 wrong usage, or
nothing could be proved: no outputs, no workers, a worker that sees another root, a report that is not finished.""",
)
@click.option("--all", "every", is_flag=True, help="All runs of the root.")
@click.option("--run-id", "run_ids", multiple=True, metavar="ID", help="This run; may be given several times.")
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="So many runs.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same sample.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="The folder of the run folders (default data/test-outputs; RUNFERRY_ROOT).",
)
@click.option(
    "--repair",
    is_flag=False,
    flag_value=_DEFAULT,
    metavar="[=VERDICT,…]",
    help="Send again what is missing, stale or malformed without a letter; other verdicts only where you name them.",
)
@click.option(
    "--final",
    is_flag=True,
    help="Demand what deleting the files needs: nothing in flight, no open dead letter, nothing that only files hold.",
)
@click.option(
    "--allow",
    metavar="VERDICT,…",
    help="With --final: these may be on disk alone, and their content may go with the files.",
)
@click.option(
    "--no-wait", is_flag=True, help="Ask the workers and leave; the report is finished by --report or --history."
)
@click.option(
    "--settle",
    type=_DurationOption(),
    metavar="S",
    help="What changed in the last S may still be written (default 10s; RUNFERRY_SETTLE).",
)
@click.option(
    "--run-workers",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Run N worker processes for the length of the report.",
)
@click.option(
    "--worker-timeout",
    type=_DurationOption(),
    default=_WORKER_TIMEOUT,
    metavar="S",
    help="Give up when no worker lives for so long (default 60s).",
)
@click.option("--history", is_flag=True, help="List the reports so far, newest first; make none.")
@click.option("--report", "report_id", type=click.IntRange(min=1), metavar="ID", help="Show one report again.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON document.")
@store_options
def reconcile(
    settings: Settings,
    every: bool,
    run_ids: tuple[str, ...],
    sample: int | None,
    seed: int,
    root: Path | None,
    repair: str | None,
    final: bool,
    allow: str | None,
    no_wait: bool,
    settle: timedelta | None,
    run_workers: int | None,
    worker_timeout: timedelta,
    history: bool,
    report_id: int | None,
    as_json: bool,
) -> int:
    """Prove that every output on disk is in a row, in flight, or in a dead letter with its reason.

    The outputs are counted by this command and compared by the workers, field by field.
    """
    if history and report_id is not None:
        raise UsageError("--history or --report: one of them.")
    if history:
        return show_history(settings, as_json=as_json)
    if report_id is not None:
        return show_report(report_id, settings, as_json=as_json)
    if [every, bool(run_ids), sample is not None].count(True) != 1:
        raise UsageError("Say which runs: --all, or --run-id ID (several times for several runs), or --sample N.")
    options = ReconcileOptions(
        root=root or settings.root,
        settle_s=(settings.settle if settle is None else settle).total_seconds(),
        worker_timeout_s=worker_timeout.total_seconds(),
        run_ids=tuple(dict.fromkeys(run_ids)),
        sample=None if sample is None else Sample(sample, seed),
        repair=frozenset() if repair is None else _repairs(repair),
        final=final,
        allow=frozenset() if allow is None else _verdicts(allow, ALLOWABLE, "--allow", "superseded,deleted"),
        run_workers=run_workers,
    )
    _check(options, no_wait=no_wait)
    if no_wait:
        return run_publish(options, settings, as_json=as_json)
    return run_reconcile(options, settings, as_json=as_json)


def _check(options: ReconcileOptions, *, no_wait: bool) -> None:
    """Raise UsageError for options that say nothing together."""
    if options.allow and not options.final:
        raise UsageError("--allow is about --final: without it nothing is refused for being on disk alone.")
    if options.final and options.sample is not None:
        raise UsageError("--final needs --all or --run-id: a sample says nothing about the other files.")
    if no_wait and options.repair:
        raise UsageError("--repair waits until everything is written, and looks again: leave out --no-wait.")
    if no_wait and options.run_workers is not None:
        raise UsageError("--run-workers ends its workers with the command: leave out --no-wait.")


def _repairs(text: str) -> frozenset[Standing]:
    if text == _DEFAULT:
        return DEFAULT_REPAIRS
    return _verdicts(text, REPAIRABLE, "--repair", "missing,differs")


def _verdicts(text: str, allowed: Collection[Standing], option: str, example: str) -> frozenset[Standing]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    known = {standing.value: standing for standing in allowed}
    unknown = [word for word in words if word not in known]
    if unknown or not words:
        raise UsageError(
            f"{option} does not take {', '.join(unknown) or 'nothing'}; it takes {', '.join(sorted(known))}, "
            f"as in {option}={example}."
        )
    return frozenset(known[word] for word in words)
