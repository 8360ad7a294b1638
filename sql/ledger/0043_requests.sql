-- What people and programs asked for on the page, for the process that serves to do. A request is open until it ended,
-- so that one that was asked for is done once, whatever happens to that process.
CREATE TABLE requests (
    request INTEGER PRIMARY KEY,
    -- Chosen by whoever asks: the same key, the same request.
    key TEXT NOT NULL UNIQUE,
    -- `run` or `stop`.
    act TEXT NOT NULL,
    job TEXT NOT NULL,
    -- Of `run`: the only write-back; NULL, all of them.
    write_back TEXT,
    -- Of `run`: the cycle that was seen; NULL, the job follows no dashboard.
    cycle TEXT,
    -- Of `stop`: the run. Of `run`: the run that it became.
    run INTEGER,
    who TEXT NOT NULL,
    asked_at TEXT NOT NULL,
    ended_at TEXT,
    -- What came of it, in one line.
    message TEXT
) STRICT;

CREATE INDEX requests_open ON requests (request) WHERE ended_at IS NULL;
