"""The contract's JSON Schema, for producers that aren't written in Python.

`python -m shared.contract_schema` writes it anew into `docs/message.schema.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from shared.contract import SCHEMA_VERSION, message_adapter

SCHEMA_PATH: Final = Path(__file__).parents[1] / "docs" / "message.schema.json"


def contract_schema() -> str:
    """Return the JSON Schema of all messages as the text of its file."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"runferry message, schema version {SCHEMA_VERSION}",
        **message_adapter.json_schema(mode="validation"),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the schema's file."""
    SCHEMA_PATH.write_text(contract_schema(), encoding="utf-8")


if __name__ == "__main__":
    main()
