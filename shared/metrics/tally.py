"""A tally of observations by bucket, cheap enough for every message: one thread observes, others read, nobody locks."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate


class Tally:
    """Counts of observations; `bounds` are the buckets' upper ends, rising, without the infinite one."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = (*bounds, math.inf)
        self._counts = [0] * len(self._bounds)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Take in one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Yield each bound with how many observations are not above it; the last is the count of all."""
        yield from zip(self._bounds, accumulate(tuple(self._counts)), strict=True)
