//! What is asked for on the page: who may, what it is bound to, and that it happens once.

use crate::browser::Browser;
use crate::fixture;
use crate::harness::{FIELDS, Server, Workspace, write_back};
use crate::person::Person;
use crate::shown::{Answer, OWN, Shown};

/// A job that follows an announced dashboard, with one account.
fn place() -> Workspace {
    let rows = "id,score,note,phone\nA1,1,a,\n";
    let place = Workspace::accounts(Server::Sqlite, rows, "id,score,note\nA1,2,a\n");
    let connections = place.connection("files") + &place.connection("crm");
    place.file(
        "writeback.toml",
        &format!("{connections}[dashboards.health]\nannounced = true\n"),
    );
    let job = write_back("scores", "accounts", "", FIELDS);
    // A gate that never opens: what runs here was asked for.
    let cadence = "[cadence]\ndashboard = 'health'\nat = [2020-12-24T06:00:00Z]\n\n";
    place.file("schedules/job.toml", &format!("{cadence}{job}"));
    place
}

fn ask(shown: &Shown<'_>, cookie: &str, key: &str, cycle: &str) -> Answer {
    let body = format!("key={key}&cycle={cycle}&write_back=");
    shown.send("POST", "/jobs/job/runs", &[OWN, ("Cookie", cookie)], &body)
}

#[test]
fn a_run_that_is_asked_for_twice_in_one_form_runs_once_and_tells_how_it_ended() {
    let place = place();
    fixture::announce(&place, "W46");
    let shown = Shown::start(&place, &["serve", "--page", "127.0.0.1:0"]);
    let cookie = shown.cookie("operator");
    let (first, second) = (
        ask(&shown, &cookie, "k1", "W46"),
        ask(&shown, &cookie, "k1", "W46"),
    );
    assert_eq!((first.status, second.status), (303, 303), "{}", first.body);
    assert_eq!(first.header("location"), Some("/requests/1"));
    assert_eq!(second.header("location"), Some("/requests/1"));
    let token = shown.token("robot", "operator", &["--job", "job"]);
    let request = || {
        shown
            .get("/api/v1/requests/1", &[("Authorization", &token)])
            .json()
    };
    place.wait_until("the request's end", |_| !request()["ended_at"].is_null());
    let request = request();
    assert_eq!(
        (&request["message"], &request["run"]),
        (&"succeeded".into(), &1.into())
    );
    assert_eq!(
        place.history(),
        [("W46".to_owned(), "succeeded".to_owned())]
    );
    assert_eq!(place.rows("accounts"), "id,score,note,phone\nA1,2,a,\n");
    let acts = place.command(&["activity", "--json"]).json();
    let acts = acts["actions"].as_array().unwrap();
    let runs: Vec<_> = acts.iter().filter(|act| act["act"] == "run").collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!(
        (&runs[0]["target"], &runs[0]["result"]),
        (&"job".into(), &"done".into())
    );
}

#[test]
fn what_was_asked_for_while_nobody_served_happens_once_somebody_does() {
    let place = place();
    fixture::announce(&place, "W46");
    let alone = Shown::page(&place);
    let cookie = alone.cookie("operator");
    assert_eq!(ask(&alone, &cookie, "k1", "W46").status, 303);
    let page = alone.get("/requests/1", &[("Cookie", &cookie)]);
    assert!(page.body.contains("Nobody serves"), "{}", page.body);
    drop(alone);
    let serving = place.serve(&[]);
    place.wait_until("the run", |place| place.history().len() == 1);
    serving.kill();
    let mut serving = place.serve(&[]);
    serving.wait_for_log("serving");
    place.wait_until("the request's end", |place| {
        let ended = place.query_ledger("SELECT request FROM requests WHERE ended_at IS NULL");
        ended.is_some_and(|rows| rows.trim().is_empty())
    });
    assert_eq!(
        place.history(),
        [("W46".to_owned(), "succeeded".to_owned())]
    );
}

#[test]
fn what_was_seen_is_what_runs_or_nothing_does() {
    let place = place();
    fixture::announce(&place, "W46");
    let shown = Shown::page(&place);
    let cookie = shown.cookie("operator");
    let form = shown.get("/jobs/job/run", &[("Cookie", &cookie)]).body;
    assert!(form.contains("name=\"cycle\" value=\"W46\""), "{form}");
    fixture::announce(&place, "W47");
    let stale = ask(&shown, &cookie, "k1", "W46");
    assert_eq!(stale.status, 409);
    assert!(
        stale.body.contains("has finished since you looked"),
        "{}",
        stale.body
    );
    let token = shown.token("robot", "operator", &[]);
    let headers = [("Authorization", token.as_str())];
    let unknown = shown.send_json(
        "POST",
        "/api/v1/jobs/job/runs",
        &headers,
        r#"{"cycle": "W99"}"#,
    );
    assert_eq!(unknown.status, 409, "{}", unknown.body);
    let keyed = [headers[0], ("Idempotency-Key", "mine")];
    let asked = || {
        shown.send_json(
            "POST",
            "/api/v1/jobs/job/runs",
            &keyed,
            r#"{"cycle": "W47"}"#,
        )
    };
    let (first, again) = (asked(), asked());
    assert_eq!((first.status, again.status), (202, 202), "{}", first.body);
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(
        place.query_ledger("SELECT cycle FROM requests").as_deref(),
        Some("cycle\nW47\n")
    );
    assert_eq!(place.history(), []);
    let over = shown.send_json("POST", "/api/v1/runs/1/stop", &headers, "");
    assert_eq!(over.status, 404, "{}", over.body);
}

#[test]
fn who_may_only_look_has_no_button_and_is_refused() {
    let place = place();
    fixture::announce(&place, "W46");
    let shown = Shown::page(&place);
    let button = "href=\"/jobs/job/run\"";
    for (role, may) in [("viewer", false), ("operator", true), ("admin", true)] {
        let cookie = shown.cookie(role);
        let page = shown.get("/jobs/job", &[("Cookie", &cookie)]).body;
        assert_eq!(page.contains(button), may, "{role}");
        let form = shown.get("/jobs/job/run", &[("Cookie", &cookie)]).status;
        let asked = ask(&shown, &cookie, role, "W46").status;
        assert_eq!(
            (form, asked),
            if may { (200, 303) } else { (403, 403) },
            "{role}"
        );
    }
    assert_eq!(
        shown
            .send("POST", "/jobs/job/runs", &[OWN], "key=x&cycle=W46")
            .status,
        401
    );
    let other = shown.token("other", "admin", &[]);
    let headers = [("Authorization", other.as_str())];
    assert_eq!(
        shown
            .send_json("POST", "/api/v1/jobs/none/runs", &headers, "{}")
            .status,
        404
    );
}

#[test]
fn a_run_at_work_moves_without_a_reload_and_stops_when_asked() {
    let place = place();
    let mut rows = "id,score,note\n".to_owned();
    let mut accounts = String::new();
    for number in 0..400 {
        rows += &format!("B{number},5,x\n");
        accounts += &format!("INSERT INTO accounts (id, score) VALUES ('B{number}', 0);");
    }
    place.execute(&accounts).file("data/scores.csv", &rows);
    let job = place
        .text("schedules/job.toml")
        .replace("name = 'scores'", "batch_size = 1\nname = 'scores'");
    place.file("schedules/job.toml", &job);
    fixture::announce(&place, "W46");
    let shown = Shown::start(&place, &["serve", "--page", "127.0.0.1:0"]);
    let browser = Browser::open();
    browser.go(&format!("http://{}{}", shown.host, shown.link("operator")));
    browser.click("main button").wait_for("Sign out");
    browser.go(&format!("http://{}/jobs/job/run", shown.host));
    browser.click("main button.primary").wait_for("Request 1");
    // The page leads to the run by itself, and its figures move.
    browser.wait_for("Run 1");
    browser.script("window.stayed = true");
    let done = || {
        let value = browser.script("return document.querySelector('progress')?.value ?? -1");
        value.to_string()
    };
    let before = done();
    place.wait_until("progress", |_| done() != before);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.go(&format!("http://{}/runs/1/stop", shown.host));
    browser.click("main button.primary").wait_for("Request 2");
    place.wait_until("the end", |place| place.history()[0].1 == "failed");
    let written = place.query("SELECT count(*) AS n FROM accounts WHERE score = 5");
    let written: u32 = written.lines().nth(1).unwrap().parse().unwrap();
    assert!((1..400).contains(&written), "{written} of 400 were written");
}

#[test]
fn a_standby_says_who_serves_and_what_is_asked_of_it_runs_there() {
    let place = place();
    fixture::announce(&place, "W46");
    let mut first = place.serve(&[]);
    first.wait_for_log("serving");
    let standby = Shown::start(&place, &["serve", "--page", "127.0.0.1:0"]);
    let operator = Person::of(&standby, "operator");
    let served_by = || {
        operator
            .get("/")
            .body
            .split("Served by process ")
            .nth(1)
            .map(str::to_owned)
    };
    let process = served_by().expect("it says who serves");
    let process = process.split(' ').next().unwrap().to_owned();
    let page = operator.post("/jobs/job/runs", "key=k1&cycle=W46&write_back=");
    assert_eq!(page.status, 303, "{}", page.body);
    assert_eq!(operator.ended("/requests/1")["message"], "succeeded");
    assert!(
        first.log().contains("a run was asked for"),
        "{}",
        first.log()
    );
    assert_eq!(
        place.history(),
        [("W46".to_owned(), "succeeded".to_owned())]
    );
    // It takes over once the other is gone, and says so.
    first.kill();
    place.wait_until("another server", |_| {
        served_by().is_some_and(|now| !now.starts_with(&format!("{process} ")))
    });
}

/// Asks for a run of a cycle by a call; what is told of it in the end.
fn run_now(admin: &Person<'_>, cycle: &str) -> String {
    let body = format!(r#"{{"cycle": "{cycle}"}}"#);
    let asked = admin.call("/jobs/job/runs", &body);
    if asked.status != 202 {
        return asked.body;
    }
    let ended = admin.ended(&format!("/requests/{}", asked.json()["request"]));
    ended["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_file_that_was_just_saved_is_what_runs() {
    let place = place();
    let project = place.text("writeback.toml");
    place.file("writeback.toml", &format!("{project}[page]\nedit = true\n"));
    fixture::announce(&place, "W46");
    let shown = Shown::start(&place, &["serve", "--page", "127.0.0.1:0"]);
    let admin = Person::of(&shown, "admin");
    let file = admin.json("/files/schedules%2Fjob.toml");
    let text = place.text("schedules/job.toml");
    let edited = text.replace(
        "note = 'note'",
        "note = 'note'\nphone = { string = 'saved' }",
    );
    assert_ne!(edited, text);
    let headers = [
        ("Authorization", admin.token.as_str()),
        ("If-Match", file["digest"].as_str().unwrap()),
    ];
    let body = serde_json::json!({ "text": edited }).to_string();
    let address = "/api/v1/files/schedules%2Fjob.toml";
    let saved = shown.send_json("PUT", address, &headers, &body);
    assert_eq!(saved.status, 200, "{}", saved.body);
    assert_eq!(run_now(&admin, "W46"), "succeeded");
    let rows = "id,score,note,phone\nA1,2,a,saved\n";
    assert_eq!(place.rows("accounts"), rows);
    // What an editor leaves is no file to run, and the one before it was not saved last.
    fixture::announce(&place, "W47");
    place.file("schedules/job.toml", &edited.replace("table", "tabel"));
    let refused = run_now(&admin, "W47");
    assert!(refused.contains("mistake"), "{refused}");
    assert_eq!(place.history().len(), 1);
}
