-- What guards had against runs, who let them go ahead all the same, and which versions of write-backs are proven.

CREATE TABLE objections (
    run       INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    -- JSON: write_back, guard, what was found and the bound.
    objection TEXT NOT NULL,
    PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;

-- A person's word that a run goes ahead in spite of the objections to it; it holds for this run and thereby for its cycle.
CREATE TABLE approvals (
    run         INTEGER PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
    approved_by TEXT,
    approved_at TEXT NOT NULL
) STRICT;

CREATE TABLE proofs (
    job        TEXT NOT NULL,
    write_back TEXT NOT NULL,
    version    TEXT NOT NULL,
    -- What showed it first: a test of one record, or a run.
    proof      TEXT NOT NULL CHECK (proof IN ('test', 'run')),
    proven_at  TEXT NOT NULL,
    PRIMARY KEY (job, write_back, version)
) STRICT, WITHOUT ROWID;
