//! Requests whose destination is a web API: the practice Salesforce, over real HTTP.

use serde_json::json;

use super::caller::{Answering, CALLER};
use crate::harness::{Workspace, write_back};
use crate::salesforce::{accounts, place};

fn org() -> Workspace {
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
