//! `writeback test`: one record the whole way, before a go-live.

use crate::harness::{FIELDS, Server, Workspace};

const ROWS: &str = "id,score,note,phone\nA1,10,old,555\nA2,11,old,555\n";
const SOURCE: &str = "id,score,note\nA1,20,new\nA2,21,new\nA3,22,new\nA4,x,new\n";

#[test]
fn one_record_is_written_and_shown_before_and_after() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let test = place.command(&["test", "job", "--record", "A1"]);
        assert_eq!(test.code, 0, "{test}");
        for part in ["10", "20", "old", "new", "updated"] {
            assert!(test.stdout.contains(part), "`{part}` is missing on {server}: {test}");
        }
        assert_eq!(place.rows("accounts"), "id,score,note,phone\nA1,20,new,555\nA2,11,old,555\n", "on {server}");
    }
}

#[test]
fn rollback_shows_the_same_and_leaves_nothing() {
    for server in Server::ALL {
        for (mode, record) in [("update_only", "A1"), ("upsert", "A3")] {
            let place = Workspace::accounts(server, ROWS, SOURCE);
            place.job(&format!("matching = '{mode}'"), FIELDS);
            let test = place.command(&["test", "job", "--record", record, "--rollback"]);
            assert_eq!(test.code, 0, "{test}");
            assert!(test.stdout.contains("new"), "on {server}: {test}");
            assert_eq!(place.rows("accounts"), ROWS, "{mode} on {server}");
        }
    }
}

#[test]
fn a_record_that_would_be_skipped_says_so() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let test = place.command(&["test", "job", "--record", "A3"]);
        assert!(test.stdout.contains("skipped"), "on {server}: {test}");
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
    }
}

#[test]
fn a_record_that_is_rejected_says_why() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let test = place.command(&["test", "job", "--record", "A4"]);
        assert_eq!(test.code, 1, "{test}");
        let printed = test.stdout.clone() + &test.stderr;
        assert!(printed.contains("rejected") && printed.contains("schema") && printed.contains("score"), "{test}");
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
    }
}

#[test]
fn a_record_that_the_source_does_not_have_is_an_error() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    let test = place.command(&["test", "job", "--record", "B1"]);
    assert_eq!(test.code, 2, "{test}");
    assert!(test.stderr.contains("B1"), "{test}");
}

#[test]
fn a_key_of_two_columns_is_given_as_csv() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let rows = "region,name,score\nEU,\"a,b\",1\nEU,c,1\n";
        place.table("accounts", "region VARCHAR(4), name VARCHAR(9), score INTEGER, PRIMARY KEY (region, name)", rows);
        place.scores(
            "region VARCHAR(4), name VARCHAR(9), score INTEGER, PRIMARY KEY (region, name)",
            "region,name,score\nEU,\"a,b\",5\nEU,c,6\n",
        );
        place.job("", "region = 'region'\nname = 'name'\nscore = 'score'");
        let test = place.command(&["test", "job", "--record", "EU,\"a,b\""]);
        assert_eq!(test.code, 0, "{test}");
        assert_eq!(place.rows("accounts"), rows.replace("b\",1", "b\",5"), "on {server}");
    }
}
