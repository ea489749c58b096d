-- name: begin_report
-- Begins a report.
INSERT INTO runferry.reconcile_report (started_at, scope) VALUES (now(), $1) RETURNING id;

-- name: hold_report
-- Says that a report is being made, for as long as this session lives.
SELECT pg_try_advisory_lock(hashtextextended('runferry.reconcile_report', $1::bigint));

-- name: let_report_go
-- Says that nobody makes it any more.
SELECT pg_advisory_unlock(hashtextextended('runferry.reconcile_report', $1::bigint));

-- name: keep_question
-- Keeps what a slice of a report asks that nobody waits for.
INSERT INTO runferry.reconcile_question (report_id, slice, asked) VALUES ($1, $2, $3);

-- name: leave_report
-- Leaves a report to whoever finishes it, once all of its questions are asked.
UPDATE runferry.reconcile_report SET report = $2 WHERE id = $1;

-- name: claim_slices
-- Gives whoever finishes a report so many numbers of slices that nobody had before: an answer to somebody who was
-- killed while he finished it may be there, or still come. Returns the first.
UPDATE runferry.reconcile_report
SET report = jsonb_set(report, '{left,last_slice}', to_jsonb((report -> 'left' ->> 'last_slice')::bigint + $2::bigint))
WHERE id = $1 RETURNING (report -> 'left' ->> 'last_slice')::bigint - $2::bigint + 1;

-- name: unfinished
-- Reports that have no end, oldest first; of one that was left, how many slices were asked and answered.
SELECT report.id, report.scope, report.report,
       (SELECT count(*) FROM runferry.reconcile_answer WHERE report_id = report.id) AS answered
FROM runferry.reconcile_report AS report
WHERE finished_at IS NULL AND ($1::bigint IS NULL OR id = $1) ORDER BY id;

-- name: answered_questions
-- The next questions of a report in order of their slices, with their answers; NULL where nobody was asked.
SELECT question.slice, question.asked, answer.worker, answer.answer
FROM runferry.reconcile_question AS question
LEFT JOIN runferry.reconcile_answer AS answer USING (report_id, slice)
WHERE question.report_id = $1 AND question.slice > $2 ORDER BY question.slice LIMIT $3;

-- name: report
-- One report.
SELECT id, started_at, finished_at, scope, balanced, report FROM runferry.reconcile_report WHERE id = $1;

-- name: open_letters
-- How many dead letters wait, of some runs or of all.
SELECT count(*) FROM runferry.dead_letter
WHERE state IN ('open', 'replaying') AND ($1::text[] IS NULL OR run_id = ANY($1));

-- name: take_answers
-- Takes the answers to some slices; what was taken is folded into the report and kept nowhere else.
DELETE FROM runferry.reconcile_answer WHERE report_id = $1 AND slice = ANY($2::integer[])
RETURNING slice, worker, answer;

-- name: end_report
-- Ends a report, once; from here on workers answer it no more.
WITH late AS (DELETE FROM runferry.reconcile_answer WHERE report_id = $1),
     asked AS (DELETE FROM runferry.reconcile_question WHERE report_id = $1)
UPDATE runferry.reconcile_report SET finished_at = now(), balanced = $2, report = $3
WHERE id = $1 AND finished_at IS NULL;

-- name: forget_reports
-- Drops reports that are older than their retention; the newest finished one always stays.
DELETE FROM runferry.reconcile_report
WHERE started_at < now() - $1::interval
  AND id <> (SELECT max(id) FROM runferry.reconcile_report WHERE finished_at IS NOT NULL);

-- name: history
-- The last reports, newest first.
SELECT id, started_at, finished_at, scope, balanced, report - 'named' AS report
FROM runferry.reconcile_report ORDER BY id DESC LIMIT $1;

-- name: applied_runs
-- The next runs of the ledger, in order of their ids, with their stages; deleted runs are left out.
SELECT entry.run_id, array_agg(entry.stage ORDER BY entry.stage) AS stages,
       array_agg(entry.origin ORDER BY entry.stage) AS origins
FROM runferry.ledger AS entry
WHERE entry.run_id > $1 AND entry.content_sha256 <> '' AND EXISTS (SELECT FROM "Run" WHERE id = entry.run_id)
GROUP BY entry.run_id ORDER BY entry.run_id LIMIT $2;

-- name: handled
-- How many messages of a repair were handled.
SELECT count(*) FROM runferry.delivery WHERE batch_id = $1;
