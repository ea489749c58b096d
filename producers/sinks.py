"""Sinks: what becomes of the batches that are read: they are published, or in a dry run only mapped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from producers.database import OutputKey
from producers.feed import RunOutputs
from producers.packing import PackedOutput, Parcel, Sender, Slip, pack, parcels
from producers.publisher import Publisher
from producers.tally import Tally
from shared.errors import Malformed
from shared.ids import RunId
from shared.mapping import map_output
from shared.run_folders.scanned import ScannedOutput

#: Asks which outputs of some runs are accounted for, or are in the rows.
Ask = Callable[[Sequence[RunId]], frozenset[OutputKey]]


class Outbound:
    """The messages that went, or are just going, and of which nothing was heard yet; shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slips: dict[str, Slip] = {}

    def add(self, sent: Sequence[Parcel]) -> None:
        """Remember messages, without their documents."""
        with self._lock:
            self._slips.update((parcel.message.message_id, parcel.slip) for parcel in sent)

    def take(self, message_id: str) -> Slip | None:
        """Return and forget one message."""
        with self._lock:
            return self._slips.pop(message_id, None)

    def message_ids(self) -> list[str]:
        """Return the ids of all, oldest first."""
        with self._lock:
            return list(self._slips)

    def slips(self) -> Iterator[Slip]:
        """Yield what is in them, oldest first."""
        with self._lock:
            yield from list(self._slips.values())

    def __len__(self) -> int:
        return len(self._slips)


class PublishSink:
    """Publishes a batch; `outbound` is None where nobody follows the messages.

    Where `accounted` is given, what it names is left out. What `applied` names is sent all the same, as known: a
    worker then finds the duplicate by its hash, without mapping it first.
    """

    def __init__(
        self,
        sender: Sender,
        publisher: Publisher,
        tally: Tally,
        *,
        max_message_bytes: int,
        outbound: Outbound | None,
        accounted: Ask | None,
        applied: Ask,
    ) -> None:
        self._sender = sender
        self._publisher = publisher
        self._tally = tally
        self._max_message_bytes = max_message_bytes
        self._outbound = outbound
        self._accounted = accounted
        self._applied = applied

    def take(self, batch: Sequence[RunOutputs]) -> None:
        """Publish the batch; raises as `Publisher.publish`."""
        run_ids = [run.run_id for run in batch]
        accounted = self._accounted(run_ids) if self._accounted is not None else frozenset()
        applied = self._applied(run_ids)
        ready: list[Parcel] = []
        for run in batch:
            outputs = list(self._unaccounted(run, accounted, applied))
            self._tally.skipped += len(run.outputs) - len(outputs)
            ready.extend(
                parcels(
                    self._sender,
                    run.run_id,
                    outputs,
                    run.stages_at_source,
                    max_message_bytes=self._max_message_bytes,
                )
            )
        self._publisher.publish(ready, before=self._going, after=self._tally.sent)

    def tend(self) -> None:
        """See to what is underway; raises as `Publisher.publish`."""
        self._publisher.tend()

    def finish(self) -> None:
        """Wait until Redis has all of it; raises as `Publisher.publish`."""
        self._publisher.finish()

    def _unaccounted(
        self, run: RunOutputs, accounted: frozenset[OutputKey], applied: frozenset[OutputKey]
    ) -> Iterator[PackedOutput]:
        for output in run.outputs:
            packed = pack(output)
            key = run.run_id, packed.stage, packed.content_sha256
            if key in applied:
                packed.body["known"] = True
            if key not in accounted:
                yield packed

    def _going(self, chunk: Sequence[Parcel]) -> None:
        # Before the sending: a worker may be done with a message before Redis has answered us.
        if self._outbound is not None:
            self._outbound.add(chunk)


class DryRunSink:
    """Maps each output as a worker would, and publishes nothing."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def take(self, batch: Sequence[RunOutputs]) -> None:
        """Map the batch."""
        for run in batch:
            mapped = [self._map(run.run_id, output) for output in run.outputs]
            self._tally.rows["Run"] += any(mapped)

    def tend(self) -> None:
        """Do nothing: nothing is underway."""

    def finish(self) -> None:
        """Do nothing: what was taken is mapped."""

    def _map(self, run_id: RunId, output: ScannedOutput) -> bool:
        tally = self._tally
        tally.mapped += 1
        try:
            mapped = map_output(run_id, output.stage, output.documents)
        except Malformed as malformed:
            tally.malformed.append(
                {
                    "run_id": run_id,
                    "stage": int(output.stage),
                    "reason": malformed.reason.value,
                    "sentence": malformed.sentence,
                }
            )
            return False
        tally.rows["StageOutput"] += 1
        tally.rows["InspirationReport"] += mapped.report is not None
        tally.rows["OpportunityCard"] += len(mapped.cards)
        for gap in mapped.gaps:
            tally.gaps.append({"run_id": run_id, "stage": int(output.stage), "gap": gap.text})
        return True
