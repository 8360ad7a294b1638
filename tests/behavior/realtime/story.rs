//! The whole of it, as a customer success team meets it, and as the page of the documentation walks
//! through it: its very commands are carried out, by the shell and with `curl`. `--nocapture` shows
//! them with their answers.

use std::process::Command;

use serde_json::{Value, json};

use super::caller::{Answering, CALLER, TOKEN};
use super::several::{destinations, held, three_systems};
use crate::harness::Workspace;

const PEOPLE: &str = "
[[write_back]]
name = 'people'
schema = 'sql/people.sql'
source = 'files'
destination = 'org'
table = 'User'
[write_back.fields]
Username = 'login'
Title = { column = 'title', realtime = true }
";

/// The blocks of the walk, in their order.
fn walk() -> Vec<String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/real-time.md");
    let page = std::fs::read_to_string(file).expect("a page");
    let walk = page.split("\n## A walk\n").nth(1).expect("a walk");
    let walk = walk.split("\n## ").next().expect("an end");
    let blocks = walk.split("```sh\n").skip(1);
    let block = |block: &str| block.split("```").next().expect("an end").to_owned();
    blocks.map(block).collect()
}

/// Carries a block out, the way to `say` something before it; what is answered, body by body.
#[expect(clippy::print_stdout, reason = "`--nocapture` shows the walk")]
fn said(answering: &Answering, blocks: &[String], number: usize) -> Vec<Value> {
    let script = format!("{}{}", blocks[0], blocks[number]);
    let script = script
        .replace("127.0.0.1:8700", &answering.host)
        .replace("/v1/jobs/accounts/", "/v1/jobs/job/");
    let ran = Command::new("bash")
        .args(["-euc", &script])
        .env("PORTAL_TOKEN", TOKEN)
        .output()
        .expect("`bash` is installed");
    let told = String::from_utf8(ran.stdout).expect("text");
    println!("{}\n{told}", blocks[number]);
    assert!(ran.status.success(), "{script}: {told}");
    let bodies = serde_json::Deserializer::from_str(&told).into_iter();
    let bodies: Result<Vec<Value>, _> = bodies.collect();
    bodies.unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// The only answer of a block.
fn answer(answering: &Answering, blocks: &[String], number: usize) -> Value {
    let mut said = said(answering, blocks, number);
    assert_eq!(said.len(), 1, "{said:?}");
    said.remove(0)
}

fn place() -> Workspace {
    let place = three_systems();
    place
        .file(
            "sql/people.sql",
            "CREATE TABLE people (login VARCHAR(80) PRIMARY KEY, title VARCHAR(80));\n",
        )
        .file("data/people.csv", "login,title\n");
    let project = place.text("writeback.toml");
    let callers = CALLER.replace("['job.scores']", "['job.scores', 'job.people']");
    place.file("writeback.toml", &project.replace(CALLER, &callers));
    place
}

#[test]
fn a_team_keeps_three_systems_up_to_date_from_its_own_screens() {
    let blocks = walk();
    let place = place();
    let job = place.text("schedules/job.toml") + PEOPLE;

    // Setting an attribute to write-back: it is off, and said to be.
    let off = job.replace("{ column = 'risk', realtime = true }", "'risk'");
    place.file("schedules/job.toml", &off);
    let answering = Answering::start(&place);
    let told = said(&answering, &blocks, 1);
    let risk = &told[0]["destinations"][1]["fields"][2];
    assert_eq!(
        (&risk["column"], &risk["real_time"]),
        (&json!("risk"), &json!(false)),
        "{told:?}"
    );
    assert_eq!(told[1]["status"], 403, "{told:?}");
    let hint = told[1]["hint"].to_string();
    assert!(hint.contains("realtime = true"), "{told:?}");
    let (code, log) = answering.stop();
    assert_eq!(code, Some(0), "{log}");
    place.file("schedules/job.toml", &job);
    let answering = Answering::start(&place);

    // Writing back an attribute, from a profile, to several systems of which one is down.
    let hub = place.client_of_file("hub.db");
    assert!(hub.tries("BEGIN IMMEDIATE"));
    let first = answer(&answering, &blocks, 2);
    assert_eq!(first["outcome"], "partly", "{first}");
    let each = ["hub 502 not_written", "crm 200 updated", "org 200 updated"];
    assert_eq!(destinations(&first), each);
    assert!(hub.tries("ROLLBACK"));
    let whole = answer(&answering, &blocks, 2);
    assert_eq!(whole["outcome"], "updated", "{whole}");
    assert_eq!(held(&place), ["7", "7.00,high", "7.0,high"]);

    // An account assignment, which points the reference to another person, and what depends on it.
    let assigned = answer(&answering, &blocks, 3);
    assert_eq!(assigned["outcome"], "updated", "{assigned}");
    let org = &assigned["destinations"][0];
    assert_eq!(org["fields"][0]["field"], "OwnerId", "{org}");
    let to = org["fields"][0]["to"].to_string();
    assert!(to.contains("005000000000U02"), "{org}");
    assert_eq!(org["read_back"]["Owner.Email"], "two@example.com", "{org}");
    let mirrored = json!({"outcome": "mirrored", "fields": {"owner_name": "Two"}});
    assert_eq!(org["mirror"], mirrored, "{org}");
    let names = || place.query("SELECT id, owner_name FROM scores ORDER BY id");
    assert_eq!(names(), "id,owner_name\nC-1,Two\nC-2,One\n");

    // The value of the object that is referred to: the person stays, the title changes.
    let titled = answer(&answering, &blocks, 4);
    assert_eq!(titled["outcome"], "updated", "{titled}");

    // An attribute of several values, from a form.
    let interests = answer(&answering, &blocks, 5);
    let told = &interests["destinations"][0]["fields"][0];
    assert_eq!(
        (&told["from"], &told["to"]),
        (&json!("Analytics"), &json!("Analytics;Security")),
        "{interests}"
    );

    // Many records at once, through the same mapping.
    let bulk = answer(&answering, &blocks, 6);
    for record in bulk["records"].as_array().expect("records") {
        assert_eq!(record["outcome"], "updated", "{bulk}");
    }
    assert_eq!(names(), "id,owner_name\nC-1,Two\nC-2,Two\n", "{bulk}");

    // All of it is told of, and taken back.
    let history = place.command(&["history", "scores@org", "--record", "C-1"]);
    assert!(
        history
            .stdout
            .contains("(ann@example.com, account_profile, portal)"),
        "{history}"
    );
    let [first, second] = [0, 1].map(|record| &bulk["records"][record]);
    for request in [first, second, &interests, &titled, &assigned, &whole] {
        let id = request["id"].as_str().expect("an id");
        let undone = place.command(&["undo", "--request", id]);
        assert_eq!(undone.code, 0, "{undone}");
    }
    assert_eq!(held(&place), ["1", "1.00,low", "1.0,low"]);
    let org = "SELECT json_extract(body, '$.OwnerId'), json_extract(body, '$.Interests__c') FROM documents
               WHERE kind = 'Account' AND json_extract(body, '$.Customer_Id__c') = 'C-1'";
    let org = place.query_file(".writeback/practice/org.db", org);
    assert!(
        org.contains("005000000000U01") && org.contains(",Analytics\n"),
        "{org}"
    );
}
