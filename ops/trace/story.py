"""Story: what happened to one run, in order of time, from everything that kept a time of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from shared.counting import counted
from shared.run_folders.scanned import ScannedRun

#: As the reconciler takes it: the web app's times have whole milliseconds.
_ROUNDING: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; `stage` is 0 where the whole run is meant."""

    at: datetime
    what: str
    detail: str
    stage: int = 0
    who: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the event as JSON values."""
        return {
            "at": self.at,
            "stage": self.stage or None,
            "what": self.what,
            "who": self.who,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Records:
    """What the database keeps of one run, as it was read."""

    run: Mapping[str, Any] | None
    deliveries: Sequence[Mapping[str, Any]]
    applied: Sequence[Mapping[str, Any]]
    letters: Sequence[Mapping[str, Any]]
    changes: Sequence[Mapping[str, Any]]
    named: Sequence[Mapping[str, Any]]


def story(on_disk: ScannedRun | None, records: Records) -> list[Event]:
    """Return all events, oldest first."""
    events = [
        *_on_disk(on_disk),
        *_deliveries(records.deliveries),
        *_applied(records.applied),
        *_letters(records.letters),
        *_edits(records.changes, records.applied),
        *_run(records.run),
        *_reports(records.named),
    ]
    return sorted(events, key=lambda event: (event.at, event.stage))


def _on_disk(run: ScannedRun | None) -> Iterator[Event]:
    if run is None:
        return
    for output in run.outputs:
        size = sum(len(document.content) for document in output.documents)
        names = ", ".join(document.name for document in output.documents)
        yield Event(output.produced_at, "on disk", f"{names} ({counted(size, 'byte')})", output.stage.value)


def _deliveries(deliveries: Iterable[Mapping[str, Any]]) -> Iterator[Event]:
    for row in deliveries:
        verdicts: dict[str, str] = orjson.loads(row["verdicts"])
        stages = [stage for stage in verdicts if stage.isdecimal()]
        what = f"stages {', '.join(stages)}" if len(stages) > 1 else f"stage {stages[0]}" if stages else "an event"
        batch = f" in {row['batch_id']}" if row["batch_id"] else ""
        yield Event(row["published_at"], "published", f"{what} by {row['origin']}{batch}", who=row["publisher"])
        ends = ", ".join(f"{stage}: {word}" for stage, word in verdicts.items())
        tries = f" at attempt {row['attempts']}" if row["attempts"] > 1 else ""
        yield Event(row["handled_at"], "handled", f"{ends}{tries}", who=row["worker"])


def _applied(applied: Iterable[Mapping[str, Any]]) -> Iterator[Event]:
    for row in applied:
        operations: dict[str, int] = {}
        for written in orjson.loads(row["rows_written"]):
            operations[written["op"]] = operations.get(written["op"], 0) + 1
        rows = ", ".join(f"{count} {word}" for word, count in operations.items())
        times = row["times_applied"]
        again = f", applied {counted(times, 'time')} by now" if times > 1 else ""
        gaps = orjson.loads(row["gaps"])
        lacking = f"; gaps: {'; '.join(gaps)}" if gaps else ""
        yield Event(row["applied_at"], "committed", f"rows: {rows}{again}{lacking}", row["stage"])


def _letters(letters: Iterable[Mapping[str, Any]]) -> Iterator[Event]:
    for row in letters:
        for line in orjson.loads(row["history"]):
            more = ", ".join(f"{key} {value}" for key, value in line.items() if key not in ("at", "what", "who"))
            died = f": {row['sentence']}" if line["what"] == "died" else ""
            what = f"letter #{row['id']} {str(line['what']).replace('_', ' ')}"
            yield Event(_moment(line["at"]), what, f"{more}{died}", row["stage"], str(line.get("who", "")))


def _edits(changes: Iterable[Mapping[str, Any]], applied: Iterable[Mapping[str, Any]]) -> Iterator[Event]:
    written = {row["stage"]: row["applied_at"] for row in applied}
    for row in changes:
        stage = 5 if row["table"] == "OpportunityCard" else 1
        changed_at = row["changed_at"].replace(tzinfo=UTC)
        if stage in written and changed_at > written[stage] + _ROUNDING:
            name = f"{row['table']}[{row['number']}]" if row["number"] else row["table"]
            yield Event(changed_at, "changed in the web app", name, stage)


def _run(run: Mapping[str, Any] | None) -> Iterator[Event]:
    if run is None:
        return
    error = f": {run['error_message']}" if run["error_message"] else ""
    status = f"{run['status']}, stage {run['current_stage']}{error}"
    yield Event(run["updated_at"].replace(tzinfo=UTC), "Run last changed", status)


def _reports(named: Iterable[Mapping[str, Any]]) -> Iterator[Event]:
    for row in named:
        one = orjson.loads(row["named"])
        words = "; ".join(part for part in (", ".join(one.get("fields", ())), one.get("detail", "")) if part)
        what = f"report #{row['id']}: {one['verdict']}"
        yield Event(row["finished_at"], what, words, one["stage"])


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
