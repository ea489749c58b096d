-- name: server
-- What is backed up: the database, its size, and the server that has it.
SELECT current_database() AS database, current_setting('server_version') AS version,
       current_setting('server_version_num')::integer / 10000 AS major,
       pg_database_size(current_database()) AS bytes,
       to_regclass('runferry.ledger') IS NOT NULL AS has_runferry;

-- name: export_snapshot
-- Lets pg_dump see exactly what this transaction sees, for as long as it lasts.
SELECT pg_export_snapshot() AS snapshot, pg_current_snapshot()::text AS transactions, now() AS taken_at;

-- name: position
-- Which ledger position the snapshot holds.
SELECT (SELECT count(*) FROM runferry.ledger) AS entries,
       (SELECT max(applied_at) FROM runferry.ledger) AS applied_at,
       (SELECT count(*) FROM runferry.delivery) AS deliveries,
       (SELECT max(handled_at) FROM runferry.delivery) AS handled_at,
       (SELECT count(*) FROM runferry.dead_letter WHERE state IN ('open', 'replaying')) AS open_dead_letters,
       (SELECT max(version) FROM runferry.schema_migration) AS schema_version,
       (SELECT phase FROM runferry.phase_change ORDER BY at DESC, id DESC LIMIT 1) AS phase;

-- name: tables
-- All tables with rows of their own; not the system's, and not those of extensions.
SELECT n.nspname::text AS schema, c.relname::text AS name
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
ORDER BY n.nspname::text COLLATE "C", c.relname::text COLLATE "C";

-- name: row_hashes
-- The hash of every row of a table, least first: an order that needs no key, no collation and no index.
-- {table} is the quoted name. The alias is one that no column has, since a column would win over it.
SELECT sha256(convert_to("the whole row"::text, 'UTF8')) AS sha256 FROM ONLY {table} AS "the whole row" ORDER BY 1;

-- name: record_backup
-- Remembers a backup where the database that was backed up can tell of it.
INSERT INTO runferry.backup (made_at, host, folder, manifest, restored_at) VALUES ($1, $2, $3, $4::jsonb, $5);

-- name: record_restore
-- Remembers, in the database that a backup was made of, that it was restored elsewhere with equal hashes.
UPDATE runferry.backup SET restored_at = now() WHERE made_at = $1 AND manifest ->> 'name' = $2;

-- name: record_verification
-- Remembers that the hashes of a backup's parts were verified.
UPDATE runferry.backup SET verified_at = now() WHERE made_at = $1 AND manifest ->> 'name' = $2;
