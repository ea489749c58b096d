-- name: try_to_schedule
-- One scheduler of all leads: whoever gets this lock for the length of its session.
SELECT pg_try_advisory_lock(hashtextextended('runferry.scheduler', 0));

-- name: last_reports
-- When reports were begun last.
SELECT now() AS now, max(started_at) FILTER (WHERE scope ? 'all') AS last_full, max(started_at) AS last_any
FROM runferry.reconcile_report;

-- name: left_reports
-- Reports that nobody waits for and that can be finished: all slices are answered, or it is time to ask why not.
SELECT id FROM runferry.reconcile_report AS report
WHERE finished_at IS NULL AND report.report ? 'left'
  AND ((SELECT count(*) FROM runferry.reconcile_answer WHERE report_id = report.id)
       >= (report.report -> 'left' ->> 'slices')::bigint
       OR started_at < now() - interval '1 hour')
ORDER BY id;

-- name: is_scheduled
-- Whether a scheduler leads: some session holds the lock.
SELECT EXISTS (
    SELECT FROM pg_locks, hashtextextended('runferry.scheduler', 0) AS key
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (classid::bigint << 32) | objid::bigint = key
);
