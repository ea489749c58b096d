-- name: migrated_runs
-- The runs that came from files alone: no event and no output of theirs was a pipeline's.
SELECT r.run_id FROM runferry.run AS r
WHERE $1 OR NOT (
    r.evidence @> '{"has_pipeline_event": true}'
    OR EXISTS (SELECT FROM runferry.ledger AS l WHERE l.run_id = r.run_id AND l.origin = 'pipeline')
)
ORDER BY r.run_id;

-- name: pipeline_runs
-- How many runs a pipeline has written to.
SELECT count(*) FROM runferry.run AS r
WHERE r.evidence @> '{"has_pipeline_event": true}'
    OR EXISTS (SELECT FROM runferry.ledger AS l WHERE l.run_id = r.run_id AND l.origin = 'pipeline');

-- name: known_runs
-- Which of some runs runferry has written.
SELECT run_id FROM runferry.run WHERE run_id = ANY($1::text[]);

-- name: lock_run
-- Keeps the web app from adding rows to a run until the transaction ends: a card that came while the run is being
-- deleted would go with it by the cascade.
SELECT id FROM "Run" WHERE id = $1 FOR UPDATE;

-- name: referring
-- Foreign keys of other tables onto the web app's five: rows behind them would be deleted by a cascade, or be in the
-- way. The names are quoted.
SELECT t.relname::text AS target, format('%I.%I', n.nspname, c.relname) AS "table",
       (
           SELECT string_agg(format('child.%I = parent.%I', child.attname, parent.attname), ' AND ')
           FROM unnest(k.conkey, k.confkey) AS key (child, parent)
           JOIN pg_catalog.pg_attribute AS child ON child.attrelid = k.conrelid AND child.attnum = key.child
           JOIN pg_catalog.pg_attribute AS parent ON parent.attrelid = k.confrelid AND parent.attnum = key.parent
       ) AS condition
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS t ON t.oid = k.confrelid
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0
    AND k.confrelid = ANY(SELECT to_regclass(quote_ident(name)) FROM unnest($1::text[]) AS name)
    AND k.conrelid <> ALL(SELECT to_regclass(quote_ident(name)) FROM unnest($1::text[]) AS name)
ORDER BY 1, 2;

-- name: referred_rows
-- Which of some rows another table refers to: {child} and {parent} are quoted names, {condition} joins them.
SELECT DISTINCT parent.id FROM {parent} AS parent JOIN {child} AS child ON {condition} WHERE parent.id = ANY($1::text[]);

-- name: delete_cards
-- Takes away cards that runferry inserted and nobody touched.
DELETE FROM "OpportunityCard" WHERE id = ANY($1::text[]);

-- name: delete_reports
-- Takes away reports that runferry inserted and nobody touched.
DELETE FROM "InspirationReport" WHERE id = ANY($1::text[]);

-- name: delete_stage_outputs
-- Takes away stage outputs that runferry inserted and nobody touched.
DELETE FROM "StageOutput" WHERE id = ANY($1::text[]);

-- name: delete_run
-- Takes away a run that runferry inserted and on which nothing hangs.
DELETE FROM "Run" WHERE id = $1;

-- name: restore_card
-- Puts back what a card held before runferry first overwrote it.
UPDATE "OpportunityCard" SET
    title = $2::jsonb ->> 'title', tagline = $2::jsonb ->> 'tagline', problem = $2::jsonb ->> 'problem',
    solution = $2::jsonb ->> 'solution', why_now = $2::jsonb ->> 'why_now',
    target_segment = $2::jsonb ->> 'target_segment', quick_win = $2::jsonb ->> 'quick_win',
    "updatedAt" = timezone('UTC', COALESCE(($2::jsonb ->> 'updatedAt')::timestamptz, now()))
WHERE id = $1;

-- name: restore_report
-- Puts back what a report held before runferry first overwrote it; a list may have been NULL.
UPDATE "InspirationReport" SET
    "inspiration1Title" = $2::jsonb ->> 'inspiration1Title',
    "inspiration1Content" = $2::jsonb ->> 'inspiration1Content',
    "inspiration1Elements" = CASE jsonb_typeof($2::jsonb -> 'inspiration1Elements') WHEN 'array' THEN ARRAY(
        SELECT text FROM jsonb_array_elements_text($2::jsonb -> 'inspiration1Elements') WITH ORDINALITY AS e (text, n)
        ORDER BY n) END,
    "inspiration2Title" = $2::jsonb ->> 'inspiration2Title',
    "inspiration2Content" = $2::jsonb ->> 'inspiration2Content',
    "inspiration2Elements" = CASE jsonb_typeof($2::jsonb -> 'inspiration2Elements') WHEN 'array' THEN ARRAY(
        SELECT text FROM jsonb_array_elements_text($2::jsonb -> 'inspiration2Elements') WITH ORDINALITY AS e (text, n)
        ORDER BY n) END,
    "updatedAt" = timezone('UTC', COALESCE(($2::jsonb ->> 'updatedAt')::timestamptz, now()))
WHERE id = $1;

-- name: restore_stage_output
-- Puts back what a stage output held before runferry first overwrote it; its JSON is kept as text.
UPDATE "StageOutput" SET
    "markdownOutput" = $2::jsonb ->> 'markdownOutput', "jsonOutput" = ($2::jsonb ->> 'jsonOutput')::jsonb
WHERE id = $1;

-- name: restore_run
-- Puts back the columns of a run that runferry changed and that still hold what it wrote; the others stay.
UPDATE "Run" SET
    "companyId" = CASE WHEN $2::jsonb ? 'companyId' THEN $2::jsonb ->> 'companyId' ELSE "companyId" END,
    "companyName" = CASE WHEN $2::jsonb ? 'companyName' THEN $2::jsonb ->> 'companyName' ELSE "companyName" END,
    "documentName" = CASE WHEN $2::jsonb ? 'documentName' THEN $2::jsonb ->> 'documentName' ELSE "documentName" END,
    "documentUrl" = CASE WHEN $2::jsonb ? 'documentUrl' THEN $2::jsonb ->> 'documentUrl' ELSE "documentUrl" END,
    status = CASE WHEN $2::jsonb ? 'status' THEN ($2::jsonb ->> 'status')::"RunStatus" ELSE status END,
    "currentStage" = CASE WHEN $2::jsonb ? 'currentStage' THEN ($2::jsonb ->> 'currentStage')::integer
                     ELSE "currentStage" END,
    "errorMessage" = CASE WHEN $2::jsonb ? 'errorMessage' THEN $2::jsonb ->> 'errorMessage' ELSE "errorMessage" END,
    "createdAt" = CASE WHEN $2::jsonb ? 'createdAt'
                  THEN timezone('UTC', ($2::jsonb ->> 'createdAt')::timestamptz) ELSE "createdAt" END,
    "completedAt" = CASE WHEN $2::jsonb ? 'completedAt'
                    THEN timezone('UTC', ($2::jsonb ->> 'completedAt')::timestamptz) ELSE "completedAt" END,
    "updatedAt" = CASE WHEN $2::jsonb ? 'updatedAt'
                  THEN timezone('UTC', ($2::jsonb ->> 'updatedAt')::timestamptz) ELSE timezone('UTC', now()) END
WHERE id = $1;

-- name: forget_run
-- Forgets what runferry knows of a run, so that a later backfill applies it anew. Dead letters stay: they are outputs
-- of the files, and wait for somebody.
WITH ledger AS (DELETE FROM runferry.ledger WHERE run_id = $1),
     document AS (DELETE FROM runferry.document WHERE run_id = $1)
DELETE FROM runferry.run WHERE run_id = $1;

-- name: migration_user
-- The user that the writer adds for runs without an owner, if it is still as it was added; what hangs on it.
SELECT id, (SELECT count(*) FROM "Run" WHERE "userId" = u.id) AS runs,
       (SELECT count(*) FROM "OpportunityCard" WHERE "userId" = u.id) AS cards
FROM "User" AS u
WHERE id = $1 AND "clerkId" = $1 AND email = $1 || '@runferry.invalid' AND name IS NULL
FOR UPDATE;

-- name: delete_user
-- Takes away a user that runferry added and nobody needs any more.
DELETE FROM "User" WHERE id = $1;

-- name: begin_rollback
-- Keeps who began to roll back what.
INSERT INTO runferry.audit (who, action, why, subject) VALUES ($1, 'rollback begun', $2, $3::jsonb);

-- name: record_rollback
-- Keeps for good who rolled back what, and where the backup is.
INSERT INTO runferry.audit (who, action, why, subject) VALUES ($1, 'rollback', $2, $3::jsonb);
