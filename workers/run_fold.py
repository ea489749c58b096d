"""The fold of messages over one run: its stages, its evidence, its dead letters, and at the end its row in "Run"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from shared.contract import Origin, Prefer, StageOutputsMessage
from shared.dead_letters.evidence import evidence_of
from shared.dead_letters.letter import DeadLetter
from shared.dead_letters.recording import SettledOutput
from shared.errors import Malformed
from shared.ids import Stage
from shared.mapping.run_evidence import RunEvidence
from shared.mapping.run_row import as_written, derived_values
from shared.mapping.run_state import AppliedStage, derive_run
from shared.mapping.run_status import advance
from shared.reasons import Reason
from shared.verdicts import Verdict
from workers.deciding import Candidate
from workers.held_state import HeldRun, OpenLetter, RunRecord
from workers.intake import BadOutput, Intake, letter_for
from workers.ledger import RowKey
from workers.plan import DeliveryRow, KeptDocuments, Plan, RowInsert
from workers.stage_fold import Applicant, HeldRow, StageFold, changed_rows, stage_of

#: Iterating an enum class is slow, and this is done for every run.
_STAGES: Final = tuple(Stage)


@dataclass(slots=True)
class RunFold:
    """One run, before and after the messages of a batch; `moment` is the transaction's time."""

    held: HeldRun
    moment: datetime
    stages: dict[Stage, StageFold] = field(init=False)
    evidence: RunEvidence = field(init=False)
    owner: str | None = field(init=False)
    revived: bool = False
    letters: list[DeadLetter] = field(default_factory=list)
    settled: list[SettledOutput] = field(default_factory=list)
    deliveries: list[DeliveryRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        held = self.held
        self.evidence = held.record.evidence if held.record is not None else RunEvidence()
        self.owner = held.run.user_id if held.run is not None else None
        rows: dict[Stage, dict[RowKey, HeldRow]] = {stage: {} for stage in _STAGES}
        for key, row in held.rows.items():
            rows[stage_of(key)][key] = row
        self.stages = {
            stage: StageFold(self.moment, held.run_id, stage, held.entries.get(stage), rows[stage])
            for stage in _STAGES
        }

    @property
    def deleted(self) -> bool:
        """The web app deleted this run: runferry knows it, but its row is gone."""
        return self.held.run is None and self.held.record is not None and not self.revived

    def fold(self, intake: Intake, owner: str | None) -> Mapping[Stage, Verdict]:
        """Take in one message; `owner` is the User.id that its hint means, None where there is no such user."""
        message = intake.message
        if self.deleted and isinstance(message, StageOutputsMessage) and message.prefer is Prefer.FILES:
            self._revive()
        if self.owner is None and not self.deleted:
            self.owner = owner
        if not self.deleted:
            self.evidence = self.evidence.merge(RunEvidence.of(message))
        verdicts: dict[Stage, Verdict] = {}
        gaps: dict[str, tuple[str, ...]] = {}
        for bad in intake.bad:
            verdicts[bad.body.stage] = self._fold_bad(bad, intake)
        for good in intake.good:
            if self.owner is None and not self.deleted:
                verdicts[good.body.stage] = self._fold_bad(_without_user(good, intake), intake)
                continue
            try:
                verdict, found = self._fold_good(good)
            except Malformed as malformed:
                verdicts[good.body.stage] = self._fold_bad(BadOutput(good.candidate, good.body, malformed), intake)
                continue
            verdicts[good.body.stage] = verdict
            if found:
                gaps[str(good.body.stage.value)] = found
        self.deliveries.append(_delivery(intake, verdicts, gaps))
        return verdicts

    def finish(self, plan: Plan, *, quiet: timedelta) -> None:
        """Add to the plan everything that this run's messages mean."""
        plan.letters.extend(self.letters)
        plan.deliveries.extend(self.deliveries)
        if self.letters or self.held.letters or any(output.mends is not None for output in self.settled):
            plan.settled.extend(self.settled)
        if self.owner is not None and not self.deleted:
            self._finish_run(plan, self.owner, quiet)
            self._finish_rows(plan, self.owner)
        self._finish_documents(plan)

    def _revive(self) -> None:
        """A person asked for the files: the deleted run begins anew."""
        self.revived = True
        for fold in self.stages.values():
            fold.entry = None

    def _fold_good(self, good: Applicant) -> tuple[Verdict, tuple[str, ...]]:
        fold = self.stages[good.body.stage]
        verdict, gaps = fold.fold(good, run_deleted=self.deleted)
        candidate = good.candidate
        produced_at = candidate.produced_at
        if verdict in (Verdict.APPLIED, Verdict.DUPLICATE) and fold.entry is not None:
            # What is older than the output is decided by its time in the ledger, as it is for letters that come later.
            produced_at = fold.entry.produced_at
        self._settle(good.body.stage, candidate, produced_at, verdict)
        return verdict, gaps

    def _settle(self, stage: Stage, candidate: Candidate, produced_at: datetime, verdict: Verdict) -> None:
        """Tell the letters of an output that did not die; a replayed one that was not written waits again."""
        self.settled.append(
            SettledOutput(
                self.held.run_id,
                stage,
                candidate.content_sha256,
                produced_at,
                verdict,
                next(iter(candidate.mended), None),
            )
        )

    def _fold_bad(self, bad: BadOutput, intake: Intake) -> Verdict:
        entry = self.stages[bad.body.stage].entry
        if self.deleted or (entry is not None and bad.candidate.content_sha256 in entry.mends):
            verdict = Verdict.DELETED if self.deleted else Verdict.MENDED
            self._settle(bad.body.stage, bad.candidate, bad.candidate.produced_at, verdict)
            return verdict
        self.letters.append(letter_for(bad, intake, evidence_of(bad.malformed)))
        return Verdict.DEAD_LETTERED

    def _finish_run(self, plan: Plan, owner: str, quiet: timedelta) -> None:
        derived = derive_run(
            self.held.run_id,
            owner,
            self.evidence,
            [
                AppliedStage(entry.stage, entry.produced_at, entry.facts, entry.origin)
                for entry in (fold.entry for fold in self.stages.values())
                if entry is not None and entry.content_sha256
            ],
            self._dead_stages(),
            plan.moment,
            quiet,
        )
        record = self.held.record
        if self.held.run is None:
            plan.run_inserts.append(derived)
            self._put_record(plan, RunRecord(True, None, as_written(derived_values(derived)), self.evidence))
            if self.revived:
                plan.revived.append(self.held.run_id)
            return
        current = self.held.run
        written = dict(record.written) if record is not None else {}
        changes = advance(current, derived, written)
        before = record.before_image if record is not None else None
        inserted = record.inserted if record is not None else False
        if changes:
            plan.run_changes.append((self.held.run_id, changes))
            if not inserted and before is None:
                before = {**as_written(derived_values(current)), "updatedAt": self.held.run_updated_at}
            written |= as_written(changes)
        self._put_record(plan, RunRecord(inserted, before, written, self.evidence))

    def _put_record(self, plan: Plan, record: RunRecord) -> None:
        if self.held.record is None:
            plan.record_inserts.append((self.held.run_id, record))
        elif record != self.held.record:
            plan.record_updates.append((self.held.run_id, record))

    def _dead_stages(self) -> frozenset[Stage]:
        waiting: dict[Stage, list[OpenLetter]] = {stage: list(found) for stage, found in self.held.letters.items()}
        for letter in self.letters:
            waiting.setdefault(Stage(letter.stage), []).append(
                OpenLetter(letter.content_sha256, letter.produced_at)
            )
        return frozenset(
            stage for stage, found in waiting.items() if any(not self._answers(stage, letter) for letter in found)
        )

    def _answers(self, stage: Stage, letter: OpenLetter) -> bool:
        """Whether the applied output closes the letter; the same rule as in shared/dead_letters/sql."""
        entry = self.stages[stage].entry
        if entry is None:
            return False
        if letter.content_sha256 == entry.content_sha256 or letter.content_sha256 in entry.mends:
            return True
        return letter.produced_at is not None and entry.produced_at > letter.produced_at

    def _finish_rows(self, plan: Plan, owner: str) -> None:
        folds = self.stages.values()
        inserts, updates, deletes = changed_rows(folds)
        created = {fold.stage: fold.entry.produced_at for fold in folds if fold.entry is not None}
        plan.row_inserts.extend(RowInsert(key, row, owner, created[stage_of(key)]) for key, row in inserts)
        plan.row_updates.extend(updates)
        plan.row_deletes.extend(deletes)
        for fold in folds:
            if fold.entry is None or fold.entry is fold.initial_entry:
                continue
            if fold.initial_entry is None or self.revived:
                plan.ledger_inserts.append(fold.entry)
            else:
                plan.ledger_updates.append(fold.entry)

    def _finish_documents(self, plan: Plan) -> None:
        for fold in self.stages.values():
            if fold.kept_documents is not None and fold.entry is not None and not self.deleted:
                if fold.initial_entry is not None:
                    plan.forgotten_documents.append((self.held.run_id, fold.stage))
                if fold.kept_documents:
                    plan.kept_documents.append(
                        KeptDocuments(
                            self.held.run_id,
                            fold.stage,
                            fold.entry.content_sha256,
                            fold.entry.produced_at,
                            fold.kept_documents,
                            superseded=False,
                        )
                    )
            plan.kept_documents.extend(
                KeptDocuments(self.held.run_id, fold.stage, sha256, produced_at, documents, superseded=True)
                for sha256, produced_at, documents in fold.superseded
            )


def _without_user(good: Applicant, intake: Intake) -> BadOutput:
    user_id = intake.message.hints.user_id
    sentence = f"There is no user {user_id!r} in the web app, and the run has no owner yet."
    return BadOutput(good.candidate, good.body, Malformed(Reason.UNKNOWN_USER, sentence))


def _delivery(
    intake: Intake, verdicts: Mapping[Stage, Verdict], gaps: Mapping[str, tuple[str, ...]]
) -> DeliveryRow:
    message = intake.message
    words = {str(stage.value): verdict.value for stage, verdict in verdicts.items()}
    return DeliveryRow(
        batch_id=intake.batch_id,
        message_id=intake.consignment.message_id,
        run_id=intake.run_id,
        origin=message.origin.value if isinstance(message, StageOutputsMessage) else Origin.PIPELINE.value,
        publisher=message.publisher,
        published_at=message.published_at,
        attempts=intake.consignment.attempts,
        verdicts=words or {"event": message.kind},
        gaps=gaps,
    )
