"""How fast is the proof? `ops reconcile` beside reading and parsing the same files, in as many processes.

python -m benchmarks.reconcile --runs 1000 --runs 20000 --processes 1 --processes 2
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Final

import click

from benchmarks.measured_command import Measured, run_measured
from benchmarks.processor_time import peak_mib, tree_cpu_s
from benchmarks.stores import BenchmarkFailed, BenchmarkStores, benchmark_stores
from benchmarks.tree import DEFAULT_SEED, generate
from benchmarks.worker_processes import running_workers
from shared.counting import counted

_STAGES: Final = 5


@dataclass(frozen=True, slots=True)
class Round:
    """One round on one tree; the peak is of the command's own memory, without the workers.

    `cpu_s` is processor time: of the command, the workers and the servers while the proof ran, and of reading alone.
    """

    runs: int
    processes: int
    alone_s: float
    reconcile_s: float
    command_peak_mib: float
    workers_peak_mib: float
    cpu_s: Mapping[str, float]

    @property
    def share(self) -> float:
        """The speed of the proof as a share of that of reading alone."""
        return self.alone_s / self.reconcile_s

    @property
    def cpu_share(self) -> float:
        """Processor time of reading alone as a share of all that the proof used, of the servers too.

        On a machine with a core a worker, and none besides, this is what the share of speed comes to; noise moves it
        less.
        """
        return self.cpu_s["alone"] / sum(used for who, used in self.cpu_s.items() if who != "alone")


def measure(stores: BenchmarkStores, root: Path, runs: int, processes: int, rounds: int) -> list[Round]:
    """Return the rounds on one tree, by so many processes; raises BenchmarkFailed where not every output is a match."""
    stores.renew()
    ops, producer = (str(Path(sys.executable).parent / name) for name in ("ops", "producer"))
    alone = [sys.executable, "-m", "benchmarks.read_alone", str(root), str(processes)]
    reconcile = [ops, "reconcile", "--all", "--json", "--root", str(root)]
    found = []
    with running_workers(stores, processes) as workers:
        run_measured(
            [producer, "backfill", "--all", "--wait", "--json", "--root", str(root)], stores.environment()
        )
        for number in range(rounds):
            read = run_measured(alone, stores.environment())
            if int(read.stdout) != runs * _STAGES:
                raise BenchmarkFailed(f"Reading alone found {read.stdout!r} outputs.")
            found.append(_reconciled(stores, reconcile, runs, processes, read, workers.pid))
            click.echo(f"{_what(runs, processes)}, round {number + 1}: {_described(found[-1])}", err=True)
    return found


def _what(runs: int, processes: int) -> str:
    return f"{counted(runs, 'run')} by {counted(processes, 'process', 'processes')}"


def _described(one: Round) -> str:
    cpu = ", ".join(f"{who} {used * 1000 / one.runs:.2f}" for who, used in one.cpu_s.items())
    return f"{one.share:.2f} of reading alone; processor {one.cpu_share:.2f}, in ms a run: {cpu}"


def _reconciled(
    stores: BenchmarkStores, command: list[str], runs: int, processes: int, alone: Measured, workers_pid: int
) -> Round:
    before, workers_before_s = stores.server_times(), tree_cpu_s(workers_pid)
    proof = run_measured(command, stores.environment())
    after, workers_s = stores.server_times(), tree_cpu_s(workers_pid) - workers_before_s
    if json.loads(proof.stdout)["verdicts"] != {"match": runs * _STAGES}:
        raise BenchmarkFailed(f"The proof found something else: {proof.stdout[:2000]!r}")
    cpu_s = {
        "alone": alone.cpu_s,
        "command": proof.cpu_s,
        "workers": workers_s,
        "postgres": after.postgres_s - before.postgres_s,
        "redis": after.redis_s - before.redis_s,
    }
    return Round(runs, processes, alone.seconds, proof.seconds, proof.peak_mib, peak_mib(workers_pid), cpu_s)


@click.command()
@click.option("--runs", type=click.IntRange(min=1), multiple=True, default=(1_000, 20_000), show_default=True)
@click.option("--processes", type=click.IntRange(min=1), multiple=True, default=(1, 2), show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Medians are shown.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def main(runs: tuple[int, ...], processes: tuple[int, ...], rounds: int, as_json: bool) -> None:
    """Backfill a tree, then read it alone and reconcile it in turn, by as many processes; for trees of several sizes.

    The workers run already, as in a deployment; both clocks run from their command's start to its end.
    """
    found: list[Round] = []
    try:
        with benchmark_stores() as stores:
            for number in runs:
                with tempfile.TemporaryDirectory(prefix="runferry-tree-") as folder:
                    root = Path(folder) / "runs"
                    generate(root, number, DEFAULT_SEED)
                    for workers in processes:
                        found += measure(stores, root, number, workers, rounds)
    except BenchmarkFailed as failure:
        click.echo(str(failure), err=True)
        sys.exit(1)
    if as_json:
        click.echo(
            json.dumps(
                [{**asdict(one), "share": one.share, "cpu_share": one.cpu_share} for one in found], indent=2
            )
        )
        return
    for number, workers in product(runs, processes):
        own = [one for one in found if (one.runs, one.processes) == (number, workers)]
        seconds = median(one.reconcile_s for one in own)
        click.echo(
            f"{_what(number, workers)}: {number / seconds:,.0f} runs/s, {seconds / number * 1000:.2f} ms a run, "
            f"{median(one.share for one in own):.2f} of reading alone "
            f"({median(one.cpu_share for one in own):.2f} by processor time, "
            f"{median(sum(one.cpu_s.values()) - one.cpu_s['alone'] for one in own) / number * 1000:.2f} ms a run), "
            f"at most {max(one.command_peak_mib for one in own):.0f} MiB for the command "
            f"and {max(one.workers_peak_mib for one in own):.0f} MiB a worker"
        )


if __name__ == "__main__":
    main()
