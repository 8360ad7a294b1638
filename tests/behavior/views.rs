//! Objects that are no plain tables with an index on the key: views, and tables that every batch
//! reads whole.

use crate::harness::{FIELDS, SCORES, Server, Workspace};

const ROWS: &str = "id,score,note,phone\nA1,1,,\nB1,1,,\n";
const SOURCE: &str = "id,score,note\nA1,2,x\nB1,2,x\nA9,2,x\n";

/// The write-back goes to `active`, a view of the accounts that begin with an `A`.
fn place_with_a_view(server: Server, columns: &str) -> Workspace {
    let place = Workspace::accounts(server, ROWS, SOURCE);
    place.execute(&format!(
        "CREATE VIEW active AS SELECT {columns} FROM accounts WHERE id < 'B'"
    ));
    place.job("table = 'active'", FIELDS);
    place
}

#[test]
fn a_view_that_can_be_updated_is_written_like_a_table() {
    for server in Server::WITH_USERS {
        let place = place_with_a_view(server, "id, score, note");
        let check = place.command(&["check"]);
        assert_eq!(
            (check.code, check.stderr.as_str()),
            (0, ""),
            "on {server}: {check}"
        );
        assert_eq!(
            place.run().summary(),
            "3 read = 1 updated + 2 skipped",
            "on {server}"
        );
        assert_eq!(
            place.rows("accounts"),
            ROWS.replace("A1,1,", "A1,2,x"),
            "on {server}"
        );
        place
            .job("table = 'active'\nmatching = 'upsert'", FIELDS)
            .file("data/scores.csv", "id,score,note\nA1,3,x\nA2,3,x\n");
        assert_eq!(
            place.run().summary(),
            "2 read = 1 inserted + 1 updated",
            "on {server}"
        );
        let rows = "id,score,note,phone\nA1,3,x,\nA2,3,x,unknown\nB1,1,,\n";
        assert_eq!(place.rows("accounts"), rows, "on {server}");
    }
}

#[test]
fn a_view_with_triggers_is_written_through_them() {
    let place = place_with_a_view(Server::Sqlite, "id, score, note");
    place.execute(
        "CREATE TRIGGER write_active INSTEAD OF UPDATE ON active BEGIN \
         UPDATE accounts SET score = new.score, note = new.note WHERE id = old.id; END",
    );
    assert_eq!(place.run().summary(), "3 read = 1 updated + 2 skipped");
    assert_eq!(place.rows("accounts"), ROWS.replace("A1,1,", "A1,2,x"));
}

#[test]
fn rows_that_a_run_created_through_a_view_are_deleted_through_it() {
    for server in Server::ALL {
        let place = place_with_a_view(server, "id, score, note");
        if server == Server::Sqlite {
            place.execute(
                "CREATE TRIGGER write_active INSTEAD OF UPDATE ON active BEGIN \
                 UPDATE accounts SET score = new.score, note = new.note WHERE id = old.id; END; \
                 CREATE TRIGGER make_active INSTEAD OF INSERT ON active BEGIN \
                 INSERT INTO accounts (id, score, note) VALUES (new.id, new.score, new.note); END; \
                 CREATE TRIGGER delete_active INSTEAD OF DELETE ON active BEGIN \
                 DELETE FROM accounts WHERE id = old.id; END",
            );
        }
        place.job("table = 'active'\nmatching = 'upsert'", FIELDS);
        place.file("data/scores.csv", "id,score,note\nA1,2,x\nA9,2,x\n");
        assert_eq!(
            place.run().summary(),
            "2 read = 1 inserted + 1 updated",
            "on {server}"
        );
        let undo = place.command(&["undo", "1", "--delete-created", "--json"]);
        assert_eq!(
            undo.summary(),
            "2 read = 1 updated + 1 deleted",
            "on {server}: {undo}"
        );
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
    }
}

#[test]
fn a_view_that_cannot_be_updated_is_a_mistake() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        place.execute(
            "CREATE VIEW summed AS SELECT id, max(score) AS score, max(note) AS note FROM accounts GROUP BY id",
        );
        place.job("table = 'summed'", FIELDS);
        for arguments in [&["check"][..], &["run", "job"]] {
            let ran = place.command(arguments);
            assert_eq!(ran.code, 2, "on {server}: {ran}");
            assert!(
                ran.stderr
                    .contains("summed` is a view that cannot be written"),
                "on {server}: {ran}"
            );
            assert!(
                ran.stderr.contains("hint: name the table behind it"),
                "on {server}: {ran}"
            );
            assert!(
                ran.stderr.starts_with("error: job `job` has 1 problem\n"),
                "and that is all, on {server}: {ran}"
            );
        }
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
    }
}

#[test]
fn a_view_of_two_tables_takes_columns_of_one_and_check_tells() {
    let place = Workspace::accounts(Server::MariaDb, ROWS, SOURCE);
    place
        .execute("CREATE TABLE notes (id VARCHAR(18) PRIMARY KEY, note VARCHAR(40))")
        .execute("INSERT INTO notes VALUES ('A1', NULL), ('B1', NULL)")
        .execute(
            "CREATE VIEW both_tables AS SELECT a.id, a.score, n.note \
             FROM accounts AS a JOIN notes AS n ON n.id = a.id",
        );
    place.job("table = 'both_tables'", FIELDS);
    let check = place.command(&["check"]);
    let why = "Can not modify more than one base table through a join view";
    assert!(check.code == 2 && check.stderr.contains(why), "{check}");
    place.job(
        "table = 'both_tables'\nignore = ['score']",
        "id = 'id'\nnote = 'note'",
    );
    assert_eq!(place.command(&["check"]).code, 0);
    assert_eq!(place.run().summary(), "3 read = 2 updated + 1 skipped");
    assert_eq!(place.rows("notes"), "id,note\nA1,x\nB1,x\n");
}

#[test]
fn a_key_without_an_index_is_warned_about_until_the_proposed_one_is_there() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = "id VARCHAR(18) NOT NULL, score INTEGER, note VARCHAR(40)";
        place
            .table("Accounts of 2026", columns, "id,score,note\nA1,1,\n")
            .scores(SCORES, SOURCE);
        place.job("table = '\"Accounts of 2026\"'", FIELDS);
        let check = place.command(&["check"]);
        assert_eq!(
            check.code, 0,
            "a warning is no mistake on {server}: {check}"
        );
        let warning = check
            .stderr
            .lines()
            .position(|line| line.contains("warning: no index of"));
        let warning = warning.unwrap_or_else(|| panic!("no warning on {server}: {check}"));
        let hint = check
            .stderr
            .lines()
            .nth(warning + 1)
            .expect("a line after it");
        place.execute(hint.trim().strip_prefix("hint: ").expect("a hint"));
        let check = place.command(&["check"]);
        assert_eq!(
            (check.code, check.stderr.as_str()),
            (0, ""),
            "on {server}: {check}"
        );
        assert_eq!(
            place.run().summary(),
            "3 read = 1 updated + 2 skipped",
            "on {server}"
        );
    }
}

/// A view that takes updates and new rows, and no deletions.
fn place_with_a_view_that_keeps_rows(server: Server) -> Workspace {
    let place = Workspace::accounts(server, ROWS, "id,score,note\nA1,2,x\nA9,2,x\n");
    match server {
        Server::Sqlite => place.execute(
            "CREATE VIEW active AS SELECT id, score, note FROM accounts; \
             CREATE TRIGGER write_active INSTEAD OF UPDATE ON active BEGIN \
             UPDATE accounts SET score = new.score, note = new.note WHERE id = old.id; END; \
             CREATE TRIGGER make_active INSTEAD OF INSERT ON active BEGIN \
             INSERT INTO accounts (id, score, note) VALUES (new.id, new.score, new.note); END",
        ),
        Server::Postgres => place.execute(
            "CREATE VIEW active AS SELECT DISTINCT id, score, note FROM accounts; \
             CREATE FUNCTION write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP = 'UPDATE' THEN \
             UPDATE accounts SET score = new.score, note = new.note WHERE id = old.id; \
             ELSE INSERT INTO accounts (id, score, note) VALUES (new.id, new.score, new.note); END IF; RETURN NEW; END $$; \
             CREATE TRIGGER write INSTEAD OF UPDATE OR INSERT ON active FOR EACH ROW EXECUTE FUNCTION write()",
        ),
        Server::MariaDb => place
            .execute("CREATE TABLE regions (region INTEGER)")
            .execute("INSERT INTO regions VALUES (1)")
            .execute(
                "CREATE VIEW active AS SELECT id, score, note FROM accounts JOIN regions ON region = 1",
            ),
    };
    place.job("table = 'active'\nmatching = 'upsert'", FIELDS);
    place
}

#[test]
fn a_view_that_takes_no_deletions_is_told_before_anything_is_taken_back() {
    for server in Server::ALL {
        let place = place_with_a_view_that_keeps_rows(server);
        let run = place.run();
        assert_eq!(
            run.summary(),
            "2 read = 1 inserted + 1 updated",
            "on {server}: {run}"
        );
        let written = place.rows("accounts");
        let refused = place.command(&["undo", "1", "--delete-created"]);
        let told = "is a view through which no row can be deleted";
        assert!(
            refused.code == 2 && refused.stderr.contains(told),
            "on {server}: {refused}"
        );
        assert_eq!(place.rows("accounts"), written, "on {server}");
        let undone = place.command(&["undo", "1"]);
        assert_eq!(undone.code, 0, "on {server}: {undone}");
        let left = place.rows("accounts");
        assert!(left.contains("\nA1,1,,\nA9,2,x,"), "on {server}: {left}");
    }
}

/// Of a view's columns PostgreSQL says that they cannot be written where rows cannot be deleted, too.
#[test]
fn columns_that_a_view_hands_on_to_a_trigger_are_not_taken_for_computed_ones() {
    const BASE: &str = "CREATE VIEW base AS SELECT DISTINCT id, score, note FROM accounts; \
        CREATE FUNCTION write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        UPDATE accounts SET score = new.score, note = new.note WHERE id = old.id; RETURN NEW; END $$; \
        CREATE TRIGGER write INSTEAD OF UPDATE ON base FOR EACH ROW EXECUTE FUNCTION write(); ";
    let place = |view: &str| {
        let place = Workspace::accounts(Server::Postgres, ROWS, "id,score,note\nA1,2,x\n");
        place.execute(&format!("{BASE}{view}"));
        place.job("table = 'active'", FIELDS);
        place
    };
    for view in [
        "CREATE VIEW active AS SELECT id, score, note FROM base",
        "CREATE VIEW active AS SELECT id, score, lower(note) AS note FROM accounts; \
         CREATE TRIGGER write INSTEAD OF UPDATE ON active FOR EACH ROW EXECUTE FUNCTION write()",
        "CREATE VIEW active AS SELECT DISTINCT id, score, note FROM accounts; \
         CREATE RULE write AS ON UPDATE TO active DO INSTEAD \
         UPDATE accounts SET score = new.score, note = new.note WHERE id = old.id",
    ] {
        let place = place(view);
        let run = place.run();
        assert_eq!(run.summary(), "1 read = 1 updated", "{view}: {run}");
        assert!(place.rows("accounts").contains("A1,2,x,"), "{view}");
    }
    let place = place("CREATE VIEW active AS SELECT id, score, lower(note) AS note FROM accounts");
    let check = place.command(&["check"]);
    assert!(
        check.code == 2 && check.stderr.contains("`note` is computed by the database"),
        "{check}"
    );
}
