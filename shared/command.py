"""What every command shares: its stores' options, its output, and how it ends."""

from __future__ import annotations

import difflib
import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import asyncpg
import click
import orjson
import redis
from dramatiq.errors import BrokerConnectionError

from shared.connection_errors import explain_redis
from shared.errors import RunferryError
from shared.printable import wrapped
from shared.secrets import hide_passwords
from shared.settings import Settings

#: Done and true.
DONE: Final = 0
#: A difference was found, or some part failed.
DIFFERENCE: Final = 1
#: Wrong usage, or it could not run.
USAGE: Final = 2
#: Interrupted by the user: 128 and the signal's number, as a shell counts.
INTERRUPTED: Final = 130

#: For whoever looks for a fault of runferry's own.
TRACEBACKS: Final = os.environ.get("RUNFERRY_TRACEBACK") == "1"

_SENTENCE_CHARACTERS: Final = 200

R = TypeVar("R")


def store_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add `--database-url` and `--redis-url`, and hand the command its `settings: Settings` by that name."""

    @click.option(
        "--database-url", metavar="URL", help="PostgreSQL; default: DATABASE_URL, else the embedded one."
    )
    @click.option("--redis-url", metavar="URL", help="Redis; default: REDIS_URL, else the embedded one.")
    @functools.wraps(command)
    def with_settings(*args: Any, database_url: str | None, redis_url: str | None, **kwargs: Any) -> R:
        overrides = {"database_url": database_url, "redis_url": redis_url}
        settings = Settings.from_environment(**overrides)
        if (context := click.get_current_context(silent=True)) is not None:
            context.meta[_SETTINGS] = settings
        return command(*args, settings=settings, **kwargs)

    return with_settings


def print_json(document: Any) -> None:
    """Print the one JSON document of a command on stdout."""
    encoded = orjson.dumps(document, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    sys.stdout.flush()
    sys.stdout.buffer.write(encoded)
    sys.stdout.buffer.flush()


def print_lines(lines: Iterable[str]) -> None:
    """Print a report on stdout as suits what that is: long lines are broken at words on a terminal alone."""
    is_terminal = sys.stdout.isatty()
    for line in lines:
        click.echo(wrapped(line, shutil.get_terminal_size().columns) if is_terminal else line)


def say(text: str = "") -> None:
    """Tell the user something, on stderr, so that stdout stays for results."""
    click.echo(text, err=True)


def _fitting(sentence: str) -> str:
    return wrapped(sentence, shutil.get_terminal_size().columns) if sys.stderr.isatty() else sentence


@contextmanager
def first_and_last(notice: str | None) -> Iterator[None]:
    """Say `notice`, if there is one, before and after what is done inside."""
    notice = _fitting(notice) if notice else None
    if notice:
        say(notice)
    try:
        yield
    finally:
        if notice:
            say(notice)


class _Ending:
    """Turns the ways in which a command ends into its exit status and one sentence on stderr.

    A command's own return value is its exit status when it is an int.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)  # type: ignore[misc]
        except KeyboardInterrupt:
            say("Interrupted.")
            ctx.exit(INTERRUPTED)
        except Exception as error:
            sentence = _sentence(error, ctx)
            if sentence is None or TRACEBACKS:
                raise
            say(_fitting(f"{ctx.command_path}: {sentence}"))
            ctx.exit(USAGE)
        if isinstance(result, int) and not isinstance(result, bool):
            ctx.exit(result)
        return result


class RunferryCommand(_Ending, click.Command):
    """A command that ends as runferry's commands do."""


class RunferryGroup(_Ending, click.Group):
    """A group whose commands end as runferry's commands do."""

    command_class = RunferryCommand
    group_class = type

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called; of one that isn't there, name those that are written nearly so."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], self.list_commands(ctx))
            if not close:
                raise
            raise click.UsageError(f"{error.message} Did you mean {' or '.join(close)}?", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, each with its whole first sentence."""
        self.list_section("Commands", self.list_commands(ctx), ctx, formatter)

    def list_section(
        self, title: str, names: Iterable[str], ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write one section of the list of commands."""
        found = [(name, self.get_command(ctx, name)) for name in names]
        rows = [
            (name, command.get_short_help_str(limit=_SENTENCE_CHARACTERS))
            for name, command in found
            if command is not None and not command.hidden
        ]
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


_SETTINGS: Final = "runferry.settings"


def _sentence(error: BaseException, ctx: click.Context) -> str | None:
    """Return what to tell the user; None for a fault of runferry's own, and for click's own ways to end."""
    if isinstance(error, RunferryError):
        return str(error)
    cause: BaseException | None = error
    while isinstance(cause, BrokerConnectionError):
        cause = cause.__cause__ or cause.__context__
    settings: Settings | None = ctx.meta.get(_SETTINGS)
    if isinstance(cause, redis.ConnectionError | redis.TimeoutError | redis.exceptions.NoPermissionError):
        url = settings.redis_url.get_secret_value() if settings and settings.redis_url else None
        return (
            str(explain_redis(cause, url))
            if url
            else f"The embedded Redis went away: {hide_passwords(str(cause))}"
        )
    if isinstance(cause, BrokenPipeError):
        return None  # whoever reads the output went away; click ends quietly
    if isinstance(cause, asyncpg.PostgresConnectionError | asyncpg.AdminShutdownError | ConnectionError) or (
        # asyncpg has this class for the misuse of a connection as well.
        isinstance(cause, asyncpg.InterfaceError) and "connection is closed" in str(cause)
    ):
        return f"The connection was lost while the command ran: {hide_passwords(str(cause))}"
    return None
