-- Alerts that stand, what people are to be told of them, and how far the telling has come.

CREATE TABLE alerts (
    job       TEXT NOT NULL,
    kind      TEXT NOT NULL,
    since     TEXT NOT NULL,
    message   TEXT NOT NULL,
    -- The job's latest run that delivered or was stopped by a guard, when the alert was raised.
    ended_run INTEGER,
    PRIMARY KEY (job, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE alert_changes (
    change INTEGER PRIMARY KEY AUTOINCREMENT,
    job    TEXT NOT NULL,
    kind   TEXT NOT NULL,
    state  TEXT NOT NULL,
    at     TEXT NOT NULL,
    -- JSON, as every channel and every attempt sends it.
    body   TEXT NOT NULL
) STRICT;

CREATE TABLE alert_tellings (
    change   INTEGER NOT NULL REFERENCES alert_changes ON DELETE CASCADE,
    channel  TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    -- Of the next attempt; NULL once people were told, or it was given up.
    due_at   TEXT,
    told_at  TEXT,
    -- Why the last attempt failed.
    error    TEXT,
    PRIMARY KEY (change, channel)
) STRICT, WITHOUT ROWID;

CREATE INDEX alert_tellings_due ON alert_tellings (channel, change) WHERE due_at IS NOT NULL;
