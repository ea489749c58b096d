-- name: record
-- Files letters by identity. The ledger of the same transaction decides how a letter begins: an output that is older
-- than what is applied, or that was mended, waits for nobody. One that is there already counts what it has seen, takes
-- the newest evidence, and gets a line of history only when something changed.
WITH incoming AS (
    SELECT *
      FROM unnest(
               $1::text[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::text[], $8::text[],
               $9::text[], $10::text[], $11::integer[], $12::timestamptz[], $13::timestamptz[], $14::text[],
               $15::integer[], $16::text[], $17::text[], $18::timestamptz[], $19::text[], $20::text[], $21::text[],
               $22::jsonb[], $23::bytea[], $24::bigint[]
           ) AS i (
               run_id, stage, content_sha256, reason, sentence, place, error_class, error_text,
               traceback, fingerprint, attempts, first_failed_at, last_failed_at, worker_host,
               worker_pid, worker_version, origin, produced_at, batch_id, message_id, queue,
               envelope, payload, seen
           )
)
INSERT INTO runferry.dead_letter AS letter (
    run_id, stage, content_sha256, reason, sentence, place, error_class, error_text, traceback, fingerprint, attempts,
    first_failed_at, last_failed_at, worker_host, worker_pid, worker_version, origin, produced_at, batch_id,
    message_id, queue, envelope, payload, seen, state, closed_at, history
)
SELECT i.*,
       begin.state,
       CASE WHEN begin.state <> 'open' THEN now() END,
       jsonb_build_array(jsonb_build_object(
           'at', i.last_failed_at, 'what', 'died', 'who', i.worker_host || ':' || i.worker_pid,
           'reason', i.reason, 'batch_id', i.batch_id
       ))
  FROM incoming AS i
  LEFT JOIN runferry.ledger AS applied USING (run_id, stage)
 CROSS JOIN LATERAL (
       SELECT CASE
                  WHEN i.content_sha256 = ANY (applied.mends) THEN 'mended'
                  WHEN i.content_sha256 = applied.content_sha256 THEN 'resolved'
                  WHEN i.produced_at < applied.produced_at THEN 'resolved'
                  ELSE 'open'
              END AS state
       ) AS begin
 ORDER BY i.run_id, i.stage, i.content_sha256
ON CONFLICT ON CONSTRAINT dead_letter_identity DO UPDATE SET
    seen = letter.seen + excluded.seen,
    state = CASE
        WHEN letter.state = 'discarded' THEN 'discarded'
        WHEN letter.state = 'mended' AND excluded.state <> 'open' THEN 'mended'
        WHEN excluded.state <> 'open' THEN excluded.state
        WHEN letter.state = 'replaying' AND excluded.envelope ->> 'origin' IS DISTINCT FROM 'replay' THEN 'replaying'
        ELSE 'open'
    END,
    closed_at = CASE
        WHEN letter.state = 'discarded' OR excluded.state <> 'open' THEN coalesce(letter.closed_at, excluded.closed_at)
    END,
    history = letter.history || CASE
        WHEN excluded.envelope ->> 'origin' = 'replay' THEN jsonb_set(excluded.history, '{0,what}', '"died_again"')
        WHEN letter.state IN ('resolved', 'mended') AND excluded.state = 'open'
            THEN jsonb_set(excluded.history, '{0,what}', '"came_back"')
        WHEN letter.fingerprint <> excluded.fingerprint
            THEN jsonb_set(excluded.history, '{0,what}', '"failed_otherwise"')
        ELSE '[]'
    END,
    reason = excluded.reason,
    sentence = excluded.sentence,
    place = excluded.place,
    error_class = excluded.error_class,
    error_text = excluded.error_text,
    traceback = excluded.traceback,
    fingerprint = excluded.fingerprint,
    attempts = excluded.attempts,
    first_failed_at = least(letter.first_failed_at, excluded.first_failed_at),
    last_failed_at = greatest(letter.last_failed_at, excluded.last_failed_at),
    worker_host = excluded.worker_host,
    worker_pid = excluded.worker_pid,
    worker_version = excluded.worker_version,
    -- What a pipeline sent keeps the pipeline's time: a backfill of the same file knows no better one.
    origin = CASE WHEN letter.origin = 'pipeline' THEN letter.origin ELSE excluded.origin END,
    produced_at = CASE
        WHEN (letter.origin = 'pipeline') = (excluded.origin = 'pipeline')
            THEN greatest(letter.produced_at, excluded.produced_at)
        WHEN letter.origin = 'pipeline' THEN letter.produced_at
        ELSE excluded.produced_at
    END,
    batch_id = excluded.batch_id,
    message_id = excluded.message_id,
    queue = excluded.queue
RETURNING id, run_id, stage, content_sha256;

-- name: reopen_unmended
-- Opens the letters again whose mended copies died just now.
UPDATE runferry.dead_letter AS letter
   SET state = 'open',
       history = letter.history || jsonb_build_array(jsonb_build_object(
           'at', died.at, 'what', 'mend_died', 'who', died.who, 'reason', died.reason, 'as', died.content_sha256
       ))
  FROM unnest($1::text[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
       AS died (run_id, stage, mends, content_sha256, reason, who, at)
 WHERE letter.run_id = died.run_id
   AND letter.stage = died.stage
   AND letter.content_sha256 = died.mends
   AND letter.state = 'replaying';

-- name: resolve
-- Closes the waiting letters that settled outputs answer: themselves, what they mend with all earlier tries to mend
-- it, and, where the output is the one that holds, everything older of its run and stage.
UPDATE runferry.dead_letter AS letter
   SET state = CASE WHEN answer.mended THEN 'mended' ELSE 'resolved' END,
       closed_at = now(),
       history = letter.history || jsonb_build_array(jsonb_build_object(
           'at', now(), 'what', CASE WHEN answer.mended THEN 'mended' ELSE 'resolved' END, 'who', $7::text,
           'verdict', settled.verdict, 'by', settled.content_sha256
       ))
  FROM unnest($1::text[], $2::smallint[], $3::text[], $4::timestamptz[], $5::text[], $6::text[])
       AS settled (run_id, stage, content_sha256, produced_at, mends, verdict)
  JOIN runferry.dead_letter AS old
    ON old.run_id = settled.run_id AND old.stage = settled.stage AND old.state IN ('open', 'replaying')
 CROSS JOIN LATERAL (
       SELECT old.content_sha256 <> settled.content_sha256
              AND settled.mends IN (old.content_sha256, old.envelope ->> 'mends') AS mended
       ) AS answer
 WHERE letter.id = old.id
   AND letter.state IN ('open', 'replaying')
   AND (
       answer.mended
       OR old.content_sha256 = settled.content_sha256
       OR (settled.verdict IN ('applied', 'duplicate')
           AND settled.produced_at > coalesce(old.produced_at, old.first_failed_at))
   );
