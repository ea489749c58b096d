"""Connections that are kept from one command to the next, on real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from broker_bench import Bench

from shared.broker import held_connections
from shared.broker.client import make_client
from shared.broker.held_connections import HeldConnections
from shared.broker.scripts import Scripts


@pytest.fixture
def client(our_bench: Bench) -> Iterator[redis.Redis]:
    """A client that reports every lost connection, and waits for no answer longer than a moment."""
    client = make_client(our_bench.redis_url, timeout_s=0.3, retried=False)
    yield client
    client.connection_pool.disconnect()


def test_one_connection_serves_one_command_after_the_other(client: redis.Redis) -> None:
    held = HeldConnections(client)
    assert len({held.command("CLIENT", "ID") for _ in range(3)}) == 1


def test_threads_never_share_a_connection(client: redis.Redis) -> None:
    held = HeldConnections(client)
    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(lambda number: held.command("ECHO", str(number)), range(400)))
    assert said == [str(number).encode() for number in range(400)]


def test_an_answer_that_is_an_error_leaves_the_connection_as_it_is(client: redis.Redis) -> None:
    held = HeldConnections(client)
    before = held.command("CLIENT", "ID")
    with pytest.raises(redis.ResponseError):
        held.command("NO-SUCH-COMMAND")
    assert held.command("CLIENT", "ID") == before


def test_a_late_answer_is_never_taken_for_that_to_the_next_command(client: redis.Redis) -> None:
    held = HeldConnections(client)
    with pytest.raises(redis.TimeoutError):
        held.command("BLPOP", "nothing", 1)
    assert held.command("ECHO", "mine") == b"mine"


def test_another_process_has_connections_of_its_own(client: redis.Redis) -> None:
    held = HeldConnections(client)
    parents = held.command("CLIENT", "ID")
    held._pid -= 1  # as in a child: the process has another number
    assert held.command("CLIENT", "ID") != parents


def test_one_that_was_idle_for_long_is_looked_at_first(
    client: redis.Redis, our_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldConnections(client)
    mine = held.command("CLIENT", "ID")
    our_bench.redis.client_kill_filter(_id=str(mine))
    monkeypatch.setattr(held_connections, "_TRUSTED_S", 0.0)
    assert held.command("ECHO", "again") == b"again"


@pytest.mark.parametrize("again", [True, False])
def test_a_lost_connection_is_told_to_those_who_must_hear_of_it(
    client: redis.Redis, our_bench: Bench, again: bool
) -> None:
    scripts = Scripts(client, "runferry", again=again)
    depths = scripts.run("depths", "live")
    our_bench.redis.client_kill_filter(_type="normal", skipme=True)
    if not again:
        with pytest.raises(redis.ConnectionError):
            scripts.run("depths", "live")
    assert scripts.run("depths", "live") == depths


def test_a_redis_that_forgot_a_script_is_given_it_and_runs_it_once(client: redis.Redis, our_bench: Bench) -> None:
    scripts = Scripts(client, "runferry")
    stamps = [int(scripts.run("stamp", "run-a", 1, 60, 0)) for _ in range(2)]
    our_bench.redis.script_flush()
    stamps.append(int(scripts.run("stamp", "run-a", 1, 60, 0)))
    assert stamps == sorted(set(stamps))
