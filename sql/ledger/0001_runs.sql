-- Runs, their write-backs, the batches of these and the records that were rejected.
-- Instants are RFC 3339 text in UTC with nine digits of fraction, so that text order is time order.

CREATE TABLE runs (
    run                INTEGER PRIMARY KEY AUTOINCREMENT,
    job                TEXT NOT NULL,
    cycle              TEXT NOT NULL,
    cycle_completed_at TEXT NOT NULL,
    status             TEXT NOT NULL,
    started_at         TEXT NOT NULL,
    finished_at        TEXT,
    error              TEXT,
    job_digest         TEXT NOT NULL
) STRICT;

CREATE INDEX runs_by_job ON runs (job, run);

CREATE TABLE write_backs (
    write_back INTEGER PRIMARY KEY,
    run        INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    name       TEXT NOT NULL,
    -- Records read in all; NULL until the package stands.
    read       INTEGER,
    finished   INTEGER NOT NULL DEFAULT 0,
    seconds    REAL NOT NULL DEFAULT 0,
    UNIQUE (run, position)
) STRICT;

CREATE TABLE batches (
    batch         INTEGER PRIMARY KEY,
    write_back    INTEGER NOT NULL REFERENCES write_backs ON DELETE CASCADE,
    partition     INTEGER NOT NULL,
    first         INTEGER NOT NULL,
    records       INTEGER NOT NULL,
    attempts      INTEGER NOT NULL,
    committed     INTEGER NOT NULL DEFAULT 0,
    seconds       REAL NOT NULL DEFAULT 0,
    inserted      INTEGER NOT NULL,
    updated       INTEGER NOT NULL,
    unchanged     INTEGER NOT NULL,
    skipped       INTEGER NOT NULL,
    rejected      INTEGER NOT NULL,
    -- One byte a record, in the batch's order.
    outcomes      BLOB NOT NULL,
    UNIQUE (write_back, partition, first)
) STRICT;

CREATE TABLE rejections (
    write_back  INTEGER NOT NULL REFERENCES write_backs ON DELETE CASCADE,
    record      INTEGER NOT NULL,
    key         TEXT,
    stage       TEXT NOT NULL,
    "column"    TEXT,
    reason      TEXT NOT NULL,
    -- The batch the record was in and its place there; NULL for records rejected before batches were cut.
    batch       INTEGER REFERENCES batches ON DELETE CASCADE,
    batch_index INTEGER,
    PRIMARY KEY (write_back, record)
) STRICT, WITHOUT ROWID;

CREATE INDEX rejections_by_batch ON rejections (batch, batch_index) WHERE batch IS NOT NULL;
