//! The whole of it, as a customer success team meets it: switched on, an attribute in three systems
//! of which one is down, an assignment, a person's own title, a list, and many records at once.

use serde_json::json;

use super::caller::{Answering, CALLER, path_of};
use super::several::{destinations, held, three_systems};

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

#[test]
fn a_team_keeps_three_systems_up_to_date_from_its_own_screens() {
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
    let job = place.text("schedules/job.toml") + PEOPLE;

    // Setting an attribute to write-back: it is off, and said to be.
    let off = job.replace("{ column = 'risk', realtime = true }", "'risk'");
    place.file("schedules/job.toml", &off);
    let answering = Answering::start(&place);
    let listed = answering
        .ask("GET", "/v1/jobs/job/write-backs/scores", "")
        .json();
    let risk = &listed["destinations"][1]["fields"][2];
    assert_eq!(
        (&risk["column"], &risk["real_time"]),
        (&json!("risk"), &json!(false)),
        "{listed}"
    );
    let high = r#"{"values": {"risk": "high", "score": 7}, "expected": {"risk": "low"},
                   "origin": "account_profile", "actor": "ann@example.com"}"#;
    let refused = answering.change("C-1", high);
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.body.contains("realtime = true"), "{refused:?}");
    let (code, log) = answering.stop();
    assert_eq!(code, Some(0), "{log}");
    place.file("schedules/job.toml", &job);
    let answering = Answering::start(&place);

    // Writing back an attribute, from a profile, to several systems of which one is down.
    let hub = place.client_of_file("hub.db");
    assert!(hub.tries("BEGIN IMMEDIATE"));
    let first = answering.ask_keyed("profile-1", &path_of("C-1"), high);
    assert_eq!(first.told(), (200, "partly".to_owned()), "{first:?}");
    let each = ["hub 502 not_written", "crm 200 updated", "org 200 updated"];
    assert_eq!(destinations(&first.json()), each);
    assert!(hub.tries("ROLLBACK"));
    let whole = answering.ask_keyed("profile-1", &path_of("C-1"), high);
    assert_eq!(whole.told(), (200, "updated".to_owned()), "{whole:?}");
    assert_eq!(held(&place), ["7", "7.00,high", "7.0,high"]);

    // An account assignment, which points the reference to another person.
    let assigned = answering.change(
        "C-1",
        r#"{"values": {"owner": "two@example.com"}, "expected": {"owner": "one@example.com"}, "origin": "segment"}"#,
    );
    assert_eq!(assigned.told(), (200, "updated".to_owned()), "{assigned:?}");
    let owner = &assigned.json()["destinations"][0]["fields"][0];
    assert_eq!(owner["field"], "OwnerId", "{owner}");
    assert!(
        owner["to"].to_string().contains("005000000000U02"),
        "{owner}"
    );

    // The value of the object that is referred to: the person stays, the title changes.
    let path = "/v1/jobs/job/write-backs/people/records/two@x.example";
    let titled = answering.ask(
        "PATCH",
        path,
        r#"{"values": {"title": "Lead"}, "origin": "task_completion"}"#,
    );
    assert_eq!(titled.told(), (200, "updated".to_owned()), "{titled:?}");

    // An attribute of several values, from a form.
    let several = r#"{"values": {"interests": "Analytics;Security"}, "origin": "form"}"#;
    let interests = answering.change("C-1", several);
    assert_eq!(
        interests.told(),
        (200, "updated".to_owned()),
        "{interests:?}"
    );
    let told = &interests.json()["destinations"][0]["fields"][0];
    assert_eq!(
        (&told["from"], &told["to"]),
        (&json!("Analytics"), &json!("Analytics;Security"))
    );

    // Many records at once, through the same mapping.
    let bulk = r#"{"origin": "segment", "records": [
        {"key": {"id": "C-1"}, "values": {"score": 8}}, {"key": {"id": "C-2"}, "values": {"score": 9}}]}"#;
    let bulk = answering
        .ask("POST", "/v1/jobs/job/write-backs/scores/records", bulk)
        .json();
    for record in bulk["records"].as_array().expect("records") {
        assert_eq!(record["outcome"], "updated", "{bulk}");
    }

    // All of it is told of, and taken back.
    let history = place.command(&["history", "scores@org", "--record", "C-1"]);
    assert!(
        history
            .stdout
            .contains("(ann@example.com, account_profile, portal)"),
        "{history}"
    );
    let answers = [&assigned, &titled, &interests].map(super::caller::Answer::json);
    let mut ids = vec![
        bulk["records"][0]["id"].clone(),
        bulk["records"][1]["id"].clone(),
    ];
    ids.extend(answers.map(|answer| answer["id"].clone()));
    ids.push(whole.json()["id"].clone());
    for id in ids {
        let undone = place.command(&["undo", "--request", id.as_str().expect("an id")]);
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
