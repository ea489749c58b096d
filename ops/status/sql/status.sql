-- name: rows
-- How many rows there are.
SELECT (SELECT count(*) FROM "Run") AS "Run",
       (SELECT count(*) FROM "InspirationReport") AS "InspirationReport",
       (SELECT count(*) FROM "OpportunityCard") AS "OpportunityCard",
       (SELECT count(*) FROM "StageOutput") AS "StageOutput";

-- name: ledger
-- How many outputs are applied.
SELECT count(*) FROM runferry.ledger WHERE content_sha256 <> '';

-- name: dead_letters
-- The dead letters that wait for somebody, by reason.
SELECT reason, count(*) AS letters FROM runferry.dead_letter
WHERE state IN ('open', 'replaying') GROUP BY reason ORDER BY letters DESC, reason;

-- name: handled
-- How many messages were handled lately.
SELECT count(*) FROM runferry.delivery WHERE handled_at > now() - $1::interval;

-- name: last_report
-- The last finished report over all runs, else the last finished one.
SELECT id, finished_at, now() - finished_at AS age, scope, balanced, report - 'named' AS report
FROM runferry.reconcile_report
WHERE finished_at IS NOT NULL AND balanced IS NOT NULL
ORDER BY scope ? 'all' DESC, id DESC LIMIT 1;
