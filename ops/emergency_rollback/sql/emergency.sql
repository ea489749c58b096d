-- name: size
-- How large the database is.
SELECT pg_database_size(current_database()) AS bytes, current_database() AS database;

-- name: count
-- The rows of a table; {table} is its quoted name.
SELECT count(*) FROM {table};

-- name: referring_tables
-- Other tables of the database that refer to some of the web app's: they can't be emptied without these.
SELECT DISTINCT n.nspname::text AS schema, c.relname::text AS name
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE k.contype = 'f'
    AND k.confrelid = ANY(SELECT to_regclass(quote_ident(name)) FROM unnest($1::text[]) AS name)
    AND k.conrelid <> ALL(SELECT to_regclass(quote_ident(name)) FROM unnest($1::text[]) AS name)
ORDER BY 1, 2;

-- name: own
-- What runferry alone holds.
SELECT (SELECT count(*) FROM runferry.ledger) AS ledger,
       (SELECT count(*) FROM runferry.dead_letter WHERE state IN ('open', 'replaying')) AS letters;

-- name: patience
-- Workers end the transaction that they are in before they see the hold; longer than this nobody is waited for.
SET LOCAL lock_timeout = '60s';

-- name: remove_migration_user
-- Of the users that are spared, the one that runferry added.
DELETE FROM "User" WHERE id = $1 AND "clerkId" = $1 AND email = $1 || '@runferry.invalid' AND name IS NULL;
