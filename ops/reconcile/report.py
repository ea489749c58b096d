"""Report: the accounting as JSON for scripts and as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from typing import Any, BinaryIO, Final

from ops.reconcile.elsewhere import Elsewhere
from ops.reconcile.options import ReconcileOptions
from ops.reconcile.tally import Tally, named_in
from producers.spill import SpilledList, write_document
from shared.command import DIFFERENCE, DONE
from shared.counting import counted, word_for
from shared.printable import cropped, printable
from shared.reconciling.slices import Named
from shared.reconciling.verdicts import MEANINGS, Repair, Standing, Weight

_MOST_SHOWN: Final = 10
_MOST_SHOWN_ASIDE: Final = 3
_MOST_KEPT: Final = 1_000
_FIELDS_SHOWN: Final = 3
_DETAIL_CHARACTERS: Final = 200

_SECTIONS: Final = (
    (Weight.FAULT, "Not accounted for"),
    (Weight.WAITING, "Waiting"),
    (Weight.ACCOUNTED, "Accounted for, but no plain match"),
    (Weight.ASIDE, "In the rows alone, without files in this root; no fault"),
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a report ended; `repair_sent` are the outputs that were published for repair.

    `elsewhere` is what waits besides the outputs on disk, where `--final` asked for it.
    """

    report_id: int
    seconds: float
    repair_sent: int = 0
    elsewhere: Elsewhere | None = None


def is_final(options: ReconcileOptions, tally: Tally, ending: Ending) -> bool:
    """Return whether the files that were looked at may be deleted; only `--final` looks at all that this needs."""
    return ending.elsewhere is not None and ending.elsewhere.is_quiet and tally.is_final(options.allow)


def exit_status(options: ReconcileOptions, tally: Tally, ending: Ending) -> int:
    """Return the exit status: 0 only where the promise holds, with --final also for deleting files."""
    return DONE if (is_final(options, tally, ending) if options.final else tally.is_balanced) else DIFFERENCE


def summary(options: ReconcileOptions, tally: Tally, ending: Ending) -> dict[str, Any]:
    """Return the report without what is named."""
    return {
        "balanced": tally.is_balanced,
        "final": is_final(options, tally, ending),
        "outputs_on_disk": tally.listed,
        "verdicts": tally.verdicts(),
        "repaired": tally.repaired,
        "runs": tally.runs,
        "only_on_disk": {word.value: count for word, count in tally.unsafe().items()},
        "rows_without_files": tally.named_count(Standing.ROW_WITHOUT_FILES),
        "repair_sent": ending.repair_sent,
        "report_id": ending.report_id,
        "scope": options.scope(),
        "demands": options.demands(),
        **({} if ending.elsewhere is None else {"elsewhere": asdict(ending.elsewhere)}),
        "seconds": round(ending.seconds, 3),
        "runs_per_s": round(tally.runs / ending.seconds, 1) if ending.seconds > 0 else 0.0,
    }


def kept(options: ReconcileOptions, tally: Tally, ending: Ending) -> dict[str, Any]:
    """Return what `runferry.reconcile_report` keeps: with the gravest of what is named."""
    return {**summary(options, tally, ending), "named": tally.first_named(_MOST_KEPT)}


def again(scope: Mapping[str, Any], report: Mapping[str, Any], tally: Tally) -> tuple[ReconcileOptions, Ending]:
    """Fill the tally with what `kept` gave, and return the options and the ending."""
    tally.runs, tally.listed, tally.repaired = report["runs"], report["outputs_on_disk"], report["repaired"]
    tally.answers.update({Standing(word): count for word, count in report["verdicts"].items()})
    for named in report["named"]:
        tally.name(Named.from_json(named))
    tally.only_on_disk = Counter({Standing(word): count for word, count in report["only_on_disk"].items()})
    tally.totals = {**tally.answers, Standing.ROW_WITHOUT_FILES: report["rows_without_files"]}
    elsewhere = report.get("elsewhere")
    ending = Ending(
        report["report_id"],
        report["seconds"],
        report["repair_sent"],
        None if elsewhere is None else Elsewhere(**elsewhere),
    )
    return ReconcileOptions.of(scope, report["demands"]), ending


def write_json(stream: BinaryIO, options: ReconcileOptions, tally: Tally, ending: Ending) -> None:
    """Write the report as one JSON document."""
    write_document(stream, summary(options, tally, ending), {"named": tally.lines()})


def text(options: ReconcileOptions, tally: Tally, ending: Ending) -> Iterator[str]:
    """Yield the lines of the report for people."""
    rate = f", {tally.runs / ending.seconds:,.0f} runs/s" if ending.seconds > 0 else ""
    yield f"Reconciled {options.root}: {counted(tally.runs, 'run')} in {ending.seconds:,.1f} s{rate}"
    yield ""
    yield f"{tally.listed:>11,}  {word_for(tally.listed, 'output')} on disk"
    for number, (word, count) in enumerate(_counted(tally)):
        yield f"{'=' if number == 0 else '+':>3}{count:>8,}  {MEANINGS[word].words_for(count)}"
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
        shown, most = 0, _MOST_SHOWN_ASIDE if weight is Weight.ASIDE else _MOST_SHOWN
        for _, alike in islice(groupby(_in_order(tally.named[word]), _what_is_told), most):
            several = list(alike)
            shown += len(several)
            yield f"  {_line(several)}"
        if (more := tally.named_count(word) - shown) > 0:
            yield f"  … and {more:,} more that {word_for(more, 'is', 'are')} {word.value}; all of them: --json"


def _in_order(items: SpilledList) -> Iterable[Named]:
    """Return what is named by run and stage, where it isn't too much to be sorted; workers answer in any order."""
    named = named_in(items)
    return named if len(items) > _MOST_KEPT else sorted(named, key=lambda one: (one.run_id, one.stage))


def _what_is_told(named: Named) -> tuple[object, ...]:
    """Return what must be equal for several stages of a run to stand in one line."""
    return named.run_id, named.letter_id, named.fields, named.detail, named.only_on_disk


def _line(several: Sequence[Named]) -> str:
    named = several[0]
    stages = ", ".join(str(one.stage) for one in several if one.stage)
    place = f"{named.run_id} {word_for(len(several), 'stage')} {stages}" if stages else named.run_id
    letter = "" if named.letter_id is None else f" #{named.letter_id}"
    fields = ", ".join(named.fields[:_FIELDS_SHOWN]) + (" …" if len(named.fields) > _FIELDS_SHOWN else "")
    only = "only on disk" if named.only_on_disk else ""
    words = "; ".join(part for part in (only, fields, cropped(named.detail, _DETAIL_CHARACTERS)) if part)
    return printable(f"{place}: {named.verdict.value}{letter}" + (f": {words}" if words else ""))


def _verdict(options: ReconcileOptions, tally: Tally, ending: Ending) -> Iterator[str]:
    if ending.repair_sent:
        sent = counted(ending.repair_sent, "output was", "outputs were")
        yield f"{sent} sent for repair; {counted(tally.repaired, 'is', 'are')} repaired."
    if not tally.is_balanced:
        yield "NOT BALANCED: the outputs named above are neither in the rows, nor in flight, nor in a dead letter."
        yield from _ways_out(options, tally)
        return
    if not options.final:
        what = "every output on disk" if options.is_whole else "every output that was looked at"
        yield f"BALANCED: {what} is in the rows, in flight, or in a dead letter with its reason."
    elif is_final(options, tally, ending):
        yield "FINAL: PostgreSQL holds these outputs, nothing is in flight, and no dead letter is open."
        if allowed := tally.only_on_disk.total():
            are = counted(allowed, "output is", "outputs are")
            yield f"{are} only on disk; you allowed that: {', '.join(sorted(options.allow))}."
    else:
        yield "BALANCED, BUT NOT FINAL: the files must stay."
        yield from _what_stays(options, tally, ending)


def _what_stays(options: ReconcileOptions, tally: Tally, ending: Ending) -> Iterator[str]:
    if (elsewhere := ending.elsewhere) is not None and elsewhere.open_letters:
        yield f"Open dead letters: {elsewhere.open_letters:,}. Look at them with: ops dlq list"
    if elsewhere is not None and elsewhere.in_flight:
        yield f"In flight: {elsewhere.in_flight:,}. Wait for the workers; look at ops status"
    if unsafe := tally.unsafe(options.allow):
        counts = ", ".join(f"{count:,} {word.value}" for word, count in unsafe.items())
        yield f"Only on disk: {counts}. PostgreSQL could not give their content back; they are named above."
        words = ",".join(sorted({*options.allow, *unsafe}))
        yield "A copy of all run folders is made with: ops backup --to DIR"
        yield f"If they may go, say so: {options.command('--final', '--allow', words)}"


def _ways_out(options: ReconcileOptions, tally: Tally) -> Iterator[str]:
    found = {word for word, count in tally.answers.items() if count}
    if Standing.UNREADABLE in found:
        yield "What is not readable is mended on disk (rights, names, links), then sent by a backfill."
    if Standing.UNSETTLED in found:
        yield "What is still being written is judged once it has settled: run this again."
    if any(MEANINGS[word].repair is Repair.ALWAYS for word in found):
        yield f"Send what is missing or stale again with: {options.command('--repair')}"
    named = [
        word.value
        for word in Standing
        if word in found and MEANINGS[word].repair is Repair.NAMED and MEANINGS[word].weight is Weight.FAULT
    ]
    if named:
        yield f"If the files are right, overwrite the rows with: {options.command('--repair=' + ','.join(named))}"
