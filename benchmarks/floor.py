"""What do the parts of carrying a run cost, with nothing around them? The floor below every worker of this design.

python -m benchmarks.floor --runs 4000
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

import click

from benchmarks.measured_command import REPOSITORY, clean_environment, run_measured
from benchmarks.performance.carrying import WITHOUT_MARKS
from benchmarks.stores import BenchmarkFailed, BenchmarkStores, benchmark_stores
from benchmarks.tree import DEFAULT_SEED, generate
from benchmarks.worker_processes import WORKER_PROCESSES, command_path

_STAGES: Final = 5
#: In the order of a message's way.
_PARTS: Final = ("queue", "decode", "judge", "plan", "write")


def measure(stores: BenchmarkStores, root: Path, runs: int) -> dict[str, float]:
    """Return milliseconds of processor time a run, by part, and `runs_per_s` of the whole; raises BenchmarkFailed."""
    stores.renew()
    publish = [command_path("producer"), "backfill", "--all", "--json", "--root", str(root)]
    before = stores.server_times()
    published = run_measured(publish, stores.environment() | WITHOUT_MARKS)
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(stores)) for _ in range(WORKER_PROCESSES)]
        for worker in workers:
            _read(worker.stdout).readline()
        started_s = time.perf_counter()
        for worker in workers:
            _write_line(worker)
        said = [json.loads(_read(worker.stdout).readline()) for worker in workers]
        seconds, after = time.perf_counter() - started_s, stores.server_times()
    if (carried := sum(each["carried"] for each in said)) != runs or stores.row_counts()[
        "ledger"
    ] != runs * _STAGES:
        raise BenchmarkFailed(f"{carried} of {runs} messages were carried.")
    found = {part: sum(each["seconds"][part] for each in said) for part in _PARTS}
    found |= {"postgres": after.postgres_s - before.postgres_s, "redis": after.redis_s - before.redis_s}
    return {
        "publish": published.cpu_s * 1000 / runs,
        **{part: cpu_s * 1000 / runs for part, cpu_s in found.items()},
        "runs_per_s": runs / seconds,
    }


def _worker(stores: BenchmarkStores) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.one_thread"],
        cwd=REPOSITORY,
        env=clean_environment(stores.environment()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _read(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _write_line(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("\n")
    worker.stdin.flush()


@click.command()
@click.option("--runs", type=click.IntRange(min=1), default=4_000, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def main(runs: int, as_json: bool) -> None:
    """Publish a tree, then drain it by two processes of one thread each that do nothing but the work."""
    try:
        with benchmark_stores() as stores, tempfile.TemporaryDirectory(prefix="runferry-tree-") as folder:
            root = Path(folder) / "runs"
            generate(root, runs, DEFAULT_SEED)
            found = measure(stores, root, runs)
    except BenchmarkFailed as failure:
        click.echo(str(failure), err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for part, value in found.items():
        click.echo(f"{value:8,.0f} runs/s drained" if part == "runs_per_s" else f"{value:8.3f} ms a run: {part}")


if __name__ == "__main__":
    main()
