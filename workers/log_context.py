"""Log context: every line that is written while a message is worked on carries its run id and its message id."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from dramatiq.middleware import CurrentMessage

from shared.broker.bundle import Bundle


def message_ids() -> Mapping[str, str]:
    """Return the ids of the message that this thread works on; asked for each line, so that messages pay nothing."""
    if _is_a_loop():
        return {}
    message = CurrentMessage.get_current_message()
    if message is None or isinstance(message, Bundle):
        return {}
    ids = {"message_id": message.message_id}
    carried = message.kwargs.get("message")
    if isinstance(carried, dict) and isinstance(run_id := carried.get("run_id"), str):
        ids["run_id"] = run_id
    return ids


def _is_a_loop() -> bool:
    """Whether an event loop runs here: its tasks inherit the context of whichever actor's thread woke it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
