"""The progress of a report on a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from ops.reconcile.progress import ReconcileProgress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_said_to_be_left_before_the_runs_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    for name, value in (("TERM", "xterm"), ("COLUMNS", "80"), ("TTY_COMPATIBLE", "1")):
        monkeypatch.setenv(name, value)
    with ReconcileProgress() as progress:
        progress.update(0)
        progress.note("A sentence.")
        before = terminal.getvalue()
        progress.expect(10)
        progress.update(5)
    after = terminal.getvalue().removeprefix(before)
    assert "runs/s" in before
    assert "left" not in before
    assert "5/10" in after
    assert "left" in after
