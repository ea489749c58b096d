"""Progress of a report on stderr: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from shared.command import say
from shared.counting import counted

_LINE_EVERY_S: Final = 5.0


class ReconcileProgress:
    """Counts runs towards a total that may become known later; a context manager."""

    def __init__(self) -> None:
        self._total: int | None = None
        self._word = "Reconciling"
        self._started_s = time.monotonic()
        self._next_line_s = self._started_s + _LINE_EVERY_S
        console = Console(file=sys.stderr)
        self._bar: Progress | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]} runs/s"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[left]}"),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task(self._word, total=None, rate="0", left="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def expect(self, total: int) -> None:
        """Say how many runs there are."""
        self._total = total

    def update(self, done: int) -> None:
        """Show how many runs are done."""
        now_s = time.monotonic()
        rate = done / max(now_s - self._started_s, 0.001)
        if self._bar is not None:
            total = None if self._total is None else max(self._total, done)
            left = "" if total is None else "left"
            self._bar.update(self._task, completed=done, total=total, rate=f"{rate:,.0f}", left=left)
        elif now_s >= self._next_line_s:
            self._next_line_s = now_s + _LINE_EVERY_S
            left = f", {max(0, self._total - done) / rate:,.0f} s left" if self._total and rate else ""
            so_far = "" if self._total is None else f"{done:,} of "
            runs = counted(done if self._total is None else self._total, "run")
            say(f"{self._word}: {so_far}{runs}; {rate:,.0f} runs/s{left}")

    def note(self, sentence: str) -> None:
        """Say something that matters now."""
        if self._bar is not None:
            self._bar.console.print(sentence, markup=False, highlight=False)
        else:
            say(sentence)
