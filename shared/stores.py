"""The pair of stores that a command works with: the user's own, or the embedded ones."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from shared import embedded
from shared.connection_errors import check_redis_url, redis_place
from shared.database_url import DatabaseAddress
from shared.errors import SettingsError, UsageError
from shared.settings import Settings

#: The example tree of a checkout; an installed runferry has none.
EXAMPLES: Final = Path(__file__).resolve().parent.parent / "examples"


@dataclass(frozen=True, slots=True)
class Stores:
    """PostgreSQL and Redis, and whether they are the embedded ones; `str()` is short, and shows no password."""

    database: DatabaseAddress
    redis_url: str = field(repr=False)
    embedded: bool
    home: Path | None = None

    def __str__(self) -> str:
        return f'"{self.database.database}" at {self.database.place} and Redis at {redis_place(self.redis_url)}'


def given_stores(settings: Settings) -> Stores | None:
    """Return the stores that the settings name, if any; raises SettingsError for one without the other."""
    match settings.database_url, settings.redis_url:
        case None, None:
            return None
        case database_url, None:
            raise SettingsError(
                "DATABASE_URL is set and REDIS_URL is not: set both, or neither to use the embedded services."
            )
        case None, redis_url:
            raise SettingsError(
                "REDIS_URL is set and DATABASE_URL is not: set both, or neither to use the embedded services."
            )
        case database_url, redis_url:
            return Stores(
                DatabaseAddress.parse(database_url.get_secret_value()),
                check_redis_url(redis_url.get_secret_value()),
                embedded=False,
            )


def resolve_stores(settings: Settings) -> Stores:
    """Return the stores that the settings name, or the embedded ones, started where they don't run.

    Raises SettingsError where one URL is set without the other or can't be read, ServicesError where the embedded
    services can't be started.
    """
    given = given_stores(settings)
    if given is not None:
        return given
    services = embedded.start(settings.home)
    return Stores(
        DatabaseAddress.parse(services.database_url), services.redis_url, embedded=True, home=services.home
    )


def is_example_tree(root: Path) -> bool:
    """Whether `root` is the example tree of this checkout, or a folder in it."""
    return root.resolve().is_relative_to(EXAMPLES)


def own_tree_notice(root: Path, stores: Stores) -> str | None:
    """Return what to say first and last when the user's own tree goes into the embedded database, else None."""
    if not stores.embedded or is_example_tree(root):
        return None
    return f"writing to the embedded database at {stores.home}; set DATABASE_URL for your own"


def refuse_examples(root: Path, stores: Stores) -> None:
    """Raise UsageError where the example tree would go into the user's own services, unless YES=1 asks for it."""
    if stores.embedded or not is_example_tree(root) or os.environ.get("YES") == "1":
        return
    raise UsageError(
        f"{root} is the example tree, and {stores.database} is a database of your own. "
        "Give your own tree (--root DIR, or make backfill ROOT=DIR), unset DATABASE_URL and REDIS_URL "
        "to use the embedded services, or set YES=1 to write the examples there."
    )
