"""The home of the embedded services: their folder, its lock, and what must outlive a command."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.embedded.account import Account
from shared.errors import ServicesError

_STATE: Final = "services.json"
_LOCK: Final = "services.lock"
_PASSWORD_BYTES: Final = 24


class State(BaseModel):
    """What is decided once for a home; the file is its owner's alone, for it holds the password."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    home: Path
    password: str
    postgres_folder: Path
    sockets: Path

    def __repr__(self) -> str:
        return f"State(home={self.home!s})"

    __str__ = __repr__


def home_key(home: Path) -> str:
    """Return the short name that stands for a home in folders outside of it."""
    return hashlib.sha256(os.fsencode(home)).hexdigest()[:12]


def new_password() -> str:
    """Return a password that needs no escaping in a URL or a configuration file."""
    return secrets.token_hex(_PASSWORD_BYTES)


def read_state(home: Path) -> State | None:
    """Return the state of a home; None where there is none, or it is that of the home it was copied from."""
    try:
        state = State.model_validate_json((home / _STATE).read_bytes())
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise ServicesError(
            f"{home} belongs to another user; set RUNFERRY_HOME to a folder of your own."
        ) from error
    except OSError as error:
        raise explain_os_error(error, home) from error
    except ValidationError as error:
        raise ServicesError(
            f"{home / _STATE} can't be read. Stop what runs from {home}, move the folder away and start again."
        ) from error
    if state.home == home:
        return state
    if (state.home / _STATE).exists():
        return None
    # Moved as a whole: what lay in the old home lies in the new one.
    folder = state.postgres_folder
    if folder.is_relative_to(state.home):
        folder = home / folder.relative_to(state.home)
    return state.model_copy(update={"home": home, "postgres_folder": folder})


def write_state(state: State) -> None:
    """Keep the state, for its owner's eyes only; a reader sees the old one or the new one."""
    write_private(state.home / _STATE, state.model_dump_json(indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file for its owner's eyes only, whole or not at all."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.unlink(missing_ok=True)
        with os.fdopen(
            os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def locked(home: Path, account: Account) -> Iterator[None]:
    """Make the home where it is missing, and keep others from starting or stopping its services meanwhile."""
    try:
        if not home.exists():
            home.parent.mkdir(parents=True, exist_ok=True)
            # Another account must get through to its own folder inside; what is in it is private all the same.
            home.mkdir(mode=0o711 if account.lent else 0o700, exist_ok=True)
        lock = os.open(home / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise explain_os_error(error, home) from error
    try:
        # The kernel lets go of it whenever the holder dies, so there is no stale lock.
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise explain_os_error(error, home) from error
    finally:
        os.close(lock)


def explain_os_error(error: OSError, home: Path) -> ServicesError:
    """Return the sentence for what the file system refused."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ServicesError(f"The disk that holds {home} is full; make room and start again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ServicesError(
            f"{home} can't be written ({error.strerror}); set RUNFERRY_HOME to a folder of your own."
        )
    return ServicesError(f"The embedded services in {home} can't be used: {error}.")
