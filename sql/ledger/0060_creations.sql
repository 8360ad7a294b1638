-- Rows that steps and notes made, and records that did not come so far.

-- Records are left alone for other reasons than that people parked them: a note is switched off, a row is there already.
ALTER TABLE left_alone ADD COLUMN parked INTEGER NOT NULL DEFAULT 1;

-- The row that a step made of a record, or found: what later steps, and later runs, name it by.
CREATE TABLE row_ids (
    job         TEXT NOT NULL,
    write_back  TEXT NOT NULL,
    -- The connection.
    destination TEXT NOT NULL,
    -- The record's, as reports tell it.
    key         TEXT NOT NULL,
    id          TEXT NOT NULL,
    -- The run that told it last.
    run         INTEGER NOT NULL,
    PRIMARY KEY (job, write_back, destination, key)
) STRICT, WITHOUT ROWID;
