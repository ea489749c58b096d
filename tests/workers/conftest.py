"""Fixtures of the workers' tests."""

from __future__ import annotations

import pytest
from writing_bench import Bench, outputs, trends

from shared.database_url import DatabaseAddress
from workers.fast_path import FastPath


@pytest.fixture
def bench(database_url: str) -> Bench:
    """A database of this test's own."""
    return Bench(DatabaseAddress.parse(database_url).dsn)


@pytest.fixture
def fast(bench: Bench) -> FastPath:
    """The fast path of a process that has written a run before; the bench writes by it."""
    bench.fast_path = FastPath()
    bench.write(outputs("run-before", (2, trends(), 0)))
    return bench.fast_path
