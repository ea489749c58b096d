"""The messages between producers and workers: versioned, frozen, the same in every process of a rolling upgrade.

Producers never judge content; what is malformed is found by the worker, whoever sent it. So documents travel as
they are: as their bytes where the encoder carries these beside the JSON, in JSON as text where they are UTF-8, else as
base64.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    Strict,
    TypeAdapter,
    model_serializer,
    model_validator,
)
from pydantic.functional_validators import AfterValidator
from pydantic.json_schema import SkipJsonSchema

from shared.documents import Document, Sha256, content_sha256
from shared.formats.text import is_storable
from shared.ids import Stage
from shared.moment_bounds import within_bounds
from shared.wire import content_in_json

SCHEMA_VERSION: Final = 1
_NO_OFFSET: Final = timedelta(0)


class Origin(StrEnum):
    """Who sent an output, and so how much its time is worth."""

    PIPELINE = "pipeline"
    BACKFILL = "backfill"
    REPAIR = "repair"
    REPLAY = "replay"


class Prefer(StrEnum):
    """Which side wins where an output of a backfill or repair differs from rows that it may not overwrite."""

    FILES = "files"
    ROWS = "rows"


def _utc_within_bounds(moment: datetime) -> datetime:
    if moment.utcoffset() != _NO_OFFSET:
        raise ValueError("must be UTC")
    # Of pydantic's own time zone, which every comparison and conversion would have to ask for its offset.
    return within_bounds(moment.replace(tzinfo=UTC))


def _is_storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("must be text that PostgreSQL can store")
    return text


Utc = Annotated[AwareDatetime, AfterValidator(_utc_within_bounds)]
#: A name of something, which is kept in indexes.
Label = Annotated[str, Field(max_length=255), AfterValidator(_is_storable)]
Sha256Text = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DocumentBody(_Frozen):
    """A document as it travels in JSON: `text` where its bytes are UTF-8, else `base64`."""

    name: str
    text: str | None = None
    base64: str | None = None
    #: Its bytes, where the encoder carries them beside the JSON, which has none: so the schema knows nothing of it.
    content: SkipJsonSchema[Annotated[bytes, Strict()] | None] = None

    @model_validator(mode="after")
    def _one_encoding(self) -> Self:
        if (self.text is None) + (self.base64 is None) + (self.content is None) != 2:
            raise ValueError("a document carries either text or base64, or its content as bytes")
        return self

    @model_serializer(mode="wrap", when_used="json")
    def _in_json(self, serialize: SerializerFunctionWrapHandler) -> Any:
        if self.content is None:
            return serialize(self)
        return {"name": self.name, **content_in_json(self.content)}

    @classmethod
    def of(cls, document: Document) -> Self:
        """Return the body that carries `document`."""
        return cls(name=document.name, content=document.content)

    def document(self) -> Document:
        """Return the document that this body carries; raises ValueError where its base64 is broken."""
        if self.content is not None:
            return Document(self.name, self.content)
        if self.text is not None:
            return Document(self.name, self.text.encode())
        return Document(self.name, base64.b64decode(self.base64 or "", validate=True))


class Expectation(_Frozen):
    """The ledger state that a repair is based on; `content_sha256` is None where there was no entry."""

    content_sha256: Sha256Text | None = None  # the wire leaves out what is None
    produced_at: Utc | None = None


class OutputBody(_Frozen):
    """One stage's output: its documents, when it was produced, and what it replaces."""

    stage: Stage
    documents: tuple[DocumentBody, ...]
    produced_at: Utc
    content_sha256: Sha256Text
    mends: Sha256Text | None = None
    expects: Expectation | None = None
    #: The ledger held this very output when it was published: a hint, which saves a worker the mapping of duplicates.
    known: Literal[True] | None = None

    @classmethod
    def of(
        cls,
        stage: Stage,
        documents: tuple[Document, ...],
        produced_at: datetime,
        *,
        mends: Sha256 | None = None,
        expects: Expectation | None = None,
    ) -> Self:
        """Return the body that carries `documents` of `stage`, with their hash."""
        return cls(
            stage=stage,
            documents=tuple(DocumentBody.of(document) for document in documents),
            produced_at=produced_at,
            content_sha256=content_sha256(documents),
            mends=mends,
            expects=expects,
        )


class Hints(_Frozen):
    """What the sender believes; the worker prefers what the documents themselves say."""

    user_id: str | None = None
    company_id: str | None = None
    company_name: str | None = None
    document_name: str | None = None
    document_url: str | None = None
    stages_at_source: tuple[Stage, ...] | None = None


class _Envelope(_Frozen):
    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: str
    publisher: Label
    published_at: Utc


class StageOutputsMessage(_Envelope):
    """The outputs of one or more stages of one run."""

    kind: Literal["stage_outputs"] = "stage_outputs"
    origin: Origin
    #: Whose output a replay sends again, so that its time is worth what it was worth at first.
    replay_of: Origin | None = None
    batch_id: Label
    wants_receipt: bool = False
    prefer: Prefer | None = None
    outputs: Annotated[tuple[OutputBody, ...], Field(min_length=1)]
    hints: Hints = Hints()


class RunStarted(_Envelope):
    """A pipeline began (or began again) to work on a run."""

    kind: Literal["run_started"] = "run_started"
    occurred_at: Utc
    hints: Hints = Hints()


class RunFailed(_Envelope):
    """A pipeline gave up on a run."""

    kind: Literal["run_failed"] = "run_failed"
    occurred_at: Utc
    error: str
    hints: Hints = Hints()


Message = Annotated[StageOutputsMessage | RunStarted | RunFailed, Field(discriminator="kind")]
message_adapter: TypeAdapter[StageOutputsMessage | RunStarted | RunFailed] = TypeAdapter(Message)


def to_wire(message: StageOutputsMessage | RunStarted | RunFailed) -> dict[str, Any]:
    """Return the message as the encoder takes it: JSON values and documents' contents; what is None is left out."""
    wire = message.model_dump(mode="json", exclude_none=True, exclude={"outputs": {"__all__": {"documents"}}})
    if isinstance(message, StageOutputsMessage):
        for output, body in zip(wire["outputs"], message.outputs, strict=True):
            output["documents"] = [document.model_dump(exclude_none=True) for document in body.documents]
    return wire
