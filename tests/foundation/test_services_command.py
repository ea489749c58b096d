"""`ops services`, as a user runs it."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import click
import pytest
import redis

from ops.command import COMMANDS, main

Ops = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ops(folder: Path) -> Ops:
    """Run `ops` in a folder of its own; keywords are environment variables."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ops.command", *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=120,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        )

    return run


def test_services_start_show_and_stop(ops: Ops, folder: Path) -> None:
    before = ops("services", "status", "--json")
    assert before.returncode == 1
    assert json.loads(before.stdout) == {
        "database_url": None,
        "redis_url": None,
        "running": False,
        "embedded": True,
        "home": str(folder / ".runferry"),
    }

    started = ops("services", "start")
    assert (started.returncode, started.stderr) == (0, "")
    assert "PostgreSQL 18." in started.stdout
    assert "Redis 6.2." in started.stdout

    shown = ops("services", "status", "--json")
    document = json.loads(shown.stdout)
    assert shown.returncode == 0
    assert (document["running"], document["embedded"]) == (True, True)

    async def one() -> object:
        connection = await asyncpg.connect(document["database_url"])
        try:
            return await connection.fetchval("SELECT 1")
        finally:
            await connection.close()

    assert asyncio.run(one()) == 1
    with redis.Redis.from_url(document["redis_url"]) as client:
        assert client.ping()

    stopped = ops("services", "stop", "--json")
    assert json.loads(stopped.stdout)["stopped"]
    after = ops("services", "status")
    assert after.returncode == 1
    assert "does not run" in after.stdout
    assert ops("services", "stop").stdout == "They did not run.\n"


def test_the_line_for_looking_at_the_rows_works_as_it_is_shown_and_holds_no_password(ops: Ops) -> None:
    started = ops("services", "start")
    command = next(line.strip() for line in started.stdout.splitlines() if "psql" in line)
    password = json.loads(ops("services", "status", "--json").stdout)["database_url"].split(":")[2].split("@")[0]

    asked = subprocess.run(
        [*shlex.split(command), "-At", "-c", "SELECT current_user"], check=False, capture_output=True, text=True
    )

    assert (asked.stdout, asked.stderr) == ("runferry\n", "")
    assert password not in started.stdout


def test_psql_is_opened_on_the_rows_and_gives_its_own_status_back(ops: Ops) -> None:
    assert ops("psql", "-At", "-c", "SELECT current_user").stdout == "runferry\n"
    failed = ops("psql", "-c", "SELECT nonsense")
    assert (failed.returncode, 'column "nonsense" does not exist' in failed.stderr) == (1, True)


def test_psql_takes_an_address_as_prisma_writes_it(ops: Ops, database_url: str, redis_url: str) -> None:
    own = {
        "DATABASE_URL": f"{database_url}{'&' if '?' in database_url else '?'}schema=web%20app&connection_limit=3",
        "REDIS_URL": redis_url,
    }
    asked = ops("psql", "-At", "-c", "SHOW search_path", **own)
    assert (asked.stdout, asked.stderr) == ('"web app"\n', "")


def test_services_of_the_users_own_are_asked_and_never_started_or_stopped(
    ops: Ops, database_url: str, redis_url: str, folder: Path
) -> None:
    own = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}

    shown = json.loads(ops("services", "status", "--json", **own).stdout)
    assert (shown["running"], shown["embedded"], shown["faults"]) == (True, False, [])
    assert ":***@" in shown["database_url"]
    assert ":***@" in shown["redis_url"]
    assert "nothing was started" in ops("services", "start", **own).stderr
    assert ops("services", "stop", **own).stdout == "They did not run.\n"
    assert ops("services", "status", **own).returncode == 0
    assert not (folder / ".runferry").exists()


def test_services_of_the_users_own_that_are_away_are_told(ops: Ops) -> None:
    own = {"DATABASE_URL": "postgresql://ann:s3cret@127.0.0.1:1/app", "REDIS_URL": "redis://:s3cret@127.0.0.1:1/0"}

    shown = ops("services", "status", "--json", **own)
    started = ops("services", "start", **own)

    assert shown.returncode == 1
    assert len(json.loads(shown.stdout)["faults"]) == 2
    assert started.returncode == 2
    assert started.stderr.startswith("ops services start: Nothing answers at 127.0.0.1:1")
    assert "s3cret" not in shown.stdout + shown.stderr + started.stdout + started.stderr


def test_a_half_set_pair_is_an_error_that_names_the_missing_one(ops: Ops) -> None:
    done = ops("services", "status", DATABASE_URL="postgresql://ann:s3cret@db/app")

    assert (done.returncode, done.stdout) == (2, "")
    assert "REDIS_URL is not" in done.stderr
    assert "s3cret" not in done.stderr


def test_a_wrong_setting_is_a_sentence(ops: Ops) -> None:
    done = ops("services", "status", RUNFERRY_SETTLE="soon")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "ops services status: RUNFERRY_SETTLE: must be a duration such as 30, 30s, 10m, 24h or 7d."
    ]


def test_the_examples_are_refused_on_services_of_the_users_own(
    ops: Ops, database_url: str, redis_url: str
) -> None:
    own = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    examples = str(Path(__file__).parents[2] / "examples" / "runs")

    refused = ops("services", "start", "--quiet", "--root", examples, **own)

    assert refused.returncode == 2
    assert "is the example tree" in refused.stderr
    asked_for = ops("services", "start", "--quiet", "--root", examples, YES="1", **own)
    assert (asked_for.returncode, asked_for.stdout, asked_for.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "own", [{"DATABASE_URL": "postgresql://localhost:1/x"}, {"REDIS_URL": "redis://localhost:1"}]
)
def test_the_example_pipeline_is_refused_on_services_of_the_users_own(own: dict[str, str]) -> None:
    others = {
        name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL", "YES")
    }

    refused = subprocess.run(
        ["make", "pipeline"],
        cwd=Path(__file__).parents[2],
        env=others | own,
        capture_output=True,
        text=True,
        check=False,
    )

    assert refused.returncode == 2
    assert "set YES=1 to write the examples there" in refused.stderr


def leaves(command: click.Command, context: click.Context) -> Iterator[click.Command]:
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from leaves(inner, context)
    else:
        yield command


def has_examples(command: click.Command) -> bool:
    return "Example" in f"{command.help}{command.epilog}"


def test_every_command_is_in_the_help_and_has_examples() -> None:
    context = click.Context(main, info_name="ops")

    shown = main.get_help(context)

    for name in COMMANDS:
        assert f"  {name} " in shown
        command = main.get_command(context, name)
        assert command is not None
        lacking = [leaf.name for leaf in leaves(command, context) if not has_examples(leaf)]
        assert has_examples(command) or not lacking, f"ops {name}: {lacking}"


def test_an_unknown_command_is_wrong_usage(ops: Ops) -> None:
    assert ops("nonsense").returncode == 2
