"""A database with migrated runs and a web app beside them, and the commands that lead back."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from click.testing import CliRunner
from writing_bench import Bench, cards, context, inspirations, outputs, trends

from ops.command import main
from shared.database_url import DatabaseAddress
from shared.settings import Settings

#: Long before any settle time.
OLD_S = 1_700_000_000


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.stdout)


@dataclass
class Installation:
    """Two stores, a root, a home, and the `ops` command."""

    settings: Settings
    bench: Bench
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        assert self.settings.database_url is not None
        return self.settings.database_url.get_secret_value()

    @property
    def database(self) -> str:
        return DatabaseAddress.parse(self.url).database

    @property
    def backups(self) -> Path:
        return self.folder / "backups"

    def ops(self, *words: object, expect: int | None = 0, **environment: str) -> Ended:
        """Run an `ops` command to its end."""
        result = CliRunner().invoke(
            main, [str(word) for word in words], env=self.environment | environment, catch_exceptions=False
        )
        ended = Ended(result.exit_code, result.stdout, result.stderr)
        if expect is not None:
            assert ended.status == expect, f"{ended.status}: {ended.stderr}\n{ended.stdout}"
        return ended

    def backup(self, *words: object) -> Path:
        """Make a backup, and return its folder."""
        return Path(self.ops("backup", "--to", self.backups, "--json", *words).json["folder"])

    def migrate(self, *run_ids: str, mark: str = "a", **more: Any) -> None:
        """Write whole runs, as a backfill does."""
        self.bench.write(*(whole_run(run_id, mark, **more) for run_id in run_ids))

    def document(self, run_id: str, stage: int, name: str, content: bytes, *, at_ns: int = OLD_S * 10**9) -> Path:
        """Put a document into the root."""
        path = self.settings.root / run_id / f"stage{stage}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(at_ns, at_ns))
        return path

    def on(self, name: str) -> Bench:
        """A bench on another database of the server."""
        return Bench(DatabaseAddress.parse(self.url.replace(f"/{self.database}?", f"/{name}?")).dsn)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of the web app's tables, to the byte."""
        return {
            table: [row["row"] for row in self.bench.rows(f'SELECT t::text AS row FROM "{table}" AS t ORDER BY 1')]
            for table in ("User", "Run", "StageOutput", "InspirationReport", "OpportunityCard")
        }


def whole_run(run_id: str, mark: str = "a", seconds: float = 0, **more: Any) -> Any:
    """A message with four stages of one run."""
    return outputs(
        run_id,
        (1, inspirations(mark), seconds),
        (2, trends(mark), seconds),
        (4, context(mark), seconds),
        (5, cards(mark), seconds),
        **more,
    )
