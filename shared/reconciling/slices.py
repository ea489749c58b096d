"""Slices: what the command asks about some runs, and what a worker answers, as they travel.

The command lists what is on disk, the worker answers for each listed output. Neither believes the other: every
listed output needs exactly one answer, and every signature that the worker saw differently is looked at again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from shared.ids import RunId, Stage
from shared.reconciling.verdicts import Standing

SLICE_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Slice:
    """Some runs of a report. `runs` holds what was listed: the signature of each stage's folder.

    A signature is over names, sizes and the newest modification time: two hosts that see the same tree agree on it.
    """

    report_id: int
    number: int
    root: str
    settle_s: float
    runs: Mapping[RunId, Mapping[Stage, str]]

    @property
    def outputs(self) -> int:
        """How many outputs are listed."""
        return sum(len(stages) for stages in self.runs.values())

    def to_wire(self) -> dict[str, Any]:
        """Return the slice as plain JSON values."""
        return {
            "schema_version": SLICE_VERSION,
            "kind": "reconcile",
            "report_id": self.report_id,
            "number": self.number,
            "root": self.root,
            "settle_s": self.settle_s,
            "runs": {
                run_id: {str(stage.value): signature for stage, signature in stages.items()}
                for run_id, stages in self.runs.items()
            },
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Slice:
        """Return the slice that `to_wire` gave; raises ValueError for one of another version."""
        if wire.get("schema_version") != SLICE_VERSION:
            raise ValueError(
                f"the question has version {wire.get('schema_version')}, this worker knows {SLICE_VERSION}"
            )
        return cls(
            report_id=wire["report_id"],
            number=wire["number"],
            root=wire["root"],
            settle_s=wire["settle_s"],
            runs={
                RunId(run_id): {Stage(int(stage)): signature for stage, signature in stages.items()}
                for run_id, stages in wire["runs"].items()
            },
        )


@dataclass(frozen=True, slots=True)
class Named:
    """An output that is no plain match, with everything that a person or a repair needs to know.

    `stage` is 0 where a whole run folder is meant. `content_sha256` is of the output on disk. `applied_sha256` and
    `applied_produced_at` (ISO 8601) are the ledger's entry as it was seen, None where there was none. `only_on_disk`
    says that PostgreSQL could not give the output back: not from its rows, kept documents or dead letters.
    """

    run_id: RunId
    stage: int
    verdict: Standing
    fields: tuple[str, ...] = ()
    detail: str = ""
    letter_id: int | None = None
    content_sha256: str | None = None
    applied_sha256: str | None = None
    applied_produced_at: str | None = None
    only_on_disk: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; what is not known, or not so, is left out."""
        value = {name: found for name, found in asdict(self).items() if found is not None and found is not False}
        return {**value, "verdict": self.verdict.value, "fields": list(self.fields)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Named:
        """Return what `to_json` gave."""
        return cls(**{**value, "verdict": Standing(value["verdict"]), "fields": tuple(value["fields"])})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker found. `standings` has one word for each listed output that is there.

    `seen_otherwise` are listed outputs whose folder looks different to the worker: its signature, "" where the
    worker finds nothing. `error` says why nothing could be judged.
    """

    standings: Mapping[RunId, Mapping[Stage, Standing]] = field(default_factory=dict)
    named: tuple[Named, ...] = ()
    seen_otherwise: tuple[tuple[RunId, Stage, str], ...] = ()
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the answer as JSON values."""
        return {
            "standings": {
                run_id: {str(stage.value): word.value for stage, word in stages.items()}
                for run_id, stages in self.standings.items()
            },
            "named": [named.to_json() for named in self.named],
            "seen_otherwise": [
                [run_id, stage.value, signature] for run_id, stage, signature in self.seen_otherwise
            ],
            "error": self.error,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Answer:
        """Return the answer that `to_json` gave."""
        return cls(
            standings={
                RunId(run_id): {Stage(int(stage)): Standing(word) for stage, word in stages.items()}
                for run_id, stages in value["standings"].items()
            },
            named=tuple(Named.from_json(named) for named in value["named"]),
            seen_otherwise=tuple(
                (RunId(run_id), Stage(stage), signature) for run_id, stage, signature in value["seen_otherwise"]
            ),
            error=value["error"],
        )
