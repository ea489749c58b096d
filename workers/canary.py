"""The canary: a made-up run that is written and taken back, to find out whether the database takes writes again.

A database that answers may still refuse them: a full disk, a missing right, a table that somebody holds locked.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final
from uuid import uuid4

from shared.contract import Hints, Origin, OutputBody, StageOutputsMessage, to_wire
from shared.documents import Document
from shared.ids import Stage
from shared.settings import MEBIBYTE
from workers.intake import Consignment, Intake, take_in

_NAME: Final = "runferry-canary"
_INSPIRATION: Final = {"title": "Canary", "content": "It is taken back.", "key_elements": []}
_CARD: Final = b"# Canary\n\n## Tagline\nIt is taken back.\n"

#: One row of every table that the writer inserts into: a report, a card, a kept document, a dead letter.
_DOCUMENTS: Final = {
    Stage.INSPIRATIONS: Document(
        "inspirations.json", json.dumps({"inspirations": [_INSPIRATION, _INSPIRATION]}).encode()
    ),
    Stage.TRENDS: Document("trends.json", b'{"a": 1, "a": 2}'),
    Stage.LESSONS: Document("lessons.json", b"{"),
    Stage.OPPORTUNITIES: Document("opportunity-1.md", _CARD),
}


def make_canary(moment: datetime) -> Intake:
    """Return the canary as a judged message; each has a run id of its own, so that none waits for another."""
    message = StageOutputsMessage(
        run_id=f"{_NAME}-{uuid4()}",
        publisher=_NAME,
        published_at=moment,
        origin=Origin.BACKFILL,
        batch_id=_NAME,
        outputs=tuple(OutputBody.of(stage, (document,), moment) for stage, document in _DOCUMENTS.items()),
        hints=Hints(stages_at_source=tuple(_DOCUMENTS)),
    )
    consignment = Consignment(str(uuid4()), _NAME, 1, moment)
    intake = take_in(to_wire(message), consignment, max_output_bytes=MEBIBYTE)
    if not isinstance(intake, Intake):
        raise TypeError("the canary is a run")
    return intake
