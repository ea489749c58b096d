-- name: user
-- The user that a person named by its id or its clerkId; the id wins where both exist.
SELECT id FROM "User" WHERE id = $1 OR "clerkId" = $1 ORDER BY id = $1 DESC LIMIT 1

-- name: accounted
-- The outputs of some runs that need not be sent again: in the rows, mended, or in a letter that is not resolved.
SELECT run_id, stage, content_sha256 FROM runferry.ledger WHERE run_id = ANY($1::text[])
UNION ALL
SELECT run_id, stage, unnest(mends) FROM runferry.ledger WHERE run_id = ANY($1::text[])
UNION ALL
SELECT run_id, stage, content_sha256 FROM runferry.dead_letter WHERE run_id = ANY($1::text[]) AND state <> 'resolved'

-- name: applied
-- The outputs of some runs that are in the rows by now.
SELECT run_id, stage, content_sha256 FROM runferry.ledger WHERE run_id = ANY($1::text[]);

-- name: deliveries
-- What became of some messages of a batch.
SELECT message_id, verdicts, gaps FROM runferry.delivery WHERE batch_id = $1 AND message_id = ANY($2::text[])

-- name: letters
-- The dead letters of some outputs.
SELECT letter.id, letter.run_id, letter.stage, letter.reason, letter.sentence
FROM unnest($1::text[], $2::smallint[], $3::text[]) AS wanted (run_id, stage, content_sha256)
JOIN runferry.dead_letter AS letter USING (run_id, stage, content_sha256)
ORDER BY letter.run_id, letter.stage, letter.id
