"""How fast is the proof? `ops reconcile` beside reading and parsing the same files, in as many processes.

python -m benchmarks.reconcile --runs 1000 --runs 20000
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

import click

from benchmarks.contenders import WORKER_PROCESSES, running_workers
from benchmarks.measured_command import REPOSITORY, clean_environment, run_measured
from benchmarks.stores import BenchmarkFailed, BenchmarkStores, benchmark_stores
from benchmarks.tree import DEFAULT_SEED, generate

_STAGES: Final = 5
_KIBIBYTE: Final = 1024


@dataclass(frozen=True, slots=True)
class Round:
    """One round on one tree; the peak is of the command's own memory, without the workers."""

    runs: int
    alone_s: float
    reconcile_s: float
    command_peak_mib: float

    @property
    def share(self) -> float:
        """The speed of the proof as a share of that of reading alone."""
        return self.alone_s / self.reconcile_s


def measure(stores: BenchmarkStores, root: Path, runs: int, rounds: int) -> list[Round]:
    """Return the rounds on one tree; raises BenchmarkFailed where not every output is a match."""
    stores.renew()
    ops, producer = (str(Path(sys.executable).parent / name) for name in ("ops", "producer"))
    alone = [sys.executable, "-m", "benchmarks.read_alone", str(root), str(WORKER_PROCESSES)]
    reconcile = [ops, "reconcile", "--all", "--json", "--root", str(root)]
    found = []
    with running_workers(stores):
        run_measured(
            [producer, "backfill", "--all", "--wait", "--json", "--root", str(root)], stores.environment()
        )
        for number in range(rounds):
            read = run_measured(alone, stores.environment())
            if int(read.stdout) != runs * _STAGES:
                raise BenchmarkFailed(f"Reading alone found {read.stdout!r} outputs.")
            found.append(_reconciled(stores, reconcile, runs, read.seconds))
            click.echo(f"{runs} runs, round {number + 1}: {found[-1].share:.2f} of reading alone", err=True)
    return found


def _reconciled(stores: BenchmarkStores, command: list[str], runs: int, alone_s: float) -> Round:
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=clean_environment(stores.environment()),
            stdout=said,
            stderr=subprocess.PIPE,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        answer = said.read()
        errors = process.stderr.read() if process.stderr is not None else b""
    if process.stderr is not None:
        process.stderr.close()
    if process.returncode or json.loads(answer)["verdicts"] != {"match": runs * _STAGES}:
        raise BenchmarkFailed(f"The proof found something else: {answer[:2000]!r} {errors[-2000:]!r}")
    return Round(runs, alone_s, seconds, usage.ru_maxrss / _KIBIBYTE)


@click.command()
@click.option("--runs", type=click.IntRange(min=1), multiple=True, default=(1_000, 20_000), show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Medians are shown.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def main(runs: tuple[int, ...], rounds: int, as_json: bool) -> None:
    """Backfill a tree, then read it alone and reconcile it in turn, for trees of several sizes.

    The workers run already, as in a deployment; both clocks run from their command's start to its end.
    """
    found: list[Round] = []
    try:
        with benchmark_stores() as stores:
            for number in runs:
                with tempfile.TemporaryDirectory(prefix="runferry-tree-") as folder:
                    root = Path(folder) / "runs"
                    generate(root, number, DEFAULT_SEED)
                    found += measure(stores, root, number, rounds)
    except BenchmarkFailed as failure:
        click.echo(str(failure), err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps([{**asdict(one), "share": one.share} for one in found], indent=2))
        return
    for number in runs:
        own = [one for one in found if one.runs == number]
        seconds = median(one.reconcile_s for one in own)
        click.echo(
            f"{number:>7,} runs: {number / seconds:,.0f} runs/s, {seconds / number * 1000:.2f} ms a run, "
            f"{median(one.share for one in own):.2f} of reading alone, "
            f"command at most {max(one.command_peak_mib for one in own):.0f} MiB"
        )


if __name__ == "__main__":
    main()
