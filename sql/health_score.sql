-- Health scores: one row for each account, as the dashboard exports them (fixtures/dashboard/health_score.csv).
--
-- What to edit here:
--   * the columns the dashboard yields, with their types. A value that does not fit its type exactly is rejected with
--     the reason; nothing is rounded or cut. NOT NULL rejects a record whose cell is empty.
--   * PRIMARY KEY names the unique identifier: what records are matched by. It may have several columns.
--   * which column of the CRM each of them goes to stands in schedules/weekly.toml. A column that goes nowhere must be
--     named in `ignore` there, so that none is forgotten.
CREATE TABLE health_score (
    account_id      VARCHAR(18)  PRIMARY KEY,
    health_score    DECIMAL(5,2) NOT NULL,   -- 0.00 to 100.00
    churn_risk      VARCHAR(16),
    renewal_percent DECIMAL(5,2),            -- 0.00 to 100.00
    health_note     VARCHAR(200),
    owner_email     VARCHAR(254),
    model_version   INTEGER
);
