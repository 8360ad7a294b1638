-- What a rejected record's value was, cut to a bounded length, and what else was wrong with the record: a JSON array of
-- its other columns at fault. NULL where there is none, and in rows of earlier versions.
ALTER TABLE rejections ADD COLUMN value TEXT;
ALTER TABLE rejections ADD COLUMN others TEXT;
