-- name: try_to_schedule
-- One scheduler of all leads: whoever gets this lock for the length of its session.
SELECT pg_try_advisory_lock(hashtextextended('runferry.scheduler', 0));

-- name: last_reports
-- When reports were begun last.
SELECT now() AS now, max(started_at) FILTER (WHERE scope ? 'all') AS last_full, max(started_at) AS last_any
FROM runferry.reconcile_report;
