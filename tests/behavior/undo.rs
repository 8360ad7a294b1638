//! An undo leaves rows as they were before a run, where nobody changed them since, and says of every other record why it
//! did not.

use polars::prelude::{ParquetReader, SerReader};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::{FIELDS, Ran, SCORES, Server, Workspace};
use crate::values::{TRIPS, source};

const ROWS: &str = "id,score,note,phone\nA1,1,,555\nA2,2,same,\nA3,3,\"\",\n";
const SOURCE: &str = "id,score,note\nA1,10,y\nA2,2,same\nA3,,z\n";

fn place(server: Server) -> Workspace {
    Workspace::accounts(server, ROWS, SOURCE)
}

fn undo(place: &Workspace, run: i64, arguments: &[&str]) -> Ran {
    let run = run.to_string();
    let all: Vec<&str> = ["undo", &run, "--json"].into_iter().chain(arguments.iter().copied()).collect();
    place.command(&all)
}

/// Outcome and reason of each key in `outcomes.parquet`.
fn outcomes(place: &Workspace, run: i64) -> Vec<String> {
    let file = std::fs::File::open(place.run_file(run, "outcomes.parquet")).expect("a file");
    let rows = ParquetReader::new(file).finish().expect("Parquet");
    let column = |name: &str| rows.column(name).expect("a column").str().expect("text").clone();
    let (keys, outcomes, reasons) = (column("key"), column("outcome"), column("reason"));
    let cell = |column: &polars::prelude::StringChunked, at| column.get(at).unwrap_or_default().to_owned();
    let mut rows: Vec<String> = (0..rows.height())
        .map(|at| format!("{} {} {}", cell(&keys, at), cell(&outcomes, at), cell(&reasons, at)).trim().to_owned())
        .collect();
    rows.sort();
    rows
}

#[test]
fn an_undone_run_leaves_what_was_there_and_can_be_undone_in_turn() {
    for server in Server::ALL {
        let place = place(server);
        let before = place.rows("accounts");
        let run = place.run();
        assert_eq!(run.summary(), "3 read = 2 updated + 1 unchanged", "on {server}");
        let after = place.rows("accounts");
        let undone = undo(&place, 1, &[]);
        assert_eq!((undone.run(), undone.summary().as_str()), (2, "2 read = 2 updated"), "on {server}: {undone}");
        assert_eq!(place.rows("accounts"), before, "on {server}");
        let again = undo(&place, 1, &[]);
        assert_eq!(again.summary(), "2 read = 2 unchanged", "nothing is left to restore on {server}: {again}");
        let redone = undo(&place, 2, &[]);
        assert_eq!(redone.summary(), "2 read = 2 updated", "on {server}: {redone}");
        assert_eq!(place.rows("accounts"), after, "on {server}");
        let back = undo(&place, redone.run(), &[]);
        assert_eq!(back.summary(), "2 read = 2 updated", "on {server}: {back}");
        assert_eq!(place.rows("accounts"), before, "on {server}");
        assert!(place.command(&["runs"]).stdout.contains("succeeded, undo of 1"), "on {server}");
        assert!(place.command(&["runs", "2"]).stdout.contains("undo of   run 1"), "on {server}");
    }
}

#[test]
fn what_somebody_changed_since_is_kept_whole() {
    for server in Server::ALL {
        let place = place(server);
        place.run();
        place.execute("UPDATE accounts SET note = 'mine', phone = '1' WHERE id = 'A1'");
        place.execute("UPDATE accounts SET phone = '2' WHERE id = 'A3'");
        let foreseen = undo(&place, 1, &["--preview"]).json();
        let undone = undo(&place, 1, &[]);
        assert_eq!(undone.summary(), "2 read = 1 updated + 1 skipped", "on {server}: {undone}");
        for (part, count) in [("reversed", 1), ("changed_since", 1), ("could_not", 0)] {
            assert_eq!(undone.json()["write_backs"][0][part], count, "{part} on {server}: {undone}");
            assert_eq!(foreseen["write_backs"][0][part], count, "{part} on {server}: {foreseen}");
        }
        assert_eq!(outcomes(&place, 2), ["A1 skipped changed since", "A3 updated"], "on {server}");
        let rows = "id,score,note,phone\nA1,10,mine,1\nA2,2,same,\nA3,3,\"\",2\n";
        assert_eq!(place.rows("accounts"), rows, "on {server}");
    }
}

#[test]
fn a_preview_of_an_undo_writes_nothing() {
    for server in Server::ALL {
        let place = place(server);
        place.run();
        let after = place.rows("accounts");
        let shown = place.command(&["undo", "1", "--preview"]);
        assert!(shown.code == 0 && shown.stdout.contains("would come to 2 read = 2 updated"), "on {server}: {shown}");
        assert_eq!(place.rows("accounts"), after, "on {server}");
        assert_eq!(place.query_ledger("SELECT count(*) AS n FROM runs").as_deref(), Some("n\n1\n"), "on {server}");
    }
}

#[test]
fn chosen_records_are_undone_and_others_are_left() {
    for server in Server::ALL {
        let place = place(server);
        place.run();
        let wrong = undo(&place, 1, &["--record", "A2"]);
        assert!(wrong.code == 2 && wrong.stderr.contains("run 1 did not write record `A2`"), "on {server}: {wrong}");
        let undone = undo(&place, 1, &["--record", "A3", "--write-back", "scores"]);
        assert_eq!(undone.summary(), "1 read = 1 updated", "on {server}: {undone}");
        let rows = "id,score,note,phone\nA1,10,y,555\nA2,2,same,\nA3,3,\"\",\n";
        assert_eq!(place.rows("accounts"), rows, "on {server}");
        let none = undo(&place, 1, &["--write-back", "other"]);
        assert!(none.code == 2 && none.stderr.contains("there is no write-back `other`"), "on {server}: {none}");
    }
}

#[test]
fn rows_that_the_run_created_go_only_when_asked_and_unchanged() {
    for server in Server::ALL {
        let place = place(server);
        place.job("matching = 'upsert'", FIELDS);
        place.file("data/scores.csv", "id,score,note\nA1,10,y\nN1,1,new\nN2,2,\nN3,3,new\n");
        assert_eq!(place.run().summary(), "4 read = 3 inserted + 1 updated", "on {server}");
        place.execute("UPDATE accounts SET note = 'filled' WHERE id = 'N2'");
        place.execute("DELETE FROM accounts WHERE id = 'N3'");
        let kept = place.command(&["undo", "1"]);
        assert!(kept.stdout.contains("`writeback undo 1 --delete-created`"), "on {server}: {kept}");
        assert!(kept.stdout.contains("3 kept: the run created the row"), "on {server}: {kept}");
        assert_eq!(outcomes(&place, 2)[1..], ["N1", "N2", "N3"].map(|key| format!("{key} skipped created by the run")));
        let undone = undo(&place, 1, &["--delete-created"]);
        assert_eq!(undone.summary(), "4 read = 1 unchanged + 1 deleted + 2 skipped", "on {server}: {undone}");
        let expected = ["A1 unchanged", "N1 deleted", "N2 skipped changed since", "N3 skipped no match"];
        assert_eq!(outcomes(&place, 3), expected, "on {server}");
        let rows = "id,score,note,phone\nA1,1,,555\nA2,2,same,\nA3,3,\"\",\nN2,2,filled,unknown\n";
        assert_eq!(place.rows("accounts"), rows, "on {server}");
        let redone = undo(&place, 3, &[]);
        assert_eq!(redone.summary(), "1 read = 1 skipped", "a deleted row is the job's to create: {redone}");
    }
}

#[test]
fn every_type_comes_back_value_for_value() {
    for server in Server::ALL {
        for trip in TRIPS {
            let object = (trip.object)(server);
            let place = Workspace::on(server);
            let ids: String = (0..trip.values.len()).map(|index| format!("{index}\n")).collect();
            place.table("accounts", &format!("id INTEGER PRIMARY KEY, v {object}"), &format!("id\n{ids}999\n"));
            place.scores(&format!("id INTEGER PRIMARY KEY, v {}", trip.schema), &source(trip.values));
            place.job("", "id = 'id'\nv = 'v'");
            let label = format!("{} in {object} on {server}", trip.schema);
            let none = place.rows("accounts");
            place.run();
            let first = place.rows("accounts");
            // Every value gives way to its neighbour, and NULL to the first.
            let mut turned: Vec<&str> = trip.values.to_vec();
            turned.rotate_left(1);
            let csv = source(&turned);
            let turned = csv.trim_end_matches("999,\n").to_owned();
            let second =
                format!("{turned}999,{}\n", turned.lines().nth(1).and_then(|_| plain(trip.values)).unwrap_or(""));
            place.file("data/scores.csv", &second);
            let changed = place.run();
            assert!(changed.code == 0, "{label}: {changed}");
            let undone = undo(&place, 2, &[]);
            assert!(undone.code == 0 && undone.json()["write_backs"][0]["skipped"] == 0, "{label}: {undone}");
            assert_eq!(place.rows("accounts"), first, "{label}");
            let undone = undo(&place, 1, &[]);
            assert!(undone.code == 0 && undone.json()["write_backs"][0]["skipped"] == 0, "{label}: {undone}");
            assert_eq!(place.rows("accounts"), none, "{label}");
        }
    }
}

/// A value that needs no quotes in CSV.
fn plain<'a>(values: &[&'a str]) -> Option<&'a str> {
    values.iter().copied().find(|value| !value.contains(['"', ',', '\n', '\r']))
}
