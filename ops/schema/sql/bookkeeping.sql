-- runferry's bookkeeping of its own schema, and Prisma's of the web app's.

-- name: make_bookkeeping
-- Before every numbered migration: what was applied, and what apply made here, so that revert takes away just that.
CREATE TABLE runferry.schema_migration (
    version          integer PRIMARY KEY,
    name             text NOT NULL,
    sha256           text NOT NULL,             -- of the file's bytes
    applied_at       timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE runferry.schema_fact (
    fact             text PRIMARY KEY,          -- one of ops.schema.facts.Fact
    value            jsonb NOT NULL,
    at               timestamptz NOT NULL DEFAULT now()
);

-- name: table_comment
-- What is said of a table; NULL where nothing is, or where it is not there.
SELECT obj_description(to_regclass($1), 'pg_class');

-- name: record_fact
-- What apply did: $1 the fact, $2 its value.
INSERT INTO runferry.schema_fact (fact, value)
VALUES ($1, $2::jsonb)
ON CONFLICT (fact) DO UPDATE SET value = excluded.value, at = now();

-- name: facts
-- All that apply wrote down of what it did here.
SELECT fact, value::text AS value FROM runferry.schema_fact;

-- name: record_version
-- A numbered migration that was applied.
INSERT INTO runferry.schema_migration (version, name, sha256) VALUES ($1, $2, $3);

-- name: versions
-- The numbered migrations that were applied.
SELECT version, name, sha256, applied_at FROM runferry.schema_migration ORDER BY version;

-- name: make_prisma_bookkeeping
-- Prisma's own bookkeeping, exactly as its schema engine makes it.
-- Source: prisma-engines, sql-schema-connector, flavour/postgres, `create_migrations_table`.
CREATE TABLE _prisma_migrations (
    id                      VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum                VARCHAR(64) NOT NULL,
    finished_at             TIMESTAMPTZ,
    migration_name          VARCHAR(255) NOT NULL,
    logs                    TEXT,
    rolled_back_at          TIMESTAMPTZ,
    started_at              TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count     INTEGER NOT NULL DEFAULT 0
);

-- name: record_prisma_migration
-- A finished migration, as Prisma records it.
INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp(), 1);

-- name: prisma_rows
-- Prisma's bookkeeping, without what was rolled back. The search_path must be the web app's schema.
SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS finished
FROM _prisma_migrations
WHERE rolled_back_at IS NULL
ORDER BY migration_name;

-- name: lock
-- One apply or revert at a time: the rest of the transaction is alone.
-- 72707369 is the lock of Prisma's own `migrate`, so that neither works while the other does.
-- Source: prisma-engines, sql-schema-connector, flavour/postgres, `acquire_lock`.
SELECT pg_advisory_xact_lock(72707369), pg_advisory_xact_lock(hashtext('runferry schema')::bigint);

-- name: prisma_migrations_since
-- Migrations that the web app deployed, or resolved as applied, after a moment: $1.
SELECT migration_name FROM _prisma_migrations WHERE rolled_back_at IS NULL AND started_at > $1 ORDER BY migration_name;

-- name: fact_time
-- When apply wrote a fact down: $1 the fact.
SELECT at FROM runferry.schema_fact WHERE fact = $1;

-- name: open_dead_letters
-- Dead letters that wait for somebody, replayed ones that have not come to an end among them.
SELECT count(*) FROM runferry.dead_letter WHERE state IN ('open', 'replaying');
