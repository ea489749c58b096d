"""A tree, stores and a worker of each test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from proof_bench import Proof

from shared.settings import Settings


@pytest.fixture
def proof(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proof]:
    """A tree and stores, without a worker."""
    assert settings.database_url is not None
    assert settings.redis_url is not None
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("RUNFERRY_ROOT", str(settings.root))
    monkeypatch.setenv("RUNFERRY_HOME", str(settings.home))
    proof = Proof(settings, settings.root)
    yield proof
    proof.close()


@pytest.fixture
def migrated(proof: Proof) -> Iterator[Proof]:
    """Three runs, all of them in the rows, and a worker."""
    proof.tree()
    with proof.worker():
        assert proof.backfill().status == 0
        yield proof
