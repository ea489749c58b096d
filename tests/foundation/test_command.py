"""How every command ends, and what it says."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Iterator

import asyncpg
import click
import pytest
import redis
from click.testing import CliRunner
from dramatiq.errors import BrokerConnectionError

from ops.command import main as operator
from producers.command import main as producer
from shared import __version__
from shared.command import (
    DIFFERENCE,
    DONE,
    USAGE,
    RunferryCommand,
    RunferryGroup,
    first_and_last,
    print_json,
    say,
    store_options,
)
from shared.errors import DatabaseAway, SettingsError
from shared.printable import wrapped
from shared.settings import Settings
from workers.command import main as worker


def command_raising(error: BaseException) -> click.Group:
    @click.group(cls=RunferryGroup)
    def group() -> None:
        """A group."""

    @group.command()
    @store_options
    def work(settings: Settings) -> None:
        raise error

    return group


def run(command: click.Command, *arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(command, list(arguments), prog_name="runferry")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def commands(command: click.Command, *names: str) -> Iterator[tuple[str, ...]]:
    yield names
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, *names, name)


@pytest.mark.parametrize("role", [operator, producer, worker], ids=["ops", "producer", "worker"])
def test_help_shows_its_examples_line_by_line(role: click.Command) -> None:
    for names in commands(role):
        _, said, _ = run(role, *names, "--help")
        assert said.startswith("Usage: ")
        assert "\\b" not in said, names
        assert "Examples: " not in said, names


@pytest.mark.parametrize("role", [operator, producer, worker], ids=["ops", "producer", "worker"])
def test_every_command_says_by_its_own_name_what_is_wrong(role: click.Command) -> None:
    for names in commands(role):
        found: click.Command | None = role
        for name in names:
            assert isinstance(found, click.Group)
            found = found.get_command(click.Context(found), name)
        assert isinstance(found, RunferryCommand | RunferryGroup), names


@pytest.mark.parametrize("error", [SettingsError("It is so."), DatabaseAway("It is so.")])
def test_an_error_of_runferrys_is_one_sentence_and_status_2(error: Exception) -> None:
    assert run(command_raising(error), "work") == (USAGE, "", "runferry work: It is so.\n")


def test_an_interrupt_ends_cleanly_with_130() -> None:
    assert run(command_raising(KeyboardInterrupt()), "work") == (130, "", "Interrupted.\n")


def lost_queue() -> Exception:
    error = BrokerConnectionError("lost")
    error.__cause__ = redis.ConnectionError("Error 111 connecting to redis://:s3cret@queue:1. Connection refused.")
    return error


@pytest.mark.parametrize("error", [lost_queue(), redis.ConnectionError("lost"), redis.TimeoutError("lost")])
def test_a_queue_that_goes_away_is_told_with_its_place_and_without_its_password(error: Exception) -> None:
    urls = ("--database-url", "postgresql://ann@db/app", "--redis-url", "redis://:s3cret@queue:1")

    status, _, said = run(command_raising(error), "work", *urls)

    assert status == USAGE
    assert "queue:1" in said
    assert "s3cret" not in said


def test_an_embedded_queue_that_goes_away_is_told() -> None:
    status, _, said = run(command_raising(lost_queue()), "work")

    assert status == USAGE
    assert "The embedded Redis went away" in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.ConnectionDoesNotExistError("closed"),
        asyncpg.InterfaceError("connection is closed"),
        ConnectionResetError(104, "Connection reset by peer"),
    ],
)
def test_a_database_that_goes_away_is_told(error: Exception) -> None:
    status, _, said = run(command_raising(error), "work")

    assert (status, said.partition(":")[0]) == (USAGE, "runferry work")
    assert "was lost while the command ran" in said


def test_a_key_that_redis_refuses_is_told() -> None:
    error = redis.exceptions.NoPermissionError("this user has no permissions to access one of the keys")
    status, _, said = run(command_raising(error), "work", "--redis-url", "redis://u:s3cret@queue:1/0")

    assert status == USAGE
    assert "Widen this user's ACL" in said
    assert "s3cret" not in said


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    status, out, said = run(command_raising(BrokenPipeError(errno.EPIPE, "Broken pipe")), "work")

    assert (status, out, said) == (1, "", "")


@pytest.mark.parametrize("error", [ValueError("a fault"), asyncpg.UndefinedTableError("a fault")])
def test_a_fault_of_runferrys_own_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        run(command_raising(error), "work")


def test_a_commands_int_is_its_exit_status() -> None:
    @click.group(cls=RunferryGroup)
    def group() -> None:
        """A group."""

    @group.command()
    def differs() -> int:
        print_json({"balanced": False})
        say("There is a difference.")
        return DIFFERENCE

    assert run(group, "differs") == (DIFFERENCE, '{\n  "balanced": false\n}\n', "There is a difference.\n")


def test_nested_groups_end_the_same_way() -> None:
    @click.group(cls=RunferryGroup)
    def group() -> None:
        """A group."""

    @group.group()
    def inner() -> None:
        """A group in it."""

    @inner.command()
    def work() -> int:
        raise SettingsError("It is so.")

    assert run(group, "inner", "work") == (USAGE, "", "runferry inner work: It is so.\n")


def test_options_reach_the_settings() -> None:
    seen: list[Settings] = []

    @click.group(cls=RunferryGroup)
    def group() -> None:
        """A group."""

    @group.command()
    @store_options
    def work(settings: Settings) -> None:
        seen.append(settings)

    assert run(group, "work", "--database-url", "postgresql://ann@db/app")[0] == DONE
    assert seen[0].database_url is not None
    assert seen[0].database_url.get_secret_value() == "postgresql://ann@db/app"
    assert seen[0].redis_url is None


def test_a_notice_comes_first_and_last(capsys: pytest.CaptureFixture[str]) -> None:
    with first_and_last("notice"):
        say("work")
    with first_and_last(None):
        say("quiet")

    assert capsys.readouterr().err.splitlines() == ["notice", "work", "notice", "quiet"]


def test_json_alone_is_on_stdout(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    say("for people")
    print_json({"path": "größe"})

    assert json.loads(capsysbinary.readouterr().out) == {"path": "größe"}


def test_an_interrupt_in_a_coroutine_ends_cleanly() -> None:
    @click.group(cls=RunferryGroup)
    def group() -> None:
        """A group."""

    @group.command()
    def work() -> None:
        async def interrupted() -> None:
            raise KeyboardInterrupt

        asyncio.run(interrupted())

    assert run(group, "work")[0] == 130


def test_a_command_that_is_nearly_one_is_named_and_no_sentence_of_the_list_is_cut_off() -> None:
    @click.group(cls=RunferryGroup)
    def group() -> None:
        """A group."""

    @group.command("status", cls=RunferryCommand)
    def _status() -> None:
        """Show the migration at a glance, with every queue, each worker, all dead letters and the rows."""

    assert "Did you mean status?" in run(group, "sttus")[2]
    assert "Did you mean" not in run(group, "nonsense")[2]
    assert "dead letters and the rows." in " ".join(run(group, "--help")[1].split())


def test_long_lines_are_broken_at_words_and_commands_stay_whole() -> None:
    promise = "BALANCED: every output on disk is in the rows, in flight, or in a dead letter with its reason."
    assert wrapped(promise, 80).splitlines() == [
        "BALANCED: every output on disk is in the rows, in flight, or in a dead letter",
        "with its reason.",
    ]
    assert wrapped("  run-1 stage 2: " + "word " * 20, 40).splitlines()[1].startswith("      word")
    assert wrapped("  " + "a" * 90 + " stage 1", 80).splitlines() == ["  " + "a" * 90, "      stage 1"]
    for command in (
        "Go on with: producer backfill --all --root /a/very/long/path/of/run/folders --resume --wait --user-id me",
        "Something is not there: run `ops schema apply`, and then everything that you wanted to do before it, again",
    ):
        assert wrapped(command, 40) == command


@pytest.mark.parametrize("command", [operator, producer, worker], ids=["ops", "producer", "worker"])
def test_every_command_says_its_version(command: click.Command) -> None:
    ended = CliRunner().invoke(command, ["--version"])

    assert (ended.exit_code, ended.stdout) == (DONE, f"runferry, version {__version__}\n")
