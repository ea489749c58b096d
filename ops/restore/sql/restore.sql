-- name: contents
-- What a database that should be empty holds: its schemas, tables, views, sequences and types, by name.
SELECT 'the schema ' || n.nspname::text AS what
FROM pg_catalog.pg_namespace AS n
WHERE n.nspname NOT IN ('public', 'information_schema') AND n.nspname !~ '^pg_'
UNION ALL
SELECT n.nspname::text || '.' || c.relname::text
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
    AND NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
UNION ALL
SELECT 'the type ' || t.typname::text
FROM pg_catalog.pg_type AS t
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
WHERE n.nspname = 'public' AND t.typtype = 'e'
LIMIT 6;

-- name: databases
-- The databases of the server.
SELECT datname::text AS name FROM pg_catalog.pg_database;

-- name: end_sessions
-- Ends every session of some databases but this one; those of other roles need the right to.
SELECT count(pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity
WHERE datname = ANY($1::text[]) AND pid <> pg_backend_pid() AND backend_type = 'client backend';

-- name: sessions
-- Who has a session in a database.
SELECT DISTINCT coalesce(nullif(application_name, ''), usename::text, 'unknown') AS who
FROM pg_catalog.pg_stat_activity
WHERE datname = $1 AND pid <> pg_backend_pid() AND backend_type = 'client backend'
LIMIT 5;

-- name: claim
-- Whether this session alone restores in the place of a database; until it ends.
SELECT pg_try_advisory_lock(hashtextextended('runferry.restore ' || $1::text, 0));

-- name: unfinished
-- The databases whose comment says that they were being filled to take the place of one. Earlier comments did not say
-- of which: those are known by their names, where these were not shortened.
SELECT datname::text AS name
FROM pg_catalog.pg_database
WHERE shobj_description(oid, 'pg_database') = $1::text
    OR (
        shobj_description(oid, 'pg_database') = 'runferry: a restore is under way'
        AND left(datname::text, -14) = $2::text
        AND right(datname::text, 14) ~ '^[0-9]+$'
    );
