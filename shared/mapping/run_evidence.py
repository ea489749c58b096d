"""Evidence: everything that runferry ever learned about a run apart from the outputs that are applied.

Evidence only grows, and merging it is commutative, associative and idempotent: what is derived from it is the same
in every order of arrival, with any number of duplicates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from pydantic import JsonValue

from shared.contract import Hints, Origin, RunFailed, RunStarted, StageOutputsMessage
from shared.formats.text import is_storable
from shared.ids import Stage

_HINTS: Final = ("user_id", "company_id", "company_name", "document_name", "document_url")
_MOMENTS: Final = ("started_at", "failed_at", "oldest_document_at")
#: PostgreSQL stores neither U+0000 nor lone surrogates, and the text of a failure is for people.
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_REPLACEMENT: Final = "\ufffd"

_Ordered = TypeVar("_Ordered", datetime, "Hint", tuple[datetime, str])


@dataclass(frozen=True, slots=True, order=True)
class Hint:
    """What one message said, and when it was published; the later one wins, of equal times the greater value."""

    published_at: datetime
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvidence:
    """The evidence about one run; None where nothing is known.

    `failed_at` and `error` belong to the latest failure. `oldest_document_at` is the least `produced_at` seen.
    """

    user_id: Hint | None = None
    company_id: Hint | None = None
    company_name: Hint | None = None
    document_name: Hint | None = None
    document_url: Hint | None = None
    stages_at_source: frozenset[Stage] = frozenset()
    started_at: datetime | None = None
    failed_at: datetime | None = None
    error: str = ""
    has_pipeline_event: bool = False
    oldest_document_at: datetime | None = None

    @classmethod
    def of(cls, message: StageOutputsMessage | RunStarted | RunFailed) -> RunEvidence:
        """Return what one message tells about its run."""
        hinted = _hinted(message.hints, message.published_at)
        match message:
            case StageOutputsMessage():
                return replace(
                    hinted,
                    has_pipeline_event=Origin.PIPELINE in (message.origin, message.replay_of),
                    oldest_document_at=min(output.produced_at for output in message.outputs),
                )
            case RunStarted():
                return replace(hinted, has_pipeline_event=True, started_at=message.occurred_at)
            case RunFailed():
                error = _UNSTORABLE.sub(_REPLACEMENT, message.error)
                return replace(hinted, has_pipeline_event=True, failed_at=message.occurred_at, error=error)

    @property
    def _failure(self) -> tuple[datetime, str] | None:
        return None if self.failed_at is None else (self.failed_at, self.error)

    def merge(self, other: RunEvidence) -> RunEvidence:
        """Return what both tell together."""
        failure = _later(self._failure, other._failure)
        return RunEvidence(
            user_id=_later(self.user_id, other.user_id),
            company_id=_later(self.company_id, other.company_id),
            company_name=_later(self.company_name, other.company_name),
            document_name=_later(self.document_name, other.document_name),
            document_url=_later(self.document_url, other.document_url),
            stages_at_source=self.stages_at_source | other.stages_at_source,
            started_at=_later(self.started_at, other.started_at),
            failed_at=None if failure is None else failure[0],
            error="" if failure is None else failure[1],
            has_pipeline_event=self.has_pipeline_event or other.has_pipeline_event,
            oldest_document_at=_earlier(self.oldest_document_at, other.oldest_document_at),
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return the evidence as JSON values; what is unknown is left out."""
        value: dict[str, JsonValue] = {}
        for name in _HINTS:
            hint: Hint | None = getattr(self, name)
            if hint is not None:
                value[name] = [hint.published_at.isoformat(), hint.value]
        if self.stages_at_source:
            value["stages_at_source"] = [stage.value for stage in sorted(self.stages_at_source)]
        for name in _MOMENTS:
            moment: datetime | None = getattr(self, name)
            if moment is not None:
                value[name] = moment.isoformat()
        if self.error:
            value["error"] = self.error
        if self.has_pipeline_event:
            value["has_pipeline_event"] = True
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunEvidence:
        """Return the evidence that `to_json` gave."""

        def hint(name: str) -> Hint | None:
            return Hint(_moment(value[name][0]), value[name][1]) if name in value else None

        def moment(name: str) -> datetime | None:
            return _moment(value[name]) if name in value else None

        return cls(
            user_id=hint("user_id"),
            company_id=hint("company_id"),
            company_name=hint("company_name"),
            document_name=hint("document_name"),
            document_url=hint("document_url"),
            stages_at_source=frozenset(Stage(stage) for stage in value.get("stages_at_source", ())),
            started_at=moment("started_at"),
            failed_at=moment("failed_at"),
            error=value.get("error", ""),
            has_pipeline_event=value.get("has_pipeline_event", False),
            oldest_document_at=moment("oldest_document_at"),
        )


def _hinted(hints: Hints, published_at: datetime) -> RunEvidence:
    """Return the evidence of a message's hints; those that PostgreSQL can't store are as good as none."""

    def hint(text: str | None) -> Hint | None:
        return Hint(published_at, text) if text and is_storable(text) else None

    return RunEvidence(
        user_id=hint(hints.user_id),
        company_id=hint(hints.company_id),
        company_name=hint(hints.company_name),
        document_name=hint(hints.document_name),
        document_url=hint(hints.document_url),
        stages_at_source=frozenset(hints.stages_at_source or ()),
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _later(one: _Ordered | None, other: _Ordered | None) -> _Ordered | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
