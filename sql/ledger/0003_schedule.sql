-- The cycles that dashboards finished, what became of each of them for each job, and what the scheduler tells of itself.

-- The only one of the job's write-backs that the run is about; NULL, it is about all of them.
ALTER TABLE runs ADD COLUMN write_back TEXT;
-- Whether the run failed only because it was asked to stop.
ALTER TABLE runs ADD COLUMN interrupted INTEGER NOT NULL DEFAULT 0;

-- Earlier versions kept both in words: a run of one write-back appended its name to the digest.
UPDATE runs SET write_back = substr(job_digest, instr(job_digest, ' ') + 1) WHERE instr(job_digest, ' ') > 0;
UPDATE runs SET interrupted = 1 WHERE status = 'failed' AND error = 'it was asked to stop';

CREATE INDEX runs_by_cycle ON runs (job, cycle, run);

CREATE TABLE cycles (
    -- In the order of noticing.
    position     INTEGER PRIMARY KEY,
    dashboard    TEXT NOT NULL,
    cycle        TEXT NOT NULL,
    -- Not later than noticed_at, unless this machine's clock was set back.
    completed_at TEXT NOT NULL,
    noticed_at   TEXT NOT NULL,
    UNIQUE (dashboard, cycle)
) STRICT;

CREATE INDEX cycles_by_completion ON cycles (dashboard, completed_at, position);

-- A job has one row for a cycle, however often it was tried: it is written back once.
CREATE TABLE job_cycles (
    job          TEXT NOT NULL,
    cycle        TEXT NOT NULL,
    -- Of one that was begun, the runs tell what became of it.
    fate         TEXT NOT NULL CHECK (fate IN ('begun', 'superseded', 'expired', 'missed', 'given_up')),
    -- The cycle that superseded it.
    by_cycle     TEXT,
    -- Attempts that failed.
    attempts     INTEGER NOT NULL DEFAULT 0,
    -- When the last of them failed; NULL once another is at work or was cut off.
    attempted_at TEXT,
    decided_at   TEXT NOT NULL,
    error        TEXT,
    PRIMARY KEY (job, cycle)
) STRICT, WITHOUT ROWID;

INSERT INTO job_cycles (job, cycle, fate, decided_at)
SELECT job, cycle, 'begun', min(started_at) FROM runs GROUP BY job, cycle;

-- Instants at which a gate opened and no run followed.
CREATE TABLE gates (
    job       TEXT NOT NULL,
    opened_at TEXT NOT NULL,
    reason    TEXT NOT NULL,
    PRIMARY KEY (job, opened_at)
) STRICT, WITHOUT ROWID;

-- What a dashboard said when it was last looked at.
CREATE TABLE watches (
    dashboard TEXT PRIMARY KEY,
    looked_at TEXT NOT NULL,
    saw       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The process that serves, or served last: one row.
CREATE TABLE servers (
    server     INTEGER PRIMARY KEY CHECK (server = 1),
    process    INTEGER NOT NULL,
    host       TEXT,
    since      TEXT NOT NULL,
    version    TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
