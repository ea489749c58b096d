-- name: schema_since
-- Since when runferry's schema is there: before any change of phase, the default phase holds since then.
SELECT min(applied_at) FROM runferry.schema_migration;

-- name: checklist
-- The latest checklist.
SELECT at, passed FROM runferry.checklist_result ORDER BY at DESC, id DESC LIMIT 1;

-- name: rolled_back_at
-- When runs were rolled back last; NULL where they never were. One that was killed is in the audit by its begin alone.
SELECT max(at) FROM runferry.audit WHERE action IN ('rollback', 'rollback begun');

-- name: db_only_since
-- When files were given up first; NULL where they never were.
SELECT min(at) FROM runferry.phase_change WHERE phase = 'db-only';

-- name: applied_since
-- Outputs that may be in rows only, since they were produced after a moment; in order, a page at a time.
SELECT run_id, stage, produced_at FROM runferry.ledger
WHERE produced_at >= $1 AND content_sha256 <> '' AND (run_id, stage) > ($2, $3::smallint)
ORDER BY run_id, stage LIMIT $4;
