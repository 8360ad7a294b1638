-- Batches in doubt: sent, and not known to be committed.

-- What tells whether the sending that a segment is of was committed: JSON; NULL, nothing does.
ALTER TABLE images ADD COLUMN marker TEXT;
-- Whether it was never known that the records of the segment were written by this sending, though their batch is over:
-- their rows no longer held what they held before.
ALTER TABLE images ADD COLUMN doubtful INTEGER NOT NULL DEFAULT 0;
