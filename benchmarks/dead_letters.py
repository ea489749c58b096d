"""How well can one work with very many dead letters? Look at them, and replay all, in constant memory.

python -m benchmarks.dead_letters --letters 10000 --letters 100000
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
import click
import orjson

from benchmarks.measured_command import Measured, run_measured
from benchmarks.processor_time import peak_mib
from benchmarks.stores import BenchmarkFailed, BenchmarkStores, benchmark_stores
from benchmarks.worker_processes import running_workers
from shared.documents import Document, content_sha256
from shared.wire import content_in_json

_COLUMNS: Final = (
    "run_id", "stage", "content_sha256", "reason", "sentence", "fingerprint", "first_failed_at", "last_failed_at",
    "worker_host", "worker_pid", "worker_version", "origin", "produced_at", "payload", "traceback",
)  # fmt: skip
_PRODUCED_AT: Final = datetime(2025, 10, 1, tzinfo=UTC)
_GROUPS: Final = 40
_TRACEBACK: Final = "\n".join(f'  File "shared/formats/some_file.py", line {number}' for number in range(30))
#: About what an output of a stage weighs.
_NOTE: Final = "a sentence of some words. " * 200


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured with so many letters. Half of them are good by now, half die again."""

    letters: int
    list_s: float
    groups_s: float
    replay_s: float
    replay_peak_mib: float
    workers_peak_mib: float

    @property
    def per_s(self) -> float:
        """Letters that were replayed to their end, a second."""
        return self.letters / self.replay_s


def measure(stores: BenchmarkStores, letters: int) -> Found:
    """Return what one number of letters comes to; raises BenchmarkFailed where one got lost."""
    stores.renew()
    stores.on_database(lambda connection: _fill(connection, letters))
    ops = str(Path(sys.executable).parent / "ops")

    def run(*words: str) -> Measured:
        return run_measured([ops, "dlq", *words, "--json"], stores.environment(), most_status=1)

    listed, grouped = run("list"), run("groups")
    if sum(group["count"] for group in json.loads(grouped.stdout)) != letters:
        raise BenchmarkFailed("The groups don't hold all letters.")
    with running_workers(stores) as workers:
        replayed = run("replay", "--all", "--wait")
        workers_mib = peak_mib(workers.pid)
    result = json.loads(replayed.stdout)
    states = stores.on_database(_states)
    if (result["replayed"], result["committed"]) != (letters, letters - letters // 2) or states != {
        "open": letters // 2,
        "resolved": letters - letters // 2,
    }:
        raise BenchmarkFailed(f"Not every letter came to its end: {replayed.stdout[:500]!r}, {states}")
    return Found(letters, listed.seconds, grouped.seconds, replayed.seconds, replayed.peak_mib, workers_mib)


async def _fill(connection: asyncpg.Connection, letters: int) -> None:
    await connection.copy_records_to_table(
        "dead_letter", schema_name="runferry", columns=_COLUMNS, records=_records(letters)
    )
    await connection.execute("VACUUM ANALYZE runferry.dead_letter")


def _records(letters: int) -> Iterator[tuple[Any, ...]]:
    """Yield letters as they are filed: every second one would pass by today's code."""
    for number in range(letters):
        text = orjson.dumps({"trends": [number], "note": _NOTE}).decode() + ("}" if number % 2 else "")
        document = Document("trends.json", text.encode())
        sha256 = content_sha256([document])
        body = {
            "stage": 2,
            "documents": [{"name": document.name, **content_in_json(document.content)}],
            "produced_at": _PRODUCED_AT.isoformat().replace("+00:00", "Z"),
            "content_sha256": sha256,
        }
        yield (
            f"run-{number:06d}", 2, sha256, "not_json", "trends.json is not JSON.", f"{number % _GROUPS:016x}",
            _PRODUCED_AT, _PRODUCED_AT, "host", 1, "0.1.0", "backfill", _PRODUCED_AT, orjson.dumps(body), _TRACEBACK,
        )  # fmt: skip


async def _states(connection: asyncpg.Connection) -> dict[str, int]:
    rows = await connection.fetch("SELECT state, count(*) AS n FROM runferry.dead_letter GROUP BY state")
    return {row["state"]: row["n"] for row in rows}


@click.command()
@click.option("--letters", type=click.IntRange(min=2), multiple=True, default=(10_000, 100_000), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def main(letters: tuple[int, ...], as_json: bool) -> None:
    """File so many letters, look at them, and replay all of them until each came to its end."""
    try:
        with benchmark_stores() as stores:
            found = [measure(stores, number) for number in letters]
    except BenchmarkFailed as failure:
        click.echo(str(failure), err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps([{**asdict(one), "per_s": one.per_s} for one in found], indent=2))
        return
    for one in found:
        click.echo(
            f"{one.letters:>7,} letters: list {one.list_s:.1f} s, groups {one.groups_s:.1f} s; replayed to their end "
            f"at {one.per_s:,.0f} letters/s, at most {one.replay_peak_mib:.0f} MiB for the command "
            f"and {one.workers_peak_mib:.0f} MiB a worker"
        )


if __name__ == "__main__":
    main()
