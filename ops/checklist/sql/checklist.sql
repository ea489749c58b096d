-- name: present_runs
-- Which of some runs are there, or were until the web app deleted them.
SELECT DISTINCT ON (run_id) run_id, how FROM (
    SELECT id AS run_id, '' AS how, 1 AS place FROM "Run" WHERE id = ANY($1::text[])
    UNION ALL
    SELECT run_id, 'deleted in the web app', 2 FROM runferry.run WHERE run_id = ANY($1::text[])
) AS known ORDER BY run_id, place;

-- name: pipeline_outputs
-- The outputs of pipelines that were applied lately, newest first.
SELECT run_id, stage, applied_at FROM runferry.ledger
WHERE origin = 'pipeline' AND applied_at > now() - $1::interval
ORDER BY applied_at DESC LIMIT 5;

-- name: cards
-- The cards of a run.
SELECT title FROM "OpportunityCard" WHERE "runId" = $1 ORDER BY number;

-- name: newest_backup
-- The newest backup, or one that is as fresh and was verified or restored: a rollback makes a newer one by itself.
SELECT made_at, now() - made_at AS age, host, folder, verified_at, restored_at
FROM runferry.backup
ORDER BY (made_at > now() - $1::interval AND coalesce(verified_at, restored_at) IS NOT NULL) DESC, made_at DESC
LIMIT 1;

-- name: newest_rehearsal
-- The newest rehearsal that came to its end, well or not.
SELECT finished_at, now() - finished_at AS age, passed, steps
FROM runferry.rehearsal WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1;

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
