-- name: output
-- One output: what is applied of a run and stage, the row that holds most of it, and the documents kept beside it.
SELECT entry.content_sha256, entry.produced_at, entry.manifest,
       output."runId" IS NOT NULL AS has_row, output."markdownOutput" AS markdown, output."jsonOutput"::text AS json,
       ARRAY(SELECT kept.name FROM runferry.document AS kept
             WHERE kept.run_id = $1 AND kept.stage = $2 AND kept.content_sha256 = entry.content_sha256
               AND NOT kept.superseded ORDER BY kept.name) AS kept_names,
       ARRAY(SELECT kept.content FROM runferry.document AS kept
             WHERE kept.run_id = $1 AND kept.stage = $2 AND kept.content_sha256 = entry.content_sha256
               AND NOT kept.superseded ORDER BY kept.name) AS kept_contents
FROM runferry.ledger AS entry
LEFT JOIN "StageOutput" AS output ON output."runId" = entry.run_id AND output."stageNumber" = entry.stage
WHERE entry.run_id = $1 AND entry.stage = $2;

-- name: landed
-- Whether one written output, or a later one of its run and stage, is in the rows, and whether it died.
-- $1 run, $2 stage, $3 hash, $4 batch, $5 message.
SELECT (SELECT entry.produced_at FROM runferry.ledger AS entry
        WHERE entry.run_id = $1 AND entry.stage = $2) AS applied_produced_at,
       (SELECT coalesce(delivery.verdicts ->> $2::smallint::text,
                        CASE WHEN delivery.verdicts ? 'event' THEN 'dead_lettered' END)
        FROM runferry.delivery AS delivery
        WHERE delivery.batch_id = $4 AND delivery.message_id = $5) AS verdict,
       letter.id AS letter_id, letter.reason, letter.sentence, letter.state
FROM (SELECT) AS one
LEFT JOIN runferry.dead_letter AS letter
       ON letter.run_id = $1 AND letter.stage = $2 AND letter.content_sha256 = $3;
