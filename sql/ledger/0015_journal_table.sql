-- Tables in which a write-back keeps a journal beside the object it writes to.

-- The table's path (a JSON array, outermost name first), so that an undo fills it too; NULL, there is none.
ALTER TABLE write_backs ADD COLUMN journal TEXT;
