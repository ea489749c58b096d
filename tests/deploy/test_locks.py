"""The image's lock files are a part of the one that is tested, and no lock file says where a package came from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

Pins = dict[str, tuple[str, frozenset[str]]]


def _pins(path: Path) -> Pins:
    """Return per package its version and its hashes."""
    joined = path.read_text().replace("\\\n", " ")
    pins: Pins = {}
    for line in filter(None, joined.splitlines()):
        requirement = Requirement(line.split("--hash")[0].strip())
        hashes = frozenset(re.findall(r"--hash=(\S+)", line))
        pins[canonicalize_name(requirement.name)] = (str(requirement.specifier), hashes)
    return pins


@pytest.fixture(scope="session")
def tested(repository: Path) -> Pins:
    return _pins(repository / "requirements.lock")


@pytest.mark.parametrize("name", ["requirements.lock", "build.lock"])
def test_every_pin_is_the_tested_one(repository: Path, tested: Pins, name: str) -> None:
    pins = _pins(repository / "ops/deploy" / name)
    assert pins
    assert all(hashes for _, hashes in pins.values())
    assert pins == {package: tested[package] for package in pins}


def test_the_image_has_every_dependency(repository: Path, project: dict[str, Any]) -> None:
    pins = _pins(repository / "ops/deploy/requirements.lock")
    assert {canonicalize_name(Requirement(text).name) for text in project["dependencies"]} <= set(pins)


def test_the_image_has_neither_embedded_services_nor_test_tools(repository: Path, project: dict[str, Any]) -> None:
    pins = _pins(repository / "ops/deploy/requirements.lock")
    extras = {
        canonicalize_name(Requirement(text).name)
        for extra in ("embedded", "dev")
        for text in project["optional-dependencies"][extra]
    }
    assert not extras & set(pins)


def test_the_build_needs_what_the_lock_has(repository: Path) -> None:
    assert set(_pins(repository / "ops/deploy/build.lock")) == {"setuptools"}


def test_the_lock_of_prisma_has_hashes_and_no_hosts(repository: Path) -> None:
    packages = json.loads((repository / "tests/prisma/package-lock.json").read_text())["packages"]
    packages.pop("")
    assert packages
    assert [
        name for name, package in packages.items() if "resolved" in package or "integrity" not in package
    ] == []
