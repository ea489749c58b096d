"""`ops services`: start, look at and stop the embedded PostgreSQL and Redis."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from shared import embedded
from shared.command import DIFFERENCE, DONE, RunferryGroup, print_json, say, store_options
from shared.connection_errors import redact_redis_url
from shared.settings import Settings
from shared.store_checks import check_stores, faults
from shared.stores import Stores, given_stores, refuse_examples, resolve_stores


@click.group(cls=RunferryGroup)
def services() -> None:
    """Start, look at or stop the embedded PostgreSQL and Redis.

    Every command uses them while neither DATABASE_URL nor REDIS_URL is set. They keep their data in .runferry
    (or RUNFERRY_HOME), start by themselves, and run until they are stopped here.

    \b
    Examples:
      ops services start
      ops services status --json
      ops services stop
    """


@services.command()
@store_options
@click.option("--root", type=click.Path(path_type=Path), help="Refuse the example tree on services of your own.")
@click.option("--quiet", is_flag=True, help="Say nothing but what is wrong.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def start(settings: Settings, *, root: Path | None, quiet: bool, as_json: bool) -> int:
    """Start them where they don't run.

    Services of your own are only asked whether they answer.
    """
    stores = resolve_stores(settings)
    if root is not None:
        refuse_examples(root, stores)
    check_stores(stores, settings)
    if quiet and not as_json:
        return DONE
    if not stores.embedded:
        say("DATABASE_URL and REDIS_URL are set: the services there are yours, and nothing was started.")
        return _show_own(settings, stores, as_json=as_json)
    return _show(embedded.status(settings.home), settings, as_json=as_json)


@services.command()
@store_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(settings: Settings, *, as_json: bool) -> int:
    """Show whether they run, and how to look at the rows.

    Exit status 1 says that they don't run. The JSON holds the embedded services' password for scripts to connect;
    passwords of your own are never shown.
    """
    given = given_stores(settings)
    if given is not None:
        return _show_own(settings, given, as_json=as_json)
    return _show(embedded.status(settings.home), settings, as_json=as_json)


@services.command()
@store_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def stop(settings: Settings, *, as_json: bool) -> int:
    """Stop them with their data saved.

    Services of your own are never touched.
    """
    stopped = embedded.stop(settings.home)
    if as_json:
        print_json({"stopped": stopped, "home": str(settings.home.absolute())})
    else:
        click.echo("Stopped; the data stay." if stopped else "They did not run.")
    return DONE


def _show(found: embedded.EmbeddedServices | None, settings: Settings, *, as_json: bool) -> int:
    if as_json:
        print_json(_document(found, settings))
    elif found is None:
        click.echo(
            f"No embedded services were started in {settings.home.absolute()} yet; start them: ops services start"
        )
    else:
        click.echo(_described(found))
    return DONE if found and found.running else DIFFERENCE


def _document(found: embedded.EmbeddedServices | None, settings: Settings) -> dict[str, Any]:
    if found is None:
        home = str(settings.home.absolute())
        return {"database_url": None, "redis_url": None, "running": False, "embedded": True, "home": home}
    return {
        "database_url": found.database_url,
        "redis_url": found.redis_url,
        "running": found.running,
        "embedded": True,
        "home": str(found.home),
        "psql": _psql(found),
        "postgres": _server(found.postgres),
        "redis": _server(found.redis),
    }


def _server(server: embedded.ServerStatus) -> dict[str, Any]:
    return {"version": server.version, "pid": server.pid, "data": str(server.data), "log": str(server.log)}


def _described(found: embedded.EmbeddedServices) -> str:
    lines = []
    for name, server in (("PostgreSQL", found.postgres), ("Redis", found.redis)):
        runs = f"runs as process {server.pid}" if server.pid else "does not run"
        lines += [f"{name} {server.version} {runs}", f"  data  {server.data}", f"  log   {server.log}"]
    if found.running:
        lines += ["", "Look at the rows:", f"  {_psql(found)}", "", "Stop them: ops services stop"]
    else:
        lines += ["", "Start them: ops services start"]
    return "\n".join(lines)


def _psql(found: embedded.EmbeddedServices) -> str:
    return shlex.join([str(found.programs / "psql"), found.psql_url])


def _show_own(settings: Settings, stores: Stores, *, as_json: bool) -> int:
    found = faults(stores, settings)
    if as_json:
        print_json(
            {
                "database_url": str(stores.database),
                "redis_url": redact_redis_url(stores.redis_url),
                "running": not found,
                "embedded": False,
                "faults": found,
            }
        )
    else:
        click.echo(f"PostgreSQL of your own: {stores.database}")
        click.echo(f"Redis of your own: {redact_redis_url(stores.redis_url)}")
        click.echo("\n".join(found) or "Both answer.")
    return DIFFERENCE if found else DONE
