"""The audit of dependencies: what can be known without a network, and what `make audit` asks the world.

`python tests/support/dependency_audit.py PIP_AUDIT LOCK…` asks the public database of advisories.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

#: Licences under which runferry may use a package; what is not listed is looked at by a person first.
LICENCES = frozenset(
    {
        *(
            "MIT",
            "MIT-0",
            "BSD",
            "BSD-2-Clause",
            "BSD-3-Clause",
            "0BSD",
            "ISC",
            "Apache-2.0",
            "PSF-2.0",
            "Unlicense",
            "CC0-1.0",
        ),
        # Weak copyleft: the package stays under it, and runferry does not.
        *("MPL-2.0", "LGPL-3.0-or-later"),
    }
)
#: What packages write in the place of an SPDX expression.
_IN_WORDS = {
    "mit license": "MIT",
    "the mit license (mit)": "MIT",
    "bsd license": "BSD",
    "bsd 2-clause license": "BSD-2-Clause",
    "apache 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "gnu lesser general public license v3 or later (lgplv3+)": "LGPL-3.0-or-later",
}
#: Makes environments and is in none of the locks.
_TOOLS = frozenset({"pip"})


@dataclass(frozen=True)
class Pin:
    """One line of a lock file."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        return str(self.requirement.specifier).removeprefix("==")

    @property
    def applies(self) -> bool:
        """Whether it is for this Python and system."""
        return self.requirement.marker is None or self.requirement.marker.evaluate()


def read_lock(text: str) -> tuple[list[Pin], list[str]]:
    """Return the pins of a lock file, and what is wrong with its lines."""
    pins: list[Pin] = []
    faults: list[str] = []
    for line in text.replace("\\\n", " ").splitlines():
        words = line.partition("#")[0].strip()
        if not words:
            continue
        said, *hashes = re.split(r"\s+--hash=", words)
        try:
            requirement = Requirement(said.strip())
        except InvalidRequirement:
            faults.append(f"{said.strip()}: no pinned package, but an option or an address")
            continue
        specifiers = [str(specifier) for specifier in requirement.specifier]
        if requirement.url or len(specifiers) != 1 or not re.fullmatch(r"==[^*]+", specifiers[0]):
            faults.append(f"{said.strip()}: not pinned to one version")
        if not hashes or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest.strip()) for digest in hashes):
            faults.append(f"{requirement.name}: no sha256 of what may be installed")
        pins.append(Pin(requirement, tuple(digest.strip() for digest in hashes)))
    return pins, faults


def not_as_locked(pins: Iterable[Pin], installed: Mapping[str, str], own: str) -> list[str]:
    """Return how an environment, version by canonical name, differs from its lock."""
    locked = {pin.name: pin.version for pin in pins if pin.applies}
    faults = [
        f"{name}: {version} is locked, {installed.get(name, 'none')} is installed"
        for name, version in locked.items()
        if installed.get(name) != version
    ]
    strays = sorted(installed.keys() - locked.keys() - _TOOLS - {own})
    return faults + [f"{name}: installed, and in no lock (rm -r .venv makes it anew)" for name in strays]


def not_in_step(pins: Iterable[Pin], wanted: Iterable[str], requires: Mapping[str, Sequence[str]]) -> list[str]:
    """Return where a lock is not what a project asks for: `wanted` by the project, `requires` by each package."""
    locked = {pin.name: pin for pin in pins if pin.applies}
    faults: list[str] = []
    reached: set[tuple[str, str]] = set()
    waiting = [("the project", Requirement(text)) for text in wanted]
    while waiting:
        by, requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in locked:
            faults.append(f"{name}: needed by {by}, not locked")
            continue
        if not requirement.specifier.contains(locked[name].version, prereleases=True):
            faults.append(f"{name}: {by} needs {requirement.specifier}, {locked[name].version} is locked")
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) in reached:
                continue
            reached.add((name, extra))
            needs = (Requirement(text) for text in requires.get(name, ()))
            waiting += [
                (name, need) for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})
            ]
    left = locked.keys() - {name for name, _ in reached}
    return faults + [f"{name}: locked, and nothing needs it" for name in sorted(left)]


def licence_of(distribution: Distribution) -> str:
    """Return the licence of an installed package: as an SPDX expression where it has one; empty where it is unknown."""
    metadata = distribution.metadata
    said = [metadata.get("License-Expression") or "", metadata.get("License") or ""]
    said += [
        text.rpartition("::")[2] for text in metadata.get_all("Classifier") or [] if text.startswith("License ::")
    ]
    said += _first_lines(distribution)
    for text in (text.strip() for text in said):
        known = _IN_WORDS.get(text.lower(), text)
        if is_allowed(known):
            return known
    return next((text.strip() for text in said if text.strip()), "")


def is_allowed(expression: str) -> bool:
    """Whether every part of an SPDX expression leaves a licence that runferry may use."""
    parts = re.split(r"\s+AND\s+", expression)
    return all(LICENCES & set(re.split(r"\s+OR\s+", part.strip("() "))) for part in parts)


def _first_lines(distribution: Distribution) -> Iterator[str]:
    for name in distribution.metadata.get_all("License-File") or []:
        for path in (f"licenses/{name}", name):
            text = distribution.read_text(path)
            if text:
                yield text.lstrip().partition("\n")[0]


def ask_the_world(pip_audit: str, locks: Sequence[Path], service: str) -> int:
    """Have every pin looked up in the public database, and say what it knows; 0 nothing, 1 something, 2 not asked."""
    command = [pip_audit, "--require-hashes", "--disable-pip", "--progress-spinner=off", "--format=json"]
    # Strict: a package that the database can't be asked about is no package without advisories.
    command += ["--strict", f"--vulnerability-service={service}"]
    ended = subprocess.run(
        [*command, *(f"--requirement={lock}" for lock in locks)], capture_output=True, text=True, check=False
    )
    try:
        found: list[dict[str, Any]] = json.loads(ended.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        said = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(
            f"Nothing was audited: the database of advisories ({service}) can't be asked from here: {said}\n"
            "SERVICE=pypi or SERVICE=osv asks the other one. The offline part of the audit runs with make test.",
            file=sys.stderr,
        )
        return 2
    skipped = [f"{one['name']}: {one['skip_reason']}" for one in found if "skip_reason" in one]
    known = [(one["name"], one["version"], flaw) for one in found for flaw in one.get("vulns", ())]
    for name, version, flaw in known:
        mended = ", ".join(flaw.get("fix_versions", ())) or "no version yet"
        print(f"{name} {version}: {flaw['id']}, mended in {mended}")
    for line in skipped:
        print(f"not audited: {line}", file=sys.stderr)
    print(f"{len(found) - len(skipped)} packages were looked up ({service}): {len(known)} advisories.")
    return 2 if skipped or not found else 1 if known or ended.returncode else 0


if __name__ == "__main__":
    sys.exit(ask_the_world(sys.argv[2], [Path(path) for path in sys.argv[3:]], sys.argv[1]))
