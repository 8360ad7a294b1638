//! Cycles: how they are noticed and announced, and that a job writes each of them back in order.

use std::os::unix::fs::symlink;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::json;

use crate::harness::{FIELDS, Ran, Server, Workspace, faketime_library, write_back};

/// One account, a job that follows the dashboard `health`, and what `writeback.toml` says of it.
fn place_following(server: Server, dashboard: &str) -> Workspace {
    let place = Workspace::accounts(
        server,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,\n",
    );
    follow(&place, dashboard, "job");
    place
}

fn follow(place: &Workspace, dashboard: &str, job: &str) {
    let project = place.connection("files") + &place.connection("crm");
    place.file(
        "writeback.toml",
        &format!("{project}[dashboards.health]\n{dashboard}\n"),
    );
    let fields = "id = 'id'\nscore = 'score'\nnote = { method = 'cycle_completed_at' }";
    let write_back = write_back("scores", "accounts", "ignore = ['note']", fields);
    place.file(
        &format!("schedules/{job}.toml"),
        &format!("[cadence]\ndashboard = 'health'\n\n{write_back}"),
    );
}

const MARKER: &str = "marker = 'data/cycle.json'";

fn mark(place: &Workspace, id: &str, completed_at: &str) {
    let marker = json!({ "cycle_id": id, "completed_at": completed_at, "status": "succeeded" });
    place.file("data/cycle.json", &marker.to_string());
}

/// The cycle that a run wrote back.
fn cycle_of(ran: &Ran) -> String {
    ran.json()["cycle"]
        .as_str()
        .unwrap_or_else(|| panic!("no cycle in {ran}"))
        .to_owned()
}

fn status_of(ran: &Ran) -> String {
    ran.json()["status"]
        .as_str()
        .unwrap_or_else(|| panic!("no status in {ran}"))
        .to_owned()
}

/// What the ledger holds, as CSV.
fn ledger(place: &Workspace, query: &str) -> String {
    place.query_file(".writeback/ledger.db", query)
}

#[test]
fn a_cycle_announced_by_hand_is_what_a_run_writes_back() {
    let place = place_following(Server::Sqlite, "announced = true");
    let none = place.run();
    assert_eq!(none.code, 2, "{none}");
    assert!(
        none.stderr
            .contains("dashboard `health` has finished no cycle yet"),
        "{none}"
    );
    assert!(
        none.stderr.contains("`writeback cycle health --id ID`"),
        "{none}"
    );

    let announce = [
        "cycle",
        "health",
        "--id",
        "W46",
        "--completed-at",
        "2026-11-15T07:30:00+01:00",
    ];
    let announced = place.command(&announce);
    assert_eq!(announced.code, 0, "{announced}");
    assert_eq!(
        announced.stdout,
        "recorded cycle `W46` of dashboard `health`, completed 2026-11-15 06:30:00 UTC\nfollowed by job `job`\n"
    );
    let run = place.run();
    assert_eq!(
        (run.summary().as_str(), cycle_of(&run).as_str()),
        ("1 read = 1 updated", "W46")
    );
    assert_eq!(
        place.query("SELECT note FROM accounts"),
        "note\n2026-11-15T06:30:00Z\n"
    );
}

#[test]
fn a_cycle_announced_twice_stays_as_it_was() {
    let place = place_following(Server::Sqlite, MARKER);
    follow(&place, MARKER, "second");
    let first = place
        .command(&["cycle", "health", "--id", "W46", "--json"])
        .json();
    assert_eq!(
        (&first["new"], &first["jobs"]),
        (&json!(true), &json!(["job", "second"]))
    );
    assert_eq!(first["completed_at"], first["noticed_at"]);
    let arguments = [
        "cycle",
        "health",
        "--id",
        "W46",
        "--completed-at",
        "2026-11-01T00:00:00Z",
    ];
    let again = place.command(&arguments);
    assert_eq!(again.code, 0, "{again}");
    assert!(
        again.stdout.contains("is known since") && again.stdout.contains("nothing changed"),
        "{again}"
    );
    assert!(
        again.stdout.ends_with("followed by jobs `job`, `second`\n"),
        "{again}"
    );
    let again = place
        .command(&["cycle", "health", "--id", "W46", "--json"])
        .json();
    assert_eq!(
        (&again["new"], &again["completed_at"]),
        (&json!(false), &first["completed_at"])
    );
    assert_eq!(
        ledger(&place, "SELECT dashboard, cycle FROM cycles"),
        "dashboard,cycle\nhealth,W46\n"
    );
}

#[test]
fn what_cannot_be_announced_is_said_and_not_recorded() {
    let place = place_following(Server::Sqlite, MARKER);
    let future = (Utc::now() + TimeDelta::hours(1)).to_rfc3339();
    for (arguments, message) in [
        (vec!["helath", "--id", "W46"], "did you mean `health`?"),
        (
            vec!["health", "--id", ""],
            "an id is one line of 1 to 200 characters",
        ),
        (
            vec!["health", "--id", "W\n46"],
            "an id is one line of 1 to 200 characters",
        ),
        (
            vec!["health", "--id", "W46", "--completed-at", "2026-11-15"],
            "write a time with its zone",
        ),
        (
            vec![
                "health",
                "--id",
                "W46",
                "--completed-at",
                "2026-11-15T06:30:00",
            ],
            "write a time with its zone",
        ),
        (
            vec!["health", "--id", "W46", "--completed-at", &future],
            "`--completed-at` lies in the future",
        ),
        (vec!["health"], "--id"),
    ] {
        let refused = place.command(&[vec!["cycle"], arguments].concat());
        assert_eq!(refused.code, 2, "{refused}");
        assert!(refused.stderr.contains(message), "{refused}");
    }
    assert!(!place.path(".writeback").exists(), "nothing was recorded");
}

/// What a command does while this machine's clock is ten years ahead.
fn ahead(place: &Workspace, arguments: &[&str]) -> Ran {
    let library = faketime_library();
    let faked = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME", "+3650d"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    place.command_with(arguments, &faked)
}

#[test]
fn a_cycle_that_a_clock_ten_years_ahead_completed_keeps_no_later_one_from_being_written_back() {
    for dashboard in ["announced = true", MARKER] {
        let place = place_following(Server::Sqlite, dashboard);
        let finish = |id: &str, at: TimeDelta| match dashboard {
            MARKER => mark(&place, id, &(Utc::now() + at).to_rfc3339()),
            _ if at > TimeDelta::zero() => {
                assert_eq!(ahead(&place, &["cycle", "health", "--id", id]).code, 0)
            }
            _ => assert_eq!(place.command(&["cycle", "health", "--id", id]).code, 0),
        };
        finish("ahead", TimeDelta::days(3_650));
        let run = ahead(&place, &["run", "job", "--json"]);
        assert_eq!(
            (run.summary().as_str(), cycle_of(&run).as_str()),
            ("1 read = 1 updated", "ahead"),
            "{run}"
        );
        for (id, score) in [("W46", 3), ("W47", 4)] {
            place.file("data/scores.csv", &format!("id,score,note\nA1,{score},\n"));
            finish(id, TimeDelta::zero());
            let run = place.run();
            assert_eq!(
                (run.summary().as_str(), cycle_of(&run).as_str()),
                ("1 read = 1 updated", id),
                "{run}"
            );
        }
        place.file("data/scores.csv", "id,score,note\nA1,5,\n");
        let by_hand = place.command(&["run", "job", "--cycle", "by hand", "--json"]);
        assert_eq!(by_hand.summary(), "1 read = 1 updated", "{by_hand}");
    }
}

#[test]
fn a_run_that_was_killed_while_a_clock_was_ahead_is_left_behind_by_a_later_cycle() {
    let place = place_following(Server::Sqlite, MARKER);
    mark(
        &place,
        "ahead",
        &(Utc::now() + TimeDelta::days(3_650)).to_rfc3339(),
    );
    let library = faketime_library();
    let faked = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME", "+3650d"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("WRITEBACK_ABORT_AT", "1 record a package in"),
    ];
    assert_eq!(place.command_with(&["run", "job"], &faked).code, -1);
    mark(&place, "W46", &Utc::now().to_rfc3339());
    let run = place.run();
    assert_eq!((run.run(), cycle_of(&run).as_str()), (2, "W46"), "{run}");
}

#[test]
fn a_job_with_mistakes_does_not_keep_a_cycle_from_being_announced() {
    let place = place_following(Server::Sqlite, MARKER);
    place.file("schedules/broken.toml", "[cadence");
    let announced = place.command(&["cycle", "health", "--id", "W46"]);
    assert_eq!(announced.code, 0, "{announced}");
    assert!(
        announced.stdout.ends_with("followed by job `job`\n"),
        "{announced}"
    );
    assert!(
        announced.stderr.contains("job `broken` has mistakes"),
        "{announced}"
    );
}

#[test]
fn a_marker_dated_in_the_future_does_not_block_later_cycles() {
    let place = place_following(Server::Sqlite, MARKER);
    mark(&place, "W99", "2999-01-01T00:00:00Z");
    let run = place.run();
    assert_eq!(
        (cycle_of(&run).as_str(), status_of(&run).as_str()),
        ("W99", "succeeded"),
        "{run}"
    );
    assert!(run.stderr.contains("in the future"), "{run}");
    place.file("data/scores.csv", "id,score,note\nA1,3,\n");
    mark(&place, "W100", &Utc::now().to_rfc3339());
    let run = place.run();
    assert_eq!(
        (cycle_of(&run).as_str(), run.summary().as_str()),
        ("W100", "1 read = 1 updated"),
        "{run}"
    );
    assert!(!run.stderr.contains("in the future"), "{run}");
}

#[test]
fn a_marker_behind_a_link_is_not_read() {
    let place = place_following(Server::Sqlite, MARKER);
    mark(&place, "W46", "2026-11-15T06:30:00Z");
    std::fs::rename(place.path("data/cycle.json"), place.path("elsewhere.json")).unwrap();
    symlink(place.path("elsewhere.json"), place.path("data/cycle.json")).unwrap();
    let run = place.run();
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("is not a regular file"), "{run}");
}

#[test]
fn a_marker_without_a_time_or_its_zone_is_a_mistake() {
    let place = place_following(Server::Sqlite, MARKER);
    for (marker, message) in [
        (
            r#"{"cycle_id": "W46", "status": "succeeded"}"#,
            "missing field `completed_at`",
        ),
        (
            r#"{"cycle_id": "W46", "completed_at": "2026-11-15T06:30:00"}"#,
            "completed at a time without a zone",
        ),
        (
            r#"{"cycle_id": "W46", "completed_at": "2026-11-15T06:"#,
            "is not a cycle",
        ),
    ] {
        place.file("data/cycle.json", marker);
        let run = place.run();
        assert!(run.code == 2 && run.stderr.contains(message), "{run}");
    }
    assert_eq!(place.rows("accounts"), "id,score,note,phone\nA1,1,,\n");
}

#[test]
fn a_query_with_rows_that_cannot_be_read_still_tells_of_the_others() {
    for server in Server::ALL {
        let query = "SELECT id AS cycle_id, at AS completed_at, status FROM cycles";
        let place = place_following(server, &format!("source = 'crm'\nquery = '{query}'"));
        let columns = format!(
            "id VARCHAR(9), at {}, status VARCHAR(9)",
            server.timestamp()
        );
        let cycles = "id,at,status\nW45,2026-11-08 06:30:00,succeeded\n,2026-11-16 06:30:00,succeeded\n\
                      W46,2026-11-15 06:30:00,failed\nW46,2026-11-15 08:30:00,SUCCESS\nW47,,running\n";
        place.table("cycles", &columns, cycles);
        let run = place.run();
        assert_eq!(
            (run.summary().as_str(), cycle_of(&run).as_str()),
            ("1 read = 1 updated", "W46"),
            "on {server}"
        );
        assert_eq!(
            place.query("SELECT note FROM accounts"),
            "note\n2026-11-15T08:30:00Z\n",
            "on {server}"
        );
        let known = ledger(&place, "SELECT cycle FROM cycles ORDER BY position");
        assert_eq!(known, "cycle\nW45\nW46\n", "on {server}");
        place.execute("UPDATE cycles SET id = NULL");
        let run = place.run();
        assert!(
            run.code == 2 && run.stderr.contains("names a cycle without an id"),
            "on {server}: {run}"
        );
    }
}

#[test]
fn a_newer_cycle_that_failed_is_not_papered_over_by_an_older_one() {
    let query = "SELECT id AS cycle_id, at AS completed_at, status FROM cycles";
    let place = place_following(
        Server::Sqlite,
        &format!("source = 'crm'\nquery = '{query}'"),
    );
    let cycles =
        "id,at,status\nW45,2026-11-08 06:30:00,succeeded\nW46,2026-11-15 06:30:00,failed\n";
    place.table(
        "cycles",
        "id VARCHAR(9), at TIMESTAMP, status VARCHAR(9)",
        cycles,
    );
    let run = place.run();
    assert!(
        run.code == 2
            && run
                .stderr
                .contains("cycle `W46` of dashboard `health` is `failed`"),
        "{run}"
    );
    assert_eq!(ledger(&place, "SELECT cycle FROM cycles"), "cycle\nW45\n");
}

#[test]
fn a_dashboard_that_signals_nothing_finishes_by_the_clock() {
    let place = place_following(
        Server::Sqlite,
        "cron = '0 * * * *'\ntimezone = 'UTC'\nmargin = '10m'",
    );
    let before = Utc::now();
    let run = place.run();
    let after = Utc::now();
    let cycle = DateTime::parse_from_rfc3339(&cycle_of(&run))
        .expect("an instant")
        .to_utc();
    // The hour may have turned while the program started.
    let hour = |now: DateTime<Utc>| {
        (now - TimeDelta::minutes(10))
            .format("%Y-%m-%dT%H:00:00Z")
            .to_string()
    };
    assert!(
        [hour(before), hour(after)].contains(&cycle_of(&run)),
        "{run}"
    );
    assert_eq!(run.summary(), "1 read = 1 updated");
    let completed_at = (cycle + TimeDelta::minutes(10)).format("%Y-%m-%dT%H:%M:%SZ");
    assert_eq!(
        place.query("SELECT note FROM accounts"),
        format!("note\n{completed_at}\n")
    );
    assert_eq!(place.command(&["preview", "job"]).code, 0);
}

#[test]
fn a_preview_and_a_test_know_what_was_announced_and_record_nothing() {
    let place = place_following(Server::Sqlite, MARKER);
    mark(&place, "W45", "2026-11-08T06:30:00Z");
    assert_eq!(
        cycle_of(&place.command(&["preview", "job", "--json"])),
        "W45"
    );
    assert!(
        !place.path(".writeback").exists(),
        "a preview leaves nothing"
    );
    assert_eq!(
        place
            .command(&["test", "job", "--record", "A1", "--rollback"])
            .code,
        0
    );
    assert_eq!(ledger(&place, "SELECT cycle FROM cycles"), "\n");
    follow(&place, "announced = true", "job");
    let arguments = [
        "cycle",
        "health",
        "--id",
        "W46",
        "--completed-at",
        "2026-11-15T06:30:00Z",
    ];
    assert_eq!(place.command(&arguments).code, 0);
    assert_eq!(
        cycle_of(&place.command(&["preview", "job", "--json"])),
        "W46"
    );
    assert_eq!(place.command(&["test", "job", "--record", "A1"]).code, 0);
    assert_eq!(
        place.query("SELECT note FROM accounts"),
        "note\n2026-11-15T06:30:00Z\n"
    );
}

#[test]
fn a_job_has_one_account_of_a_cycle_however_often_it_runs() {
    let place = place_following(Server::Sqlite, MARKER);
    mark(&place, "W46", "2026-11-15T06:30:00Z");
    place.run();
    place.file("data/scores.csv", "id,score,note\nA1,3,\n");
    let again = place.command(&["run", "job", "--again", "--json"]);
    assert_eq!(
        again.summary(),
        "1 read = 1 updated",
        "who insists on a run gets one"
    );
    assert_eq!(
        ledger(&place, "SELECT job, cycle, fate FROM job_cycles"),
        "job,cycle,fate\njob,W46,begun\n"
    );
    assert_eq!(ledger(&place, "SELECT count(*) AS n FROM runs"), "n\n2\n");
}

#[test]
fn a_cycle_older_than_one_begun_is_not_written_even_if_that_one_failed() {
    let place = place_following(Server::Sqlite, MARKER);
    let schema = "CREATE TABLE scores (id VARCHAR(18) PRIMARY KEY, score INTEGER);\n\
                  SELECT id, abs(score) AS score FROM raw;\n";
    // The smallest number has no absolute value: the query begins and then fails.
    place.table(
        "raw",
        "id VARCHAR(18), score INTEGER",
        "id,score\nA1,-9223372036854775808\n",
    );
    place.file("sql/scores.sql", schema).file(
        "schedules/job.toml",
        &format!(
            "[cadence]\ndashboard = 'health'\n\n{}",
            write_back(
                "scores",
                "accounts",
                "source = 'crm'",
                "id = 'id'\nscore = 'score'"
            )
        ),
    );
    mark(&place, "W46", "2026-11-15T06:30:00Z");
    let failed = place.run();
    assert_eq!(
        (status_of(&failed).as_str(), failed.run()),
        ("failed", 1),
        "{failed}"
    );
    place.execute("UPDATE raw SET score = 2");
    mark(&place, "W45", "2026-11-08T06:30:00Z");
    let older = place.command(&["run", "job", "--json", "--cycle", "W45"]);
    assert_eq!(status_of(&older), "nothing_new", "{older}");
    mark(&place, "W46", "2026-11-15T06:30:00Z");
    let newest = place.run();
    assert_eq!(
        (status_of(&newest).as_str(), cycle_of(&newest).as_str()),
        ("succeeded", "W46"),
        "{newest}"
    );
}

#[test]
fn a_run_of_one_write_back_keeps_older_cycles_out_and_does_not_deliver_the_cycle() {
    let place = place_following(Server::Sqlite, MARKER);
    let second = write_back("scores", "others", "name = 'again'", FIELDS);
    place.table(
        "others",
        "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40)",
        "id,score\nA1,1\n",
    );
    place.file(
        "schedules/job.toml",
        &(place.text("schedules/job.toml") + &second),
    );
    mark(&place, "W46", "2026-11-15T06:30:00Z");
    let one = place.command(&["run", "job", "--json", "--write-back", "scores"]);
    assert_eq!(one.summary(), "1 read = 1 updated", "{one}");
    mark(&place, "W45", "2026-11-08T06:30:00Z");
    let older = place.command(&["run", "job", "--json", "--cycle", "W45"]);
    assert_eq!(status_of(&older), "nothing_new", "{older}");
    mark(&place, "W46", "2026-11-15T06:30:00Z");
    assert_eq!(place.run().code, 0);
    let runs = ledger(
        &place,
        "SELECT run, cycle, status, write_back FROM runs ORDER BY run",
    );
    assert_eq!(
        runs,
        "run,cycle,status,write_back\n1,W46,succeeded,scores\n2,W46,succeeded,\n"
    );
}

#[test]
fn a_ledger_of_the_first_version_goes_on_where_it_stood() {
    let place = place_following(Server::Sqlite, MARKER);
    mark(&place, "W46", "2026-11-15T06:30:00Z");
    assert_eq!(place.run().code, 0);
    // What the first version had: its tables, made by its own scripts, with what the run left.
    let scripts = ["0001_runs.sql", "0002_resumable.sql"];
    let tables = scripts.map(|script| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("sql/ledger")
            .join(script);
        std::fs::read_to_string(path).expect("a script")
    });
    let contents = format!(
        "ATTACH '{}' AS now;
         CREATE TABLE _sqlx_migrations AS SELECT * FROM now._sqlx_migrations WHERE version <= {};
         INSERT INTO runs SELECT run, job, cycle, cycle_completed_at, status, started_at, finished_at, error, job_digest,
                                 resumable FROM now.runs;
         INSERT INTO write_backs SELECT write_back, run, position, name, read, finished, seconds FROM now.write_backs;",
        place.path(".writeback/ledger.db").display(),
        scripts.len(),
    );
    place.execute_file("first.db", &(tables.concat() + &contents));
    for file in ["ledger.db-wal", "ledger.db-shm"] {
        // They are gone already if the program closed its ledger in order.
        drop(std::fs::remove_file(place.path(".writeback").join(file)));
    }
    std::fs::rename(place.path("first.db"), place.path(".writeback/ledger.db")).expect("renamed");
    mark(&place, "W45", "2026-11-08T06:30:00Z");
    let older = place.run();
    assert_eq!(status_of(&older), "nothing_new", "{older}");
    let known = ledger(&place, "SELECT cycle, fate FROM job_cycles");
    assert_eq!(known, "cycle,fate\nW46,begun\n");
}

#[test]
fn a_cycle_that_was_noticed_waits_for_the_next_gate_however_old_it_is() {
    let place = place_following(Server::Sqlite, "announced = true");
    let now = Utc::now();
    let [completed_at, passed, opens] = [-7 * 24, -6 * 24, 24]
        .map(|hours| (now + TimeDelta::hours(hours)).to_rfc3339_opts(SecondsFormat::Secs, true));
    let job = place.text("schedules/job.toml");
    let gates = format!("dashboard = 'health'\nat = ['{passed}', '{opens}']");
    place.file(
        "schedules/job.toml",
        &job.replace("dashboard = 'health'", &gates),
    );
    let announced = place.command(&[
        "cycle",
        "health",
        "--id",
        "W46",
        "--completed-at",
        &completed_at,
    ]);
    assert_eq!(announced.code, 0, "{announced}");
    let next = place.command(&["next", "job"]);
    let told = "would not run now: cycle `W46` waits for the gate";
    assert!(next.stdout.contains(told), "{next}");
}
