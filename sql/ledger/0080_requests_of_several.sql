-- Requests about write-backs that have several destinations: each destination has a request of its own, its part.

CREATE TABLE requests_of_several (
    -- By which its caller asks for its outcome.
    id              TEXT PRIMARY KEY,
    caller          TEXT NOT NULL,
    -- Chosen by the caller: the same key, the same request. NULL, none was, or it is forgotten.
    idempotency_key TEXT,
    -- SHA-256 of what was asked for, hexadecimal.
    digest          TEXT NOT NULL,
    asked_at        TEXT NOT NULL,
    -- The record's key, as its caller named it.
    record          TEXT NOT NULL,
    -- JSON: a list with destination and object of each part, and either `request`, the id of its own, or as what it was
    -- answered, for it could not even be recorded.
    parts           TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX requests_of_several_keyed ON requests_of_several (caller, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
