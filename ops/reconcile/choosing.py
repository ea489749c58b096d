"""Choosing: which runs a report looks at."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from hashlib import blake2b

from ops.reconcile.options import ReconcileOptions, Sample
from shared.run_folders.listing import ListedRun, list_named, list_runs, run_names


def chosen_runs(options: ReconcileOptions, max_output_bytes: int) -> Iterator[ListedRun]:
    """Yield the runs that are meant, as they are listed now; raises UsageError where the root can't be read."""
    if options.run_ids:
        return list_named(options.root, options.run_ids, max_output_bytes)
    if options.sample is not None:
        return list_named(options.root, sampled(run_names(options.root), options.sample), max_output_bytes)
    return list_runs(options.root, max_output_bytes)


def sampled(names: Iterator[str], sample: Sample) -> list[str]:
    """Return so many of the names: by hash, so that neither the order of a folder nor its other runs matter."""

    def place(name: str) -> bytes:
        return blake2b(f"{sample.seed}\n{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()

    return heapq.nsmallest(sample.runs, names, key=place)
