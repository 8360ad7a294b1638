//! Every record is accounted for: in the summary, in the exit code, in history and in the files
//! beside a run.

use polars::prelude::{ParquetReader, SerReader};

use crate::harness::{FIELDS, Server, Workspace, write_back};

const ROWS: &str = "id,score,note,phone\nA1,10,old,555\nA2,11,same,\nA5,1,,\n";
const SOURCE: &str = "id,score,note\nA1,20,new\nA2,11,same\nA9,30,x\nA5,x,\nA7,1,\nA7,2,\n";

#[test]
fn the_same_sums_stand_everywhere() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        place.job("matching = 'upsert'", FIELDS);
        let run = place.run();
        let sum = "6 read = 1 inserted + 1 updated + 1 unchanged + 3 rejected";
        assert_eq!(run.summary(), sum, "on {server}");
        assert_eq!(run.code, 1, "on {server}");

        let one = place.command(&["runs", "1", "--json"]).json();
        let all = place.command(&["runs", "--json"]).json();
        let counts = |write_back: &serde_json::Value| {
            [
                "read",
                "inserted",
                "updated",
                "unchanged",
                "skipped",
                "rejected",
            ]
            .map(|name| write_back[name].as_u64())
        };
        let expected = [Some(6), Some(1), Some(1), Some(1), Some(0), Some(3)];
        assert_eq!(
            counts(&one["write_backs"][0]),
            expected,
            "on {server}: {one}"
        );
        assert_eq!(
            counts(&all["runs"][0]["write_backs"][0]),
            expected,
            "on {server}: {all}"
        );
        assert_eq!(
            (&one["status"], &all["runs"][0]["job"]),
            (&"rejected".into(), &"job".into()),
            "on {server}"
        );

        assert_eq!(place.rejected(1).lines().count(), 3, "on {server}");
        assert_eq!(
            outcomes(&place, 1),
            [
                ("inserted", 1),
                ("rejected", 3),
                ("unchanged", 1),
                ("updated", 1)
            ]
            .map(|(o, n)| (o.to_owned(), n)),
            "on {server}"
        );
    }
}

/// How often each outcome stands in a run's `outcomes.parquet`, sorted.
fn outcomes(place: &Workspace, run: i64) -> Vec<(String, usize)> {
    let file = std::fs::File::open(place.run_file(run, "outcomes.parquet")).expect("a file");
    let frame = ParquetReader::new(file).finish().expect("Parquet");
    let mut records: Vec<u64> = frame
        .column("record")
        .expect("a column")
        .u64()
        .expect("positions")
        .iter()
        .flatten()
        .collect();
    records.sort_unstable();
    assert_eq!(
        records,
        (0..frame.height() as u64).collect::<Vec<_>>(),
        "one row for each record"
    );
    let mut counts = std::collections::BTreeMap::new();
    for outcome in frame
        .column("outcome")
        .expect("a column")
        .str()
        .expect("text")
        .iter()
        .flatten()
    {
        *counts.entry(outcome.to_owned()).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

#[test]
fn people_get_one_line_that_adds_up() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let run = place.command(&["run", "job"]);
        let sum = "6 read = 1 updated + 1 unchanged + 1 skipped + 3 rejected";
        assert!(run.stdout.contains(sum), "on {server}: {run}");
        assert!(run.stdout.contains("job  run 1  "), "on {server}: {run}");
        let printed = run.stdout.clone() + &run.stderr;
        assert!(
            printed.contains("rejected.csv"),
            "the file to look at is not named: {run}"
        );
    }
}

#[test]
fn exit_codes_tell_how_it_went() {
    let source = |lines: &str| format!("id,score,note\n{lines}");
    for (records, code) in [("A1,20,\n", 0), ("", 3), ("A9,1,\n", 1), ("A1,x,\n", 1)] {
        let place = Workspace::accounts(Server::Sqlite, ROWS, &source(records));
        assert_eq!(place.run().code, code, "after {records:?}");
    }
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    std::fs::remove_file(place.path("data/scores.csv")).expect("a file");
    let run = place.run();
    assert_eq!(
        (run.code, place.rows("accounts").as_str()),
        (2, ROWS),
        "{run}"
    );
    assert_eq!(place.command(&["run", "jobb"]).code, 2);
    assert_eq!(place.command(&["walk", "job"]).code, 2);
}

#[test]
fn a_job_of_several_write_backs_tells_them_apart() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, "id,score,note\nA1,20,old\n");
        place.file(
            "sql/notes.sql",
            "CREATE TABLE notes (id VARCHAR(18) PRIMARY KEY, phone VARCHAR(20));",
        );
        place.file("data/notes.csv", "id,phone\nA1,556\nA2,557\nA8,x\n");
        let scores = write_back(
            "scores",
            "accounts",
            "ignore = ['note']",
            "id = 'id'\nscore = 'score'",
        );
        let notes = write_back("notes", "accounts", "", "id = 'id'\nphone = 'phone'");
        place.file("schedules/job.toml", &(scores + &notes));
        assert_eq!(
            place.run().summary(),
            "1 read = 1 updated\n3 read = 2 updated + 1 skipped",
            "on {server}"
        );
        assert!(
            place.rows("accounts").contains("A1,20,old,556"),
            "on {server}"
        );

        let only = place.command(&["run", "job", "--json", "--write-back", "notes"]);
        assert_eq!(
            only.summary(),
            "3 read = 2 unchanged + 1 skipped",
            "on {server}"
        );
    }
}

#[test]
fn a_source_that_may_be_without_records_is_a_success() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, "id,score,note\n");
        place.job("min_read = 0", FIELDS);
        let run = place.run();
        assert_eq!(
            (run.summary().as_str(), run.code),
            ("0 read", 0),
            "on {server}"
        );
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
    }
}
