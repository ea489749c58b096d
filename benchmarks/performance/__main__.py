"""Measure everything that docs/performance.md tells, interleaved in one run.

python -m benchmarks.performance --runs 2000 --rounds 5 --json performance.json
"""

from __future__ import annotations

import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from benchmarks.performance import growth
from benchmarks.performance.figures import lines
from benchmarks.performance.machine import describe
from benchmarks.performance.measuring import Measuring
from benchmarks.performance.names import LARGE
from benchmarks.performance.record import Record
from benchmarks.performance.steps import Bench, steps_of_round
from benchmarks.stores import benchmark_stores
from benchmarks.tree import DEFAULT_SEED, generate

_INTERRUPTED: Final = 130


@click.command(
    epilog="""\b
Examples:
  python -m benchmarks.performance --json FILE             all, some 15 minutes
  python -m benchmarks.performance --runs 100 --rounds 1   does it run at all
  python -m benchmarks.performance --rounds 0 --scale --json FILE --add
  python -m benchmarks.performance --rounds 0 --backlog 1000000 --json FILE --add

\b
Exit status: 0 everything was measured, 1 a step failed (the others' figures are
kept), 2 wrong usage, 130 interrupted."""
)
@click.option(
    "--runs", type=click.IntRange(min=1), default=2_000, show_default=True, help="Run folders, 37 KB each."
)
@click.option("--rounds", type=click.IntRange(min=0), default=5, show_default=True, help="Medians are shown.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0),
    default=20.0,
    show_default=True,
    help="Begin no round that would end later.",
)
@click.option(
    "--step",
    "names",
    type=click.Choice([*steps_of_round(0)]),
    metavar="NAME",
    multiple=True,
    help=f"Take this step alone; several times for several: {', '.join(steps_of_round(0))}.",
)
@click.option(
    "--scale", is_flag=True, help="Also carry 1,000, 10,000 and 100,000 runs (4 GB of files for a while)."
)
@click.option("--backlog", type=click.IntRange(min=1), metavar="N", help="Also drain a queue of N small messages.")
@click.option(
    "--json", "path", type=click.Path(path_type=Path, dir_okay=False), help="Keep the record in this file."
)
@click.option(
    "--add", is_flag=True, help="Add rounds to the record in this file, of the same machine and options."
)
@click.option("--seed", type=int, default=DEFAULT_SEED, show_default=True, help="Same seed, same files.")
def main(
    runs: int,
    rounds: int,
    minutes: float,
    names: tuple[str, ...],
    scale: bool,
    backlog: int | None,
    path: Path | None,
    add: bool,
    seed: int,
) -> None:
    """Measure runferry and its baselines, step by step and round by round, on durable services of its own.

    What is measured is kept after each step. A step that fails (a row is missing, a row was touched, a message was
    never committed) ends nothing but itself.
    """
    if add and (path is None or not path.exists()):
        raise click.UsageError("--add needs a record to add to: --json FILE.")
    signal.signal(signal.SIGTERM, _interrupt)
    status = 0
    with tempfile.TemporaryDirectory(prefix="runferry-tree-") as folder, benchmark_stores() as stores:
        record = _new(describe(stores), runs, seed)
        if add and path is not None:
            record = _continued(Record.read(path), record, same_options=bool(rounds))
        record.commands.append(_command())
        measuring = Measuring(record, path, lambda line: click.echo(line, err=True))
        bench = Bench(stores, Path(folder) / "runs", Path(folder) / "large", runs)
        try:
            # Without rounds a run is needed all the same, to be sent beside what is measured.
            generate(bench.root, runs if rounds else 1, seed)
            generate(bench.large_root, runs * LARGE if rounds else 0, seed)
            for _ in range(rounds):
                if not measuring.has_time(minutes):
                    click.echo(f"The {minutes:g} minutes are up.", err=True)
                    break
                steps = steps_of_round(len(record.rounds))
                measuring.measure({name: steps[name] for name in names or steps}, bench)
            if scale:
                measuring.measure(growth.scale_steps(seed), bench)
            if backlog:
                measuring.measure(growth.backlog_steps(backlog), bench)
        except KeyboardInterrupt:
            status = _INTERRUPTED
            click.echo("Interrupted: what was measured so far is kept.", err=True)
        measuring.keep()
    for line in lines(record):
        click.echo(line)
    sys.exit(status or bool(record.failures))


def _new(machine: dict[str, Any], runs: int, seed: int) -> Record:
    return Record(machine, {"runs": runs, "seed": seed}, datetime.now(UTC).isoformat(timespec="seconds"))


def _continued(record: Record, now: Record, *, same_options: bool) -> Record:
    """Return the record to which rounds are added; raises UsageError where they would not compare."""
    before, after = (
        {name: one.machine[name] for name in ("processor", "cores")} | (one.options if same_options else {})
        for one in (record, now)
    )
    if before != after:
        raise click.UsageError(f"The record was measured with {before}, and this would be {after}.")
    return record


def _command() -> str:
    return " ".join(["python -m benchmarks.performance", *sys.argv[1:]])


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
