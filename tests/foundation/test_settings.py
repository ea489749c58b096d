"""Settings: from the environment and from options, with sentences for what is wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.durations import parse_duration, write_duration
from shared.errors import SettingsError
from shared.settings import Phase, Settings
from shared.settings_reference import REFERENCE_PATH, settings_reference


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("30", timedelta(seconds=30)),
        ("0.5", timedelta(milliseconds=500)),
        ("500ms", timedelta(milliseconds=500)),
        ("30s", timedelta(seconds=30)),
        ("10m", timedelta(minutes=10)),
        ("24h", timedelta(days=1)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
        ("1h30m", timedelta(minutes=90)),
        (" 1 H 30 M ", timedelta(minutes=90)),
        ("PT30S", timedelta(seconds=30)),
        ("P7D", timedelta(days=7)),
    ],
)
def test_a_duration_is_read_as_people_write_it(
    text: str, duration: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNFERRY_SETTLE", text)

    assert Settings.from_environment().settle == duration


@pytest.mark.parametrize("milliseconds", [0, 1, 500, 1000, 90_000, 3_600_000, 86_400_000, 604_800_000])
def test_a_duration_is_read_back_as_written(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)

    assert parse_duration(write_duration(duration)) == duration


@pytest.mark.parametrize("text", ["soon", "10 parsecs", "-PT5S", "-5"])
def test_what_is_no_duration_is_told_in_a_sentence(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNFERRY_SETTLE", text)

    with pytest.raises(
        SettingsError, match=r"^RUNFERRY_SETTLE: must be a duration such as 30, 30s, 10m, 24h or 7d\.$"
    ):
        Settings.from_environment()


def test_every_wrong_setting_has_its_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNFERRY_PHASE", "both")
    monkeypatch.setenv("RUNFERRY_POOL_MAX_SIZE", "0")

    with pytest.raises(SettingsError) as raised:
        Settings.from_environment()

    assert str(raised.value).splitlines() == [
        "RUNFERRY_PHASE: input should be 'files-only', 'dual-write', 'db-first' or 'db-only'.",
        "RUNFERRY_POOL_MAX_SIZE: input should be greater than or equal to 1.",
    ]


def test_a_wrong_option_is_named_as_the_user_wrote_it() -> None:
    with pytest.raises(SettingsError, match=r"^--settle: "):
        Settings.from_environment(settle="soon")


def test_an_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://environment/x")
    monkeypatch.setenv("RUNFERRY_PHASE", "db-only")
    settings = Settings.from_environment(database_url="postgresql://option/x", phase=None)

    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://option/x"
    assert settings.phase is Phase.DB_ONLY


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("RUNFERRY_SETTLE", "")

    assert Settings.from_environment().database_url is None
    assert Settings.from_environment().settle == timedelta(seconds=10)


def test_a_home_may_be_written_with_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNFERRY_HOME", "~/services")

    assert Settings.from_environment().home == Path.home() / "services"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings.from_environment().phase = Phase.DB_ONLY  # type: ignore[misc]


def test_passwords_are_in_no_text_of_the_settings() -> None:
    settings = Settings.from_environment(
        database_url="postgresql://ann:s3cret@db/app", redis_url="redis://:s3cret@queue"
    )

    assert "s3cret" not in f"{settings} {settings!r} {settings.model_dump_json()}"


def test_an_option_that_is_no_setting_is_a_fault_of_the_program() -> None:
    with pytest.raises(TypeError, match="no such setting: databaseurl"):
        Settings.from_environment(databaseurl="x")


def test_the_reference_is_current() -> None:
    assert REFERENCE_PATH.read_text() == settings_reference(), "run python -m shared.settings_reference"
