//! `writeback test`: one record the whole way, before a go-live.

use serde_json::Value;

use crate::harness::{Does, FIELDS, Ran, Server, Workspace};
use crate::values::TRIPS;

const ROWS: &str = "id,score,note,phone\nA1,10,old,555\nA2,11,old,555\n";
const SOURCE: &str = "id,score,note\nA1,20,new\nA2,21,new\nA3,22,new\nA4,x,new\n";

#[test]
fn one_record_is_written_and_shown_before_and_after() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let test = place.command(&["test", "job", "--record", "A1"]);
        assert_eq!(test.code, 0, "{test}");
        for part in ["10", "20", "old", "new", "updated"] {
            assert!(
                test.stdout.contains(part),
                "`{part}` is missing on {server}: {test}"
            );
        }
        assert_eq!(
            place.rows("accounts"),
            "id,score,note,phone\nA1,20,new,555\nA2,11,old,555\n",
            "on {server}"
        );
    }
}

#[test]
fn a_record_whose_key_begins_with_a_minus_is_asked_for_as_any_other() {
    let place = Workspace::on(Server::Sqlite);
    let columns = "id INTEGER PRIMARY KEY, score INTEGER";
    place
        .table("accounts", columns, "id,score\n-5,1\n7,1\n")
        .scores(columns, "id,score\n-5,2\n7,2\n")
        .job("", "id = 'id'\nscore = 'score'");
    let ask = |arguments: &[&str]| {
        let ran = place.command(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {ran}");
        ran
    };
    ask(&["test", "job", "--record", "-5", "--rollback"]);
    let reason = ["--until", "2999-01-01", "--reason", "the owner asked"];
    ask(&[&["park", "job", "--record", "-5"][..], &reason].concat());
    assert_eq!(place.run().summary(), "2 read = 1 updated + 1 skipped");
    ask(&["park", "job", "--record", "-5", "--lift"]);
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 1 updated + 1 unchanged");
    let history = ask(&["history", "scores", "--record", "-5"]);
    assert!(history.stdout.contains("score"), "{history}");
    ask(&["undo", &run.run().to_string(), "--record", "-5"]);
    assert_eq!(place.rows("accounts"), "id,score\n-5,1\n7,2\n");
}

#[test]
fn what_stays_of_a_test_stands_in_history_and_is_taken_back() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        place.job("matching = 'upsert'", FIELDS);
        let updated = record(&place.command(&["test", "job", "--record", "A1", "--json"]));
        let inserted = place.command(&["test", "job", "--record", "A3"]);
        let unchanged = record(&place.command(&["test", "job", "--record", "A1", "--json"]));
        assert_eq!(
            unchanged["request"],
            Value::Null,
            "on {server}: {unchanged}"
        );
        let history = place.command(&["history", "scores", "--record", "A1"]);
        assert!(
            history.stdout.contains("writeback test"),
            "on {server}: {history}"
        );
        let verified = place.command(&["verify", "job"]);
        assert_eq!(verified.code, 0, "on {server}: {verified}");
        let run = place.run();
        assert_eq!(
            run.summary(),
            "4 read = 1 updated + 2 unchanged + 1 rejected",
            "on {server}"
        );
        let id = updated["request"].as_str().expect("an id");
        let undone = place.command(&["undo", "--request", id]);
        assert_eq!(undone.code, 0, "on {server}: {undone}");
        let told = inserted.stdout.lines().last().unwrap_or_default();
        let words: Vec<&str> = told.trim_matches('`').split(['`', ' ']).collect();
        assert_eq!(
            &words[..3],
            ["writeback", "undo", "--request"],
            "on {server}: {inserted}"
        );
        let undone = place.command(&["undo", "--request", words[3], "--delete-created"]);
        assert_eq!(undone.code, 0, "on {server}: {undone}");
        assert_eq!(
            place.rows("accounts"),
            "id,score,note,phone\nA1,10,old,555\nA2,21,new,555\n",
            "on {server}"
        );
    }
}

#[test]
fn rollback_shows_the_same_and_leaves_nothing() {
    for server in Server::ALL {
        for (mode, record) in [("update_only", "A1"), ("upsert", "A3")] {
            let place = Workspace::accounts(server, ROWS, SOURCE);
            place.job(&format!("matching = '{mode}'"), FIELDS);
            let test = place.command(&["test", "job", "--record", record, "--rollback"]);
            assert_eq!(test.code, 0, "{test}");
            assert!(test.stdout.contains("new"), "on {server}: {test}");
            assert_eq!(place.rows("accounts"), ROWS, "{mode} on {server}");
        }
    }
}

#[test]
fn a_record_that_would_be_skipped_says_so() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let test = place.command(&["test", "job", "--record", "A3"]);
        assert!(test.stdout.contains("skipped"), "on {server}: {test}");
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
    }
}

#[test]
fn a_record_that_is_rejected_says_why() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let test = place.command(&["test", "job", "--record", "A4"]);
        assert_eq!(test.code, 1, "{test}");
        let printed = test.stdout.clone() + &test.stderr;
        assert!(
            printed.contains("rejected") && printed.contains("schema") && printed.contains("score"),
            "{test}"
        );
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
    }
}

#[test]
fn a_record_that_the_source_does_not_have_is_an_error() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    let test = place.command(&["test", "job", "--record", "B1"]);
    assert_eq!(test.code, 2, "{test}");
    assert!(test.stderr.contains("B1"), "{test}");
}

#[test]
fn a_key_of_two_columns_is_given_as_csv() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let rows = "region,name,score\nEU,\"a,b\",1\nEU,c,1\n";
        place.table(
            "accounts",
            "region VARCHAR(4), name VARCHAR(9), score INTEGER, PRIMARY KEY (region, name)",
            rows,
        );
        place.scores(
            "region VARCHAR(4), name VARCHAR(9), score INTEGER, PRIMARY KEY (region, name)",
            "region,name,score\nEU,\"a,b\",5\nEU,c,6\n",
        );
        place.job("", "region = 'region'\nname = 'name'\nscore = 'score'");
        let test = place.command(&["test", "job", "--record", "EU,\"a,b\""]);
        assert_eq!(test.code, 0, "{test}");
        assert_eq!(
            place.rows("accounts"),
            rows.replace("b\",1", "b\",5"),
            "on {server}"
        );
    }
}

fn record(test: &Ran) -> Value {
    test.json()["records"][0].clone()
}

#[test]
fn a_trigger_that_alters_what_is_written_is_found_and_named_and_no_proof() {
    for server in Server::ALL {
        for ending in [&["--rollback"][..], &[]] {
            let place = Workspace::accounts(server, ROWS, SOURCE);
            place.job("require_test = true", FIELDS);
            place.shout("shout", "UPDATE");
            let test = place.command(&[&["test", "job", "--record", "A1"], ending].concat());
            assert_eq!(test.code, 1, "on {server}: {test}");
            let told = "accounts` holds something else than was written: `note` (most likely trigger `shout`)\n";
            assert!(test.stdout.ends_with(told), "on {server}: {test}");
            let line = |column: &str| {
                test.stdout
                    .lines()
                    .find(|line| line.contains(column))
                    .unwrap_or_default()
            };
            assert!(
                line("│ note ").contains("NEW") && line("│ note ").contains("not as written"),
                "on {server}: {test}"
            );
            assert!(line("│ score ").contains("changed"), "on {server}: {test}");
            assert_eq!(place.run().code, 3, "the test proved nothing, on {server}");
            let test = record(&place.command(&["test", "job", "--record", "A2", "--json"]));
            assert!(
                test["alteration"]
                    .as_str()
                    .is_some_and(|told| told.contains("`shout`")),
                "on {server}: {test}"
            );
            let altered: Vec<bool> = test["columns"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["as_written"] == false)
                .collect();
            assert_eq!(altered, [false, false, true], "on {server}: {test}");
        }
    }
}

#[test]
fn a_row_that_a_trigger_takes_away_is_missed() {
    for server in [Server::Sqlite, Server::Postgres] {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let archived = Does::Then("DELETE FROM accounts WHERE id = NEW.id");
        place.trigger("archive", "UPDATE ON accounts", "true", archived);
        let test = place.command(&["test", "job", "--record", "A1"]);
        let told = "accounts` has 0 rows of the key after the record was written (most likely trigger `archive`)\n";
        assert!(
            test.code == 1 && test.stdout.ends_with(told),
            "on {server}: {test}"
        );
    }
}

#[test]
fn blanks_that_a_column_of_fixed_length_drops_are_told() {
    let place = Workspace::on(Server::Postgres);
    place.table(
        "accounts",
        "id VARCHAR(9) PRIMARY KEY, score INTEGER, note CHAR(9)",
        "id,score\nA1,1\nA2,1\n",
    );
    place.scores(
        "id VARCHAR(9) PRIMARY KEY, score INTEGER, note VARCHAR(9)",
        "id,score,note\nA1,2,ab \nA2,2,ab\n",
    );
    place.job("", FIELDS);
    let test = place.command(&["test", "job", "--record", "A1"]);
    let told = "`note` (`character(9)` drops the blanks at the end of a text)\n";
    assert!(test.code == 1 && test.stdout.ends_with(told), "{test}");
    let test = place.command(&["test", "job", "--record", "A2"]);
    assert_eq!(test.code, 0, "{test}");
}

#[test]
fn no_type_is_taken_for_altered_when_it_is_only_spelled_otherwise() {
    const RECORDS: usize = 5;
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = |declared: &dyn Fn(usize) -> String| -> String {
            (0..TRIPS.len())
                .map(|at| format!(", v{at} {}", declared(at)))
                .collect()
        };
        let object = columns(&|at| (TRIPS[at].object)(server).to_owned())
            + if server == Server::Postgres {
                ", b JSONB"
            } else {
                ", b JSON"
            };
        let ids: Vec<String> = (0..RECORDS).map(|id| format!("A{id}")).collect();
        place.table(
            "accounts",
            &format!("id VARCHAR(9) PRIMARY KEY{object}"),
            &format!("id\n{}\n", ids.join("\n")),
        );
        let schema = columns(&|at| TRIPS[at].schema.to_owned()) + ", b JSON";
        let json = r#"{"b": 1.50, "a": [1e2, "\u00e9"]}"#;
        let mut source = csv::Writer::from_writer(Vec::new());
        let values = |id: usize| {
            TRIPS
                .iter()
                .map(move |trip| trip.values[id % trip.values.len()])
                .chain([json])
        };
        let names: Vec<String> = (0..TRIPS.len())
            .map(|at| format!("v{at}"))
            .chain(["b".to_owned()])
            .collect();
        source
            .write_record(std::iter::once("id").chain(names.iter().map(String::as_str)))
            .unwrap();
        for (id, name) in ids.iter().enumerate() {
            source
                .write_record(std::iter::once(name.as_str()).chain(values(id)))
                .unwrap();
        }
        let nulls = names.iter().map(|_| "");
        source
            .write_record(std::iter::once("NEW1").chain(nulls))
            .unwrap();
        source
            .write_record(std::iter::once("NEW2").chain(values(1)))
            .unwrap();
        let text = String::from_utf8(source.into_inner().unwrap()).unwrap();
        place.scores(&format!("id VARCHAR(9) PRIMARY KEY{schema}"), &text);
        let fields: String = names
            .iter()
            .map(|name| format!("{name} = '{name}'\n"))
            .collect();
        place.job("matching = 'upsert'", &format!("id = 'id'\n{fields}"));
        for (id, outcome) in ids
            .iter()
            .map(|id| (id.as_str(), "updated"))
            .chain([("NEW1", "inserted"), ("NEW2", "inserted")])
        {
            for outcome in [outcome, "unchanged"] {
                let test = place.command(&["test", "job", "--record", id, "--json"]);
                assert_eq!(test.code, 0, "{id} on {server}: {test}");
                assert_eq!(
                    record(&test)["outcome"]["outcome"],
                    outcome,
                    "{id} on {server}: {test}"
                );
                assert_eq!(
                    record(&test)["alteration"],
                    Value::Null,
                    "{id} on {server}: {test}"
                );
            }
        }
    }
}

#[test]
fn what_the_job_says_to_keep_is_not_taken_for_altered() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = format!(
            "id VARCHAR(9) PRIMARY KEY, score INTEGER, note VARCHAR(40), phone VARCHAR(20), at {}, cycle VARCHAR(40)",
            server.timestamp()
        );
        place.table(
            "accounts",
            &columns,
            "id,score,note,phone\nA1,10,old,555\nA2,11,\"\",\nA3,20,old,555\n",
        );
        place.scores(
            "id VARCHAR(9) PRIMARY KEY, score INTEGER, note VARCHAR(40), phone VARCHAR(20)",
            "id,score,note,phone\nA1,20,,777\nA2,21,new,777\nA3,20,,777\n",
        );
        let fields = "id = 'id'\nscore = 'score'\nnote = 'note'\nphone = { column = 'phone', when = 'if_empty' }\n\
                      at = { method = 'cycle_completed_at' }\ncycle = { method = 'cycle_id' }";
        place.job("nulls = 'keep'", fields);
        for (id, outcome) in [("A1", "updated"), ("A2", "updated"), ("A3", "unchanged")] {
            let test = place.command(&["test", "job", "--record", id, "--json"]);
            assert_eq!(test.code, 0, "{id} on {server}: {test}");
            assert_eq!(
                record(&test)["outcome"]["outcome"],
                outcome,
                "{id} on {server}: {test}"
            );
        }
        let kept = "id,score,note,phone\nA1,20,old,555\nA2,21,new,777\nA3,20,old,555\n";
        assert_eq!(
            place.query("SELECT id, score, note, phone FROM accounts"),
            kept,
            "on {server}"
        );
    }
}
