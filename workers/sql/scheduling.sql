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
