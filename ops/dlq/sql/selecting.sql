-- name: selected
-- What a selection means; every query that takes one begins with these parameters.
($1::bigint[] IS NULL OR id = ANY ($1))
AND ($2::text[] IS NULL OR state = ANY ($2))
AND ($3::text IS NULL OR reason = $3)
AND ($4::text IS NULL OR starts_with(fingerprint, $4))
AND ($5::text IS NULL OR run_id = $5)
AND ($6::smallint IS NULL OR stage = $6)
AND ($7::text IS NULL OR origin = $7)
AND ($8::timestamptz IS NULL OR died_at >= $8)
AND ($9::timestamptz IS NULL OR died_at < $9)

-- name: waiting
-- Said in the very words of the partial indexes, so that the planner sees that they serve.
state IN ('open', 'replaying')

-- name: page
-- One page of letters in short, newest first, below an id.
SELECT id, state, reason, sentence, run_id, stage, origin, died_at, fingerprint, seen, replays
  FROM runferry.dead_letter
 WHERE {states} AND {selected} AND id < $10
 ORDER BY id DESC
 LIMIT $11;

-- name: count
-- How many letters are selected.
SELECT count(*) FROM runferry.dead_letter WHERE {states} AND {selected};

-- name: newest
-- The newest selected letter: what is filed later stays out of a command that has begun.
SELECT max(id) FROM runferry.dead_letter WHERE {states} AND {selected};

-- name: found
-- Which of the named letters exist.
SELECT id, state FROM runferry.dead_letter WHERE id = ANY ($1::bigint[]);

-- name: next_sizes
-- The next selected letters above an id up to another, oldest first, with the size of their payloads in bytes.
SELECT id, octet_length(payload) AS bytes
  FROM runferry.dead_letter
 WHERE {states} AND {selected} AND id > $10 AND id <= $11
 ORDER BY id
 LIMIT $12;

-- name: whole
-- Letters with everything, in the order of their ids.
SELECT * FROM runferry.dead_letter WHERE id = ANY ($1::bigint[]) ORDER BY id;

-- name: groups
-- The groups of equal failures, largest first, each with its newest letter as the example.
WITH grouped AS (
    SELECT fingerprint, count(*) AS letters, min(died_at) AS first, max(died_at) AS last, max(id) AS example
      FROM runferry.dead_letter
     WHERE {states} AND {selected}
     GROUP BY fingerprint
     ORDER BY count(*) DESC, max(id) DESC
     LIMIT $10
)
SELECT grouped.*, letter.reason, letter.stage, letter.run_id, letter.sentence
  FROM grouped
  JOIN runferry.dead_letter AS letter ON letter.id = grouped.example
 ORDER BY grouped.letters DESC, grouped.example DESC;
