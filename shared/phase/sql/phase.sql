-- name: in_force
-- The change that is in force.
SELECT phase, at, who, why FROM runferry.phase_change ORDER BY at DESC, id DESC LIMIT 1;

-- name: history
-- The changes, latest first.
SELECT id, phase, at, who, why, forced, evidence FROM runferry.phase_change ORDER BY at DESC, id DESC LIMIT $1;

-- name: record
-- Sets the phase. Its time is later than any before, and than the one that the caller knows of: a database that was
-- restored from a backup must not set a phase that is older than what the processes remember.
INSERT INTO runferry.phase_change (at, who, phase, why, forced, evidence)
SELECT greatest(clock_timestamp(), $6::timestamptz + interval '1 microsecond',
                (SELECT max(at) FROM runferry.phase_change) + interval '1 microsecond'),
       $1, $2, $3, $4, $5::jsonb
RETURNING at;

-- name: record_forced
-- Keeps for good who went past the gates, and why.
INSERT INTO runferry.audit (who, action, why, subject) VALUES ($1, 'phase forced', $2, $3::jsonb);

-- name: lock
-- Two people never change the phase at once.
SELECT pg_advisory_xact_lock(hashtextextended('runferry.phase', 0));
