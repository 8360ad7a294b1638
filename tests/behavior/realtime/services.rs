//! Requests whose destination is a web API: the practice services, over real HTTP.

use serde_json::json;

use super::caller::{Answering, CALLER, TOKEN, path_of};
use crate::harness::{Served, Workspace, write_back};
use crate::salesforce::{accounts, place};

pub(super) fn org() -> Workspace {
    let place = place("", "id,score,risk,note\n");
    let project = place.text("writeback.toml");
    place.file("writeback.toml", &format!("{project}{CALLER}"));
    let fields = "Customer_Id__c = 'id'
Health_Score__c = { column = 'score', realtime = true }
Churn_Risk__c = { column = 'risk', realtime = true }
Health_Note__c = { column = 'note', realtime = true }";
    place.file(
        "schedules/job.toml",
        &write_back("scores", "Account", "", fields),
    );
    place
}

fn held(place: &Workspace) -> String {
    let held = accounts(
        place,
        &["Customer_Id__c", "Health_Score__c", "Churn_Risk__c"],
    );
    held.lines()
        .take(3)
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn a_field_of_salesforce_is_written_at_once_with_the_id_and_what_it_says() {
    let place = org();
    let answering = Answering::start(&place);
    let body = r#"{"values": {"risk": "high"}, "expected": {"risk": "low"}}"#;
    let answer = answering.change("C-1", body);
    assert_eq!(answer.told(), (200, "updated".to_owned()), "{answer:?}");
    let told = answer.json();
    let destination = &told["destinations"][0];
    let fields =
        json!([{"field": "Churn_Risk__c", "from": "low", "to": "high", "outcome": "updated"}]);
    assert_eq!(destination["fields"], fields, "{told}");
    assert_eq!(
        destination["read_back"],
        json!({"Churn_Risk__c": "high"}),
        "{told}"
    );
    assert!(
        destination["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("001")),
        "{told}"
    );
    assert_eq!(answering.change("C-1", body).status, 409);
    let refused = answering.change("C-1", r#"{"values": {"score": 101}}"#);
    assert_eq!(refused.told(), (422, "rejected".to_owned()), "{refused:?}");
    let reason = refused.json()["destinations"][0]["reason"].clone();
    let own = "A health score lies between 0 and 100.";
    assert!(
        reason.as_str().is_some_and(|reason| reason.contains(own)),
        "{reason}"
    );
    assert_eq!(
        answering
            .change("C-9", r#"{"values": {"score": 1}}"#)
            .status,
        404
    );
    let rows = "Customer_Id__c,Health_Score__c,Churn_Risk__c\nC-1,10.5,high\nC-2,20.0,\n";
    assert_eq!(held(&place), rows);
    let undone = place.command(&["undo", "1"]);
    assert_eq!(undone.code, 0, "{undone}");
    assert_eq!(held(&place), rows.replace("high", "low"));
}

#[test]
fn an_account_that_is_not_there_is_not_made_for_whoever_expects_it_to_hold_something() {
    let place = org();
    let job = place.text("schedules/job.toml");
    let upsert = job.replace("source = ", "matching = 'upsert'\nsource = ");
    place.file(
        "schedules/job.toml",
        &upsert.replace("Health_Note__c", "Name"),
    );
    let answering = Answering::start(&place);
    let body = r#"{"values": {"risk": "high", "note": "N"}, "expected": {"risk": "low"}}"#;
    let answer = answering.change("C-99", body);
    assert_eq!(answer.told(), (409, "conflict".to_owned()), "{answer:?}");
    assert!(!accounts(&place, &["Customer_Id__c"]).contains("C-99"));
}

#[test]
fn a_request_to_salesforce_that_was_cut_off_and_is_asked_again_is_carried_out_once() {
    let place = org();
    for (score, death) in (50..).zip([
        "record a batch in",
        "a request answered",
        "record a commit in",
    ]) {
        let at = format!("1 {death}");
        let answering = Answering::start_with(&place, &[("WRITEBACK_ABORT_AT", &at)]);
        let body = format!(r#"{{"values": {{"score": {score}}}}}"#);
        let token = format!("Bearer {}", super::caller::TOKEN);
        let key = format!("k{score}");
        let headers = [("Authorization", token.as_str()), ("Idempotency-Key", &key)];
        let path = super::caller::path_of("C-1");
        assert!(
            super::caller::send(&answering.host, "PATCH", &path, &headers, &body).is_none(),
            "{death}"
        );
        answering.kill();
        let answering = Answering::start(&place);
        let told = answering.ask_keyed(&key, &path, &body).json();
        let told = answering.settled(told["id"].as_str().expect("an id"));
        assert_eq!(told["outcome"], "updated", "{death}: {told}");
        assert!(held(&place).contains(&format!("C-1,{score}")), "{death}");
    }
}

/// A web API as requests meet it.
struct Service {
    name: &'static str,
    place: fn() -> Workspace,
    table: &'static str,
    fields: &'static str,
    /// A record, a change of it, and what the field is called and held before and after.
    record: &'static str,
    change: &'static str,
    field: (&'static str, &'static str, &'static str),
    /// A change that the API itself refuses, and some of its words.
    refused: Option<(&'static str, &'static str)>,
    held: fn(&Workspace) -> String,
    /// What stands in it before and after the change.
    rows: (&'static str, &'static str),
}

const SERVICES: [Service; 3] = [
    Service {
        name: "HubSpot",
        place: || crate::hubspot::place("", "id,score,risk,note\n"),
        table: "companies",
        fields: "account_id = 'id'
health_score = { column = 'score', realtime = true }
churn_risk = { column = 'risk', realtime = true }
health_note = 'note'",
        record: "A1",
        change: r#"{"values": {"risk": "low"}, "expected": {"risk": "high"}}"#,
        field: ("churn_risk", "high", "low"),
        refused: Some((r#"{"values": {"score": 101}}"#, "100")),
        held: |place| crate::hubspot::scores(place).join("\n"),
        rows: ("A1,12.5,high", "A1,12.5,low"),
    },
    Service {
        name: "Dataverse",
        place: || crate::dataverse::place("", "id,score,risk,note\n"),
        table: "account",
        fields: "cr_customerid = 'id'
cr_healthscore = { column = 'score', realtime = true }
cr_churnrisk = { column = 'risk', realtime = true }
cr_healthnote = 'note'",
        record: "C-1",
        change: r#"{"values": {"risk": "high"}, "expected": {"risk": "low"}}"#,
        field: ("cr_churnrisk", "low", "high"),
        refused: Some((
            r#"{"values": {"score": 101}}"#,
            "A health score lies between 0 and 100.",
        )),
        held: crate::dataverse::scores,
        rows: ("C-1,10.5,100000000", "C-1,10.5,100000002"),
    },
    Service {
        name: "Bullhorn",
        place: || {
            let place = crate::bullhorn::usual_place("");
            place.file("data/scores.csv", "id,tier,day,src\n");
            place
        },
        table: "Candidate",
        fields: "externalID = 'id'
customText1 = { column = 'tier', realtime = true }
dateAvailable = 'day'
source = 'src'",
        record: "R-3",
        change: r#"{"values": {"tier": "gold"}, "expected": {"tier": "silver"}}"#,
        field: ("customText1", "silver", "gold"),
        refused: None,
        held: crate::bullhorn::tiers,
        rows: ("R-3,silver", "R-3,gold"),
    },
];

#[test]
fn every_web_api_is_written_at_once_says_why_not_in_its_own_words_and_is_put_back() {
    for service in SERVICES {
        let name = service.name;
        let place = (service.place)();
        let project = place.text("writeback.toml");
        place.file("writeback.toml", &format!("{project}\n{CALLER}"));
        let job = write_back("scores", service.table, "", service.fields);
        place.file("schedules/job.toml", &job);
        let answering = Answering::start(&place);
        let answer = answering.change(service.record, service.change);
        assert_eq!(
            answer.told(),
            (200, "updated".to_owned()),
            "{name} {answer:?}"
        );
        let told = answer.json()["destinations"][0].clone();
        let (field, from, to) = service.field;
        let fields = json!([{"field": field, "from": from, "to": to, "outcome": "updated"}]);
        assert_eq!(told["fields"], fields, "{name} {told}");
        assert_eq!(told["read_back"], json!({field: to}), "{name} {told}");
        assert!(told["id"].is_string(), "{name} {told}");
        let conflict = answering.change(service.record, service.change);
        assert_eq!(
            conflict.told(),
            (409, "conflict".to_owned()),
            "{name} {conflict:?}"
        );
        let absent = answering.change("X-9", service.change);
        assert_eq!(absent.status, 404, "{name} {absent:?}");
        if let Some((change, words)) = service.refused {
            let refused = answering.change(service.record, change);
            assert_eq!(
                refused.told(),
                (422, "rejected".to_owned()),
                "{name} {refused:?}"
            );
            let reason = refused.json()["destinations"][0]["reason"].to_string();
            assert!(reason.contains(words), "{name} {reason}");
        }
        let held = (service.held)(&place);
        assert!(held.contains(service.rows.1), "{name} {held}");
        let id = answer.json()["id"].as_str().expect("an id").to_owned();
        let undone = place.command(&["undo", "--request", &id]);
        assert_eq!(undone.code, 0, "{name} {undone}");
        let held = (service.held)(&place);
        assert!(held.contains(service.rows.0), "{name} {held}");
    }
}

#[test]
fn what_is_accepted_waits_for_its_turn_however_long_that_takes_and_keeps_its_order() {
    let place = org();
    let _org = Served::among(&place, "latency=400ms");
    let answering = Answering::start(&place);
    let token = format!("Bearer {TOKEN}");
    let headers = [
        ("Authorization", token.as_str()),
        ("Prefer", "respond-async"),
    ];
    let ids: Vec<String> = (30..36)
        .map(|score| {
            let body = format!(r#"{{"values": {{"score": {score}}}}}"#);
            let accepted = answering.send("PATCH", &path_of("C-1"), &headers, &body);
            assert_eq!(accepted.status, 202, "{score}: {accepted:?}");
            accepted.json()["id"].as_str().expect("an id").to_owned()
        })
        .collect();
    for (id, score) in ids.iter().zip(30..) {
        let told = answering.settled(id);
        assert_eq!(told["outcome"], "updated", "{told}");
        let before = told["destinations"][0]["fields"][0]["from"].as_str();
        let before: Option<f64> = before.and_then(|before| before.parse().ok());
        let earlier = f64::from(score - 1);
        assert!(score == 30 || before == Some(earlier), "{score}: {told}");
    }
    assert!(held(&place).contains("C-1,35"), "{}", held(&place));
}
