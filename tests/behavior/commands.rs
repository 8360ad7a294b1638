//! The commands around a run: what to start a schema file from, the list of methods, history, help.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::harness::{FIELDS, Server, Workspace};

#[test]
fn schema_prints_a_file_that_works_as_it_stands() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = format!(
            "id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2) NOT NULL, note VARCHAR(40), n BIGINT, at {}, day DATE",
            server.timestamp()
        );
        place.table("accounts", &columns, "id,score\nA1,1\n").table(
            "scores",
            &columns,
            "id,score,day\nA1,2,2026-11-15\n",
        );
        let schema = place.command(&["schema", "crm", "scores"]);
        assert_eq!(schema.code, 0, "on {server}: {schema}");
        place.file("sql/scores.sql", &schema.stdout);
        place.job(
            "source = 'crm'",
            "id = 'id'\nscore = 'score'\nnote = 'note'\nn = 'n'\nat = 'at'\nday = 'day'",
        );
        assert_eq!(
            place.run().summary(),
            "1 read = 1 updated",
            "on {server}: {schema}"
        );
    }
}

#[test]
fn schema_describes_files_too() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,x\nA2,,y\n",
    );
    let schema = place.command(&["schema", "files", "scores"]);
    assert_eq!(schema.code, 0, "{schema}");
    place.file("sql/scores.sql", &schema.stdout);
    assert_eq!(
        place.run().summary(),
        "2 read = 1 updated + 1 skipped",
        "{schema}"
    );
    let missing = place.command(&["schema", "files", "score"]);
    assert!(
        missing.code == 2 && missing.stderr.contains("scores"),
        "{missing}"
    );
    let unknown = place.command(&["schema", "file", "scores"]);
    assert!(
        unknown.code == 2 && unknown.stderr.contains("did you mean `files`?"),
        "{unknown}"
    );
}

#[test]
fn methods_lists_every_method_with_an_example() {
    let place = Workspace::on(Server::Sqlite);
    let text = place.command(&["methods"]).stdout;
    let json = place.command(&["methods", "--json"]).json();
    let names = [
        "cycle_completed_at",
        "cycle_id",
        "run_started_at",
        "run_id",
        "job_name",
        "trim",
        "lower",
        "upper",
        "percent_of_one",
        "part_of_one",
        "label",
        "join",
        "first_of",
        "given_name",
        "family_name",
        "phone",
    ];
    assert_eq!(json.as_array().map(Vec::len), Some(names.len()));
    for (name, entry) in names.iter().zip(json.as_array().expect("a list")) {
        assert_eq!(entry["name"], *name);
        assert!(text.contains(name) && !entry["purpose"].as_str().unwrap().is_empty());
        assert!(entry["example"].as_str().unwrap().contains(name), "{entry}");
    }
}

#[test]
fn history_shows_runs_newest_first_and_one_in_full() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,x\nA2,z,y\n",
    );
    assert_eq!((place.run().run(), place.run().run()), (1, 2));
    let runs = place.command(&["runs", "--json"]).json();
    let numbers: Vec<i64> = runs["runs"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|run| run["run"].as_i64())
        .collect();
    assert_eq!(numbers, [2, 1]);
    let one = place.command(&["runs", "1"]);
    for part in ["job", "scores", "A2", "schema"] {
        assert!(one.stdout.contains(part), "`{part}` is missing: {one}");
    }
    let none = place.command(&["runs", "77"]);
    assert!(
        none.code == 2 && none.stderr.contains("there is no run 77"),
        "{none}"
    );
}

#[test]
fn state_is_for_its_owner_only() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,x\n",
    );
    place.run();
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&place.path(".writeback")), 0o700);
}

#[test]
fn help_version_completions_and_man_page_are_printed() {
    let place = Workspace::on(Server::Sqlite);
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["--version"],
        &["completions", "bash"],
        &["man"],
    ] {
        let ran = place.command(arguments);
        assert!(
            ran.code == 0 && !ran.stdout.is_empty() && ran.stderr.is_empty(),
            "{ran}"
        );
    }
    assert!(
        place
            .command(&["--help"])
            .stdout
            .contains("could not run or finish"),
        "exit codes are told"
    );
}

#[test]
fn a_terminal_without_color_gets_none() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,x\n",
    );
    place.job("", FIELDS);
    for arguments in [
        &["run", "job"][..],
        &["preview", "job"],
        &["runs"],
        &["check"],
        &["-vv", "run", "job"],
    ] {
        let ran = place.command(arguments);
        assert!(
            !(ran.stdout.clone() + &ran.stderr).contains('\u{1b}'),
            "{ran}"
        );
    }
}

#[test]
fn check_tells_machines_what_is_ready_and_what_is_not() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,\n",
    );
    let ready = place.command(&["check", "--json"]);
    assert_eq!(ready.code, 0, "{ready}");
    let expected = json!({
        "jobs": [{
            "job": "job",
            "ready": true,
            "write_backs": [{
                "name": "scores",
                "source": "files",
                "driver": null,
                "schema_table": "scores",
                "destination": "crm",
                "object": "accounts",
                "matching": "update_only",
                "fields": 3,
                "guards": {
                    "min_read": 1,
                    "max_rejected": null,
                    "max_skipped": null,
                    "max_changed": null,
                    "max_nulls": null,
                    "max_calls": null,
                    "require_test": false,
                },
                "batch_size": 5000,
                "canary": null,
                "journal_table": null,
                "keeps_before_images": true,
                "records": {
                    "read": 1,
                    "inserted": 0,
                    "updated": 1,
                    "unchanged": 0,
                    "skipped": 0,
                    "rejected": 0,
                },
                "calls": null,
            }],
            "accounts": [],
            "openings": [],
        }],
        "alerts": [],
        "problems": [],
    });
    assert_eq!(ready.json(), expected);
    place.file(
        "schedules/other.toml",
        &place
            .text("schedules/job.toml")
            .replace("score = 'score'", "scor = 'score'"),
    );
    let mistaken = place.command(&["check", "--json"]);
    assert_eq!(mistaken.code, 2, "{mistaken}");
    let told = mistaken.json();
    assert_eq!(
        (&told["jobs"][0]["ready"], &told["jobs"][1]["ready"]),
        (&json!(true), &json!(false))
    );
    let expected = json!([{
        "severity": "mistake",
        "file": "schedules/other.toml",
        "line": 11,
        "column": 1,
        "message": "column `scor` is not in `accounts`",
        "hint": "did you mean `score`?",
    }]);
    let problems = told["problems"].as_array().expect("a list").iter();
    let mistakes = problems.filter(|problem| problem["severity"] == "mistake");
    assert_eq!(json!(mistakes.collect::<Vec<_>>()), expected);
    assert!(
        mistaken
            .stderr
            .contains("schedules/other.toml:11:1: column `scor`"),
        "{mistaken}"
    );
}

#[test]
fn a_run_that_cannot_begin_tells_machines_too() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,\n",
    );
    let run = place.command(&["run", "jab", "--json"]);
    assert_eq!(
        (run.code, run.json()["status"].as_str()),
        (2, Some("failed")),
        "{run}"
    );
    assert_eq!(run.json()["error"], "job `jab` has 1 problem");
    assert!(
        run.json()["problems"][0]["message"]
            .as_str()
            .is_some_and(|text| text.contains("there is no job `jab`"))
    );
    assert!(run.stderr.contains("there is no job `jab`"), "{run}");
}

#[test]
fn tables_are_no_wider_than_a_page_where_there_is_no_terminal() {
    let long = "x".repeat(40);
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        &format!("id,score,note\nA1,2,{long}\nA2,{long},\n"),
    );
    for arguments in [
        ["methods"].as_slice(),
        &["preview", "job"],
        &["test", "job", "--record", "A1", "--rollback"],
    ] {
        let shown = place.command(arguments);
        let widest = shown.stdout.lines().map(|line| line.chars().count()).max();
        assert!(
            widest.is_some_and(|width| (1..=100).contains(&width)),
            "{widest:?}: {shown}"
        );
    }
}

#[test]
fn help_fits_a_plain_terminal() {
    let place = Workspace::on(Server::Sqlite);
    for command in ["check", "preview", "test", "run", "park", "undo", "serve"] {
        let help = place.command(&[command, "--help"]);
        assert_eq!(help.code, 0, "{help}");
        for line in help.stdout.lines() {
            assert!(line.chars().count() <= 80, "`{command}`: {line}");
        }
    }
}

#[test]
fn every_setting_is_told_without_a_page_at_hand() {
    let place = Workspace::on(Server::Sqlite);
    let all = place.command(&["settings"]);
    assert_eq!(all.code, 0, "{all}");
    for part in [
        "batch_size  [default: 5000]",
        "Guards (docs/configuration.md)",
        "search_lag",
    ] {
        assert!(all.stdout.contains(part), "`{part}` is missing: {all}");
    }
    let one = place.command(&["settings", "max_skipped", "--json"]).json();
    assert_eq!(one[1]["default"], "`\"off\"`", "{one}");
    let of_hubspot = place.command(&["settings", "hubspot"]);
    assert!(
        of_hubspot.stdout.contains("api_version") && !of_hubspot.stdout.contains("canary"),
        "{of_hubspot}"
    );
    let unknown = place.command(&["settings", "batchsize"]);
    assert_eq!(unknown.code, 2, "{unknown}");
    assert!(
        unknown.stderr.contains("did you mean `batch_size`?"),
        "{unknown}"
    );
}

#[test]
fn color_is_for_terminals_and_for_whoever_insists() {
    let place = Workspace::on(Server::Sqlite);
    let check = |environment: &[(&str, &str)], arguments: &[&str]| {
        let ran = place.command_with(arguments, environment);
        (ran.stdout + &ran.stderr).contains('\u{1b}')
    };
    let unknown = &["check", "nobody"][..];
    assert!(!check(&[], unknown), "a pipe is no terminal");
    assert!(check(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")], unknown));
    assert!(!check(
        &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")],
        unknown
    ));
    let json = place.command_with(
        &["check", "nobody", "--json"],
        &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")],
    );
    assert!(!json.stdout.contains('\u{1b}'), "{json}");
}
