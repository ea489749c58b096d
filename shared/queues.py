"""Queues and actors by name: the one place where producers and workers agree on them."""

from __future__ import annotations

from typing import Final

#: Outputs and run events that a pipeline sends now; never behind a backfill.
LIVE: Final = "live"
#: Outputs that a backfill, a repair or a replay sends.
BACKFILL: Final = "backfill"
#: Questions of the reconciler, for workers that see the run folders.
RECONCILE: Final = "reconcile"

ALL: Final = (LIVE, BACKFILL, RECONCILE)

#: The actor that writes outputs of the live queue, and run events.
WRITE_LIVE: Final = "write_live"
#: The actor that writes outputs of the backfill queue.
WRITE_BACKFILL: Final = "write_backfill"
#: The actor that compares what is on disk with rows.
COMPARE: Final = "compare"
