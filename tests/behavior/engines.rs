//! Tables that are kept without transactions: what is written there could not be taken back, so
//! nothing is.

use crate::harness::{FIELDS, Server, Workspace};

const ROWS: &str = "id,score,note,phone\nA1,1,,\n";
const SOURCE: &str = "id,score,note\nA1,2,x\nA2,2,x\n";

/// A MariaDB table that `engine` keeps.
fn kept_by(engine: &str) -> Workspace {
    let place = Workspace::accounts(Server::MariaDb, ROWS, SOURCE);
    place.execute(&format!("ALTER TABLE accounts ENGINE = {engine}"));
    place
}

/// Every command that would write says why it does not, and writes nothing.
fn is_refused(place: &Workspace, why: &str) {
    let before = place.rows("accounts");
    for arguments in [
        &["check"][..],
        &["run", "job"],
        &["preview", "job"],
        &["test", "job", "--record", "A1", "--rollback"],
    ] {
        let ran = place.command(arguments);
        assert_eq!(ran.code, 2, "{ran}");
        assert!(ran.stderr.contains(why), "`{why}` in {ran}");
        assert!(ran.stderr.contains("ENGINE = InnoDB"), "{ran}");
    }
    assert_eq!(place.rows("accounts"), before);
}

#[test]
fn a_table_of_an_engine_without_transactions_is_a_mistake() {
    for engine in ["MyISAM", "Aria", "MEMORY"] {
        is_refused(
            &kept_by(engine),
            &format!("is kept by the engine {engine}, which knows no transactions"),
        );
    }
}

#[test]
fn so_is_one_in_partitions() {
    let place = Workspace::accounts(Server::MariaDb, ROWS, SOURCE);
    place.execute("ALTER TABLE accounts ENGINE = MyISAM PARTITION BY KEY (id) PARTITIONS 2");
    is_refused(
        &place,
        "is kept by the engine MyISAM, which knows no transactions",
    );
}

#[test]
fn so_is_a_view_of_one_however_far_behind() {
    let place = kept_by("MyISAM");
    place.execute("CREATE VIEW near AS SELECT id, score, note FROM accounts");
    place.execute("CREATE VIEW far AS SELECT id, score, note FROM near WHERE id < 'B'");
    for view in ["near", "far"] {
        place.job(&format!("table = '{view}'"), FIELDS);
        let table = format!("{}.accounts", place.database_name());
        is_refused(
            &place,
            &format!("shows `{table}`, which is kept by the engine MyISAM"),
        );
    }
}

#[test]
fn a_view_that_only_looks_something_up_in_one_is_written() {
    let place = Workspace::accounts(Server::MariaDb, ROWS, SOURCE);
    place.execute(
        "CREATE TABLE wanted (id VARCHAR(18)) ENGINE = MyISAM; INSERT INTO wanted VALUES ('A1')",
    );
    place.execute("CREATE VIEW active AS SELECT id, score, note FROM accounts WHERE id IN (SELECT id FROM wanted)");
    place.job("table = 'active'", FIELDS);
    assert_eq!(place.run().summary(), "2 read = 1 updated + 1 skipped");
}

#[test]
fn so_is_a_journal_that_could_not_be_rolled_back() {
    let place = Workspace::accounts(Server::MariaDb, ROWS, SOURCE);
    place.job("journal_table = 'journal'", FIELDS);
    let check = place.command(&["check"]);
    let (_, statement) = check
        .stderr
        .split_once("make it: ")
        .unwrap_or_else(|| panic!("{check}"));
    place.execute(statement.lines().next().expect("a statement"));
    assert_eq!(place.command(&["check"]).code, 0);
    place.execute("ALTER TABLE journal ENGINE = MyISAM");
    is_refused(
        &place,
        "cannot be the journal: it is kept by the engine MyISAM, which knows no transactions",
    );
}

#[test]
fn an_undo_does_not_begin_on_one() {
    let place = Workspace::accounts(Server::MariaDb, ROWS, SOURCE);
    assert_eq!(place.run().summary(), "2 read = 1 updated + 1 skipped");
    place.execute("ALTER TABLE accounts ENGINE = MyISAM");
    let undo = place.command(&["undo", "1"]);
    assert_eq!(undo.code, 2, "{undo}");
    assert!(
        undo.stderr.contains("is kept by the engine MyISAM"),
        "{undo}"
    );
    assert_eq!(place.rows("accounts"), "id,score,note,phone\nA1,2,x,\n");
}

#[test]
fn one_that_is_only_read_is_a_source_like_any_other() {
    let place = Workspace::accounts(Server::MariaDb, ROWS, "id,score,note\n");
    place.execute(
        "CREATE TABLE scores ENGINE = MyISAM AS SELECT 'A1' AS id, 5 AS score, 'x' AS note",
    );
    place.job("source = 'crm'", FIELDS);
    assert_eq!(place.run().summary(), "1 read = 1 updated");
}

#[test]
fn what_a_trigger_leaves_behind_a_rollback_is_said() {
    let place = Workspace::accounts(Server::MariaDb, ROWS, SOURCE);
    place.execute("CREATE TABLE log (id VARCHAR(18)) ENGINE = MyISAM");
    place.execute(
        "CREATE TRIGGER note AFTER UPDATE ON accounts FOR EACH ROW INSERT INTO log VALUES (new.id)",
    );
    let test = place.command(&["test", "job", "--record", "A1", "--rollback"]);
    assert_eq!(test.code, 2, "{test}");
    assert!(
        test.stderr
            .contains("a table without transactions keeps what was written to it"),
        "{test}"
    );
    assert_eq!(place.rows("accounts"), ROWS);
}
