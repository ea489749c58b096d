-- name: reserve_ids
-- Moves the sequence of ids beyond what is imported, so that no letter filed meanwhile takes one of these ids.
SELECT setval(
           pg_get_serial_sequence('runferry.dead_letter', 'id'),
           greatest($1::bigint, nextval(pg_get_serial_sequence('runferry.dead_letter', 'id')))
       );

-- name: import
-- Files one letter as it was exported, under its own id where that is free; a letter of this identity stays as it is.
INSERT INTO runferry.dead_letter (
    id, run_id, stage, content_sha256, state, reason, sentence, place, error_class, error_text, traceback, fingerprint,
    attempts, first_failed_at, last_failed_at, died_at, worker_host, worker_pid, worker_version, origin, produced_at,
    batch_id, message_id, queue, envelope, payload, seen, replays, history, closed_at
) OVERRIDING SYSTEM VALUE
SELECT CASE
           WHEN EXISTS (SELECT FROM runferry.dead_letter WHERE id = $1)
               THEN nextval(pg_get_serial_sequence('runferry.dead_letter', 'id'))
           ELSE $1
       END,
       $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,
       $26, $27, $28, $29, $30
ON CONFLICT ON CONSTRAINT dead_letter_identity DO NOTHING;
