"""Asking: a person says yes before something is given up or changed."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click

from shared.command import say
from shared.errors import UsageError


def who() -> str:
    """Return who runs this command, as user@host: what audit lines and histories keep."""
    user = os.environ.get("SUDO_USER") or getpass.getuser()
    return f"{user}@{socket.gethostname()}"


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end a question that is asked inside of an event loop, which would only note it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask, and return the answer; raises UsageError where there is nobody to ask and `--yes` was not given."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask at: add --yes.")
    try:
        with interruptible():
            answer = click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)
        answer = False
    if not answer:
        say("Nothing was changed.")
    return answer
