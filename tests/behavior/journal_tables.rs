//! The journal as a table of the destination: what `history` tells, row by row, in the transaction
//! that wrote it.

use serde_json::Value;

use crate::harness::{
    Act, At, FIELDS, Fault, Proxy, Ran, SCORES, Server, WRITER, Workspace, csv_cells,
};

const HEADER: &str = "id,score,note,phone\n";
const ROWS: &str = "id,score,note,phone\nA1,1,,555\nA2,2,same,\nA3,3,\"\",\n";
const SOURCE: &str = "id,score,note\nA1,10,y\nA2,2,same\nA3,,z\n";

/// The statement that a run or a check proposes for a journal that is not there.
pub(crate) fn proposed(ran: &Ran) -> String {
    let hint = ran
        .stderr
        .lines()
        .find_map(|line| line.split_once("hint: make it: "));
    hint.unwrap_or_else(|| panic!("no statement in {ran}"))
        .1
        .to_owned()
}

/// Lets the test's job fill the table `journal`, which is made as proposed.
pub(crate) fn with_journal<'a>(place: &'a Workspace, settings: &str) -> &'a Workspace {
    place.job(&format!("{settings}\njournal_table = 'journal'"), FIELDS);
    let check = place.command(&["check"]);
    assert_eq!(check.code, 2, "{check}");
    place.execute(&proposed(&check))
}

fn place(server: Server, settings: &str) -> Workspace {
    let place = Workspace::accounts(server, ROWS, SOURCE);
    with_journal(&place, settings);
    place
}

/// `RUN CHANGE KEY COLUMN OLD -> NEW`, sorted.
fn journal(place: &Workspace) -> Vec<String> {
    let rows = place.query(
        "SELECT run, change_kind, match_key, column_name, coalesce(old_value, 'NULL') AS o, \
         coalesce(new_value, 'NULL') AS n FROM journal",
    );
    let cell = |cell: &Option<String>| cell.clone().unwrap_or_default();
    let line = |row: &Vec<Option<String>>| {
        let cells: Vec<String> = row.iter().map(cell).collect();
        format!(
            "{} {} {} {} {} -> {}",
            cells[0], cells[1], cells[2], cells[3], cells[4], cells[5]
        )
    };
    let mut lines: Vec<String> = csv_cells(&rows).iter().skip(1).map(line).collect();
    lines.sort();
    lines
}

/// What `history` tells of these records, in the form of [`journal`].
fn history(place: &Workspace, records: &[&str]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("NULL").to_owned();
    let mut lines = Vec::new();
    for record in records {
        let told = place
            .command(&["history", "scores", "--record", record, "--json"])
            .json();
        for entry in told["entries"].as_array().expect("entries") {
            let change = match (entry["by"].as_str(), entry["row"].as_str()) {
                (Some("someone_else"), _) => continue,
                (Some("undo"), _) => "undo",
                (_, Some("created")) => "insert",
                _ => "update",
            };
            lines.extend(
                entry["changes"]
                    .as_array()
                    .expect("changes")
                    .iter()
                    .map(|one| {
                        let [column, before, after] =
                            ["column", "before", "after"].map(|name| text(&one[name]));
                        format!(
                            "{} {change} {record} {column} {before} -> {after}",
                            entry["run"]
                        )
                    }),
            );
        }
    }
    lines.sort();
    lines
}

#[test]
fn a_journal_that_is_not_there_stops_the_run_and_the_statement_that_makes_it_works() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        place.job("journal_table = 'journal'", FIELDS);
        let run = place.run();
        assert_eq!(run.code, 2, "on {server}: {run}");
        let told =
            "schedules/job.toml:7:1: `journal` cannot be the journal: there is none in `crm`";
        assert!(run.stderr.contains(told), "on {server}: {run}");
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
        place.execute(&proposed(&run));
        let check = place.command(&["check"]);
        assert!(
            check.code == 0 && check.stdout.contains("each change goes into `"),
            "on {server}: {check}"
        );
        assert_eq!(
            place.run().summary(),
            "3 read = 2 updated + 1 unchanged",
            "on {server}"
        );
        assert_eq!(journal(&place).len(), 4, "on {server}");
    }
}

#[test]
fn it_tells_what_history_tells() {
    for server in Server::ALL {
        let place = place(server, "matching = 'upsert'");
        assert_eq!(place.run().code, 0, "on {server}");
        let first = [
            "1 update A1 note NULL -> y",
            "1 update A1 score 1 -> 10",
            "1 update A3 note  -> z",
            "1 update A3 score 3 -> NULL",
        ];
        assert_eq!(journal(&place), first, "on {server}");
        place.execute("UPDATE accounts SET note = 'by hand' WHERE id = 'A1'");
        place.file(
            "data/scores.csv",
            "id,score,note\nA1,10,y\nA2,3,\nA3,,z\nA9,9,\"a, \"\"b\"\"\"\n",
        );
        assert_eq!(
            place.run().summary(),
            "4 read = 1 inserted + 2 updated + 1 unchanged",
            "on {server}"
        );
        let undone = place.command(&["undo", "2", "--delete-created", "--json"]);
        assert_eq!(
            undone.summary(),
            "3 read = 2 updated + 1 deleted",
            "on {server}: {undone}"
        );
        let records = ["A1", "A2", "A3", "A9"];
        let mut expected = history(&place, &records);
        // A row that goes takes its values with it; history says so in one word.
        expected.extend([
            "3 undo A9 note a, \"b\" -> NULL".to_owned(),
            "3 undo A9 score 9 -> NULL".to_owned(),
        ]);
        expected.sort();
        assert_eq!(journal(&place), expected, "on {server}");
        assert!(
            expected
                .iter()
                .any(|line| line == "3 undo A1 note y -> by hand"),
            "on {server}: {expected:?}"
        );
        let redone = place.command(&["undo", "3", "--json"]);
        assert_eq!(
            redone.summary(),
            "3 read = 2 updated + 1 skipped",
            "on {server}: {redone}"
        );
        let told = journal(&place)
            .into_iter()
            .filter(|line| line.starts_with('4'))
            .collect::<Vec<_>>();
        assert_eq!(
            told,
            history(&place, &["A1", "A2"])
                .into_iter()
                .filter(|line| line.starts_with('4'))
                .collect::<Vec<_>>()
        );
        let facts =
            place.query("SELECT DISTINCT job, write_back, cycle FROM journal WHERE run = 1");
        let cycle = place.command(&["runs", "1", "--json"]).json()["cycle"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(
            facts,
            format!("job,write_back,cycle\njob,scores,{cycle}\n"),
            "on {server}"
        );
        let object = place.query("SELECT DISTINCT object FROM journal");
        assert!(object.ends_with("accounts\n"), "on {server}: {object}");
        let today = chrono::Utc::now().date_naive();
        let (yesterday, tomorrow) = (today.pred_opt(), today.succ_opt());
        let other_days = format!(
            "SELECT count(*) AS n FROM journal WHERE written_at NOT BETWEEN '{}' AND '{}'",
            yesterday.expect("a day before"),
            tomorrow.expect("a day after"),
        );
        assert_eq!(place.query(&other_days), "n\n0\n", "on {server}");
    }
}

#[test]
fn a_journal_needs_no_before_images_and_none_is_kept() {
    for server in Server::ALL {
        let place = place(server, "keep_before_images = false");
        assert_eq!(
            place.run().summary(),
            "3 read = 2 updated + 1 unchanged",
            "on {server}"
        );
        assert_eq!(journal(&place).len(), 4, "on {server}");
        assert!(
            !place
                .state()
                .iter()
                .any(|(path, _)| path.ends_with("before")),
            "on {server}"
        );
        assert_eq!(place.run().summary(), "3 read = 3 unchanged", "on {server}");
        assert_eq!(
            journal(&place).len(),
            4,
            "what changes nothing is not told, on {server}"
        );
    }
}

#[test]
fn a_record_that_is_refused_leaves_no_row() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER CHECK (score < 100), note VARCHAR(40), phone VARCHAR(20)";
        let rows = format!("{HEADER}A1,1,,\nA2,2,,\nA3,3,,\nA4,4,,\n");
        place
            .table("accounts", columns, &rows)
            .scores(SCORES, "id,score,note\nA1,11,\nA2,100,\nA3,33,\nA4,44,\n");
        with_journal(&place, "");
        assert_eq!(
            place.run().summary(),
            "4 read = 3 updated + 1 rejected",
            "on {server}"
        );
        let told = [
            "1 update A1 score 1 -> 11",
            "1 update A3 score 3 -> 33",
            "1 update A4 score 4 -> 44",
        ];
        assert_eq!(journal(&place), told, "on {server}");
    }
}

#[test]
fn a_killed_run_leaves_each_row_once() {
    for server in Server::ALL {
        let place = place(server, "matching = 'upsert'\nbatch_size = 1");
        place.file("data/scores.csv", "id,score,note\nA1,10,y\nA3,,z\nA9,9,n\n");
        place.execute("CREATE TABLE fresh AS SELECT * FROM accounts");
        let expected = [
            "insert A9 note NULL -> n",
            "insert A9 score NULL -> 9",
            "update A1 note NULL -> y",
            "update A1 score 1 -> 10",
            "update A3 note  -> z",
            "update A3 score 3 -> NULL",
        ];
        for change in [
            "1 a journal filled",
            "2 record a batch in",
            "1 a batch committed",
            "3 a batch committed",
            "2 record a commit in",
        ] {
            let killed = place.command_with(&["run", "job"], &[("WRITEBACK_ABORT_AT", change)]);
            assert!(
                killed.stderr.contains("dies here"),
                "{change} on {server}: {killed}"
            );
            let run = place.run();
            assert_eq!(
                run.summary(),
                "3 read = 1 inserted + 2 updated",
                "{change} on {server}: {run}"
            );
            let told: Vec<String> = journal(&place)
                .iter()
                .map(|line| line.split_once(' ').unwrap().1.to_owned())
                .collect();
            assert_eq!(told, expected, "{change} on {server}");
            place
                .execute("DELETE FROM journal")
                .execute("DELETE FROM accounts");
            place.execute("INSERT INTO accounts SELECT * FROM fresh");
        }
    }
}

#[test]
fn what_the_journal_does_not_take_is_no_records_fault() {
    for server in Server::ALL {
        let place = place(server, "");
        place.forbid("narrow", "journal", "old_value", "= '3'");
        let run = place.run();
        assert_eq!(run.code, 2, "on {server}: {run}");
        assert!(
            run.stderr.contains("filling the journal `"),
            "on {server}: {run}"
        );
        assert!(
            run.stderr
                .contains("or take `journal_table` out of the job"),
            "on {server}: {run}"
        );
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
        assert_eq!(journal(&place), Vec::<String>::new(), "on {server}");
    }
}

#[test]
fn values_are_told_as_people_read_them() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = "id INTEGER PRIMARY KEY, d DECIMAL(12,4), t TIMESTAMP NULL, k VARCHAR(200), e VARCHAR(9)";
        place.table(
            "accounts",
            columns,
            "id,d,t,k,e\n1,1.5000,2026-01-02 03:04:05,old,full\n2,,,,\n",
        );
        let long = "é".repeat(150);
        place.scores(
            "id INTEGER PRIMARY KEY, d DECIMAL(12,4), t TIMESTAMP, k VARCHAR(200), e VARCHAR(9)",
            &format!(
                "id,d,t,k,e\n1,87.2500,2026-11-21 06:30:00,{long},x\n2,-0.0001,2026-11-21 06:30:00.5,\"a, b\",x\n"
            ),
        );
        let zone = "timezone = 'UTC'\n";
        let files = place.connection("files").trim_end().to_owned() + "\n" + zone;
        let crm = place.connection("crm").trim_end().to_owned() + "\n" + zone;
        place.file(
            "writeback.toml",
            &format!("{files}\n{crm}\n[defaults]\njournal_table = 'journal'\n"),
        );
        let fields =
            "id = 'id'\nd = 'd'\nt = 't'\nk = 'k'\ne = { column = 'e', when = 'if_empty' }";
        place.job("ignore = []", fields);
        place.execute(&proposed(&place.command(&["check"])));
        if server == Server::MariaDb {
            place.execute("ALTER TABLE accounts MODIFY t DATETIME(1) NULL");
        }
        assert_eq!(place.run().summary(), "2 read = 2 updated", "on {server}");
        let told = journal(&place);
        assert_eq!(told, history(&place, &["1", "2"]), "on {server}");
        assert_eq!(
            told.len(),
            7,
            "the value that is kept is not told, on {server}: {told:?}"
        );
        for part in [
            &format!("1 update 1 k old -> {long}"),
            "1 update 2 k NULL -> a, b",
            "1 update 2 e NULL -> x",
        ] {
            assert!(
                told.iter().any(|line| line == part),
                "`{part}` is missing on {server}: {told:?}"
            );
        }
    }
}

#[test]
fn a_table_that_is_no_journal_is_told_what_it_lacks() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        place.job("journal_table = 'accounts'", FIELDS);
        let check = place.command(&["check"]);
        assert!(
            check
                .stderr
                .contains("`accounts` cannot be the journal: it has no column `run`"),
            "{check}"
        );
        assert!(
            check
                .stderr
                .contains("its column `id` is NOT NULL without a default")
                || server == Server::Sqlite
        );
        with_journal(&place, "");
        place.execute("ALTER TABLE journal RENAME COLUMN old_value TO was");
        let check = place.command(&["check"]);
        assert_eq!(check.code, 2, "on {server}: {check}");
        assert!(
            check.stderr.contains("it has no column `old_value`"),
            "on {server}: {check}"
        );
        let name = place.server.quote("old_value");
        assert!(
            check.stderr.contains("hint: add it: `") && check.stderr.contains(&name),
            "on {server}: {check}"
        );
        place.job("journal_table = 'off'", FIELDS);
        assert_eq!(place.run().code, 0, "on {server}");
    }
}

/// An undo may be urgent.
#[test]
fn an_undo_goes_without_a_journal_that_is_gone() {
    for server in Server::ALL {
        let place = place(server, "");
        assert_eq!(place.run().code, 0, "on {server}");
        place.execute("DROP TABLE journal");
        let undone = place.command(&["undo", "1", "--json"]);
        assert_eq!(
            undone.summary(),
            "2 read = 2 updated",
            "on {server}: {undone}"
        );
        assert!(
            undone.stderr.contains("the journal cannot be filled"),
            "on {server}: {undone}"
        );
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
    }
}

#[test]
fn the_right_to_add_rows_is_enough() {
    for server in Server::WITH_USERS {
        let place = place(server, "");
        let user = place.new_user("teller", "writer");
        place
            .grant("SELECT, UPDATE", "accounts", &user)
            .come_as(&user);
        let with_password =
            |arguments: &[&str]| place.command_with(arguments, &[("WRITER_PASSWORD", "writer")]);
        let check = with_password(&["check"]);
        assert_eq!(check.code, 2, "on {server}: {check}");
        place.grant("INSERT", "journal", &user);
        let run = with_password(&["run", "job", "--json"]);
        assert_eq!(
            run.summary(),
            "3 read = 2 updated + 1 unchanged",
            "on {server}: {run}"
        );
        assert_eq!(journal(&place).len(), 4, "on {server}");
    }
}

/// A batch is sent again when nobody knows whether its commit held.
#[test]
fn a_commit_whose_answer_is_lost_leaves_each_row_once() {
    for server in Server::WITH_USERS {
        for at in [
            At::Answered {
                words: "COMMIT",
                nth: 0,
            },
            At::Asked {
                words: "COMMIT",
                nth: 0,
            },
        ] {
            let place = Workspace::accounts(server, ROWS, SOURCE);
            let crm = format!("{}\nwriters = 1\n", place.connection("crm").trim_end());
            place.file("writeback.toml", &(place.connection("files") + &crm));
            let proxy = Proxy::before(&place);
            with_journal(&place, "matching = 'upsert'");
            place.file("data/scores.csv", &format!("{SOURCE}A9,9,n\n"));
            proxy.arm(vec![Fault {
                connection: Some(WRITER),
                at: at.clone(),
                act: Act::Cut,
            }]);
            let run = place.run();
            assert_eq!(proxy.met(), 1, "{at:?} on {server}: {run}");
            assert_eq!(
                run.summary(),
                "4 read = 1 inserted + 2 updated + 1 unchanged",
                "{at:?} on {server}: {run}"
            );
            let told = journal(&place);
            assert_eq!(
                (told.len(), told.clone()),
                (6, history(&place, &["A1", "A3", "A9"])),
                "{at:?} on {server}"
            );
        }
    }
}
