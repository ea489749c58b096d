"""Settling: whether an output may still be written, judged by file times and by watching it."""

from __future__ import annotations


def unsettled_for_s(*, modified_s: float, changed_s: float, now_s: float, settle_s: float) -> float:
    """Return for how many seconds more the output counts as unsettled; 0 when it is settled.

    `modified_s` is a modification time, which anyone may set; `changed_s` the inode's change time, which only the
    file system's clock sets. All are seconds since the epoch.
    """
    if settle_s <= 0:
        return 0.0
    if modified_s <= now_s:
        return max(0.0, modified_s + settle_s - now_s)
    # Somebody set a time in the future. It must not count as unsettled until that day comes.
    if changed_s <= now_s:
        return max(0.0, changed_s + settle_s - now_s)
    # The file system's clock is ahead of ours: no time can tell, only watching does.
    return settle_s


def was_watched(*, seen_at_s: float, now_s: float, settle_s: float) -> bool:
    """Return whether an output that looks the same since `seen_at_s` (monotonic) has settled."""
    return now_s - seen_at_s >= settle_s
