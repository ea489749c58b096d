"""Fixtures of the workers' tests."""

from __future__ import annotations

import pytest
from writing_bench import Bench

from shared.database_url import DatabaseAddress


@pytest.fixture
def bench(database_url: str) -> Bench:
    """A database of this test's own."""
    return Bench(DatabaseAddress.parse(database_url).dsn)
