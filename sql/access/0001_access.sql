-- Who may see the page. Of what lets somebody in only the SHA-256 is kept, of passwords argon2id. Times are seconds
-- since 1970.
CREATE TABLE people (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    password TEXT NOT NULL,
    made_at INTEGER NOT NULL
) STRICT;

-- Links that let in whoever can read this folder: once, and not for long.
CREATE TABLE links (
    hash TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    session INTEGER PRIMARY KEY AUTOINCREMENT,
    hash TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    -- Of a session that a link began; of one that a password began, the person's role holds.
    role TEXT,
    address TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;

CREATE TABLE tokens (
    name TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    -- The only job it is good for; NULL: all of them.
    job TEXT,
    made_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- Wrong passwords: by the name they were for, and by the address they came from.
CREATE TABLE failures (
    subject TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    closed_until INTEGER NOT NULL
) STRICT;

-- Where the page was last reached, for whoever prints a link to it.
CREATE TABLE places (
    place INTEGER PRIMARY KEY CHECK (place = 1),
    url TEXT NOT NULL
) STRICT;
