//! What people do about records and jobs that need care, on the page and through its API.

use serde_json::Value;

use crate::fixture;
use crate::harness::{FIELDS, Server, Workspace, write_back};
use crate::person::Person;
use crate::shown::Shown;

const ACCOUNTS: &str = "id,score,note,phone\nA1,1,a,\nA2,2,b,\nA3,3,c,\nA4,4,d,\n";

/// A job of which three of four records are rejected: they hold no number.
pub(crate) fn place() -> Workspace {
    let scores = "id,score,note\nA1,10,a\nA2,n/a,b\nA3,n/a,c\nA4,n/a,d\n";
    let place = Workspace::accounts(Server::Sqlite, ACCOUNTS, scores);
    let connections = place.connection("files") + &place.connection("crm");
    place.file(
        "writeback.toml",
        &format!("{connections}[dashboards.health]\nannounced = true\n"),
    );
    let job = write_back("scores", "accounts", "", FIELDS);
    let cadence = "[cadence]\ndashboard = 'health'\nat = [2020-12-24T06:00:00Z]\n\n";
    place.file("schedules/job.toml", &format!("{cadence}{job}"));
    fixture::announce(&place, "W45");
    assert_eq!(place.run().summary(), "4 read = 1 updated + 3 rejected");
    place
}

/// The same with numbers for all.
pub(crate) fn mended(place: &Workspace) {
    let scores = "id,score,note\nA1,10,a\nA2,20,b\nA3,30,c\nA4,40,d\n";
    place.file("data/scores.csv", scores);
}

#[test]
fn a_retry_of_what_was_found_takes_those_records_and_no_others() {
    let place = place();
    mended(&place);
    let shown = Shown::start(&place, &["serve", "--page", "127.0.0.1:0"]);
    let operator = Person::of(&shown, "operator");
    let page = operator.get("/runs/1/scores/chosen?q=A3").body;
    assert!(page.contains("Take 1 records again"), "{page}");
    let wrong = operator.post("/runs/1/scores/retry", "key=r0&q=A3&records=2");
    assert_eq!(wrong.status, 409, "{}", wrong.body);
    let asked = operator.post("/runs/1/scores/retry", "key=r1&q=A3&records=1");
    let request = operator.ended(asked.header("location").unwrap());
    assert_eq!(request["message"], "succeeded", "{request}");
    assert_eq!(
        place.rows("accounts"),
        "id,score,note,phone\nA1,10,a,\nA2,2,b,\nA3,30,c,\nA4,4,d,\n"
    );
    let run = place.command(&["runs", "2", "--json"]).json();
    assert_eq!(
        (&run["retry_of"], &run["write_backs"][0]["read"]),
        (&1.into(), &1.into())
    );
    // It landed, so that it is not among them any more.
    let landed = operator.post("/runs/1/scores/retry", "key=r2&q=A3&records=1");
    assert_eq!(landed.status, 409, "{}", landed.body);
    let rest = operator.call("/jobs/job/retries", r#"{"records": 2}"#);
    assert_eq!(rest.status, 202, "{}", rest.body);
    let place_of = rest
        .header("location")
        .unwrap()
        .trim_start_matches("/api/v1");
    assert_eq!(operator.ended(place_of)["message"], "succeeded");
    assert!(
        place.rows("accounts").contains("A2,20,b") && place.rows("accounts").contains("A4,40,d")
    );
    // The same from the command line.
    let none = place.command(&["run", "job", "--only-rejected", "--record", "A2"]);
    assert_eq!(none.code, 2, "{none}");
    assert!(none.stderr.contains("has landed since"), "{none}");
}

#[test]
fn records_that_are_parked_are_left_alone_until_they_are_lifted() {
    let place = place();
    mended(&place);
    let shown = Shown::page(&place);
    let operator = Person::of(&shown, "operator");
    let form = "stage=schema&records=3&until=2099-01-31&because=merger+under+way";
    let parked = operator.post("/runs/1/scores/park", form);
    assert_eq!(parked.status, 303, "{}", parked.body);
    let page = operator.get("/jobs/job").body;
    assert!(page.contains("merger under way"), "{page}");
    let run = place.command(&["run", "job", "--again", "--json"]);
    assert_eq!(run.summary(), "4 read = 1 unchanged + 3 skipped", "{run}");
    let told = place.command(&["runs", "2", "--json"]).json();
    let left = told["parked"].to_string() + &told.to_string();
    assert!(left.contains("merger under way"), "{told}");
    for (path, body, status) in [
        ("/records/A2/lift", "", 303),
        ("/records/A2/lift", "", 409),
        ("/records/A2/park", "until=2020-01-01&because=late", 422),
        ("/records/A2/park", "until=changed&because=", 422),
        ("/records/A2/park", "until=changed&because=wrong", 303),
    ] {
        let answer = operator.post(&format!("/jobs/job/scores{path}"), body);
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
    }
    let lifted = operator.call_with("DELETE", "/jobs/job/scores/parked/A3", "");
    assert_eq!(lifted.status, 204, "{}", lifted.body);
    let body = r#"{"until": "changed", "reason": "wrong"}"#;
    let parked = operator.call_with("PUT", "/jobs/job/scores/parked/A4", body);
    assert_eq!(parked.status, 200, "{}", parked.body);
    let listed = place.command(&["park", "job", "--json"]).json();
    let keys: Vec<&Value> = listed["parked"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["key"])
        .collect();
    assert_eq!(keys, ["A2", "A4"]);
    let acts = place.command(&["activity", "--json"]).json().to_string();
    assert!(acts.contains("job / scores: 3 records"), "{acts}");
}

#[test]
fn a_test_with_rollback_shows_what_would_be_and_leaves_nothing() {
    let place = place();
    place.execute(
        "CREATE TRIGGER shout AFTER UPDATE OF note ON accounts
         BEGIN UPDATE accounts SET note = upper(NEW.note) WHERE id = NEW.id; END",
    );
    place.file("data/scores.csv", "id,score,note\nA1,99,new\n");
    let shown = Shown::page(&place);
    let operator = Person::of(&shown, "operator");
    let before = place.rows("accounts");
    let (address, look) = operator.look("/jobs/job/scores/records/A1/test", "key=t1");
    let record = &look["told"]["records"][0];
    assert_eq!(record["rolled_back"], true, "{look}");
    let note = record["columns"].as_array().unwrap();
    let note = note.iter().find(|one| one["column"] == "note").unwrap();
    assert_eq!(
        (&note["before"], &note["sent"], &note["after"]),
        (&"a".into(), &"new".into(), &"NEW".into())
    );
    let page = operator.get(&address).body;
    assert!(
        page.contains("✕ not as written") && page.contains(">99<"),
        "{page}"
    );
    assert_eq!(place.rows("accounts"), before);
    // What stays takes an admin.
    let kept = operator.post("/jobs/job/scores/records/A1/test", "key=t2&keep=1");
    assert_eq!(kept.status, 403, "{}", kept.body);
    let admin = Person::of(&shown, "admin");
    let asked = admin.call(
        "/jobs/job/scores/records/A1/tests",
        r#"{"rollback": false}"#,
    );
    assert_eq!(asked.status, 202, "{}", asked.body);
    admin.ended(
        asked
            .header("location")
            .unwrap()
            .trim_start_matches("/api/v1"),
    );
    assert!(place.rows("accounts").contains("A1,99,NEW"));
}

#[test]
fn a_cycle_is_announced_once_and_only_where_nobody_else_tells() {
    let place = place();
    let project = place.text("writeback.toml");
    let marker = "[dashboards.marked]\nmarker = 'cycle.json'\n";
    place.file("writeback.toml", &format!("{project}{marker}"));
    let shown = Shown::page(&place);
    let operator = Person::of(&shown, "operator");
    for _ in 0..2 {
        let announced = operator.post("/dashboards/health/cycles", "cycle=W46");
        assert_eq!(announced.status, 303, "{}", announced.body);
    }
    let body = r#"{"cycle": "W46", "completed_at": "2026-11-15T06:30:00Z"}"#;
    assert_eq!(operator.call("/dashboards/health/cycles", body).status, 200);
    let known = place.query_ledger("SELECT cycle FROM cycles WHERE dashboard = 'health'");
    assert_eq!(known.as_deref(), Some("cycle\nW45\nW46\n"));
    let button = "Announce it";
    assert!(operator.get("/dashboards/health").body.contains(button));
    assert!(!operator.get("/dashboards/marked").body.contains(button));
    let refused = operator.post("/dashboards/marked/cycles", "cycle=W46");
    assert_eq!(refused.status, 409, "{}", refused.body);
    let two_lines = operator.post("/dashboards/health/cycles", "cycle=W%0A46");
    assert_eq!(two_lines.status, 422, "{}", two_lines.body);
}

#[test]
fn nothing_runs_a_paused_job_until_the_pause_ends() {
    let place = place();
    mended(&place);
    let job = place.text("schedules/job.toml");
    place.file(
        "schedules/job.toml",
        &job.replace("at = [2020-12-24T06:00:00Z]\n", ""),
    );
    let shown = Shown::page(&place);
    let operator = Person::of(&shown, "operator");
    let paused = operator.post("/jobs/job/pause", "until=&because=the+CRM+moves");
    assert_eq!(paused.status, 303, "{}", paused.body);
    assert_eq!(
        operator
            .post("/jobs/job/pause", "until=2020-01-01&because=x")
            .status,
        422
    );
    let page = operator.get("/jobs/job").body;
    assert!(
        page.contains("the CRM moves") && page.contains("End the pause"),
        "{page}"
    );
    let run = place.command(&["run", "job", "--again"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("the CRM moves"), "{run}");
    assert!(run.stderr.contains("writeback pause job --lift"), "{run}");
    fixture::announce(&place, "W46");
    let next = place.command(&["next", "job", "--json"]).json();
    let why = next["jobs"][0]["now"].as_str().unwrap();
    assert!(why.contains("the CRM moves"), "{why}");
    let mut serving = place.serve(&[]);
    serving.wait_for_log("the CRM moves");
    assert_eq!(place.history().len(), 1);
    assert_eq!(operator.post("/jobs/job/resume", "").status, 303);
    place.wait_until("the run", |place| place.history().len() == 2);
    assert_eq!(operator.post("/jobs/job/resume", "").status, 409);
    let body = r#"{"until": "2099-01-01", "reason": "again"}"#;
    assert_eq!(
        operator.call_with("PUT", "/jobs/job/pause", body).status,
        200
    );
    let told = place.command(&["pause", "job", "--json"]).json();
    assert_eq!(told["pause"]["reason"], "again", "{told}");
    assert_eq!(place.command(&["pause", "job", "--lift"]).code, 0);
    assert_eq!(place.command(&["pause", "job", "--lift"]).code, 2);
}

#[test]
fn a_jobs_page_draws_how_fresh_its_data_was_and_what_became_of_it() {
    let place = place();
    let shown = Shown::page(&place);
    let viewer = Person::of(&shown, "viewer");
    let page = viewer.get("/jobs/job").body;
    for part in [
        "class=\"span-",
        "class=\"out-rejected\"",
        "class=\"out-updated\"",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let told = viewer.json("/jobs/job/freshness");
    let one = &told["items"][0];
    let run = place.command(&["runs", "1", "--json"]).json();
    assert_eq!(
        (&one["run"], &one["begun_at"], &one["done_at"]),
        (&run["run"], &run["started_at"], &run["finished_at"])
    );
    assert!(one["noticed_at"].is_string(), "{told}");
}
