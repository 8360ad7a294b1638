-- Since when the process that serves has watched without a break, and since when nobody had watched before it: gates
-- that opened in between were missed. NULL where nobody ever served before, or where an earlier version wrote the row.
ALTER TABLE servers ADD COLUMN watching_since TEXT;
ALTER TABLE servers ADD COLUMN absent_since TEXT;
