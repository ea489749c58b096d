-- What PostgreSQL's catalog says; needs no right on any table.

-- name: surroundings
-- Where the web app's tables are, or would be made: $1 the web app's tables.
-- A table that the session's search_path finds decides; else the first schema that the path names.
SELECT
    current_database() AS database,
    current_user AS role,
    current_setting('search_path') AS search_path,
    (
        SELECT n.nspname
        FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, place)
        JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass(quote_ident(wanted.name))
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        ORDER BY wanted.place
        LIMIT 1
    ) AS schema_of_tables,
    ARRAY(SELECT nspname::text FROM pg_catalog.pg_namespace) AS schemas;

-- name: relations
-- The tables, views and indexes of one schema, without those of extensions: $1 its name.
SELECT c.relname::text AS name, c.relkind::text AS kind
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1
    AND NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
ORDER BY c.relname;

-- name: columns
-- Columns of the tables of one schema: $1 its name. The search_path must be that schema, so that types and
-- defaults are written without it.
SELECT
    c.relname::text AS "table",
    a.attname::text AS name,
    format_type(a.atttypid, a.atttypmod) AS type,
    a.attnotnull AS not_null,
    CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END AS "default",
    CASE
        WHEN a.attgenerated <> '' THEN 'generated'
        WHEN a.attidentity = 'a' THEN 'identity always'
        WHEN a.attidentity = 'd' THEN 'identity by default'
    END AS filled_by
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')
ORDER BY c.relname, a.attnum;

-- name: indexes
-- Usable indexes and keys of the tables of one schema: $1 its name. `columns` are the key columns in order;
-- `usable_key`: ON CONFLICT can name it (unique, valid, checked at once, over all rows).
SELECT
    c.relname::text AS "table",
    x.relname::text AS name,
    i.indisprimary AS is_primary,
    i.indisunique AS is_unique,
    i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AS usable_key,
    i.indisvalid AS is_valid,
    pg_get_expr(i.indpred, i.indrelid) AS predicate,
    ARRAY(
        SELECT coalesce(a.attname::text, '(' || pg_get_indexdef(i.indexrelid, k.place::integer, true) || ')')
        FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (attnum, place)
        LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
        ORDER BY k.place
    ) AS columns
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')
ORDER BY c.relname, x.relname;

-- name: constraints
-- Foreign keys and checks of the tables of one schema: $1 its name. Of a foreign key the two lists of columns are
-- in step; `target` is qualified where it is in another schema.
SELECT
    c.relname::text AS "table",
    k.conname::text AS name,
    k.contype::text AS kind,
    CASE WHEN k.contype = 'c' THEN pg_get_constraintdef(k.oid) END AS definition,
    CASE WHEN t.relnamespace = c.relnamespace THEN t.relname::text ELSE t.oid::regclass::text END AS target,
    ARRAY(
        SELECT a.attname::text
        FROM unnest(k.conkey) WITH ORDINALITY AS key (attnum, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = key.attnum
        ORDER BY key.place
    ) AS columns,
    ARRAY(
        SELECT a.attname::text
        FROM unnest(k.confkey) WITH ORDINALITY AS key (attnum, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = key.attnum
        ORDER BY key.place
    ) AS target_columns,
    k.confdeltype::text AS on_delete,
    k.confupdtype::text AS on_update
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_class AS t ON t.oid = k.confrelid
WHERE n.nspname = $1 AND k.contype IN ('c', 'f')
ORDER BY c.relname, k.conname;

-- name: enums
-- Enum types of one schema with their values in order: $1 its name.
SELECT t.typname::text AS name, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels
FROM pg_catalog.pg_type AS t
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
JOIN pg_catalog.pg_enum AS e ON e.enumtypid = t.oid
WHERE n.nspname = $1
GROUP BY t.typname
ORDER BY t.typname;
