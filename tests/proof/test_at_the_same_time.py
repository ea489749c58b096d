"""A report beside a backfill, live emits and replays names nothing that is only on its way."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from proof_bench import Proof
from real_workers import PATIENCE_S

from producers.emitter import Emitter
from shared.documents import Document


def test_what_moves_is_never_called_missing_or_different(migrated: Proof) -> None:
    stop = threading.Event()
    stores = migrated.settings

    def pipeline() -> int:
        """Write a stage's file and emit it, as a pipeline does, again and again."""
        emitted = 0
        with Emitter(stores) as emitter:
            while not stop.wait(0.01):
                emitted += 1
                run_id = f"run-{emitted % 3:03d}"
                text = f"# Lessons\n\nRound {emitted}\n".encode()
                folder = migrated.root / run_id / "stage3"
                temporary = folder / ".new"
                temporary.write_bytes(text)
                temporary.replace(folder / "universal-lessons.md")
                emitter.emit(run_id, 3, [Document("universal-lessons.md", text)])
        return emitted

    with ThreadPoolExecutor(1) as thread:
        emitting = thread.submit(pipeline)
        seen: dict[str, int] = {}
        deadline = time.monotonic() + PATIENCE_S
        reports = 0
        try:
            while reports < 8 and time.monotonic() < deadline:
                reports += 1
                report = migrated.reconcile("--settle", "0.3s")
                for verdict, count in report.json["verdicts"].items():
                    seen[verdict] = seen.get(verdict, 0) + count
        finally:
            stop.set()
        assert emitting.result() > 20
    assert reports == 8
    assert seen.keys() <= {"match", "in_flight", "superseded", "unsettled"}, seen
