"""Judging: where one output on disk stands, from what was read of it, of the queue and of the rows. Pure.

Rows are compared with what the file maps to, value by value. The ledger is evidence that is checked as well: it only
tells whether a row that differs was edited in the web app or damaged. What the writer would do with the file now is
asked of the writer's own rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.comparing import (
    Difference,
    StoredRow,
    StoredRows,
    compared,
    differences,
    equal_enough_to_adopt,
    row_sha256,
)
from shared.counting import counted
from shared.dead_letters.letter import LetterState
from shared.documents import Document, Sha256
from shared.errors import Malformed
from shared.frozen import frozen
from shared.ids import Stage
from shared.mapping.manifest import is_manifest_of
from shared.mapping.run_row import as_written, derived_values
from shared.reconciling.verdicts import Standing
from shared.rows import InspirationReportRow, MappedOutput, OpportunityCardRow, StageOutputRow
from shared.verdicts import Verdict
from workers.deciding import Action, Candidate, decide
from workers.ledger import LedgerEntry, RowKey, RowOperation, Table, WrittenRow
from workers.ordering import Authority
from workers.reconciling.held import RunHeld, StageHeld
from workers.stage_fold import HeldRow, HeldRows, WebRow, rows_of

#: The web app's times have whole milliseconds, and PostgreSQL rounds to them.
_ROUNDING: Final = timedelta(milliseconds=1)
_MOST_FIELDS: Final = 20
_KEPT_DOCUMENT: Final = "runferry.document"


@frozen
class OutputOnDisk:
    """One output as it was read, and the rows that it means, or why it means none."""

    stage: Stage
    content_sha256: Sha256
    produced_at: datetime
    documents: tuple[Document, ...]
    mapped: MappedOutput | Malformed


@dataclass(frozen=True, slots=True)
class Judgement:
    """Where an output stands, which fields say so, and the letter that is meant.

    `only_on_disk` is asked of outputs that are accounted for: PostgreSQL could not give this content back.
    """

    standing: Standing
    fields: tuple[str, ...] = ()
    detail: str = ""
    letter_id: int | None = None
    only_on_disk: bool = False


_MATCH: Final = Judgement(Standing.MATCH)
#: Standings of files whose content is not what is applied: the rows must still be what the ledger says.
_BESIDE_THE_ROWS: Final = frozenset(
    {Standing.SUPERSEDED, Standing.MENDED, Standing.DISCARDED, Standing.DEAD_LETTERED}
)


def judge(output: OutputOnDisk, run: RunHeld, *, in_flight: bool) -> Judgement:
    """Return where an output stands; `in_flight` says that exactly this content is in a queue."""
    if run.is_deleted:
        return Judgement(
            Standing.DELETED, detail="The run was deleted in the web app; it is never brought back unasked."
        )
    held = run.stages[output.stage]
    if isinstance(output.mapped, Malformed):
        judgement = _judge_malformed(output, output.mapped, held, in_flight=in_flight)
    elif held.entry is not None and held.entry.content_sha256 == output.content_sha256:
        return _judge_applied(output, output.mapped, held, held.entry)
    else:
        judgement = _judge_other(output, output.mapped, held, in_flight=in_flight)
    if judgement.standing in _BESIDE_THE_ROWS and held.entry is not None:
        return check_record(held, held.entry) or judgement
    return judgement


def judge_run(run: RunHeld) -> Judgement:
    """Return what the "Run" row's own columns say: each is as runferry wrote it last, or is somebody else's by now."""
    if run.run is None or not run.written:
        return _MATCH
    values = as_written(derived_values(run.run))
    changed = tuple(
        f"Run.{name}"
        for name, value in run.written.items()
        if (held := values.get(name)) != value and held != _normal(name, value)
    )
    if not changed:
        return _MATCH
    return Judgement(Standing.EDITED, changed, "Columns of the run were changed since runferry wrote them.")


def _normal(name: str, value: object) -> object:
    if name in ("createdAt", "completedAt") and isinstance(value, str):
        return as_written({name: datetime.fromisoformat(value)})[name]
    return value


def _judge_malformed(output: OutputOnDisk, malformed: Malformed, held: StageHeld, *, in_flight: bool) -> Judgement:
    by_letter = _by_letter(output, held)
    if by_letter is not None:
        return by_letter
    if in_flight:
        return Judgement(Standing.IN_FLIGHT)
    if output.content_sha256 in held.letters:  # a closed one: an output that is in the rows answered it
        # One that came back since is no older than the rows: the writer would open the letter again, too.
        entry = held.entry
        if entry is not None and (
            output.produced_at < entry.produced_at or output.content_sha256 == entry.content_sha256
        ):
            return Judgement(Standing.SUPERSEDED, detail="It is malformed, and a later output is in the rows.")
        if entry is None and held.rows:
            detail = "Its dead letter was answered by rows that the ledger has no entry of."
            return Judgement(Standing.LEDGER_WRONG, detail=detail)
    return Judgement(Standing.MALFORMED, detail=f"{malformed.reason.value}: {malformed.sentence}")


def _by_letter(output: OutputOnDisk, held: StageHeld) -> Judgement | None:
    """Return what a dead letter, or the ledger's word on one, says about this content."""
    if held.entry is not None and output.content_sha256 in held.entry.mends:
        return Judgement(Standing.MENDED, detail="A mended copy of it is in the rows.")
    mark = held.letters.get(output.content_sha256)
    if mark is None:
        return None
    match mark.state:
        case LetterState.OPEN | LetterState.REPLAYING:
            return Judgement(Standing.DEAD_LETTERED, detail=mark.reason, letter_id=mark.id)
        case LetterState.DISCARDED:
            return Judgement(Standing.DISCARDED, detail=mark.reason, letter_id=mark.id)
        case LetterState.RESOLVED | LetterState.MENDED:
            # Closed by an output that is in the rows; whether it still is, the rows say.
            return None


def _judge_other(output: OutputOnDisk, mapped: MappedOutput, held: StageHeld, *, in_flight: bool) -> Judgement:
    """Judge a well-formed output that is not the one that is applied."""
    by_letter = _by_letter(output, held)
    if by_letter is not None:
        return by_letter
    entry = held.entry
    expected = rows_of(mapped)
    candidate = Candidate(output.content_sha256, output.produced_at, Authority.FILES)
    decision = decide(candidate, entry, HeldRows(entry, held.rows, lambda: mapped), run_deleted=False)
    if decision.verdict is Verdict.SUPERSEDED:
        return Judgement(Standing.SUPERSEDED, detail=_superseded_by(output, entry))
    if in_flight:
        return Judgement(Standing.IN_FLIGHT)
    if decision.verdict is Verdict.CONFLICT:
        fields, detail = _describe(differences(mapped, _stored(held)))
        return Judgement(Standing.CONFLICT, fields, detail)
    if entry is not None:
        detail = (
            f"The file is of {_moment(output.produced_at)}, the applied output of {_moment(entry.produced_at)}."
        )
        return Judgement(Standing.STALE, detail=detail)
    lacking = tuple(_name(key) for key in expected if key not in held.rows)
    if decision.action is Action.ADOPT and not lacking:
        return Judgement(
            Standing.LEDGER_WRONG, detail="The rows say what the file says, but the ledger has no entry."
        )
    return Judgement(Standing.MISSING, lacking, _lacking(lacking))


def _superseded_by(output: OutputOnDisk, entry: LedgerEntry | None) -> str:
    if entry is None or output.content_sha256 in entry.settled:
        return "A person settled it in favour of the rows."
    return f"The rows hold an output of {_moment(entry.produced_at)}, sent by {entry.origin.value}."


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}".rstrip("0").rstrip(".") + " UTC"


def _judge_applied(output: OutputOnDisk, mapped: MappedOutput, held: StageHeld, entry: LedgerEntry) -> Judgement:
    """Judge an output of which the ledger says that it is applied: its rows must say so themselves."""
    expected = rows_of(mapped)
    found = _Found()
    recorded = {row.key: row for row in entry.written}
    by_id = {row.id: row.key for row in entry.written}
    for key, values in expected.items():
        row = held.rows.get(key)
        if row is None:
            found.missing.append(_name(key))
        else:
            found.row(key, _compare(key, values, row, recorded.get(key), by_id, held))
    for key, row in held.rows.items():
        if key not in expected and by_id.get(row.id, key) != key:
            found.row(key, Standing.DIFFERS)
    for document in mapped.kept_documents:
        if held.kept.get(document.name) != document.sha256:
            found.missing.append(f"{_KEPT_DOCUMENT}[{document.name}]")
    if not is_manifest_of(entry.manifest, output.documents):
        found.wrong.append("runferry.ledger.manifest")
    return found.judgement(mapped, held)


def _compare(
    key: RowKey,
    expected: WebRow,
    row: HeldRow,
    recorded: WrittenRow | None,
    by_id: dict[str, RowKey],
    held: StageHeld,
) -> Standing:
    actual = _values(row)
    actual_sha256, is_equal = compared(actual, expected)
    is_recorded = recorded is not None and recorded.id == row.id and recorded.sha256 == actual_sha256
    if is_equal:
        return Standing.MATCH if is_recorded else Standing.LEDGER_WRONG
    if recorded is not None and is_recorded:
        if recorded.operation is not RowOperation.ADOPTED:
            return Standing.DIFFERS  # as it was written: another version mapped the same documents otherwise
        return Standing.MATCH if equal_enough_to_adopt(expected, actual) else Standing.EDITED
    if by_id.get(row.id, key) != key:
        return Standing.DIFFERS  # what was written as another row stands here
    return Standing.EDITED if _is_edit(key, recorded, held) else Standing.DIFFERS


def _is_edit(key: RowKey, recorded: WrittenRow | None, held: StageHeld) -> bool:
    """The web app sets `updatedAt` with every change; damage, and a statement by hand, leave it."""
    changed_at = held.changed_at.get(key)
    written_at = held.applied_at if recorded is None or recorded.filled_at is None else recorded.filled_at
    if changed_at is None or written_at is None:
        return False
    return changed_at.replace(tzinfo=UTC) > written_at + _ROUNDING


def check_record(held: StageHeld, entry: LedgerEntry) -> Judgement | None:
    """Return a fault where the rows of the applied output, which is not the one on disk, are not as it wrote them."""
    fields = [_name(recorded.key) for recorded in entry.written if not _is_as_recorded(recorded, held)]
    if not fields:
        return None
    detail = "The rows hold another output than the file, and these of them are not as it wrote them."
    return Judgement(Standing.DIFFERS, tuple(fields[:_MOST_FIELDS]), detail)


def _is_as_recorded(recorded: WrittenRow, held: StageHeld) -> bool:
    row = held.rows.get(recorded.key)
    if row is None or row.id != recorded.id:
        return False
    return row_sha256(_values(row)) == recorded.sha256 or _is_edit(recorded.key, recorded, held)


class _Found:
    """What was found about the rows of one output, and the gravest of it as the verdict."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.wrong: list[str] = []
        self.rows: dict[RowKey, Standing] = {}

    def row(self, key: RowKey, standing: Standing) -> None:
        """Take in one row."""
        if standing is Standing.LEDGER_WRONG:
            self.wrong.append(_name(key))
        elif standing is not Standing.MATCH:
            self.rows[key] = standing

    def judgement(self, mapped: MappedOutput, held: StageHeld) -> Judgement:
        """Return the gravest."""
        if not (self.missing or self.rows or self.wrong):
            return _MATCH
        if self.rows:
            fields, detail = _describe(
                found for found in differences(mapped, _stored(held)) if _key(found) in self.rows
            )
        else:
            fields, detail = (), ""
        if self.missing:
            return Judgement(Standing.MISSING, (*self.missing, *fields), _lacking(tuple(self.missing)))
        damaged = [key for key, standing in self.rows.items() if standing is Standing.DIFFERS]
        if damaged:
            return Judgement(Standing.DIFFERS, fields or tuple(map(_name, damaged)), detail)
        if self.wrong:
            text = "The rows say what the file says, but the ledger records something else."
            return Judgement(Standing.LEDGER_WRONG, tuple(self.wrong), text)
        return Judgement(Standing.EDITED, fields, detail)


def _key(difference: Difference) -> RowKey:
    return RowKey(Table(difference.table), difference.number)


def _name(key: RowKey) -> str:
    return key.table.value if key.table is Table.INSPIRATION_REPORT else f"{key.table.value}[{key.number}]"


def _lacking(names: tuple[str, ...]) -> str:
    return "" if not names else f"{counted(len(names), 'row is', 'rows are')} not there."


def _describe(found: Iterable[Difference]) -> tuple[tuple[str, ...], str]:
    """Return the fields that differ, and the first difference in words."""
    first: Difference | None = None
    names: list[str] = []
    for difference in found:
        first = first or difference
        name = _name(_key(difference))
        names.append(f"{name}.{difference.field}" if difference.field else name)
    if first is None:
        return (), ""
    where = f" at {first.position}" if first.position else ""
    detail = f"{names[0]}{where}: {_quoted(first.expected)} on disk, {_quoted(first.actual)} in the row."
    return tuple(_bounded(names)), detail


def _quoted(text: str | None) -> str:
    return "nothing" if text is None else repr(text)


def _bounded(names: list[str]) -> Iterator[str]:
    yield from names[:_MOST_FIELDS]
    if len(names) > _MOST_FIELDS:
        yield f"and {len(names) - _MOST_FIELDS} more"


def _stored(held: StageHeld) -> StoredRows:
    stage_output: StoredRow[StageOutputRow] | None = None
    report: StoredRow[InspirationReportRow] | None = None
    cards: list[StoredRow[OpportunityCardRow]] = []
    for row in held.rows.values():
        match values := _values(row):
            case StageOutputRow():
                stage_output = StoredRow(row.id, values)
            case InspirationReportRow():
                report = StoredRow(row.id, values)
            case OpportunityCardRow():
                cards.append(StoredRow(row.id, values))
    return StoredRows(stage_output, report, tuple(cards))


def _values(row: HeldRow) -> WebRow:
    if row.values is None:
        raise AssertionError(f"the row {row.id} was not read before it was judged")
    return row.values
