//! Parked records are left alone, with the reason in every report, until their time has come.

use polars::prelude::{ParquetReader, SerReader};
use serde_json::{Value, json};

use crate::harness::{FIELDS, Ran, Server, Workspace, write_back};

const ROWS: &str = "id,score,note,phone\nA1,1,,\nA2,1,,\nA3,1,,\n";
const SOURCE: &str = "id,score,note\nA1,2,\nA2,2,\nA3,2,\n";

fn place(server: Server) -> Workspace {
    Workspace::accounts(server, ROWS, SOURCE)
}

fn park(place: &Workspace, record: &str, until: &str) -> Ran {
    let parked = place.command(&[
        "park",
        "job",
        "--record",
        record,
        "--until",
        until,
        "--reason",
        "the owner asked",
    ]);
    assert_eq!(parked.code, 0, "{parked}");
    parked
}

/// Outcome and reason of each key in `outcomes.parquet`.
fn outcomes(place: &Workspace, run: i64) -> Vec<String> {
    let file = std::fs::File::open(place.run_file(run, "outcomes.parquet")).expect("a file");
    let rows = ParquetReader::new(file).finish().expect("Parquet");
    let column = |name: &str| {
        rows.column(name)
            .expect("a column")
            .str()
            .expect("text")
            .clone()
    };
    let (keys, outcomes, reasons) = (column("key"), column("outcome"), column("reason"));
    let row = |at: usize| {
        let cell =
            |column: &polars::prelude::StringChunked| column.get(at).unwrap_or_default().to_owned();
        format!("{} {} {}", cell(&keys), cell(&outcomes), cell(&reasons))
    };
    let mut all: Vec<String> = (0..rows.height()).map(row).collect();
    all.sort();
    all
}

#[test]
fn a_parked_record_is_left_alone_and_every_report_says_why() {
    for server in Server::ALL {
        let place = place(server);
        let told = "parked until 2999-12-01: the owner asked";
        let parked = park(&place, "A2", "2999-12-01");
        assert!(
            parked.stdout.contains("A2") && parked.stdout.contains("2999-12-01"),
            "{parked}"
        );
        let preview = place.command(&["preview", "job"]);
        assert!(
            preview.stdout.contains("3 read = 2 updated + 1 skipped"),
            "on {server}: {preview}"
        );
        assert!(
            preview
                .stdout
                .contains(&format!("1 parked record:\n  A2  {told}\n")),
            "on {server}: {preview}"
        );
        let preview = place.command(&["preview", "job", "--json"]).json()["write_backs"][0].clone();
        let left_alone = json!([{ "record": 1, "key": "A2", "reason": told }]);
        assert_eq!(
            (&preview["parked"], &preview["left_alone"]),
            (&json!(1), &left_alone),
            "on {server}"
        );

        let run = place.command(&["run", "job"]);
        assert_eq!(run.code, 0, "on {server}: {run}");
        assert!(
            run.stdout
                .starts_with("job  run 1  3 read = 2 updated + 1 skipped  "),
            "on {server}: {run}"
        );
        assert!(
            run.stdout.contains(&format!("\n  A2  {told}\n")),
            "on {server}: {run}"
        );
        assert_eq!(
            place.rows("accounts"),
            "id,score,note,phone\nA1,2,,\nA2,1,,\nA3,2,,\n",
            "on {server}"
        );
        let expected = [
            "A1 updated ".to_owned(),
            format!("A2 skipped {told}"),
            "A3 updated ".to_owned(),
        ];
        assert_eq!(outcomes(&place, 1), expected, "on {server}");
        assert!(
            place.command(&["runs", "1"]).stdout.contains(told),
            "on {server}"
        );
        let entry = place.command(&["runs", "1", "--json"]).json();
        assert_eq!(
            entry["parked"],
            json!([{ "write_back": "scores", "record": 1, "key": "A2", "reason": told }])
        );
        let again = place.run();
        assert_eq!(
            again.summary(),
            "3 read = 2 unchanged + 1 skipped",
            "on {server}"
        );
        assert_eq!(
            again.json()["write_backs"][0]["parked"],
            left_alone,
            "on {server}"
        );

        let test = place.command(&["test", "job", "--record", "A2"]);
        assert!(
            test.code == 0 && test.stdout.contains(&format!("skipped: {told}")),
            "on {server}: {test}"
        );

        let lifted = place.command(&["park", "job", "--record", "A2", "--lift"]);
        assert_eq!(
            (lifted.code, lifted.stdout.as_str()),
            (0, "job  no record is parked\n"),
            "on {server}: {lifted}"
        );
        assert_eq!(
            place.run().summary(),
            "3 read = 1 updated + 2 unchanged",
            "on {server}"
        );
    }
}

#[test]
fn a_record_is_taken_up_when_its_values_change() {
    for server in Server::ALL {
        let place = place(server);
        place.scores(
            "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40), seen VARCHAR(9)",
            "id,score,note,seen\nA1,2,,mon\nA2,2,,mon\nA3,2,,mon\n",
        );
        place.job("ignore = ['seen']", FIELDS);
        park(&place, "A2", "changed");
        assert_eq!(
            place.run().summary(),
            "3 read = 2 updated + 1 skipped",
            "on {server}"
        );
        place.file(
            "data/scores.csv",
            "id,score,note,seen\nA3,3,,tue\nA2,2,,tue\nA1,2,,tue\n",
        );
        assert_eq!(
            place.run().summary(),
            "3 read = 1 updated + 1 unchanged + 1 skipped",
            "on {server}: no field reads it"
        );
        place.file("data/scores.csv", "id,score,note,seen\nA2,2,x,tue\n");
        assert!(
            place
                .command(&["preview", "job"])
                .stdout
                .contains("1 read = 1 updated"),
            "on {server}"
        );
        assert!(
            place.command(&["park", "job"]).stdout.contains("A2"),
            "a preview ends nothing, on {server}"
        );
        assert_eq!(place.run().summary(), "1 read = 1 updated", "on {server}");
        assert_eq!(
            place.command(&["park", "job"]).stdout,
            "job  no record is parked\n",
            "on {server}"
        );
        place.file("data/scores.csv", "id,score,note,seen\nA2,2,,tue\n");
        assert_eq!(
            place.run().summary(),
            "1 read = 1 updated",
            "what ended stays ended, on {server}"
        );
    }
}

#[test]
fn the_clock_ends_it_at_the_time_that_was_named() {
    let place = place(Server::Sqlite);
    park(&place, "A2", "2999-12-01T06:00:00+02:00");
    assert!(
        place
            .command(&["park", "job"])
            .stdout
            .contains("2999-12-01T04:00:00Z")
    );
    assert_eq!(place.run().summary(), "3 read = 2 updated + 1 skipped");
    // As if the time had come; the ledger would refuse a row that somebody altered.
    place.execute_file(
        ".writeback/ledger.db",
        "DELETE FROM seals WHERE relation = 'sqlite_schema'",
    );
    place.execute_file(
        ".writeback/ledger.db",
        "UPDATE parked SET until = '2026-01-01T00:00:00.000000000Z'",
    );
    assert_eq!(place.run().summary(), "3 read = 1 updated + 2 unchanged");
    assert_eq!(
        place.command(&["park", "job"]).stdout,
        "job  no record is parked\n"
    );
}

#[test]
fn a_parked_record_is_never_rejected_and_no_guard_counts_it() {
    for server in Server::ALL {
        let place = place(server);
        // A1 is no number, A2 occurs twice: each would be rejected.
        place.file(
            "data/scores.csv",
            "id,score,note\nA1,x,\nA2,2,\nA2,3,\nA3,2,\n",
        );
        place.job("max_rejected = 0", FIELDS);
        assert_eq!(place.run().code, 3, "on {server}");
        park(&place, "A1", "changed");
        park(&place, "A2", "2999-12-01");
        assert!(
            place
                .command(&["preview", "job"])
                .stdout
                .contains("4 read = 1 updated + 3 skipped"),
            "on {server}"
        );
        assert_eq!(
            place.run().summary(),
            "4 read = 1 updated + 3 skipped",
            "on {server}"
        );
        assert_eq!(
            place.rows("accounts"),
            "id,score,note,phone\nA1,1,,\nA2,1,,\nA3,2,,\n",
            "on {server}"
        );
        place.file("data/scores.csv", "id,score,note\nA1,5,\nA3,2,\n");
        assert_eq!(
            place.run().summary(),
            "2 read = 1 updated + 1 unchanged",
            "A1 changed, on {server}"
        );
    }
}

#[test]
fn of_two_records_with_a_parked_key_never_one_is_written() {
    for server in Server::ALL {
        let place = place(server);
        park(&place, "A2", "changed");
        assert_eq!(
            place.run().summary(),
            "3 read = 2 updated + 1 skipped",
            "on {server}"
        );
        for second in ["A2,2,\nA2,9,\n", "A2,9,\nA2,2,\n"] {
            place.file("data/scores.csv", &format!("id,score,note\n{second}"));
            let run = place.run();
            let whole = ["2 read = 2 skipped", "2 read = 2 rejected"];
            assert!(
                whole.contains(&run.summary().as_str()),
                "on {server}: {run}"
            );
            assert_eq!(
                place.query("SELECT score FROM accounts WHERE id = 'A2'"),
                "score\n1\n",
                "on {server}"
            );
        }
    }
}

#[test]
fn a_retry_leaves_parked_records_alone_and_they_are_no_longer_pending() {
    for server in Server::ALL {
        let place = place(server);
        place.file("data/scores.csv", "id,score,note\nA1,x,\nA2,x,\nA3,2,\n");
        assert_eq!(
            place.run().summary(),
            "3 read = 1 updated + 2 rejected",
            "on {server}"
        );
        park(&place, "A2", "changed");
        place.file("data/scores.csv", "id,score,note\nA1,2,\nA2,x,\nA3,9,\n");
        let retry = place.command(&["run", "job", "--only-rejected", "--json"]);
        assert_eq!(
            retry.summary(),
            "2 read = 1 updated + 1 skipped",
            "on {server}"
        );
        assert_eq!(
            retry.json()["pending"],
            Value::Array(Vec::new()),
            "on {server}"
        );
    }
}

#[test]
fn a_record_is_parked_in_the_write_backs_that_can_know_it() {
    let place = place(Server::Sqlite);
    place.table(
        "parts",
        "id VARCHAR(18), part INTEGER, score INTEGER, PRIMARY KEY (id, part)",
        "id,part,score\nA1,1,1\n",
    );
    place.file(
        "sql/parts.sql",
        "CREATE TABLE parts (id VARCHAR(18), part INTEGER, score INTEGER, PRIMARY KEY (id, part));",
    );
    place.file("data/parts.csv", "id,part,score\nA1,1,2\n");
    let parts = write_back(
        "parts",
        "parts",
        "",
        "id = 'id'\npart = 'part'\nscore = 'score'",
    );
    place.file(
        "schedules/job.toml",
        &(write_back("scores", "accounts", "", FIELDS) + &parts),
    );
    let names = |record: &str, further: &[&str]| {
        let arguments = [
            "park", "job", "--record", record, "--until", "changed", "--reason", "why", "--json",
        ];
        let parked = place.command(&[&arguments[..], further].concat());
        assert_eq!(parked.code, 0, "{parked}");
        let all = parked.json()["parked"].clone();
        let names = all
            .as_array()
            .expect("an array")
            .iter()
            .map(|one| format!("{} {}", one["write_back"], one["key"]));
        names.collect::<Vec<_>>().join("; ")
    };
    assert_eq!(names("A1", &[]), r#""scores" "A1""#);
    assert_eq!(
        names("\"A1\",1", &["--write-back", "parts"]),
        r#""parts" "A1,1""#
    );
    assert_eq!(
        place.run().summary(),
        "3 read = 2 updated + 1 skipped\n1 read = 1 skipped"
    );
}

#[test]
fn what_makes_no_sense_is_refused_with_what_does() {
    let place = place(Server::Sqlite);
    let refused = |arguments: &[&str], told: &str| {
        let ran = place.command(&[&["park", "job"], arguments].concat());
        assert!(ran.code == 2 && ran.stderr.contains(told), "{ran}");
    };
    refused(
        &["--record", "A1", "--until", "2020-01-01", "--reason", "why"],
        "2020-01-01 is over",
    );
    refused(
        &["--record", "A1", "--until", "soon", "--reason", "why"],
        "write a date such as 2026-12-01",
    );
    refused(&["--record", "A1", "--until", "changed"], "--reason");
    refused(
        &["--record", "A1", "--until", "changed", "--reason", " "],
        "a reason is one line",
    );
    refused(
        &["--record", "A1"],
        "`--until DATE --reason TEXT` leaves it alone, `--lift` takes it up again",
    );
    refused(&["--until", "changed", "--reason", "why"], "--record");
    refused(
        &["--record", "A1", "--lift"],
        "`writeback park job` lists those that are",
    );
    refused(
        &["--record", "A1,2", "--until", "changed", "--reason", "why"],
        "no write-back of job `job` has a match key of 2 parts",
    );
    refused(
        &["--record", "A1", "--write-back", "other", "--lift"],
        "there is no write-back `other`",
    );
    assert_eq!(
        place.command(&["park", "job"]).stdout,
        "job  no record is parked\n"
    );
}

#[test]
fn a_run_that_was_killed_leaves_the_same_records_alone() {
    for server in Server::ALL {
        for change in [
            "record parked records in",
            "record a package in",
            "a batch committed",
            "a report put in place",
        ] {
            let place = place(server);
            park(&place, "A2", "changed");
            let at = [("WRITEBACK_ABORT_AT", &*format!("1 {change}"))];
            let killed = place.command_with(&["run", "job"], &at);
            assert!(
                killed.stderr.contains(&format!("dies here: {change}")),
                "on {server}: {killed}"
            );
            assert_eq!(
                place.run().summary(),
                "3 read = 2 updated + 1 skipped",
                "{change} on {server}"
            );
            assert_eq!(
                place.query("SELECT score FROM accounts WHERE id = 'A2'"),
                "score\n1\n",
                "{change} on {server}"
            );
        }
    }
}

#[test]
fn several_records_are_parked_and_lifted_at_once() {
    let place = place(Server::Sqlite);
    let records = ["park", "job", "--record", "A1", "--record", "A3"];
    let until = ["--until", "2999-12-01", "--reason", "merger"];
    let parked = place.command(&[&records[..], &until[..]].concat());
    assert_eq!(parked.code, 0, "{parked}");
    assert_eq!(place.run().summary(), "3 read = 1 updated + 2 skipped");
    let lifted = place.command(&[&records[..], &["--lift"]].concat());
    assert_eq!(lifted.code, 0, "{lifted}");
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 2 updated + 1 unchanged", "{run}");
}

/// Kinds of a match key in the source and in the destination; the key as the source spells it, as
/// reports tell it, and in other spellings.
const SPELLINGS: &[(&str, &str, &str, &str, &[&str])] = &[
    ("INTEGER", "INTEGER", "07", "7", &["7", "007", "+7"]),
    ("INTEGER", "VARCHAR(18)", "007", "7", &["7", "07"]),
    (
        "DECIMAL(6,2)",
        "DECIMAL(8,4)",
        "1.5",
        "1.50",
        &["1.5", "1.50", "01.5000", "15e-1"],
    ),
    ("DATE", "DATE", "2026-11-30", "2026-11-30", &["2026-11-30"]),
];

fn spelt(server: Server, source: &str, destination: &str, key: &str, reported: &str) -> Workspace {
    let place = Workspace::on(server);
    place
        .table(
            "accounts",
            &format!("id {destination} PRIMARY KEY, score INTEGER"),
            &format!("id,score\n{reported},1\n"),
        )
        .scores(
            &format!("id {source} PRIMARY KEY, score INTEGER"),
            &format!("id,score\n{key},2\n"),
        )
        .job("", "id = 'id'\nscore = 'score'");
    place
}

#[test]
fn a_record_is_parked_and_taken_up_however_its_key_is_spelt() {
    for server in Server::ALL {
        for (source, destination, key, reported, spellings) in SPELLINGS {
            for typed in *spellings {
                let place = spelt(server, source, destination, key, reported);
                let what = format!("{server}: {source} to {destination}, {key} as {typed}");
                park(&place, typed, "changed");
                let preview = place.command(&["preview", "job", "--json"]).json();
                assert_eq!(preview["write_backs"][0]["parked"], json!(1), "{what}");
                let run = place.run();
                assert_eq!(run.summary(), "1 read = 1 skipped", "{what}: {run}");
                let told = &run.json()["write_backs"][0]["parked"][0];
                assert_eq!(told["key"], json!(reported), "{what}");
                let row = format!("{reported} skipped parked until changed: the owner asked");
                assert_eq!(outcomes(&place, 1), [row], "{what}");
                let test = place.command(&["test", "job", "--record", typed]);
                assert!(
                    test.stdout.contains("skipped: parked until changed"),
                    "{what}: {test}"
                );
                let other = spellings.last().expect("a spelling");
                let lifted = place.command(&["park", "job", "--record", other, "--lift"]);
                assert_eq!(lifted.code, 0, "{what}: {lifted}");
                assert!(lifted.stdout.contains("no record is parked"), "{lifted}");
                assert_eq!(place.run().summary(), "1 read = 1 updated", "{what}");
            }
        }
    }
}

#[test]
fn values_that_change_end_the_parking_of_a_key_in_any_spelling() {
    for server in Server::ALL {
        let place = spelt(server, "INTEGER", "VARCHAR(18)", "007", "7");
        park(&place, "07", "changed");
        assert_eq!(place.run().summary(), "1 read = 1 skipped", "on {server}");
        assert_eq!(place.run().summary(), "1 read = 1 skipped", "on {server}");
        place.file("data/scores.csv", "id,score\n007,3\n");
        assert_eq!(place.run().summary(), "1 read = 1 updated", "on {server}");
        let parked = place.command(&["park", "job"]);
        assert!(parked.stdout.contains("no record is parked"), "{parked}");
    }
}

#[test]
fn a_record_is_tested_and_taken_back_however_its_key_is_spelt() {
    for server in Server::ALL {
        for (source, destination, key, reported, spellings) in SPELLINGS {
            let place = spelt(server, source, destination, key, reported);
            let before = place.rows("accounts");
            for typed in *spellings {
                let what = format!("{server}: {source} to {destination}, {key} as {typed}");
                let test = place.command(&["test", "job", "--record", typed, "--rollback"]);
                assert_eq!(test.code, 0, "{what}: {test}");
                let test = place.command(&["test", "job", "--record", typed, "--json"]);
                let told = &test.json()["records"][0];
                assert_eq!(
                    (&told["outcome"]["outcome"], &told["key"]),
                    (&json!("updated"), &json!(reported)),
                    "{what}: {test}"
                );
                place.execute("UPDATE accounts SET score = 1");
                let run = place.run();
                assert_eq!(run.summary(), "1 read = 1 updated", "{what}: {run}");
                // What is told by the destination's own key alone is spelt as that kind's values are.
                if *source == *destination || *destination != "VARCHAR(18)" {
                    let number = run.json()["run"].to_string();
                    let undo = place.command(&["undo", &number, "--record", typed]);
                    assert_eq!(undo.code, 0, "{what}: {undo}");
                } else {
                    place.execute("UPDATE accounts SET score = 1");
                }
                assert_eq!(place.rows("accounts"), before, "{what}");
            }
            let test = place.command(&["test", "job", "--record", "8"]);
            assert_eq!(test.code, 2, "{server}: {test}");
        }
    }
}

#[test]
fn a_key_that_no_value_can_be_is_parked_for_the_record_that_is_rejected_for_it() {
    let place = spelt(Server::Sqlite, "INTEGER", "INTEGER", "abc", "7");
    let parked = park(&place, "abc", "2999-12-01");
    let note = "note: only a record that is rejected can have the key `abc`: `id` is INTEGER: not a number";
    assert!(parked.stderr.contains(note), "{parked}");
    assert_eq!(place.run().summary(), "1 read = 1 skipped");
    assert!(!park(&place, "007", "changed").stderr.contains("note:"));
    let both = place.command(&["park", "job", "--json"]).json();
    let keys = both["parked"].as_array().expect("records").iter();
    let keys: Vec<&Value> = keys.map(|one| &one["key"]).collect();
    assert_eq!(keys, ["7", "abc"]);
}

#[test]
fn a_rejected_record_is_taken_again_however_its_key_is_spelt() {
    for server in Server::ALL {
        let place = spelt(server, "DECIMAL(6,2)", "DECIMAL(8,4)", "1.5", "1.50");
        place.file("data/scores.csv", "id,score\n1.5,x\n");
        assert_eq!(place.run().summary(), "1 read = 1 rejected", "on {server}");
        place.file("data/scores.csv", "id,score\n1.50,2\n");
        let arguments = ["run", "job", "--only-rejected", "--record", "1.5", "--json"];
        let retry = place.command(&arguments);
        assert_eq!(
            retry.summary(),
            "1 read = 1 updated",
            "on {server}: {retry}"
        );
    }
}
