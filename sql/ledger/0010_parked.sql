-- Records that people park, and runs that take only the rejected records of an earlier one.

-- The latest of the runs whose rejected records this one takes again; NULL, it takes all records.
ALTER TABLE runs ADD COLUMN retry_of INTEGER;
-- Whether the run takes all records of all the job's write-backs: only such a run delivers its cycle for the job.
ALTER TABLE runs ADD COLUMN whole INTEGER GENERATED ALWAYS AS (write_back IS NULL AND retry_of IS NULL) VIRTUAL;

-- Match keys that a retry found in the source; once its write-back is finished, only those that were not rejected again.
CREATE TABLE retried (
    write_back INTEGER NOT NULL REFERENCES write_backs ON DELETE CASCADE,
    key        TEXT NOT NULL,
    PRIMARY KEY (write_back, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE parked (
    parked      INTEGER PRIMARY KEY,
    job         TEXT NOT NULL,
    write_back  TEXT NOT NULL,
    key         TEXT NOT NULL,
    -- When it ends; NULL, when the record's values in the source change.
    until       TEXT,
    -- XXH3 of these values, 128 bits, as they were when the record was first left alone; NULL until then.
    fingerprint TEXT,
    reason      TEXT NOT NULL,
    parked_by   TEXT,
    parked_at   TEXT NOT NULL,
    UNIQUE (job, write_back, key)
) STRICT;

-- Records of runs that were skipped because they are parked.
CREATE TABLE left_alone (
    write_back INTEGER NOT NULL REFERENCES write_backs ON DELETE CASCADE,
    record     INTEGER NOT NULL,
    key        TEXT NOT NULL,
    reason     TEXT NOT NULL,
    UNIQUE (write_back, record)
) STRICT;
