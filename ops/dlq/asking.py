"""Asking: a person says yes before something is given up or changed."""

from __future__ import annotations

import getpass
import os
import socket
import sys

import click

from shared.command import say
from shared.errors import UsageError


def who() -> str:
    """Return who runs this command, as user@host: what audit lines and histories keep."""
    user = os.environ.get("SUDO_USER") or getpass.getuser()
    return f"{user}@{socket.gethostname()}"


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask, and return the answer; raises UsageError where there is nobody to ask and `--yes` was not given."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask at: add --yes.")
    answer = click.confirm(question, err=True)
    if not answer:
        say("Nothing was changed.")
    return answer
