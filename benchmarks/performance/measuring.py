"""Rounds of steps: what fails or is interrupted costs only itself, and everything else is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.performance.figures import described
from benchmarks.performance.record import Failure, Record, Round
from benchmarks.performance.steps import Bench, Step


class Measuring:
    """Fills `record`, and writes it to `path`, if given, after each step."""

    def __init__(self, record: Record, path: Path | None, say: Callable[[str], None]) -> None:
        self._record = record
        self._path = path
        self._say = say
        self._started_s = time.monotonic()
        self._longest_s = 0.0
        self._seconds_before = record.seconds

    def has_time(self, minutes: float) -> bool:
        """Return whether a round as long as the longest so far would end in time."""
        return self._elapsed_s() + self._longest_s <= minutes * 60

    def measure(self, steps: Mapping[str, Step], bench: Bench) -> None:
        """Take the steps of one round."""
        began_s = self._elapsed_s()
        number = len(self._record.rounds) + 1
        one = Round(number)
        self._record.rounds.append(one)
        for name, step in steps.items():
            step_s = self._elapsed_s()
            try:
                for figure in step(bench):
                    one.take(figure)
                    self._say(f"round {number}: {described(figure)}")
            except Exception as error:
                one.take(Failure(name, f"{type(error).__name__}: {error}"))
                self._say(f"round {number}: {name} failed: {error}")
            self._say(f"round {number}: {name} took {self._elapsed_s() - step_s:.0f} s")
            self.keep()
        self._longest_s = max(self._longest_s, self._elapsed_s() - began_s)

    def keep(self) -> None:
        """Write what is there."""
        self._record.seconds = self._seconds_before + self._elapsed_s()
        if self._path is not None:
            self._record.write(self._path)

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._started_s
