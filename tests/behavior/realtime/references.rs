//! References in real time: a request brings what the other row is known by, and is told of the ids.

use serde_json::json;

use super::caller::{Answering, CALLER};
use crate::harness::{Server, Workspace};
use crate::references::{self, USERS, org_accounts};

fn with_caller(place: Workspace) -> Workspace {
    let project = place.text("writeback.toml");
    place.file("writeback.toml", &format!("{project}\n{CALLER}"));
    place
}

fn owned_by(address: &str) -> String {
    format!(r#"{{"values": {{"owner": "{address}"}}}}"#)
}

#[test]
fn a_record_is_assigned_at_once_by_its_owners_address_and_what_leads_nowhere_is_told_by_field() {
    for server in Server::ALL {
        let owner = "owner_id = { column = 'owner', refers_to = 'owners.email', realtime = true }";
        let place = with_caller(references::place(server, owner, "id,score,owner\n"));
        let answering = Answering::start(&place);
        let answer = answering.change("A1", &owned_by("ada@example.com"));
        assert_eq!(
            answer.told(),
            (200, "updated".to_owned()),
            "{server} {answer:?}"
        );
        let told = answer.json();
        let fields = json!([{"field": "owner_id", "from": "2", "to": "1", "outcome": "updated"}]);
        assert_eq!(told["destinations"][0]["fields"], fields, "{server} {told}");
        assert_eq!(
            told["destinations"][0]["read_back"],
            json!({"owner_id": "1"}),
            "{server}"
        );
        for (address, why) in [
            ("eve@example.com", "has this `email`"),
            ("two@example.com", ": 5, 6"),
        ] {
            let answer = answering.change("A1", &owned_by(address));
            assert_eq!(
                answer.told(),
                (422, "rejected".to_owned()),
                "{server} {answer:?}"
            );
            let told = answer.json()["destinations"][0].clone();
            assert_eq!(
                (&told["stage"], &told["column"]),
                (&json!("match"), &json!("owner_id")),
                "{told}"
            );
            assert_eq!(told["fields"][0]["outcome"], "rejected", "{server} {told}");
            assert_eq!(told["fields"][0]["field"], "owner_id", "{server} {told}");
            let reason = told["reason"].as_str().expect("a reason");
            assert!(reason.ends_with(why), "{server} {reason}");
        }
        // What is expected is named as what is wanted is.
        let expected =
            r#"{"values": {"owner": "bob@example.com"}, "expected": {"owner": "ada@example.com"}}"#;
        assert_eq!(answering.change("A1", expected).status, 200, "{server}");
        assert_eq!(answering.change("A1", expected).status, 409, "{server}");
        let nobody = answering.change("A4", r#"{"values": {"owner": null}}"#);
        assert_eq!(
            nobody.told(),
            (200, "updated".to_owned()),
            "{server} {nobody:?}"
        );
        let rows = "id,score,owner_id\nA1,10,2\nA2,20,2\nA3,30,\nA4,40,\n";
        assert_eq!(place.rows("accounts"), rows, "{server}");
        let id = answer.json()["id"].as_str().expect("an id").to_owned();
        let undone = place.command(&["undo", "1", "--record", "A4"]);
        assert_eq!(undone.code, 0, "{server} {id} {undone}");
        assert!(
            place.rows("accounts").ends_with("A4,40,1\n"),
            "{server} {undone}"
        );
    }
}

#[test]
fn an_account_of_salesforce_is_assigned_at_once_by_a_path() {
    let fields = "Customer_Id__c = 'id'
Health_Score__c = 'score'
'Owner.Email' = { column = 'owner', only_where = { IsActive = true }, realtime = true }";
    let place = with_caller(references::org(USERS, fields, "id,score,owner\n"));
    place.file("org/Account.csv", &org_accounts(2));
    let answering = Answering::start(&place);
    let answer = answering.change("C-1", &owned_by("two@example.com"));
    assert_eq!(answer.told(), (200, "updated".to_owned()), "{answer:?}");
    let told = answer.json()["destinations"][0]["fields"][0].clone();
    assert_eq!(told["field"], "OwnerId", "{told}");
    let to = told["to"].as_str().expect("an id");
    assert!(to.starts_with("005000000000U02"), "{told}");
    let absent = answering.change("C-2", &owned_by("eve@example.com"));
    assert_eq!(absent.status, 422, "{absent:?}");
    assert!(
        absent.body.contains("no `User` has this `Email`"),
        "{absent:?}"
    );
    let owners = references::owners(&place);
    assert!(owners.contains("C-1,005000000000U02"), "{owners}");
    let undone = place.command(&["undo", "1"]);
    assert_eq!(undone.code, 0, "{undone}");
    let owners = references::owners(&place);
    assert!(owners.contains("C-1,005000000000U01"), "{owners}");
}

#[test]
fn an_assignment_that_two_fields_make_is_refused_however_it_is_named() {
    let owner = "owner_id = { column = 'owner', refers_to = 'owners.email', realtime = true }
'owners.team' = { column = 'team', realtime = true }";
    let place = references::place(Server::Sqlite, owner, "id,score,owner,team\n");
    place.scores(
        "id VARCHAR(18) PRIMARY KEY, score INTEGER, owner VARCHAR(80), team VARCHAR(20)",
        "id,score,owner,team\n",
    );
    let check = place.command(&["check", "job"]);
    assert_eq!(check.code, 2, "{check}");
    let told = "column `owner_id` is written by two fields, both with `realtime = true`";
    assert!(check.stderr.contains(told), "{check}");
}
