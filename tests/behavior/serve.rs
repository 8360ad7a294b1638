//! The scheduler: a run after each cycle of the dashboard, at the right time, once; through kills,
//! restarts, broken edits, and clocks that are set.

use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::harness::{FIELDS, Server, Workspace, faketime_library};

/// A job that follows the dashboard `health` with these settings of its cadence, and one account.
fn place(server: Server, signal: &str, cadence: &str) -> Workspace {
    let place = Workspace::accounts(
        server,
        "id,score,note,phone\nA1,0,,\n",
        "id,score,note\nA1,1,\n",
    );
    follow(&place, signal, cadence);
    place
}

fn follow(place: &Workspace, signal: &str, cadence: &str) {
    let connections = place.connection("files") + &place.connection("crm");
    place.file(
        "writeback.toml",
        &format!("{connections}[dashboards.health]\n{signal}\n"),
    );
    place.job("", FIELDS);
    let job = place.text("schedules/job.toml");
    place.file(
        "schedules/job.toml",
        &format!("[cadence]\ndashboard = 'health'\n{cadence}\n\n{job}"),
    );
}

const MARKER: &str = "marker = 'cycle.json'\npoll = '1s'";

/// The dashboard finishes a cycle with this score, as a marker file written aside and renamed.
fn finish_cycle(place: &Workspace, id: &str, score: u32) {
    finish_cycle_at(place, id, score, Utc::now());
}

fn finish_cycle_at(place: &Workspace, id: &str, score: u32, completed_at: DateTime<Utc>) {
    place.file("data/scores.csv", &format!("id,score,note\nA1,{score},\n"));
    let completed_at = completed_at.to_rfc3339();
    let marker = format!(
        r#"{{"cycle_id": "{id}", "completed_at": "{completed_at}", "status": "succeeded"}}"#
    );
    place.file("cycle.json.new", &marker);
    std::fs::rename(place.path("cycle.json.new"), place.path("cycle.json")).expect("renamed");
}

fn score(place: &Workspace) -> String {
    place
        .query("SELECT score FROM accounts")
        .trim_start_matches("score\n")
        .trim_end()
        .to_owned()
}

fn delivered(cycles: &[&str]) -> Vec<(String, String)> {
    cycles
        .iter()
        .map(|cycle| ((*cycle).to_owned(), "succeeded".to_owned()))
        .collect()
}

fn wait_for_history(place: &Workspace, cycles: &[&str]) {
    let expected = delivered(cycles);
    place.wait_until(&format!("{cycles:?}"), |place| place.history() == expected);
}

#[test]
fn each_finished_cycle_is_written_back_once() {
    for server in Server::ALL {
        let place = place(server, MARKER, "");
        let mut serving = place.serve(&[]);
        finish_cycle(&place, "W45", 45);
        wait_for_history(&place, &["W45"]);
        assert_eq!(score(&place), "45", "on {server}");
        // The same cycle told again is no new one, and a failed one is none at all.
        finish_cycle(&place, "W45", 99);
        serving.wait_for_log("looked");
        let failed =
            r#"{"cycle_id": "W46", "completed_at": "2026-11-15T06:30:00Z", "status": "failed"}"#;
        place.file("cycle.json", failed);
        serving.wait_for_log("W46");
        finish_cycle(&place, "W47", 47);
        wait_for_history(&place, &["W45", "W47"]);
        assert_eq!(score(&place), "47", "on {server}");
        let (code, log) = serving.stop();
        assert_eq!(code, Some(0), "on {server}: {log}");
    }
}

#[test]
fn a_cycle_announced_by_hand_is_written_back() {
    let place = place(Server::Postgres, "announced = true", "");
    let mut serving = place.serve(&[]);
    serving.wait_for_log("not due");
    let announced = place.command(&["cycle", "health", "--id", "airflow-2026-11-21"]);
    assert_eq!(announced.code, 0, "{announced}");
    wait_for_history(&place, &["airflow-2026-11-21"]);
    assert_eq!(
        place
            .command(&["cycle", "health", "--id", "airflow-2026-11-21"])
            .code,
        0
    );
    assert_eq!(
        place
            .command(&["cycle", "health", "--id", "airflow-2026-11-22"])
            .code,
        0
    );
    wait_for_history(&place, &["airflow-2026-11-21", "airflow-2026-11-22"]);
}

#[test]
fn a_cycle_that_a_query_tells_of_is_written_back() {
    for server in Server::ALL {
        let query = "SELECT id AS cycle_id, completed_at, status FROM cycles";
        let place = place(
            server,
            &format!("source = 'crm'\nquery = '{query}'\npoll = '1s'"),
            "",
        );
        place.execute(
            "CREATE TABLE cycles (id VARCHAR(20), completed_at VARCHAR(40), status VARCHAR(20))",
        );
        let mut serving = place.serve(&[]);
        place.execute("INSERT INTO cycles VALUES ('c1', '2026-11-14 06:00:00', 'succeeded')");
        wait_for_history(&place, &["c1"]);
        place.execute("INSERT INTO cycles VALUES ('c2', '2026-11-15 06:00:00', 'running')");
        serving.wait_for_log("c2");
        place.execute("UPDATE cycles SET status = 'success' WHERE id = 'c2'");
        wait_for_history(&place, &["c1", "c2"]);
    }
}

#[test]
fn several_cycles_that_wait_become_one_run_of_the_newest() {
    let place = place(Server::Sqlite, "announced = true", "");
    for (id, minutes) in [("c1", 30), ("c2", 20), ("c3", 10)] {
        let completed_at = (Utc::now() - TimeDelta::minutes(minutes)).to_rfc3339();
        let announced = place.command(&[
            "cycle",
            "health",
            "--id",
            id,
            "--completed-at",
            &completed_at,
        ]);
        assert_eq!(announced.code, 0, "{announced}");
    }
    let mut serving = place.serve(&[]);
    wait_for_history(&place, &["c3"]);
    serving.wait_for_log("superseded");
    let late = place.command(&[
        "cycle",
        "health",
        "--id",
        "c0",
        "--completed-at",
        "2026-11-01T00:00:00Z",
    ]);
    assert_eq!(late.code, 0, "{late}");
    serving.wait_for_log("cycle=c0");
    assert_eq!(place.history(), delivered(&["c3"]));
    let next = place.command(&["next", "job"]);
    assert!(
        next.stdout.contains("cycle `c0` is not written back"),
        "{next}"
    );
}

#[test]
fn a_gate_without_a_new_cycle_is_recorded_and_one_with_it_lets_the_run_through() {
    let now = Utc::now();
    let instants: Vec<String> = [4, 12]
        .iter()
        .map(|seconds| {
            (now + TimeDelta::seconds(*seconds)).to_rfc3339_opts(SecondsFormat::Micros, true)
        })
        .collect();
    let place = place(
        Server::Sqlite,
        MARKER,
        &format!("at = ['{}', '{}']", instants[0], instants[1]),
    );
    let mut serving = place.serve(&[]);
    serving.wait_for_log("a gate opened for nothing");
    finish_cycle(&place, "W46", 46);
    serving.wait_for_log("W46");
    wait_for_history(&place, &["W46"]);
    let run = place.command(&["runs", "1", "--json"]).json();
    let started_at: DateTime<Utc> = run["started_at"]
        .as_str()
        .expect("a text")
        .parse()
        .expect("an instant");
    assert!(
        started_at >= now + TimeDelta::seconds(12),
        "{started_at} is before the gate: {}",
        serving.log()
    );
    let status = place.command(&["status", "--json"]).json();
    let gates = status["jobs"][0]["gates_for_nothing"]
        .as_array()
        .expect("a list");
    assert_eq!(gates.len(), 1, "{status}");
    assert!(
        gates[0]["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("cycle")),
        "{status}"
    );
}

#[test]
fn a_run_that_fails_is_tried_again_and_then_the_job_is_well() {
    let place = place(
        Server::Postgres,
        MARKER,
        "retry_delay = '1s'\nretry_delay_max = '2s'",
    );
    place.execute("ALTER TABLE accounts RENAME COLUMN score TO rating");
    let mut serving = place.serve(&[]);
    finish_cycle(&place, "W46", 46);
    serving.wait_for_log("a run could not finish");
    let status = place.command(&["status"]);
    assert!(status.stdout.contains("W46"), "{status}");
    place.execute("ALTER TABLE accounts RENAME COLUMN rating TO score");
    wait_for_history(&place, &["W46"]);
    assert_eq!(score(&place), "46");
}

#[test]
fn a_run_that_keeps_failing_is_given_up_and_stays_visible() {
    let place = place(
        Server::Sqlite,
        MARKER,
        "retry_delay = '1s'\nattempts_max = 2",
    );
    place.execute("ALTER TABLE accounts RENAME COLUMN score TO rating");
    let mut serving = place.serve(&[]);
    finish_cycle(&place, "W46", 46);
    serving.wait_for_log("a cycle will not be written back");
    let status = place.command(&["status"]);
    assert!(status.stdout.contains("W46"), "{status}");
    let next = place.command(&["next"]);
    assert!(
        next.stdout.contains("cycle `W46` is not written back"),
        "{next}"
    );
    place.execute("ALTER TABLE accounts RENAME COLUMN rating TO score");
    finish_cycle(&place, "W47", 47);
    place.wait_until("W47", |place| {
        place.history().last() == delivered(&["W47"]).last()
    });
}

#[test]
fn a_cycle_past_its_deadline_is_never_written_back() {
    let place = place(Server::Sqlite, MARKER, "deadline = '1h'");
    finish_cycle_at(&place, "W45", 45, Utc::now() - TimeDelta::hours(2));
    let mut serving = place.serve(&[]);
    serving.wait_for_log("a cycle will not be written back");
    finish_cycle(&place, "W46", 46);
    wait_for_history(&place, &["W46"]);
}

#[test]
fn of_several_cycles_only_every_nth_is_written_back() {
    let place = place(Server::Sqlite, MARKER, "every_cycles = 3");
    let mut serving = place.serve(&[]);
    for cycle in 1..=7 {
        finish_cycle(&place, &format!("d{cycle}"), cycle);
        serving.wait_for_log(&format!("d{cycle}"));
        if cycle % 3 == 1 {
            place.wait_until(&format!("d{cycle}"), |place| {
                score(place) == cycle.to_string()
            });
        }
    }
    wait_for_history(&place, &["d1", "d4", "d7"]);
}

#[test]
fn killed_at_random_moments_it_still_runs_each_cycle_once() {
    let place = place(Server::Postgres, MARKER, "");
    let mut expected = Vec::new();
    for round in 1..=12_u32 {
        let serving = place.serve(&[]);
        let id = format!("c{round:02}");
        finish_cycle(&place, &id, round);
        expected.push(id);
        // Spread over the second and a half in which it starts, notices, runs and records.
        std::thread::sleep(Duration::from_millis(u64::from(round * 130)));
        serving.kill();
    }
    let serving = place.serve(&[]);
    place.wait_until("the last cycle", |place| score(place) == "12");
    let last = expected.last().expect("a cycle").clone();
    place.wait_until("its end", |place| {
        place.history().last() == Some(&(last.clone(), "succeeded".to_owned()))
    });
    let (code, log) = serving.stop();
    assert_eq!(code, Some(0), "{log}");
    let history = place.history();
    let mut cycles: Vec<&String> = history.iter().map(|(cycle, _)| cycle).collect();
    let runs = cycles.len();
    assert!(
        cycles.is_sorted(),
        "an older cycle after a newer one: {history:?}"
    );
    cycles.dedup();
    assert_eq!(cycles.len(), runs, "a cycle has two runs: {history:?}");
    assert!(
        cycles.iter().all(|cycle| expected.contains(cycle)),
        "{history:?}"
    );
}

#[test]
fn a_second_scheduler_stands_by_and_takes_over() {
    let place = place(Server::Sqlite, MARKER, "");
    let mut first = place.serve(&[]);
    first.wait_for_log("serving");
    let mut second = place.serve(&[]);
    second.wait_for_log("standing by");
    finish_cycle(&place, "W45", 45);
    wait_for_history(&place, &["W45"]);
    first.kill();
    second.wait_for_log("serving jobs");
    finish_cycle(&place, "W46", 46);
    wait_for_history(&place, &["W45", "W46"]);
    let (code, log) = second.stop();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn asked_to_stop_it_finishes_the_batches_in_hand_and_the_next_start_goes_on() {
    const RECORDS: usize = 1_200;
    let rows: String = (0..RECORDS).map(|id| format!("A{id:05},0,,\n")).collect();
    let scores: String = (0..RECORDS).map(|id| format!("A{id:05},1,\n")).collect();
    for server in Server::ALL {
        let place = Workspace::accounts(
            server,
            &format!("id,score,note,phone\n{rows}"),
            &format!("id,score,note\n{scores}"),
        );
        follow(&place, MARKER, "");
        let job = place.text("schedules/job.toml").replace(
            "[write_back.fields]",
            "batch_size = 1\n\n[write_back.fields]",
        );
        place.file("schedules/job.toml", &job);
        let completed_at = Utc::now().to_rfc3339();
        place.file(
            "cycle.json",
            &format!(r#"{{"cycle_id": "W46", "completed_at": "{completed_at}"}}"#),
        );
        let serving = place.serve(&[]);
        let written = |place: &Workspace| {
            let count = place.query("SELECT count(*) AS n FROM accounts WHERE score = 1");
            count
                .trim_start_matches("n\n")
                .trim_end()
                .parse::<usize>()
                .expect("a count")
        };
        place.wait_until("a written record", |place| written(place) > 0);
        let (code, log) = serving.stop();
        assert_eq!(code, Some(0), "on {server}: {log}");
        let done = written(&place);
        assert!((1..RECORDS).contains(&done), "{done} on {server}: {log}");
        place.count_writes("accounts");
        let serving = place.serve(&[]);
        wait_for_history(&place, &["W46"]);
        assert_eq!(
            place.writes(),
            RECORDS - done,
            "nothing is written twice on {server}"
        );
        serving.stop();
    }
}

#[test]
fn a_broken_edit_keeps_the_last_good_job_and_says_so() {
    let place = place(Server::Sqlite, MARKER, "");
    let mut serving = place.serve(&[]);
    finish_cycle(&place, "W45", 45);
    wait_for_history(&place, &["W45"]);
    let good = place.text("schedules/job.toml");
    place.file(
        "schedules/job.toml",
        &good.replace("score = 'score'", "score = 'scroe'"),
    );
    serving.wait_for_log("what was read before stays in force");
    finish_cycle(&place, "W46", 46);
    wait_for_history(&place, &["W45", "W46"]);
    assert_eq!(score(&place), "46");
    // A good edit is in force for the next cycle: `note` gets a text from now on.
    place.file(
        "schedules/job.toml",
        &good.replace(
            "note = 'note'",
            "note = { column = 'note', when = 'if_empty' }",
        ),
    );
    serving.wait_for_log("the job's changed file is in force");
    finish_cycle(&place, "W47", 47);
    wait_for_history(&place, &["W45", "W46", "W47"]);
    // A job may come and go while the project is served.
    place.file(
        "schedules/other.toml",
        &good
            .replace("score = 'score'\n", "")
            .replace("id = 'id'", "id = 'id'\nphone = 'score'"),
    );
    serving.wait_for_log("job=other");
    std::fs::remove_file(place.path("schedules/other.toml")).expect("removed");
    serving.wait_for_log("the job's file is gone");
}

#[test]
fn a_project_that_cannot_be_served_is_told_at_once() {
    let place = place(Server::Sqlite, MARKER, "");
    place.job("", FIELDS);
    let refused = place.command(&["serve"]);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(
        refused
            .stderr
            .contains("no job of `schedules/` has a cadence"),
        "{refused}"
    );
    place.file("writeback.toml", "[connections.crm\n");
    let refused = place.command(&["serve"]);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("writeback.toml:1:"), "{refused}");
}

/// Where the tests set a process's clock: seconds by which it differs from the machine's, in a file
/// it reads again and again.
fn faked(place: &Workspace) -> [(&'static str, String); 5] {
    [
        ("LD_PRELOAD", faketime_library()),
        (
            "FAKETIME_TIMESTAMP_FILE",
            place.path("clock").display().to_string(),
        ),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_DONT_RESET", "1".to_owned()),
    ]
}

fn set_clock(place: &Workspace, days: i64) {
    let clock = if days < 0 {
        format!("{days}d")
    } else {
        format!("+{days}d")
    };
    place.file("clock.new", &clock);
    std::fs::rename(place.path("clock.new"), place.path("clock")).expect("renamed");
}

#[test]
fn a_clock_that_is_set_makes_nothing_fire_twice_and_loses_nothing() {
    let place = place(
        Server::Sqlite,
        MARKER,
        "gate = { cron = '0 6 * * *', timezone = 'Europe/Berlin' }",
    );
    set_clock(&place, 0);
    let environment = faked(&place);
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut serving = place.serve_with(&[], &environment);
    finish_cycle(&place, "d1", 1);
    serving.wait_for_log("the gate");
    assert_eq!(place.history(), Vec::new());
    // A day later the gate has opened meanwhile, once.
    set_clock(&place, 1);
    serving.wait_for_log("the clock was set");
    place.wait_until("d1", |place| place.history() == delivered(&["d1"]));
    // Back and forth over the same gate: the cycle is written back, and stays so.
    set_clock(&place, 0);
    set_clock(&place, 1);
    finish_cycle_at(&place, "d2", 2, Utc::now() + TimeDelta::days(1));
    serving.wait_for_log("d2");
    set_clock(&place, 30);
    place.wait_until("d2", |place| place.history() == delivered(&["d1", "d2"]));
    // A year back: what comes now is new all the same, and settles by a clock that nobody set.
    set_clock(&place, -365);
    finish_cycle_at(&place, "d3", 3, Utc::now() + TimeDelta::days(31));
    let began = Instant::now();
    serving.wait_for_log("d3");
    set_clock(&place, -363);
    place.wait_until("d3", |place| {
        place.history() == delivered(&["d1", "d2", "d3"])
    });
    assert!(
        began.elapsed() < Duration::from_secs(90),
        "{}",
        serving.log()
    );
}

#[test]
fn a_clock_that_was_ahead_for_ten_years_supersedes_nothing_that_comes_after() {
    let place = place(Server::Sqlite, MARKER, "deadline = '1 day'");
    set_clock(&place, 3_650);
    let environment = faked(&place);
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut serving = place.serve_with(&[], &environment);
    finish_cycle_at(&place, "ahead", 1, Utc::now() + TimeDelta::days(3_650));
    wait_for_history(&place, &["ahead"]);
    set_clock(&place, 0);
    serving.wait_for_log("the clock was set");
    for (id, cycles) in [
        ("W46", ["ahead", "W46"].as_slice()),
        ("W47", &["ahead", "W46", "W47"]),
    ] {
        finish_cycle(&place, id, 2);
        wait_for_history(&place, cycles);
    }
}

#[test]
fn instants_are_shown_on_their_own_clocks_and_days_on_which_clocks_change_are_marked() {
    let place = place(
        Server::Sqlite,
        "announced = true",
        "gate = { cron = '30 2 * * *', timezone = 'Europe/Berlin' }",
    );
    let environment = [
        ("LD_PRELOAD", faketime_library()),
        ("FAKETIME", "@2026-03-27 12:00:00".to_owned()),
        ("TZ", "UTC".to_owned()),
    ];
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let next = place.command_with(&["next", "--limit", "3"], &environment);
    assert_eq!(
        next.stdout,
        "job
  would not run now: no new cycle
  dashboard `health`: no cycle noticed yet
  Sat 2026-03-28 02:30:00 CET Europe/Berlin, 2026-03-28 01:30:00 UTC
  Sun 2026-03-29 03:00:00 CEST Europe/Berlin, 2026-03-29 01:00:00 UTC  (clocks go forward 1h that day)
  Mon 2026-03-30 02:30:00 CEST Europe/Berlin, 2026-03-30 00:30:00 UTC
",
        "{next}"
    );
    let check = place.command_with(&["check"], &environment);
    assert!(
        check
            .stdout
            .contains("runs after each cycle of `health`, at the next of:"),
        "{check}"
    );
    assert!(
        check.stdout.contains("(clocks go forward 1h that day)"),
        "{check}"
    );
    let autumn = [
        ("FAKETIME", "@2026-10-24 12:00:00"),
        environment[0],
        environment[2],
    ];
    let next = place
        .command_with(&["next", "--json", "--limit", "1"], &autumn)
        .json();
    assert_eq!(
        next["jobs"][0]["openings"][0]["there"], "2026-10-25T02:30:00+02:00",
        "{next}"
    );
    assert_eq!(
        next["jobs"][0]["openings"][0]["clock_change_seconds"], -3600,
        "{next}"
    );
}

#[test]
fn status_tells_of_each_job_what_it_did_last_and_why_it_does_not_run_now() {
    let place = place(
        Server::Sqlite,
        "announced = true",
        "gate = { cron = '0 6 1 1 *', timezone = 'UTC' }",
    );
    let status = place.command(&["status"]);
    assert!(
        status
            .stdout
            .starts_with("nobody serves; `writeback serve` does\n"),
        "{status}"
    );
    let serving = place.serve(&[]);
    place.wait_until("the scheduler", |place| {
        place
            .command(&["status"])
            .stdout
            .starts_with("served by process ")
    });
    place.command(&["cycle", "health", "--id", "W46"]);
    place.wait_until("W46", |place| {
        place
            .command(&["status"])
            .stdout
            .contains("cycle `W46` waits for the gate")
    });
    let ran = place.command(&["run", "job", "--json"]);
    assert_eq!(ran.summary(), "1 read = 1 updated");
    let status = place.command(&["status", "--json"]).json();
    let job = &status["jobs"][0];
    assert_eq!(
        (job["now"].as_str(), job["last_run"]["cycle"].as_str()),
        (Some("no new cycle"), Some("W46")),
        "{status}"
    );
    assert!(
        job["next_at"]
            .as_str()
            .is_some_and(|at| at.ends_with("-01-01T06:00:00Z")),
        "{status}"
    );
    serving.stop();
}

#[test]
fn what_was_due_while_nobody_served_is_made_up_as_the_cadence_says() {
    for (missed, expected) in [
        ("none", vec!["c4"]),
        ("latest", vec!["c3", "c4"]),
        ("all", vec!["c1", "c2", "c3", "c4"]),
    ] {
        let place = place(
            Server::Sqlite,
            "announced = true",
            &format!("missed = '{missed}'"),
        );
        for (id, hours) in [("c1", 3), ("c2", 2), ("c3", 1)] {
            let completed_at = (Utc::now() - TimeDelta::hours(hours)).to_rfc3339();
            assert_eq!(
                place
                    .command(&[
                        "cycle",
                        "health",
                        "--id",
                        id,
                        "--completed-at",
                        &completed_at
                    ])
                    .code,
                0
            );
        }
        let mut serving = place.serve(&[]);
        let before = expected.len() - 1;
        place.wait_until("what is made up", |place| place.history().len() == before);
        serving.wait_for_log("no new cycle");
        assert_eq!(place.command(&["cycle", "health", "--id", "c4"]).code, 0);
        place.wait_until(missed, |place| place.history() == delivered(&expected));
        serving.stop();
    }
}

#[test]
fn it_tells_over_http_whether_it_lives_and_serves_and_what_it_did() {
    let place = place(Server::Sqlite, MARKER, "");
    let address = "127.0.0.1:0";
    let mut serving = place.serve(&["--listen", address, "--log-format", "json"]);
    serving.wait_for_log("answering /healthz");
    let log = serving.log();
    let told: serde_json::Value = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON"))
        .find(|line| line["fields"]["address"].is_string())
        .expect("an address");
    let address = told["fields"]["address"]
        .as_str()
        .expect("a text")
        .to_owned();
    let ask = |path: &str| {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(&address).expect("it listens");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    place.wait_until("readiness", |_| ask("/readyz").starts_with("HTTP/1.1 200"));
    assert!(ask("/healthz").starts_with("HTTP/1.1 200"));
    finish_cycle(&place, "W46", 46);
    wait_for_history(&place, &["W46"]);
    let count = r#"writeback_runs_total{job_name="job",status="succeeded"} 1"#;
    place.wait_until(count, |_| ask("/metrics").contains(count));
    let metrics = ask("/metrics");
    let updated =
        r#"writeback_records_total{job_name="job",write_back="scores",outcome="updated"} 1"#;
    assert!(metrics.contains(updated), "{metrics}");
    let fields = |line: &serde_json::Value| {
        ["job", "run", "cycle", "write_back"]
            .iter()
            .all(|name| !line["fields"][name].is_null())
    };
    let log = serving.log();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(lines.iter().any(fields), "{log}");
    // A second one at the same address cannot tell anybody anything, and says so at once.
    let refused = place.command(&["serve", "--listen", &address]);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(
        refused.stderr.contains(&address)
            && refused.stderr.contains("another process listens there"),
        "{refused}"
    );
}
