//! What is written down, and what is nowhere: an act is one row however it is done, a look is none,
//! and no secret stands in a page, an answer, a log or a row.

use serde_json::Value;

use crate::fixture;
use crate::harness::{CANARY, PASSWORD, Workspace};
use crate::person::Person;
use crate::shown::{OWN, Shown};
use crate::tending::{mended, place};

/// Act and way of each row, oldest first, from a row on.
fn acts(place: &Workspace, from: usize) -> Vec<String> {
    let told = place
        .command(&["activity", "--limit", "1000", "--json"])
        .json();
    let rows = told["actions"].as_array().unwrap().iter().rev().skip(from);
    let word = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let row = |row: &Value| format!("{} through {}", word(row, "act"), word(row, "through"));
    rows.map(row).collect()
}

#[test]
fn an_act_is_one_row_however_it_is_done_and_a_look_is_none() {
    let place = place();
    mended(&place);
    let shown = Shown::page(&place);
    let admin = Person::of(&shown, "admin");
    let mut known = acts(&place, 0).len();
    let mut expect = |through: &str, expected: &[&str]| {
        let new = acts(&place, known);
        let expected: Vec<_> = expected
            .iter()
            .map(|act| format!("{act} through {through}"))
            .collect();
        assert_eq!(new, expected);
        known += new.len();
    };
    let record = "/jobs/job/scores/records/A2";
    for (path, body) in [
        ("/jobs/job/pause".to_owned(), "because=x"),
        ("/jobs/job/resume".to_owned(), ""),
        (format!("{record}/park"), "until=2099-01-01&because=x"),
        (format!("{record}/lift"), ""),
        ("/dashboards/health/cycles".to_owned(), "cycle=W50"),
        ("/jobs/job/runs".to_owned(), "key=p1&cycle=W50"),
        ("/jobs/job/runs".to_owned(), "key=p1&cycle=W50"),
        ("/jobs/job/retries".to_owned(), "key=p2&records=3"),
        (
            "/runs/1/scores/park".to_owned(),
            "records=3&until=2099-01-01&because=x",
        ),
    ] {
        let answer = admin.post(&path, body);
        assert_eq!(answer.status, 303, "{path}: {}", answer.body);
    }
    let all = [
        "pause", "resume", "park", "lift", "announce", "run", "retry", "park",
    ];
    expect("page", &all);
    let refused = admin.post("/jobs/job/retries", "key=p3&records=99");
    assert_eq!(refused.status, 409);
    expect("page", &["retry"]);
    for (method, path, body) in [
        ("PUT", "/jobs/job/pause", r#"{"reason": "x"}"#),
        ("DELETE", "/jobs/job/pause", ""),
        (
            "PUT",
            "/jobs/job/scores/parked/A1",
            r#"{"until": "changed", "reason": "x"}"#,
        ),
        ("DELETE", "/jobs/job/scores/parked/A1", ""),
        ("POST", "/dashboards/health/cycles", r#"{"cycle": "W51"}"#),
        ("POST", "/jobs/job/runs", r#"{"cycle": "W51"}"#),
    ] {
        let answer = admin.call_with(method, path, body);
        assert!(answer.status < 300, "{method} {path}: {}", answer.body);
    }
    expect(
        "api",
        &["pause", "resume", "park", "lift", "announce", "run"],
    );
    for arguments in [
        &["pause", "job", "--reason", "x"][..],
        &["pause", "job", "--lift"],
        &[
            "park", "job", "--record", "A1", "--until", "changed", "--reason", "x",
        ],
        &["park", "job", "--record", "A1", "--lift"],
        &["cycle", "health", "--id", "W52"],
        &["test", "job", "--record", "A1"],
        &["run", "job", "--only-rejected"],
        &["preview", "job", "--out", "plan"],
        &["run", "job", "--plan", "plan"],
        &["undo", "1"],
    ] {
        let ran = place.command(arguments);
        assert!(ran.code < 2, "{ran}");
    }
    let all = [
        "pause",
        "resume",
        "park",
        "lift",
        "announce",
        "test and keep",
        "retry",
        "apply",
        "undo",
    ];
    expect("cli", &all);
    // Looks: pages, calls, commands, and those that take a while.
    for page in fixture::pages() {
        admin.get(&page);
    }
    for path in [
        "/status",
        "/runs",
        "/runs/1",
        "/jobs/job",
        "/actions",
        "/alerts",
        "/methods",
        "/problems",
    ] {
        admin.json(path);
    }
    admin.look("/jobs/job/previews", "key=l1");
    admin.look("/jobs/job/verifications", "key=l2");
    for look in [["status"], ["runs"], ["next"], ["activity"], ["check"]] {
        place.command(&look);
    }
    place.command(&["test", "job", "--record", "A1", "--rollback"]);
    expect("page", &[]);
    let rows = acts(&place, 0).len();
    let whole = place.command(&["activity", "--verify"]);
    assert_eq!(whole.stdout, format!("{rows} acts, as they were written\n"));
    drop(shown);
    let alter = "UPDATE actions SET result = 'done' WHERE result <> 'done'";
    place.execute_file(".writeback/ledger.db", alter);
    let broken = place.command(&["activity", "--verify"]);
    assert_eq!(broken.code, 2, "{broken}");
    assert!(
        broken.stderr.contains("was altered or taken out"),
        "{broken}"
    );
}

#[test]
fn no_secret_stands_in_a_page_an_answer_a_log_or_a_row() {
    let place = fixture::place();
    let inline = "canary-of-the-file";
    let project = place.text("writeback.toml");
    let secrets = format!(
        "\n[connections.far]\nurl = \"postgres://ada:{inline}-url@127.0.0.1:1/x\"\n\
         [connections.near]\nkind = \"mysql\"\nhost = \"127.0.0.1\"\nport = 1\nuser = \"ada\"\ndatabase = \"x\"\n\
         password = {{ env = \"CRM_PASSWORD\" }}\n\
         [page]\nedit = true\n"
    );
    place.file("writeback.toml", &format!("{project}{secrets}"));
    let failing = place
        .text("schedules/nightly.toml")
        .replace("'crm'", "'near'");
    place.file("schedules/away.toml", &failing);
    let filter = "debug,sqlx::query=trace";
    let shown = Shown::start_logging(&place, &["serve", "--page", "127.0.0.1:0"], filter);
    let password = "canary horse battery staple";
    let added = assert_cmd::Command::new(env!("CARGO_BIN_EXE_writeback"))
        .args(["page", "user", "add", "ada", "--role", "admin"])
        .current_dir(place.path(""))
        .write_stdin(password)
        .output()
        .unwrap();
    assert!(added.status.success(), "{added:?}");
    let typed = password.replace(' ', "+");
    for typed in [typed.as_str(), "canary-that-is-wrong"] {
        let body = format!("name=ada&password={typed}");
        let answer = shown.send("POST", "/login", &[OWN], &body);
        assert!([303, 401].contains(&answer.status), "{}", answer.body);
        assert!(!answer.body.contains(typed), "{}", answer.body);
    }
    let admin = Person::of(&shown, "admin");
    let link = shown.link("viewer");
    let code = link.rsplit('/').next().unwrap().to_owned();
    let session = admin.cookie.split_once('=').unwrap().1.to_owned();
    let token = admin.token.trim_start_matches("Bearer ").to_owned();
    let mut told = Vec::new();
    for page in fixture::pages() {
        told.push((page.clone(), admin.get(&page).body));
    }
    for page in [
        "/settings/job",
        "/settings/away",
        "/agencies",
        "/edit/schedules/job.toml",
        "/runs.csv",
        "/login",
        "/nothing",
    ] {
        told.push((page.to_owned(), admin.get(page).body));
    }
    // What cannot be reached says so without telling how it was to be.
    for (key, what) in [("k1", "previews"), ("k2", "verifications")] {
        let (address, look) = admin.look(&format!("/jobs/away/{what}"), &format!("key={key}"));
        told.push((
            address.clone(),
            admin.get(&address).body + &look.to_string(),
        ));
    }
    for path in [
        "/session",
        "/actions",
        "/problems",
        "/status",
        "/runs",
        "/runs/4",
        "/alerts",
        "/jobs/away/settings",
        "/openapi.json",
    ] {
        told.push((path.to_owned(), admin.json(path).to_string()));
    }
    for arguments in [
        &["activity", "--json"][..],
        &["page", "session", "list"],
        &["page", "token", "list"],
        &["page", "user", "list"],
        &["show", "away"],
    ] {
        let ran = place.command(arguments);
        told.push((arguments.join(" "), ran.stdout + &ran.stderr));
    }
    told.push(("the log".to_owned(), shown.log()));
    for (file, bytes) in place.state() {
        told.push((
            file.display().to_string(),
            String::from_utf8_lossy(&bytes).into_owned(),
        ));
    }
    let secrets = [
        PASSWORD,
        CANARY,
        inline,
        password,
        &typed,
        "canary-that-is-wrong",
        &code,
        &session,
        &token,
    ];
    for (place, text) in &told {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} stands in {place}");
        }
    }
    assert!(told.len() > 60, "{}", told.len());
}
