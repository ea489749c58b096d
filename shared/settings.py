"""Settings: one frozen object, made once at the edge and handed down."""

from __future__ import annotations

from datetime import time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as PydanticSettingsError

from shared.durations import Duration
from shared.errors import SettingsError

MEBIBYTE = 1024 * 1024

#: A folder; `~` is the user's own.
Folder = Annotated[Path, AfterValidator(Path.expanduser)]


class Phase(StrEnum):
    """Where the migration stands."""

    FILES_ONLY = "files-only"
    DUAL_WRITE = "dual-write"
    DB_FIRST = "db-first"
    DB_ONLY = "db-only"


class LogFormat(StrEnum):
    """How log lines look."""

    AUTO = "auto"  # for people on a terminal, JSON elsewhere
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The least grave log lines that are shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Settings(BaseSettings):
    """Everything that can be set, from the environment (prefix `RUNFERRY_`) or by the commands' options."""

    model_config = SettingsConfigDict(
        env_prefix="RUNFERRY_", frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("database_url", "DATABASE_URL"),
        description="PostgreSQL, as Prisma writes it. Unset together with REDIS_URL: the embedded services.",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("redis_url", "REDIS_URL"),
        description="Redis: redis://, rediss:// or unix://. Give the queue a database of its own.",
    )
    home: Folder = Field(
        default=Path(".runferry"), description="Where embedded services, outbox and the last known phase are kept."
    )
    root: Folder = Field(default=Path("data/test-outputs"), description="The folder of the run folders.")
    phase: Phase = Field(default=Phase.DUAL_WRITE, description="The phase where no override was set.")
    namespace: str = Field(default="runferry", description="Prefix of every Redis key.")

    pool_min_size: int = Field(default=2, ge=1, description="Least connections of a PostgreSQL pool.")
    pool_max_size: int = Field(default=10, ge=1, description="Most connections of a PostgreSQL pool.")
    statement_timeout: Duration = Field(default=timedelta(seconds=60), description="Longest SQL statement.")
    lock_timeout: Duration = Field(
        default=timedelta(seconds=5),
        ge=timedelta(milliseconds=1),
        description="Longest that a worker waits for a row that others hold; half a statement time-out at most.",
    )
    connect_timeout: Duration = Field(
        default=timedelta(seconds=5), description="Longest wait for a connection to PostgreSQL or Redis."
    )
    emit_timeout: Duration = Field(
        default=timedelta(seconds=2), description="Longest that the emitter may hold a pipeline stage."
    )

    read_timeout: Duration = Field(
        default=timedelta(seconds=10), description="Longest that a read waits for the output of a token."
    )
    outbox_max_bytes: int = Field(
        default=1024 * MEBIBYTE, ge=MEBIBYTE, description="Most bytes in the outbox, which is under RUNFERRY_HOME."
    )
    outbox_always: bool = Field(
        default=False, description="Send through the outbox in every phase that sends, not only in db-only."
    )

    max_output_bytes: int = Field(default=8 * MEBIBYTE, ge=1024, description="Largest output that is sent.")
    max_message_bytes: int = Field(
        default=8 * MEBIBYTE, ge=1024, description="A backfill sends a run's outputs together up to this size."
    )
    settle: Duration = Field(
        default=timedelta(seconds=10), description="A document changed more recently than this is unsettled."
    )
    quiet: Duration = Field(
        default=timedelta(hours=24),
        description="A backfilled run whose source ends early counts as FAILED when quiet for this long.",
    )

    high_water_messages: int = Field(default=2_000, ge=1, description="Producers wait above this queue depth.")
    high_water_bytes: int = Field(
        default=128 * MEBIBYTE, ge=MEBIBYTE, description="Producers wait above this many queued bytes."
    )
    high_water_memory: float = Field(
        default=0.6, gt=0, lt=1, description="Producers wait above this share of Redis' maxmemory."
    )

    worker_processes: int = Field(default=2, ge=1, description="Processes that `worker` runs.")
    worker_threads: int = Field(
        default=16,
        ge=1,
        description="Threads a process, each for a live output or for a bundle of a backfill; an eighth is kept free.",
    )
    heartbeat_timeout: Duration = Field(
        default=timedelta(seconds=10), description="A worker silent for this long has its messages taken over."
    )
    drain_timeout: Duration = Field(
        default=timedelta(seconds=20), description="Longest that a stopping worker finishes what it has."
    )
    max_attempts: int = Field(default=4, ge=1, description="Tries of an output that fails for an unknown reason.")
    version_patience: Duration = Field(
        default=timedelta(hours=1), description="How long a message of a newer version is handed back."
    )
    reconcile_every: Duration = Field(
        default=timedelta(minutes=5), description="How often `worker --scheduler` reconciles a sample of runs."
    )
    reconcile_sample: int = Field(default=50, ge=1, description="Runs in such a sample.")
    reconcile_full_at: time = Field(
        default=time(3, 0), description="When `worker --scheduler` reconciles all runs each day, in UTC."
    )
    soak_db_first: Duration = Field(default=timedelta(days=7), description="Soak in dual-write before db-first.")
    soak_db_only: Duration = Field(default=timedelta(days=30), description="Soak in db-first before db-only.")
    checklist_max_age: Duration = Field(
        default=timedelta(hours=24), description="Oldest green checklist that opens db-first and db-only."
    )

    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65_535,
        description="Port of the system's Prometheus endpoint; worker processes take the next ones. 0: no endpoints.",
    )
    metrics_host: str = Field(default="127.0.0.1", description="The address that these endpoints are bound to.")

    log_format: LogFormat = Field(
        default=LogFormat.AUTO, description="`text`, `json`, or `auto`: text on a terminal, JSON elsewhere."
    )
    log_level: LogLevel = Field(default=LogLevel.INFO, description="The least grave log lines that are shown.")

    @property
    def writer_lock_timeout(self) -> timedelta:
        """How long a worker's transaction waits for a lock: a wait that ends as a statement's tells nobody why."""
        return min(self.lock_timeout, self.statement_timeout / 2) if self.statement_timeout else self.lock_timeout

    @classmethod
    def from_environment(cls, **overrides: Any) -> Self:
        """Return the settings of the environment; overrides win unless they are None.

        Raises SettingsError with one sentence for each wrong value, named as the user wrote it.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        unknown = sorted(given.keys() - cls.model_fields.keys())
        if unknown:
            raise TypeError(f"no such setting: {', '.join(unknown)}")
        try:
            return cls(**given)
        except ValidationError as error:
            raise SettingsError(_sentences(error, given)) from None
        except PydanticSettingsError as error:
            raise SettingsError(f"The environment can't be read: {error}.") from None


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return name.upper() if name in ("database_url", "redis_url") else f"RUNFERRY_{name.upper()}"


def _sentences(error: ValidationError, overrides: dict[str, Any]) -> str:
    lines = []
    for fault in error.errors(include_url=False):
        name = str(fault["loc"][0]).lower().removeprefix("runferry_") if fault["loc"] else "settings"
        said = f"--{name.replace('_', '-')}" if name in overrides else variable(name)
        lines.append(f"{said}: {_plain(fault['msg'])}.")
    return "\n".join(lines)


def _plain(message: str) -> str:
    if "duration" in message or "timedelta" in message:
        return "must be a duration such as 30, 30s, 10m, 24h or 7d"
    return message[:1].lower() + message[1:].rstrip(".")
