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
    current_user AS user;

-- name: now
-- The server's clock.
SELECT clock_timestamp();

-- name: missing_rights
-- The rights that this user lacks: $1 tables, $2 for each the rights that a worker needs, joined by commas.
SELECT wanted.name, needed AS missing
FROM unnest($1::text[], $2::text[]) AS wanted (name, needs), unnest(string_to_array(wanted.needs, ',')) AS needed
WHERE to_regclass(wanted.name) IS NOT NULL AND NOT has_table_privilege(wanted.name, needed)
ORDER BY 1, 2;
