-- name: marks_of_runs
-- All letters of some runs, as far as the writer, `--resume` and the reconciler need to know them.
SELECT id, run_id, stage, content_sha256, state, reason
  FROM runferry.dead_letter
 WHERE run_id = ANY ($1::text[])
 ORDER BY run_id, stage, id;

-- name: letter
-- One letter with everything.
SELECT * FROM runferry.dead_letter WHERE id = $1;
