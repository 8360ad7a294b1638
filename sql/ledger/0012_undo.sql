-- Runs that take an earlier one back.

-- The run whose before-images this one restores; NULL, it is no undo.
ALTER TABLE runs ADD COLUMN undo_of INTEGER;

-- Only a run that takes all records of all the job's write-backs, and takes nothing back, delivers its cycle for the job.
ALTER TABLE runs DROP COLUMN whole;
ALTER TABLE runs ADD COLUMN whole INTEGER GENERATED ALWAYS AS (write_back IS NULL AND retry_of IS NULL AND undo_of IS NULL) VIRTUAL;

-- Rows that an undo removed.
ALTER TABLE batches ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;

-- The fields that records were written to, as they were declared then: JSON. NULL in runs of earlier versions, which
-- cannot be undone.
ALTER TABLE write_backs ADD COLUMN fields TEXT;
