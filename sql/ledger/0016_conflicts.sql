-- Fields in which values that someone else changed are kept.

-- What was last written into such fields of a write-back: a package beside the ledger. A run without such fields forgets it.
CREATE TABLE last_written (
    last_written INTEGER PRIMARY KEY,
    job          TEXT NOT NULL,
    write_back   TEXT NOT NULL,
    -- The package tells of all that was written before this run, and stands in the folder of that name.
    run          INTEGER NOT NULL,
    -- The connection and the object (a JSON array, outermost name first) that it was written to.
    destination  TEXT NOT NULL,
    object       TEXT NOT NULL,
    -- The fields it tells of, those of the match key among them: JSON.
    fields       TEXT NOT NULL,
    UNIQUE (job, write_back)
) STRICT;

-- Segments of files beside the run that tell which values of a batch were kept, and which were found to be what was to
-- be written. Of a batch that was sent again, the latest.
CREATE TABLE conflicts (
    batch  INTEGER PRIMARY KEY REFERENCES batches ON DELETE CASCADE,
    file   TEXT NOT NULL,
    offset INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    -- XXH3 of the segment, 64 bits.
    xxh3   INTEGER NOT NULL
) STRICT;

-- What tests of single records wrote into such fields since: a frame as a segment of `conflicts` has it.
CREATE TABLE tested_values (
    tested      INTEGER PRIMARY KEY,
    job         TEXT NOT NULL,
    write_back  TEXT NOT NULL,
    -- The latest run of any job that had begun then.
    after_run   INTEGER NOT NULL,
    destination TEXT NOT NULL,
    object      TEXT NOT NULL,
    segment     BLOB NOT NULL
) STRICT;
