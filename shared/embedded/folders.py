"""Where the embedded services keep data and sockets: no existing folder's rights ever change for it."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shared.embedded.account import Account
from shared.embedded.binaries import SYSTEM_FOLDER
from shared.embedded.home import home_key
from shared.errors import ServicesError

#: PostgreSQL allows 1,024 bytes for a path; its own file names need some of them.
_MAX_DATA_PATH_BYTES: Final = 900
#: A socket's path may have 107 bytes (103 on macOS), its file name among them.
_MAX_SOCKET_FOLDER_BYTES: Final = 80


def choose_postgres_folder(home: Path, account: Account) -> Path:
    """Return the folder for PostgreSQL's data: in the home, or elsewhere when its account can't get there."""
    inside = home / "postgres"
    if len(os.fsencode(inside)) <= _MAX_DATA_PATH_BYTES and account.reaches(home):
        return inside
    if account.lent:
        SYSTEM_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        return SYSTEM_FOLDER / home_key(home)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "runferry" / home_key(home)


def make_private(folder: Path, account: Account) -> bool:
    """Make `folder` for the account alone; False where something else is there, or it can't be made."""
    try:
        folder.mkdir(mode=0o700, parents=False)
    except FileExistsError:
        found = folder.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid and not found.st_mode & 0o077
    except OSError:
        return False
    account.own(folder)
    return True


def choose_sockets(home: Path, recorded: Path | None, postgres: Account, redis: Account) -> Path:
    """Return the path that `postgres_sockets` and `redis_sockets` extend; both folders exist then.

    The folder is short and apart from the home, whose path may be too long for a socket.
    """
    for base in _candidates(home, recorded):
        if len(os.fsencode(base)) > _MAX_SOCKET_FOLDER_BYTES or not postgres.reaches(base.parent):
            continue
        if make_private(postgres_sockets(base), postgres) and make_private(redis_sockets(base), redis):
            return base
    raise ServicesError("There is no place for private sockets; set TMPDIR to a folder with a short path.")


def remove_sockets(base: Path) -> None:
    """Take away both folders of sockets once nothing listens there; the next start makes them again."""
    for folder in (postgres_sockets(base), redis_sockets(base)):
        # Killed servers leave their sockets. A folder that is not ours is not ours to remove, either.
        with contextlib.suppress(OSError):
            for left in folder.iterdir():
                if left.is_socket() or left.suffix == ".lock":
                    left.unlink()
            folder.rmdir()


def postgres_sockets(base: Path) -> Path:
    """Return the folder of PostgreSQL's socket."""
    return base.with_name(f"{base.name}-postgres")


def redis_sockets(base: Path) -> Path:
    """Return the folder of Redis' socket."""
    return base.with_name(f"{base.name}-redis")


def _candidates(home: Path, recorded: Path | None) -> Iterator[Path]:
    if recorded is not None:
        yield recorded
    name = f"runferry-{home_key(home)}"
    # A name that somebody else has taken there is never used: see make_private.
    temporary = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108
    yield from (folder / name for folder in temporary)
    # Someone else holds that name: another one, which the state keeps.
    yield from (folder / f"{name}-{secrets.token_hex(2)}" for folder in temporary)
