"""Report: the accounting as JSON for scripts and as text for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, Final

import orjson

from ops.dlq.printable import cropped, printable
from ops.reconcile.options import ReconcileOptions
from ops.reconcile.tally import Tally, named_in
from shared.command import DIFFERENCE, DONE
from shared.reconciling.slices import Named
from shared.reconciling.verdicts import MEANINGS, Repair, Standing, Weight

_MOST_SHOWN: Final = 10
_MOST_KEPT: Final = 1_000
_FIELDS_SHOWN: Final = 3
_DETAIL_CHARACTERS: Final = 200

_SECTIONS: Final = (
    (Weight.FAULT, "Not accounted for"),
    (Weight.WAITING, "Waiting"),
    (Weight.ACCOUNTED, "Accounted for, but no plain match"),
    (Weight.ASIDE, "In the rows alone"),
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a report ended; `repair_sent` are the outputs that were published for repair."""

    report_id: int
    seconds: float
    repair_sent: int = 0


def exit_status(options: ReconcileOptions, tally: Tally) -> int:
    """Return the exit status: 0 only where the promise holds, with --final also for deleting files."""
    return DONE if (tally.is_final if options.final else tally.is_balanced) else DIFFERENCE


def summary(options: ReconcileOptions, tally: Tally, ending: Ending) -> dict[str, Any]:
    """Return the report without what is named."""
    return {
        "balanced": tally.is_balanced,
        "final": tally.is_final,
        "outputs_on_disk": tally.listed,
        "verdicts": tally.verdicts(),
        "repaired": tally.repaired,
        "runs": tally.runs,
        "rows_without_files": tally.named_count(Standing.ROW_WITHOUT_FILES),
        "repair_sent": ending.repair_sent,
        "report_id": ending.report_id,
        "scope": options.scope(),
        "seconds": round(ending.seconds, 3),
        "runs_per_s": round(tally.runs / ending.seconds, 1) if ending.seconds > 0 else 0.0,
    }


def kept(options: ReconcileOptions, tally: Tally, ending: Ending) -> bytes:
    """Return what `runferry.reconcile_report` keeps: with the gravest of what is named."""
    return orjson.dumps({**summary(options, tally, ending), "named": tally.first_named(_MOST_KEPT)})


def write_json(stream: BinaryIO, options: ReconcileOptions, tally: Tally, ending: Ending) -> None:
    """Write the report as one JSON document; what is named item by item: it may not fit in memory."""
    stream.write(orjson.dumps(summary(options, tally, ending), option=orjson.OPT_INDENT_2)[:-2])
    stream.write(b',\n  "named": [')
    for number, line in enumerate(tally.lines()):
        stream.write((b",\n    " if number else b"\n    ") + line)
    stream.write(b"]\n}\n")
    stream.flush()


def text(options: ReconcileOptions, tally: Tally, ending: Ending) -> Iterator[str]:
    """Yield the lines of the report for people."""
    rate = f", {tally.runs / ending.seconds:,.0f} runs/s" if ending.seconds > 0 else ""
    yield f"Reconciled {options.root}: {tally.runs:,} runs in {ending.seconds:,.1f} s{rate}"
    yield ""
    yield f"{tally.listed:>11,}  outputs on disk"
    for number, (word, count) in enumerate(_counted(tally)):
        yield f"{'=' if number == 0 else '+':>3}{count:>8,}  {MEANINGS[word].words}"
    if tally.listed != tally.accounted:
        yield f"{'?':>3}{tally.listed - tally.accounted:>8,}  without a verdict: the sum does not hold"
    for weight, title in _SECTIONS:
        yield from _section(weight, title, tally)
    yield ""
    yield from _verdict(options, tally, ending)


def _counted(tally: Tally) -> list[tuple[Standing, int]]:
    words = [word for word in Standing if tally.answers[word]]
    return [(word, tally.answers[word]) for word in words] or [(Standing.MATCH, 0)]


def _section(weight: Weight, title: str, tally: Tally) -> Iterator[str]:
    words = [word for word in tally.named if MEANINGS[word].weight is weight]
    if not words:
        return
    yield ""
    yield f"{title}:"
    for word in sorted(words, key=list(Standing).index):
        items = tally.named[word]
        for named in islice(named_in(items), _MOST_SHOWN):
            yield f"  {_line(named)}"
        if len(items) > _MOST_SHOWN:
            yield f"  … and {len(items) - _MOST_SHOWN:,} more that are {word.value}; all of them: --json"


def _line(named: Named) -> str:
    place = f"{named.run_id} stage {named.stage}" if named.stage else named.run_id
    letter = "" if named.letter_id is None else f" #{named.letter_id}"
    fields = ", ".join(named.fields[:_FIELDS_SHOWN]) + (" …" if len(named.fields) > _FIELDS_SHOWN else "")
    words = "; ".join(part for part in (fields, cropped(named.detail, _DETAIL_CHARACTERS)) if part)
    return printable(f"{place}: {named.verdict.value}{letter}" + (f": {words}" if words else ""))


def _verdict(options: ReconcileOptions, tally: Tally, ending: Ending) -> Iterator[str]:
    if ending.repair_sent:
        yield f"{ending.repair_sent:,} outputs were sent for repair; {tally.repaired:,} of them are repaired."
    if not tally.is_balanced:
        yield "NOT BALANCED: the outputs named above are neither in the rows, nor in flight, nor in a dead letter."
        yield from _ways_out(options, tally)
    elif not options.final:
        what = "every output on disk" if options.is_whole else "every output that was looked at"
        yield f"BALANCED: {what} is in the rows, in flight, or in a dead letter with its reason."
    elif tally.is_final:
        yield "FINAL: nothing is in flight and no dead letter is open."
    else:
        yield "BALANCED, BUT NOT FINAL: files must stay while outputs are in flight or dead letters are open."
        yield "Look at the dead letters with: ops dlq list"


def _ways_out(options: ReconcileOptions, tally: Tally) -> Iterator[str]:
    found = {word for word, count in tally.answers.items() if count}
    if any(MEANINGS[word].repair is Repair.ALWAYS for word in found):
        yield f"Send what is missing or stale again with: {options.command('--repair')}"
    named = [
        word.value
        for word in Standing
        if word in found and MEANINGS[word].repair is Repair.NAMED and MEANINGS[word].weight is Weight.FAULT
    ]
    if named:
        yield f"If the files are right, overwrite the rows with: {options.command('--repair=' + ','.join(named))}"
