"""The Dockerfile copies what exists, installs by hash, and ends as nobody of importance."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from shared.settings import Settings, variable

Dockerfile = list[Any]


def _words(dockerfile: Dockerfile, keyword: str, stage: str) -> list[list[str]]:
    return [list(found.words) for found in dockerfile if (found.keyword, found.stage) == (keyword, stage)]


def test_what_is_copied_exists_and_is_let_into_the_build(dockerfile: Dockerfile, repository: Path) -> None:
    lines = (repository / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    stages = {found.stage for found in dockerfile}
    for copy in (found for found in dockerfile if found.keyword == "COPY"):
        *sources, _ = copy.words
        if "from" in copy.flags:
            assert copy.flags["from"] in stages
            continue
        for source in sources:
            assert (repository / source).exists(), source
            assert Path(source).parts[0] in allowed, f"{source} is held back by .dockerignore"


def test_no_secret_is_let_into_the_build(repository: Path) -> None:
    lines = (repository / ".dockerignore").read_text().splitlines()
    assert lines.index("ops/deploy/secrets") > lines.index("!ops")


def test_every_package_and_the_readme_are_in_the_build(dockerfile: Dockerfile, project: dict[str, Any]) -> None:
    copied = {source for words in _words(dockerfile, "COPY", "build") for source in words[:-1]}
    assert {"shared", "producers", "workers", "ops", "pyproject.toml", project["readme"]} <= copied


def test_everything_from_an_index_is_installed_by_hash(dockerfile: Dockerfile) -> None:
    installs = [
        part
        for found in dockerfile
        if found.keyword == "RUN"
        for part in found.text.split("&&")
        if re.search(r"\bpip\b.* (install|wheel|download) ", part)
    ]
    assert len(installs) >= 3
    for install in installs:
        assert "--require-hashes" in install or ("--no-index" in install and "--no-deps" in install), install


def test_no_index_is_named(repository: Path) -> None:
    files = ["Dockerfile", "requirements.lock", "build.lock", "entrypoint.sh"]
    text = "".join((repository / "ops/deploy" / name).read_text() for name in files)
    assert not re.search(r"https?://|index-url|find-links (?!wheels\b)|trusted-host", text)


def test_the_final_image_holds_no_build_tool(dockerfile: Dockerfile) -> None:
    assert {
        found.flags.get("from") for found in dockerfile if found.stage == "final" and found.keyword == "COPY"
    } == {
        "build",
        None,
    }
    assert not any(
        "pip" in found.text for found in dockerfile if found.stage == "final" and found.keyword == "RUN"
    )


def test_it_ends_as_a_user_that_is_not_root(dockerfile: Dockerfile) -> None:
    (user,) = _words(dockerfile, "USER", "final")
    uid, gid = user[0].split(":")
    assert int(uid) >= 10_000
    assert int(gid) >= 10_000
    created = " ".join(found.text for found in dockerfile if found.keyword == "RUN" and found.stage == "final")
    assert f"--uid {uid}" in created
    assert f"--gid {gid}" in created


def test_its_command_exists(
    dockerfile: Dockerfile, check_command: Callable[[Sequence[str]], None], repository: Path
) -> None:
    (entrypoint,) = _words(dockerfile, "ENTRYPOINT", "final")
    (command,) = _words(dockerfile, "CMD", "final")
    copied = {words[-1]: words[0] for words in _words(dockerfile, "COPY", "final")}
    assert (repository / copied[f"/usr/local/bin/{entrypoint[0]}"]).is_file()
    check_command([*entrypoint, *command])


def test_its_variables_are_settings(dockerfile: Dockerfile) -> None:
    settings = {variable(field) for field in Settings.model_fields}
    named = re.findall(
        r"\b(RUNFERRY_\w+)=", " ".join(found.text for found in dockerfile if found.keyword == "ENV")
    )
    assert named
    assert set(named) <= settings


def test_its_python_is_one_that_runferry_supports(dockerfile: Dockerfile, project: dict[str, Any]) -> None:
    (default,) = (found.text.split("=")[1] for found in dockerfile if found.text.startswith("PYTHON_VERSION="))
    assert SpecifierSet(project["requires-python"]).contains(default)
