-- What is in the web app's tables; the search_path must be their schema.

-- name: card_duplicates
-- Cards that share run and number, so that the unique key can't be made.
SELECT "runId" AS run_id, "number" AS number, array_agg("id" ORDER BY "createdAt", "id") AS ids
FROM "OpportunityCard"
GROUP BY "runId", "number"
HAVING count(*) > 1
ORDER BY "runId", "number";

-- name: stage_output_duplicates
-- Stage outputs that share run and stage, so that the unique key can't be made.
SELECT "runId" AS run_id, "stageNumber" AS number, array_agg("id" ORDER BY "createdAt", "id") AS ids
FROM "StageOutput"
GROUP BY "runId", "stageNumber"
HAVING count(*) > 1
ORDER BY "runId", "stageNumber";

-- name: lock_keyed_tables
-- Nobody writes to the two tables while their unique keys are made; readers go on.
LOCK TABLE "OpportunityCard", "StageOutput" IN SHARE ROW EXCLUSIVE MODE;
