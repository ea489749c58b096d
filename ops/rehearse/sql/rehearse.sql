-- name: live
-- The database that is rehearsed for: its number on the server, and whether it can keep the result.
SELECT oid::bigint AS number, to_regclass('runferry.rehearsal') IS NOT NULL AS keeps
FROM pg_catalog.pg_database WHERE datname = current_database();

-- name: try_lock
-- One rehearsal at a time for one database; the lock ends with the session, however that ends.
SELECT pg_try_advisory_lock(hashtextextended('runferry.rehearsal', 0));

-- name: begin
-- Remembers that a rehearsal began, and what it leaves where it is killed.
INSERT INTO runferry.rehearsal (scratch_databases) VALUES ($1) RETURNING id;

-- name: finish
-- Keeps the result of a rehearsal.
UPDATE runferry.rehearsal SET finished_at = now(), passed = $2, steps = $3::jsonb WHERE id = $1;

-- name: web_app_user
-- A user of the web app, which a rollback must leave as it is.
INSERT INTO "User" VALUES ('rehearsal-user', 'rehearsal-user', 'user@rehearsal.invalid', 'R', '2025-01-01', '2025-01-02');

-- name: web_app_runs
-- Runs that the web app made.
INSERT INTO "Run"
SELECT 'rehearsal-' || n, 'rehearsal-user', 'c', 'C', 'd.pdf', 'https://rehearsal.invalid', 'RUNNING', 2, NULL,
       '2025-01-01 10:00:00.123', '2025-01-02 10:00:00.456', NULL
FROM generate_series(1, 20) AS n;

-- name: web_app_cards
-- Cards of the web app, some of them starred.
INSERT INTO "OpportunityCard"
SELECT 'rehearsal-' || n || '-' || c, 'rehearsal-' || n, 'rehearsal-user', c, 'T', '', '', '', '', '', '', c = 2,
       '2025-01-01 10:00:00.123', '2025-01-02 10:00:00.456'
FROM generate_series(1, 20) AS n, generate_series(1, 3) AS c;
