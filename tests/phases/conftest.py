"""An installation in a given phase, and stage stores in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from real_workers import Site
from redis_proxy import RedisProxy

from producers import StageStore
from shared.settings import Phase, Settings

BOUND = timedelta(seconds=1)

Stores = Callable[..., StageStore]


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Iterator[Site]:
    """Two stores, a root, and worker processes as they are started."""
    made = Site(settings, tmp_path)
    yield made
    made.close()


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    """Makes stage stores of this installation, in a phase and with changed settings; closed with the test."""
    made: list[StageStore] = []

    def make(phase: Phase = Phase.DUAL_WRITE, **changes: Any) -> StageStore:
        changed = settings.model_copy(update={"phase": phase, "emit_timeout": BOUND, **changes})
        made.append(StageStore(changed))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def proxy(settings: Settings, tmp_path: Path) -> Iterator[RedisProxy]:
    """A way to Redis that can be cut or fall silent."""
    assert settings.redis_url is not None
    made = RedisProxy(settings.redis_url.get_secret_value(), tmp_path)
    yield made
    made.close()
