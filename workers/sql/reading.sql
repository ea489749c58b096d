-- name: lock_runs
-- Serialises all writers of some runs, also of runs that have no row yet. The keys come sorted, so that two
-- transactions never wait for each other in a circle. One row, by an aggregate: a client that asks for the first row
-- of many (asyncpg's fetchrow) would have the server stop there, with one lock taken. What holds for the rest of this
-- transaction is set here, in no trip of its own: $2, where it is not null, is how long it waits for any one lock,
-- these among them; and statements that find rows by run id are planned once a session, not each time, which takes
-- longer than they do. Their plans are made while tables may be empty, so they must not choose to read whole ones.
WITH settings AS MATERIALIZED (
    SELECT set_config('lock_timeout', coalesce($2, current_setting('lock_timeout')), true) AS lock_timeout,
           set_config('plan_cache_mode', 'force_generic_plan', true) AS plan_cache_mode,
           set_config('enable_seqscan', 'off', true) AS enable_seqscan
)
SELECT now() AS moment, count(pg_advisory_xact_lock(key)) AS locked, count(settings) AS settings
FROM settings, unnest($1::bigint[]) AS key;

-- name: look
-- How much there is of some runs, and who is meant by some ids, each a User.id or a clerkId: of new runs that is all
-- that needs to be read. Counted, since for EXISTS the planner may read a whole table in the hope of a row that isn't
-- there.
SELECT (SELECT count(*) FROM "Run" WHERE id = ANY($1::text[])) AS runs,
       (SELECT count(*) FROM runferry.run WHERE run_id = ANY($1::text[])) AS records,
       (SELECT count(*) FROM runferry.ledger WHERE run_id = ANY($1::text[])) AS entries,
       (SELECT count(*) FROM runferry.dead_letter
        WHERE run_id = ANY($1::text[]) AND state IN ('open', 'replaying', 'discarded') AND stage > 0) AS letters,
       ARRAY(SELECT ARRAY[id, "clerkId"] FROM "User" WHERE id = ANY($2::text[]) OR "clerkId" = ANY($2::text[])) AS users;

-- name: are_new
-- One row where nothing is held of some runs, none otherwise; a condition for what is inserted in the same statement.
-- It takes the runs' locks without waiting: who has one is about to write. What the statement sees was settled before,
-- so it also makes sure that nobody has committed since: whoever had a lock until then must have got its number before
-- this transaction got one, and is therefore among those that were under way, or that began after what is seen.
-- $1 the runs' keys, $2 the runs, $3 the names of users, $4 who was meant by them.
WITH locked AS MATERIALIZED (
    SELECT count(*) FILTER (WHERE pg_try_advisory_xact_lock(key)) AS locks
    FROM unnest($1::bigint[]) AS key
), present AS MATERIALIZED (
    SELECT pg_current_snapshot() AS seen, pg_current_xact_id()::text::bigint AS own
    FROM locked WHERE locks = cardinality($1::bigint[])
)
SELECT FROM present
WHERE NOT EXISTS (SELECT FROM pg_snapshot_xip(seen) AS other WHERE pg_xact_status(other) = 'committed')
  AND NOT EXISTS (
          SELECT FROM generate_series(pg_snapshot_xmax(seen)::text::bigint, own - 1) AS other
          WHERE pg_xact_status(other::text::xid8) = 'committed'
      )
  AND (SELECT count(*) FROM "Run" WHERE id = ANY($2::text[])) = 0
  AND (SELECT count(*) FROM runferry.run WHERE run_id = ANY($2::text[])) = 0
  AND (SELECT count(*) FROM runferry.ledger WHERE run_id = ANY($2::text[])) = 0
  AND (SELECT count(*) FROM runferry.dead_letter
       WHERE run_id = ANY($2::text[]) AND state IN ('open', 'replaying', 'discarded') AND stage > 0) = 0
  AND (SELECT count(*) FROM unnest($3::text[], $4::text[]) AS named (said, owner)
       WHERE owner = coalesce((SELECT id FROM "User" WHERE id = said),
                              (SELECT id FROM "User" WHERE "clerkId" = said))) = cardinality($3::text[]);

-- name: read_runs
-- The web app's rows of some runs, locked in sorted order against the app's own writes. NO KEY: the app may still
-- add rows that refer to them.
SELECT id, "userId", "companyId", "companyName", "documentName", "documentUrl", status::text AS status,
       "currentStage", "errorMessage", "createdAt", "completedAt", "updatedAt"
FROM "Run" WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE;

-- name: read_records
-- What runferry knows of some runs.
SELECT run_id, inserted, before_image, written, evidence FROM runferry.run WHERE run_id = ANY($1::text[]);

-- name: read_ledger
-- What is applied of some runs.
SELECT run_id, stage, content_sha256, produced_at, origin, authority, manifest, gaps, facts, mends, settled,
       rows_written, batch_id, message_id, times_applied
FROM runferry.ledger WHERE run_id = ANY($1::text[]);

-- name: read_open_letters
-- The dead letters of some runs that no later output has answered; a discarded one still accounts for its stage.
SELECT run_id, stage, content_sha256, origin, produced_at
FROM runferry.dead_letter WHERE run_id = ANY($1::text[]) AND state IN ('open', 'replaying', 'discarded') AND stage > 0;

-- name: read_row_ids
-- Which rows of the web app exist for some runs; enough to tell a duplicate.
SELECT "runId", 'StageOutput' AS "table", "stageNumber" AS number, id, false AS starred
FROM "StageOutput" WHERE "runId" = ANY($1::text[])
UNION ALL
SELECT "runId", 'InspirationReport', 0, id, false
FROM "InspirationReport" WHERE "runId" = ANY($1::text[])
UNION ALL
SELECT "runId", 'OpportunityCard', number, id, starred
FROM "OpportunityCard" WHERE "runId" = ANY($1::text[]);

-- name: read_stage_outputs
-- The values of some stage outputs, locked: they may be overwritten, and the ledger keeps what they held.
SELECT id, "runId", "stageNumber", "markdownOutput", "jsonOutput"
FROM "StageOutput" WHERE "runId" = ANY($1::text[]) ORDER BY id FOR UPDATE;

-- name: read_reports
-- The values of some inspiration reports, locked.
SELECT id, "runId", "inspiration1Title", "inspiration1Content", "inspiration1Elements",
       "inspiration2Title", "inspiration2Content", "inspiration2Elements", "updatedAt"
FROM "InspirationReport" WHERE "runId" = ANY($1::text[]) ORDER BY id FOR UPDATE;

-- name: read_cards
-- The values of some opportunity cards, locked.
SELECT id, "runId", number, title, tagline, problem, solution, why_now, target_segment, quick_win, starred,
       "updatedAt"
FROM "OpportunityCard" WHERE "runId" = ANY($1::text[]) ORDER BY id FOR UPDATE;
