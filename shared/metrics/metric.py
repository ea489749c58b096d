"""A metric by its name: declared once, filled at each scrape from plain numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from prometheus_client import Metric as Family

from shared.metrics.tally import Tally

_TOTAL: Final = "_total"


class Kind(StrEnum):
    """Prometheus' kinds of metrics, as far as runferry uses them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


#: The values of the labels, in the metric's order, and the number.
Sample = tuple[Sequence[str], float]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; `name` is what a query says, of a histogram without `_bucket` and the like."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()

    def of(self, samples: Iterable[Sample]) -> Family:
        """Return what a scrape says of it; without samples its name is still there."""
        family = self._family()
        for values, number in samples:
            family.add_sample(self.name, self._named(values), number)
        return family

    def alone(self, number: float | None) -> Family:
        """Return what a scrape says of a metric without labels; None where the number is not known."""
        return self.of([] if number is None else [((), number)])

    def of_tallies(self, tallies: Iterable[tuple[Sequence[str], Tally]]) -> Family:
        """Return what a scrape says of a histogram."""
        family = self._family()
        for values, tally in tallies:
            labels = self._named(values)
            for bound, count in tally.cumulative():
                family.add_sample(f"{self.name}_bucket", {**labels, "le": _bound(bound)}, count)
            family.add_sample(f"{self.name}_count", labels, count)
            family.add_sample(f"{self.name}_sum", labels, tally.sum)
        return family

    def _family(self) -> Family:
        return Family(self.name.removesuffix(_TOTAL), self.meaning, self.kind.value)

    def _named(self, values: Sequence[str]) -> dict[str, str]:
        return dict(zip(self.labels, values, strict=True))


def _bound(bound: float) -> str:
    return "+Inf" if math.isinf(bound) else repr(float(bound))


class Collector(Protocol):
    """What is asked at each scrape."""

    def collect(self) -> Iterator[Family]:
        """Yield every metric with its numbers of this moment."""
