"""An installed runferry works like a checkout: what the image holds is built from a wheel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGES = ("shared", "producers", "workers", "ops")


@dataclass(frozen=True)
class Installed:
    """Where runferry was installed, and the copy of the checkout that it was built from."""

    site: Path
    source: Path


@pytest.fixture(scope="session")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """runferry, installed as the Dockerfile does it."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in PACKAGES:
        shutil.copytree(repository / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(repository / name, source / name)
    files = Installed(site, tmp_path_factory.mktemp("pristine") / "copy")
    shutil.copytree(source, files.source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(site), str(source)],
        check=True,
    )
    return files


def test_every_file_that_the_code_reads_is_installed(installed: Installed) -> None:
    def data(root: Path) -> set[str]:
        return {
            str(path.relative_to(root))
            for name in PACKAGES
            for path in (root / name).rglob("*")
            if path.is_file() and path.suffix not in (".pyc", ".md") and "deploy" not in path.parts
        }

    assert data(installed.site) == data(installed.source)


def test_the_installed_command_applies_the_schema(
    installed: Installed, empty_database_url: str, redis_url: str
) -> None:
    environment = {"DATABASE_URL": empty_database_url, "REDIS_URL": redis_url}
    ended = _ops(installed, ["schema", "apply", "--json"], environment)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)


def test_a_password_by_file_reaches_the_database(
    installed: Installed, repository: Path, empty_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """The entrypoint reads it into PGPASSWORD, and asyncpg takes it where the URL has none."""
    scheme, _, rest = empty_database_url.partition("://")
    credentials, _, place = rest.partition("@")
    user, _, password = credentials.partition(":")
    secret = tmp_path / "postgres password"
    secret.write_text(f"{password}\n")
    environment = {"DATABASE_URL": f"{scheme}://{user}@{place}", "REDIS_URL": redis_url}
    entrypoint = ["sh", str(repository / "ops/deploy/entrypoint.sh")]
    refused = _ops(installed, ["schema", "apply"], environment, entrypoint)
    assert refused.returncode == 2, refused.stderr
    let_in = _ops(installed, ["schema", "apply"], environment | {"PGPASSWORD_FILE": str(secret)}, entrypoint)
    assert let_in.returncode == 0, let_in.stderr


def _ops(
    installed: Installed, arguments: list[str], environment: dict[str, str], entrypoint: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    # The checkout is installed here too; what is tested must be the copy in the site folder.
    call = "import os, ops.command as c; assert c.__file__.startswith(os.environ['SITE']), c.__file__; c.main()"
    return subprocess.run(
        [*(entrypoint or []), sys.executable, "-c", call, *arguments],
        cwd=installed.site,
        env=os.environ | {"PYTHONPATH": str(installed.site), "SITE": str(installed.site)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
