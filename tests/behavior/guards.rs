//! Guards: the large mistake stops before the first write, until a person lets that one cycle
//! through.

use std::fs;

use chrono::Utc;
use serde_json::{Value, json};

use crate::harness::{FIELDS, Ran, Server, Workspace, write_back};

const ROWS: &str = "id,score,note,phone\nA1,1,a,\nA2,2,b,\nA3,3,c,\nA4,4,,\n";
/// Three of four accounts change, two of them lose their note, and nobody has A9.
const SOURCE: &str = "id,score,note\nA1,10,\nA2,20,\nA3,30,c\nA4,4,\nA9,9,\n";
const WRITTEN: &str = "id,score,note,phone\nA1,10,,\nA2,20,,\nA3,30,c,\nA4,4,,\n";

fn place(server: Server, settings: &str) -> Workspace {
    let place = Workspace::accounts(server, ROWS, SOURCE);
    place.job(settings, FIELDS).count_writes("accounts");
    place
}

/// What stopped a run: the guards' names in order.
/// Panics: if none did, or the exit code does not say so.
fn stopped_by(ran: &Ran) -> Vec<String> {
    let report = ran.json();
    assert_eq!(
        (ran.code, report["status"].as_str()),
        (3, Some("guarded")),
        "{ran}"
    );
    let guards = report["guards"]
        .as_array()
        .unwrap_or_else(|| panic!("no guards in {ran}"));
    guards
        .iter()
        .map(|guard| guard["guard"].as_str().expect("a name").to_owned())
        .collect()
}

fn untouched(place: &Workspace) {
    assert_eq!(
        (place.rows("accounts"), place.writes()),
        (ROWS.to_owned(), 0),
        "on {}",
        place.server
    );
}

/// Packages that stand, of any run.
fn packages(place: &Workspace) -> Vec<String> {
    let names: Vec<String> = place
        .state()
        .into_iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    names
        .into_iter()
        .filter(|name| name.ends_with("manifest.json"))
        .collect()
}

#[test]
fn each_guard_stops_a_run_before_its_first_write_and_says_why() {
    for server in Server::ALL {
        for (setting, message) in [
            (
                "min_read = 6",
                "5 records read, at least 6 expected (`min_read`)",
            ),
            (
                "max_changed = '74 %'",
                "3 of 4 records (75 %) would change, at most 74 % may (`max_changed`)",
            ),
            (
                "max_changed = 2",
                "3 of 4 records would change, at most 2 may (`max_changed`)",
            ),
            (
                "max_nulls = '49.9 %'",
                "2 of 4 rows (50 %) would lose the value of `note`, at most 49.9 % may (`max_nulls`)",
            ),
            (
                "max_nulls = 1",
                "2 of 4 rows would lose the value of `note`, at most 1 may (`max_nulls`)",
            ),
            (
                "require_test = true",
                "this version of it was never tested (`require_test`)",
            ),
        ] {
            let place = place(server, setting);
            let run = place.run();
            let guard = setting.split(' ').next().expect("a key");
            assert_eq!(stopped_by(&run), [guard], "on {server}");
            assert_eq!(
                run.json()["guards"][0]["message"],
                message,
                "on {server}: {run}"
            );
            untouched(&place);
            let text = place.command(&["run", "job"]);
            assert_eq!(text.code, 3, "on {server}: {text}");
            for part in [
                message,
                "scores",
                "before the first write",
                "`writeback run job --approve`",
            ] {
                assert!(
                    text.stdout.contains(part),
                    "`{part}` is missing on {server}: {text}"
                );
            }
            untouched(&place);
        }
    }
}

#[test]
fn bounds_that_are_kept_stop_nothing() {
    for server in Server::ALL {
        let kept = "min_read = 5\nmax_changed = '75 %'\nmax_nulls = '50 %'\nmax_rejected = 0";
        let place = place(server, kept);
        assert_eq!(
            place.run().summary(),
            "5 read = 3 updated + 1 unchanged + 1 skipped",
            "on {server}"
        );
        assert_eq!(
            (place.rows("accounts"), place.writes()),
            (WRITTEN.to_owned(), 3),
            "on {server}"
        );
        // What is written already is no change, so that the next run keeps a narrower one.
        place.job("max_changed = 0\nmax_nulls = 0", FIELDS);
        assert_eq!(
            place.run().summary(),
            "5 read = 4 unchanged + 1 skipped",
            "on {server}"
        );
    }
}

#[test]
fn records_that_would_be_rejected_count_wherever_they_fail_before_the_first_write() {
    for server in Server::ALL {
        // One does not fit its schema, two share a key, and one matches two rows.
        let source = "id,score,note\nA1,x,\nA2,1,\nA2,2,\nA3,5,\nA4,6,\n";
        let place = Workspace::on(server);
        place.table(
            "accounts",
            "id VARCHAR(18), score INTEGER, note VARCHAR(40)",
            "id,score\nA1,1\nA3,3\nA3,4\nA4,4\n",
        );
        place
            .scores(crate::harness::SCORES, source)
            .job("max_rejected = 4", FIELDS)
            .count_writes("accounts");
        let preview = place.command(&["preview", "job", "--json"]);
        assert_eq!(
            (preview.code, &preview.json()["write_backs"][0]["guards"]),
            (1, &json!([])),
            "on {server}: {preview}"
        );
        place.job("max_rejected = 3", FIELDS);
        let run = place.run();
        assert_eq!(stopped_by(&run), ["max_rejected"], "on {server}");
        assert_eq!(
            (
                &run.json()["guards"][0]["records"],
                &run.json()["guards"][0]["of"]
            ),
            (&json!(4), &json!(5))
        );
        assert_eq!(place.writes(), 0, "on {server}");
        place.job("max_rejected = 4", FIELDS);
        assert_eq!(
            place.run().summary(),
            "5 read = 1 updated + 4 rejected",
            "on {server}"
        );
    }
}

#[test]
fn an_empty_source_stops_unless_it_may_be_empty() {
    for server in Server::ALL {
        let place = place(server, "");
        place.file("data/scores.csv", "id,score,note\n");
        let run = place.run();
        assert_eq!(stopped_by(&run), ["min_read"], "on {server}");
        assert!(
            run.json()["guards"][0]["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("0 records read")),
            "{run}"
        );
        untouched(&place);
        place.job("min_read = 0", FIELDS);
        assert_eq!(place.run().summary(), "0 read", "on {server}");
    }
}

#[test]
fn an_approval_lets_what_was_judged_through_once() {
    for server in Server::ALL {
        let place = place(server, "max_changed = 2");
        let stopped = place.run();
        assert_eq!(stopped_by(&stopped), ["max_changed"], "on {server}");
        assert_eq!(packages(&place).len(), 1, "on {server}");
        // What was judged is what goes, whatever the source holds by now.
        place.file("data/scores.csv", "id,score,note\nA1,666,\n");
        let approved = place.command(&["run", "job", "--approve", "--json"]);
        assert_eq!(
            approved.summary(),
            "5 read = 3 updated + 1 unchanged + 1 skipped",
            "on {server}"
        );
        assert_eq!(
            approved.run(),
            stopped.run(),
            "on {server}: it is the same run"
        );
        assert_eq!(place.rows("accounts"), WRITTEN, "on {server}");
        assert_eq!(packages(&place), [""; 0], "on {server}");

        let entry = place.command(&["runs", "1", "--json"]).json();
        assert_eq!(
            (&entry["status"], &entry["guards"][0]["guard"]),
            (&json!("succeeded"), &json!("max_changed"))
        );
        assert!(
            entry["approval"]["approved_by"]
                .as_str()
                .is_some_and(|name| !name.is_empty()),
            "{entry}"
        );
        assert!(entry["approval"]["approved_at"].is_string(), "{entry}");
        let text = place.command(&["runs", "1"]).stdout;
        assert!(
            text.contains("would change") && text.contains("approved by"),
            "{text}"
        );

        // The next one is judged anew.
        place.file("data/scores.csv", &SOURCE.replace("0,", "7,"));
        place.writes();
        assert_eq!(stopped_by(&place.run()), ["max_changed"], "on {server}");
        assert_eq!(
            (place.rows("accounts").as_str(), place.writes()),
            (WRITTEN, 0),
            "on {server}"
        );
    }
}

#[test]
fn without_an_approval_the_same_cycle_is_stopped_again_and_leaves_one_package_at_most() {
    for server in Server::ALL {
        let place = place(server, "max_changed = 2");
        follow(&place);
        announce(&place, "W45");
        for run in 1..=3 {
            let ran = place.run();
            assert_eq!(
                (stopped_by(&ran), ran.run()),
                (vec!["max_changed".to_owned()], run),
                "on {server}"
            );
            assert_eq!(
                ran.json()["approve"],
                "writeback run job --cycle W45 --approve",
                "{ran}"
            );
            untouched(&place);
            assert_eq!(packages(&place).len(), 1, "on {server}");
        }
        // A source that was put right needs no approval.
        place.file("data/scores.csv", "id,score,note\nA1,10,a\n");
        assert_eq!(place.run().summary(), "1 read = 1 updated", "on {server}");
        assert_eq!(packages(&place), [""; 0], "on {server}");
        let statuses: Vec<String> = place
            .history()
            .into_iter()
            .map(|(_, status)| status)
            .collect();
        assert_eq!(
            statuses,
            ["guarded", "guarded", "guarded", "succeeded"],
            "on {server}"
        );
    }
}

#[test]
fn only_what_guards_stopped_as_it_stands_can_be_approved() {
    let refused = |place: &Workspace, arguments: &[&str], why: &str| {
        let ran = place.command(&[&["run", "job", "--approve"], arguments].concat());
        assert!(
            ran.code == 2 && ran.stderr.contains(why) && ran.stderr.contains("hint:"),
            "{ran}"
        );
        untouched(place);
    };
    let place = place(Server::Sqlite, "max_changed = 2");
    follow(&place);
    announce(&place, "W45");
    refused(&place, &[], "no guard stopped its latest run");
    assert_eq!(stopped_by(&place.run()), ["max_changed"]);
    announce(&place, "W46");
    refused(&place, &[], "guards stopped cycle `W45`, not `W46`");
    place.job("max_changed = 3", FIELDS);
    follow(&place);
    refused(&place, &["--cycle", "W45"], "other files");
    place.job("max_changed = 2", FIELDS);
    follow(&place);
    let approved = place.command(&["run", "job", "--approve", "--cycle", "W45", "--json"]);
    assert_eq!(
        approved.summary(),
        "5 read = 3 updated + 1 unchanged + 1 skipped"
    );
    place.writes();
    let again = place.command(&["run", "job", "--approve", "--cycle", "W45"]);
    assert!(
        again.code == 2 && again.stderr.contains("no guard stopped its latest run"),
        "{again}"
    );
    assert_eq!(place.writes(), 0);
}

#[test]
fn an_approved_run_that_was_cut_off_needs_no_second_approval() {
    for server in [Server::Postgres, Server::MariaDb] {
        let place = place(server, "max_changed = 2");
        let limits = "lock_timeout = '1s'\nattempts_max = 1\n";
        let crm = place.connection("crm").trim_end().to_owned() + "\n" + limits;
        place.file("writeback.toml", &(place.connection("files") + &crm));
        let stopped = place.run();
        assert_eq!(stopped_by(&stopped), ["max_changed"], "on {server}");
        place.execute("BEGIN; UPDATE accounts SET phone = 'held' WHERE id = 'A1'");
        let approved = place.command(&["run", "job", "--approve"]);
        assert_eq!(approved.code, 2, "on {server}: {approved}");
        place.execute("ROLLBACK");
        untouched(&place);
        let next = place.run();
        assert_eq!(
            next.summary(),
            "5 read = 3 updated + 1 unchanged + 1 skipped",
            "on {server}"
        );
        assert_eq!(
            (next.run(), place.rows("accounts").as_str()),
            (stopped.run(), WRITTEN),
            "on {server}"
        );
    }
}

#[test]
fn a_job_goes_ahead_only_if_none_of_its_write_backs_is_stopped() {
    for server in Server::ALL {
        let place = place(server, "");
        let free = write_back(
            "scores",
            "accounts",
            "ignore = ['note']",
            "id = 'id'\nscore = 'score'",
        );
        let guarded = write_back(
            "notes",
            "accounts",
            "schema = 'sql/scores.sql'\nmax_nulls = 0\nignore = ['score']",
            "id = 'id'\nnote = 'note'",
        );
        place.file("schedules/job.toml", &(free + &guarded));
        let run = place.run();
        assert_eq!(stopped_by(&run), ["max_nulls"], "on {server}");
        assert_eq!(
            run.json()["guards"][0]["write_back"],
            "notes",
            "on {server}"
        );
        untouched(&place);
        let alone = place.command(&["run", "job", "--write-back", "scores", "--json"]);
        assert_eq!(
            alone.summary(),
            "5 read = 3 updated + 1 unchanged + 1 skipped",
            "on {server}"
        );
    }
}

#[test]
fn nulls_that_take_no_value_away_stop_nothing() {
    for server in Server::ALL {
        for (settings, fields) in [
            ("max_nulls = 0\nnulls = 'keep'", FIELDS),
            ("max_nulls = 0\nmatching = 'create_only'", FIELDS),
            (
                "max_nulls = 0",
                "id = 'id'\nscore = 'score'\nnote = { column = 'note', when = 'if_empty' }",
            ),
        ] {
            let place = place(server, "");
            place.job(settings, fields);
            assert_eq!(place.run().code, 0, "{settings} on {server}");
        }
        // A NULL over nothing, and over an empty text.
        let place = Workspace::accounts(
            server,
            "id,score,note,phone\nA1,1,,\nA2,2,\"\",\n",
            "id,score,note\nA1,10,\nA2,20,\n",
        );
        place.job("max_nulls = 0", FIELDS);
        assert_eq!(place.run().summary(), "2 read = 2 updated", "on {server}");
    }
}

#[test]
fn what_was_never_tested_does_not_run() {
    for server in Server::ALL {
        let place = place(server, "require_test = true");
        let command = "writeback test job --write-back scores --record KEY --rollback";
        let stopped = place.command(&["run", "job"]);
        assert!(
            stopped.code == 3 && stopped.stdout.contains(command),
            "on {server}: {stopped}"
        );
        // A record that reaches no row shows nothing.
        for record in ["A9", "A7"] {
            place.command(&["test", "job", "--record", record, "--rollback"]);
            assert_eq!(
                stopped_by(&place.run()),
                ["require_test"],
                "{record} on {server}"
            );
        }
        let test = place.command(&["test", "job", "--record", "A1", "--rollback"]);
        assert_eq!(test.code, 0, "on {server}: {test}");
        place.writes();
        assert_eq!(
            place.run().summary(),
            "5 read = 3 updated + 1 unchanged + 1 skipped",
            "on {server}"
        );

        // The same said otherwise is the same version; what writes otherwise is not.
        let tidied = "# tidied up\nbatch_size = 2\nmax_changed = '99 %'\nrequire_test = true\n\
            keep_before_images = true\nretention = '40 days'";
        place.job(tidied, "note = 'note'\nid = 'id' # the key\nscore='score'");
        assert_eq!(place.run().code, 0, "on {server}");
        for fields in [
            "id = 'id'\nscore = 'score'\nnote = { method = 'trim', column = 'note' }",
            "id = 'id'\nscore = 'score'\nnote = { column = 'note', when = 'if_empty' }",
        ] {
            place.job("require_test = true", fields);
            assert_eq!(
                stopped_by(&place.run()),
                ["require_test"],
                "{fields} on {server}"
            );
        }
        place.job("require_test = true", FIELDS);
        assert_eq!(place.run().code, 0, "on {server}");
        place.scores(
            "id VARCHAR(18) PRIMARY KEY, score SMALLINT, note VARCHAR(40)",
            SOURCE,
        );
        assert_eq!(stopped_by(&place.run()), ["require_test"], "on {server}");
    }
}

#[test]
fn a_version_that_has_run_counts_as_tested() {
    let place = place(Server::Sqlite, "require_test = true");
    assert_eq!(stopped_by(&place.run()), ["require_test"]);
    assert_eq!(
        place
            .command(&["run", "job", "--approve", "--json"])
            .summary()
            .lines()
            .count(),
        1
    );
    assert_eq!(place.run().code, 0, "it was approved, and has run");
}

#[test]
fn defaults_hold_for_write_backs_that_do_not_say_otherwise() {
    let place = place(Server::Sqlite, "");
    let defaults =
        "[defaults]\nmin_read = 3\nmax_changed = '10 %'\nmax_nulls = 1\nrequire_test = true\n";
    let project = place.text("writeback.toml") + defaults;
    place.file("writeback.toml", &project);
    assert_eq!(
        stopped_by(&place.run()),
        ["require_test", "max_changed", "max_nulls"]
    );
    let check = place.command(&["check", "job", "--json"]);
    let expected = json!({
        "min_read": 3, "max_rejected": null, "max_skipped": null, "max_changed": "10 %", "max_nulls": 1, "max_calls": null,
        "require_test": true,
    });
    assert_eq!(
        check.json()["jobs"][0]["write_backs"][0]["guards"],
        expected,
        "{check}"
    );
    let text = place.command(&["check", "job"]).stdout;
    assert!(
        text.contains(
            "guards: at least 3 read, at most 10 % changed, at most 1 of a column's values"
        ),
        "{text}"
    );
    place.job(
        "max_changed = 'off'\nmax_nulls = '50 %'\nrequire_test = false",
        FIELDS,
    );
    assert_eq!(place.run().code, 0);
}

#[test]
fn mistakes_in_guards_are_told_with_their_place() {
    let place = place(
        Server::Sqlite,
        "max_changed = '110 %'\nmax_nulls = 'none'\nmin_read = -1\nmax_rejected = 1.5\nrequire_test = 'yes'",
    );
    let check = place.command(&["check", "job"]);
    assert_eq!(check.code, 2, "{check}");
    for part in [
        "`max_changed` is `110 %`",
        "`max_nulls` is `none`",
        "`min_read` is not a whole number",
        "`max_rejected` is `1.5`",
        "`require_test` is a string",
    ] {
        assert!(check.stderr.contains(part), "`{part}` is missing: {check}");
    }
}

#[test]
fn preview_says_which_guards_would_stop_the_run_and_stops_nothing() {
    for server in Server::ALL {
        let place = place(
            server,
            "max_changed = 2\nmax_nulls = 1\nrequire_test = true",
        );
        let preview = place.command(&["preview", "job", "--json"]);
        assert_eq!(preview.code, 3, "on {server}: {preview}");
        let of_run = place.run().json()["guards"].clone();
        assert_eq!(
            preview.json()["write_backs"][0]["guards"],
            of_run,
            "on {server}: {preview}"
        );
        let text = place.command(&["preview", "job", "--limit", "1"]);
        assert!(
            text.stdout.contains("guards would stop the run") && text.stdout.contains("`note`"),
            "{text}"
        );
        untouched(&place);
    }
}

#[test]
fn history_says_which_runs_guards_stopped() {
    let place = place(Server::Sqlite, "max_changed = 2");
    place.run();
    let history = place.command(&["runs"]).stdout;
    assert!(
        history.contains("guarded") && history.contains("3 of 4 records would change"),
        "{history}"
    );
    let run = place.command(&["runs", "1"]).stdout;
    assert!(
        run.contains("run 1 was stopped by guards") && run.contains("3 of 4 records would change"),
        "{run}"
    );
}

#[test]
fn a_guarded_or_approved_run_that_is_killed_at_any_instant_ends_as_if_nobody_had() {
    for server in Server::ALL {
        // Killed while it is judged and stopped: nothing is written, and the guard stops whatever
        // comes next.
        let place = place(server, "max_changed = 2");
        let died = |arguments: &[&str], change: usize| {
            place
                .command_with(arguments, &[("WRITEBACK_ABORT_AT", &change.to_string())])
                .stderr
                .contains("dies here")
        };
        let changes = (1..)
            .take_while(|change| died(&["run", "job"], *change))
            .count();
        assert!(changes > 1, "on {server}: {changes}");
        assert_eq!(stopped_by(&place.run()), ["max_changed"], "on {server}");
        untouched(&place);
        assert_eq!(packages(&place).len(), 1, "on {server}");

        // Killed while it is approved and at work: whoever approves again brings it on, and nothing
        // is written twice.
        let changes = (1..)
            .take_while(|change| died(&["run", "job", "--approve"], *change))
            .count();
        assert!(changes > 5, "on {server}: {changes}");
        assert_eq!(
            (place.rows("accounts"), place.writes()),
            (WRITTEN.to_owned(), 3),
            "on {server}"
        );
        assert_eq!(
            place.run().summary(),
            "5 read = 4 unchanged + 1 skipped",
            "on {server}"
        );
        assert_eq!(packages(&place), [""; 0], "on {server}");
        assert_eq!(
            latest(&place).map(|(_, status)| status).as_deref(),
            Some("succeeded"),
            "on {server}"
        );
    }
}

/// Lets the job follow a dashboard whose cycles are announced.
fn follow(place: &Workspace) {
    let project = place.connection("files")
        + &place.connection("crm")
        + "[dashboards.health]\nannounced = true\n";
    let job = place.text("schedules/job.toml");
    place.file("writeback.toml", &project);
    place.file(
        "schedules/job.toml",
        &format!("[cadence]\ndashboard = 'health'\n\n{job}"),
    );
}

fn announce(place: &Workspace, id: &str) {
    let at = Utc::now().to_rfc3339();
    let announced = place.command(&["cycle", "health", "--id", id, "--completed-at", &at]);
    assert_eq!(announced.code, 0, "{announced}");
}

/// The latest of a cycle's runs.
fn latest(place: &Workspace) -> Option<(String, String)> {
    place.history().pop()
}

fn run_of(cycle: &str, status: &str) -> Option<(String, String)> {
    Some((cycle.to_owned(), status.to_owned()))
}

#[test]
fn the_scheduler_does_not_slip_past_a_guard_and_judges_the_next_cycle_anew() {
    for server in Server::ALL {
        let place = place(server, "max_changed = 2");
        follow(&place);
        let mut serving = place.serve(&[]);
        announce(&place, "W45");
        place.wait_until("W45", |place| latest(place) == run_of("W45", "guarded"));
        serving
            .wait_for_log("waiting for approval")
            .wait_for_log("3 of 4 records would change");
        serving.wait_for_log("cycle `W45` waits for approval");
        serving.kill();

        // Neither does another process.
        let mut serving = place.serve(&[]);
        serving.wait_for_log("cycle `W45` waits for approval");
        assert_eq!(place.history().len(), 1, "on {server}");
        untouched(&place);
        let status = place.command(&["status"]).stdout;
        assert!(
            status.contains("cycle `W45` waits for approval"),
            "{status}"
        );

        announce(&place, "W46");
        place.wait_until("W46", |place| latest(place) == run_of("W46", "guarded"));
        assert_eq!(
            packages(&place).len(),
            1,
            "on {server}: nobody can approve W45 any more"
        );
        untouched(&place);
        let approved = place.command(&["run", "job", "--cycle", "W46", "--approve", "--json"]);
        assert_eq!(
            approved.summary(),
            "5 read = 3 updated + 1 unchanged + 1 skipped",
            "on {server}"
        );
        assert_eq!(
            place.history(),
            [run_of("W45", "guarded"), run_of("W46", "succeeded")].map(Option::unwrap)
        );

        // What keeps the bound needs nobody.
        place.file("data/scores.csv", "id,score,note\nA1,11,\n");
        announce(&place, "W47");
        place.wait_until("W47", |place| latest(place) == run_of("W47", "succeeded"));
        assert_eq!(packages(&place), [""; 0], "on {server}");
        let (code, log) = serving.stop();
        assert_eq!(code, Some(0), "on {server}: {log}");
    }
}

#[test]
fn a_run_without_guards_tells_machines_so() {
    let place = place(Server::Sqlite, "");
    let run = place.run().json();
    assert_eq!(
        (&run["guards"], &run["approve"]),
        (&json!([]), &Value::Null),
        "{run}"
    );
    assert!(fs::read_dir(place.path(".writeback/runs/1")).is_ok());
}

#[test]
fn more_skipped_records_than_allowed_stop_a_run_and_parked_ones_do_not_count() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\nA2,1,,\n",
        "id,score,note\nA1,2,\nA2,2,\nA8,2,\nA9,2,\n",
    );
    place.job("max_skipped = '25 %'", FIELDS);
    let stopped = place.command(&["run", "job"]);
    assert_eq!(stopped.code, 3, "{stopped}");
    let told = "2 of 4 records (50 %) would be skipped, at most 25 % may (`max_skipped`)";
    assert!(stopped.stdout.contains(told), "{stopped}");
    let until = ["--until", "2999-12-01", "--reason", "new"];
    place.command(&[&["park", "job", "--record", "A9"][..], &until[..]].concat());
    assert_eq!(place.run().summary(), "4 read = 2 updated + 2 skipped");
}
