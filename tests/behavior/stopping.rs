//! Runs that stop before their end: asked by a signal, or because the destination took no more. The
//! next run goes on where they stood, and history says what happened until then.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{FIELDS, Ran, Server, Workspace};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
const RECORDS: usize = 1_200;

/// Thousands of accounts and scores, a batch for each, so that a run can be met at work.
fn place_with_many(server: Server) -> Workspace {
    let rows: String = (0..RECORDS).map(|id| format!("A{id:05},0,,\n")).collect();
    let scores: String = (0..RECORDS).map(|id| format!("A{id:05},1,\n")).collect();
    let place = Workspace::accounts(
        server,
        &format!("id,score,note,phone\n{rows}"),
        &format!("id,score,note\n{scores}"),
    );
    place.job("batch_size = 1", FIELDS);
    place
}

fn written(place: &Workspace) -> usize {
    let count = place.query("SELECT count(*) AS n FROM accounts WHERE score = 1");
    count
        .trim_start_matches("n\n")
        .trim_end()
        .parse()
        .expect("a count")
}

/// Starts a run and waits until it has written something.
fn start_and_meet_at_work(place: &Workspace) -> Child {
    let child = place.start(&["run", "job", "--json"]);
    let deadline = Instant::now() + PATIENCE;
    while written(place) == 0 {
        assert!(Instant::now() < deadline, "the run writes nothing");
        std::thread::sleep(LOOK_INTERVAL);
    }
    child
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .expect("kill starts");
    assert!(sent.success(), "the run still goes on");
}

fn finish(child: Child) -> Ran {
    Ran::of(
        &["run", "job", "--json"],
        &child.wait_with_output().expect("the program ends"),
    )
}

#[test]
fn a_signal_lets_the_batches_in_hand_finish_and_the_next_run_goes_on() {
    for (server, signal) in [
        (Server::Sqlite, "-TERM"),
        (Server::Postgres, "-INT"),
        (Server::MariaDb, "-TERM"),
    ] {
        let place = place_with_many(server);
        let child = start_and_meet_at_work(&place);
        send(signal, &child);
        let stopped = finish(child);
        assert_eq!(stopped.code, 2, "on {server}: {stopped}");
        assert!(
            stopped
                .stderr
                .contains("hint: the next run goes on where it stood; `writeback undo 1` takes back what it wrote\n"),
            "on {server}: {stopped}"
        );
        let report = stopped.json();
        assert_eq!(
            (report["run"].as_i64(), report["status"].as_str()),
            (Some(1), Some("failed")),
            "{stopped}"
        );
        assert!(
            report["error"]
                .as_str()
                .is_some_and(|error| error.ends_with("it was asked to stop")),
            "{stopped}"
        );
        let done = written(&place);
        assert_eq!(
            report["write_backs"][0]["updated"], done,
            "each batch that is in is accounted for on {server}"
        );
        assert!((1..RECORDS).contains(&done), "{done} on {server}");
        place.count_writes("accounts");
        let run = place.run();
        assert_eq!(
            (run.run(), run.summary()),
            (1, format!("{RECORDS} read = {RECORDS} updated")),
            "on {server}"
        );
        assert_eq!(
            place.writes(),
            RECORDS - done,
            "nothing is written twice on {server}"
        );
    }
}

#[test]
fn a_second_signal_stops_a_run_at_once() {
    let place = Workspace::accounts(
        Server::Postgres,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,\n",
    );
    let crm = place.connection("crm").trim_end().to_owned() + "\nlock_timeout = '50s'\n";
    place.file("writeback.toml", &(place.connection("files") + &crm));
    place.execute("BEGIN; UPDATE accounts SET phone = 'held'");
    let child = place.start(&["run", "job", "--json"]);
    let waits = "SELECT count(*) AS n FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))";
    let deadline = Instant::now() + PATIENCE;
    while place.query(waits) != "n\n1\n" {
        assert!(Instant::now() < deadline, "the run does not meet the lock");
        std::thread::sleep(LOOK_INTERVAL);
    }
    send("-TERM", &child);
    // The two must be told apart: signals that arrive together count once.
    std::thread::sleep(Duration::from_millis(500));
    send("-TERM", &child);
    let begun = Instant::now();
    let stopped = finish(child);
    assert_eq!(
        (stopped.code, begun.elapsed() < Duration::from_secs(20)),
        (2, true),
        "{stopped}"
    );
    place.execute("ROLLBACK");
    let run = place.run();
    assert_eq!(
        (run.run(), run.summary().as_str()),
        (1, "1 read = 1 updated")
    );
}

/// A place whose destination takes the first records and then no more, until `DROP` of what stops
/// it.
fn place_that_breaks() -> Workspace {
    let place = Workspace::accounts(
        Server::Postgres,
        "id,score,note,phone\nA1,1,,\nA2,1,,\nA3,1,,\n",
        "id,score,note\nA1,2,\nA2,2,\nA3,2,\n",
    );
    let crm = place.connection("crm").trim_end().to_owned()
        + "\nlock_timeout = '1s'\nattempts_max = 1\nwriters = 1\n";
    place.file(
        "writeback.toml",
        &(place.connection("files") + &crm + "[dashboards.health]\nmarker = 'cycle.json'\n"),
    );
    place.job("batch_size = 1", FIELDS);
    let job = place.text("schedules/job.toml");
    place.file(
        "schedules/job.toml",
        &format!("[cadence]\ndashboard = 'health'\n\n{job}"),
    );
    cycle(&place, "W45", 8);
    place.execute("BEGIN; UPDATE accounts SET phone = 'held' WHERE id = 'A3'");
    place
}

fn cycle(place: &Workspace, id: &str, day: u8) {
    let marker = format!(
        r#"{{"cycle_id": "{id}", "completed_at": "2026-11-{day:02}T06:30:00Z", "status": "succeeded"}}"#
    );
    place.file("cycle.json", &marker);
}

fn status(place: &Workspace, run: i64) -> (String, String) {
    let entry = place.command(&["runs", &run.to_string(), "--json"]).json();
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    (text("status"), text("error"))
}

#[test]
fn a_failed_run_keeps_its_error_in_history_until_the_next_takes_it_up() {
    let place = place_that_breaks();
    let failed = place.run();
    assert_eq!(failed.code, 2, "{failed}");
    let report = failed.json();
    assert_eq!(
        (report["status"].as_str(), report["cycle"].as_str()),
        (Some("failed"), Some("W45")),
        "{failed}"
    );
    assert!(
        report["error"]
            .as_str()
            .is_some_and(|error| error.contains("`crm` is busy")),
        "{failed}"
    );
    let (ended, error) = status(&place, 1);
    assert!(
        ended == "failed" && error.contains("`crm` is busy"),
        "{ended}: {error}"
    );
    // A job that cannot even begin leaves history as it is.
    place
        .execute("ROLLBACK")
        .execute("ALTER TABLE accounts RENAME COLUMN note TO remark");
    assert_eq!(place.run().code, 2);
    assert_eq!(status(&place, 1).0, "failed");
    place.execute("ALTER TABLE accounts RENAME COLUMN remark TO note");
    let run = place.run();
    assert_eq!(
        (run.run(), run.summary().as_str()),
        (1, "3 read = 3 updated"),
        "{run}"
    );
    assert_eq!(status(&place, 1), ("succeeded".to_owned(), String::new()));
}

#[test]
fn a_newer_cycle_takes_the_place_of_a_failed_run() {
    let place = place_that_breaks();
    assert_eq!(place.run().code, 2);
    place.execute("ROLLBACK");
    cycle(&place, "W46", 15);
    place.file("data/scores.csv", "id,score,note\nA1,3,\nA2,3,\nA3,3,\n");
    let run = place.run();
    assert_eq!(
        (run.run(), run.json()["cycle"].as_str()),
        (2, Some("W46")),
        "{run}"
    );
    assert_eq!(
        place.query("SELECT id, score FROM accounts"),
        "id,score\nA1,3\nA2,3\nA3,3\n"
    );
    let (ended, error) = status(&place, 1);
    assert!(
        ended == "failed" && error.ends_with("a newer cycle finished before it could be taken up"),
        "{error}"
    );
}

#[test]
fn the_exit_code_tells_of_rejected_records_though_nobody_reads_the_summary() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,x,\n",
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_writeback"));
    command
        .args(["run", "job"])
        .current_dir(place.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("the program starts");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("the program ends").code(), Some(1));
}
