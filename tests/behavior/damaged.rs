//! State that the disk gives back otherwise than it was written: it is refused with what to do, and
//! the run after is right.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{FIELDS, Proxy, Server, Workspace, run_and_meanwhile};

/// Bytes between two that are flipped: a prime, so that no part of a file is left out for long.
const FLIP_STEP: usize = 97;

/// A run that was killed when its package stood and two of its batches were in.
fn place() -> Workspace {
    let rows: String = (0..40).map(|id| format!("A{id:02},0,,\n")).collect();
    let scores: String = (0..40)
        .map(|id| format!("A{id:02},1,text {}\n", id * 7919))
        .collect();
    let place = Workspace::accounts(
        Server::Sqlite,
        &format!("id,score,note,phone\n{rows}"),
        &format!("id,score,note\n{scores}A50,x,\n"),
    );
    place
        .job("batch_size = 10", FIELDS)
        .execute("PRAGMA wal_checkpoint(TRUNCATE)");
    let killed = place.command_with(
        &["run", "job"],
        &[("WRITEBACK_ABORT_AT", "2 record a commit in")],
    );
    assert_eq!(killed.code, -1, "{killed}");
    // What was written to the log goes to the ledger's file, as when it is closed.
    place.query_file(".writeback/ledger.db", "PRAGMA wal_checkpoint(TRUNCATE)");
    place
}

/// The state's files of one kind.
fn files(place: &Workspace, is_one: impl Fn(&Path) -> bool) -> Vec<(PathBuf, Vec<u8>)> {
    place
        .state()
        .into_iter()
        .filter(|(path, _)| is_one(path))
        .collect()
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
        Self {
            state: place.state(),
            accounts: place.rows("accounts"),
        }
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
            assert!(
                refused.stderr.contains("is damaged: "),
                "{about}: {refused}"
            );
            let hint = "hint: run the job again: it pulls the records anew";
            assert!(refused.stderr.contains(hint), "{about}: {refused}");
            assert_eq!(
                written(&place),
                unwritten,
                "{about}: nothing of it is written"
            );
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
    let at = bytes
        .windows(7)
        .position(|window| window == b"running")
        .expect("a run at work");
    bytes[at] ^= 1;
    fs::write(&ledger, &bytes).expect("a file");
    let refused = place.run();
    assert_eq!(refused.code, 2, "{refused}");
    assert!(
        refused
            .stderr
            .contains("is damaged: a row of `runs` is not what was written"),
        "{refused}"
    );
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

#[test]
fn state_that_is_removed_while_a_run_works_stops_it_and_the_next_one_begins_anew() {
    for server in Server::WITH_USERS {
        let rows = "id,score,note,phone\nA1,1,,\nA2,1,,\nA3,1,,\n";
        let place = Workspace::accounts(server, rows, "id,score,note\nA1,2,\nA2,2,\nA3,2,\n");
        let crm = format!("{}\nwriters = 1\n", place.connection("crm").trim_end());
        place
            .file("writeback.toml", &(place.connection("files") + &crm))
            .job("batch_size = 1", FIELDS);
        let proxy = Proxy::before(&place);
        let run = run_and_meanwhile(&place, &proxy, || {
            fs::remove_dir_all(place.path(".writeback")).expect("state")
        });
        assert_eq!(run.code, 2, "on {server}: {run}");
        assert!(
            run.stderr
                .contains("ledger.db` was removed or replaced while it was in use"),
            "on {server}: {run}"
        );
        assert!(
            run.stderr.contains("hint: begin again"),
            "on {server}: {run}"
        );
        let written = place.rows("accounts");
        assert_eq!(
            written,
            rows.replace("A1,1", "A1,2"),
            "nothing is written that nobody knows of, on {server}"
        );
        let next = place.run();
        assert_eq!(
            (next.run(), next.summary().as_str()),
            (1, "3 read = 2 updated + 1 unchanged"),
            "on {server}: {next}"
        );
        assert_eq!(
            place.rows("accounts"),
            rows.replace(",1,,", ",2,,"),
            "on {server}"
        );
    }
}

#[test]
fn a_scheduler_whose_state_is_removed_ends_and_the_next_one_begins_anew() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,\n",
    );
    let (project, job) = (
        place.text("writeback.toml"),
        place.text("schedules/job.toml"),
    );
    place.file(
        "writeback.toml",
        &format!("{project}\n[dashboards.health]\nannounced = true\n"),
    );
    place.file(
        "schedules/job.toml",
        &format!("[cadence]\ndashboard = 'health'\n\n{job}"),
    );
    let serving = place.serve(&[]);
    place.wait_until("it serves", |place| {
        place.path(".writeback/ledger.db").exists()
    });
    assert_eq!(place.command(&["cycle", "health", "--id", "W46"]).code, 0);
    place.wait_until("the first cycle", |place| place.history().len() == 1);
    // The scheduler may be putting a file there at this very moment.
    place.wait_until("no state is left", |place| {
        fs::remove_dir_all(place.path(".writeback")).is_ok()
    });
    let (code, log) = serving.wait();
    assert_eq!(code, Some(2), "{log}");
    assert!(
        log.contains("was removed or replaced while it was in use"),
        "{log}"
    );
    let serving = place.serve(&[]);
    place.wait_until("it serves", |place| {
        place.path(".writeback/ledger.db").exists()
    });
    assert_eq!(place.command(&["cycle", "health", "--id", "W47"]).code, 0);
    place.wait_until("the next cycle", |place| {
        place.history() == [("W47".to_owned(), "succeeded".to_owned())]
    });
    let (code, log) = serving.stop();
    assert_eq!(code, Some(0), "{log}");
}
