-- name: ends
-- What became of some messages of one output each. The delivery of the very message, else (deliveries have a
-- retention) the same content in the ledger, in a dead letter or among the kept documents, with a time that is not
-- older: an older one may be from before another output came between.
SELECT wanted.message_id,
       coalesce(
           delivery.verdicts ->> wanted.stage::text,
           CASE WHEN delivery.verdicts ? 'event' THEN 'dead_lettered' END,
           (SELECT 'applied' FROM runferry.ledger AS entry
            WHERE entry.run_id = wanted.run_id AND entry.stage = wanted.stage
              AND entry.content_sha256 = wanted.content_sha256 AND entry.produced_at >= wanted.produced_at),
           (SELECT 'dead_lettered' FROM runferry.dead_letter AS letter
            WHERE letter.run_id = wanted.run_id AND letter.stage = wanted.stage
              AND letter.content_sha256 = wanted.content_sha256 AND letter.produced_at >= wanted.produced_at),
           (SELECT 'superseded' FROM runferry.document AS document
            WHERE document.run_id = wanted.run_id AND document.stage = wanted.stage
              AND document.content_sha256 = wanted.content_sha256 AND document.superseded
              AND document.produced_at >= wanted.produced_at
            LIMIT 1)
       ) AS verdict
FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::timestamptz[])
     AS wanted (message_id, batch_id, run_id, stage, content_sha256, produced_at)
LEFT JOIN runferry.delivery AS delivery USING (batch_id, message_id);
