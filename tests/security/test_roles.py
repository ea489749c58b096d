"""The least rights: every part works with its role's, and is refused what is not its business."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis
from click.testing import CliRunner
from pydantic import SecretStr
from real_workers import Site, until

from benchmarks.tree import generate
from ops.command import main as ops
from ops.schema.roles import ROLES
from producers import StageStore
from producers.command import main as producer
from shared.database_url import DatabaseAddress
from shared.settings import Phase

#: The users' names end like this, so that a password is never the same text as a name.
USERS = {"runferry_worker": "wendy", "runferry_producer": "paul", "runferry_ops": "olga"}
WORKER, PRODUCER, OPS = ROLES
#: As docs/security.md has it.
REDIS_ACL = (
    *("queue", "on", ">queue's", "resetkeys", "~runferry", "~runferry:*", "resetchannels", "&runferry:__wake__.*"),
    *("+@all", "-@admin", "-@dangerous", "+info"),
)


FORBIDDEN = {
    WORKER: (
        'DROP TABLE "Run"',
        'TRUNCATE "Run" CASCADE',
        'DELETE FROM "Run"',
        'DELETE FROM "User"',
        'SELECT email FROM "User"',
        'UPDATE "User" SET email = email',
        'UPDATE "OpportunityCard" SET starred = true',
        'UPDATE "Run" SET "userId" = "userId"',
        "SELECT FROM _prisma_migrations",
        "DELETE FROM _prisma_migrations",
        "ALTER TABLE runferry.ledger ADD COLUMN more text",
        "CREATE TABLE runferry.more (id text)",
        "DELETE FROM runferry.dead_letter",
        "INSERT INTO runferry.phase_change (who, phase) VALUES ('w', 'db-only')",
        "UPDATE runferry.schema_migration SET version = 0",
        "SELECT manifest FROM runferry.backup",
    ),
    PRODUCER: (
        'INSERT INTO "User" (id) VALUES (1)',
        'UPDATE "Run" SET status = status',
        'DELETE FROM "StageOutput"',
        'SELECT FROM "OpportunityCard"',
        'SELECT email FROM "User"',
        "DELETE FROM runferry.ledger",
        "UPDATE runferry.dead_letter SET state = 'discarded'",
        "SELECT FROM _prisma_migrations",
    ),
    OPS: (
        'UPDATE "OpportunityCard" SET starred = true',
        'DELETE FROM "Run"',
        "UPDATE runferry.ledger SET origin = 'pipeline'",
        "DELETE FROM runferry.audit",
        "UPDATE runferry.phase_change SET phase = 'db-only'",
        "DROP SCHEMA runferry CASCADE",
        "DELETE FROM _prisma_migrations",
    ),
}


@pytest.fixture
def urls(site: Site) -> Iterator[dict[str, str]]:
    """The address of a user for each of the roles."""
    made = CliRunner().invoke(ops, ["schema", "roles", "--database-url", site.database_url])
    assert made.exit_code == 0, made.output
    site.do(
        " ".join(
            f"DROP ROLE IF EXISTS {user}; CREATE ROLE {user} LOGIN PASSWORD '{user}''s' IN ROLE {role};"
            for role, user in USERS.items()
        )
    )
    rest = site.database_url.partition("@")[2]
    site.broker.client.execute_command("ACL", "SETUSER", *REDIS_ACL)
    yield {role: f"postgresql://{user}:{user}'s@{rest}" for role, user in USERS.items()}
    site.stop_workers()
    site.broker.client.execute_command("ACL", "DELUSER", REDIS_ACL[0])
    site.do("".join(f"DROP OWNED BY {user}; DROP ROLE {user};" for user in USERS.values()))


def redis_url_of(site: Site) -> str:
    """The address of the Redis user with the least rights."""
    return f"unix://queue:queue's@{site.redis_url.partition('@')[2]}"


def run(site: Site, command: Any, url: str, *words: object, status: int = 0) -> Any:
    """Run a command with a role's address, and return what it printed as JSON."""
    stores = ["--database-url", url, "--redis-url", redis_url_of(site)]
    ended = CliRunner(
        env={"RUNFERRY_HOME": str(site.settings.home), "RUNFERRY_ROOT": str(site.settings.root)}
    ).invoke(command, [*map(str, words), *stores, "--json"], catch_exceptions=False)
    assert ended.exit_code == status, ended.output
    return json.loads(ended.stdout)


def refused(url: str, statement: str) -> bool:
    """Whether PostgreSQL refuses a statement for want of a right."""

    async def attempt() -> bool:
        connection = await asyncpg.connect(DatabaseAddress.parse(url).dsn)
        try:
            async with connection.transaction():
                await connection.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            return True
        finally:
            await connection.close()
        return False

    return asyncio.run(attempt())


def test_every_part_does_its_work_with_the_rights_of_its_role_alone(
    site: Site, urls: dict[str, str], tmp_path: Path
) -> None:
    root = site.settings.root
    generate(root, 3)
    broken = next(folder for folder in sorted(root.iterdir()) if (folder / "stage1").is_dir())
    for document in (broken / "stage1").iterdir():
        document.unlink()
    (broken / "stage1" / "inspirations.json").write_text("{")
    worker = site.start_worker(DATABASE_URL=urls[WORKER], REDIS_URL=redis_url_of(site))
    site.await_workers(worker)

    carried = run(site, producer, urls[PRODUCER], "backfill", "--all", "--root", root, "--settle", "0s", "--wait")
    assert carried["dead_lettered"] == 1
    assert carried["applied"] == carried["published"] - 1 > 0
    settings = site.settings.model_copy(
        update={
            "database_url": SecretStr(urls[PRODUCER]),
            "redis_url": SecretStr(redis_url_of(site)),
            "phase": Phase.DB_FIRST,
        }
    )
    with StageStore(settings) as store:
        receipt = store.write("run-of-a-pipeline", 4, {"context.json": '{"brand_id": "b"}'})
        assert receipt.committed(60)
        folder = root / "run-of-a-pipeline" / "stage4"
        folder.rename(tmp_path / "away")
        assert store.read("run-of-a-pipeline", 4, at_least=str(receipt.token)).json("context.json")
        (tmp_path / "away").rename(folder)

    # `worker --scheduler` serves the system's metrics with the worker's address.
    told = site.command("ops.command", "metrics", DATABASE_URL=urls[WORKER])
    assert 'runferry_store_up{store="postgresql"} 1.0' in told.stdout, told.stderr

    def operate(*words: object, status: int = 0) -> Any:
        return run(site, ops, urls[OPS], *words, status=status)

    assert operate("status")["ledger"] > 0
    assert operate("reconcile", "--all", "--root", root)["balanced"]
    operate("trace", broken.name)
    operate("schema", "status")
    assert operate("schema", "verify")["equal"]
    (letter,) = operate("dlq", "list")
    operate("dlq", "show", letter["id"])
    assert operate("dlq", "replay", letter["id"], "--wait", status=1)["died_again"] == [letter["id"]]
    operate("dlq", "discard", letter["id"], "--reason", "a test", "--yes")
    operate("phase", "show")
    operate("checklist", status=1)
    operate("export", "--all", "--to", tmp_path / "exported")
    assert Path(operate("backup", "--to", tmp_path / "backups")["folder"]).is_dir()
    rights = {check["name"]: check for check in operate("doctor", "--root", root)["checks"]}
    assert rights["rights"]["detail"] == '"olga" may do all that an operator does'
    assert "wendy" in rights["roles"]["detail"]
    assert not [name for name in rights if name.startswith("rights of")]
    assert worker.poll() is None
    until(lambda: site.info(worker).state == "running", "a worker that was never refused")
    said = site.log.read_text()
    assert "permission denied" not in said
    assert "no permissions" not in said


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_refused_what_is_not_its_business(site: Site, urls: dict[str, str], role: str) -> None:
    assert [statement for statement in FORBIDDEN[role] if not refused(urls[role], statement)] == []


@pytest.mark.usefixtures("urls")
def test_the_user_of_the_queue_is_refused_what_is_not_its_business(site: Site) -> None:
    with redis.Redis.from_url(redis_url_of(site)) as client:
        for words in (
            ("SET", "other", "x"),
            ("GET", "other"),
            ("FLUSHALL",),
            ("CONFIG", "SET", "save", ""),
            ("KEYS", "*"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*words)


def test_a_missing_right_is_a_sentence_of_the_doctor(site: Site, urls: dict[str, str]) -> None:
    site.do('REVOKE UPDATE ("title") ON "OpportunityCard" FROM runferry_worker')
    site.do("GRANT runferry_producer TO paul WITH INHERIT FALSE")

    checks = {check["name"]: check for check in run(site, ops, site.database_url, "doctor", status=1)["checks"]}

    assert checks["rights of wendy"]["detail"] == 'lacks what a worker needs: UPDATE on "OpportunityCard"'
    assert checks["rights of runferry_worker"]["todo"] == "As the owner of the tables: ops schema roles"
    assert "SELECT on" in checks["rights of paul"]["detail"]
    assert 'GRANT runferry_producer TO "paul" WITH INHERIT TRUE;' in checks["rights of paul"]["todo"]
