"""How soon does another process read what was written? From `write` to a successful `read` by the token.

python -m benchmarks.receipts --outputs 500
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from typing import Final

import click

from benchmarks.measured_command import REPOSITORY, clean_environment
from benchmarks.stores import BenchmarkFailed, BenchmarkStores, benchmark_stores
from benchmarks.worker_processes import running_workers
from producers import StageStore
from shared.settings import Phase, Settings

#: Reads the output of each token that it is handed, and says when it had it, on the clock that all processes share.
_READER: Final = """
import sys, time
from producers import StageStore
from producers.receipt import Token

store = StageStore()
print("ready", flush=True)
for line in sys.stdin:
    token = Token.parse(line.strip())
    output = store.read(token.run_id, token.stage, at_least=token)
    print(time.monotonic(), output.source.value, flush=True)
"""
_WARM_UP: Final = 20
_PAUSE_S: Final = 0.02


def measure(stores: BenchmarkStores, folder: Path, outputs: int) -> list[float]:
    """Return the seconds from the call of `write` to the end of `read`, in db-only, of each output."""
    stores.renew()
    settings = Settings.from_environment(
        database_url=stores.database_url,
        redis_url=stores.redis_url,
        phase=Phase.DB_ONLY,
        home=folder / "writer",
        root=folder / "root",
    )
    environment = stores.environment() | {
        "RUNFERRY_PHASE": "db-only",
        "RUNFERRY_HOME": str(folder / "reader"),
        "RUNFERRY_ROOT": str(folder / "root"),
        "PYTHONPATH": str(REPOSITORY),
    }
    seconds = []
    with (
        running_workers(stores),
        StageStore(settings) as store,
        subprocess.Popen(
            [sys.executable, "-c", _READER],
            env=clean_environment(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as reader,
    ):
        if reader.stdin is None or reader.stdout is None or reader.stdout.readline() != "ready\n":
            raise BenchmarkFailed("The reader did not start.")
        for number in range(_WARM_UP + outputs):
            documents = {"trends.json": f'{{"n": {number}}}', "trend-analysis.md": "# Trends\n" + "text " * 1_500}
            start_s = time.monotonic()
            receipt = store.write(f"run-{number}", 2, documents)
            print(receipt.token, file=reader.stdin, flush=True)
            read_at, _, source = reader.stdout.readline().strip().partition(" ")
            if source != "rows":
                raise BenchmarkFailed(f"The output was read from {source or 'nowhere'}.")
            seconds.append(float(read_at) - start_s)
            time.sleep(_PAUSE_S)  # an idle system, not a full queue
        reader.stdin.close()
    return seconds[_WARM_UP:]


@click.command()
@click.option("--outputs", default=500, show_default=True, help="How many are written and read.")
def main(outputs: int) -> None:
    """Measure, and print the distribution in milliseconds."""
    with tempfile.TemporaryDirectory(prefix="runferry-bench-") as name, benchmark_stores() as stores:
        found = quantiles(measure(stores, Path(name), outputs), n=100)
    for percent in (50, 90, 95, 99):
        print(f"p{percent}  {found[percent - 1] * 1000:6.1f} ms")


if __name__ == "__main__":
    main()
