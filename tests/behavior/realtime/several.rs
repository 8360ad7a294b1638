//! Requests about a write-back with several destinations: each has an answer of its own, and one that
//! is away keeps no other from being written.

use serde_json::{Value, json};

use super::caller::{Answer, Answering, CALLER, path_of};
use crate::harness::{Server, Workspace};
use crate::references::USERS;

const ACCOUNTS: &str = "Id,Name,Customer_Id__c,Health_Score__c,Churn_Risk__c,Interests__c,OwnerId
001000000000A01,One,C-1,1,low,Analytics,005000000000U01
001000000000A02,Two,C-2,2,low,,005000000000U01
";

const JOB: &str = "[[write_back]]
name = 'scores'
schema = 'sql/scores.sql'
source = 'crm'

[[write_back.to]]
destination = 'hub'
table = 'companies'
ignore = ['risk', 'interests', 'owner']
[write_back.to.fields]
key = 'id'
points = { column = 'score', realtime = true }

[[write_back.to]]
destination = 'crm'
table = 'accounts'
ignore = ['interests', 'owner']
[write_back.to.fields]
id = 'id'
score = { column = 'score', realtime = true }
risk = { column = 'risk', realtime = true }

[[write_back.to]]
destination = 'org'
table = 'Account'
read_back = ['Owner.Email']
mirror = { owner_name = 'Owner.Name' }
[write_back.to.fields]
Customer_Id__c = 'id'
Health_Score__c = { column = 'score', realtime = true }
Churn_Risk__c = { column = 'risk', realtime = true }
Interests__c = { column = 'interests', realtime = true }
'Owner.Email' = { column = 'owner', only_where = { IsActive = true }, realtime = true }
";

/// A project that writes to a file of SQLite, to PostgreSQL and to a practice Salesforce.
pub(super) fn three_systems() -> Workspace {
    let place = Workspace::on(Server::Postgres);
    place.table(
        "accounts",
        "id VARCHAR(18) PRIMARY KEY, score NUMERIC(5,2), risk VARCHAR(16)",
        "id,score,risk\nC-1,1,low\nC-2,2,low\n",
    );
    place.table(
        "scores",
        "id VARCHAR(18) PRIMARY KEY, score NUMERIC(5,2), risk VARCHAR(16), interests VARCHAR(99), owner VARCHAR(80), owner_name VARCHAR(80)",
        "id,score,risk,interests,owner,owner_name\nC-1,1,low,Analytics,one@example.com,One\nC-2,2,low,,one@example.com,One\n",
    );
    make_hub(&place);
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["Account.json", "User.json"] {
        let text = std::fs::read_to_string(repository.join("fixtures/salesforce").join(file));
        place.file(&format!("org/{file}"), &text.expect(file));
    }
    place
        .file("org/Account.csv", ACCOUNTS)
        .file("org/User.csv", USERS)
        .file("org/practice.toml", "");
    place.scores(
        "id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2), risk VARCHAR(16), interests VARCHAR(99), owner VARCHAR(80)",
        "id,score,risk,interests,owner\n",
    );
    let hub = "[connections.hub]\nkind = 'sqlite'\nfile = 'hub.db'\nattempts_max = 1\nlock_timeout = '200ms'\n";
    let org = "[connections.org]\nkind = 'salesforce'\npractice = 'org'\n";
    let databases = place.connection("files") + &place.connection("crm");
    place.file(
        "writeback.toml",
        &format!("{databases}\n{hub}{org}{CALLER}"),
    );
    place.file("schedules/job.toml", JOB);
    place
}

pub(super) fn make_hub(place: &Workspace) {
    place.execute_file(
        "hub.db",
        "PRAGMA journal_mode = WAL; CREATE TABLE companies (key TEXT PRIMARY KEY, points INTEGER);
         INSERT INTO companies VALUES ('C-1', 1), ('C-2', 2)",
    );
}

/// What of C-1 the three hold: points, then score, then score and risk.
pub(super) fn held(place: &Workspace) -> [String; 3] {
    let second = |csv: String| csv.lines().nth(1).unwrap_or_default().to_owned();
    let org = "SELECT CAST(json_extract(body, '$.Health_Score__c') AS REAL), json_extract(body, '$.Churn_Risk__c')
               FROM documents WHERE kind = 'Account' AND json_extract(body, '$.Customer_Id__c') = 'C-1'";
    [
        second(place.query_file("hub.db", "SELECT points FROM companies WHERE key = 'C-1'")),
        second(place.query("SELECT score, risk FROM accounts WHERE id = 'C-1'")),
        second(place.query_file(".writeback/practice/org.db", org)),
    ]
}

/// `hub 200 updated`, for each destination.
pub(super) fn destinations(told: &Value) -> Vec<String> {
    let all = told["destinations"]
        .as_array()
        .expect("destinations")
        .iter();
    let line = |one: &Value| {
        let outcome = one["outcome"].as_str().expect("an outcome");
        format!(
            "{} {} {outcome}",
            one["destination"].as_str().expect("a name"),
            one["status"]
        )
    };
    all.map(line).collect()
}

fn id_of(answer: &Answer) -> String {
    answer.json()["id"].as_str().expect("an id").to_owned()
}

const CHANGE: &str =
    r#"{"values": {"score": 7, "risk": "high"}, "origin": "form", "actor": "ann"}"#;

#[test]
fn a_request_is_written_to_every_destination_told_field_by_field_and_taken_back_from_all() {
    let place = three_systems();
    let answering = Answering::start(&place);
    let answer = answering.change("C-1", CHANGE);
    assert_eq!(answer.told(), (200, "updated".to_owned()), "{answer:?}");
    let told = answer.json();
    let each = ["hub 200 updated", "crm 200 updated", "org 200 updated"];
    assert_eq!(destinations(&told), each, "{told}");
    let fields = json!([{"field": "points", "from": "1", "to": "7", "outcome": "updated"}]);
    assert_eq!(told["destinations"][0]["fields"], fields, "{told}");
    let risk = json!({"field": "risk", "from": "low", "to": "high", "outcome": "updated"});
    assert_eq!(told["destinations"][1]["fields"][1], risk, "{told}");
    assert_eq!(
        told["destinations"][2]["read_back"]["Churn_Risk__c"], "high",
        "{told}"
    );
    assert_eq!(held(&place), ["7", "7.00,high", "7.0,high"]);
    // What only one of them has is written there, and nothing is said of the others.
    let one = answering.change("C-1", r#"{"values": {"interests": "Analytics;Security"}}"#);
    assert_eq!(destinations(&one.json()), ["org 200 updated"], "{one:?}");
    let none = answering.change("C-9", CHANGE);
    assert_eq!(none.told(), (404, "skipped".to_owned()), "{none:?}");
    let outcome = answering.settled(&id_of(&answer));
    assert_eq!(destinations(&outcome), each, "{outcome}");
    let history = place.command(&["history", "scores@crm", "--record", "C-1"]);
    assert!(history.stdout.contains("(ann, form, portal)"), "{history}");
    let undone = place.command(&["undo", "--request", &id_of(&answer)]);
    assert_eq!(undone.code, 0, "{undone}");
    assert_eq!(held(&place), ["1", "1.00,low", "1.0,low"], "{undone}");
}

#[test]
fn a_destination_that_is_down_has_its_own_status_and_the_same_key_asks_for_it_alone() {
    let place = three_systems();
    place.count_writes("accounts");
    let answering = Answering::start(&place);
    // The hub is read and not written, as somebody else writes it.
    let hub = place.client_of_file("hub.db");
    assert!(hub.tries("BEGIN IMMEDIATE"));
    let answer = answering.ask_keyed("k1", &path_of("C-1"), CHANGE);
    assert_eq!(answer.told(), (200, "partly".to_owned()), "{answer:?}");
    let each = ["hub 502 not_written", "crm 200 updated", "org 200 updated"];
    assert_eq!(destinations(&answer.json()), each, "{answer:?}");
    assert_eq!(held(&place), ["1", "7.00,high", "7.0,high"]);
    let recorded = "SELECT write_back, json_extract(answer, '$.outcome') FROM record_requests ORDER BY write_back";
    let recorded = place.query_ledger(recorded).expect("a ledger");
    for line in [
        "scores@crm,updated",
        "scores@hub,not_written",
        "scores@org,updated",
    ] {
        assert!(recorded.contains(line), "{recorded}");
    }
    assert_eq!(destinations(&answering.settled(&id_of(&answer))), each);
    let alone = answering.change("C-2", r#"{"values": {"risk": "high", "score": 2}}"#);
    assert_eq!(alone.told(), (200, "partly".to_owned()), "{alone:?}");
    assert!(hub.tries("ROLLBACK"));
    let again = answering.ask_keyed("k1", &path_of("C-1"), CHANGE);
    let each = ["hub 200 updated", "crm 200 updated", "org 200 updated"];
    assert_eq!(destinations(&again.json()), each, "{again:?}");
    assert_eq!(id_of(&again), id_of(&answer));
    assert_eq!(held(&place), ["7", "7.00,high", "7.0,high"]);
    assert_eq!(place.writes(), 2, "C-1 and C-2, once each");
    let other = answering.ask_keyed("k1", &path_of("C-1"), r#"{"values": {"score": 8}}"#);
    assert_eq!(other.status, 409, "{other:?}");
    answering.kill();
    let answering = Answering::start(&place);
    let third = answering.ask_keyed("k1", &path_of("C-1"), CHANGE);
    assert_eq!(third.json(), again.json(), "a restart forgets nothing");
    let undone = place.command(&["undo", "--request", &id_of(&answer)]);
    assert_eq!(undone.code, 0, "{undone}");
    assert_eq!(held(&place), ["1", "1.00,low", "1.0,low"], "{undone}");
}

#[test]
fn a_destination_that_was_never_there_is_told_and_all_that_are_away_are_no_success() {
    let place = three_systems();
    std::fs::remove_file(place.path("hub.db")).expect("a file");
    let answering = Answering::start(&place);
    let answer = answering.change("C-1", CHANGE);
    assert_eq!(answer.told(), (200, "partly".to_owned()), "{answer:?}");
    let each = ["hub 502 not_written", "crm 200 updated", "org 200 updated"];
    assert_eq!(destinations(&answer.json()), each, "{answer:?}");
    let outcome = answering.settled(&id_of(&answer));
    assert_eq!(destinations(&outcome), each, "{outcome}");
    let undone = place.command(&["undo", "--request", &id_of(&answer)]);
    assert_eq!(
        undone.code, 0,
        "what was written can be taken back: {undone}"
    );
    let job = place.text("schedules/job.toml");
    let only = job.split("[[write_back.to]]").take(2).collect::<Vec<_>>();
    place.file("schedules/job.toml", &only.join("[[write_back.to]]"));
    let (code, log) = answering.stop();
    assert_eq!(code, Some(0), "{log}");
    let answering = Answering::start(&place);
    let none = answering.change("C-1", r#"{"values": {"score": 7}}"#);
    assert_eq!(none.told(), (502, "not_written".to_owned()), "{none:?}");
    make_hub(&place);
    let there = answering.change("C-1", r#"{"values": {"score": 7}}"#);
    assert_eq!(there.told(), (200, "updated".to_owned()), "{there:?}");
}

#[test]
fn a_request_that_was_cut_off_is_carried_out_once_at_each_destination() {
    for death in [
        "1 record a batch in",
        "1 a request answered",
        "1 record a commit in",
    ] {
        let place = three_systems();
        place.count_writes("accounts");
        let answering = Answering::start_with(&place, &[("WRITEBACK_ABORT_AT", death)]);
        let token = format!("Bearer {}", super::caller::TOKEN);
        let headers = [("Authorization", token.as_str()), ("Idempotency-Key", "k")];
        let cut_off =
            super::caller::send(&answering.host, "PATCH", &path_of("C-1"), &headers, CHANGE);
        assert!(cut_off.is_none(), "{death}: {cut_off:?}");
        answering.kill();
        let answering = Answering::start(&place);
        let again = answering.ask_keyed("k", &path_of("C-1"), CHANGE);
        let settled = answering.settled(&id_of(&again));
        assert!(
            settled["status"] == 200 || settled["status"] == 502,
            "{death}: {settled}"
        );
        let last = answering.ask_keyed("k", &path_of("C-1"), CHANGE);
        assert_eq!(last.status, 200, "{death}: {last:?}");
        assert_eq!(
            held(&place),
            ["7", "7.00,high", "7.0,high"],
            "{death}: {last:?}"
        );
        assert_eq!(place.writes(), 1, "{death}");
    }
}

#[test]
fn what_is_accepted_first_and_what_comes_in_bulk_goes_to_every_destination() {
    let place = three_systems();
    let answering = Answering::start(&place);
    let token = format!("Bearer {}", super::caller::TOKEN);
    let headers = [
        ("Authorization", token.as_str()),
        ("Prefer", "respond-async"),
    ];
    let accepted = answering.send("PATCH", &path_of("C-1"), &headers, CHANGE);
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let outcome = answering.settled(&id_of(&accepted));
    let each = ["hub 200 updated", "crm 200 updated", "org 200 updated"];
    assert_eq!(destinations(&outcome), each, "{outcome}");
    let body = r#"{"records": [{"key": {"id": "C-1"}, "values": {"score": 9}},
                               {"key": {"id": "C-9"}, "values": {"score": 9}}]}"#;
    let bulk = answering.ask("POST", "/v1/jobs/job/write-backs/scores/records", body);
    let told = bulk.json();
    assert_eq!(destinations(&told["records"][0]), each, "{told}");
    assert_eq!(told["records"][1]["status"], 404, "{told}");
    assert_eq!(held(&place), ["9", "9.00,high", "9.0,high"]);
    let listed = answering
        .ask("GET", "/v1/jobs/job/write-backs/scores", "")
        .json();
    assert_eq!(
        listed["destinations"][2]["fields"][1]["field"], "Health_Score__c",
        "{listed}"
    );
}
