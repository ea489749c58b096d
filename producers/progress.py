"""Progress: a bar on a terminal, a plain line every few seconds elsewhere; both on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from shared.counting import counted

_LINE_EVERY_S: Final = 5.0
_FIGURES: Final = 3


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Runs at one moment.

    `total` is None until it is known, `published` in a dry run, `committed` where nobody follows the messages.
    """

    elapsed_s: float
    scanned: int
    published: int | None
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
        counts = {"scanned": self.scanned, "published": self.published, "committed": self.committed}
        return ", ".join(f"{count:,} {word}" for word, count in counts.items() if count is not None)


class Reporter(Protocol):
    """Shows how a long command gets on."""

    def update(self, snapshot: Snapshot) -> None:
        """Show how far it is."""

    def note(self, sentence: str) -> None:
        """Say something that matters now."""

    def close(self) -> None:
        """Take the progress off the screen."""


class BarReporter:
    """Two lines that stay in their place: the counts, and a bar with rate and time left."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, transient=True, refresh_per_second=4)
        self._live.start()

    def update(self, snapshot: Snapshot) -> None:
        """Show how far it is."""
        self._live.update(self.render(snapshot))

    def render(self, snapshot: Snapshot) -> Group:
        """Return the two lines, which fit into any width."""
        waiting = f"; {snapshot.waiting}" if snapshot.waiting else ""
        total = None if snapshot.total is None else max(snapshot.total, snapshot.done)
        grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
        grid.add_column(ratio=1)
        for _ in range(_FIGURES):
            grid.add_column(no_wrap=True)
        grid.add_row(
            ProgressBar(total=total, completed=snapshot.done, pulse=total is None),
            "" if not total else f"{snapshot.done / total:.0%}",
            f"{snapshot.rate_per_s:,.1f} runs/s",
            f"{snapshot.left} left",
        )
        counts = Text(snapshot.counts() + waiting, no_wrap=True, overflow="ellipsis")
        return Group(counts, grid)

    def note(self, sentence: str) -> None:
        """Say something above the bar."""
        self._live.console.print(sentence, markup=False, highlight=False)

    def close(self) -> None:
        """Take the bar off the screen."""
        self._live.stop()


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
        of_total = "" if snapshot.total is None else f" of {counted(snapshot.total, 'run')}"
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
