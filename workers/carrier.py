"""The carrier: what an actor does with one message, from its arrival to the commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from shared.broker.delivery import Delivery
from shared.broker.handback import GoBack, HandBack
from shared.counting import counted
from shared.dead_letters.evidence import evidence_of
from shared.dead_letters.fingerprint import fingerprint
from shared.dead_letters.storable import storable_label
from shared.errors import FatalError, Malformed
from shared.reasons import Reason
from shared.settings import Settings
from shared.verdicts import Verdict
from workers.alike import AlikeFailures
from workers.intake import BadOutput, Consignment, Intake, NewerVersion, Undeliverable, take_in, whole_message
from workers.pause import Stopping
from workers.writer import Writer

_NEWER_VERSION_DELAY: Final = timedelta(seconds=30)
#: So many distinct outputs that fail alike in a row are no accident.
ALIKE_LIMIT: Final = 8
#: Half a minute in all. Who waited as long goes back to the queue: it may be in the way of the one that would pass.
_ALIKE_WAITS: Final = 6
_ALIKE_DELAY: Final = timedelta(seconds=30)

log = structlog.get_logger(__name__)


class Carrier:
    """Judges messages and hands them to the writer; returns only after the commit, so that the ack comes after it."""

    def __init__(
        self, writer: Writer, settings: Settings, alike: AlikeFailures, now: Callable[[], datetime]
    ) -> None:
        self._writer = writer
        self._settings = settings
        self._alike = alike
        self._now = now

    def carry(
        self,
        wire: Mapping[str, Any],
        message_id: str,
        queue: str,
        attempts: int,
        first_failed_at: datetime | None = None,
        *,
        alone: bool = False,
    ) -> None:
        """Carry one message to its end; `attempts` counts this one, `first_failed_at` is when an earlier one failed.

        `alone` says that no other runs meanwhile, so that it can't wait here for another to pass.

        Returning means: its rows, or the dead letters of its bad outputs, are committed. Raises HandBack where the
        message must wait in the queue, FatalError where only its bytes can be kept, and whatever failed where it shall
        be tried again.
        """
        consignment = Consignment(storable_label(message_id), queue, attempts, self._now(), first_failed_at)
        waited = 0
        while True:
            try:
                verdicts = self._attempt(wire, consignment)
            except (Stopping, CancelledError):
                raise HandBack from None
            except (HandBack, FatalError):
                raise
            except Exception as error:
                kind = type(error).__qualname__
                group = fingerprint(Reason.UNKNOWN_ERROR, kind, str(error), 0, None, str(wire.get("run_id", "")))
                if self._alike.failed(group, message_id, f"{kind}: {error}"):
                    if alone or waited == _ALIKE_WAITS:
                        raise HandBack(_milliseconds(_ALIKE_DELAY), str(error)) from None
                    try:
                        self._alike.wait(waited)
                    except Stopping:
                        raise HandBack from None
                    waited += 1
                    continue
                if attempts < self._settings.max_attempts:
                    raise
                self._bury(wire, consignment, error)
                return
            self._tell(verdicts, wire, message_id)
            return

    def carry_together(self, deliveries: Sequence[Delivery], queue: str) -> None:
        """Carry messages that came together and never failed; says of each whether it is finished.

        Finished means what returning from `carry` means, or that the message goes back to the queue. Anything
        unusual leaves a message unfinished: it comes again by itself, and `carry` finds out.
        """
        received_at = self._now()
        judged: list[tuple[Delivery, Intake | Undeliverable]] = []
        for delivery in deliveries:
            if self._writer.stopping:
                break
            if delivery.args or delivery.kwargs.keys() != {"message"}:
                continue
            consignment = Consignment(storable_label(delivery.message_id), queue, 1, received_at)
            try:
                intake = take_in(
                    delivery.kwargs["message"], consignment, max_output_bytes=self._settings.max_output_bytes
                )
            except Exception as error:
                log.debug("not to be carried together", message_id=delivery.message_id, error=repr(error))
            else:
                judged.append((delivery, intake))
        waiting = self._writer.submit(queue, [intake for _, intake in judged])
        for (delivery, _), done in zip(judged, waiting, strict=True):
            try:
                verdicts = done.result()
            except HandBack as handback:
                delivery.go_back = GoBack(handback.delay_ms)
            except (Exception, CancelledError) as error:
                log.debug("not carried together", message_id=delivery.message_id, error=repr(error))
                continue
            else:
                self._tell(verdicts, delivery.kwargs["message"], delivery.message_id)
            delivery.finished = True

    def _tell(self, verdicts: Mapping[Any, Verdict], wire: Mapping[str, Any], message_id: str) -> None:
        self._alike.passed()
        if Verdict.DEAD_LETTERED in verdicts.values():
            log.info("dead letter", run_id=wire.get("run_id"), message_id=message_id)

    def _attempt(self, wire: Mapping[str, Any], consignment: Consignment) -> Mapping[Any, Verdict]:
        try:
            intake = take_in(wire, consignment, max_output_bytes=self._settings.max_output_bytes)
        except NewerVersion as newer:
            # A rolling upgrade is under way: another worker, or this one tomorrow, understands it.
            log.warning(
                "newer message", run_id=wire.get("run_id"), message_id=consignment.message_id, error=str(newer)
            )
            if not self._waited_long(wire):
                raise HandBack(_milliseconds(_NEWER_VERSION_DELAY)) from None
            malformed = Malformed(Reason.MESSAGE_VERSION, str(newer))
            return self._commit(whole_message(wire, consignment, evidence_of(malformed)))
        return self._commit(intake)

    def _commit(self, intake: Intake | Undeliverable) -> Mapping[Any, Verdict]:
        (done,) = self._writer.submit(intake.consignment.queue, [intake])
        return done.result()

    def _waited_long(self, wire: Mapping[str, Any]) -> bool:
        try:
            published_at = datetime.fromisoformat(str(wire["published_at"]))
            # A time that is far ahead would never come: that message waits for nobody either.
            return abs(self._now() - published_at) > self._settings.version_patience
        except (KeyError, ValueError, TypeError):
            return True

    def _bury(self, wire: Mapping[str, Any], consignment: Consignment, error: Exception) -> None:
        """All tries failed: the outputs of the message become dead letters, which is again a commit."""
        log.error("giving up", run_id=wire.get("run_id"), message_id=consignment.message_id, error=repr(error))
        try:
            intake = take_in(wire, consignment, max_output_bytes=self._settings.max_output_bytes)
        except Exception:
            self._commit(whole_message(wire, consignment, evidence_of(error)))
            return
        if isinstance(intake, Intake) and intake.good:
            text = f"{type(error).__name__}: {error}"
            malformed = Malformed(
                Reason.UNKNOWN_ERROR, f"It failed {counted(consignment.attempts, 'time')}, last with {text}."
            )
            malformed.__cause__ = error
            bad = tuple(BadOutput(good.candidate, good.body, malformed) for good in intake.good)
            intake = replace(intake, good=(), bad=intake.bad + bad)
        self._commit(intake)


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
