-- name: server
-- What the server says of itself and its room for connections, to a session that asked for no time zone.
SELECT
    current_setting('server_version') AS version,
    current_setting('server_version_num')::integer AS version_number,
    pg_is_in_recovery() AS in_recovery,
    current_setting('transaction_read_only') = 'on' AS read_only,
    current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
        AS most_connections,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
    current_setting('TimeZone') AS time_zone,
    pg_database_size(current_database()) AS size_bytes,
    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted;

-- name: last_backup
-- The folder of the newest backup that was made from a host.
SELECT folder FROM runferry.backup WHERE host = $1 ORDER BY made_at DESC LIMIT 1;

-- name: now
-- The server's clock.
SELECT clock_timestamp();

-- name: user
-- Who this session is.
SELECT rolname::text AS name, rolsuper AS is_superuser FROM pg_catalog.pg_roles WHERE rolname = current_user;

-- name: role_holders
-- Which of some roles this server has, whether they are used in this database, and the login roles that are members of
-- each. Whoever made a role is its member for administering it, since PostgreSQL 16, and no worker by that.
SELECT role.rolname::text AS role, role.rolname::text AS who,
       coalesce(has_schema_privilege(role.oid, to_regnamespace('runferry'), 'USAGE'), false) AS is_used
FROM pg_catalog.pg_roles AS role WHERE role.rolname = ANY($1::text[])
UNION ALL
SELECT role.rolname::text, member.rolname::text,
       coalesce(has_schema_privilege(role.oid, to_regnamespace('runferry'), 'USAGE'), false)
FROM pg_catalog.pg_auth_members AS membership
JOIN pg_catalog.pg_roles AS role ON role.oid = membership.roleid
JOIN pg_catalog.pg_roles AS member ON member.oid = membership.member
WHERE role.rolname = ANY($1::text[]) AND member.rolcanlogin AND NOT membership.admin_option
ORDER BY 1, 2;

-- name: missing_rights
-- What some roles ($1) lack for the work of others ($2): $3 to $7 are the needs by role, schema, table, right and
-- columns, joined by commas; $8 is the web app's schema; $9 is the role that reads everything.
WITH holder AS (
    SELECT who::name AS who, role FROM unnest($1::text[], $2::text[]) AS h (who, role)
), need AS (
    SELECT * FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
        AS n (role, schema, name, "right", columns)
), relation AS (
    SELECT c.oid, c.relkind, n.nspname, c.relname,
           CASE WHEN n.nspname = 'runferry' THEN 'runferry.' || c.relname ELSE format('%I', c.relname) END AS shown
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('runferry', $8::text) AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
)
SELECT DISTINCT holder.who::text AS who, holder.role, format('SCHEMA %I', n.nspname) AS what, 'USAGE' AS "right",
       ARRAY[]::text[] AS columns
FROM holder CROSS JOIN pg_catalog.pg_namespace AS n
WHERE n.nspname IN ('runferry', $8::text) AND NOT has_schema_privilege(holder.who, n.oid, 'USAGE')
UNION
SELECT holder.who::text, holder.role, relation.shown, need."right", lacking.columns
FROM holder
JOIN need USING (role)
JOIN relation ON relation.nspname = need.schema AND relation.relname = need.name
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(a.attname::text ORDER BY a.attnum), '{}') AS columns
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = relation.oid
        -- CASE: no column has such a right as DELETE, and to ask for one is an error.
        AND CASE WHEN a.attname = ANY(string_to_array(need.columns, ','))
                 THEN NOT has_column_privilege(holder.who, relation.oid, a.attnum, need."right") ELSE false END
) AS lacking
WHERE CASE WHEN need.columns = '' THEN NOT has_table_privilege(holder.who, relation.oid, need."right")
           ELSE lacking.columns <> '{}' END
UNION
SELECT holder.who::text, holder.role, CASE WHEN relkind = 'S' THEN 'SEQUENCE ' ELSE '' END || shown, 'SELECT', '{}'
FROM holder CROSS JOIN relation
WHERE holder.role = $9::text AND CASE WHEN relkind = 'S' THEN NOT has_sequence_privilege(holder.who, oid, 'SELECT')
                                      ELSE NOT has_table_privilege(holder.who, oid, 'SELECT') END
ORDER BY 1, 2, 3, 4;
