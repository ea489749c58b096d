-- name: discard
-- Discards the selected letters up to an id, and keeps an audit line of each: who, when, why, and the hash of what was given up.
WITH discarded AS (
    UPDATE runferry.dead_letter
       SET state = 'discarded',
           closed_at = now(),
           history = history || jsonb_build_array(
               jsonb_build_object('at', now(), 'what', 'discarded', 'who', $10::text, 'why', $11::text)
           )
     WHERE {states} AND {selected} AND id <= $12
 RETURNING id, run_id, stage, content_sha256, reason
)
INSERT INTO runferry.audit (who, action, why, subject)
SELECT $10, 'discard dead letter', $11,
       jsonb_build_object(
           'letter', id, 'run_id', run_id, 'stage', stage, 'content_sha256', content_sha256, 'reason', reason
       )
  FROM discarded
 ORDER BY id;

-- name: purgeable
-- How many closed letters of these states were closed before a moment.
SELECT count(*) FROM runferry.dead_letter WHERE state = ANY ($1::text[]) AND closed_at < $2;

-- name: purge
-- Deletes a bounded number of closed letters of these states that were closed before a moment.
DELETE FROM runferry.dead_letter
 WHERE id IN (
       SELECT id FROM runferry.dead_letter
        WHERE state = ANY ($1::text[]) AND state NOT IN ('open', 'replaying') AND closed_at < $2
        ORDER BY id
        LIMIT $3
       );

-- name: audit
-- Keeps what a person did.
INSERT INTO runferry.audit (who, action, why, subject) VALUES ($1, $2, $3, $4);
