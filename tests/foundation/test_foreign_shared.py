"""Another package `shared` in front of runferry's: one sentence with the way out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def shadowed(tmp_path: Path) -> dict[str, str]:
    """An environment in which somebody else's `shared` comes first."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "__init__.py").write_text("")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(PROJECT)])}


@pytest.mark.parametrize("module", ["ops.command", "producers.command", "workers.command"])
def test_a_command_says_one_sentence_and_ends_with_2(
    module: str, shadowed: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module], check=False, capture_output=True, text=True, env=shadowed, cwd=tmp_path
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"runferry's package `shared` is hidden by another of that name in {tmp_path}/shared: rename that one, "
        "take its folder off PYTHONPATH, or run from another folder (`python -P` leaves the current one out)."
    ]


@pytest.mark.parametrize("command", ["ops", "producer", "worker"])
def test_an_installed_command_says_it_as_well(command: str, shadowed: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / command
    package = {"ops": "ops", "producer": "producers", "worker": "workers"}[command]
    script.write_text(f"from {package}.command import main\nmain()\n")

    done = subprocess.run(
        [sys.executable, script], check=False, capture_output=True, text=True, env=shadowed, cwd=tmp_path
    )

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("package", ["ops", "producers", "workers"])
def test_a_program_that_imports_runferry_gets_an_error_that_it_can_catch(
    package: str, shadowed: dict[str, str], tmp_path: Path
) -> None:
    code = f"try:\n    import {package}\nexcept ImportError as error:\n    print(error)"

    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env=shadowed, cwd=tmp_path
    )

    assert done.returncode == 0
    assert done.stdout.startswith("runferry's package `shared` is hidden")


def test_the_guards_are_the_same_everywhere() -> None:
    guards = {
        (PROJECT / name / "__init__.py").read_text().partition("import sys")[2].partition("raise ImportError")[0]
        for name in ("ops", "producers", "workers")
    }

    assert len(guards) == 1
