-- Where before-images stand, and of what.

-- The connection and the object (a JSON array, outermost name first) that a write-back's records were written to.
ALTER TABLE write_backs ADD COLUMN destination TEXT;
ALTER TABLE write_backs ADD COLUMN object TEXT;

-- Segments of files beside the run that hold the before-images of a batch. A batch that was sent again may have several:
-- of a record that stands in more than one of them, the latest counts.
CREATE TABLE images (
    image  INTEGER PRIMARY KEY AUTOINCREMENT,
    batch  INTEGER NOT NULL REFERENCES batches ON DELETE CASCADE,
    file   TEXT NOT NULL,
    offset INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    -- XXH3 of the segment, 64 bits.
    xxh3   INTEGER NOT NULL
) STRICT;

CREATE INDEX images_by_batch ON images (batch);
