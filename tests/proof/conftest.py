"""A tree, stores and a worker of each test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from proof_bench import Proof, proof

__all__ = ["migrated", "proof"]


@pytest.fixture
def migrated(proof: Proof) -> Iterator[Proof]:
    """Three runs, all of them in the rows, and a worker."""
    proof.tree()
    with proof.worker():
        assert proof.backfill().status == 0
        yield proof
