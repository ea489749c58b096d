"""Who PostgreSQL runs as: it refuses to run as root, so root lends it an unprivileged account."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shared.errors import ServicesError

_UNPRIVILEGED: Final = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """An account that a server runs as; `lent` when it is not the caller's own."""

    uid: int
    gid: int
    lent: bool

    def process_arguments(self) -> dict[str, Any]:
        """Return what `subprocess` takes to run as this account, with files that are its own alone."""
        arguments: dict[str, Any] = {"umask": 0o077}
        if self.lent:
            arguments |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return arguments

    def own(self, path: Path) -> None:
        """Hand a file or folder that the caller just made to this account."""
        if self.lent:
            os.chown(path, self.uid, self.gid)

    def reaches(self, folder: Path) -> bool:
        """Whether this account can go into `folder`; asks the system itself, so that ACLs count."""
        return self._test("-x", folder)

    def executes(self, program: Path) -> bool:
        """Whether this account can run `program`."""
        return self._test("-x", program)

    def _test(self, operator: str, path: Path) -> bool:
        if not self.lent:
            return os.access(path, os.X_OK)
        try:
            answer = subprocess.run(
                ["test", operator, path],
                check=False,
                cwd="/",
                stderr=subprocess.DEVNULL,
                **self.process_arguments(),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise ServicesError(
                f"PostgreSQL refuses to run as root, and this process can't become {_UNPRIVILEGED!r} ({error}); "
                "run as an ordinary user, or set DATABASE_URL and REDIS_URL."
            ) from error
        return answer.returncode == 0


def server_account() -> Account:
    """Return the account for PostgreSQL: the caller's, or for root `nobody`."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), lent=False)
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise ServicesError(
            f"PostgreSQL refuses to run as root, and this machine has no user {_UNPRIVILEGED!r} for it; "
            "run as an ordinary user, or set DATABASE_URL and REDIS_URL."
        ) from None
    return Account(entry.pw_uid, entry.pw_gid, lent=True)
