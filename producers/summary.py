"""Summary: what a backfill did, as JSON for scripts and as text for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from typing import Any, BinaryIO, Final

import orjson

from producers.options import BackfillOptions
from producers.outcome import Outcome
from producers.spill import SpilledList, write_document
from producers.tally import APPLIED, CONFLICT, DEAD_LETTERED, DUPLICATE, SUPERSEDED, Tally
from shared.counting import counted, word_for
from shared.printable import printable
from shared.run_folders.near_misses import RENAME

_MOST_NAMED: Final = 20
_MOST_SORTED: Final = 1_000

#: The verdicts that always have a line, and their words for people: for one output, and for several.
_WORDS: Final = {
    APPLIED: ("applied", "applied"),
    DUPLICATE: ("duplicate, in the rows already", "duplicates, in the rows already"),
    SUPERSEDED: ("superseded by a later one", "superseded by later ones"),
    CONFLICT: ("conflict", "conflicts"),
    DEAD_LETTERED: ("dead-lettered", "dead-lettered"),
}
_KEYS: Final = {
    APPLIED: "applied",
    DUPLICATE: "duplicates",
    SUPERSEDED: "superseded",
    CONFLICT: "conflicts",
    DEAD_LETTERED: "dead_lettered",
}


def write_json(stream: BinaryIO, options: BackfillOptions, tally: Tally, outcome: Outcome) -> None:
    """Write the summary as one JSON document."""
    counts, lists = _document(options, tally, outcome)
    write_document(stream, counts, {name: items.lines() for name, items in lists.items()})


def _document(
    options: BackfillOptions, tally: Tally, outcome: Outcome
) -> tuple[dict[str, Any], dict[str, SpilledList]]:
    counts: dict[str, Any] = {
        "batch_id": outcome.batch_id,
        "runs": tally.runs,
        "outputs": tally.outputs,
        "published": tally.published,
        "skipped": tally.skipped,
        "unsettled": tally.unsettled,
        "seconds": round(outcome.seconds, 3),
        "runs_per_s": round(tally.runs / outcome.seconds, 1) if outcome.seconds > 0 else 0.0,
        "interrupted": outcome.interrupted,
        "failure": outcome.failure,
    }
    lists = {
        "unreadable": tally.unreadable,
        "passed_over": tally.passed_over,
        "runs_without_outputs": tally.runs_without_outputs,
        "unsettled_outputs": tally.unsettled_outputs,
        "aliases": tally.aliases,
    }
    if options.dry_run:
        counts |= {"dry_run": True, "would_publish": tally.mapped, "rows": dict(tally.rows)}
        lists |= {"gaps": tally.gaps, "malformed": tally.malformed}
    if options.follows:
        counts |= {key: tally.verdicts[verdict] for verdict, key in _KEYS.items()}
        counts |= {word: count for word, count in sorted(tally.verdicts.items()) if word not in _KEYS}
        counts["in_flight"] = outcome.in_flight
        lists |= {"gaps": tally.gaps, "dead_letters": tally.dead_letters, "named": tally.named}
    return counts, lists


def text(options: BackfillOptions, tally: Tally, outcome: Outcome) -> Iterator[str]:
    """Yield the lines of the summary for people."""
    rate = f" ({tally.runs / outcome.seconds:,.1f} runs/s)" if outcome.seconds > 0 else ""
    what = "Dry run" if options.dry_run else "Backfill"
    found = f"{counted(tally.runs, 'run')}, {counted(tally.outputs, 'output')}"
    yield f"{what} of {options.root}: {found} in {outcome.seconds:,.1f} s{rate}"
    yield ""
    yield from _counts(options, tally, outcome)
    yield from _named(options, tally)
    yield from _ending(options, tally, outcome)


def _counts(options: BackfillOptions, tally: Tally, outcome: Outcome) -> Iterator[str]:
    if options.dry_run:
        mapped = tally.mapped - len(tally.malformed)
        yield _line(mapped, f"{word_for(mapped, 'output')} would become rows:")
        for table in ("Run", "InspirationReport", "StageOutput", "OpportunityCard"):
            yield _line(tally.rows[table], f'  "{table}"')
        yield _line(len(tally.malformed), "would be dead-lettered")
    else:
        yield _line(tally.published, f"published, in {counted(tally.published_messages, 'message')}")
    if options.resume:
        yield _line(tally.skipped, "skipped, accounted for already")
    if options.follows:
        for verdict, words in _WORDS.items():
            yield _line(tally.verdicts[verdict], word_for(tally.verdicts[verdict], *words))
        for word, count in sorted(tally.verdicts.items()):
            if word not in _WORDS:
                yield _line(count, word)
        if outcome.in_flight:
            yield _line(
                outcome.in_flight, f"{word_for(outcome.in_flight, 'message')} of which nothing was heard yet"
            )
    if tally.unsettled:
        yield _line(tally.unsettled, f"unsettled, left out: changed in the last {options.settle_s:g} s")
    if len(tally.unreadable):
        yield _line(len(tally.unreadable), "could not be read")
    if passed_over := len(tally.passed_over):
        yield _line(passed_over, f"{word_for(passed_over, 'folder')} passed over: named nearly as a stage's")
    if without := len(tally.runs_without_outputs):
        yield _line(without, f"{word_for(without, 'run folder')} without any output")


def _named(options: BackfillOptions, tally: Tally) -> Iterator[str]:
    everything = options.command("--dry-run", "--json")
    yield from _section("Not readable", tally.unreadable, _reason, f"all of them: {everything}")
    yield from _section("Passed over", tally.passed_over, _passed_over, f"all of them: {everything}")
    yield from _section("Without any output", tally.runs_without_outputs, _run, f"all of them: {everything}")
    yield from _section("Unsettled", tally.unsettled_outputs, _reason, f"all of them: {everything}")
    yield from _section("Would be dead-lettered", tally.malformed, _malformed, f"all of them: {everything}")
    yield from _section("Dead letters", tally.dead_letters, _letter, "all of them: ops dlq list")
    yield from _section("Other than applied", tally.named, _verdict, "all of them: the same command with --json")
    yield from _section("Gaps", tally.gaps, _gap, f"all of them: {everything}")
    yield from _section("Links to other runs, not followed", tally.aliases, _alias, "all of them: --json")


def _ending(options: BackfillOptions, tally: Tally, outcome: Outcome) -> Iterator[str]:
    yield ""
    if tally.outputs == 0 and outcome.is_whole:
        yield f"No stage output was found in {options.root}: is it the folder of the run folders?"
    if outcome.failure is not None:
        yield outcome.failure
    if not outcome.is_whole and not options.dry_run:
        yield f"Go on with: {options.command('--resume', *_followed(options))}"
    elif tally.unsettled and not options.dry_run:
        yield f"Send what has settled with: {options.command('--resume', *_followed(options))}"
    if len(tally.passed_over):
        yield f"{RENAME} Then: {options.command('--resume', *_followed(options))}"
    if tally.verdicts[CONFLICT]:
        yield "Settle conflicts with --prefer files or --prefer rows, for runs that you name with --run-id."
    if len(tally.dead_letters):
        yield "Look at a dead letter with: ops dlq show ID"
    if options.dry_run:
        yield f"Nothing was published. Do it with: {options.command('--wait')}"
    elif options.follows:
        yield """Look at the rows with: ops psql -c 'SELECT id, status FROM "Run" LIMIT 5'"""


def _followed(options: BackfillOptions) -> list[str]:
    """Return how the backfill was followed: who had workers for its length needs them again."""
    if options.run_workers is not None:
        return ["--run-workers", str(options.run_workers)]
    return ["--wait"] if options.follows else []


def _section(title: str, items: SpilledList, line: Callable[[dict[str, Any]], str], rest: str) -> Iterator[str]:
    if not len(items):
        return
    yield ""
    yield f"{title} ({len(items):,}):"
    shown = 0
    for _, group in islice(groupby(_in_order(items), _place), _MOST_NAMED):
        first, *others = group
        shown += 1 + len(others)
        yield f"  {printable(line(first))}" + (f" (and {len(others)} more)" if others else "")
    if len(items) > shown:
        yield f"  … and {len(items) - shown:,} more; {rest}"


def _in_order(items: SpilledList) -> Iterable[dict[str, Any]]:
    """Return what is listed by run and stage, where it isn't too much to be sorted; workers answer in any order."""
    found = map(orjson.loads, items.lines())
    return (
        found
        if len(items) > _MOST_SORTED
        else sorted(found, key=lambda item: (item["run_id"], item.get("stage") or 0))
    )


def _place(item: dict[str, Any]) -> tuple[str, int | None]:
    """Return what is named in one line: a stage of a run."""
    return item["run_id"], item.get("stage")


def _reason(item: dict[str, Any]) -> str:
    return f"{item['run_id']}: {item['reason']}"


def _passed_over(item: dict[str, Any]) -> str:
    return f"{item['run_id']}: {item['folder']}"


def _run(item: dict[str, Any]) -> str:
    return str(item["run_id"])


def _malformed(item: dict[str, Any]) -> str:
    return f"{item['run_id']} stage {item['stage']}: {item['reason']}: {item['sentence']}"


def _letter(item: dict[str, Any]) -> str:
    number = "" if item["id"] is None else f"#{item['id']} "
    return f"{number}{item['run_id']} stage {item['stage']}: {item['reason']}: {item['sentence']}"


def _verdict(item: dict[str, Any]) -> str:
    return f"{item['run_id']} stage {item['stage']}: {item['verdict']}"


def _gap(item: dict[str, Any]) -> str:
    return f"{item['run_id']} stage {item['stage']}: {item['gap']}"


def _alias(item: dict[str, Any]) -> str:
    return f"{item['run_id']} → {item['alias_of']}"


def _line(count: int, words: str) -> str:
    return f"{count:>9,}  {words}"
