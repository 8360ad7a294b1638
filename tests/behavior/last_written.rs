//! Where a job says `compare = "last_written"`, a record that equals what was last delivered of it
//! costs nothing; whatever is not known to be delivered is looked up as ever.

use std::fs::File;

use polars::prelude::{ParquetReader, SerReader};

use crate::harness::{FIELDS, Ran, SCORES, Server, Workspace};

const ROWS: &str = "id,score,note,phone\nA1,1,,555\nA2,2,,\nA3,3,,\n";
const SOURCE: &str = "id,score,note\nA1,10,a\nA2,20,b\nA3,30,c\n";
const CHANGED: &str = "id,score,note\nA1,10,a\nA2,21,b\nA3,30,c\n";

/// Three accounts, written back once.
fn place(server: Server, settings: &str, fields: &str) -> Workspace {
    let place = Workspace::accounts(server, ROWS, SOURCE);
    place.job(&format!("compare = 'last_written'\n{settings}"), fields);
    assert_eq!(place.run().summary(), "3 read = 3 updated", "on {server}");
    place
}

fn bring(place: &Workspace, source: &str) -> Ran {
    place.file("data/scores.csv", source);
    place.run()
}

/// Records that the run did not look up.
fn as_written(ran: &Ran) -> u64 {
    let count = &ran.json()["write_backs"][0]["as_written"];
    count
        .as_u64()
        .unwrap_or_else(|| panic!("no count in {ran}"))
}

fn held(place: &Workspace) -> String {
    let held = place.query("SELECT id, score, note FROM accounts");
    held.strip_prefix("id,score,note\n")
        .unwrap_or_default()
        .to_owned()
}

/// Of each record of a run its key, outcome and reason.
fn outcomes(place: &Workspace, run: i64) -> Vec<String> {
    let file = File::open(place.run_file(run, "outcomes.parquet")).expect("a file");
    let rows = ParquetReader::new(file).finish().expect("Parquet");
    let texts = ["key", "outcome", "reason"].map(|name| {
        let column = rows.column(name).expect("a column");
        column.str().expect("texts").clone()
    });
    let line = |row: usize| {
        let cells = texts.iter().map(|texts| texts.get(row).unwrap_or_default());
        cells.collect::<Vec<_>>().join(",")
    };
    (0..rows.height()).map(line).collect()
}

#[test]
fn a_record_that_equals_the_last_delivery_is_not_looked_up_until_its_turn() {
    for server in Server::ALL {
        let place = place(server, "full_every = 2\nbatch_size = 2", FIELDS);
        place.execute("UPDATE accounts SET score = 99 WHERE id = 'A1'");
        let partial = bring(&place, CHANGED);
        assert_eq!(
            partial.summary(),
            "3 read = 1 updated + 2 unchanged",
            "on {server}"
        );
        assert_eq!(as_written(&partial), 2, "on {server}: {partial}");
        assert_eq!(held(&place), "A1,99,a\nA2,21,b\nA3,30,c\n", "on {server}");
        let expected = [
            "A1,unchanged,as written by run 1",
            "A2,updated,",
            "A3,unchanged,as written by run 1",
        ];
        assert_eq!(outcomes(&place, 2), expected, "on {server}");
        let full = place.run();
        assert_eq!(
            (full.summary().as_str(), as_written(&full)),
            ("3 read = 1 updated + 2 unchanged", 0),
            "on {server}: {full}"
        );
        assert_eq!(held(&place), "A1,10,a\nA2,21,b\nA3,30,c\n", "on {server}");
        let again = place.run();
        assert_eq!(
            (again.summary().as_str(), as_written(&again)),
            ("3 read = 3 unchanged", 3),
            "on {server}: {again}"
        );
        assert_eq!(
            outcomes(&place, 4).first().map(String::as_str),
            Some("A1,unchanged,as written by run 3"),
            "on {server}"
        );
    }
}

#[test]
fn people_read_how_many_records_nobody_looked_at() {
    let place = place(Server::Sqlite, "", FIELDS);
    place.file("data/scores.csv", CHANGED);
    let told = "not looked up, for they are as last written: 2 of 2 unchanged";
    let foreseen = place.command(&["preview", "job"]);
    assert!(foreseen.stdout.contains(told), "{foreseen}");
    let ran = place.command(&["run", "job"]);
    assert!(ran.stdout.contains(told), "{ran}");
}

#[test]
fn what_was_taken_back_is_written_again() {
    let place = place(Server::Sqlite, "", FIELDS);
    assert_eq!(as_written(&bring(&place, CHANGED)), 2);
    let undone = place.command(&["undo", "2", "--json"]);
    assert_eq!(undone.summary(), "1 read = 1 updated", "{undone}");
    let ran = place.run();
    assert_eq!(
        (ran.summary().as_str(), as_written(&ran)),
        ("3 read = 1 updated + 2 unchanged", 0),
        "{ran}"
    );
    assert_eq!(held(&place), "A1,10,a\nA2,21,b\nA3,30,c\n");
    let after = place.run();
    assert_eq!(as_written(&after), 3, "{after}");
}

#[test]
fn another_version_of_the_write_back_and_another_object_are_compared_in_full() {
    let place = place(Server::Sqlite, "", FIELDS);
    place.job(
        "compare = 'last_written'",
        "id = 'id'\nscore = 'score'\nphone = 'note'",
    );
    let other = place.run();
    assert_eq!(other.summary(), "3 read = 3 updated", "{other}");
    assert_eq!(as_written(&place.run()), 3);
    place.execute("CREATE TABLE others (id VARCHAR(18) PRIMARY KEY, score INTEGER, phone VARCHAR(40)); INSERT INTO others SELECT id, 0, '' FROM accounts; DROP TABLE accounts; ALTER TABLE others RENAME TO accounts");
    let altered = place.run();
    assert_eq!(altered.summary(), "3 read = 3 updated", "{altered}");
}

#[test]
fn a_test_and_a_verification_that_finds_drift_end_what_is_relied_on() {
    let place = place(Server::Sqlite, "", FIELDS);
    place.file("data/scores.csv", CHANGED);
    let tested = place.command(&["test", "job", "--record", "A2"]);
    assert_eq!(tested.code, 0, "{tested}");
    let back = bring(&place, SOURCE);
    assert_eq!(
        back.summary(),
        "3 read = 1 updated + 2 unchanged",
        "what the test wrote is taken back: {back}"
    );
    assert_eq!(as_written(&place.run()), 3);
    place.execute("UPDATE accounts SET score = 99 WHERE id = 'A1'");
    let verified = place.command(&["verify", "job"]);
    assert_eq!(verified.code, 1, "{verified}");
    let mended = place.run();
    assert_eq!(
        mended.summary(),
        "3 read = 1 updated + 2 unchanged",
        "{mended}"
    );
    assert_eq!(held(&place), "A1,10,a\nA2,20,b\nA3,30,c\n");
}

#[test]
fn what_was_rejected_skipped_or_kept_is_not_delivered() {
    let place = Workspace::on(Server::Sqlite);
    let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER CHECK (score < 100), note VARCHAR(40)";
    place.table("accounts", columns, "id,score,note\nA1,1,\nA2,2,\nA3,3,\n");
    let source = "id,score,note\nA1,500,a\nA2,20,b\nA3,30,c\nA4,40,d\n";
    place.scores(SCORES, source);
    let keep = "id = 'id'\nscore = { column = 'score', on_conflict = 'keep' }\nnote = 'note'";
    place.job("compare = 'last_written'", keep);
    let first = place.run();
    let told = "4 read = 2 updated + 1 skipped + 1 rejected";
    assert_eq!(first.summary(), told, "{first}");
    place.execute("UPDATE accounts SET score = 7 WHERE id = 'A3'");
    let kept = bring(&place, &source.replace("A3,30,c", "A3,31,x"));
    let told = "4 read = 1 updated + 1 unchanged + 1 skipped + 1 rejected";
    assert_eq!(
        (kept.summary().as_str(), as_written(&kept)),
        (told, 1),
        "{kept}"
    );
    // All three are looked at again, and each comes to what its row says by now.
    place.execute("PRAGMA ignore_check_constraints = 1; INSERT INTO accounts VALUES ('A4', 4, '')");
    place.execute("UPDATE accounts SET score = 30 WHERE id = 'A3'");
    let third = bring(
        &place,
        "id,score,note\nA1,50,a\nA2,20,b\nA3,31,x\nA4,40,d\n",
    );
    let told = "4 read = 3 updated + 1 unchanged";
    assert_eq!(
        (third.summary().as_str(), as_written(&third)),
        (told, 1),
        "{third}"
    );
}

#[test]
fn a_refused_record_among_those_that_are_left_alone_is_found() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns =
            "id VARCHAR(18) PRIMARY KEY, score INTEGER CHECK (score < 1000), note VARCHAR(40)";
        let lines = |score: fn(usize) -> usize| {
            let line = |number| format!("A{number:03},{},\n", score(number));
            (0..60).map(line).collect::<String>()
        };
        place.table(
            "accounts",
            columns,
            &format!("id,score,note\n{}", lines(|_| 1)),
        );
        place.scores(
            SCORES,
            &format!("id,score,note\n{}", lines(|number| number)),
        );
        place.job("compare = 'last_written'", FIELDS);
        assert_eq!(place.run().code, 0, "on {server}");
        let changed = lines(|number| match number {
            7 | 31 | 32 => number + 100,
            30 | 59 => 5_000,
            _ => number,
        });
        let ran = bring(&place, &format!("id,score,note\n{changed}"));
        assert_eq!(
            ran.summary(),
            "60 read = 3 updated + 55 unchanged + 2 rejected",
            "on {server}: {ran}"
        );
        assert_eq!(as_written(&ran), 55, "on {server}: {ran}");
        let written = place.query("SELECT id, score FROM accounts WHERE score > 99");
        assert_eq!(
            written, "id,score\nA007,107\nA031,131\nA032,132\n",
            "on {server}"
        );
        let keys: Vec<String> = place
            .rejected(2)
            .lines()
            .filter_map(|line| line.split(',').nth(2).map(str::to_owned))
            .collect();
        assert_eq!(keys, ["A030", "A059"], "on {server}");
    }
}

#[test]
fn a_killed_run_leaves_what_a_clean_one_leaves() {
    for death in [
        "1 a transaction begun",
        "1 a batch committed",
        "1 a package's manifest written",
        "2 a package put in place",
        "1 a snapshot taken",
        "1 a package removed",
    ] {
        let place = place(Server::Sqlite, "batch_size = 1", FIELDS);
        place.file("data/scores.csv", CHANGED);
        let killed =
            place.command_with(&["run", "job", "--json"], &[("WRITEBACK_ABORT_AT", death)]);
        assert!(killed.stderr.contains("dies here"), "{death}: {killed}");
        let ran = place.run();
        assert_eq!(ran.json()["status"], "succeeded", "{death}: {ran}");
        assert_eq!(held(&place), "A1,10,a\nA2,21,b\nA3,30,c\n", "{death}");
        let back = bring(&place, SOURCE);
        assert_eq!(
            back.summary(),
            "3 read = 1 updated + 2 unchanged",
            "{death}: {back}"
        );
        assert_eq!(held(&place), "A1,10,a\nA2,20,b\nA3,30,c\n", "{death}");
    }
}

#[test]
fn a_run_that_was_left_behind_half_way_is_not_forgotten() {
    let place = place(Server::Sqlite, "batch_size = 1", FIELDS);
    place.file("data/scores.csv", CHANGED);
    let death = [("WRITEBACK_ABORT_AT", "1 a batch committed")];
    let killed = place.command_with(&["run", "job", "--json"], &death);
    assert!(killed.stderr.contains("dies here"), "{killed}");
    // Another choice of settings: the killed run is not taken up.
    place.job("compare = 'last_written'\nbatch_size = 2", FIELDS);
    let ran = bring(&place, SOURCE);
    assert_eq!(
        (ran.summary().as_str(), as_written(&ran)),
        ("3 read = 1 updated + 2 unchanged", 0),
        "{ran}"
    );
    assert_eq!(held(&place), "A1,10,a\nA2,20,b\nA3,30,c\n");
}

#[test]
fn a_damaged_snapshot_costs_look_ups_and_nothing_else() {
    let place = place(Server::Sqlite, "", FIELDS);
    let snapshots = |place: &Workspace| {
        let state = place.state().into_iter();
        let within = state.filter(|(path, _)| path.to_string_lossy().contains("/snapshots/"));
        within.collect::<Vec<_>>()
    };
    let files = snapshots(&place);
    assert!(!files.is_empty(), "a snapshot stands");
    for (path, bytes) in &files {
        std::fs::write(path, vec![b'x'; bytes.len()]).expect("a file");
    }
    let ran = bring(&place, CHANGED);
    assert_eq!(
        (ran.summary().as_str(), as_written(&ran)),
        ("3 read = 1 updated + 2 unchanged", 0),
        "{ran}"
    );
    assert_eq!(as_written(&place.run()), 3);
    place.job("", FIELDS);
    assert_eq!(place.run().summary(), "3 read = 3 unchanged");
    assert!(snapshots(&place).is_empty(), "nothing is compared with it");
}

#[test]
fn guards_count_records_that_are_left_alone_without_looking_them_up() {
    let place = place(Server::Sqlite, "", FIELDS);
    place.job("compare = 'last_written'\nmax_changed = '50 %'", FIELDS);
    place.execute("UPDATE accounts SET score = 99");
    let ran = bring(&place, CHANGED);
    assert_eq!(ran.summary(), "3 read = 1 updated + 2 unchanged", "{ran}");
    let stopped = bring(&place, "id,score,note\nA1,1,a\nA2,2,b\nA3,30,c\n");
    assert_eq!(stopped.code, 3, "{stopped}");
}

#[test]
fn full_every_without_its_comparison_is_a_mistake() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    place.job("full_every = 3", FIELDS);
    let check = place.command(&["check", "job"]);
    assert!(
        check.stderr.contains("`full_every` is of no use"),
        "{check}"
    );
    place.job("compare = 'last_writen'", FIELDS);
    let check = place.command(&["check", "job"]);
    assert!(check.stderr.contains("last_written"), "{check}");
}
