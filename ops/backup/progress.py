"""Progress of long work in steps, on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from shared.command import say
from shared.counting import counted

_LINE_EVERY_S: Final = 5.0


class StepProgress:
    """One step after the other, each counting towards a total that may be unknown; a context manager."""

    def __init__(self) -> None:
        self._word = ""
        self._unit = ""
        self._total: int | None = None
        self._started_s = self._next_line_s = 0.0
        console = Console(file=sys.stderr)
        self._bar: Progress | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[count]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=None, count="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, word: str, *, unit: str, total: int | None = None) -> None:
        """Begin a step: what is done, in which unit (one of it), towards how many."""
        self._word, self._unit, self._total = word, unit, total
        self._started_s = time.monotonic()
        self._next_line_s = self._started_s + _LINE_EVERY_S
        if self._bar is not None:
            # A new task each: the total of one can't become unknown again.
            self._bar.remove_task(self._task)
            self._task = self._bar.add_task(word, total=total, count="")

    def update(self, done: int) -> None:
        """Show how far the step is."""
        now_s = time.monotonic()
        if self._bar is None and now_s < self._next_line_s:
            return
        rate = done / max(now_s - self._started_s, 0.001)
        so_far = "" if self._total is None else f"{done:,} of "
        count = f"{so_far}{counted(done if self._total is None else self._total, self._unit)}, {rate:,.0f}/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=done, count=count)
            return
        self._next_line_s = now_s + _LINE_EVERY_S
        left = f", {max(0, self._total - done) / rate:,.0f} s left" if self._total and rate else ""
        say(f"{self._word}: {count}{left}")

    def note(self, sentence: str) -> None:
        """Say something that matters now."""
        if self._bar is not None:
            self._bar.console.print(sentence, markup=False, highlight=False)
        else:
            say(sentence)
