-- name: deliveries
-- What became of the messages of a run.
SELECT batch_id, origin, publisher, published_at, handled_at, worker, attempts, verdicts
FROM runferry.delivery WHERE run_id = $1 ORDER BY handled_at;

-- name: applied
-- What is applied of a run, and when its rows were written last.
SELECT stage, origin, produced_at, applied_at, times_applied, rows_written, gaps FROM runferry.ledger
WHERE run_id = $1 AND content_sha256 <> '' ORDER BY stage;

-- name: letters
-- The dead letters of a run with their histories.
SELECT id, stage, reason, sentence, state, first_failed_at, seen, history FROM runferry.dead_letter
WHERE run_id = $1 ORDER BY id;

-- name: changes
-- When the web app, or we, last changed the rows of a run that keep such a time.
SELECT 'OpportunityCard' AS "table", number, "updatedAt" AS changed_at FROM "OpportunityCard" WHERE "runId" = $1
UNION ALL
SELECT 'InspirationReport', 0, "updatedAt" FROM "InspirationReport" WHERE "runId" = $1;

-- name: run
-- The run itself.
SELECT status::text AS status, "currentStage" AS current_stage, "errorMessage" AS error_message, "createdAt" AS created_at,
       "updatedAt" AS updated_at, "completedAt" AS completed_at
FROM "Run" WHERE id = $1;

-- name: named
-- What the kept reports of the reconciler named of a run.
SELECT report.id, report.finished_at, named.value AS named
FROM runferry.reconcile_report AS report
CROSS JOIN LATERAL jsonb_array_elements(report.report -> 'named') AS named
WHERE report.report @? '$.named[*]' AND named.value ->> 'run_id' = $1
ORDER BY report.id;
