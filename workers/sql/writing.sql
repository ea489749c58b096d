-- name: add_migration_user
-- The user that owns migrated runs where none was named. The bare ON CONFLICT: "User" has three unique keys, and two
-- first transactions may meet on any of them.
INSERT INTO "User" (id, "clerkId", email, "createdAt", "updatedAt")
VALUES ($1, $1, $2, timezone('UTC', now()), timezone('UTC', now())) ON CONFLICT DO NOTHING;

-- name: advance_run
-- Sets the columns of a Run that changed; a NULL flag leaves a column as it is.
UPDATE "Run" SET
    "companyId" = COALESCE($2, "companyId"),
    "companyName" = COALESCE($3, "companyName"),
    "documentName" = COALESCE($4, "documentName"),
    "documentUrl" = COALESCE($5, "documentUrl"),
    status = COALESCE($6::text::"RunStatus", status),
    "currentStage" = COALESCE($7, "currentStage"),
    "errorMessage" = CASE WHEN $8 THEN $9 ELSE "errorMessage" END,
    "completedAt" = CASE WHEN $10 THEN $11 ELSE "completedAt" END,
    "createdAt" = COALESCE($12, "createdAt"),
    "updatedAt" = timezone('UTC', now())
WHERE id = $1;

-- name: update_stage_output
-- Overwrites a stage output; its id and createdAt stay.
UPDATE "StageOutput" SET "markdownOutput" = $2, "jsonOutput" = $3::jsonb WHERE id = $1;

-- name: update_report
-- Overwrites an inspiration report; its id and createdAt stay.
UPDATE "InspirationReport" SET
    "inspiration1Title" = $2, "inspiration1Content" = $3, "inspiration1Elements" = $4,
    "inspiration2Title" = $5, "inspiration2Content" = $6, "inspiration2Elements" = $7,
    "updatedAt" = timezone('UTC', now())
WHERE id = $1;

-- name: update_card
-- Overwrites an opportunity card; its id, createdAt and the user's star stay.
UPDATE "OpportunityCard" SET
    title = $2, tagline = $3, problem = $4, solution = $5, why_now = $6, target_segment = $7, quick_win = $8,
    "updatedAt" = timezone('UTC', now())
WHERE id = $1;

-- name: delete_cards
-- Takes away cards that runferry inserted and a newer output no longer has; a star set meanwhile saves the card.
DELETE FROM "OpportunityCard" WHERE id = ANY($1::text[]) AND NOT starred;

-- name: delete_reports
-- Takes away reports that runferry inserted and a newer output no longer has.
DELETE FROM "InspirationReport" WHERE id = ANY($1::text[]);

-- name: replace_ledger
-- Writes a ledger entry over the one that is there. applied_at is when its rows were written: a duplicate that only
-- moves the entry's time leaves it, and so does one that puts missing rows back ($16), whose own time is with them. The
-- reconciler tells edits from damage by these times.
INSERT INTO runferry.ledger (run_id, stage, content_sha256, produced_at, origin, authority, manifest, gaps, facts,
                             mends, settled, rows_written, batch_id, message_id, times_applied)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (run_id, stage) DO UPDATE SET
    content_sha256 = EXCLUDED.content_sha256, produced_at = EXCLUDED.produced_at, origin = EXCLUDED.origin,
    authority = EXCLUDED.authority, manifest = EXCLUDED.manifest, gaps = EXCLUDED.gaps, facts = EXCLUDED.facts,
    mends = EXCLUDED.mends, settled = EXCLUDED.settled, rows_written = EXCLUDED.rows_written,
    batch_id = EXCLUDED.batch_id, message_id = EXCLUDED.message_id, times_applied = EXCLUDED.times_applied,
    applied_at = CASE WHEN EXCLUDED.times_applied > ledger.times_applied AND NOT $16 THEN now()
                      ELSE ledger.applied_at END;

-- name: forget_ledger
-- Drops the entries of runs that were deleted in the web app and are brought back by a person's word.
DELETE FROM runferry.ledger WHERE run_id = ANY($1::text[]);

-- name: replace_record
-- Writes what runferry knows of a run.
INSERT INTO runferry.run (run_id, inserted, before_image, written, evidence)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (run_id) DO UPDATE SET
    inserted = EXCLUDED.inserted, before_image = EXCLUDED.before_image, written = EXCLUDED.written,
    evidence = EXCLUDED.evidence, updated_at = now();

-- name: forget_documents
-- Drops the kept documents of outputs that are no longer applied.
DELETE FROM runferry.document d
USING unnest($1::text[], $2::smallint[]) AS changed (run_id, stage)
WHERE d.run_id = changed.run_id AND d.stage = changed.stage AND NOT d.superseded;

-- name: keep_document
-- Keeps a document as bytes.
INSERT INTO runferry.document (run_id, stage, content_sha256, name, content, superseded, produced_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (run_id, stage, content_sha256, name) DO UPDATE SET
    superseded = runferry.document.superseded AND EXCLUDED.superseded, produced_at = EXCLUDED.produced_at;
