-- Runs that apply a saved plan.

-- SHA-256 of the plan that this run applies, hexadecimal; NULL, it applies none.
ALTER TABLE runs ADD COLUMN plan TEXT;

-- Only a run that takes all records of all the job's write-backs, as they are in the source then, delivers its cycle for
-- the job.
ALTER TABLE runs DROP COLUMN whole;
ALTER TABLE runs ADD COLUMN whole INTEGER GENERATED ALWAYS AS
    (write_back IS NULL AND retry_of IS NULL AND undo_of IS NULL AND plan IS NULL) VIRTUAL;
