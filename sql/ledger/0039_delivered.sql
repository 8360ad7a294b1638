-- What a run delivered, so that the same is not delivered twice.

-- The version of the write-back that the run carried out; NULL for an undo, and in runs of earlier versions.
ALTER TABLE write_backs ADD COLUMN version TEXT;
-- Whether an undo takes single records back, which makes no cycle new again.
ALTER TABLE runs ADD COLUMN of_records INTEGER NOT NULL DEFAULT 0;
