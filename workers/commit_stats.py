"""What one lane of the writer did: plain numbers, written once a batch by the writer's loop alone, read by anybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Final

from shared.errors import Malformed
from shared.ids import Stage
from shared.metrics.tally import Tally
from shared.reasons import Reason
from shared.verdicts import Verdict
from workers.intake import Intake, Undeliverable
from workers.world import Fault

_COMMIT_S: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCH_MESSAGES: Final = (1, 2, 4, 8, 16, 32, 64)
#: A live output is there in milliseconds; one of a backfill waits for those before it.
_PUBLISH_TO_COMMIT_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)


class CommitStats:
    """Counts since the start of the process."""

    def __init__(self) -> None:
        # With every verdict from the start: one that came to it later would break who just goes through them.
        self.outputs = Counter(dict.fromkeys(Verdict, 0))
        self.dead: Counter[str] = Counter()  # by reason
        self.failures: Counter[Fault] = Counter()
        self.commit_s = Tally(_COMMIT_S)
        self.batch_messages = Tally(_BATCH_MESSAGES)
        self.publish_to_commit_s = Tally(_PUBLISH_TO_COMMIT_S)

    def committed(
        self,
        batch: Sequence[Intake | Undeliverable],
        verdicts: Sequence[Mapping[Stage, Verdict]],
        seconds: float,
    ) -> None:
        """Take in a batch that was committed within `seconds`."""
        now = datetime.now(UTC)
        self.commit_s.observe(seconds)
        self.batch_messages.observe(len(batch))
        counted = Counter(chain.from_iterable(found.values() for found in verdicts))
        self.outputs.update(counted)
        undeliverable = False
        for intake in batch:
            if intake.message is not None:
                # Clocks differ by some milliseconds: nothing is committed before it was published.
                self.publish_to_commit_s.observe(max(0.0, (now - intake.message.published_at).total_seconds()))
            undeliverable = undeliverable or isinstance(intake, Undeliverable)
        if undeliverable or Verdict.DEAD_LETTERED in counted:
            for intake, found in zip(batch, verdicts, strict=True):
                self._died(intake, found)

    def _died(self, intake: Intake | Undeliverable, found: Mapping[Stage, Verdict]) -> None:
        if isinstance(intake, Undeliverable):
            self.outputs[Verdict.DEAD_LETTERED] += len(intake.letters)
            self.dead.update(letter.evidence.reason for letter in intake.letters)
            return
        reasons = {bad.body.stage: bad.malformed.reason for bad in intake.bad}
        for stage, verdict in found.items():
            if verdict is Verdict.DEAD_LETTERED:
                self.dead[(reasons.get(stage) or _late_reason(intake, stage)).value] += 1


def _late_reason(intake: Intake, stage: Stage) -> Reason:
    """Return why an output that was judged good died: it was not known after all, and is malformed, or has no owner."""
    for good in intake.good:
        if good.body.stage == stage:
            try:
                good.map()
            except Malformed as malformed:
                return malformed.reason
    return Reason.UNKNOWN_USER
