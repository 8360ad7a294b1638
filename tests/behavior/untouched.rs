//! Rows that the database itself leaves as they were, without a word: a trigger skips them, a rule
//! does something else, a policy shows them and does not let them be written. Each costs its record
//! and nobody else's.

use crate::harness::{Does, FIELDS, Ran, Running, SCORES, Server, Workspace};
use crate::journal_tables::with_journal;
use crate::rights::place_with_a_new_user;
use crate::undo::outcomes;

const ROWS: &str = "id,score,note,phone\nA1,1,,555\nA2,2,,\nA3,3,,\n";
const SOURCE: &str = "id,score,note\nA1,10,x\nA2,20,x\nA3,30,x\n";
const KEEP_SCORE: &str =
    "id = 'id'\nscore = { column = 'score', on_conflict = 'keep' }\nnote = 'note'";

/// Databases that have a way to leave a row of a table as it was: a trigger of MariaDB writes,
/// changes or refuses.
const SILENT: [Server; 2] = [Server::Sqlite, Server::Postgres];

fn place(server: Server) -> Workspace {
    let place = Workspace::accounts(server, ROWS, SOURCE);
    place.job("", FIELDS);
    place
}

/// A trigger `guard` that skips rows whose key ends in `2` before they are changed by `event`.
fn guard(place: &Workspace, event: &str) {
    let row = if event == "INSERT" { "NEW" } else { "OLD" };
    let skipped = format!("{row}.id LIKE '%2'");
    place.trigger(
        "guard",
        &format!("{event} ON accounts"),
        &skipped,
        Does::Skip,
    );
}

fn expect_rejected(run: &Ran, place: &Workspace, key: &str, reason: &str, label: &str) {
    let listed = place.rejected(run.run());
    let line = listed
        .lines()
        .find(|line| line.contains(&format!(",{key},")))
        .unwrap_or_default();
    assert!(
        line.contains(",destination,,") && line.contains(reason),
        "{label}: {listed}{run}"
    );
}

#[test]
fn a_row_that_a_trigger_skips_costs_its_record_and_no_other() {
    let keys = ["id VARCHAR(18) PRIMARY KEY", "id VARCHAR(18) NOT NULL"];
    for (server, key) in SILENT
        .into_iter()
        .flat_map(|server| keys.map(|key| (server, key)))
    {
        for settings in [
            "",
            "matching = 'upsert'",
            "batch_size = 2",
            "keep_before_images = false",
        ] {
            for fields in [FIELDS, KEEP_SCORE] {
                if (settings, fields) == ("keep_before_images = false", KEEP_SCORE) {
                    continue;
                }
                let label = format!("{key}, {settings}, {fields} on {server}");
                let place = Workspace::on(server);
                let columns = format!("{key}, score INTEGER, note VARCHAR(40), phone VARCHAR(20)");
                place
                    .table("accounts", &columns, ROWS)
                    .scores(SCORES, SOURCE)
                    .job(settings, fields);
                guard(&place, "UPDATE");
                let run = place.run();
                assert_eq!(
                    run.summary(),
                    "3 read = 2 updated + 1 rejected",
                    "{label}: {run}"
                );
                assert_eq!(run.code, 1, "{label}: {run}");
                expect_rejected(
                    &run,
                    &place,
                    "A2",
                    "the database left the row as it was: trigger `guard`",
                    &label,
                );
                let rows = "id,score,note,phone\nA1,10,x,555\nA2,2,,\nA3,30,x,\n";
                assert_eq!(place.rows("accounts"), rows, "{label}");
                let again = place.run();
                assert_eq!(
                    again.summary(),
                    "3 read = 2 unchanged + 1 rejected",
                    "{label}: {again}"
                );
                place.file("data/scores.csv", &SOURCE.replace("0,x", "1,x"));
                let next = place.run();
                assert_eq!(
                    next.summary(),
                    "3 read = 2 updated + 1 rejected",
                    "{label}: {next}"
                );
            }
        }
    }
}

#[test]
fn a_row_that_a_trigger_does_not_let_in_costs_its_record_and_no_other() {
    for server in SILENT {
        for (mode, written) in [
            ("upsert", "1 inserted + 1 updated"),
            ("create_only", "1 inserted + 1 skipped"),
        ] {
            let place = place(server);
            place.job(&format!("matching = '{mode}'"), FIELDS);
            place.file(
                "data/scores.csv",
                "id,score,note\nA1,10,x\nN1,1,x\nN2,2,x\n",
            );
            guard(&place, "INSERT");
            let run = place.run();
            assert_eq!(
                run.summary(),
                format!("3 read = {written} + 1 rejected"),
                "{mode} on {server}: {run}"
            );
            let reason = "the database made no row that can be found: trigger `guard`";
            expect_rejected(&run, &place, "N2", reason, &format!("{mode} on {server}"));
        }
    }
}

#[test]
fn a_row_that_a_trigger_puts_into_another_table_of_the_same_is_inserted() {
    let place = place(Server::Postgres);
    place.job("matching = 'upsert'", FIELDS);
    place.file(
        "data/scores.csv",
        "id,score,note\nA1,10,x\nN1,1,x\nN2,2,x\n",
    );
    place.execute(
        "CREATE TABLE newer () INHERITS (accounts); \
         CREATE FUNCTION redirect() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN INSERT INTO newer SELECT NEW.*; RETURN NULL; END $$; \
         CREATE TRIGGER redirect BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION redirect()",
    );
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 2 inserted + 1 updated", "{run}");
    assert_eq!(
        place.query("SELECT id, score FROM newer"),
        "id,score\nN1,1\nN2,2\n"
    );
    assert_eq!(place.run().summary(), "3 read = 3 unchanged");
    let undone = place.command(&["undo", "1", "--delete-created", "--json"]);
    assert_eq!(
        undone.summary(),
        "3 read = 1 updated + 2 deleted",
        "{undone}"
    );
    assert_eq!(place.rows("accounts"), ROWS);
}

#[test]
fn a_row_that_a_trigger_creates_under_another_key_is_not_created_at_each_run() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = "id VARCHAR(18), score INTEGER, note VARCHAR(40), phone VARCHAR(20)";
        place
            .table("accounts", columns, "id,score,note,phone\nA1,1,,\n")
            .scores(SCORES, "id,score,note\nb1,1,x\nB2,2,x\n")
            .job("matching = 'upsert'", FIELDS)
            .execute(match server {
                Server::Sqlite => {
                    "CREATE TRIGGER shout AFTER INSERT ON accounts BEGIN \
                     UPDATE accounts SET id = upper(id) WHERE rowid = new.rowid; END"
                }
                Server::Postgres => {
                    "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS \
                     $$ BEGIN NEW.id := upper(NEW.id); RETURN NEW; END $$; \
                     CREATE TRIGGER shout BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION shout()"
                }
                Server::MariaDb => {
                    "CREATE TRIGGER shout BEFORE INSERT ON accounts FOR EACH ROW SET NEW.id = UPPER(NEW.id)"
                }
            });
        let run = place.run();
        let summary = "2 read = 1 inserted + 1 rejected";
        assert_eq!(run.summary(), summary, "on {server}: {run}");
        let why = "the database made no row that can be found: trigger `shout`";
        let rejected = place.rejected(1);
        assert!(rejected.contains(why), "on {server}: {rejected}");
        let summary = "2 read = 1 unchanged + 1 rejected";
        assert_eq!(place.run().summary(), summary, "on {server}");
        let ids = place.query("SELECT id FROM accounts ORDER BY id");
        assert_eq!(ids, "id\nA1\nB2\n", "on {server}");
    }
}

#[test]
fn a_row_that_a_trigger_writes_in_its_own_way_is_updated() {
    let place = place(Server::Postgres);
    place.execute(
        "CREATE TABLE newer () INHERITS (accounts); \
         CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN DELETE FROM accounts WHERE id = OLD.id; INSERT INTO newer SELECT NEW.*; RETURN NULL; END $$; \
         CREATE TRIGGER move BEFORE UPDATE ON accounts FOR EACH ROW WHEN (old.id <> 'A1') EXECUTE FUNCTION move()",
    );
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 3 updated", "{run}");
    assert_eq!(
        place.query("SELECT id, score FROM newer"),
        "id,score\nA2,20\nA3,30\n"
    );
    let undone = place.command(&["undo", "1", "--json"]);
    assert_eq!(undone.summary(), "3 read = 3 updated", "{undone}");
    assert_eq!(place.rows("accounts"), ROWS);
}

#[test]
fn a_row_that_a_policy_shows_and_does_not_let_be_written_costs_its_record() {
    for mode in ["update_only", "upsert"] {
        let (place, user) = place_with_a_new_user(Server::Postgres);
        place.grant("SELECT, UPDATE, INSERT", "accounts", &user);
        place.execute(
            "DELETE FROM accounts; INSERT INTO accounts (id, score) VALUES ('A1', 1), ('A2', 2), ('A3', 3); \
             ALTER TABLE accounts ENABLE ROW LEVEL SECURITY; \
             CREATE POLICY everybody ON accounts FOR SELECT USING (true); \
             CREATE POLICY anybody ON accounts FOR INSERT WITH CHECK (true); \
             CREATE POLICY most ON accounts FOR UPDATE USING (id <> 'A2')",
        );
        place
            .job(&format!("matching = '{mode}'"), FIELDS)
            .file("data/scores.csv", SOURCE);
        let run = place.command_with(&["run", "job", "--json"], &[("WRITER_PASSWORD", "writer")]);
        assert_eq!(
            run.summary(),
            "3 read = 2 updated + 1 rejected",
            "{mode}: {run}"
        );
        let reason = "the database left the row as it was: row-level security (policy `most`)";
        expect_rejected(&run, &place, "A2", reason, mode);
    }
}

#[test]
fn rules_have_their_say_about_their_own_rows_only() {
    for (event, reason) in [
        (
            "UPDATE",
            "the database left the row as it was: rule `guard`",
        ),
        (
            "INSERT",
            "the database made no row that can be found: rule `guard`",
        ),
    ] {
        let place = place(Server::Postgres);
        let row = if event == "INSERT" { "new" } else { "old" };
        place.job("matching = 'upsert'", FIELDS);
        place.file(
            "data/scores.csv",
            "id,score,note\nA1,10,x\nA2,20,x\nN1,1,x\nN2,2,x\n",
        );
        place.execute(&format!(
            "CREATE RULE guard AS ON {event} TO accounts WHERE {row}.id LIKE '%2' DO INSTEAD NOTHING"
        ));
        let run = place.run();
        let (written, key) = match event {
            "UPDATE" => ("2 inserted + 1 updated", "A2"),
            _ => ("1 inserted + 2 updated", "N2"),
        };
        assert_eq!(
            run.summary(),
            format!("4 read = {written} + 1 rejected"),
            "{event}: {run}"
        );
        expect_rejected(&run, &place, key, reason, event);
    }
}

/// A view of `accounts` whose triggers do nothing for keys that end in `2`.
const VIEWS: [(Server, &str); 2] = [
    (
        Server::Sqlite,
        "CREATE VIEW active AS SELECT id, score, note FROM accounts; \
         CREATE TRIGGER guard INSTEAD OF UPDATE ON active BEGIN \
         UPDATE accounts SET score = new.score, note = upper(new.note) WHERE id = old.id AND id NOT LIKE '%2'; END; \
         CREATE TRIGGER entry INSTEAD OF INSERT ON active BEGIN \
         INSERT INTO accounts (id, score, note) SELECT new.id, new.score, new.note WHERE new.id NOT LIKE '%2'; END",
    ),
    (
        Server::Postgres,
        "CREATE VIEW active AS SELECT id, score, note FROM accounts; \
         CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.id LIKE '%2' THEN NULL; \
         ELSIF TG_OP = 'UPDATE' THEN UPDATE accounts SET score = new.score, note = upper(new.note) WHERE id = old.id; \
         ELSE INSERT INTO accounts (id, score, note) SELECT new.id, new.score, new.note; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER guard INSTEAD OF UPDATE ON active FOR EACH ROW EXECUTE FUNCTION guard(); \
         CREATE TRIGGER entry INSTEAD OF INSERT ON active FOR EACH ROW EXECUTE FUNCTION guard()",
    ),
];

#[test]
fn a_view_whose_triggers_do_nothing_for_a_row_costs_its_record() {
    for (server, view) in VIEWS {
        for settings in ["", "keep_before_images = false"] {
            let place = place(server);
            place.execute(view);
            place.job(
                &format!("table = 'active'\nmatching = 'upsert'\n{settings}"),
                FIELDS,
            );
            place.file(
                "data/scores.csv",
                "id,score,note\nA1,10,x\nA2,20,x\nA3,30,x\nN1,1,x\nN2,2,x\n",
            );
            let run = place.run();
            assert_eq!(
                run.summary(),
                "5 read = 1 inserted + 2 updated + 2 rejected",
                "on {server}: {run}"
            );
            let label = format!("{settings} on {server}");
            expect_rejected(
                &run,
                &place,
                "A2",
                "the database left the row as it was: ",
                &label,
            );
            expect_rejected(
                &run,
                &place,
                "N2",
                "the database made no row that can be found: ",
                &label,
            );
            let rows = place.query("SELECT id, score, note FROM accounts");
            assert_eq!(
                rows, "id,score,note\nA1,10,X\nA2,2,\nA3,30,X\nN1,1,x\n",
                "on {server}"
            );
        }
    }
}

#[test]
fn an_undo_leaves_what_a_trigger_keeps_and_takes_the_rest_back() {
    for server in SILENT {
        let place = place(server);
        place.job("matching = 'upsert'", FIELDS);
        place.file("data/scores.csv", &format!("{SOURCE}N1,1,x\nN2,2,x\n"));
        assert_eq!(
            place.run().summary(),
            "5 read = 2 inserted + 3 updated",
            "on {server}"
        );
        guard(&place, "UPDATE");
        let undone = place.command(&["undo", "1", "--json"]);
        let summary = "5 read = 2 updated + 2 skipped + 1 rejected";
        assert_eq!(
            (undone.code, undone.summary().as_str()),
            (1, summary),
            "on {server}: {undone}"
        );
        assert_eq!(
            undone.json()["write_backs"][0]["could_not"],
            1,
            "on {server}: {undone}"
        );
        expect_rejected(
            &undone,
            &place,
            "A2",
            "the database left the row as it was: trigger `guard`",
            "undo",
        );
        let rows =
            "id,score,note,phone\nA1,1,,555\nA2,20,x,\nA3,3,,\nN1,1,x,unknown\nN2,2,x,unknown\n";
        assert_eq!(place.rows("accounts"), rows, "on {server}");
    }
}

#[test]
fn an_undo_says_so_of_a_created_row_that_a_trigger_does_not_let_go() {
    for server in SILENT {
        let place = place(server);
        place
            .job("matching = 'upsert'", FIELDS)
            .file("data/scores.csv", "id,score,note\nN1,1,x\nN2,2,x\nN3,3,x\n");
        assert_eq!(place.run().summary(), "3 read = 3 inserted", "on {server}");
        guard(&place, "DELETE");
        let undone = place.command(&["undo", "1", "--delete-created", "--json"]);
        assert_eq!(
            undone.summary(),
            "3 read = 2 deleted + 1 rejected",
            "on {server}: {undone}"
        );
        expect_rejected(
            &undone,
            &place,
            "N2",
            "the database did not delete the row: trigger `guard`",
            "undo",
        );
        assert_eq!(
            place.rows("accounts"),
            format!("{ROWS}N2,2,x,unknown\n"),
            "on {server}"
        );
        assert_eq!(outcomes(&place, 2)[1][..11], *"N2 rejected", "on {server}");
    }
}

#[test]
fn a_plan_says_so_too() {
    for server in SILENT {
        let place = place(server);
        assert_eq!(
            place.command(&["preview", "job", "--out", "job.plan"]).code,
            0,
            "on {server}"
        );
        guard(&place, "UPDATE");
        let run = place.command(&["run", "job", "--plan", "job.plan", "--json"]);
        assert_eq!(
            run.summary(),
            "3 read = 2 updated + 1 rejected",
            "on {server}: {run}"
        );
        expect_rejected(
            &run,
            &place,
            "A2",
            "the database left the row as it was: trigger `guard`",
            "a plan",
        );
    }
}

#[test]
fn canaries_and_tests_say_so_too() {
    for server in SILENT {
        let place = place(server);
        guard(&place, "UPDATE");
        let reason = "the database left the row as it was: trigger `guard`";
        for ending in [
            &["test", "job", "--record", "A2", "--rollback"][..],
            &["test", "job", "--record", "A2"],
        ] {
            let tested = place.command(ending);
            assert!(
                tested.code != 0 && format!("{tested}").contains(reason),
                "on {server}: {tested}"
            );
        }
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
        place.job("canary = 2", FIELDS);
        let stopped = place.command(&["run", "job"]);
        assert!(
            stopped.code == 2 && stopped.stderr.contains(reason),
            "on {server}: {stopped}"
        );
        assert_eq!(
            place.rows("accounts"),
            ROWS.replace("A1,1,", "A1,10,x"),
            "on {server}"
        );
    }
}

#[test]
fn a_journal_whose_rows_a_trigger_puts_elsewhere_is_filled() {
    let place = place(Server::Postgres);
    with_journal(&place, "");
    place.execute(
        "CREATE TABLE journal_2026 () INHERITS (journal); \
         CREATE FUNCTION redirect() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN INSERT INTO journal_2026 SELECT NEW.*; RETURN NULL; END $$; \
         CREATE TRIGGER redirect BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION redirect()",
    );
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 3 updated", "{run}");
    let filled = place.query("SELECT count(*) AS n FROM journal_2026");
    assert_eq!(filled, "n\n6\n");
}

#[test]
fn what_a_journal_does_not_tell_is_not_written() {
    for server in SILENT {
        let place = place(server);
        with_journal(&place, "");
        let skipped = "NEW.match_key = 'A2'";
        place.trigger("skipped", "INSERT ON journal", skipped, Does::Skip);
        let run = place.run();
        assert!(
            run.code == 2 && run.stderr.contains("it took 4 of 6 rows"),
            "on {server}: {run}"
        );
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
    }
}

/// What somebody else does to A2 while a run waits for its row, and what then becomes of the
/// record.
const PASSING: [(&str, &str, &str); 4] = [
    (
        "UPDATE accounts SET phone = '1' WHERE id = 'A2'",
        "3 read = 3 updated",
        "A2,20,1\n",
    ),
    (
        "UPDATE accounts SET score = 7 WHERE id = 'A2'",
        "3 read = 3 updated",
        "A2,20,\n",
    ),
    (
        "UPDATE accounts SET id = 'Z2' WHERE id = 'A2'",
        "3 read = 2 updated + 1 skipped",
        "",
    ),
    (
        "DELETE FROM accounts WHERE id = 'A2'",
        "3 read = 2 updated + 1 skipped",
        "",
    ),
];

#[test]
fn what_somebody_else_does_meanwhile_rejects_no_record() {
    let keys = ["id VARCHAR(18) PRIMARY KEY", "id VARCHAR(18) NOT NULL"];
    for (server, key) in Server::WITH_USERS
        .into_iter()
        .flat_map(|server| keys.map(|key| (server, key)))
    {
        for settings in ["", "keep_before_images = false"] {
            for (meanwhile, summary, left) in PASSING {
                let place = Workspace::on(server);
                let columns = format!("{key}, score INTEGER, note VARCHAR(40), phone VARCHAR(20)");
                place
                    .table("accounts", &columns, ROWS)
                    .scores(SCORES, SOURCE)
                    .job(settings, FIELDS);
                place.execute(&format!("BEGIN; {meanwhile}"));
                let run = Running::start(&place);
                place.wait_for_its_waiting();
                place.execute("COMMIT");
                let run = run.finish();
                let label = format!("{meanwhile}, {key}, {settings} on {server}");
                assert_eq!(run.summary(), summary, "{label}: {run}");
                let rows = place.query("SELECT id, score, phone FROM accounts WHERE id = 'A2'");
                assert_eq!(
                    rows.replace("id,score,phone\n", "").trim_start(),
                    left,
                    "{label}"
                );
            }
        }
    }
}
