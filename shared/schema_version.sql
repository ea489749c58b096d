-- name: probe
-- What of the schema is there. It asks the catalog alone, so it needs no right on any table or schema.
-- $1 the web app's tables; $2 tables that need a unique key, $3 its columns, sorted and joined by a comma.
SELECT
    current_database() AS database,
    current_user AS role,
    EXISTS (
        SELECT
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = 'runferry' AND c.relname = 'schema_migration'
    ) AS has_bookkeeping,
    ARRAY(
        SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(quote_ident(name)) IS NULL
    ) AS missing_tables,
    ARRAY(
        SELECT wanted.name
        FROM unnest($2::text[], $3::text[]) AS wanted (name, columns)
        WHERE NOT EXISTS (
            SELECT
            FROM pg_catalog.pg_index AS i
            WHERE i.indrelid = to_regclass(quote_ident(wanted.name))
                AND i.indisunique AND i.indisvalid AND i.indimmediate
                AND i.indpred IS NULL AND i.indexprs IS NULL
                AND wanted.columns = (
                    SELECT string_agg(a.attname, ',' ORDER BY a.attname COLLATE "C")
                    FROM pg_catalog.pg_attribute AS a
                    WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])
                )
        )
    ) AS tables_without_key;

-- name: version
-- The version of runferry's schema, 0 where no migration was applied yet.
SELECT coalesce(max(version), 0) FROM runferry.schema_migration;
