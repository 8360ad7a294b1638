-- Whether a failed run's packages stand and fit, so that the job's next run goes on where it stood. A run that is
-- `running` and has no process any more needs no such word: its package tells.
ALTER TABLE runs ADD COLUMN resumable INTEGER NOT NULL DEFAULT 0;
