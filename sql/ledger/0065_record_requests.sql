-- Requests: changes of single records that callers ask for, carried out at once.

-- The day of whose requests about one write-back the run is; NULL, it is no such run. It has one batch for each request,
-- in a partition of its own.
ALTER TABLE runs ADD COLUMN requests_on TEXT;
-- When its package began to be pulled; NULL before, and in runs of earlier versions.
ALTER TABLE write_backs ADD COLUMN pulled_from TEXT;

CREATE TABLE record_requests (
    request         INTEGER PRIMARY KEY,
    -- By which its caller asks for its outcome.
    id              TEXT NOT NULL UNIQUE,
    caller          TEXT NOT NULL,
    -- Chosen by the caller: the same key, the same request. NULL, none was.
    idempotency_key TEXT,
    -- SHA-256 of what was asked for, hexadecimal.
    digest          TEXT NOT NULL,
    job             TEXT NOT NULL,
    write_back      TEXT NOT NULL,
    -- The match key.
    record          TEXT NOT NULL,
    -- The destination's fields that it writes: a JSON array.
    fields          TEXT NOT NULL,
    origin          TEXT,
    actor           TEXT,
    asked_at        TEXT NOT NULL,
    -- Its day run, and the partition of its batch there.
    run             INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    sequence        INTEGER NOT NULL,
    -- JSON: what was asked for, of a request that was accepted before it was carried out; NULL once it ended.
    accepted        TEXT,
    ended_at        TEXT,
    -- As it was answered: JSON; NULL before, and once it is forgotten.
    answer          TEXT,
    UNIQUE (run, sequence)
) STRICT;

CREATE UNIQUE INDEX record_requests_keyed ON record_requests (caller, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX record_requests_ended ON record_requests (job, write_back, ended_at);
CREATE INDEX record_requests_open ON record_requests (request) WHERE ended_at IS NULL;
