"""Order: which of two outputs of the same run and stage holds, whatever the order in which they arrive.

Every output has a key; the greatest key holds. A total order makes the end independent of the order of arrival and of
any number of duplicates.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import assert_never

from shared.contract import Origin
from shared.documents import Sha256


class Authority(IntEnum):
    """How much an output's time is worth: copying files resets their times, a pipeline's stamp comes from Redis."""

    FILES = 0
    ADOPTED = 1  # rows that were there before runferry, and files that say the same
    PIPELINE = 2  # also files that a person preferred by name


@dataclass(frozen=True, slots=True, order=True)
class OrderKey:
    """The place of an output among all outputs of its run and stage; ties in time go by the greater hash."""

    authority: Authority
    produced_at: datetime
    content_sha256: Sha256


def authority_of(origin: Origin, replay_of: Origin | None = None) -> Authority:
    """Return the authority of an output by who sent it; a replay counts as what it replays."""
    match origin:
        case Origin.PIPELINE:
            return Authority.PIPELINE
        case Origin.BACKFILL | Origin.REPAIR:
            return Authority.FILES
        case Origin.REPLAY:
            return Authority.FILES if replay_of in (None, Origin.REPLAY) else authority_of(replay_of)
        case _:
            assert_never(origin)
