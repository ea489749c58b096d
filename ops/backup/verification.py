"""Verification: whether the parts of a backup are what its manifest says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ops.backup.hashed_file import part_of
from ops.backup.manifest import Manifest, read_manifest
from shared.counting import counted
from shared.errors import UsageError


@dataclass(frozen=True, slots=True)
class Verified:
    """A backup, and what is wrong with it; the manifest is None where it can't be read."""

    folder: Path
    manifest: Manifest | None
    faults: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether every part is there and unchanged."""
        return not self.faults


def verify(folder: Path, took: Callable[[int], None] = lambda _: None) -> Verified:
    """Hash every part of a backup anew; `took` hears of bytes, some at a time."""
    try:
        manifest = read_manifest(folder)
    except UsageError as error:
        return Verified(folder, None, (str(error),))
    faults = []
    for part in manifest.parts:
        try:
            found = part_of(folder / part.name, took=took)
        except FileNotFoundError:
            faults.append(f"{part.name} is missing")
            continue
        except OSError as error:
            faults.append(f"{part.name} can't be read: {error.strerror}")
            continue
        if found.bytes != part.bytes:
            faults.append(f"{part.name} has {counted(found.bytes, 'byte')}, and had {part.bytes:,}")
        elif found.sha256 != part.sha256:
            faults.append(f"{part.name} was changed: its hash is another")
    return Verified(folder, manifest, tuple(faults))
