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

-- name: last_reports
-- The last finished report over all runs, and the last one over some.
SELECT DISTINCT ON (scope ? 'all')
       id, finished_at, now() - finished_at AS age, scope, balanced, report - 'named' AS report,
       EXISTS (SELECT FROM runferry.audit
               WHERE action IN ('rollback', 'rollback begun') AND at > finished_at) AS rolled_back_since
FROM runferry.reconcile_report
WHERE finished_at IS NOT NULL AND balanced IS NOT NULL
ORDER BY scope ? 'all' DESC, id DESC;

-- name: standing
-- How long a letter waits, and how old the last checklist and backup are.
SELECT (SELECT now() - min(died_at) FROM runferry.dead_letter WHERE state IN ('open', 'replaying')) AS oldest_letter,
       checklist.passed AS checklist_passed,
       now() - checklist.at AS checklist_age,
       backup.verified_at IS NOT NULL OR backup.restored_at IS NOT NULL AS backup_verified,
       now() - backup.made_at AS backup_age
FROM (SELECT) AS one
LEFT JOIN (SELECT passed, at FROM runferry.checklist_result ORDER BY id DESC LIMIT 1) AS checklist ON true
LEFT JOIN (SELECT made_at, verified_at, restored_at FROM runferry.backup ORDER BY made_at DESC LIMIT 1) AS backup ON true;
