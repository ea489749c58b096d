-- name: record
-- Files letters by identity, none of which comes twice. The ledger of the same transaction decides how a letter begins:
-- an output that is older than what is applied, or that was mended, waits for nobody. One that is there already counts
-- what it has seen, takes the newest evidence, and gets a line of history only when something changed.
WITH incoming AS (
    SELECT *
      FROM unnest(
               $1::text[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::text[], $8::text[],
               $9::text[], $10::text[], $11::integer[], $12::timestamptz[], $13::timestamptz[], $14::text[],
               $15::integer[], $16::text[], $17::text[], $18::timestamptz[], $19::text[], $20::text[], $21::text[],
               $22::jsonb[], $23::bytea[]
           ) AS i (
               run_id, stage, content_sha256, reason, sentence, place, error_class, error_text,
               traceback, fingerprint, attempts, first_failed_at, last_failed_at, worker_host,
               worker_pid, worker_version, origin, produced_at, batch_id, message_id, queue,
               envelope, payload
           )
)
INSERT INTO runferry.dead_letter AS letter (
    run_id, stage, content_sha256, reason, sentence, place, error_class, error_text, traceback, fingerprint, attempts,
    first_failed_at, last_failed_at, worker_host, worker_pid, worker_version, origin, produced_at, batch_id,
    message_id, queue, envelope, payload, state, closed_at, history
)
SELECT i.run_id, i.stage, i.content_sha256, i.reason, i.sentence, i.place, i.error_class, i.error_text, i.traceback,
       i.fingerprint, i.attempts, i.first_failed_at, i.last_failed_at, i.worker_host, i.worker_pid, i.worker_version,
       made.origin, made.produced_at, i.batch_id, i.message_id, i.queue, i.envelope, i.payload,
       begin.state,
       CASE WHEN begin.state <> 'open' THEN now() END,
       jsonb_build_array(jsonb_build_object(
           'at', i.last_failed_at, 'what', 'died', 'who', i.worker_host || ':' || i.worker_pid,
           'reason', i.reason, 'batch_id', i.batch_id
       ))
  FROM incoming AS i
  LEFT JOIN runferry.ledger AS applied USING (run_id, stage)
  LEFT JOIN runferry.dead_letter AS known
         ON known.run_id = i.run_id AND known.stage = i.stage AND known.content_sha256 = i.content_sha256
 CROSS JOIN LATERAL (
       -- What a pipeline sent keeps the pipeline's time: a backfill of the same file knows no better one.
       SELECT CASE WHEN known.origin = 'pipeline' THEN known.origin ELSE i.origin END AS origin,
              CASE
                  WHEN known.id IS NULL THEN i.produced_at
                  WHEN (known.origin = 'pipeline') = (i.origin = 'pipeline')
                      THEN greatest(known.produced_at, i.produced_at)
                  WHEN known.origin = 'pipeline' THEN known.produced_at
                  ELSE i.produced_at
              END AS produced_at
       ) AS made
 CROSS JOIN LATERAL (
       SELECT CASE
                  WHEN i.content_sha256 = ANY (applied.mends) THEN 'mended'
                  WHEN i.content_sha256 = applied.content_sha256 THEN 'resolved'
                  WHEN made.produced_at < applied.produced_at THEN 'resolved'
                  ELSE 'open'
              END AS state
       ) AS begin
 ORDER BY i.run_id, i.stage, i.content_sha256
ON CONFLICT ON CONSTRAINT dead_letter_identity DO UPDATE SET
    seen = letter.seen + 1,
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
    -- When it became dead the last time, which is what `since` and the groups go by.
    died_at = CASE
        WHEN letter.state IN ('replaying', 'resolved', 'mended') AND excluded.state = 'open'
             AND (letter.state <> 'replaying' OR excluded.envelope ->> 'origin' = 'replay') THEN excluded.died_at
        ELSE letter.died_at
    END,
    origin = excluded.origin,
    produced_at = excluded.produced_at,
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
-- it, and, where the output is the one that holds, everything older of its run and stage. A replay that was not
-- written (a conflict, a deleted run) waits again.
UPDATE runferry.dead_letter AS letter
   SET state = answer.state,
       closed_at = CASE WHEN answer.state <> 'open' THEN now() END,
       history = letter.history || jsonb_build_array(jsonb_build_object(
           'at', now(), 'what', CASE answer.state WHEN 'open' THEN 'not_applied' ELSE answer.state END,
           'who', $7::text, 'verdict', answer.verdict, 'by', answer.content_sha256
       ))
  FROM (
       SELECT DISTINCT ON (old.id)
              old.id, settled.verdict, settled.content_sha256,
              CASE
                  WHEN settled.verdict NOT IN ('applied', 'duplicate', 'superseded', 'mended') THEN 'open'
                  WHEN old.content_sha256 <> settled.content_sha256 AND how.mends THEN 'mended'
                  ELSE 'resolved'
              END AS state
         FROM unnest($1::text[], $2::smallint[], $3::text[], $4::timestamptz[], $5::text[], $6::text[])
              AS settled (run_id, stage, content_sha256, produced_at, mends, verdict)
         JOIN runferry.dead_letter AS old
           ON old.run_id = settled.run_id AND old.stage = settled.stage AND old.state IN ('open', 'replaying')
        CROSS JOIN LATERAL (
              SELECT coalesce(settled.mends IN (old.content_sha256, old.envelope ->> 'mends'), false) AS mends
              ) AS how
        WHERE CASE
                  WHEN settled.verdict NOT IN ('applied', 'duplicate', 'superseded', 'mended')
                      THEN old.state = 'replaying'
                           AND old.content_sha256 IN (settled.content_sha256, settled.mends)
                  ELSE how.mends
                       OR old.content_sha256 = settled.content_sha256
                       OR (settled.verdict IN ('applied', 'duplicate')
                           AND settled.produced_at > coalesce(old.produced_at, old.first_failed_at))
              END
        ORDER BY old.id, settled.verdict IN ('applied', 'duplicate', 'superseded', 'mended') DESC, how.mends DESC
       ) AS answer
 WHERE letter.id = answer.id
   AND letter.state IN ('open', 'replaying');

-- name: resolve_messages
-- Closes the letters of whole messages (bytes that were none, stage 0) that settled outputs came out of. Where one of
-- them was not written, the letter has the only copy, and waits again.
UPDATE runferry.dead_letter AS letter
   SET state = CASE WHEN settled.is_written THEN 'resolved' ELSE 'open' END,
       closed_at = CASE WHEN settled.is_written THEN now() END,
       history = letter.history || jsonb_build_array(jsonb_build_object(
           'at', now(), 'what', CASE WHEN settled.is_written THEN 'resolved' ELSE 'not_applied' END,
           'who', $4::text, 'verdict', settled.verdict
       ))
  FROM (
       SELECT mends, run_id, bool_and(w.is_written) AS is_written,
              (array_agg(verdict ORDER BY w.is_written, verdict))[1] AS verdict
         FROM unnest($1::text[], $2::text[], $3::text[]) AS u (mends, run_id, verdict)
        CROSS JOIN LATERAL (
              SELECT u.verdict IN ('applied', 'duplicate', 'superseded', 'mended') AS is_written
              ) AS w
        GROUP BY mends, run_id
       ) AS settled
 WHERE letter.content_sha256 = settled.mends
   AND letter.run_id IN (settled.run_id, '')
   AND letter.stage = 0
   AND (letter.state = 'replaying' OR (letter.state = 'open' AND settled.is_written));
