-- Write-backs that leave a record alone which equals what they last delivered, without a look at the destination.

-- The snapshot of a write-back: a fingerprint of every record as last delivered, a package beside the ledger.
CREATE TABLE snapshots (
    snapshot     INTEGER PRIMARY KEY,
    job          TEXT NOT NULL,
    write_back   TEXT NOT NULL,
    -- It tells of all that was delivered up to this run, and stands in the folder of that name.
    run          INTEGER NOT NULL,
    -- The version of the write-back, and what its records were mapped for.
    version      TEXT NOT NULL,
    prepared     TEXT NOT NULL,
    -- Runs since every record was last held against the destination.
    partial_runs INTEGER NOT NULL,
    -- Why it is not to be relied on any more; NULL, it is.
    distrusted   TEXT,
    UNIQUE (job, write_back)
) STRICT;

-- Of a batch's unchanged records, those that equal what was last delivered, so that they were not looked up.
ALTER TABLE batches ADD COLUMN as_written INTEGER NOT NULL DEFAULT 0;
