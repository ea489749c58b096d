"""The baselines do the same work as runferry: a ratio to something that writes less says nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from benchmarks import stock_dramatiq
from benchmarks.measured_command import REPOSITORY
from benchmarks.simple_rows import CARD_COLUMNS, USER_ID
from benchmarks.tree import generate
from shared.database_url import DatabaseAddress
from shared.documents import Document
from shared.ids import Stage, parse_run_id
from shared.mapping import map_output

RUNS = 4
BASELINES = {
    "sequential": ["benchmarks.sequential"],
    "copy": ["benchmarks.bulk_copy"],
    "copy_by_two": ["benchmarks.bulk_copy", "2"],
    "dramatiq": [],  # its actor, called without a queue
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    generate(tmp_path / "tree", RUNS)
    return tmp_path / "tree"


@pytest.fixture(params=BASELINES)
def rows(request: pytest.FixtureRequest, tree: Path, database_url: str) -> dict[str, list[Any]]:
    """What each baseline wrote, by table."""
    insert_user = 'INSERT INTO "User" (id, "clerkId", email, "updatedAt") VALUES ($1, $1, $1, now())'
    _query(database_url, insert_user, USER_ID)
    if command := BASELINES[request.param]:
        module, *more = command
        subprocess.run(
            [sys.executable, "-m", module, str(tree), *more],
            cwd=REPOSITORY,
            env=os.environ | {"DATABASE_URL": database_url},
            check=True,
        )
    else:
        asyncio.run(_write_twice(database_url, [*tree.iterdir()]))
    order = {"Run": "id", "InspirationReport": '"runId"', "OpportunityCard": '"runId", number'}
    order["StageOutput"] = '"runId", "stageNumber"'
    written = {
        table: _query(database_url, f'SELECT * FROM "{table}" ORDER BY {by}') for table, by in order.items()
    }
    return written | {"baseline": [request.param]}


def test_every_baseline_writes_every_row(rows: dict[str, list[Any]]) -> None:
    stages = 4 if rows["baseline"] == ["sequential"] else 5  # the script drops stage 5, which has no JSON
    counts = {table: len(found) for table, found in rows.items() if table != "baseline"}
    assert counts == {
        "Run": RUNS,
        "InspirationReport": RUNS,
        "OpportunityCard": RUNS * 5,
        "StageOutput": RUNS * stages,
    }


def test_every_baseline_writes_the_values_that_the_mapping_finds(rows: dict[str, list[Any]], tree: Path) -> None:
    """But for white space in sections, whose lines a plain script joins."""
    run_id = rows["Run"][0]["id"]
    cards = [row for row in rows["OpportunityCard"] if row["runId"] == run_id]
    folder = tree / run_id / "stage5"
    documents = tuple(Document(path.name, path.read_bytes()) for path in sorted(folder.iterdir()))
    mapped = map_output(parse_run_id(run_id), Stage.OPPORTUNITIES, documents).cards
    for card, found in zip(mapped, cards, strict=True):
        for column in CARD_COLUMNS:
            assert _words(getattr(card, column)) == _words(found[column])


async def _write_twice(database_url: str, run_dirs: Sequence[Path]) -> None:
    """A message may come twice: these are upserts."""
    connection = await asyncpg.connect(**DatabaseAddress.parse(database_url).connect_arguments())
    try:
        for run_dir in [*run_dirs, *run_dirs]:
            await stock_dramatiq.write_run(connection, run_dir.name, stock_dramatiq.read_documents(run_dir))
    finally:
        await connection.close()


def _words(value: object) -> list[str]:
    return str(value).split()


def _query(database_url: str, query: str, *values: object) -> list[Any]:
    async def fetched() -> list[Any]:
        connection = await asyncpg.connect(**DatabaseAddress.parse(database_url).connect_arguments())
        try:
            return await connection.fetch(query, *values)
        finally:
            await connection.close()

    return asyncio.run(fetched())
