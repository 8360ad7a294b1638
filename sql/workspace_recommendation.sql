-- Workspace recommendations: what to do next for an account, at most one for each playbook
-- (fixtures/dashboard/workspace_recommendation.ndjson, one JSON object a line).
--
-- Two columns together identify a recommendation, so the PRIMARY KEY stands on a line of its own.
--
-- After the CREATE TABLE there may be one SELECT, the model, in the source's own dialect. With it, its rows are pulled
-- instead of the table's. Columns of CSV and JSON files are text in it; cast them where you calculate:
--
--   SELECT account_id, playbook, recommendation, urgency, due_on, workspace
--   FROM workspace_recommendation
--   WHERE CAST(urgency AS INTEGER) >= 40
CREATE TABLE workspace_recommendation (
    account_id     VARCHAR(18) NOT NULL,
    playbook       VARCHAR(40) NOT NULL,
    recommendation TEXT        NOT NULL,
    urgency        SMALLINT,                    -- 0 to 100
    due_on         DATE,
    workspace      VARCHAR(16),
    PRIMARY KEY (account_id, playbook)
);
