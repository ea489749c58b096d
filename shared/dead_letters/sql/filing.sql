-- name: note_deliveries
-- Notes that dead messages were handled, and returns those of which nothing was known: of the others a worker had
-- committed the end already, or another sweep was faster.
INSERT INTO runferry.delivery (batch_id, message_id, run_id, origin, publisher, published_at, worker, attempts, verdicts)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[],
                     $8::integer[], $9::jsonb[])
 ORDER BY 1, 2
ON CONFLICT (batch_id, message_id) DO NOTHING
RETURNING batch_id, message_id;
