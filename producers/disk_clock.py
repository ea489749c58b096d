"""The disk clock: times for outputs while Redis, the clock that all share, can't be asked.

It is the local clock, corrected by the offset that Redis showed last, and never gives a time twice or an earlier one
than before, whichever process of this disk asks. What it knows is in one small file under the home.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

_NAME: Final = "clock"
_FIELD: Final = "%020d %+020d\n"
_FIELD_BYTES: Final = 42
#: A last time further ahead than this is no time that a working clock gave.
_BELIEVED_AHEAD: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class DiskClock:
    """The clock of one home; every method may be called by any thread or process."""

    def __init__(self, home: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._home = home
        self._now = now

    def stamp(self, after: datetime | None = None) -> datetime:
        """Return a time (UTC) later than any before, and than `after`; the disk's errors cost only the memory."""
        with self._memory() as fd:
            last, offset = _read(fd)
            moment = self._now() + offset
            for floor in (last, after):
                if floor is not None and moment <= floor <= moment + _BELIEVED_AHEAD:
                    moment = floor + _MICROSECOND
            _write(fd, moment, offset)
        return moment

    def learn(self, redis_moment: datetime) -> None:
        """Take in a time that Redis gave just now."""
        with self._memory() as fd:
            last, _ = _read(fd)
            believed = last is not None and last <= redis_moment + _BELIEVED_AHEAD
            _write(fd, max(last, redis_moment) if last and believed else redis_moment, redis_moment - self._now())

    @contextlib.contextmanager
    def _memory(self) -> Iterator[int | None]:
        fd: int | None = None
        with contextlib.suppress(OSError):
            self._home.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._home / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            yield fd
        finally:
            if fd is not None:
                os.close(fd)


def _read(fd: int | None) -> tuple[datetime | None, timedelta]:
    if fd is None:
        return None, timedelta(0)
    try:
        last, offset = os.pread(fd, _FIELD_BYTES, 0).split()
        return _EPOCH + int(last) * _MICROSECOND, int(offset) * _MICROSECOND
    except (OSError, ValueError, OverflowError):
        return None, timedelta(0)


def _write(fd: int | None, last: datetime, offset: timedelta) -> None:
    if fd is not None:
        text = _FIELD % ((last - _EPOCH) // _MICROSECOND, offset // _MICROSECOND)
        with contextlib.suppress(OSError):
            os.pwrite(fd, text.encode("ascii"), 0)
