"""Embedded services: one pair a home, private, durable, and whole again after every kind of kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from shared import embedded
from shared.embedded import processes, services
from shared.embedded.account import Account
from shared.embedded.folders import choose_sockets, make_private
from shared.embedded.home import explain_os_error, read_state
from shared.embedded.postgres import Postgres
from shared.embedded.waiting import wait_until
from shared.errors import ServicesError

DEADLINE_S = 30.0
OWN = Account(os.geteuid(), os.getegid(), lent=False)


def query(services: embedded.EmbeddedServices, sql: str) -> object:
    async def ask() -> object:
        connection = await asyncpg.connect(services.database_url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(ask())


def remember(services: embedded.EmbeddedServices) -> None:
    query(services, "CREATE TABLE kept AS SELECT 42 AS answer")
    with redis.Redis.from_url(services.redis_url) as client:
        client.set("answer", "42")


def assert_remembered(services: embedded.EmbeddedServices) -> None:
    assert query(services, "SELECT answer FROM kept") == 42
    with redis.Redis.from_url(services.redis_url) as client:
        assert client.get("answer") == b"42"


def pids(services: embedded.EmbeddedServices) -> tuple[int, int]:
    assert services.postgres.pid is not None
    assert services.redis.pid is not None
    return services.postgres.pid, services.redis.pid


def kill(pid: int) -> None:
    process = psutil.Process(pid)
    process.kill()
    assert wait_until(lambda: processes.has_ended(process), DEADLINE_S)


def test_data_survive_stop_and_start(folder: Path) -> None:
    home = folder / ".runferry"
    first = embedded.start(home)
    remember(first)

    assert embedded.stop(home)
    stopped = embedded.status(home)
    assert stopped is not None
    assert (stopped.running, stopped.postgres.pid, stopped.redis.pid) == (False, None, None)
    assert not embedded.stop(home)

    again = embedded.start(home)
    assert (again.database_url, again.redis_url) == (first.database_url, first.redis_url)
    assert_remembered(again)


def test_stopped_services_leave_no_sockets_behind(folder: Path) -> None:
    embedded.start(folder / ".runferry")
    state = read_state(folder / ".runferry")
    assert state is not None

    embedded.stop(folder / ".runferry")

    assert list(state.sockets.parent.glob(f"{state.sockets.name}*")) == []


def test_a_home_without_services_has_no_status_and_nothing_to_stop(folder: Path) -> None:
    assert embedded.status(folder / "none") is None
    assert not embedded.stop(folder / "none")
    assert not (folder / "none").exists()


def test_commands_that_start_at_once_share_one_pair(
    folder: Path, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    home = folder / ".runferry"
    code = (
        "from pathlib import Path; from shared import embedded; import os;"
        "found = embedded.start(Path(os.environ['TEST_HOME']));"
        "print(found.postgres.pid, found.redis.pid, found.database_url)"
    )
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: run_python(code, TEST_HOME=str(home)), range(4)))

    assert [process.stderr for process in done] == [""] * 4
    assert len({process.stdout for process in done}) == 1
    assert len(processes.servers("redis-server", home / "redis")) == 1


@pytest.mark.parametrize(
    "made", ["services.json", "postgres/data.new", "postgres/data/postmaster.pid", "redis", "redis/redis.log"]
)
def test_a_killed_command_leaves_nothing_broken(folder: Path, made: str) -> None:
    home = folder / ".runferry"
    code = f"from pathlib import Path; from shared import embedded; embedded.start(Path({str(home)!r}))"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as command:
        assert wait_until((home / made).exists, DEADLINE_S)
        # Where it was quicker than this kill, nothing is left of it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)

    services = embedded.start(home)

    remember(services)
    assert_remembered(services)
    assert len(processes.servers("redis-server", home / "redis")) == 1


def test_a_database_that_a_killed_command_was_still_making_is_taken_as_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Postgres._ask

    def ask_after_the_killed(postgres: Postgres, sql: str) -> str:
        if sql.startswith("CREATE DATABASE"):
            ask(postgres, sql)
        return ask(postgres, sql)

    monkeypatch.setattr(Postgres, "_ask", ask_after_the_killed)

    services = embedded.start(folder / ".runferry")

    remember(services)
    assert_remembered(services)


def test_killed_servers_come_back_with_their_data(folder: Path) -> None:
    home = folder / ".runferry"
    services = embedded.start(home)
    remember(services)
    for pid in pids(services):
        kill(pid)

    again = embedded.start(home)

    assert_remembered(again)
    assert set(pids(again)).isdisjoint(pids(services))


def test_a_stale_process_id_of_somebody_else_is_neither_believed_nor_killed(folder: Path) -> None:
    home = folder / ".runferry"
    services = embedded.start(home)
    remember(services)
    embedded.stop(home)
    with subprocess.Popen(["sleep", "600"]) as stranger:
        pid_file = services.postgres.data / "postmaster.pid"
        pid_file.write_text(f"{stranger.pid}\n{services.postgres.data}\n1\n5432\n/tmp\n\n0 0\nready\n")
        os.chown(pid_file, services.postgres.data.stat().st_uid, -1)
        try:
            assert embedded.status(home).postgres.pid is None  # type: ignore[union-attr]
            assert not embedded.stop(home)
            again = embedded.start(home)

            assert_remembered(again)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_lost_sockets_are_recovered(folder: Path) -> None:
    home = folder / ".runferry"
    services = embedded.start(home)
    remember(services)
    state = read_state(home)
    assert state is not None
    for name in ("postgres", "redis"):
        shutil.rmtree(state.sockets.with_name(f"{state.sockets.name}-{name}"))

    again = embedded.start(home)

    assert_remembered(again)
    assert again.database_url == services.database_url
    assert not psutil.pid_exists(pids(services)[0]) or pids(again)[0] != pids(services)[0]


def test_stale_sockets_are_recovered(folder: Path) -> None:
    home = folder / ".runferry"
    services = embedded.start(home)
    remember(services)
    for pid in pids(services):
        kill(pid)
    state = read_state(home)
    assert state is not None
    assert (state.sockets.with_name(f"{state.sockets.name}-redis") / "redis.sock").exists()

    assert_remembered(embedded.start(home))


def test_a_place_for_sockets_that_somebody_else_has_taken_is_left_alone(folder: Path) -> None:
    taken = folder / "sockets"
    taken.with_name("sockets-postgres").mkdir(mode=0o777)

    chosen = choose_sockets(folder / ".runferry", taken, OWN, OWN)

    assert chosen != taken
    assert make_private(chosen.with_name(f"{chosen.name}-redis"), OWN)
    for name in ("postgres", "redis"):
        chosen.with_name(f"{chosen.name}-{name}").rmdir()


@pytest.mark.parametrize("name", ["with space and ümlaut $(touch pwned) 'quotes\"", "/".join(["long" * 15] * 6)])
def test_odd_and_long_paths_work(folder: Path, name: str) -> None:
    home = folder / name / ".runferry"

    services = embedded.start(home)

    remember(services)
    embedded.stop(home)
    assert_remembered(embedded.start(home))


def test_a_path_that_is_too_long_for_postgresql_has_its_data_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    # Redis' own buffer for its working folder has 1,024 bytes.
    home = folder / "/".join(["long" * 15] * 17) / ".runferry"

    services = embedded.start(home)

    assert not services.postgres.data.is_relative_to(home)
    remember(services)
    assert_remembered(services)


def test_a_home_that_moved_keeps_its_data(folder: Path) -> None:
    remember(embedded.start(folder / "old"))
    embedded.stop(folder / "old")
    (folder / "old").rename(folder / "new")

    assert_remembered(embedded.start(folder / "new"))


def test_a_copied_home_shares_no_server_with_the_first(folder: Path) -> None:
    first = embedded.start(folder / "first")
    remember(first)
    (folder / "second").mkdir(mode=0o711)
    shutil.copy(folder / "first" / "services.json", folder / "second")

    second = embedded.start(folder / "second")

    assert second.database_url != first.database_url
    assert second.postgres.data != first.postgres.data
    assert_remembered(first)


def test_the_rights_of_what_was_there_do_not_change(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    before = [(path, path.stat().st_mode) for path in (folder, closed, *folder.parents)]

    services = embedded.start(closed / ".runferry")

    assert [(path, path.stat().st_mode) for path in (folder, closed, *folder.parents)] == before
    remember(services)
    assert_remembered(services)


def test_everything_private_is_its_owners_alone(folder: Path) -> None:
    home = folder / ".runferry"
    services = embedded.start(home)
    state = read_state(home)
    assert state is not None
    private = [
        home / "services.json",
        services.passfile,
        services.redis.data,
        services.redis.data / "redis.conf",
        services.postgres.data,
        services.postgres.data / "postgresql.conf",
        *(state.sockets.with_name(f"{state.sockets.name}-{name}") for name in ("postgres", "redis")),
    ]

    assert [path for path in private if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    assert state.password not in f"{state!r}{state}{services!r}"
    for pid in pids(services):
        assert state.password not in " ".join(psutil.Process(pid).cmdline())
        assert psutil.Process(pid).net_connections("inet") == []


def test_the_password_is_asked_for(folder: Path) -> None:
    services = embedded.start(folder / ".runferry")
    state = read_state(services.home)
    assert state is not None

    async def connect_with(password: str) -> None:
        await asyncpg.connect(services.database_url.replace(state.password, password))

    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(connect_with("wrong"))
    with (
        redis.Redis.from_url(services.redis_url.replace(f":{state.password}@", "")) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_postgresql_and_redis_are_set_to_lose_nothing(folder: Path) -> None:
    services = embedded.start(folder / ".runferry")

    assert [query(services, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")] == [
        "on"
    ] * 3
    assert str(query(services, "SHOW server_version")).startswith("18.")
    with redis.Redis.from_url(services.redis_url) as client:
        wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
        assert {name: client.config_get(name)[name] for name in wanted} == wanted
        assert int(client.config_get("maxmemory")["maxmemory"]) > 0


ORDINARY_USER = """
import os, pwd, json, shutil
from pathlib import Path
from shared import embedded
from shared.embedded import services
from shared.embedded.account import server_account
from shared.embedded.binaries import Binaries, find_binaries, programs_for
# Root's interpreter and environment may be closed to others: what is used later is loaded, and the programs are put
# where an ordinary user has them, while they are open.
rehearsal, home = Path(os.environ["TEST_REHEARSAL"]), Path(os.environ["TEST_HOME"])
embedded.start(rehearsal)
embedded.stop(rehearsal)
if os.geteuid() == 0:
    wheel = find_binaries()
    server = Path(shutil.copy(wheel.redis_server, home.parent))
    reachable = Binaries(programs_for(wheel, server_account()), server)
    services.find_binaries = lambda: reachable
    nobody = pwd.getpwnam("nobody")
    os.setgroups([]); os.setgid(nobody.pw_gid); os.setuid(nobody.pw_uid)
found = embedded.start(home)
print(json.dumps({"uid": os.geteuid(), "owners": sorted({path.stat().st_uid for path in home.rglob("*")}),
    "data": str(found.postgres.data), "running": found.running, "stopped": embedded.stop(home)}))
"""


def test_an_ordinary_user_has_everything_in_the_home(
    folder: Path, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    home = folder / "open" / ".runferry"
    home.parent.mkdir()
    home.parent.chmod(0o777)

    done = run_python(ORDINARY_USER, TEST_HOME=str(home), TEST_REHEARSAL=str(folder / "rehearsal"))

    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert said["uid"] != 0
    assert said["owners"] == [said["uid"]]
    assert said["data"] == str(home / "postgres" / "data")
    assert said["running"]
    assert said["stopped"]


def test_a_home_that_cant_be_written_is_told(folder: Path) -> None:
    (folder / "file").write_text("")

    with pytest.raises(ServicesError, match="can't be used"):
        embedded.start(folder / "file" / ".runferry")


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    error = explain_os_error(OSError(28, "No space left on device"), tmp_path)

    assert str(error) == f"The disk that holds {tmp_path} is full; make room and start again."


def test_a_server_that_does_not_start_is_told_with_its_reason_and_log(folder: Path) -> None:
    home = folder / ".runferry"

    with pytest.raises(ServicesError, match=r"did not start: .*runferry\.conf.* Its log: .*postgres\.log\.$"):
        embedded.start(home, postgres_settings={"shared_buffers": "nonsense"})
    with pytest.raises(ServicesError, match=r"Redis did not start: .* Its log: .*redis\.log\.$"):
        embedded.start(home, redis_settings={"appendfsync": "nonsense"})

    assert embedded.start(home).running


def test_data_of_another_postgresql_are_told(folder: Path) -> None:
    home = folder / ".runferry"
    services = embedded.start(home)
    embedded.stop(home)
    version = services.postgres.data / "PG_VERSION"
    version.write_text("17\n")

    with pytest.raises(ServicesError, match="were made by PostgreSQL 17, and this is 18"):
        embedded.start(home)
    version.write_text("18\n")


def test_a_home_of_another_user_is_told_and_left_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = folder / ".runferry"
    embedded.start(home)
    embedded.stop(home)
    before = sorted((path, path.stat().st_mtime_ns) for path in home.iterdir())
    monkeypatch.setattr(services, "server_account", lambda: Account(12345, 12345, lent=False))
    monkeypatch.setattr(Account, "executes", lambda self, program: True)

    with pytest.raises(ServicesError, match=r"belongs to the user with id \d+; run as that user"):
        embedded.start(home)

    monkeypatch.undo()
    assert sorted((path, path.stat().st_mtime_ns) for path in home.iterdir()) == before


def test_lost_data_are_told_and_never_made_anew(folder: Path) -> None:
    home = folder / ".runferry"
    services = embedded.start(home)
    embedded.stop(home)
    shutil.rmtree(services.postgres.data.parent)

    with pytest.raises(ServicesError, match=r"is gone; bring it back, or move .* away"):
        embedded.start(home)


def test_a_missing_extra_is_told(
    folder: Path, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    code = (
        "import importlib.util as u; from pathlib import Path; from shared import embedded\n"
        "from shared.errors import ServicesError\n"
        "u.find_spec = lambda name: None\n"
        f"try: embedded.start(Path({str(folder / '.runferry')!r}))\n"
        "except ServicesError as error: print(error)"
    )

    assert "pip install 'runferry[embedded]', or set DATABASE_URL and REDIS_URL" in run_python(code).stdout
