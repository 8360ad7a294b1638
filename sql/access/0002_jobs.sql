-- The only job that is somebody's, if there is one, with its agencies; NULL: every job.
ALTER TABLE people ADD COLUMN job TEXT;
ALTER TABLE links ADD COLUMN job TEXT;
-- Of a session that a link began, as its role.
ALTER TABLE sessions ADD COLUMN job TEXT;
