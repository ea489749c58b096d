"""The reference of all settings, made from `Settings`.

`python -m shared.settings_reference` writes it anew into `docs/settings.md`.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from shared.durations import write_duration
from shared.settings import Settings, variable

REFERENCE_PATH: Final = Path(__file__).parents[1] / "docs" / "settings.md"

_INTRODUCTION: Final = """\
# Settings

Made from `shared/settings.py` by `python -m shared.settings_reference`; a test keeps it current.

Every setting is an environment variable. `--database-url` and `--redis-url`, on every command, win over theirs.
An empty variable counts as unset. Durations are seconds, or have a unit: `30`, `500ms`, `30s`, `10m`, `24h`, `7d`,
`1h30m`, or ISO 8601 (`PT30S`). A wrong value is told in one sentence, with exit status 2.

Set `DATABASE_URL` and `REDIS_URL` both, or neither: then the commands use the embedded services, and start them where
they don't run. The emitter, the stage store and containers never do.
"""

_OUTRO: Final = """
`DATABASE_URL` is read as Prisma reads it: `postgres://` or `postgresql://`, percent-encoded, with `schema` (default
`public`), `connection_limit` (wins over `RUNFERRY_POOL_MAX_SIZE`), `pool_timeout`, `connect_timeout`, `sslmode`,
`sslrootcert`, `application_name`, and `host` for a socket's folder. A transaction pooler is recognised by
`pgbouncer=true`, and by the addresses of Supabase's and Neon's; runferry prepares no statements there.

Three more variables are no settings of a deployment: `YES=1` lets `make backfill`, `make pipeline` and
`producer backfill` write examples to services of your own; `RUNFERRY_TRACEBACK=1` shows the traceback where a command
would end with a sentence; `TEST_REDIS_URL` has the broker's tests run on another Redis.
"""


def settings_reference() -> str:
    """Return the reference as the text of its file."""
    lines = ["", "| variable | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `{variable(name)}` | {_written(field.default)} | {field.description} |")
    return _INTRODUCTION + "\n".join(lines) + "\n" + _OUTRO


def _written(default: Any) -> str:
    match default:
        case None:
            return ""
        case timedelta():
            return f"`{write_duration(default)}`"
        case StrEnum() | SecretStr():
            return f"`{default!s}`"
        case _:
            return f"`{default}`"


def main() -> None:
    """Write the reference's file."""
    REFERENCE_PATH.write_text(settings_reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
