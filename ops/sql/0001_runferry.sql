-- runferry's own tables. They live in a schema of their own, which `ops schema apply` makes before this file:
-- the web app's migrations never see them.

-- What runferry knows of a web-app "Run": whether it inserted it, what it wrote there last, and the evidence
-- from which the Run's columns are derived. A row here without a "Run" means: deleted in the web app.
CREATE TABLE runferry.run (
    run_id           text PRIMARY KEY,
    inserted         boolean NOT NULL,          -- runferry inserted the "Run"
    before_image     jsonb,                     -- the "Run" as it was before runferry first changed it
    written          jsonb NOT NULL DEFAULT '{}', -- column -> value that runferry wrote last
    evidence         jsonb NOT NULL DEFAULT '{}', -- hints and events with their times, stages at the source
    updated_at       timestamptz NOT NULL DEFAULT now()
);

-- What is applied: one row per run and stage, written in the transaction of its rows.
CREATE TABLE runferry.ledger (
    run_id           text NOT NULL,
    stage            smallint NOT NULL CHECK (stage BETWEEN 1 AND 5),
    content_sha256   text NOT NULL,
    produced_at      timestamptz NOT NULL,
    origin           text NOT NULL,
    authority        smallint NOT NULL,         -- how far its time may overwrite others; see workers/ordering.py
    manifest         jsonb NOT NULL,            -- [{"name", "size", "sha256"}]
    gaps             jsonb NOT NULL DEFAULT '[]',
    facts            jsonb NOT NULL DEFAULT '{}',
    mends            text[] NOT NULL DEFAULT '{}', -- hashes of dead-lettered outputs that this one replaces
    settled          text[] NOT NULL DEFAULT '{}', -- hashes of outputs on disk that were settled in favour of these rows
    rows_written     jsonb NOT NULL,            -- [{"table", "id", "number", "op": inserted|updated|adopted, "sha256", "before"?}]
    batch_id         text NOT NULL,
    message_id       text NOT NULL,
    applied_at       timestamptz NOT NULL DEFAULT now(),
    times_applied    integer NOT NULL DEFAULT 1,
    PRIMARY KEY (run_id, stage)
);

-- Documents that the rows can't give back exactly, and all documents of a superseded pipeline output.
CREATE TABLE runferry.document (
    run_id           text NOT NULL,
    stage            smallint NOT NULL,
    content_sha256   text NOT NULL,             -- of the output that it belongs to
    name             text NOT NULL,
    content          bytea NOT NULL,
    superseded       boolean NOT NULL DEFAULT false,
    produced_at      timestamptz NOT NULL,
    PRIMARY KEY (run_id, stage, content_sha256, name)
);

-- One row per handled message: what became of each of its outputs. A redelivered message adds no second row,
-- so that sums over a batch are exact.
CREATE TABLE runferry.delivery (
    batch_id         text NOT NULL,
    message_id       text NOT NULL,
    run_id           text NOT NULL,
    origin           text NOT NULL,
    publisher        text NOT NULL,
    published_at     timestamptz NOT NULL,
    handled_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    worker           text NOT NULL,             -- host:pid
    attempts         integer NOT NULL DEFAULT 1,
    verdicts         jsonb NOT NULL,            -- {"<stage>": verdict}
    gaps             jsonb NOT NULL DEFAULT '{}', -- {"<stage>": [sentence]}
    PRIMARY KEY (batch_id, message_id)
);
CREATE INDEX delivery_run_id ON runferry.delivery (run_id, handled_at);
-- For rates and for retention: rows come in the order of their time, so a few pages say where a time is.
CREATE INDEX delivery_handled_at ON runferry.delivery USING brin (handled_at);

-- Outputs that can't become rows, with all of the evidence. run_id '' and stage 0 where a message did not say.
CREATE TABLE runferry.dead_letter (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id           text NOT NULL DEFAULT '',
    stage            smallint NOT NULL DEFAULT 0,
    content_sha256   text NOT NULL,
    state            text NOT NULL DEFAULT 'open'
                     CHECK (state IN ('open', 'replaying', 'resolved', 'mended', 'discarded')),
    reason           text NOT NULL,
    sentence         text NOT NULL,
    place            jsonb NOT NULL DEFAULT '{}', -- {"document", "line", "column", "section"}
    error_class      text NOT NULL DEFAULT '',
    error_text       text NOT NULL DEFAULT '',
    traceback        text NOT NULL DEFAULT '',
    fingerprint      text NOT NULL,
    attempts         integer NOT NULL DEFAULT 1,
    first_failed_at  timestamptz NOT NULL,
    last_failed_at   timestamptz NOT NULL,
    died_at          timestamptz NOT NULL DEFAULT now(),
    worker_host      text NOT NULL,
    worker_pid       integer NOT NULL,
    worker_version   text NOT NULL,
    origin           text NOT NULL DEFAULT '',
    produced_at      timestamptz,
    batch_id         text NOT NULL DEFAULT '',
    message_id       text NOT NULL DEFAULT '',
    queue            text NOT NULL DEFAULT '',
    envelope         jsonb NOT NULL DEFAULT '{}', -- the message without its outputs: hints, publisher, times
    payload          bytea NOT NULL,            -- the original bytes: the output's body as JSON, or what came
    seen             bigint NOT NULL DEFAULT 1,
    replays          integer NOT NULL DEFAULT 0,
    history          jsonb NOT NULL DEFAULT '[]', -- [{"at", "what", "who", ...}], oldest first
    closed_at        timestamptz,
    CONSTRAINT dead_letter_identity UNIQUE (run_id, stage, content_sha256)
);
CREATE INDEX dead_letter_open ON runferry.dead_letter (id) WHERE state IN ('open', 'replaying');
-- Groups are counted from the index alone, whatever the payloads weigh.
CREATE INDEX dead_letter_groups ON runferry.dead_letter (fingerprint, died_at) INCLUDE (id, reason)
    WHERE state IN ('open', 'replaying');

-- What people did: discards, forced phases, resolved conflicts. Never deleted.
CREATE TABLE runferry.audit (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at               timestamptz NOT NULL DEFAULT now(),
    who              text NOT NULL,
    action           text NOT NULL,
    why              text NOT NULL DEFAULT '',
    subject          jsonb NOT NULL DEFAULT '{}'
);

-- The phases that were set, newest last; the newest is the override in force.
CREATE TABLE runferry.phase_change (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at               timestamptz NOT NULL DEFAULT now(),
    who              text NOT NULL,
    phase            text NOT NULL CHECK (phase IN ('files-only', 'dual-write', 'db-first', 'db-only')),
    why              text NOT NULL DEFAULT '',
    forced           boolean NOT NULL DEFAULT false,
    evidence         jsonb NOT NULL DEFAULT '{}'
);

-- Reports of the reconciler, with a retention.
CREATE TABLE runferry.reconcile_report (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at       timestamptz NOT NULL,
    finished_at      timestamptz,
    scope            jsonb NOT NULL,
    balanced         boolean,
    report           jsonb NOT NULL DEFAULT '{}'
);

-- What was listed and asked, per slice of a report that nobody waits for: whoever finishes it folds the answers.
CREATE TABLE runferry.reconcile_question (
    report_id        bigint NOT NULL REFERENCES runferry.reconcile_report (id) ON DELETE CASCADE,
    slice            integer NOT NULL,
    asked            jsonb NOT NULL,
    PRIMARY KEY (report_id, slice)
);

-- What the reconciler's actors answer, per slice of a report.
CREATE TABLE runferry.reconcile_answer (
    report_id        bigint NOT NULL REFERENCES runferry.reconcile_report (id) ON DELETE CASCADE,
    slice            integer NOT NULL,
    answered_at      timestamptz NOT NULL DEFAULT now(),
    worker           text NOT NULL,
    answer           jsonb NOT NULL,
    PRIMARY KEY (report_id, slice)
);

-- The migration checklist: its results, and what people attested.
CREATE TABLE runferry.checklist_result (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at               timestamptz NOT NULL DEFAULT now(),
    passed           boolean NOT NULL,
    points           jsonb NOT NULL
);
CREATE TABLE runferry.attestation (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at               timestamptz NOT NULL DEFAULT now(),
    who              text NOT NULL,
    point            text NOT NULL,
    note             text NOT NULL
);

-- Backups that were made, and whether their hashes were verified or they were restored since.
CREATE TABLE runferry.backup (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    made_at          timestamptz NOT NULL,
    host             text NOT NULL,
    folder           text NOT NULL,
    manifest         jsonb NOT NULL,            -- as in the folder: versions, row counts, hashes, ledger position
    verified_at      timestamptz,
    restored_at      timestamptz
);

-- Rehearsals of the whole journey in scratch databases, which a killed rehearsal leaves for the next to clear away.
CREATE TABLE runferry.rehearsal (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at        timestamptz NOT NULL DEFAULT now(),
    finished_at       timestamptz,
    passed            boolean,
    scratch_databases text[] NOT NULL DEFAULT '{}',
    steps             jsonb NOT NULL DEFAULT '[]' -- [{"step", "seconds", "passed", "detail"}], in their order
);
