"""An installation on real stores, whose parts have roles of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from real_workers import Site

from shared.settings import Settings


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Iterator[Site]:
    """An installation of this test's own."""
    found = Site(settings, tmp_path)
    yield found
    found.close()
