-- What people and programs did, one row an act, never changed. Each row's seal is the SHA-256 of the seal before and of
-- the row itself: a chain of their own, so that these rows need no row numbers for the ledger's seals.
CREATE TABLE actions (
    action INTEGER NOT NULL PRIMARY KEY,
    at TEXT NOT NULL,
    -- Absent if nobody was known by then.
    who TEXT,
    role TEXT,
    -- `page`, `api`, `cli` or `link`.
    through TEXT NOT NULL,
    address TEXT,
    act TEXT NOT NULL,
    target TEXT,
    -- JSON, without values of records.
    arguments TEXT,
    -- Digest of what was seen when it was asked for.
    seen TEXT,
    -- `done`, or why it was refused.
    result TEXT NOT NULL,
    seal TEXT NOT NULL
) STRICT, WITHOUT ROWID;
