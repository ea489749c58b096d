-- name: outputs
-- Outputs with their rows and kept documents, in order, a page at a time. $1: these runs, NULL for all; $2, $3: after
-- this run and stage; $4: how many. A row without a ledger entry comes too: runferry does not know its documents' names.
SELECT output."runId" AS run_id, output."stageNumber" AS stage,
       entry.content_sha256, entry.produced_at, entry.manifest,
       output."markdownOutput" AS markdown, output."jsonOutput"::text AS json,
       ARRAY(SELECT kept.name FROM runferry.document AS kept
             WHERE kept.run_id = entry.run_id AND kept.stage = entry.stage
               AND kept.content_sha256 = entry.content_sha256 AND NOT kept.superseded ORDER BY kept.name) AS kept_names,
       ARRAY(SELECT kept.content FROM runferry.document AS kept
             WHERE kept.run_id = entry.run_id AND kept.stage = entry.stage
               AND kept.content_sha256 = entry.content_sha256 AND NOT kept.superseded
             ORDER BY kept.name) AS kept_contents
FROM "StageOutput" AS output
LEFT JOIN runferry.ledger AS entry
       ON entry.run_id = output."runId" AND entry.stage = output."stageNumber" AND entry.content_sha256 <> ''
WHERE ($1::text[] IS NULL OR output."runId" = ANY($1))
  AND (output."runId", output."stageNumber") > ($2, $3::integer)
ORDER BY output."runId", output."stageNumber"
LIMIT $4;

-- name: unknown_runs
-- Which of some runs the web app does not have.
SELECT wanted.run_id FROM unnest($1::text[]) AS wanted (run_id)
WHERE NOT EXISTS (SELECT FROM "Run" WHERE id = wanted.run_id) ORDER BY 1;
