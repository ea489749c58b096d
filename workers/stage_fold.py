"""The fold of outputs over one stage of one run: pure state changes, from which the writer derives its statements.

Outputs of a batch are folded one by one over what the database holds, so that any number of messages about the same
stage in one transaction end as they would have ended one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from shared.comparing.adoption import equal_enough_to_adopt
from shared.comparing.row_hash import row_sha256
from shared.contract import Origin, OutputBody
from shared.documents import Document, Sha256
from shared.frozen import frozen
from shared.ids import STAGES, RunId, Stage, row_id
from shared.mapping import map_output
from shared.mapping.manifest import manifest_text
from shared.rows import InspirationReportRow, MappedOutput, OpportunityCardRow, StageOutputRow
from shared.verdicts import Verdict
from workers.deciding import Action, Candidate, Decision, decide
from workers.ledger import LedgerEntry, RowKey, RowOperation, Table, WrittenRow
from workers.ordering import Authority
from workers.row_images import image_of

WebRow = StageOutputRow | InspirationReportRow | OpportunityCardRow


@frozen
class HeldRow:
    """A row as the database holds it, or will hold it after the transaction; `values` is None where not read.

    `beyond` is what an update changes besides the values, by column name: a before-image keeps it as well.
    """

    id: str
    values: WebRow | None
    starred: bool = False
    beyond: Mapping[str, Any] | None = None


@frozen
class Applicant:
    """An output that wants to become rows; it is mapped when that is asked for first."""

    run_id: RunId
    candidate: Candidate
    documents: tuple[Document, ...]
    body: OutputBody  # as it came: what a dead letter keeps, should PostgreSQL refuse the rows
    origin: Origin
    batch_id: str
    message_id: str
    _mapped: MappedOutput | None = field(default=None, init=False)

    def map(self) -> MappedOutput:
        """Return the rows that it becomes; raises Malformed where it can't become any."""
        mapped = self._mapped
        if mapped is None:
            mapped = map_output(self.run_id, self.body.stage, self.documents)
            object.__setattr__(self, "_mapped", mapped)
        return mapped


@dataclass(slots=True)
class StageFold:
    """What one stage of one run holds, before and after the outputs of a batch; `moment` is the transaction's time."""

    moment: datetime
    run_id: RunId
    stage: Stage
    entry: LedgerEntry | None
    rows: dict[RowKey, HeldRow]
    initial_entry: LedgerEntry | None = field(init=False)
    initial_rows: Mapping[RowKey, HeldRow] = field(init=False)
    kept_documents: tuple[Document, ...] | None = None  # None: unchanged
    superseded: list[tuple[Sha256, datetime, tuple[Document, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.initial_entry = self.entry
        self.initial_rows = dict(self.rows)

    def fold(self, applicant: Applicant, *, run_deleted: bool) -> tuple[Verdict, tuple[str, ...]]:
        """Take in one output; returns its verdict and the gaps of what is now applied.

        Raises Malformed, with nothing taken in, where an output that was believed to be known can't become rows.
        """
        rows = HeldRows(self.entry, self.rows, applicant.map)
        decision = decide(applicant.candidate, self.entry, rows, run_deleted=run_deleted)
        match decision.action:
            case Action.APPLY | Action.FILL | Action.ADOPT:
                gaps = self._apply(applicant, rows.expected, decision)
            case Action.CONFIRM:
                gaps = self._confirm(applicant, decision)
            case Action.SETTLE:
                self._settle(applicant)
                gaps = ()
            case Action.KEEP_DOCUMENTS:
                candidate = applicant.candidate
                self.superseded.append((candidate.content_sha256, candidate.produced_at, applicant.documents))
                gaps = ()
            case Action.NOTHING:
                gaps = ()
        return decision.verdict, gaps

    def _apply(
        self, applicant: Applicant, expected: Mapping[RowKey, WebRow], decision: Decision
    ) -> tuple[str, ...]:
        recorded = {row.key: row for row in self.entry.written} if self.entry else {}
        written: list[WrittenRow] = []
        for key, values in expected.items():
            written.append(self._put(key, values, recorded.get(key), decision.action))
        gaps = [gap.text for gap in applicant.map().gaps]
        for key in [key for key in self.rows if key not in expected]:
            prior = recorded.get(key)
            if self._may_delete(key, prior):
                del self.rows[key]
                continue
            gaps.append(
                f"{_name_of(key)} is kept: the newer output lacks it, but it is starred, edited or the app's own"
            )
            if prior is not None:
                written.append(prior)
        candidate = applicant.candidate
        entry = self.entry
        # A copy that mends is answered for only while it, or a further copy, is what is applied.
        goes_on = entry is not None and (
            bool(candidate.mended) or entry.content_sha256 == candidate.content_sha256
        )
        self.kept_documents = applicant.map().kept_documents
        self.entry = LedgerEntry(
            run_id=applicant.run_id,
            stage=self.stage,
            content_sha256=candidate.content_sha256,
            produced_at=decision.produced_at or candidate.produced_at,
            origin=applicant.origin,
            authority=decision.authority,
            manifest=manifest_text(applicant.documents),
            gaps=tuple(gaps),
            facts=applicant.map().facts,
            mends=(entry.mends if entry and goes_on else frozenset()) | candidate.mended,
            settled=(entry.settled if entry else frozenset()) - {candidate.content_sha256},
            written=tuple(written),
            batch_id=applicant.batch_id,
            message_id=applicant.message_id,
            times_applied=(entry.times_applied if entry else 0) + 1,
            # What was applied before in the same batch was written in this transaction.
            is_filled=decision.action is Action.FILL
            and entry is not None
            and (entry is self.initial_entry or entry.is_filled),
        )
        return tuple(gaps)

    def _put(self, key: RowKey, values: WebRow, prior: WrittenRow | None, action: Action) -> WrittenRow:
        held = self.rows.get(key)
        if held is None:
            new_id = row_id(self.run_id, key.table, key.number)
            self.rows[key] = HeldRow(new_id, values)
            filled_at = self.moment if action is Action.FILL else None
            return WrittenRow(key, new_id, RowOperation.INSERTED, row_sha256(values), filled_at=filled_at)
        held_values = _read(held)
        held_sha256 = row_sha256(held_values)
        if prior is not None and prior.id != held.id:
            prior = None  # the row that was recorded is gone; this one is the app's own
        if action is Action.FILL:
            # A user's edit stays: only what is missing comes back.
            return prior or WrittenRow(key, held.id, RowOperation.ADOPTED, held_sha256)
        adoptable = prior is None or prior.operation is RowOperation.ADOPTED
        if held_sha256 == row_sha256(values) or (adoptable and equal_enough_to_adopt(values, held_values)):
            operation = prior.operation if prior is not None else RowOperation.ADOPTED
            return WrittenRow(key, held.id, operation, held_sha256, prior.before if prior else None)
        self.rows[key] = replace(held, values=values)
        ours = prior is not None and prior.operation is not RowOperation.ADOPTED and prior.sha256 == held_sha256
        return WrittenRow(
            key,
            held.id,
            RowOperation.INSERTED
            if prior is not None and prior.operation is RowOperation.INSERTED
            else RowOperation.UPDATED,
            row_sha256(values),
            prior.before if prior is not None and ours else {**image_of(held_values), **(held.beyond or {})},
        )

    def _may_delete(self, key: RowKey, prior: WrittenRow | None) -> bool:
        """Only rows that runferry inserted, and in which nobody has put work since."""
        held = self.rows[key]
        return (
            prior is not None
            and prior.operation is RowOperation.INSERTED
            and not held.starred
            and row_sha256(_read(held)) == prior.sha256
        )

    def _confirm(self, applicant: Applicant, decision: Decision) -> tuple[str, ...]:
        """The rows say it already: at most the ledger's time and authority move."""
        entry = self.entry
        if entry is None:
            raise AssertionError("a duplicate without a ledger entry")
        place = decision.authority, decision.produced_at or entry.produced_at
        mends = entry.mends | applicant.candidate.mended
        if place != (entry.authority, entry.produced_at) or mends != entry.mends:
            self.entry = replace(entry, authority=place[0], produced_at=place[1], mends=mends)
        return entry.gaps

    def _settle(self, applicant: Applicant) -> None:
        """A person preferred the rows: remember the hash, so that it is no conflict any more."""
        candidate = applicant.candidate
        entry = self.entry or LedgerEntry(
            run_id=applicant.run_id,
            stage=self.stage,
            content_sha256=Sha256(""),
            produced_at=datetime.fromtimestamp(0, tz=candidate.produced_at.tzinfo),
            origin=applicant.origin,
            authority=Authority.ADOPTED,
            manifest=manifest_text(()),
            gaps=(),
            facts=applicant.map().facts,
            mends=candidate.mended,
            settled=frozenset(),
            written=tuple(
                WrittenRow(key, row.id, RowOperation.ADOPTED, row_sha256(_read(row)))
                for key, row in self.rows.items()
            ),
            batch_id=applicant.batch_id,
            message_id=applicant.message_id,
            times_applied=0,
        )
        self.entry = replace(entry, settled=entry.settled | {candidate.content_sha256})


@dataclass(slots=True)
class HeldRows:
    """What the rows that are held say about an output; each question is answered only when it is asked."""

    entry: LedgerEntry | None
    rows: Mapping[RowKey, HeldRow]
    mapping: Callable[[], MappedOutput]
    _expected: Mapping[RowKey, WebRow] | None = field(default=None, init=False)

    @property
    def expected(self) -> Mapping[RowKey, WebRow]:
        """The rows that the output becomes."""
        if self._expected is None:
            self._expected = rows_of(self.mapping())
        return self._expected

    @property
    def recorded_are_there(self) -> bool:
        return all(row.key in self.rows and self.rows[row.key].id == row.id for row in self._recorded())

    @property
    def equal(self) -> bool:
        return self.rows.keys() == self.expected.keys() and all(
            row_sha256(_read(row)) == row_sha256(self.expected[key]) for key, row in self.rows.items()
        )

    @property
    def foreign(self) -> bool:
        return bool(self._foreign())

    @property
    def foreign_agree(self) -> bool:
        return all(
            key in self.expected and equal_enough_to_adopt(self.expected[key], _read(row))
            for key, row in self._foreign()
        )

    def _recorded(self) -> tuple[WrittenRow, ...]:
        return self.entry.written if self.entry is not None else ()

    def _foreign(self) -> list[tuple[RowKey, HeldRow]]:
        ours = {(row.key, row.id) for row in self._recorded() if row.operation is not RowOperation.ADOPTED}
        return [(key, row) for key, row in self.rows.items() if (key, row.id) not in ours]


def _read(row: HeldRow) -> WebRow:
    if row.values is None:
        raise AssertionError(f"the row {row.id} was not read before it was compared")
    return row.values


def rows_of(mapped: MappedOutput) -> dict[RowKey, WebRow]:
    """Return all rows of an output by their keys."""
    rows: dict[RowKey, WebRow] = {RowKey(Table.STAGE_OUTPUT, mapped.stage): mapped.stage_output}
    if mapped.report is not None:
        rows[RowKey(Table.INSPIRATION_REPORT, 0)] = mapped.report
    for card in mapped.cards:
        rows[RowKey(Table.OPPORTUNITY_CARD, card.number)] = card
    return rows


def stage_of(key: RowKey) -> Stage:
    """Return the stage whose output writes the row."""
    match key.table:
        case Table.STAGE_OUTPUT:
            return STAGES[key.number]
        case Table.INSPIRATION_REPORT:
            return Stage.INSPIRATIONS
        case Table.OPPORTUNITY_CARD:
            return Stage.OPPORTUNITIES


def changed_rows(
    folds: Iterable[StageFold],
) -> tuple[list[tuple[RowKey, HeldRow]], list[HeldRow], list[tuple[RowKey, str]]]:
    """Return the rows to insert, to update and to delete, by comparing what was with what shall be."""
    inserts: list[tuple[RowKey, HeldRow]] = []
    updates: list[HeldRow] = []
    deletes: list[tuple[RowKey, str]] = []
    for fold in folds:
        for key, row in fold.rows.items():
            before = fold.initial_rows.get(key)
            if before is None:
                inserts.append((key, row))
            elif before is not row:
                updates.append(row)
        deletes.extend((key, row.id) for key, row in fold.initial_rows.items() if key not in fold.rows)
    return inserts, updates, deletes


def _name_of(key: RowKey) -> str:
    return f"card {key.number}" if key.table is Table.OPPORTUNITY_CARD else f"the row of {key.table.value}"
