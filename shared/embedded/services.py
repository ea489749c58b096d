"""Starting, asking and stopping the pair of embedded services of a home."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from shared.embedded import folders
from shared.embedded.account import server_account
from shared.embedded.binaries import find_binaries, programs_for
from shared.embedded.home import State, locked, new_password, read_state, write_private, write_state
from shared.embedded.postgres import DATABASE, PORT, USER, Postgres
from shared.embedded.redis_server import RedisServer
from shared.errors import ServicesError

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server: its version, its process (None when it doesn't run), where its data and its log are."""

    version: str
    pid: int | None
    data: Path
    log: Path


@dataclass(frozen=True, slots=True)
class EmbeddedServices:
    """The pair as it stands; the URLs hold the password."""

    home: Path
    running: bool
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    passfile: Path
    programs: Path
    postgres: ServerStatus
    redis: ServerStatus

    @property
    def psql_url(self) -> str:
        """The database's URL for psql and its kin, with the passwords' file instead of the password."""
        server = self.database_url.rpartition("@")[2].partition("?")[0]
        return f"postgresql://{USER}@{server}?passfile={quote(str(self.passfile))}"


def start(
    home: Path, *, postgres_settings: Mapping[str, str] = _NONE, redis_settings: Mapping[str, str] = _NONE
) -> EmbeddedServices:
    """Start the services of `home` where they don't run, and return them once they answer; raises ServicesError.

    Commands that start at the same moment share one pair. The services outlive the caller; the settings go beyond
    runferry's own and count at the next start of a server.
    """
    home = home.absolute()
    pair = _pair(home)
    # Redis is started last: once it answers, the database is there.
    if pair is not None and pair.redis.answers() and pair.postgres.answers():
        return pair.describe()
    with locked(home, server_account()):
        pair = _ready_pair(home.resolve())
        pair.postgres.start(postgres_settings)
        pair.postgres.ensure_database()
        pair.redis.start(redis_settings)
        return pair.describe()


def status(home: Path) -> EmbeddedServices | None:
    """Return the services of `home` as they stand, or None where none were ever started."""
    pair = _pair(home.absolute())
    return None if pair is None else pair.describe()


def stop(home: Path) -> bool:
    """Stop the services of `home` with their data saved; False where none ran."""
    home = home.absolute()
    if read_state(home.resolve()) is None:
        return False
    with locked(home, server_account()):
        pair = _pair(home)
        if pair is None:
            return False
        ran = pair.redis.process() is not None or pair.postgres.process() is not None
        pair.redis.stop()
        pair.postgres.stop()
        folders.remove_sockets(pair.state.sockets)
        return ran


@dataclass(frozen=True, slots=True)
class _Pair:
    state: State
    postgres: Postgres
    redis: RedisServer

    def describe(self) -> EmbeddedServices:
        postgres, redis = self.postgres.process(), self.redis.process()
        sockets = str(self.postgres.sockets)
        return EmbeddedServices(
            home=self.state.home,
            running=self.postgres.answers() and self.redis.answers(),
            # The socket's folder stands there twice: asyncpg and libpq read the first, Prisma the second.
            database_url=(
                f"postgresql://{USER}:{self.state.password}@{quote(sockets, safe='')}:{PORT}/{DATABASE}"
                f"?host={quote(sockets)}"
            ),
            redis_url=self.redis.url,
            passfile=self.state.home / "pgpass",
            programs=self.postgres.programs,
            postgres=ServerStatus(
                self.postgres.version(), postgres.pid if postgres else None, self.postgres.data, self.postgres.log
            ),
            redis=ServerStatus(
                self.redis.version(), redis.pid if redis else None, self.redis.folder, self.redis.log
            ),
        )


def _pair(home: Path) -> _Pair | None:
    state = read_state(home.resolve())
    return None if state is None else _assemble(state)


def _ready_pair(home: Path) -> _Pair:
    """Return the pair with every folder in place; to be called with the lock held."""
    account, caller = server_account(), server_account()
    caller = type(caller)(uid=0, gid=0, lent=False) if caller.lent else caller
    state = read_state(home)
    folder = state.postgres_folder if state else folders.choose_postgres_folder(home, account)
    if state and not folder.exists() and (home / "redis").exists():
        raise ServicesError(
            f"The data folder {folder} of the embedded PostgreSQL is gone; bring it back, "
            f"or move {home} away to start with an empty database."
        )
    if folder.exists() and (owner := folder.stat().st_uid) != account.uid:
        # Told before anything is written: files of root's in a user's home would lock the user out.
        raise ServicesError(
            f"The embedded PostgreSQL in {folder} belongs to the user with id {owner}; "
            "run as that user, or set RUNFERRY_HOME to a folder of your own."
        )
    sockets = folders.choose_sockets(home, state.sockets if state else None, account, caller)
    state = State(
        home=home,
        password=state.password if state else new_password(),
        postgres_folder=folder,
        sockets=sockets,
    )
    write_state(state)
    write_private(home / "pgpass", f"*:*:*:{USER}:{state.password}\n")
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folders.make_private(folder, account):
        raise ServicesError(f"{folder} is not the embedded PostgreSQL's own folder; move it away and start again.")
    return _assemble(state)


def _assemble(state: State) -> _Pair:
    account = server_account()
    binaries = find_binaries()
    return _Pair(
        state=state,
        postgres=Postgres(
            programs=programs_for(binaries, account),
            folder=state.postgres_folder,
            sockets=folders.postgres_sockets(state.sockets),
            account=account,
            password=state.password,
        ),
        redis=RedisServer(
            program=binaries.redis_server,
            folder=state.home / "redis",
            sockets=folders.redis_sockets(state.sockets),
            password=state.password,
        ),
    )
