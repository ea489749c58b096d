"""The record of one run of the benchmark: what each round measured, and on what machine. One JSON document."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Carried:
    """Something that was done for a number of runs, from its start to its end.

    `cpu_s` is processor time by part: client (script, producer, command), workers, postgres, redis. `peak_mib` is the
    most memory at any time: of producer and of the largest worker process what they held themselves, of redis its
    used_memory. `wal_bytes` is what PostgreSQL logged, `rows` what it holds more of, in all tables.
    """

    name: str
    runs: int
    seconds: float
    cpu_s: dict[str, float]
    peak_mib: dict[str, float] = field(default_factory=dict)
    wal_bytes: int | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles 0 to 100 of `count` latencies, in ms."""

    name: str
    count: int
    percentiles_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Idle:
    """The share of one core that an idle worker process used: the mean of all, and the busiest."""

    seconds: float
    mean_share: float
    greatest_share: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that did not end well, and so left no figure."""

    step: str
    said: str


@dataclass(slots=True)
class Round:
    """The figures of one round; an interrupted one has fewer."""

    number: int
    carried: list[Carried] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    idle: list[Idle] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def take(self, found: object) -> None:
        """Keep a figure of any kind."""
        match found:
            case Carried():
                self.carried.append(found)
            case Latency():
                self.latencies.append(found)
            case Idle():
                self.idle.append(found)
            case Failure():
                self.failures.append(found)
            case _:
                raise TypeError(f"{found!r} is no figure")


@dataclass(slots=True)
class Record:
    """One run of the benchmark, or several whose rounds were added."""

    machine: dict[str, Any]
    options: dict[str, Any]
    started_at: str
    seconds: float = 0.0
    commands: list[str] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)

    @property
    def failures(self) -> list[Failure]:
        """Everything that failed."""
        return [failure for one in self.rounds for failure in one.failures]

    def write(self, path: Path) -> None:
        """Replace the file at once, so that whoever is interrupted keeps the rounds before."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(_rounded(dataclasses.asdict(self)), indent=1) + "\n")
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the record of a file."""
        document = json.loads(path.read_text())
        rounds = [
            Round(
                one["number"],
                [Carried(**found) for found in one["carried"]],
                [
                    Latency(found["name"], found["count"], tuple(found["percentiles_ms"]))
                    for found in one["latencies"]
                ],
                [Idle(**found) for found in one["idle"]],
                [Failure(**found) for found in one["failures"]],
            )
            for one in document.pop("rounds")
        ]
        return cls(**document, rounds=rounds)


def _rounded(value: Any) -> Any:
    """Return a JSON value with floats that end after what was measured."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    return value
