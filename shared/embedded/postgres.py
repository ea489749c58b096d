"""The embedded PostgreSQL: made, started, asked and stopped by hand, with the wheel's programs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from shared.embedded import processes
from shared.embedded.account import Account
from shared.embedded.binaries import POSTGRES_MAJOR
from shared.embedded.waiting import wait_until
from shared.errors import ServicesError

USER: Final = "runferry"
DATABASE: Final = "runferry"
#: Only names the socket: nothing listens on TCP.
PORT: Final = 5432

_PROGRAM: Final = "postgres"
_SETTINGS_FILE: Final = "runferry.conf"
_MAX_LOG_BYTES: Final = 10 * 1024 * 1024
#: Recovery after a crash replays the log since the last checkpoint, at most `max_wal_size` of it.
_START_DEADLINE_S: Final = 120.0
_STOP_PATIENCE_S: Final = 60.0
_ORPHANS_DEADLINE_S: Final = 15.0
_INITDB_DEADLINE_S: Final = 120.0
_ACCEPTING: Final = 0
_FULL: Final = "No space left on device"

#: For a small machine (two cores) that it shares with workers and a producer.
_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """One PostgreSQL server: its programs, its folder (data and log inside), its socket's folder, its account."""

    programs: Path
    folder: Path
    sockets: Path
    account: Account
    password: str

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "postgres.log"

    @property
    def _socket(self) -> Path:
        return self.sockets / f".s.PGSQL.{PORT}"

    def answers(self) -> bool:
        """Whether it takes connections now."""
        # Asked by its program rather than by a socket alone: a server that still recovers has a socket, too.
        asked = subprocess.run(
            [self.programs / "pg_isready", "-q", "-h", self.sockets, "-p", str(PORT), "-t", "5"],
            check=False,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return asked.returncode == _ACCEPTING

    def process(self) -> psutil.Process | None:
        """Return the server's process, verified to be this server's."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None
        return process if processes.is_server(process, _PROGRAM, self.data) else None

    def start(self, settings: Mapping[str, str]) -> None:
        """Start the server where it doesn't run, its data folder made if need be; returns when it answers."""
        if not self.data.exists():
            self._make_data()
        self._check_version()
        if self._adopt():
            return
        self._clear_remains()
        self._write_settings({**_SETTINGS, **settings})
        self._rotate_log()
        offset = self.log.stat().st_size if self.log.exists() else 0
        started = processes.launch(
            [self.programs / _PROGRAM, "-D", self.data], self.data, self.log, **self.account.process_arguments()
        )
        wait_until(lambda: self.answers() or processes.has_ended(started), _START_DEADLINE_S)
        if not self.answers():
            raise self._failure("did not start", self._log_since(offset))

    def ensure_database(self) -> None:
        """Create the database where it is missing."""
        if self._has_database():
            return
        try:
            self._ask(f"CREATE DATABASE {DATABASE}")
        except ServicesError:
            # A command was killed while it made the database: the server made it to the end, by now.
            if not self._has_database():
                raise

    def stop(self) -> None:
        """Stop the server with a checkpoint; sessions are ended."""
        process = self.process()
        if process is None:
            return
        # SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one, which recovers at the next start.
        if not processes.end(process, [signal.SIGINT, signal.SIGQUIT], _STOP_PATIENCE_S):
            raise ServicesError(f"PostgreSQL (process {process.pid}) does not stop; its log: {self.log}.")

    def version(self) -> str:
        """Return the version of the programs, as `18.1`."""
        said = subprocess.run([self.programs / _PROGRAM, "--version"], check=True, capture_output=True, text=True)
        return said.stdout.split()[-1]

    def _has_database(self) -> bool:
        return DATABASE in self._ask("SELECT datname FROM pg_database").splitlines()

    def _make_data(self) -> None:
        made = self.folder / "data.new"
        password_file = self.folder / "password.new"
        shutil.rmtree(made, ignore_errors=True)
        password_file.unlink(missing_ok=True)
        with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self.password + "\n")
        self.account.own(password_file)
        try:
            done = subprocess.run(
                [
                    self.programs / "initdb", "--pgdata", made, "--username", USER, "--pwfile", password_file,
                    "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8", "--no-instructions",
                ],
                check=False, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, timeout=_INITDB_DEADLINE_S,
                env=_plain_environment(self.folder), **self.account.process_arguments(),
            )  # fmt: skip
        finally:
            password_file.unlink(missing_ok=True)
        if done.returncode != 0:
            shutil.rmtree(made, ignore_errors=True)
            raise self._failure("could not make its data folder", done.stdout)
        with (made / "postgresql.conf").open("a") as file:
            file.write(f"\ninclude = '{_SETTINGS_FILE}'\n")
        # A killed command leaves a half-made folder under the other name only.
        made.rename(self.data)

    def _check_version(self) -> None:
        major = (self.data / "PG_VERSION").read_text().strip()
        if major != POSTGRES_MAJOR:
            raise ServicesError(
                f"The data in {self.data} were made by PostgreSQL {major}, and this is {POSTGRES_MAJOR}; "
                "make a backup with the runferry that made them, move the folder away and restore."
            )

    def _adopt(self) -> bool:
        """Whether a server of this data folder runs already; one that lost its socket is stopped."""
        if self.process() is None:
            # A command that was killed right after the launch: the server has not written its process id yet.
            wait_until(
                lambda: self.process() is not None or not processes.servers(_PROGRAM, self.data),
                _ORPHANS_DEADLINE_S,
            )
        if self.process() is None:
            return False
        wait_until(lambda: self.answers() or self.process() is None or self._lost_socket(), _START_DEADLINE_S)
        if self.answers():
            return True
        self.stop()
        return False

    def _lost_socket(self) -> bool:
        """Whether the server believes that it is ready where no socket is."""
        with contextlib.suppress(OSError):
            return (self.data / "postmaster.pid").read_text().rstrip().endswith(
                "ready"
            ) and not self._socket.exists()
        return False

    def _clear_remains(self) -> None:
        """Take away what a killed server left: its children, and a process id that may be another's now."""
        for orphan in processes.servers(_PROGRAM, self.data):
            processes.end(orphan, [signal.SIGQUIT, signal.SIGKILL], _ORPHANS_DEADLINE_S)
        # PostgreSQL takes the ids in these for alive where another process, or a zombie, has them now. Nothing of
        # this data folder runs, and the socket's folder is this server's alone.
        for remain in (
            self.data / "postmaster.pid",
            self._socket,
            self._socket.with_name(f"{self._socket.name}.lock"),
        ):
            remain.unlink(missing_ok=True)

    def _write_settings(self, settings: Mapping[str, str]) -> None:
        path = self.data / _SETTINGS_FILE
        values = {**settings, "unix_socket_directories": str(self.sockets), "port": str(PORT)}
        lines = ["# Written at every start; put your own settings into postgresql.conf, after the include."]
        lines += [f"{name} = '{_escaped(value)}'" for name, value in values.items()]
        path.unlink(missing_ok=True)
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o600)
        self.account.own(path)

    def _rotate_log(self) -> None:
        if self.log.exists() and self.log.stat().st_size > _MAX_LOG_BYTES:
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))

    def _log_since(self, offset: int) -> str:
        try:
            with self.log.open("rb") as file:
                file.seek(offset)
                return file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def _ask(self, sql: str) -> str:
        asked = subprocess.run(
            [self.programs / "psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", self.sockets,
             "-p", str(PORT), "-U", USER, "-d", "postgres", "-c", sql],
            check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            env=_plain_environment(self.folder) | {"PGPASSWORD": self.password},
        )  # fmt: skip
        if asked.returncode != 0:
            raise self._failure("refused its own password or is broken", asked.stderr)
        return asked.stdout.strip()

    def _failure(self, what: str, said: str) -> ServicesError:
        if _FULL in said:
            return ServicesError(f"The disk that holds {self.folder} is full; make room and start again.")
        return ServicesError(f"The embedded PostgreSQL {what}: {_reason(said)} Its log: {self.log}.")


def _reason(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"\b(FATAL|PANIC|error|ERROR)\b", line)]
    reason = (telling or lines or ["it said nothing."])[-1]
    return re.sub(r"^.*?(FATAL|PANIC|ERROR|error):\s*", "", reason).rstrip(".") + "."


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _plain_environment(home: Path) -> dict[str, str]:
    """The caller's PG* variables would lead psql and initdb elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"HOME": str(home), "LC_ALL": "C"}
