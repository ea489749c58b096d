-- name: runs
-- The web app's rows of some runs, and the columns that runferry wrote there last.
SELECT id, "userId", "companyId", "companyName", "documentName", "documentUrl", status::text AS status,
       "currentStage", "errorMessage", "createdAt", "completedAt"
FROM "Run" WHERE id = ANY($1::text[]);

-- name: records
-- What runferry wrote last into the "Run" rows of some runs.
SELECT run_id, written FROM runferry.run WHERE run_id = ANY($1::text[]);

-- name: ledger
-- What is applied of some runs, and when their rows were written last.
SELECT run_id, stage, content_sha256, produced_at, origin, authority, manifest, gaps, facts, mends, settled,
       rows_written, batch_id, message_id, times_applied, applied_at
FROM runferry.ledger WHERE run_id = ANY($1::text[]);

-- name: stage_outputs
-- The values of some runs' stage outputs. The web app keeps no time of a change here.
SELECT id, "runId", "stageNumber", "markdownOutput", "jsonOutput" FROM "StageOutput" WHERE "runId" = ANY($1::text[]);

-- name: reports
-- The values of some runs' inspiration reports.
SELECT id, "runId", "inspiration1Title", "inspiration1Content", "inspiration1Elements",
       "inspiration2Title", "inspiration2Content", "inspiration2Elements", "updatedAt"
FROM "InspirationReport" WHERE "runId" = ANY($1::text[]);

-- name: cards
-- The values of some runs' opportunity cards.
SELECT id, "runId", number, title, tagline, problem, solution, why_now, target_segment, quick_win, starred, "updatedAt"
FROM "OpportunityCard" WHERE "runId" = ANY($1::text[]);

-- name: documents
-- Which documents are kept as bytes of some runs; their content by its hash alone.
SELECT run_id, stage, content_sha256, name, superseded, encode(sha256(content), 'hex') AS sha256
FROM runferry.document WHERE run_id = ANY($1::text[]);

-- name: payloads
-- What some dead letters keep of the outputs that died.
SELECT run_id, stage, content_sha256, payload FROM runferry.dead_letter WHERE id = ANY($1::bigint[]);

-- name: is_awaited
-- Whether the command that asked still waits for answers.
SELECT finished_at IS NULL FROM runferry.reconcile_report WHERE id = $1;

-- name: answer
-- Answers one slice; a redelivered question changes nothing, and one whose report is gone is dropped.
INSERT INTO runferry.reconcile_answer (report_id, slice, worker, answer)
SELECT id, $2, $3, $4 FROM runferry.reconcile_report WHERE id = $1 AND finished_at IS NULL
ON CONFLICT (report_id, slice) DO NOTHING;
