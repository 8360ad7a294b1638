-- Between which match keys the records of before-images are, as reports tell keys, byte by byte, of long ones the beginning: whoever
-- looks for one record leaves the others' segments alone. NULL, nothing is known: they were kept by an earlier version.

ALTER TABLE images ADD COLUMN first_key TEXT;
ALTER TABLE images ADD COLUMN last_key TEXT;
