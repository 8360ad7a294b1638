//! Canaries: a few records go first and are looked at; the rest follows only when they are well.

use serde_json::{Value, json};

use crate::harness::{Does, FIELDS, Ran, SCORES, Server, Workspace, write_back};
use crate::values::TRIPS;

/// Accounts that the job writes; the first and the last are `A100` and `A149`.
const ACCOUNTS: std::ops::Range<u32> = 100..150;

fn csv(header: &str, row: impl Fn(u32) -> String) -> String {
    header.to_owned()
        + "\n"
        + &ACCOUNTS
            .map(|number| row(number) + "\n")
            .collect::<String>()
}

fn rows() -> String {
    csv("id,score,note,phone", |number| {
        format!("A{number},{},old,555", number % 7)
    })
}

fn source() -> String {
    csv("id,score,note", |number| format!("A{number},{number},new"))
}

/// Fifty accounts, all of which change.
fn place(server: Server, settings: &str) -> Workspace {
    let place = Workspace::accounts(server, &rows(), &source());
    place.job(settings, FIELDS);
    place
}

/// Keys of the accounts that hold what the source has, whatever the case of their note.
fn written(place: &Workspace) -> Vec<String> {
    let rows = place.query("SELECT id FROM accounts WHERE lower(note) = 'new'");
    rows.lines().skip(1).map(str::to_owned).collect()
}

fn canary(run: &Ran) -> Value {
    run.json()["write_backs"][0]["canary"].clone()
}

/// What a run that its canary stopped says.
/// Panics: if it ended otherwise.
fn stopped(run: &Ran) -> String {
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("is in trouble: "), "{run}");
    run.stderr.clone()
}

#[test]
fn what_goes_first_is_well_and_the_rest_follows() {
    for server in Server::ALL {
        for (setting, records) in [
            ("'10 %'", 5),
            ("7", 7),
            ("'0.01 %'", 1),
            ("'100 %'", 50),
            ("1000", 50),
        ] {
            let place = place(server, &format!("canary = {setting}\nbatch_size = 3"));
            let run = place.run();
            assert_eq!(
                run.summary(),
                "50 read = 50 updated",
                "{setting} on {server}"
            );
            assert_eq!(
                canary(&run),
                json!({ "records": records, "read_back": records }),
                "{setting} on {server}"
            );
            assert_eq!(written(&place).len(), 50, "{setting} on {server}");
            let shown = place.command(&["runs", "1"]);
            let line = format!(
                "canary of scores: {records} record{}",
                if records == 1 { "" } else { "s" }
            );
            assert!(
                shown.stdout.contains(&line),
                "{setting} on {server}: {shown}"
            );
        }
    }
}

#[test]
fn the_summary_tells_what_went_first() {
    let place = place(Server::Sqlite, "canary = 14");
    let run = place.command(&["run", "job"]);
    assert!(
        run.stdout
            .contains("\ncanary of scores: 14 records, checked (14 read back)\n"),
        "{run}"
    );
    place.job("", FIELDS);
    let run = place.run();
    assert_eq!(canary(&run), Value::Null, "{run}");
}

#[test]
fn a_trigger_that_alters_what_is_written_stops_the_run_after_its_canary_which_undo_takes_back() {
    for server in Server::ALL {
        let place = place(server, "canary = '10 %'\nbatch_size = 2");
        place.shout("shout", "UPDATE");
        let told = stopped(&place.run());
        assert_eq!(
            written(&place),
            ["A104", "A114", "A124", "A134", "A144"].map(str::to_owned),
            "on {server}: {told}"
        );
        let expected = rows();
        let of_canary = |line: &&str| written(&place).iter().any(|key| line.starts_with(key));
        let rest: Vec<&str> = expected.lines().filter(|line| !of_canary(line)).collect();
        let left = place.rows("accounts");
        assert_eq!(
            left.lines()
                .filter(|line| !of_canary(line))
                .collect::<Vec<_>>(),
            rest,
            "on {server}"
        );
        for part in [
            "record `A104` was sent `new` in column `note` and holds `NEW` (most likely trigger `shout`)",
            "and 2 more like these",
            "`writeback undo 1 --write-back scores --even-changed` takes the canary back",
        ] {
            assert!(
                told.contains(part),
                "`{part}` is missing on {server}: {told}"
            );
        }
        let history = place.command(&["runs", "--json"]).json();
        assert_eq!(
            history["runs"][0]["status"], "failed",
            "on {server}: {history}"
        );
        assert!(
            history["runs"][0]["error"]
                .as_str()
                .unwrap()
                .contains("holds `NEW`"),
            "on {server}: {history}"
        );
        place.drop_trigger("shout");
        let kept = place.command(&["undo", "1", "--preview"]);
        assert!(
            kept.stdout
                .contains("hint: `writeback undo 1 --even-changed` also restores"),
            "on {server}: {kept}"
        );
        let undone = place.command(&[
            "undo",
            "1",
            "--write-back",
            "scores",
            "--even-changed",
            "--json",
        ]);
        assert_eq!(
            undone.summary(),
            "5 read = 5 updated",
            "on {server}: {undone}"
        );
        assert_eq!(place.rows("accounts"), rows(), "on {server}");
        let run = place.run();
        assert_eq!(run.summary(), "50 read = 50 updated", "on {server}");
        assert_eq!(canary(&run)["records"], 5, "on {server}");
    }
}

#[test]
fn a_trigger_that_alters_what_is_created_is_found_and_undo_leaves_nothing_of_it() {
    for server in Server::ALL {
        for mode in ["upsert", "create_only"] {
            let place = Workspace::accounts(server, "id,score,note,phone\n", &source());
            place.job(&format!("canary = 3\nmatching = '{mode}'"), FIELDS);
            let one_more = Does::Set("score", "NEW.score + 1");
            place.trigger("add_one", "INSERT ON accounts", "true", one_more);
            let told = stopped(&place.run());
            let held = "id,score,note,phone\nA107,108,new,unknown\nA124,125,new,unknown\nA141,142,new,unknown\n";
            assert_eq!(place.rows("accounts"), held, "{mode} on {server}: {told}");
            for part in [
                "record `A107` was sent `107` in column `score` and holds `108` (most likely trigger `add_one`)",
                "`writeback undo 1 --write-back scores --even-changed --delete-created` takes the canary back",
            ] {
                assert!(
                    told.contains(part),
                    "`{part}` is missing, {mode} on {server}: {told}"
                );
            }
            let undo = [
                "undo",
                "1",
                "--write-back",
                "scores",
                "--even-changed",
                "--delete-created",
                "--json",
            ];
            assert_eq!(
                place.command(&undo).summary(),
                "3 read = 3 deleted",
                "{mode} on {server}"
            );
            assert_eq!(place.rows("accounts"), "\n", "{mode} on {server}");
        }
    }
}

#[test]
fn records_that_the_destination_refuses_stop_the_run_unless_so_many_may_be() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER CHECK (score NOT IN (144, 145, 146)), note VARCHAR(40), phone VARCHAR(20)";
        place
            .table("accounts", columns, &rows())
            .scores(SCORES, &source());
        place.job("canary = 5", FIELDS);
        let told = stopped(&place.run());
        assert!(
            told.contains("1 of 5 records rejected, none may; record `A144`: "),
            "on {server}: {told}"
        );
        assert!(
            told.contains("`writeback undo 1 --write-back scores` takes the canary back"),
            "on {server}: {told}"
        );
        assert_eq!(written(&place).len(), 4, "on {server}: {told}");
        // They are written already, and read back all the same.
        let again = stopped(&place.run());
        assert!(
            again.contains("1 of 5 records rejected"),
            "on {server}: {again}"
        );
        assert_eq!(written(&place).len(), 4, "on {server}");
        place.job("canary = 5\nmax_rejected = '19 %'", FIELDS);
        let told = stopped(&place.run());
        assert!(
            told.contains("1 of 5 records rejected, at most 19 % may (`max_rejected`)"),
            "on {server}: {told}"
        );
        place.job("canary = 5\nmax_rejected = '20 %'", FIELDS);
        let run = place.run();
        assert_eq!(
            run.summary(),
            "50 read = 43 updated + 4 unchanged + 3 rejected",
            "on {server}: {run}"
        );
        assert_eq!(
            canary(&run),
            json!({ "records": 5, "read_back": 4 }),
            "on {server}"
        );
    }
}

#[test]
fn a_retry_of_rejected_records_has_no_canary() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER CHECK (score NOT IN (144, 145, 146)), note VARCHAR(40), phone VARCHAR(20)";
        place
            .table("accounts", columns, &rows())
            .scores(SCORES, &source());
        place.job("canary = 1", FIELDS);
        assert_eq!(
            place.run().summary(),
            "50 read = 47 updated + 3 rejected",
            "on {server}"
        );
        let retried = place.command(&["run", "job", "--only-rejected", "--json"]);
        assert_eq!(
            retried.summary(),
            "3 read = 3 rejected",
            "on {server}: {retried}"
        );
    }
}

#[test]
fn what_a_job_leaves_alone_is_no_trouble() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40), phone VARCHAR(20), cycle VARCHAR(99)";
        place.table(
            "accounts",
            columns,
            "id,score,note,phone\nA1,1,old,\nA2,2,,5\nA3,3,new,3\nA4,4,old,4\n",
        );
        place.scores(
            "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40), phone VARCHAR(20)",
            "id,score,note,phone\nA1,,new,9\nA2,20,new,9\nA3,3,new,3\nA9,9,new,9\n",
        );
        let fields = "id = 'id'\nscore = 'score'\nnote = { column = 'note', when = 'if_empty' }\nphone = 'phone'\n\
                      cycle = { method = 'cycle_id' }";
        place.job("canary = '100 %'\nnulls = 'keep'", fields);
        let run = place.command(&["run", "job", "--cycle", "W1", "--json"]);
        assert_eq!(
            run.summary(),
            "4 read = 2 updated + 1 unchanged + 1 skipped",
            "on {server}: {run}"
        );
        assert_eq!(
            canary(&run),
            json!({ "records": 4, "read_back": 3 }),
            "on {server}"
        );
        let rows =
            "id,score,note,phone,cycle\nA1,1,old,9,W1\nA2,20,new,9,W1\nA3,3,new,3,\nA4,4,old,4,\n";
        assert_eq!(place.rows("accounts"), rows, "on {server}");
    }
}

/// Tells the program behind which change of state it dies.
const ABORT_AT: &str = "WRITEBACK_ABORT_AT";

#[test]
fn a_killed_run_is_taken_up_with_the_canary_it_had() {
    for server in Server::ALL {
        for change in [
            "2 a batch committed",
            "4 record a commit in",
            "1 a canary written",
            "1 pass a canary in",
            "9 a batch committed",
        ] {
            let place = place(server, "canary = 5\nbatch_size = 5");
            let killed = place.command_with(&["run", "job"], &[(ABORT_AT, change)]);
            assert!(
                killed.stderr.contains("dies here"),
                "{change} on {server}: {killed}"
            );
            let passed = change.ends_with("pass a canary in") || change.starts_with('9');
            let known = place
                .query_ledger("SELECT count(*) AS n FROM canaries")
                .unwrap_or_default();
            assert_eq!(
                known,
                format!("n\n{}\n", u8::from(passed)),
                "{change} on {server}"
            );
            let run = place.run();
            assert_eq!(
                (run.run(), run.summary().as_str()),
                (1, "50 read = 50 updated"),
                "{change} on {server}: {run}"
            );
            assert_eq!(
                canary(&run),
                json!({ "records": 5, "read_back": 5 }),
                "{change} on {server}"
            );
        }
    }
}

#[test]
fn a_run_that_was_killed_before_its_canary_was_looked_at_stops_when_it_is() {
    for server in Server::ALL {
        let place = place(server, "canary = 5");
        place.shout("shout", "UPDATE");
        let killed = place.command_with(&["run", "job"], &[(ABORT_AT, "1 a canary written")]);
        assert!(killed.stderr.contains("dies here"), "on {server}: {killed}");
        assert_eq!(written(&place).len(), 5, "on {server}");
        let told = stopped(&place.run());
        assert!(
            told.contains("run 1 of job `job` stopped") && told.contains("holds `NEW`"),
            "on {server}: {told}"
        );
        assert_eq!(written(&place).len(), 5, "on {server}");
        let again = stopped(&place.run());
        assert!(
            again.contains("run 2 of job `job` stopped"),
            "a run after it begins anew, on {server}: {again}"
        );
        assert_eq!(written(&place).len(), 5, "on {server}");
    }
}

#[test]
fn a_size_that_makes_no_sense_is_a_mistake_that_says_what_to_write() {
    let place = place(Server::Sqlite, "");
    let none = "`canary` is of no record";
    let neither = "which is neither a share nor a count of records";
    for (value, message) in [
        ("0", none),
        ("'0 %'", none),
        ("'101 %'", neither),
        ("-1", neither),
        ("'x'", neither),
        ("1.5", neither),
    ] {
        place.job(&format!("canary = {value}"), FIELDS);
        let run = place.run();
        assert_eq!(run.code, 2, "{value}: {run}");
        for part in [
            message,
            "schedules/job.toml:",
            "hint: write a share of all in quotes, `\"",
            "or a count, `100`",
        ] {
            assert!(
                run.stderr.contains(part),
                "`{part}` is missing of {value}: {run}"
            );
        }
    }
}

#[test]
fn check_says_what_goes_first_and_a_default_can_be_turned_off() {
    let place = place(Server::Sqlite, "");
    place.file(
        "writeback.toml",
        &(place.text("writeback.toml") + "[defaults]\ncanary = '2 %'\n"),
    );
    let check = place.command(&["check"]);
    assert!(
        check
            .stdout
            .contains("canary: 2 % of its records go first and are checked"),
        "{check}"
    );
    assert_eq!(
        place.command(&["check", "--json"]).json()["jobs"][0]["write_backs"][0]["canary"],
        "2 %"
    );
    place.job("canary = 14\nkeep_before_images = false", FIELDS);
    let check = place.command(&["check"]);
    assert!(
        check
            .stdout
            .contains("canary: 14 of its records go first and are checked"),
        "{check}"
    );
    assert!(
        check
            .stdout
            .contains("cannot be undone, not even a canary in trouble"),
        "{check}"
    );
    place.shout("shout", "UPDATE");
    let told = stopped(&place.run());
    assert!(
        told.contains("no before-images were kept, so nothing takes it back"),
        "{told}"
    );
    assert!(!told.contains("writeback undo"), "{told}");
    place.job("canary = 'off'", FIELDS);
    let check = place.command(&["check"]);
    assert!(!check.stdout.contains("canary"), "{check}");
    assert_eq!(place.run().summary(), "50 read = 50 updated");
}

#[test]
fn the_write_back_behind_a_canary_in_trouble_writes_nothing_and_the_one_before_stays() {
    for server in Server::ALL {
        let place = place(server, "");
        place.execute("CREATE TABLE first (id VARCHAR(18) PRIMARY KEY, score INTEGER)");
        place.execute("CREATE TABLE last (id VARCHAR(18) PRIMARY KEY, score INTEGER)");
        place.shout("shout", "UPDATE");
        place.file(
            "sql/first.sql",
            "CREATE TABLE first (id VARCHAR(18) PRIMARY KEY, score INTEGER);\n",
        );
        place.file("data/first.csv", "id,score\nA1,1\nA2,2\n");
        place.file(
            "sql/last.sql",
            "CREATE TABLE last (id VARCHAR(18) PRIMARY KEY, score INTEGER);\n",
        );
        place.file("data/last.csv", "id,score\nA1,1\n");
        let plain = "id = 'id'\nscore = 'score'";
        let create = "matching = 'create_only'\ncanary = 1";
        let job = write_back("first", "first", create, plain)
            + &write_back("scores", "accounts", "canary = 5", FIELDS)
            + &write_back("last", "last", create, plain);
        place.file("schedules/job.toml", &job);
        let told = stopped(&place.run());
        assert!(
            told.contains("the canary of `scores` is in trouble"),
            "on {server}: {told}"
        );
        assert_eq!(place.rows("first"), "id,score\nA1,1\nA2,2\n", "on {server}");
        assert_eq!(
            (written(&place).len(), place.rows("last").as_str()),
            (5, "\n"),
            "on {server}"
        );
    }
}

/// Records whose key occurs several times are no part of a canary, however many they are.
#[test]
fn a_canary_is_as_many_records_as_it_says_beside_doubled_keys() {
    for server in Server::ALL {
        let place = place(server, "canary = 4");
        let doubled = csv("id,score,note", |number| {
            format!("A{number},{number},new\nA{number},1,new")
        });
        place.file(
            "data/scores.csv",
            &(doubled + "B1,1,new\nB2,2,new\nB3,3,new\nB4,4,new\nB5,5,new\n"),
        );
        place.job("canary = 4\nmatching = 'upsert'", FIELDS);
        let run = place.run();
        assert_eq!(
            run.summary(),
            "105 read = 5 inserted + 100 rejected",
            "on {server}: {run}"
        );
        assert_eq!(
            canary(&run),
            json!({ "records": 4, "read_back": 4 }),
            "on {server}"
        );
    }
}

#[test]
fn a_scheduler_tries_no_cycle_again_whose_canary_was_in_trouble() {
    let place = place(Server::Sqlite, "canary = 5");
    let connections = place.connection("files") + &place.connection("crm");
    let dashboard = "[dashboards.health]\nmarker = 'cycle.json'\npoll = '1s'\n";
    let alerts = "[alerts]\ncommand = ['/bin/sh', '-c', 'cat >> alerts']\n";
    place.file(
        "writeback.toml",
        &format!("{connections}{dashboard}{alerts}"),
    );
    let job = place.text("schedules/job.toml");
    place.file(
        "schedules/job.toml",
        &format!("[cadence]\ndashboard = 'health'\nretry_delay = '1s'\n\n{job}"),
    );
    let finish_cycle = |id: &str| {
        let at = chrono::Utc::now().to_rfc3339();
        place.file(
            "cycle.new",
            &format!(r#"{{"cycle_id": "{id}", "completed_at": "{at}", "status": "succeeded"}}"#),
        );
        std::fs::rename(place.path("cycle.new"), place.path("cycle.json")).expect("renamed");
    };
    place.shout("shout", "UPDATE");
    let mut serving = place.serve(&[]);
    finish_cycle("W46");
    serving.wait_for_log("takes the canary back");
    serving.wait_for_log("no new cycle since `W46` failed once and was given up");
    place.wait_until("an alert", |place| {
        place.path("alerts").exists() && place.text("alerts").contains("holds `NEW`")
    });
    place.drop_trigger("shout");
    finish_cycle("W47");
    let ended = |id: &str, status: &str| (id.to_owned(), status.to_owned());
    let expected = [ended("W46", "failed"), ended("W47", "succeeded")];
    place.wait_until("W47", |place| place.history().last() == expected.last());
    assert_eq!(place.history(), expected, "{}", serving.log());
}

/// What only looks different is no trouble, neither when it is written nor when it stands there
/// already.
#[test]
fn values_of_every_type_are_found_as_they_were_sent() {
    for server in Server::ALL {
        for trip in TRIPS {
            let (place, label) = (trip.place(server), trip.label(server));
            for (mode, rows) in [
                ("update_only", "kept"),
                ("update_only", "kept"),
                ("upsert", "deleted"),
            ] {
                place.job(
                    &format!("canary = '100 %'\nmatching = '{mode}'"),
                    "id = 'id'\nv = 'v'",
                );
                if rows == "deleted" {
                    place.execute("DELETE FROM accounts");
                }
                let run = place.run();
                assert_eq!(run.code, 0, "{mode}, {label}: {run}");
                assert_eq!(
                    canary(&run)["read_back"],
                    trip.values.len() + 1,
                    "{mode}, {label}: {run}"
                );
            }
        }
    }
}

/// Records so wide that a package of few has several partitions.
#[test]
fn a_canary_is_taken_from_all_over_a_package_of_several_partitions() {
    let place = Workspace::on(Server::Sqlite);
    let wide = |first: char| format!("{first}{}", "x".repeat(1 << 20));
    let numbers = 10..50;
    let rows: String = numbers
        .clone()
        .map(|number| format!("A{number},\n"))
        .collect();
    let source: String = numbers
        .map(|number| format!("A{number},{}\n", wide('n')))
        .collect();
    place.table(
        "accounts",
        "id VARCHAR(18) PRIMARY KEY, note TEXT",
        &format!("id,note\n{rows}"),
    );
    place.scores(
        "id VARCHAR(18) PRIMARY KEY, note TEXT",
        &format!("id,note\n{source}"),
    );
    place.job("canary = 5", "id = 'id'\nnote = 'note'");
    place.execute(
        "CREATE TRIGGER cut AFTER UPDATE ON accounts BEGIN UPDATE accounts SET note = 'n' WHERE id = NEW.id; END",
    );
    let told = stopped(&place.run());
    assert!(
        told.contains(&format!(
            "was sent `n{}…` in column `note` and holds `n`",
            "x".repeat(59)
        )),
        "{told}"
    );
    let written = place.query("SELECT id FROM accounts WHERE note IS NOT NULL");
    assert_eq!(written.lines().count(), 1 + 5, "{written}");
    let partitions =
        place.query_ledger("SELECT count(DISTINCT partition) > 2 AS several FROM batches");
    assert_eq!(partitions.as_deref(), Some("several\n1\n"));
    place.execute("DROP TRIGGER cut; UPDATE accounts SET note = NULL");
    let run = place.run();
    assert_eq!(run.summary(), "40 read = 40 updated");
    assert_eq!(canary(&run), json!({ "records": 5, "read_back": 5 }));
}
