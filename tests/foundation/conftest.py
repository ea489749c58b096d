"""Homes of embedded services that a test starts and stops itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from shared import embedded

PROJECT: Final = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can go through, as pytest's own can't be; the services in it are stopped after."""
    made = Path(tempfile.mkdtemp(prefix="runferry-tests-"))
    made.chmod(0o711)
    yield made
    for state in made.rglob("services.json"):
        found = embedded.status(state.parent)
        embedded.stop(state.parent)
        if found is not None and not found.postgres.data.is_relative_to(made):
            shutil.rmtree(found.postgres.data.parent)
    shutil.rmtree(made)


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python code in a process of its own; keywords are environment variables."""

    def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code],
            check=False,
            capture_output=True,
            text=True,
            cwd=PROJECT,
            timeout=120,
            env={**os.environ, **environment},
        )

    return run
