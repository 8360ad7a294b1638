//! How many calls of a web API a run would make is told before it makes them, and a guard keeps it from
//! making too many.

use crate::harness::{Ran, Server, Workspace, write_back};

const ACCOUNTS: usize = 450;

/// A project with an org of so many accounts, all of which would be updated.
fn place(settings: &str) -> Workspace {
    let place = Workspace::on(Server::Sqlite);
    for file in ["Account.json", "User.json", "User.csv"] {
        let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(repository.join("fixtures/salesforce").join(file));
        place.file(&format!("org/{file}"), &text.expect(file));
    }
    let mut accounts = String::from("Id,Name,Customer_Id__c,Strategic__c\n");
    let mut scores = String::from("id,score\n");
    for number in 0..ACCOUNTS {
        accounts += &format!("001000000B{number:05},A{number},C-{number:05},false\n");
        scores += &format!("C-{number:05},{}.5\n", number % 100);
    }
    place.file("org/Account.csv", &accounts);
    place.file("org/practice.toml", "[org]\ndaily_calls = 1000\n");
    let connection = "[connections.crm]\nkind = 'salesforce'\npractice = 'org'\n";
    place.file(
        "writeback.toml",
        &format!("{}{connection}", place.connection("files")),
    );
    place.scores("id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2)", &scores);
    let fields = "Customer_Id__c = 'id'\nHealth_Score__c = 'score'";
    place.file(
        "schedules/job.toml",
        &write_back("scores", "Account", settings, fields),
    );
    place
}

fn calls(ran: &Ran) -> serde_json::Value {
    ran.json()["write_backs"][0]["calls"].clone()
}

#[test]
fn calls_are_told_before_they_are_made_and_after() {
    let place = place("");
    let foreseen = place.command(&["preview", "job", "--json"]);
    let told = calls(&foreseen);
    let counts = ["total", "look_ups", "updates", "inserts"].map(|name| told[name].as_u64());
    assert_eq!(counts, [Some(6), Some(3), Some(3), Some(0)], "{foreseen}");
    assert!(
        told["minutes"]
            .as_f64()
            .is_some_and(|minutes| minutes < 1.0),
        "{told}"
    );
    assert_eq!(told["quota"]["allowed"], 1000, "{told}");
    assert_eq!(told["quota"]["percent"], 0.6, "{told}");
    let text = place.command(&["preview", "job"]).stdout;
    assert!(text.contains("calls: 6 for its records (3 look-ups, 3 updates), about 0.0 minutes; 0.6 % of the 1 000 calls"), "{text}");
    let check = place.command(&["check", "job"]);
    assert!(check.stdout.contains("calls: 6 for its records"), "{check}");
    for what in ["preview", "check"] {
        let narrow = place.command_with(&[what, "job"], &[("COLUMNS", "80")]);
        let lines = narrow.stdout.lines();
        let mut of_calls = lines.filter(|line| line.contains("calls")).peekable();
        assert!(of_calls.peek().is_some(), "{narrow}");
        for line in of_calls {
            assert!(line.chars().count() <= 80, "{line}\n{narrow}");
        }
    }
    let ran = place.run();
    assert_eq!(calls(&ran), 6, "as foreseen: {ran}");
    let again = place.command(&["run", "job"]);
    let line = again
        .stdout
        .lines()
        .find(|line| line.starts_with("calls made: "));
    let line = line.expect("a line");
    assert!(
        line.contains(" to `crm`; ") && line.ends_with(" of its 1 000 are left"),
        "{line}"
    );
}

#[test]
fn a_run_that_would_make_too_many_calls_is_stopped_before_its_first_write() {
    let place = place("max_calls = 5");
    let stopped = place.run();
    assert_eq!(stopped.code, 3, "{stopped}");
    assert!(
        stopped
            .stdout
            .contains("it would take 6 calls, at most 5 may be made (`max_calls`)"),
        "{stopped}"
    );
    let check = place.command(&["check", "job"]);
    assert!(check.stdout.contains("at most 5 calls"), "{check}");
    let approved = place.command(&["run", "job", "--approve", "--json"]);
    assert_eq!(approved.summary(), "450 read = 450 updated", "{approved}");
    // Nothing differs any more: the look-ups alone are few enough.
    let after = place.run();
    assert_eq!(after.summary(), "450 read = 450 unchanged", "{after}");
}

#[test]
fn calls_of_a_database_are_not_counted() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,\n",
    );
    let foreseen = place.command(&["preview", "job", "--json"]);
    assert!(calls(&foreseen).is_null(), "{foreseen}");
    place.job("max_calls = 5", crate::harness::FIELDS);
    let check = place.command(&["check", "job"]);
    assert!(
        check
            .stderr
            .contains("`max_calls` means nothing to a database"),
        "{check}"
    );
}
