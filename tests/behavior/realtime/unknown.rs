//! Answers that are lost: what nobody knows is said to be unknown, and is told truthfully once it
//! is settled. And servers that are down, among several destinations.

use super::caller::{Answering, place_on};
use super::several::{destinations, held, three_systems};
use crate::harness::{Act, At, Fault, Proxy, Served, Server, Workspace};
use crate::salesforce::accounts;

const CHANGE: &str = r#"{"values": {"score": 7}}"#;

/// The outcome that is told of a request that was not known.
fn settled_after_unknown(answering: &Answering, record: &str) -> String {
    let unknown = answering.change(record, CHANGE);
    assert_eq!(unknown.told(), (504, "unknown".to_owned()), "{unknown:?}");
    let hint = unknown.json()["hint"].to_string();
    assert!(hint.contains("/v1/outcomes/"), "{unknown:?}");
    let id = unknown.json()["id"].as_str().expect("an id").to_owned();
    let settled = answering.settled(&id);
    settled["outcome"].as_str().expect("an outcome").to_owned()
}

/// A project whose connection gives up at the first failure.
fn at_first_failure(place: &Workspace) {
    let project = place.text("writeback.toml");
    let project = project.replace("attempts_max = 4\n", "");
    let project = project.replace("[connections.crm]", "[connections.crm]\nattempts_max = 1");
    place.file("writeback.toml", &project);
}

#[test]
fn a_commit_whose_answer_is_lost_is_unknown_and_then_what_it_came_to() {
    let place = place_on(Server::Postgres);
    at_first_failure(&place);
    let proxy = Proxy::before(&place);
    let answering = Answering::start(&place);
    let words = "COMMIT";
    for (at, outcome, score) in [
        (At::Answered { words, nth: 0 }, "updated", "7"),
        (At::Asked { words, nth: 0 }, "not_written", "2"),
    ] {
        let record = if outcome == "updated" { "A1" } else { "A2" };
        proxy.arm(vec![Fault {
            connection: None,
            at,
            act: Act::Cut,
        }]);
        assert_eq!(settled_after_unknown(&answering, record), outcome);
        let held = place.query(&format!("SELECT score FROM accounts WHERE id = '{record}'"));
        assert_eq!(held, format!("score\n{score}\n"), "{outcome}");
    }
    proxy.arm(Vec::new());
    let again = answering.change("A2", CHANGE);
    assert_eq!(again.told(), (200, "updated".to_owned()), "{again:?}");
}

#[test]
fn an_answer_of_salesforce_that_is_lost_is_unknown_and_then_what_it_came_to() {
    let place = super::services::org();
    at_first_failure(&place);
    let faults =
        ["composite", "update"].map(|kind| format!("drop_after:{kind}=@1,drop_before:{kind}=@2"));
    let _org = Served::among(&place, &faults.join(","));
    let answering = Answering::start(&place);
    assert_eq!(settled_after_unknown(&answering, "C-1"), "updated");
    let held = accounts(&place, &["Customer_Id__c", "Health_Score__c"]);
    assert!(held.contains("C-1,7.0\n"), "{held}");
    // The next is lost before it comes there.
    assert_eq!(settled_after_unknown(&answering, "C-2"), "not_written");
    let held = accounts(&place, &["Customer_Id__c", "Health_Score__c"]);
    assert!(held.contains("C-2,20.0\n"), "{held}");
}

#[test]
fn servers_that_go_down_keep_no_other_destination_from_being_written() {
    let place = three_systems();
    at_first_failure(&place);
    let app = "[[app]]\nclient_id = 'app'\nclient_secret = 'secret-0123'\n";
    place.file("org/practice.toml", app);
    let org = Served::of(&place, "org");
    let live = format!(
        "kind = 'salesforce'\nattempts_max = 1\nlogin_url = '{}'\nauth = {{ flow = 'client_credentials', client_id = 'app', client_secret = {{ env = 'SECRET' }} }}\n",
        org.url()
    );
    let practice = "kind = 'salesforce'\npractice = 'org'\n";
    let project = place.text("writeback.toml").replace(practice, &live);
    place.file("writeback.toml", &project);
    let proxy = Proxy::before(&place);
    let answering = Answering::start_with(&place, &[("SECRET", "secret-0123")]);
    let body = r#"{"values": {"score": 7, "risk": "high"}}"#;
    let all = answering.change("C-1", body);
    let each = ["hub 200 updated", "crm 200 updated", "org 200 updated"];
    assert_eq!(destinations(&all.json()), each, "{all:?}");
    drop((proxy, org));
    let partly = answering.change("C-1", &body.replace('7', "8"));
    assert_eq!(partly.told(), (200, "partly".to_owned()), "{partly:?}");
    let each = [
        "hub 200 updated",
        "crm 502 not_written",
        "org 502 not_written",
    ];
    assert_eq!(destinations(&partly.json()), each, "{partly:?}");
    let id = partly.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(destinations(&answering.settled(&id)), each);
    assert_eq!(held(&place), ["8", "7.00,high", "7.0,high"]);
}
