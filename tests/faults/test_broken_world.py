"""A broken world: workers pause, say why, and go on once it is whole; nothing dies of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from real_workers import Site, until
from writing_bench import cards, context, inspirations, outputs, trends

from shared.contract import Hints

#: More than a few tries of anything would take; the pause is the only thing that keeps these alive.
MESSAGES = 12


def publish(site: Site, prefix: str, count: int = MESSAGES) -> None:
    site.publish(
        outputs(
            f"{prefix}-{number:02d}",
            (1, inspirations(), 0),
            (2, trends(), 0),
            (4, context(), 0),
            (5, cards(), 0),
            hints=Hints(stages_at_source=(1, 2, 4, 5)),
        )
        for number in range(count)
    )


def raising(table: str, state: str, when: str = "true") -> str:
    """SQL that makes every insert into a table fail with an SQLSTATE."""
    return f"""
        CREATE OR REPLACE FUNCTION public.runferry_test_fault() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF {when} THEN RAISE EXCEPTION 'made to fail' USING ERRCODE = '{state}'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER runferry_test_fault BEFORE INSERT ON "{table}"
            FOR EACH ROW EXECUTE FUNCTION public.runferry_test_fault();
    """


MENDED = "DROP FUNCTION public.runferry_test_fault() CASCADE"


@contextmanager
def disk_full(site: Site) -> Iterator[None]:
    site.do(raising("StageOutput", "53100"))
    yield
    site.do(MENDED)


@contextmanager
def read_only(site: Site) -> Iterator[None]:
    database = site.value("SELECT current_database()")
    site.do(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
    site.do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
            database)  # fmt: skip
    yield
    site.do(f'BEGIN READ WRITE; ALTER DATABASE "{database}" RESET ALL; COMMIT')


@contextmanager
def older_schema(site: Site) -> Iterator[None]:
    site.do("""
        ALTER TABLE runferry.ledger RENAME COLUMN settled TO unsettled;
        UPDATE runferry.schema_migration SET version = 0
    """)
    yield
    site.do("""
        UPDATE runferry.schema_migration SET version = 1;
        ALTER TABLE runferry.ledger RENAME COLUMN unsettled TO settled
    """)


@contextmanager
def missing_rights(site: Site) -> Iterator[None]:
    site.do('REVOKE INSERT ON "OpportunityCard" FROM runferry_test_writer')
    yield
    site.do('GRANT INSERT ON "OpportunityCard" TO runferry_test_writer')


@contextmanager
def locked_for_long(site: Site) -> Iterator[None]:
    """Somebody alters a table, for longer than a statement may take, again and again."""
    site.do("""
        CREATE OR REPLACE FUNCTION public.runferry_test_fault() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
        CREATE TRIGGER runferry_test_fault BEFORE INSERT ON "StageOutput"
            FOR EACH ROW EXECUTE FUNCTION public.runferry_test_fault();
    """)
    yield
    site.do(MENDED)


@pytest.fixture
def limited(site: Site) -> Iterator[str]:
    """The URL of a user who may do what a worker needs and no more."""
    site.do("DROP ROLE IF EXISTS runferry_test_writer")
    site.do("""
        CREATE ROLE runferry_test_writer LOGIN PASSWORD 'writer';
        GRANT USAGE ON SCHEMA public, runferry TO runferry_test_writer;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, runferry TO runferry_test_writer;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA public, runferry TO runferry_test_writer
    """)
    _, _, rest = site.database_url.partition("@")
    yield f"postgresql://runferry_test_writer:writer@{rest}"
    site.stop_workers()
    site.do("DROP OWNED BY runferry_test_writer; DROP ROLE runferry_test_writer")


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (disk_full, "disk full"),
        (read_only, "read-only"),
        (older_schema, "ops schema apply"),
        (missing_rights, "missing rights"),
        (locked_for_long, "cancelled"),
    ],
)
def test_a_broken_world_pauses_the_worker_which_says_why_and_goes_on_when_it_is_whole(
    site: Site, limited: str, broken: Callable[[Site], Iterator[None]], says: str
) -> None:
    worker = site.start_worker(DATABASE_URL=limited, RUNFERRY_STATEMENT_TIMEOUT="1s")
    site.await_workers(worker)
    publish(site, "before", 1)
    site.drain()
    with broken(site):
        publish(site, "during")
        until(
            lambda: (info := site.info(worker)) and info.state == "paused" and says in info.reason,
            lambda: f"a reason that says {says!r}: {site.info(worker)}",
        )
        publish(site, "later", 2)
        # Long enough for every counted try, were there any.
        until(lambda: site.log.read_text().count("still paused") >= 2, lambda: f"a second probe: {site.tail()}")
        assert site.await_state(worker, "paused").reason
        assert site.value("SELECT count(*) FROM runferry.dead_letter") == 0
        assert site.verdicts() == {"applied": 4}
    site.drain()
    site.await_state(worker, "running")
    assert site.verdicts() == {"applied": 4 * (1 + MESSAGES + 2)}
    assert site.value("SELECT count(*) FROM runferry.dead_letter") == 0
    assert site.value("SELECT max(attempts) FROM runferry.delivery") == 1
    assert site.stop_workers() == [0]
    assert not site.leftovers()


def test_a_paused_worker_that_is_told_to_end_gives_back_what_it_has(site: Site) -> None:
    worker = site.start_worker()
    site.await_workers(worker)
    with disk_full(site):
        publish(site, "during")
        site.await_state(worker, "paused")
        assert site.stop_workers() == [0]
        depth = site.broker.depths()["backfill"]
        assert (depth.waiting, depth.in_flight, depth.dead) == (MESSAGES, 0, 0)
    again = site.start_worker()
    site.drain()
    assert site.verdicts() == {"applied": 4 * MESSAGES}
    assert again.poll() is None
