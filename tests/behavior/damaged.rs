//! State that the disk gives back otherwise than it was written: it is refused with what to do, and the run after is
//! right.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{FIELDS, Server, Workspace};

/// Bytes between two that are flipped: a prime, so that no part of a file is left out for long.
const FLIP_STEP: usize = 97;

/// A run that was killed when its package stood and two of its batches were in.
fn place() -> Workspace {
    let rows: String = (0..40).map(|id| format!("A{id:02},0,,\n")).collect();
    let scores: String = (0..40).map(|id| format!("A{id:02},1,text {}\n", id * 7919)).collect();
    let place = Workspace::accounts(
        Server::Sqlite,
        &format!("id,score,note,phone\n{rows}"),
        &format!("id,score,note\n{scores}A50,x,\n"),
    );
    place.job("batch_size = 10", FIELDS).execute("PRAGMA wal_checkpoint(TRUNCATE)");
    let killed = place.command_with(&["run", "job"], &[("WRITEBACK_ABORT_AT", "2 record a commit in")]);
    assert_eq!(killed.code, -1, "{killed}");
    // What was written to the log goes to the ledger's file, as when it is closed.
    place.query_file(".writeback/ledger.db", "PRAGMA wal_checkpoint(TRUNCATE)");
    place
}

/// The state's files of one kind.
fn files(place: &Workspace, is_one: impl Fn(&Path) -> bool) -> Vec<(PathBuf, Vec<u8>)> {
    place.state().into_iter().filter(|(path, _)| is_one(path)).collect()
}

fn is_of_package(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "package")
}

fn written(place: &Workspace) -> String {
    place.query("SELECT score, count(*) AS n FROM accounts GROUP BY score")
}

/// Puts the state and the accounts back to where they were.
struct Before {
    state: Vec<(PathBuf, Vec<u8>)>,
    accounts: String,
}

impl Before {
    fn of(place: &Workspace) -> Self {
        place.execute("CREATE TABLE before AS SELECT * FROM accounts");
        Self { state: place.state(), accounts: place.rows("accounts") }
    }

    fn restore(&self, place: &Workspace) {
        drop(fs::remove_dir_all(place.path(".writeback")));
        for (path, bytes) in &self.state {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, bytes).expect("a file");
        }
        place.execute("DELETE FROM accounts; INSERT INTO accounts SELECT * FROM before");
        assert_eq!(place.rows("accounts"), self.accounts);
    }
}

#[test]
fn a_damaged_package_is_refused_and_the_next_run_pulls_anew() {
    let place = place();
    let before = Before::of(&place);
    let unwritten = written(&place);
    let mut trials = 0;
    for (path, bytes) in files(&place, is_of_package) {
        for at in (0..bytes.len()).step_by(FLIP_STEP) {
            before.restore(&place);
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&path, &flipped).expect("a file");
            let about = format!("byte {at} of {}", path.display());
            let refused = place.run();
            assert_eq!(refused.code, 2, "{about}: {refused}");
            assert!(refused.stderr.contains("is damaged: "), "{about}: {refused}");
            let hint = "hint: run the job again: it pulls the records anew";
            assert!(refused.stderr.contains(hint), "{about}: {refused}");
            assert_eq!(written(&place), unwritten, "{about}: nothing of it is written");
            let next = place.run();
            assert_eq!((next.run(), next.code), (2, 1), "{about}: {next}");
            assert_eq!(written(&place), "score,n\n1,40\n", "{about}");
            trials += 1;
        }
    }
    assert!(trials > 20, "{trials}");
}

#[test]
fn a_damaged_ledger_is_refused_and_a_run_without_it_writes_nothing_twice() {
    let place = place();
    let ledger = place.path(".writeback/ledger.db");
    let mut bytes = fs::read(&ledger).expect("a ledger");
    // The texts of a run stand in its row.
    let at = bytes.windows(7).position(|window| window == b"running").expect("a run at work");
    bytes[at] ^= 1;
    fs::write(&ledger, &bytes).expect("a file");
    let refused = place.run();
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("is damaged: a row of `runs` is not what was written"), "{refused}");
    assert!(refused.stderr.contains("move it away"), "{refused}");
    fs::remove_file(&ledger).expect("a ledger");
    place.count_writes("accounts");
    let next = place.run();
    assert_eq!(
        (next.run(), next.summary().as_str()),
        (1, "41 read = 20 updated + 20 unchanged + 1 rejected"),
        "{next}"
    );
    assert_eq!(place.writes(), 20);
}
