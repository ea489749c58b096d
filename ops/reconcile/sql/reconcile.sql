-- name: begin_report
-- Begins a report.
INSERT INTO runferry.reconcile_report (started_at, scope) VALUES (now(), $1) RETURNING id;

-- name: take_answers
-- Takes the answers to some slices; what was taken is folded into the report and kept nowhere else.
DELETE FROM runferry.reconcile_answer WHERE report_id = $1 AND slice = ANY($2::integer[])
RETURNING slice, worker, answer;

-- name: end_report
-- Ends a report; from here on workers answer it no more.
WITH late AS (DELETE FROM runferry.reconcile_answer WHERE report_id = $1)
UPDATE runferry.reconcile_report SET finished_at = now(), balanced = $2, report = $3 WHERE id = $1;

-- name: forget_reports
-- Drops reports that are older than their retention; the newest finished one always stays.
DELETE FROM runferry.reconcile_report
WHERE started_at < now() - $1::interval
  AND id <> (SELECT max(id) FROM runferry.reconcile_report WHERE finished_at IS NOT NULL);

-- name: history
-- The last reports, newest first.
SELECT id, started_at, finished_at, scope, balanced, report - 'named' AS report
FROM runferry.reconcile_report ORDER BY id DESC LIMIT $1;

-- name: applied_runs
-- The next runs of the ledger, in order of their ids, with their stages; deleted runs are left out.
SELECT entry.run_id, array_agg(entry.stage ORDER BY entry.stage) AS stages,
       array_agg(entry.origin ORDER BY entry.stage) AS origins
FROM runferry.ledger AS entry
WHERE entry.run_id > $1 AND entry.content_sha256 <> '' AND EXISTS (SELECT FROM "Run" WHERE id = entry.run_id)
GROUP BY entry.run_id ORDER BY entry.run_id LIMIT $2;

-- name: handled
-- How many messages of a repair were handled.
SELECT count(*) FROM runferry.delivery WHERE batch_id = $1;
