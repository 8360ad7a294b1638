//! What a destination's declaration would make of a write: another row deleted, another number,
//! another value. The record is written as it is sent, or rejected, or the write-back is refused
//! before it begins.

use crate::harness::{FIELDS, SCORES, Server, Workspace};

const EMAILS: &str = "id VARCHAR(18) PRIMARY KEY, email VARCHAR(40)";
const EMAIL_FIELDS: &str = "id = 'id'\nemail = 'email'";

/// A SQLite table whose declaration says what becomes of conflicts, filled with two people.
fn people(columns: &str) -> Workspace {
    let place = Workspace::on(Server::Sqlite);
    place.table("accounts", columns, "id,email\nA1,x1\nA2,x2\n");
    place
        .scores(EMAILS, "id,email\nA1,x2\n")
        .job("", EMAIL_FIELDS);
    place
}

#[test]
fn no_conflict_clause_deletes_a_row_or_leaves_a_record_out_in_silence() {
    for clause in ["REPLACE", "IGNORE", "FAIL", "ROLLBACK", "ABORT"] {
        let place = people(&format!(
            "id VARCHAR(18) PRIMARY KEY, email TEXT UNIQUE ON CONFLICT {clause}"
        ));
        assert_eq!(
            place.run().summary(),
            "1 read = 1 rejected",
            "ON CONFLICT {clause}"
        );
        assert!(
            place
                .rejected(1)
                .contains("UNIQUE constraint failed: accounts.email"),
            "{}",
            place.rejected(1)
        );
        assert_eq!(
            place.rows("accounts"),
            "id,email\nA1,x1\nA2,x2\n",
            "ON CONFLICT {clause}"
        );
        let test = place.command(&["test", "job", "--record", "A1"]);
        assert_eq!(test.code, 1, "ON CONFLICT {clause}: {test}");
        assert_eq!(
            place.rows("accounts"),
            "id,email\nA1,x1\nA2,x2\n",
            "ON CONFLICT {clause}"
        );
    }
}

#[test]
fn a_record_that_is_created_replaces_no_row() {
    for columns in [
        "id VARCHAR(18) PRIMARY KEY, email TEXT UNIQUE ON CONFLICT REPLACE",
        "id VARCHAR(18) PRIMARY KEY ON CONFLICT REPLACE, email TEXT, UNIQUE (email) ON CONFLICT REPLACE",
        "id VARCHAR(18) PRIMARY KEY, email TEXT UNIQUE ON CONFLICT IGNORE",
    ] {
        let place = people(columns);
        place
            .file("data/scores.csv", "id,email\nA3,x1\nA4,x4\n")
            .job("matching = 'upsert'", EMAIL_FIELDS);
        assert_eq!(
            place.run().summary(),
            "2 read = 1 inserted + 1 rejected",
            "{columns}"
        );
        assert_eq!(
            place.rows("accounts"),
            "id,email\nA1,x1\nA2,x2\nA4,x4\n",
            "{columns}"
        );
    }
}

#[test]
fn an_undo_replaces_no_row_either() {
    let place = people("id VARCHAR(18) PRIMARY KEY, email TEXT UNIQUE ON CONFLICT REPLACE");
    place.file("data/scores.csv", "id,email\nA1,x3\n");
    assert_eq!(place.run().summary(), "1 read = 1 updated");
    place.execute("UPDATE accounts SET email = 'x1' WHERE id = 'A2'");
    assert_eq!(
        place.command(&["undo", "1", "--json"]).summary(),
        "1 read = 1 rejected"
    );
    assert_eq!(place.rows("accounts"), "id,email\nA1,x3\nA2,x1\n");
}

#[test]
fn a_view_s_triggers_replace_no_row() {
    let place = people("id VARCHAR(18) PRIMARY KEY, email TEXT UNIQUE ON CONFLICT REPLACE");
    place.execute("CREATE VIEW people AS SELECT id, email FROM accounts");
    place.execute(
        "CREATE TRIGGER write_people INSTEAD OF UPDATE ON people BEGIN \
         UPDATE accounts SET email = new.email WHERE id = old.id; END",
    );
    place.job("table = 'people'", EMAIL_FIELDS);
    assert_eq!(place.run().summary(), "1 read = 1 rejected");
    assert_eq!(place.rows("accounts"), "id,email\nA1,x1\nA2,x2\n");
}

#[test]
fn triggers_keep_the_clauses_of_their_own_statements() {
    let place = people("id VARCHAR(18) PRIMARY KEY, email TEXT UNIQUE");
    place.file("data/scores.csv", "id,email\nA1,x3\n");
    place.execute("CREATE TABLE latest (what TEXT PRIMARY KEY, id TEXT); INSERT INTO latest VALUES ('email', 'A2')");
    place.execute(
        "CREATE TRIGGER remember AFTER UPDATE ON accounts BEGIN \
         INSERT OR REPLACE INTO latest VALUES ('email', new.id); END",
    );
    assert_eq!(place.run().summary(), "1 read = 1 updated");
    assert_eq!(place.rows("latest"), "what,id\nemail,A1\n");
}

#[test]
fn a_key_of_zero_stays_zero() {
    let place = Workspace::on(Server::MariaDb);
    place.table(
        "accounts",
        "id BIGINT AUTO_INCREMENT PRIMARY KEY, score INTEGER",
        "id,score\n7,1\n",
    );
    place.scores(
        "id BIGINT PRIMARY KEY, score INTEGER",
        "id,score\n0,5\n7,6\n",
    );
    place.job("matching = 'upsert'", "id = 'id'\nscore = 'score'");
    assert_eq!(place.run().summary(), "2 read = 1 inserted + 1 updated");
    assert_eq!(place.rows("accounts"), "id,score\n0,5\n7,6\n");
    place.file("data/scores.csv", "id,score\n0,8\n7,6\n");
    assert_eq!(
        place.run().summary(),
        "2 read = 1 updated + 1 unchanged",
        "and it is found again"
    );
    assert_eq!(place.rows("accounts"), "id,score\n0,8\n7,6\n");
}

#[test]
fn null_is_never_turned_into_a_number_or_a_moment() {
    let place = Workspace::on(Server::MariaDb);
    place.table(
        "accounts",
        "id VARCHAR(18) PRIMARY KEY, n BIGINT NOT NULL AUTO_INCREMENT UNIQUE, at TIMESTAMP NOT NULL DEFAULT '2020-01-01'",
        "id,n\nA1,7\n",
    );
    place.scores(
        "id VARCHAR(18) PRIMARY KEY, n BIGINT, at TIMESTAMP WITH TIME ZONE",
        "id,n,at\nA1,8,\nA2,,2026-11-15T06:30:00Z\n",
    );
    place.job("matching = 'upsert'", "id = 'id'\nn = 'n'\nat = 'at'");
    assert_eq!(place.run().summary(), "2 read = 2 rejected");
    assert_eq!(
        place.rows("accounts"),
        "id,n,at\nA1,7,2020-01-01 00:00:00\n"
    );
}

#[test]
fn json_that_a_column_would_not_keep_is_rejected() {
    let place = Workspace::on(Server::Postgres);
    let rows = "id,doc\nA1,{}\nA2,{}\nA3,{}\nA4,{}\n";
    place.table("accounts", "id VARCHAR(18) PRIMARY KEY, doc JSONB", rows);
    let source = "id,doc\n\
                  A1,\"{\"\"b\"\": 1.0, \"\"a\"\": 1e2, \"\"c\"\": -0}\"\n\
                  A2,\"{\"\"a\"\": 1, \"\"a\"\": 2}\"\n\
                  A3,\"{\"\"a\"\": {\"\"x\"\": 1, \"\"\\u0078\"\": 1}}\"\n\
                  A4,\"[\"\"\\u0000\"\"]\"\n";
    place
        .scores("id VARCHAR(18) PRIMARY KEY, doc JSON", source)
        .job("", "id = 'id'\ndoc = 'doc'");
    for record in ["A2", "A3", "A4"] {
        let test = place.command(&["test", "job", "--record", record]);
        assert_eq!(test.code, 1, "{record}: {test}");
        assert!(
            test.stdout.contains("rejected") && test.stdout.contains("mapping"),
            "{record}: {test}"
        );
    }
    let test = place.command(&["test", "job", "--record", "A1", "--rollback"]);
    assert_eq!(
        test.code, 0,
        "order and spelling are no part of what it means: {test}"
    );
    assert_eq!(place.run().summary(), "4 read = 1 updated + 3 rejected");
    let doubled = "has an object with two members of one name, of which jsonb keeps the last";
    assert!(
        place
            .rejected(1)
            .contains(&format!("A2,mapping,doc,\"{doubled}\"")),
        "{}",
        place.rejected(1)
    );
    assert_eq!(
        place.query("SELECT doc ->> 'a' AS a FROM accounts WHERE id = 'A1'"),
        "a\n100\n"
    );
    assert_eq!(
        place.query("SELECT count(*) FROM accounts WHERE doc = '{}'"),
        "count\n3\n"
    );
    assert_eq!(place.run().summary(), "4 read = 1 unchanged + 3 rejected");
}

#[test]
fn json_that_is_kept_as_text_stays_the_text_it_is() {
    let doubled = "id,doc\nA1,\"{\"\"b\"\": 1, \"\"b\"\": 2}\"\n";
    for server in Server::ALL {
        let place = Workspace::on(server);
        place.table(
            "accounts",
            "id VARCHAR(18) PRIMARY KEY, doc JSON",
            "id,doc\nA1,{}\n",
        );
        place
            .scores("id VARCHAR(18) PRIMARY KEY, doc JSON", doubled)
            .job("", "id = 'id'\ndoc = 'doc'");
        assert_eq!(place.run().summary(), "1 read = 1 updated", "on {server}");
        assert_eq!(place.rows("accounts"), doubled, "on {server}");
    }
}

/// A PostgreSQL table with a rule.
fn ruled(rule: &str) -> Workspace {
    let place = Workspace::accounts(
        Server::Postgres,
        "id,score,note\nA1,1,\n",
        "id,score,note\nA1,2,x\nA2,2,x\n",
    );
    place.execute(
        "CREATE TABLE elsewhere (id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40))",
    );
    place.execute("INSERT INTO elsewhere VALUES ('A1', 0, '')");
    place.execute(&format!("CREATE RULE redirect AS ON {rule}"));
    place
}

#[test]
fn a_rule_in_the_place_of_updates_is_a_mistake() {
    let updates =
        "UPDATE TO accounts DO INSTEAD UPDATE elsewhere SET score = new.score WHERE id = old.id";
    let place = ruled(updates);
    let before = (place.rows("accounts"), place.rows("elsewhere"));
    for arguments in [
        &["check"][..],
        &["run", "job"],
        &["test", "job", "--record", "A1"],
    ] {
        let ran = place.command(arguments);
        assert_eq!(ran.code, 2, "{ran}");
        let why = "`public.accounts` has a rule, `redirect`, that puts something else in the place of updates";
        assert!(ran.stderr.contains(why), "{ran}");
    }
    assert_eq!((place.rows("accounts"), place.rows("elsewhere")), before);
    place.job("matching = 'create_only'", FIELDS);
    assert_eq!(
        place.run().summary(),
        "2 read = 1 inserted + 1 skipped",
        "a rule for other writes is no matter"
    );
    place
        .execute("ALTER TABLE accounts DISABLE RULE redirect")
        .job("", FIELDS);
    assert_eq!(
        place.run().summary(),
        "2 read = 1 updated + 1 unchanged",
        "nor is one that is disabled"
    );
}

#[test]
fn a_rule_that_puts_inserts_elsewhere_costs_their_records() {
    let inserts =
        "INSERT TO accounts DO INSTEAD INSERT INTO elsewhere VALUES (new.id, new.score, new.note)";
    let place = ruled(inserts);
    let elsewhere = place.rows("elsewhere");
    place.job("matching = 'upsert'", FIELDS);
    assert_eq!(place.run().summary(), "2 read = 1 updated + 1 rejected");
    assert_eq!(place.rows("elsewhere"), elsewhere);
}

#[test]
fn an_undo_says_which_rows_go_along_with_rows_that_it_deletes() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, "id,score,note\n", "id,score,note\nA1,2,x\n");
        let engine = if server == Server::MariaDb {
            " ENGINE = InnoDB"
        } else {
            ""
        };
        place.execute(&format!(
            "CREATE TABLE contacts (id VARCHAR(18), FOREIGN KEY (id) REFERENCES accounts (id) ON DELETE CASCADE){engine}"
        ));
        place.job("matching = 'upsert'", FIELDS);
        assert_eq!(place.run().summary(), "1 read = 1 inserted", "on {server}");
        let kept = place.command(&["undo", "1"]);
        assert!(
            !kept.stderr.contains("contacts"),
            "nothing is deleted, on {server}: {kept}"
        );
        let undone = place.command(&["undo", "1", "--delete-created"]);
        assert!(
            undone.stderr.contains("contacts` go along with rows of"),
            "on {server}: {undone}"
        );
    }
}

#[test]
fn columns_that_the_database_fills_by_itself_are_left_to_it() {
    let place = Workspace::on(Server::MariaDb);
    place.table(
        "accounts",
        "id VARCHAR(18) PRIMARY KEY, score INTEGER, touched TIMESTAMP DEFAULT '2020-01-01' ON UPDATE CURRENT_TIMESTAMP",
        "id,score\nA1,1\nA2,2\n",
    );
    place
        .scores(SCORES, "id,score,note\nA1,1,\nA2,3,\n")
        .job("ignore = ['note']", "id = 'id'\nscore = 'score'");
    assert_eq!(place.run().summary(), "2 read = 1 updated + 1 unchanged");
    let stale = "SELECT id, score FROM accounts WHERE touched = '2020-01-01'";
    assert_eq!(
        place.query(stale),
        "id,score\nA1,1\n",
        "a row that is not written is not touched"
    );
}
