-- What the rejections of a finished write-back come to, so that nobody counts them again who only looks.

-- Rejected records, and those of them whose match key could not be read; NULL, they were not counted.
ALTER TABLE write_backs ADD COLUMN rejected_in_all INTEGER;
ALTER TABLE write_backs ADD COLUMN rejected_keyless INTEGER;
-- What was wrong with most of them, the most frequent first: a JSON array of objects with stage, column, reason, records.
ALTER TABLE write_backs ADD COLUMN rejected_for TEXT;

-- Requests add to their day's rejections until it is over, so that these are never counted for good.
UPDATE write_backs SET
    rejected_in_all = (SELECT count(*) FROM rejections AS r WHERE r.write_back = write_backs.write_back),
    rejected_keyless = (SELECT count(*) - count(key) FROM rejections AS r WHERE r.write_back = write_backs.write_back),
    rejected_for = (SELECT json_group_array(json_object('stage', stage, 'column', "column", 'reason', reason, 'records', records))
                    FROM (SELECT stage, "column", reason, count(*) AS records FROM rejections AS r
                          WHERE r.write_back = write_backs.write_back
                          GROUP BY stage, "column", reason ORDER BY records DESC, stage, "column", reason LIMIT 50))
WHERE finished = 1 AND run IN (SELECT run FROM runs WHERE requests_on IS NULL);
