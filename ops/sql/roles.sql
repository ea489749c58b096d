-- The least rights that runferry's parts need, as three roles that nobody logs in as. Run it after every
-- `ops schema apply`, as the owner of the tables: `ops schema roles` does, or psql with the schema of the web app's
-- tables in its search_path. Again and at once is harmless. Then make users of them, each with a password of its own:
--
--   CREATE ROLE ann LOGIN PASSWORD '…' IN ROLE runferry_worker;
--
-- `ops schema apply` and `revert`, and the ways back that change the web app's rows (rollback, restore,
-- emergency-rollback, rehearse), are the owner's: none of these roles may run them. `--run-workers` starts workers,
-- so whoever says it needs their rights too.

DO $$
DECLARE
    wanted text;
    app text := (SELECT n.nspname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                 WHERE c.oid = to_regclass('"Run"'));
BEGIN
    IF app IS NULL OR to_regclass('runferry.ledger') IS NULL THEN
        RAISE EXCEPTION 'the tables are not there, or not in the search_path: run ops schema apply first';
    END IF;
    -- A role is the whole server's: another database may have made it, or an administrator whose right to this is.
    FOREACH wanted IN ARRAY ARRAY['runferry_worker', 'runferry_producer', 'runferry_ops'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
    -- What an earlier version needed and this one does not goes away.
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA runferry, %I FROM runferry_worker, runferry_producer, runferry_ops', app);
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA runferry, %I FROM runferry_worker, runferry_producer, runferry_ops', app);
    EXECUTE format('GRANT USAGE ON SCHEMA runferry, %I TO runferry_worker, runferry_producer, runferry_ops', app);
    -- pg_dump reads every table and sequence of the database.
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA runferry, %I TO runferry_ops', app);
    EXECUTE format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA runferry, %I TO runferry_ops', app);
END $$;

-- Workers, their scheduler among them. No right to a user's e-mail, star or ids, nor to delete a run.
GRANT SELECT (id, "clerkId"), INSERT ON "User" TO runferry_worker;
GRANT SELECT, INSERT,
    UPDATE ("companyId", "companyName", "documentName", "documentUrl", status, "currentStage", "errorMessage",
            "createdAt", "updatedAt", "completedAt") ON "Run" TO runferry_worker;
GRANT SELECT, INSERT, DELETE,
    UPDATE ("inspiration1Title", "inspiration1Content", "inspiration1Elements", "inspiration2Title",
            "inspiration2Content", "inspiration2Elements", "updatedAt") ON "InspirationReport" TO runferry_worker;
GRANT SELECT, INSERT, DELETE,
    UPDATE (title, tagline, problem, solution, why_now, target_segment, quick_win,
            "updatedAt") ON "OpportunityCard" TO runferry_worker;
GRANT SELECT, INSERT, UPDATE ("markdownOutput", "jsonOutput") ON "StageOutput" TO runferry_worker;
GRANT SELECT, INSERT, UPDATE ON runferry.run TO runferry_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON runferry.ledger, runferry.document TO runferry_worker;
GRANT SELECT, INSERT ON runferry.delivery TO runferry_worker;
GRANT SELECT, INSERT, UPDATE ON runferry.dead_letter TO runferry_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON runferry.reconcile_report TO runferry_worker;
GRANT SELECT, INSERT, DELETE ON runferry.reconcile_answer TO runferry_worker;
GRANT SELECT, DELETE ON runferry.reconcile_question TO runferry_worker;
GRANT SELECT ON runferry.schema_migration, runferry.phase_change TO runferry_worker;
-- The scheduler tells Prometheus how old they are, and no more of them.
GRANT SELECT (made_at, verified_at, restored_at) ON runferry.backup TO runferry_worker;
GRANT SELECT (id, at, passed) ON runferry.checklist_result TO runferry_worker;
GRANT SELECT (at, action) ON runferry.audit TO runferry_worker;

-- Producers: the emitter, the stage store, the outbox, the backfill. They write nothing: messages go to Redis.
GRANT SELECT (id, "clerkId") ON "User" TO runferry_producer;
GRANT SELECT ON "StageOutput" TO runferry_producer;
GRANT SELECT ON runferry.ledger, runferry.document, runferry.delivery, runferry.dead_letter,
    runferry.schema_migration, runferry.phase_change TO runferry_producer;

-- Operators: look, prove, mend, save. They read all, and write what runferry keeps of their doing.
GRANT INSERT ON runferry.audit, runferry.attestation, runferry.checklist_result, runferry.phase_change,
    runferry.delivery TO runferry_ops;
GRANT INSERT, UPDATE, DELETE ON runferry.dead_letter, runferry.reconcile_report TO runferry_ops;
GRANT DELETE ON runferry.reconcile_answer TO runferry_ops;
GRANT INSERT, DELETE ON runferry.reconcile_question TO runferry_ops;
GRANT INSERT, UPDATE ON runferry.backup TO runferry_ops;
