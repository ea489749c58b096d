-- name: present_runs
-- Which of some runs are there.
SELECT id FROM "Run" WHERE id = ANY($1::text[]);

-- name: pipeline_outputs
-- The outputs of pipelines that were applied lately, newest first.
SELECT run_id, stage, applied_at FROM runferry.ledger
WHERE origin = 'pipeline' AND applied_at > now() - $1::interval
ORDER BY applied_at DESC LIMIT 5;

-- name: cards
-- The cards of a run.
SELECT title FROM "OpportunityCard" WHERE "runId" = $1 ORDER BY number;

-- name: newest_backup
-- The newest backup.
SELECT made_at, now() - made_at AS age, host, folder, verified_at, restored_at
FROM runferry.backup ORDER BY made_at DESC LIMIT 1;

-- name: attestations
-- What people attested lately, the newest of each point.
SELECT DISTINCT ON (point) point, at, who, note FROM runferry.attestation
WHERE at > now() - $1::interval ORDER BY point, at DESC;

-- name: attest
-- Keeps a person's word.
INSERT INTO runferry.attestation (who, point, note) VALUES ($1, $2, $3);

-- name: keep_result
-- Keeps a result with its evidence.
INSERT INTO runferry.checklist_result (passed, points) VALUES ($1, $2);
