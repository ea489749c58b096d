"""Progress of a replay on stderr: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from shared.command import say

_LINE_EVERY_S: Final = 5.0


class ReplayProgress:
    """Counts letters towards a total; a context manager, which takes the bar off the screen."""

    def __init__(self, total: int, word: str) -> None:
        self._total = total
        self._word = word
        self._started_s = time.monotonic()
        self._next_line_s = self._started_s + _LINE_EVERY_S
        console = Console(file=sys.stderr)
        self._bar: Progress | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]} letters/s,"),
                TimeRemainingColumn(),
                TextColumn("left"),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task(word, total=total, rate="0")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, word: str | None = None) -> None:
        """Show how many are done, and by which word."""
        self._word = word or self._word
        now_s = time.monotonic()
        rate = done / max(now_s - self._started_s, 0.001)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=self._word, rate=f"{rate:,.0f}")
        elif now_s >= self._next_line_s:
            self._next_line_s = now_s + _LINE_EVERY_S
            left_s = (self._total - done) / rate if rate else 0.0
            say(f"{self._word} {done:,} of {self._total:,}; {rate:,.0f} letters/s, {left_s:,.0f} s left")

    def note(self, sentence: str) -> None:
        """Say something that matters now."""
        if self._bar is not None:
            self._bar.console.print(sentence, markup=False, highlight=False)
        else:
            say(sentence)
