"""What was measured, and what follows from it: medians, and ratios between contenders of the same round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Measurement:
    """One contender in one round; processor time by part: client (script, producer), workers, postgres, redis."""

    contender: str
    round: int
    runs: int
    seconds: float
    cpu_s: dict[str, float]

    @property
    def runs_per_s(self) -> float:
        """Runs carried a second of the clock."""
        return self.runs / self.seconds


@dataclass(frozen=True, slots=True)
class Summary:
    """The medians of one contender over the rounds."""

    contender: str
    runs_per_s: float
    slowest_runs_per_s: float
    fastest_runs_per_s: float
    cpu_ms_per_run: dict[str, float]


def summarise(measurements: Sequence[Measurement], contender: str) -> Summary:
    """Return the medians of `contender`."""
    own = [measurement for measurement in measurements if measurement.contender == contender]
    speeds = [measurement.runs_per_s for measurement in own]
    return Summary(
        contender,
        median(speeds),
        min(speeds),
        max(speeds),
        {
            part: median(measurement.cpu_s[part] / measurement.runs * 1000 for measurement in own)
            for part in own[0].cpu_s
        },
    )


def ratio(measurements: Sequence[Measurement], contender: str, baseline: str) -> float:
    """Return how many times as fast as `baseline` the contender is: the median over rounds of the ratio in each.

    Within a round both ran next to each other, so that what slows the machine down for a while hits both.
    """
    speeds = {(measurement.round, measurement.contender): measurement.runs_per_s for measurement in measurements}
    rounds = {number for number, _ in speeds}
    return median(speeds[number, contender] / speeds[number, baseline] for number in rounds)
