//! Runs that meet others: a second run of the same job, somebody else's lock, and runs that were
//! killed.

use std::process::Child;

use crate::harness::{FIELDS, Ran, Server, Workspace, wait_until};

/// Three accounts, each in a batch of its own, and a lock of somebody else on the last of them
/// (SQLite: on all).
fn place_with_a_lock(server: Server, lock_timeout: &str, attempts_max: u32) -> Workspace {
    // In a table of three rows MariaDB reads, and locks, all of them; so there are more.
    let others: String = (0..1000).map(|id| format!("Z{id},1,,\n")).collect();
    let rows = format!("id,score,note,phone\nA1,1,,\nA2,1,,\nA3,1,,\n{others}");
    let place = Workspace::accounts(server, &rows, "id,score,note\nA1,2,\nA2,2,\nA3,2,\n");
    let limits =
        format!("\nlock_timeout = '{lock_timeout}'\nattempts_max = {attempts_max}\nwriters = 1\n");
    let crm = place.connection("crm").trim_end().to_owned() + &limits;
    place
        .file("writeback.toml", &(place.connection("files") + &crm))
        .job("batch_size = 1", FIELDS);
    place.hold("A3");
    place
}

/// Starts a run and waits until it waits for the lock.
fn start_and_meet_the_lock(place: &Workspace) -> Child {
    let child = place.start(&["run", "job", "--json"]);
    wait_until("the run has begun", || {
        !place.state().iter().all(|(path, bytes)| {
            path.extension().is_none_or(|word| word != "lock") || bytes.is_empty()
        })
    });
    if place.server != Server::Sqlite {
        place.wait_for_its_waiting();
    }
    child
}

fn finish(child: Child) -> Ran {
    Ran::of(
        &["run", "job", "--json"],
        &child.wait_with_output().expect("the program ends"),
    )
}

#[test]
fn a_second_run_of_a_job_is_refused_while_the_first_is_at_work() {
    for server in Server::ALL {
        let place = place_with_a_lock(server, "50s", 3);
        let first = start_and_meet_the_lock(&place);
        let second = place.command(&["run", "job"]);
        assert_eq!(second.code, 2, "{second}");
        assert!(
            second.stderr.contains("job `job` is already running"),
            "on {server}: {second}"
        );
        place.execute("ROLLBACK");
        assert_eq!(finish(first).summary(), "3 read = 3 updated", "on {server}");
        assert_eq!(place.run().summary(), "3 read = 3 unchanged", "on {server}");
    }
}

#[test]
fn a_lock_held_too_long_ends_the_run_and_the_next_goes_on() {
    for server in Server::ALL {
        let place = place_with_a_lock(server, "1s", 2);
        let run = place.run();
        assert_eq!(run.code, 2, "on {server}: {run}");
        assert!(run.stderr.contains("`crm` is busy"), "on {server}: {run}");
        place.execute("ROLLBACK");
        place.count_writes("accounts");
        assert_eq!(place.run().code, 0, "on {server}");
        let rows = place.query("SELECT id, score FROM accounts WHERE id < 'B'");
        assert_eq!(rows, "id,score\nA1,2\nA2,2\nA3,2\n", "on {server}");
        let left = if server == Server::Sqlite { 3 } else { 1 };
        assert_eq!(
            place.writes(),
            left,
            "batches that were in are not written again on {server}"
        );
    }
}

#[test]
fn a_killed_run_is_taken_up_where_it_stood() {
    for server in Server::ALL {
        let place = place_with_a_lock(server, "50s", 3);
        let mut killed = start_and_meet_the_lock(&place);
        killed.kill().expect("a running child");
        killed.wait().expect("a dead child");
        if server != Server::Sqlite {
            // It had begun to write: the records are in the package, and what changed since belongs
            // to the next cycle.
            place.file("data/scores.csv", "id,score,note\nA1,3,\n");
        }
        place.execute("ROLLBACK");
        let run = place.run();
        assert_eq!(run.run(), 1, "on {server}");
        assert_eq!(run.summary(), "3 read = 3 updated", "on {server}");
        let rows = place.query("SELECT id, score FROM accounts WHERE id < 'B'");
        assert_eq!(rows, "id,score\nA1,2\nA2,2\nA3,2\n", "on {server}");
        if server != Server::Sqlite {
            assert_eq!(place.run().summary(), "1 read = 1 updated", "on {server}");
        }
    }
}

/// A place whose job follows a dashboard with a marker file.
fn place_with_a_dashboard() -> Workspace {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,\n",
    );
    place.file(
        "writeback.toml",
        &(place.text("writeback.toml") + "[dashboards.health]\nmarker = 'data/cycle.json'\n"),
    );
    place.file(
        "schedules/job.toml",
        &format!(
            "[cadence]\ndashboard = 'health'\n\n{}",
            place.text("schedules/job.toml")
        ),
    );
    place
}

fn finish_cycle(place: &Workspace, id: &str, day: u8, status: &str) {
    let completed_at = format!("2026-11-{day:02}T06:30:00Z");
    let marker = format!(
        r#"{{"cycle_id": "{id}", "completed_at": "{completed_at}", "status": "{status}"}}"#
    );
    place.file("data/cycle.json", &marker);
}

#[test]
fn an_older_cycle_never_overwrites_a_newer_one() {
    let place = place_with_a_dashboard();
    finish_cycle(&place, "W46", 15, "succeeded");
    let run = place.run();
    assert_eq!(
        (run.summary().as_str(), run.json()["cycle"].as_str()),
        ("1 read = 1 updated", Some("W46"))
    );
    finish_cycle(&place, "W45", 8, "succeeded");
    place.file("data/scores.csv", "id,score,note\nA1,1,\n");
    let older = place.run();
    assert_eq!(
        (older.json()["status"].as_str(), older.code),
        (Some("nothing_new"), 0),
        "{older}"
    );
    finish_cycle(&place, "W47", 22, "succeeded");
    assert_eq!(place.run().summary(), "1 read = 1 updated");
}

#[test]
fn a_cycle_that_did_not_finish_is_not_written_back() {
    let place = place_with_a_dashboard();
    for status in ["running", "failed"] {
        finish_cycle(&place, "W46", 15, status);
        let run = place.run();
        assert_eq!(run.code, 2, "{run}");
        assert!(
            run.stderr.contains("cycle `W46` of dashboard `health`") && run.stderr.contains(status),
            "{run}"
        );
    }
    finish_cycle(&place, "", 15, "succeeded");
    let run = place.run();
    assert!(
        run.code == 2
            && run
                .stderr
                .contains("dashboard `health` names a cycle without an id"),
        "{run}"
    );
    place.file("data/cycle.json", "{\"cycle_id\": ");
    let run = place.run();
    assert_eq!(run.code, 2, "{run}");
    assert_eq!(place.rows("accounts"), "id,score,note,phone\nA1,1,,\n");
}

#[test]
fn a_dashboard_may_be_asked_by_a_query() {
    for server in Server::ALL {
        let place = Workspace::accounts(
            server,
            "id,score,note,phone\nA1,1,,\n",
            "id,score,note\nA1,2,\n",
        );
        let columns = format!(
            "id VARCHAR(9), at {}, status VARCHAR(9)",
            server.timestamp()
        );
        let cycles =
            "id,at,status\nW45,2026-11-08 06:30:00,succeeded\nW46,2026-11-15 06:30:00,succeeded\n";
        place.table("cycles", &columns, cycles);
        let query =
            "SELECT id AS cycle_id, at AS completed_at, status FROM cycles ORDER BY at DESC";
        let dashboard = format!("[dashboards.health]\nsource = 'crm'\nquery = '{query}'\n");
        place.file(
            "writeback.toml",
            &(place.text("writeback.toml") + &dashboard),
        );
        let job = place.text("schedules/job.toml");
        place.file(
            "schedules/job.toml",
            &format!("[cadence]\ndashboard = 'health'\n\n{job}"),
        );
        let run = place.run();
        assert_eq!(run.summary(), "1 read = 1 updated", "on {server}");
        assert_eq!(run.json()["cycle"], "W46", "on {server}");
    }
}
