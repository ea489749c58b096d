"""Dependencies: pinned with hashes, installed as pinned, all of them needed, under licences that are known."""

from __future__ import annotations

import json
import sys
import tomllib
from importlib.metadata import distribution, distributions
from pathlib import Path
from typing import Any

import pytest
from dependency_audit import (
    Pin,
    ask_the_world,
    is_allowed,
    licence_of,
    not_as_locked,
    not_in_step,
    read_lock,
)
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
LOCKS = (
    "requirements.lock",
    "ops/deploy/requirements.lock",
    "ops/deploy/build.lock",
    "ops/deploy/audit.lock",
    "benchmarks/plots.lock",
)
HASH = "--hash=sha256:" + "0" * 64


def pins_of(text: str) -> list[Pin]:
    return read_lock(text)[0]


@pytest.fixture(scope="module")
def locked() -> list[Pin]:
    return pins_of((REPOSITORY / "requirements.lock").read_text())


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_of_a_lock_is_pinned_to_one_version_and_its_hashes(name: str) -> None:
    pins, faults = read_lock((REPOSITORY / name).read_text())
    assert pins
    assert faults == []


def test_the_environment_is_the_lock(locked: list[Pin], project: dict[str, Any]) -> None:
    installed = {canonicalize_name(found.name): found.version for found in distributions()}
    assert not_as_locked(locked, installed, project["name"]) == []


def test_the_lock_holds_what_the_project_asks_for_and_nothing_else(
    locked: list[Pin], project: dict[str, Any]
) -> None:
    wanted = [
        *project["dependencies"],
        *(text for extra in project["optional-dependencies"].values() for text in extra),
    ]
    requires = {pin.name: distribution(pin.name).requires or [] for pin in locked if pin.applies}
    assert not_in_step(locked, [*wanted, "setuptools"], requires) == []


def test_every_package_has_a_licence_that_runferry_may_use_it_under(locked: list[Pin]) -> None:
    unknown = {
        pin.name: licence
        for pin in locked
        if pin.applies and not is_allowed(licence := licence_of(distribution(pin.name)))
    }
    assert unknown == {}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"click>=8 {HASH}", "not pinned"),
        (f"click==8.* {HASH}", "not pinned"),
        ("click==8.3.1", "no sha256"),
        ("click==8.3.1 --hash=md5:00", "no sha256"),
        (f"click @ https://example.invalid/click.whl {HASH}", "not pinned"),
        ("--index-url https://example.invalid/simple", "an option"),
        ("-e .", "an option"),
    ],
)
def test_a_line_that_would_let_something_else_in_is_found(line: str, says: str) -> None:
    (fault, *_) = read_lock(line)[1]
    assert says in fault


def test_an_environment_that_is_not_its_lock_is_found() -> None:
    pins = pins_of(f"click==8.3.1 {HASH}\nrich==14.0 {HASH}\ncolorama==1 ; sys_platform == 'none' {HASH}")
    faults = not_as_locked(
        pins, {"click": "8.3.1", "rich": "13.0", "stray": "1", "pip": "25", "runferry": "0"}, "runferry"
    )
    assert faults == [
        "rich: 14.0 is locked, 13.0 is installed",
        "stray: installed, and in no lock (rm -r .venv makes it anew)",
    ]


def test_a_lock_that_is_not_what_the_project_asks_for_is_found() -> None:
    pins = pins_of(f"click==8.3.1 {HASH}\nrich==14.0 {HASH}\nleft-over==1 {HASH}\nredis==7 {HASH}")
    requires = {"rich": ["markdown-it-py"], "redis": ['hiredis; extra == "hiredis"']}
    assert not_in_step(pins, ["click>=9", "rich", "redis[hiredis]"], requires) == [
        "hiredis: needed by redis, not locked",
        "markdown-it-py: needed by rich, not locked",
        "click: the project needs >=9, 8.3.1 is locked",
        "left-over: locked, and nothing needs it",
    ]


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("GPL-3.0-only OR MIT", True),
        ("AGPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("Proprietary", False),
        ("", False),
    ],
)
def test_a_licence_is_allowed_only_where_each_of_its_parts_is(expression: str, allowed: bool) -> None:
    assert is_allowed(expression) is allowed


def _answering(tmp_path: Path, document: Any, status: int) -> str:
    """Return a program that answers as pip-audit would."""
    program = tmp_path / "pip-audit"
    text = "" if document is None else json.dumps({"dependencies": document})
    program.write_text(
        f"#!{sys.executable}\nimport sys\nprint({text!r})\nprint('no route', file=sys.stderr)\nsys.exit({status})\n"
    )
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("document", "status", "ends", "says"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], 0, 0, "1 packages were looked up (osv): 0 advisories."),
        (
            [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}],
            1,
            1,
            "a 1: CVE-1, mended in 2",
        ),
        ([{"name": "a", "skip_reason": "not found"}], 0, 2, "not audited: a: not found"),
        ([], 0, 2, "0 packages were looked up"),
        (None, 1, 2, "Nothing was audited: the database of advisories (osv) can't be asked from here: no route"),
    ],
)
def test_asking_the_world_never_takes_no_answer_for_a_good_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], document: Any, status: int, ends: int, says: str
) -> None:
    assert ask_the_world(_answering(tmp_path, document, status), [tmp_path / "lock"], "osv") == ends
    assert says in "".join(capsys.readouterr())
