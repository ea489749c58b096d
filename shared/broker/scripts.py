"""The Lua scripts, by name; the keys that they use are documented in `lua/keys.lua`."""

from __future__ import annotations

from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final

import redis

from shared.broker.client import LOST
from shared.broker.held_connections import HeldConnections

_PRELUDE: Final = "keys"


@cache
def text_of(name: str) -> str:
    """Return the text of one script, without what stands in front of it."""
    return files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


@cache
def _whole(name: str) -> tuple[bytes, str]:
    """Return a script as Redis gets it, and the name by which Redis knows it."""
    text = (text_of(_PRELUDE) + text_of(name)).encode()
    return text, sha1(text, usedforsecurity=False).hexdigest()


class Scripts:
    """Runs the scripts of one namespace.

    With `again`, a lost connection is no error yet: the script is run again as the client is told to, so it must bear
    to be run twice. Without, the caller hears of every lost answer.
    """

    def __init__(self, client: redis.Redis, namespace: str, *, again: bool = False) -> None:
        self._client = client
        self._namespace = namespace
        self._again = again
        self._connections = HeldConnections(client)

    def run(self, name: str, *args: str | bytes | int) -> Any:
        """Run one script and return Redis' reply; raises redis.RedisError."""
        text, sha = _whole(name)
        words = (1, self._namespace, *(_as_sent(argument) for argument in args))
        try:
            return self._connections.command("EVALSHA", sha, *words)
        except redis.exceptions.NoScriptError:  # nothing was run
            return self._connections.command("EVAL", text, *words)
        except LOST:
            if not self._again:
                raise
        return self._client.execute_command("EVAL", text, *words)  # type: ignore[no-untyped-call]


def as_text(value: str | bytes) -> str:
    """Return an id as text; ids that other clients made need not be UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def _as_sent(argument: str | bytes | int) -> bytes | int:
    return argument.encode("utf-8", "surrogateescape") if isinstance(argument, str) else argument
