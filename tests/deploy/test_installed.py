"""An installed runferry works like a checkout: what the image holds is built from a wheel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("shared", "producers", "workers", "ops")


@pytest.fixture(scope="session")
def site(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which runferry was installed as the Dockerfile does it."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in PACKAGES:
        shutil.copytree(repository / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(repository / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(site), str(source)],
        check=True,
    )
    return site


def test_every_file_that_the_code_reads_is_installed(site: Path, repository: Path) -> None:
    def data(root: Path) -> set[str]:
        return {
            str(path.relative_to(root))
            for name in PACKAGES
            for path in (root / name).rglob("*")
            if path.is_file() and path.suffix not in (".pyc", ".md") and "deploy" not in path.parts
        }

    assert data(site) == data(repository)


def test_the_installed_command_applies_the_schema(site: Path, empty_database_url: str, redis_url: str) -> None:
    applied = _ops(
        site, ["schema", "apply", "--json"], {"DATABASE_URL": empty_database_url, "REDIS_URL": redis_url}
    )
    assert applied


def test_a_password_by_file_reaches_the_database(
    site: Path, repository: Path, empty_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """The entrypoint reads it into PGPASSWORD, and asyncpg takes it where the URL has none."""
    scheme, _, rest = empty_database_url.partition("://")
    credentials, _, place = rest.partition("@")
    user, _, password = credentials.partition(":")
    secret = tmp_path / "postgres password"
    secret.write_text(f"{password}\n")
    environment = {"DATABASE_URL": f"{scheme}://{user}@{place}", "REDIS_URL": redis_url}
    entrypoint = ["sh", str(repository / "ops/deploy/entrypoint.sh")]
    assert _ops(site, ["schema", "apply", "--json"], environment | {"PGPASSWORD_FILE": str(secret)}, entrypoint)
    refused = subprocess.run(
        _command(["schema", "apply"], entrypoint),
        env=_environment(site, environment),
        capture_output=True,
        check=False,
    )
    assert refused.returncode == 2, "without the file the server must not let it in"


def _ops(
    site: Path, arguments: list[str], environment: dict[str, str], entrypoint: list[str] | None = None
) -> object:
    ended = subprocess.run(
        _command(arguments, entrypoint or []),
        cwd=site,
        env=_environment(site, environment),
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return json.loads(ended.stdout)


def _command(arguments: list[str], entrypoint: list[str]) -> list[str]:
    # The checkout is installed here too; what is tested must be the copy in the site folder.
    call = "import os, ops.command as c; assert c.__file__.startswith(os.environ['SITE']), c.__file__; c.main()"
    return [*entrypoint, sys.executable, "-c", call, *arguments]


def _environment(site: Path, environment: dict[str, str]) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(site), "SITE": str(site)} | environment
