//! Who may see the page, decided on the page: people and tokens, as the commands decide it.

use serde_json::{Value, json};

use crate::harness::{Server, Workspace};
use crate::person::Person;
use crate::shown::{OWN, Shown};

fn place() -> Workspace {
    Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,a,\n",
        "id,score,note\nA1,2,a\n",
    )
}

/// What a command lists, as text.
fn listed(place: &Workspace, what: &str) -> String {
    place.command(&["page", what, "list"]).stdout
}

#[test]
fn an_admin_lets_people_in_and_out_and_it_is_written_down() {
    let place = place();
    let shown = Shown::page(&place);
    let admin = Person::of(&shown, "admin");
    let page = admin.get("/account").body;
    assert!(page.contains("href=\"/people\"") && page.contains("href=\"/tokens\""));
    let sent = "name=bo&role=operator&job=job&password=";
    // Too short a password: the form comes back with what was typed, but for the password.
    let refused = admin.post("/people", &format!("{sent}short-word"));
    assert_eq!(refused.status, 422, "{}", refused.body);
    for part in [
        "12 characters",
        "value=\"bo\"",
        "value=\"operator\" selected",
    ] {
        assert!(refused.body.contains(part), "{part} in {}", refused.body);
    }
    assert!(!refused.body.contains("short-word"), "{}", refused.body);
    let password = "four+words+in+a+row";
    let added = admin.post("/people", &format!("{sent}{password}"));
    assert_eq!(added.status, 303, "{}", added.body);
    let taken = admin.post("/people", &format!("{sent}{password}"));
    assert_eq!(taken.status, 409, "{}", taken.body);
    let absent = "name=cy&role=viewer&job=none&password=four+words+in+a+row";
    assert_eq!(admin.post("/people", absent).status, 404);
    let people = listed(&place, "user");
    assert!(
        people.contains("bo") && people.contains("operator"),
        "{people}"
    );
    assert!(!people.contains("cy"), "{people}");
    // Who was let in signs in, sees their job, and is signed out at once when they are not any more.
    let entered = shown.send(
        "POST",
        "/login",
        &[OWN],
        &format!("name=bo&password={password}"),
    );
    assert_eq!(entered.status, 303, "{}", entered.body);
    let cookie = entered.cookie();
    let status = |path: &str| shown.get(path, &[("Cookie", &cookie)]).status;
    assert_eq!((status("/jobs/job"), status("/people")), (200, 403));
    assert_eq!(admin.json("/people")["items"][0]["job"], "job");
    assert_eq!(admin.post("/people/bo/remove", "").status, 303);
    assert_eq!(status("/jobs/job"), 303, "they are signed out");
    assert!(!listed(&place, "user").contains("bo"));
    let acts = place.command(&["activity", "--json"]).json();
    let acts = acts["actions"].as_array().unwrap();
    let done = |act: &str| {
        let all = acts.iter().filter(|one| one["act"] == act);
        let told = |one: &Value| (one["target"].clone(), one["result"].clone());
        all.map(told).collect::<Vec<_>>()
    };
    assert_eq!(done("remove user"), [(json!("bo"), json!("done"))]);
    let added = done("add user");
    assert_eq!(added.len(), 3, "{added:?}");
    assert!(
        added.contains(&(json!("bo, operator of job"), json!("done"))),
        "{added:?}"
    );
    let told = json!(acts).to_string();
    assert!(
        !told.contains("four words") && !told.contains("short-word"),
        "{told}"
    );
}

#[test]
fn a_token_is_shown_once_and_does_what_its_role_may() {
    let place = place();
    let shown = Shown::page(&place);
    let admin = Person::of(&shown, "admin");
    let form = "name=robot&role=viewer&job=&expires=";
    let refused = admin.post("/tokens", &format!("{form}soon"));
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(
        refused.body.contains("that is no duration"),
        "{}",
        refused.body
    );
    let endless = admin.post("/tokens", &format!("{form}1000000y"));
    assert_eq!(endless.status, 422, "{}", endless.body);
    let made = admin.post("/tokens", &format!("{form}2h"));
    assert_eq!(made.status, 200, "{}", made.body);
    let (_, rest) = made.body.split_once("<code>wb_").expect("the token");
    let token = format!("Bearer wb_{}", rest.split('<').next().unwrap());
    let again = admin.get("/tokens").body;
    assert!(again.contains("robot"), "{again}");
    assert!(
        !again.contains(token.trim_start_matches("Bearer ")),
        "{again}"
    );
    let asks = |method: &str, path: &str, body: &str| {
        let headers = [("Authorization", token.as_str())];
        shown.send_json(method, path, &headers, body).status
    };
    assert_eq!(asks("GET", "/api/v1/status", ""), 200);
    assert_eq!(asks("GET", "/api/v1/tokens", ""), 403);
    // The same by calls: made, listed, and good for nothing once it is removed.
    let called = admin.call(
        "/tokens",
        r#"{"name": "other", "role": "operator", "job": "job"}"#,
    );
    assert_eq!(called.status, 201, "{}", called.body);
    assert!(called.json()["token"].as_str().unwrap().starts_with("wb_"));
    let taken = admin.call("/tokens", r#"{"name": "other", "role": "operator"}"#);
    assert_eq!(taken.status, 409, "{}", taken.body);
    let tokens = listed(&place, "token");
    assert!(
        tokens.contains("robot") && tokens.contains("other"),
        "{tokens}"
    );
    assert_eq!(admin.post("/tokens/robot/remove", "").status, 303);
    assert_eq!(asks("GET", "/api/v1/status", ""), 401);
    assert_eq!(admin.call_with("DELETE", "/tokens/other", "").status, 204);
    assert_eq!(admin.call_with("DELETE", "/tokens/other", "").status, 404);
    // Whose one job is lets nobody in.
    let own = shown.token("own", "admin", &["--job", "job"]);
    let own = [("Authorization", own.as_str())];
    assert_eq!(shown.get("/api/v1/people", &own).status, 403);
}

#[test]
fn sessions_are_told_and_ended_by_calls_too() {
    let place = place();
    let shown = Shown::page(&place);
    let admin = Person::of(&shown, "admin");
    let viewer = shown.cookie("viewer");
    let sessions = admin.json("/sessions");
    let sessions = sessions["items"].as_array().unwrap().clone();
    let last = sessions.last().unwrap();
    assert_eq!((sessions.len(), &last["role"]), (2, &json!("viewer")));
    let status = || shown.get("/", &[("Cookie", &viewer)]).status;
    assert_eq!(status(), 200);
    let address = format!("/sessions/{}", last["session"]);
    assert_eq!(admin.call_with("DELETE", &address, "").status, 204);
    assert_eq!(status(), 303, "it is over");
    assert_eq!(admin.call_with("DELETE", &address, "").status, 404);
}
