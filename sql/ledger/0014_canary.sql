-- Canaries that were well: the rest of their write-backs' records may follow.
CREATE TABLE canaries (
    write_back INTEGER PRIMARY KEY REFERENCES write_backs ON DELETE CASCADE,
    records    INTEGER NOT NULL,
    -- Records of them whose rows were looked at again.
    read_back  INTEGER NOT NULL,
    passed_at  TEXT NOT NULL
) STRICT;
