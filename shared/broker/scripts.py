"""The Lua scripts, by name; the keys that they use are documented in `lua/keys.lua`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final

import redis

_PRELUDE: Final = "keys"


@cache
def text_of(name: str) -> str:
    """Return the text of one script, without what stands in front of it."""
    return files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


class Scripts:
    """Runs the scripts of one namespace."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._registered: dict[str, Any] = {}

    def run(self, name: str, *args: str | bytes | int) -> Any:
        """Run one script and return Redis' reply; raises redis.RedisError."""
        script = self._registered.get(name)
        if script is None:
            text = text_of(_PRELUDE) + text_of(name)
            script = self._registered[name] = self._client.register_script(text)
        return script(keys=[self._namespace], args=[_as_sent(argument) for argument in args])


def as_text(value: str | bytes) -> str:
    """Return an id as text; ids that other clients made need not be UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def _as_sent(argument: str | bytes | int) -> bytes | int:
    return argument.encode("utf-8", "surrogateescape") if isinstance(argument, str) else argument
