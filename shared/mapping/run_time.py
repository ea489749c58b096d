"""The time in a run id: when the pipeline made it, as far as its shape tells."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.ids import RunId

#: `{input}-{brand}-{YYYYMMDD-HHMMSS}`, which the pipelines write in UTC.
_AT_END: Final = re.compile(r"(?:^|-)([0-9]{8})-([0-9]{6})\Z")
#: `run-<milliseconds since 1970>-…`.
_EPOCH_MS: Final = re.compile(r"run-([0-9]{13})(?:-|\Z)")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Digits that mean a time outside of these years mean something else.
_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 2099


def time_in_run_id(run_id: RunId) -> datetime | None:
    """Return the time that the run id carries, in UTC; None where it carries none, or no plausible one."""
    moment = None
    if match := _AT_END.search(run_id):
        try:
            moment = datetime.strptime(match[1] + match[2], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return None
    elif match := _EPOCH_MS.match(run_id):
        moment = _EPOCH + timedelta(milliseconds=int(match[1]))
    if moment is None or not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        return None
    return moment
