-- name: lock_waiting
-- Takes waiting letters for one transaction; those that another replay holds are left to it.
SELECT *
  FROM runferry.dead_letter
 WHERE id = ANY ($1::bigint[]) AND state IN ('open', 'replaying')
 ORDER BY id
   FOR UPDATE SKIP LOCKED;

-- name: claim
-- Marks letters as being replayed, each with its line of history.
UPDATE runferry.dead_letter AS letter
   SET state = 'replaying',
       replays = letter.replays + 1,
       history = letter.history || jsonb_build_array(claim.line)
  FROM unnest($1::bigint[], $2::jsonb[]) AS claim (id, line)
 WHERE letter.id = claim.id;

-- name: hand_over
-- Closes letters of run events: what became of an event is seen in its run, nothing tells it of the letter.
UPDATE runferry.dead_letter SET state = 'resolved', closed_at = now() WHERE id = ANY ($1::bigint[]);

-- name: outcomes
-- What became of a batch so far: messages by the verdict that matters most of each.
SELECT outcome, count(*) AS messages
  FROM (
       SELECT CASE
                  WHEN verdicts @? '$.* ? (@ == "dead_lettered" || @ == "undeliverable")' THEN 'dead_lettered'
                  WHEN verdicts @? '$.* ? (@ == "conflict")' THEN 'conflict'
                  WHEN verdicts @? '$.* ? (@ == "deleted" || @ == "outdated")' THEN 'deleted'
                  WHEN verdicts @? '$.* ? (@ == "applied")' THEN 'applied'
                  WHEN verdicts @? '$.* ? (@ == "duplicate")' THEN 'duplicate'
                  ELSE 'superseded'
              END AS outcome
         FROM runferry.delivery
        WHERE batch_id = $1
       ) AS delivered
 GROUP BY outcome;

-- name: not_committed
-- The messages of a batch that did not become rows, and why.
SELECT message_id,
       CASE
           WHEN verdicts @? '$.* ? (@ == "dead_lettered" || @ == "undeliverable")' THEN 'dead_lettered'
           WHEN verdicts @? '$.* ? (@ == "conflict")' THEN 'conflict'
           ELSE 'deleted'
       END AS outcome
  FROM runferry.delivery
 WHERE batch_id = $1
   AND verdicts @? '$.* ? (@ == "dead_lettered" || @ == "undeliverable" || @ == "conflict" || @ == "deleted"
                           || @ == "outdated")'
 ORDER BY message_id;
