"""Passwords are in no line, document, process list or file that others may read, whatever goes well or wrong."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import psutil
import pytest
import structlog
from click.testing import CliRunner
from real_workers import REPOSITORY, Site

from benchmarks.tree import generate
from ops.command import main as ops
from producers.command import main as producer
from shared import log
from shared.broker.client import make_client
from shared.database_url import DatabaseAddress
from shared.errors import SettingsError
from shared.secrets import hide_passwords, hider
from shared.settings import Settings

#: With what must be escaped in a URL, in JSON, in SQL and in a shell.
DATABASE_SECRET = 'Da7a"base/S3cr@t?%#'
REDIS_SECRET = "Qu3ue:S3cr@t/%"
FORMS = tuple(
    form
    for secret in (DATABASE_SECRET, REDIS_SECRET)
    for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])
)


def leaks(text: str) -> list[str]:
    """Return the forms of the secrets that a text holds."""
    return [form for form in FORMS if form in text]


@pytest.fixture
def addresses(site: Site) -> Iterator[dict[str, str]]:
    """Both stores, by users with these passwords."""
    site.do("DROP ROLE IF EXISTS leaky")
    site.do(f"CREATE ROLE leaky SUPERUSER LOGIN PASSWORD '{DATABASE_SECRET}'")
    site.broker.client.execute_command("ACL", "SETUSER", "leaky", "on", f">{REDIS_SECRET}", "~*", "&*", "+@all")
    database, queue = site.database_url.partition("@")[2], urlsplit(site.redis_url)
    yield {
        "DATABASE_URL": f"postgresql://leaky:{quote(DATABASE_SECRET, safe='')}@{database}",
        "REDIS_URL": f"unix://leaky:{quote(REDIS_SECRET, safe='')}@{queue.path}?{queue.query}",
    }
    site.stop_workers()
    site.broker.client.execute_command("ACL", "DELUSER", "leaky")
    site.do("DROP ROLE leaky")


@contextmanager
def watched_processes() -> Iterator[dict[int, str]]:
    """Yield the command lines of all processes that run meanwhile."""
    seen: dict[int, str] = {}
    ending = threading.Event()

    def look() -> None:
        while not ending.wait(0.005):
            for pid in psutil.pids():
                try:
                    text = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                # A process may become another program.
                if text not in seen.get(pid, ""):
                    seen[pid] = seen.get(pid, "") + text

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        ending.set()
        looking.join()


def test_what_a_migration_says_and_leaves_behind_holds_no_password(
    site: Site, addresses: dict[str, str], tmp_path: Path
) -> None:
    root, said = site.settings.root, []
    generate(root, 2)
    loud = {**addresses, "RUNFERRY_LOG_LEVEL": "debug", "RUNFERRY_TRACEBACK": "1"}
    environment = {**site.environment(**loud), "RUNFERRY_PHASE": "db-only"}

    def run(command: object, *words: object) -> None:
        ended = CliRunner(env=environment).invoke(command, list(map(str, words)))  # type: ignore[arg-type]
        said.append(f"{words}: {ended.exit_code} {ended.stdout} {ended.stderr} {ended.exception!r}")
        assert ended.exit_code in (0, 1), said[-1]

    with watched_processes() as processes:
        worker = subprocess.Popen(
            [sys.executable, "-m", "workers.command", "--processes", "1", "--scheduler"],
            env={**environment, "PYTHONPATH": str(REPOSITORY)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            run(producer, "backfill", "--all", "--settle", "0s", "--wait", "--run-workers", "1", "--json")
            run(ops, "status", "--json")
            run(ops, "doctor")
            run(ops, "reconcile", "--all", "--json")
            run(ops, "phase", "show")
            run(ops, "dlq", "list", "--json")
            run(ops, "backup", "--to", tmp_path / "backups", "--json")
            (backup,) = (tmp_path / "backups").iterdir()
            run(ops, "restore", backup, "--into", f"{site.value('SELECT current_database()')}_copy", "--json")
        finally:
            worker.terminate()
            said.append(worker.communicate(timeout=60)[0])
            site.do(f'DROP DATABASE IF EXISTS "{site.value("SELECT current_database()")}_copy" WITH (FORCE)')

    lines = "\n".join(processes.values())
    for program in ("workers.process", "workers.scheduler", "pg_dump", "pg_restore"):
        assert program in lines, f"{program} was not seen"
    assert leaks(lines) == []
    assert leaks("\n".join(said)) == [], [text for text in said if leaks(text)]
    for path in (*tmp_path.rglob("*.json"), *tmp_path.rglob("*.log"), *site.settings.home.rglob("*")):
        if path.is_file():
            assert leaks(path.read_bytes().decode(errors="replace")) == [], path
    for key in site.broker.client.scan_iter("*"):
        if site.broker.client.type(key) == b"string":
            assert leaks((site.broker.client.get(key) or b"").decode(errors="replace")) == [], key
    for table in ("audit", "delivery", "backup", "reconcile_report"):
        assert leaks(str(site.rows(f"SELECT * FROM runferry.{table}"))) == [], table


#: Each spoils one of the addresses.
MISTAKES = {
    "another password": ("DATABASE_URL", lambda url: url.replace("@", "x@", 1)),
    "another password for Redis": ("REDIS_URL", lambda url: url.replace("@", "x@", 1)),
    "no such database": ("DATABASE_URL", lambda url: url.replace("/test_", "/missing_", 1)),
    "a port that is none": ("DATABASE_URL", lambda url: f"postgresql://leaky:{DATABASE_SECRET}@host:port/db"),
    "an unescaped password": ("DATABASE_URL", lambda url: f"postgresql://leaky:{DATABASE_SECRET}@localhost:1/db"),
    "an unescaped password of Redis": ("REDIS_URL", lambda url: f"redis://leaky:{REDIS_SECRET}@localhost:1/0"),
    "a password in the query": ("REDIS_URL", lambda url: f"redis://localhost:1/0?password={quote(REDIS_SECRET)}"),
    "a password in PostgreSQL's query": (
        "DATABASE_URL",
        lambda url: f"postgresql://localhost:1/db?user=u&password={quote(DATABASE_SECRET)}",
    ),
    "nobody there": (
        "DATABASE_URL",
        lambda url: f"postgresql://u:{quote(DATABASE_SECRET, safe='')}@localhost:1/db",
    ),
    "nobody there either": ("REDIS_URL", lambda url: f"redis://:{quote(REDIS_SECRET, safe='')}@localhost:1/0"),
    "a scheme that is none": ("REDIS_URL", lambda url: f"http://:{quote(REDIS_SECRET, safe='')}@localhost/0"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_no_mistake_in_an_address_shows_its_password(site: Site, addresses: dict[str, str], mistake: str) -> None:
    name, spoil = MISTAKES[mistake]
    environment = {**site.environment(**addresses), name: spoil(addresses[name])}
    for command, *words in (
        (ops, "status", "--json"),
        (ops, "doctor", "--json"),
        (ops, "dlq", "list"),
        (ops, "schema", "status"),
        (ops, "backup", "--to", site.folder / "backups"),
        (producer, "backfill", "--all", "--root", site.settings.root, "--dry-run"),
        (producer, "outbox", "status"),
    ):
        ended = CliRunner(env=environment).invoke(command, list(map(str, words)))
        shown = f"{ended.stdout} {ended.stderr} {ended.exception!r}"
        assert leaks(shown) == [], (words, shown)
        assert isinstance(ended.exception, SystemExit | None), (words, shown)


@pytest.mark.parametrize("url", [f"redis://:{REDIS_SECRET}@host:6379/0", f"redis://:x@host:{REDIS_SECRET}/0"])
def test_an_address_that_cannot_be_read_is_not_quoted(url: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        make_client(url, timeout_s=1, retried=False)
    assert leaks(str(refusal.value)) == []


@pytest.mark.parametrize("people", ["text", "json"])
def test_a_password_of_the_settings_is_in_no_log_line_wherever_it_stands(people: str) -> None:
    settings = Settings.from_environment(
        database_url=f"postgresql://u:{quote(DATABASE_SECRET, safe='')}@db/x",
        redis_url=f"redis://queue/0?password={quote(REDIS_SECRET, safe='')}",
        log_format=people,
    )
    stream, handlers, level = io.StringIO(), logging.getLogger().handlers[:], logging.getLogger().level
    try:
        log.configure(settings, stream)
        try:
            raise ValueError(f"refused {DATABASE_SECRET}")
        except ValueError:
            log.get_logger("a").exception("lost", secret=REDIS_SECRET, both=[DATABASE_SECRET, REDIS_SECRET])
        logging.getLogger("library").warning("it said %r and %s", DATABASE_SECRET, REDIS_SECRET)
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
        structlog.reset_defaults()
    assert "***" in stream.getvalue()
    assert leaks(stream.getvalue()) == [], stream.getvalue()


def test_passwords_of_other_urls_are_hidden_and_short_ones_do_no_harm() -> None:
    assert hide_passwords("at redis://q:pw@h/0 and http://h/?a=1&password=pw2&b=2") == (
        "at redis://q:***@h/0 and http://h/?a=1&password=***&b=2"
    )
    hide = hider(Settings.from_environment(database_url="postgresql://u:a@db/x", redis_url="redis://q/0"))
    assert hide("a word") == "a word"
    line = '{"url":"redis://q:p@w@h/0","mail":"ann@example"}'
    assert hide_passwords(line) == '{"url":"redis://q:***@h/0","mail":"ann@example"}'


def test_the_files_of_the_embedded_services_with_passwords_are_their_owners_alone(
    site: Site, services: object
) -> None:
    password = DatabaseAddress.parse(site.database_url).dsn.split(":")[2].split("@")[0]
    home: Path = services.home  # type: ignore[attr-defined]
    holding = [path for path in home.rglob("*") if path.is_file() and path.stat().st_size < 1_000_000
               and not path.is_relative_to(home / "postgres") and password.encode() in path.read_bytes()]  # fmt: skip
    assert holding
    assert [path for path in holding if path.stat().st_mode & 0o077] == []
