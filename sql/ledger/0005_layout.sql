-- What the package's values were made for: a digest of the fields, the rule and the object they were planned with. A
-- package is pushed only while these are the same. NULL until the package stands.
ALTER TABLE write_backs ADD COLUMN layout TEXT;
