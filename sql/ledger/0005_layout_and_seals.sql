-- What the package's values were made for: a digest of the fields, the rule and the object they were planned with. A
-- package is pushed only while these are the same. NULL until the package stands.
ALTER TABLE write_backs ADD COLUMN layout TEXT;

-- A checksum for every row of every other table that has row numbers, and one for the tables' own definitions (relation
-- `sqlite_schema`, its row the number of times they were altered). SQLite tells pages that are none, and takes any value for the one that was written.
CREATE TABLE seals (
    relation TEXT NOT NULL,
    row      INTEGER NOT NULL,
    -- XXH3 of the row's values, 64 bits.
    xxh3     INTEGER NOT NULL,
    PRIMARY KEY (relation, row)
) STRICT, WITHOUT ROWID;

-- XXH3 of what the rejection says, 64 bits; NULL in rows of earlier versions.
ALTER TABLE rejections ADD COLUMN xxh3 INTEGER;
