"""Planning: a batch of judged messages over what the database holds becomes the plan of one transaction. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from shared.contract import Origin, Prefer, StageOutputsMessage
from shared.ids import RunId, Stage
from shared.verdicts import Verdict
from workers.held_state import HeldRun
from workers.intake import Intake, Undeliverable
from workers.plan import DeliveryRow, Plan
from workers.run_fold import RunFold
from workers.stage_fold import stage_of

#: Owner of migrated runs where nobody is named; the writer adds it to "User" when it is missing.
MIGRATION_USER = "migration-user"


def plan_batch(
    batch: Sequence[Intake | Undeliverable],
    held: Mapping[RunId, HeldRun],
    owners: Mapping[str, str],
    *,
    moment: datetime,
    quiet: timedelta,
) -> tuple[Plan, list[Mapping[Stage, Verdict]]]:
    """Return the plan, and what becomes of each message of the batch, in its order.

    `owners` maps the user ids that messages name (a User.id or a clerkId) to the User.id that is meant.
    """
    plan = Plan(moment)
    folds: dict[RunId, RunFold] = {}
    verdicts: list[Mapping[Stage, Verdict]] = []
    for intake in batch:
        if isinstance(intake, Undeliverable):
            plan.letters.extend(intake.letters)
            plan.deliveries.append(_undeliverable(intake, moment))
            verdicts.append({})
            continue
        fold = folds.get(intake.run_id)
        if fold is None:
            fold = folds[intake.run_id] = RunFold(held[intake.run_id], moment)
        named = intake.message.hints.user_id
        verdicts.append(fold.fold(intake, owners.get(MIGRATION_USER if named is None else named)))
        if isinstance(intake.message, StageOutputsMessage) and intake.message.wants_receipt:
            plan.receipts.append(intake.consignment.message_id)
    for fold in folds.values():
        fold.finish(plan, quiet=quiet)
    return plan, verdicts


def named_user(intake: Intake) -> str:
    """Return the name of the user to whom the message's run belongs, if it is new: a User.id or a clerkId."""
    return intake.message.hints.user_id or MIGRATION_USER


def needs_values(intake: Intake, held: HeldRun) -> bool:
    """Say whether the run's rows must be read for the message: to be compared with it, or to be overwritten.

    A plain duplicate goes by the ledger alone, and an output of a stage that has no rows yet, as the next one of a
    pipeline is, needs none of the others'.
    """
    if not held.rows:
        return False
    message = intake.message
    if isinstance(message, StageOutputsMessage) and message.prefer is Prefer.FILES:
        return True
    stages = {stage_of(key) for key in held.rows}
    for good in intake.good:
        if good.body.stage not in stages:
            continue
        entry = held.entries.get(good.body.stage)
        if entry is None or entry.content_sha256 != good.candidate.content_sha256:
            return True
        if good.candidate.expects is not None:
            return True
        if not all(row.key in held.rows and held.rows[row.key].id == row.id for row in entry.written):
            return True
    return False


def _undeliverable(intake: Undeliverable, moment: datetime) -> DeliveryRow:
    message = intake.message
    outputs = message.outputs if message is not None else ()
    return DeliveryRow(
        batch_id=intake.batch_id,
        message_id=intake.consignment.message_id,
        run_id=intake.letters[0].run_id,
        origin=(message.origin if message is not None else Origin.PIPELINE).value,
        publisher=message.publisher if message is not None else "",
        published_at=message.published_at if message is not None else moment,
        attempts=intake.consignment.attempts,
        verdicts={str(body.stage.value): Verdict.DEAD_LETTERED.value for body in outputs}
        or {"event": "undeliverable"},
        gaps={},
    )
