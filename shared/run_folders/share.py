"""Share: the part of a root's runs that one of several producers takes, by the runs' names alone."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final, Self
from zlib import crc32

_SPELLED: Final = re.compile(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})")


@dataclass(frozen=True, slots=True)
class Share:
    """The `number`th of `of` shares, counted from 1; together they are all runs, and no run is in two of them."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the share that `2/3` means; raises ValueError for anything that is none."""
        spelled = _SPELLED.fullmatch(text)
        if spelled is None or int(spelled[1]) > int(spelled[2]):
            raise ValueError(f"{text!r} is no share: write the second of three as 2/3.")
        return cls(int(spelled[1]), int(spelled[2]))

    def takes(self, name: str) -> bool:
        """Say whether a run folder of this name belongs to the share; the same on every host and in every version."""
        return crc32(os.fsencode(name)) % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"
