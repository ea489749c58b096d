-- name: quiet_runs
-- Runs that a backfill began, of which nothing was heard for so long that their source may have ended early.
SELECT run.id
FROM "Run" AS run
JOIN runferry.run AS known ON known.run_id = run.id
WHERE run.status = 'RUNNING'
  AND known.inserted
  AND NOT known.evidence ? 'has_pipeline_event'
  AND known.evidence ? 'stages_at_source'
  AND coalesce(
          (SELECT max(produced_at) FROM runferry.ledger AS entry WHERE entry.run_id = run.id),
          (known.evidence ->> 'oldest_document_at')::timestamptz
      ) < now() - $1::interval
  AND NOT EXISTS (
          SELECT FROM jsonb_array_elements(known.evidence -> 'stages_at_source') AS stage
          WHERE NOT EXISTS (
              SELECT FROM runferry.ledger AS entry
              WHERE entry.run_id = run.id AND entry.stage = stage::text::smallint
          ) AND NOT EXISTS (
              SELECT FROM runferry.dead_letter AS letter
              WHERE letter.run_id = run.id AND letter.stage = stage::text::smallint
                AND letter.state IN ('open', 'replaying', 'discarded')
          )
      )
ORDER BY run.id
LIMIT $2;

-- name: try_to_lead
-- One process of all does the maintenance: whoever gets this lock for the length of its transaction. What it looks for
-- may be anywhere, so it is planned as the tables are, whatever its session is told for the finding of runs.
SELECT pg_try_advisory_xact_lock(hashtextextended('runferry.maintenance', 0)) AS leads,
       set_config('plan_cache_mode', 'auto', true) AS plan_cache_mode,
       set_config('enable_seqscan', 'on', true) AS enable_seqscan;
