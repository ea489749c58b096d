"""What sends outputs: emitter, stage store, outbox, backfill scanner, and the `producer` command."""

import sys

import shared

if not getattr(shared, "IS_RUNFERRY", False):
    _sentence = (
        f"runferry's package `shared` is hidden by another of that name in {next(iter(shared.__path__), '?')}: "
        "rename that one, take its folder off PYTHONPATH, or run from another folder "
        "(`python -P` leaves the current one out)."
    )
    if sys.argv[0].rpartition("/")[2] in ("-m", "producer", "worker", "ops"):
        sys.stderr.write(_sentence + "\n")
        sys.exit(2)
    raise ImportError(_sentence)

from producers.emitter import AsyncEmitter, Emitted, Emitter
from producers.receipt import CommitState, Receipt, Token
from producers.stage_store.async_store import AsyncReceipt, AsyncStageStore
from producers.stage_store.output import Source, StageOutput
from producers.stage_store.store import StageStore
from shared.contract import Hints
from shared.documents import Document
from shared.errors import (
    DatabaseAway,
    Malformed,
    NotRestorable,
    OutboxFull,
    OutputBusy,
    OutputDeadLettered,
    QueueAway,
    SettingsError,
    StageOutputNotFound,
    UsageError,
)

__all__ = [
    "AsyncEmitter",
    "AsyncReceipt",
    "AsyncStageStore",
    "CommitState",
    "DatabaseAway",
    "Document",
    "Emitted",
    "Emitter",
    "Hints",
    "Malformed",
    "NotRestorable",
    "OutboxFull",
    "OutputBusy",
    "OutputDeadLettered",
    "QueueAway",
    "Receipt",
    "SettingsError",
    "Source",
    "StageOutput",
    "StageOutputNotFound",
    "StageStore",
    "Token",
    "UsageError",
]
