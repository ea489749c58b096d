"""Trees: a sample of run folders is copied, and compared with what comes back."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from ops.reconcile.choosing import sampled
from ops.reconcile.options import Sample
from shared.comparing.json_value import canonical_json
from shared.documents import Document
from shared.ids import RunId, Stage
from shared.run_folders.listing import run_names
from shared.run_folders.scanner import Scanner
from shared.run_folders.stage_folder import Limits

Outputs = Mapping[tuple[RunId, Stage], tuple[Document, ...]]


def copy_runs(root: Path, target: Path, sample: int | None) -> int:
    """Copy so many runs of a tree (all for None), with their times; return how many. Raises OSError, UsageError."""
    target.mkdir(parents=True)
    names = run_names(root)
    chosen = names if sample is None else iter(sampled(names, Sample(sample, 0)))
    copied = 0
    for name in chosen:
        # Links stay links: one that leads out of the root must be refused as it is in the live tree.
        shutil.copytree(root / name, target / name, symlinks=True, ignore_dangling_symlinks=True)
        copied += 1
    return copied


def read_outputs(root: Path, max_output_bytes: int) -> Outputs:
    """Return all outputs of a tree that can be read."""
    scanner = Scanner(root, Limits(settle_s=0, max_output_bytes=max_output_bytes))
    return {(run.run_id, output.stage): output.documents for run in scanner.runs() for output in run.outputs}


def differing(expected: Outputs, found: Outputs) -> list[str]:
    """Return the outputs of `found` that are not what was expected: Markdown by bytes, JSON by value."""
    return [
        f"{run_id} stage {stage.value}"
        for (run_id, stage), documents in sorted(found.items())
        if not _equal(expected.get((run_id, stage), ()), documents)
    ]


def _equal(expected: tuple[Document, ...], found: tuple[Document, ...]) -> bool:
    return len(expected) == len(found) and all(map(_same, expected, found))


def _same(expected: Document, found: Document) -> bool:
    if expected.name != found.name:
        return False
    if expected.content == found.content:
        return True
    return expected.name.endswith(".json") and canonical_json(expected.content.decode()) == canonical_json(
        found.content.decode()
    )
