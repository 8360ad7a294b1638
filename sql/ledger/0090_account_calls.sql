-- Calls of web APIs that a run made, by connection, and what the account told of its calls last.

CREATE TABLE account_calls (
    run        INTEGER NOT NULL REFERENCES runs (run),
    connection TEXT    NOT NULL,
    made       INTEGER NOT NULL,
    -- Of the account, in its period; NULL, nothing tells.
    used       INTEGER,
    allowed    INTEGER,
    PRIMARY KEY (run, connection)
) STRICT;
