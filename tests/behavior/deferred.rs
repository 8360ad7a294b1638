//! Constraints that are judged when a transaction ends: a record that a commit refuses costs itself
//! and no other, and a test that is rolled back says what a commit would have said.

use crate::harness::{Server, Workspace};

const FIELDS: &str = "id = 'id'\nowner = 'owner'";

/// Accounts with owners, of whom only `O1` is known, judged at the end.
fn place(server: Server) -> Workspace {
    let place = Workspace::on(server);
    place.table("owners", "id VARCHAR(18) PRIMARY KEY", "id\nO1\n");
    place.table(
        "accounts",
        "id VARCHAR(18) PRIMARY KEY, owner VARCHAR(18) REFERENCES owners (id) DEFERRABLE INITIALLY DEFERRED",
        "id,owner\nA1,\nA2,\nA3,\nA4,\n",
    );
    place.scores(
        "id VARCHAR(18) PRIMARY KEY, owner VARCHAR(18)",
        "id,owner\nA1,O1\nA2,O9\nA3,O1\nA4,O1\n",
    );
    place.job("", FIELDS);
    place
}

const WITH_DEFERRED: [Server; 2] = [Server::Sqlite, Server::Postgres];

#[test]
fn a_test_that_is_rolled_back_says_what_a_commit_would_say() {
    for server in WITH_DEFERRED {
        let place = place(server);
        let before = place.rows("accounts");
        for arguments in [
            &["test", "job", "--record", "A2", "--rollback"][..],
            &["test", "job", "--record", "A2"],
        ] {
            let test = place.command(arguments);
            assert_eq!(test.code, 1, "on {server}: {test}");
            let printed = test.stdout.to_lowercase();
            assert!(
                printed.contains("rejected") && printed.contains("foreign key"),
                "on {server}: {test}"
            );
        }
        let test = place.command(&["test", "job", "--record", "A1", "--rollback"]);
        assert_eq!(test.code, 0, "on {server}: {test}");
        assert_eq!(place.rows("accounts"), before, "on {server}");
    }
}

#[test]
fn a_record_that_a_commit_refuses_is_found_and_the_others_are_in() {
    for server in WITH_DEFERRED {
        for settings in ["", "canary = 4\nmax_rejected = '60 %'", "batch_size = 1"] {
            let place = place(server);
            place.job(settings, FIELDS);
            assert_eq!(
                place.run().summary(),
                "4 read = 3 updated + 1 rejected",
                "{settings} on {server}"
            );
            assert!(
                place.rejected(1).contains("A2,destination"),
                "{settings} on {server}: {}",
                place.rejected(1)
            );
            let after = "id,owner\nA1,O1\nA2,\nA3,O1\nA4,O1\n";
            assert_eq!(place.rows("accounts"), after, "{settings} on {server}");
            assert_eq!(
                place.run().summary(),
                "4 read = 3 unchanged + 1 rejected",
                "{settings} on {server}"
            );
            let undo = place.command(&["undo", "1", "--json"]);
            assert_eq!(
                undo.summary(),
                "3 read = 3 updated",
                "{settings} on {server}"
            );
        }
    }
}

#[test]
fn rows_that_referred_to_none_before_are_not_held_against_a_record() {
    let place = place(Server::Sqlite);
    place.execute("PRAGMA foreign_keys = OFF; UPDATE accounts SET owner = 'O8' WHERE id = 'A4'");
    let test = place.command(&["test", "job", "--record", "A1", "--rollback"]);
    assert_eq!(test.code, 0, "{test}");
    let test = place.command(&["test", "job", "--record", "A2", "--rollback"]);
    assert_eq!(test.code, 1, "{test}");
}

#[test]
fn a_trigger_that_waits_for_the_commit_is_heard_in_a_test_that_is_rolled_back() {
    let place = Workspace::accounts(
        Server::Postgres,
        "id,score,note\nA1,1,\nA2,1,\n",
        "id,score,note\nA1,2,\nA2,99,\n",
    );
    place.execute(
        "CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN IF new.score > 50 THEN RAISE 'too much'; END IF; RETURN NULL; END $$",
    );
    place.execute(
        "CREATE CONSTRAINT TRIGGER judge AFTER UPDATE ON accounts DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION judge()",
    );
    let test = place.command(&["test", "job", "--record", "A2", "--rollback"]);
    assert_eq!(test.code, 1, "{test}");
    assert!(test.stdout.contains("too much"), "{test}");
    assert_eq!(place.run().summary(), "2 read = 1 updated + 1 rejected");
    assert_eq!(
        place.rows("accounts"),
        "id,score,note,phone\nA1,2,,unknown\nA2,1,,unknown\n"
    );
}
