"""Progress: a bar on a terminal, a plain line every few seconds elsewhere; both on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn

_LINE_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Runs at one moment; `total` is None until it is known, `committed` where nobody waits for the workers."""

    elapsed_s: float
    scanned: int
    published: int
    committed: int | None
    total: int | None
    waiting: str | None = None

    @property
    def done(self) -> int:
        """Runs that are through: committed where that is followed, else scanned."""
        return self.scanned if self.committed is None else self.committed

    @property
    def rate_per_s(self) -> float:
        """Runs a second since the start."""
        return self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def left(self) -> str:
        """The time left at this rate, as h:mm:ss; a dash while it can't be told."""
        if self.total is None or self.rate_per_s <= 0:
            return "-:--:--"
        return str(timedelta(seconds=round(max(0, self.total - self.done) / self.rate_per_s)))

    def counts(self) -> str:
        """Return the counts in words."""
        counts = f"{self.scanned:,} scanned, {self.published:,} published"
        return counts if self.committed is None else f"{counts}, {self.committed:,} committed"


class Reporter(Protocol):
    """Shows how a long command gets on."""

    def update(self, snapshot: Snapshot) -> None:
        """Show how far it is."""

    def note(self, sentence: str) -> None:
        """Say something that matters now."""

    def close(self) -> None:
        """Take the progress off the screen."""


class BarReporter:
    """A bar with counts, rate and time left."""

    def __init__(self, console: Console) -> None:
        columns: tuple[ProgressColumn, ...] = (
            TextColumn("{task.percentage:>3.0f}%"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[rate]} runs/s, {task.fields[left]} left"),
        )
        self._console = console
        self._counts = Progress(TextColumn("{task.description}"), *columns, console=console, transient=True)
        self._task: TaskID = self._counts.add_task("", total=None, rate="0", left="-:--:--")
        self._counts.start()

    def update(self, snapshot: Snapshot) -> None:
        """Show how far it is."""
        waiting = f" ({snapshot.waiting})" if snapshot.waiting and self._console.width > 120 else ""
        self._counts.update(
            self._task,
            description=snapshot.counts() + waiting,
            total=None if snapshot.total is None else max(snapshot.total, snapshot.done),
            completed=snapshot.done,
            rate=f"{snapshot.rate_per_s:,.0f}",
            left=snapshot.left,
        )

    def note(self, sentence: str) -> None:
        """Say something above the bar."""
        self._counts.console.print(sentence, markup=False, highlight=False)

    def close(self) -> None:
        """Take the bar off the screen."""
        self._counts.stop()


class LineReporter:
    """A line every five seconds, for logs."""

    def __init__(self, write: Callable[[str], None], monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._monotonic_s = monotonic_s
        self._next_s = monotonic_s() + _LINE_EVERY_S

    def update(self, snapshot: Snapshot) -> None:
        """Show how far it is, if it is time for a line."""
        now_s = self._monotonic_s()
        if now_s < self._next_s:
            return
        self._next_s = now_s + _LINE_EVERY_S
        of_total = "" if snapshot.total is None else f" of {snapshot.total:,} runs"
        waiting = f"; {snapshot.waiting}" if snapshot.waiting else ""
        rate = f"{snapshot.rate_per_s:,.1f} runs/s, {snapshot.left} left"
        self._write(f"{snapshot.counts()}{of_total}; {rate}{waiting}")

    def note(self, sentence: str) -> None:
        """Say something that matters now."""
        self._write(sentence)

    def close(self) -> None:
        """Nothing is left on the screen."""


def make_reporter(write: Callable[[str], None]) -> Reporter:
    """Return a bar where stderr is a terminal, else lines written by `write`."""
    console = Console(file=sys.stderr)
    return BarReporter(console) if console.is_terminal and not console.is_dumb_terminal else LineReporter(write)
