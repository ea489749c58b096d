"""The exported JSON Schema is the contract's own."""

from __future__ import annotations

import json

from shared.contract import RunFailed, RunStarted, StageOutputsMessage
from shared.contract_schema import SCHEMA_PATH, contract_schema


def test_the_exported_schema_is_current() -> None:
    assert SCHEMA_PATH.read_text(encoding="utf-8") == contract_schema(), "run: python -m shared.contract_schema"


def test_the_schema_knows_every_message_and_refuses_unknown_fields() -> None:
    schema = json.loads(contract_schema())
    for message in (StageOutputsMessage, RunStarted, RunFailed):
        definition = schema["$defs"][message.__name__]
        assert definition["additionalProperties"] is False
        assert definition["properties"]["schema_version"]["const"] == 1
