"""Redis clients, and which of their errors mean that Redis is away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry

from shared.broker.command_packer import CommandPacker
from shared.connection_errors import check_redis_url
from shared.errors import QueueAway, SettingsError

#: What redis-py raises for a lost connection. Stock Dramatiq forgets the second (its issue 894).
LOST: Final = (redis.ConnectionError, redis.TimeoutError)

#: Waits 0.05, 0.1, … 1 s, with jitter: about five seconds in all, as long as a fail-over takes.
_RETRIES: Final = 9
_FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0

#: Error codes by which a living Redis says that it can't work now.
_UNABLE: Final = ("LOADING", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN", "BUSY", "TRYAGAIN", "CLUSTERDOWN")


def make_client(url: str, *, timeout_s: float, retried: bool) -> redis.Redis:
    """Return a client that connects when it is first used.

    `timeout_s` bounds the connecting and each answer. A client that is not `retried` reports every lost
    connection at once. Raises SettingsError where the URL can't be read.
    """
    retry = (
        Retry(ExponentialWithJitterBackoff(base=_FIRST_PAUSE_S, cap=LONGEST_PAUSE_S), _RETRIES)
        if retried
        else Retry(NoBackoff(), 0)
    )
    check_redis_url(url)
    try:
        client: redis.Redis = redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=retry,
            max_connections=1024,
            command_packer=CommandPacker(),
        )
        # What the URL names that there is not, it would only say at the first use.
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
        return client
    except TypeError as error:
        unknown = re.search(r"'(\w+)'$", str(error))
        raise SettingsError(f"REDIS_URL: there is no parameter {unknown[1] if unknown else error}.") from None
    except ValueError:
        # Not what it says: it may quote a part of the password.
        raise SettingsError("REDIS_URL can't be read; it must look like redis://HOST:6379/0.") from None


def is_full(error: redis.ResponseError) -> bool:
    """Return whether Redis refused because it is at its memory limit."""
    # A script's error carries the code in the middle of its text, so redis-py's own class is not always raised.
    return "OOM command not allowed" in str(error)


def is_away(error: redis.RedisError) -> bool:
    """Return whether the error passes once Redis is whole again."""
    if isinstance(error, LOST):
        return True
    if not isinstance(error, redis.ResponseError):
        return False
    text = str(error)
    return is_full(error) or isinstance(error, redis.ReadOnlyError) or any(code in text for code in _UNABLE)


@contextmanager
def queue_errors() -> Iterator[None]:
    """Raise QueueAway, with a sentence, for every error that says that Redis is away or full."""
    try:
        yield
    except redis.RedisError as error:
        if not is_away(error):
            raise
        if isinstance(error, redis.ResponseError) and is_full(error):
            raise QueueAway(
                "Redis is at its memory limit and takes no more messages; workers still drain it. "
                "Run more workers, or raise maxmemory."
            ) from error
        if isinstance(error, redis.AuthenticationError):
            raise QueueAway(f"Redis refuses the user or password in REDIS_URL: {error}") from error
        raise QueueAway(f"Redis can't be reached or can't work now: {error}") from error
