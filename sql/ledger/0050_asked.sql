-- More that people ask for on the page: letting a run go ahead, applying a plan, taking a run back, taking rejected records
-- again; and looks at what that would do, which the page makes itself.
ALTER TABLE requests ADD COLUMN arguments TEXT NOT NULL DEFAULT '{}';
-- Digest of what was seen when it was asked for; of a look, of what it showed.
ALTER TABLE requests ADD COLUMN seen TEXT;
-- Why, in the words of whoever asked.
ALTER TABLE requests ADD COLUMN reason TEXT;
-- Why a run went ahead, in the words of whoever approved it.
ALTER TABLE approvals ADD COLUMN reason TEXT;
