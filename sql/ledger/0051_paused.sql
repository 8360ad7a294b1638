-- Jobs that nothing runs for a while, because a person said so.
CREATE TABLE paused (
    job TEXT NOT NULL PRIMARY KEY,
    -- When it ends by itself; NULL, only when a person ends it.
    until TEXT,
    reason TEXT NOT NULL,
    -- NULL if the system did not tell.
    paused_by TEXT,
    paused_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
