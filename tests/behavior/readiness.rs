//! `writeback check` says ready of a job that can run, and of no other: what a preview would meet,
//! it meets.

use crate::harness::{FIELDS, Ran, Server, Workspace, write_back};
use crate::rights::place_with_a_new_user;

const ROWS: &str = "id,score,note,phone\nA1,1,,\n";
const SOURCE: &str = "id,score,note\nA1,2,x\nA9,3,y\n";

/// A job that follows the dashboard `health`, of which `writeback.toml` says this.
fn place_following(server: Server, dashboard: &str) -> Workspace {
    let place = Workspace::accounts(server, ROWS, SOURCE);
    let project = place.connection("files") + &place.connection("crm");
    place.file(
        "writeback.toml",
        &format!("{project}[dashboards.health]\n{dashboard}\n"),
    );
    let write_back = write_back("scores", "accounts", "", FIELDS);
    place.file(
        "schedules/job.toml",
        &format!("[cadence]\ndashboard = 'health'\n\n{write_back}"),
    );
    place
}

/// Panics: if the job is called ready, or nothing says `why`, or a preview goes well.
fn expect_not_ready(place: &Workspace, why: &str) {
    let check = place.command(&["check"]);
    assert_eq!(check.code, 2, "{check}");
    assert!(!check.stdout.contains("ready"), "{check}");
    assert!(check.stderr.contains(why), "`{why}` is missing: {check}");
    let preview = place.command(&["preview", "job"]);
    assert_eq!(preview.code, 2, "{preview}");
    let machines = place.command(&["check", "--json"]);
    assert_eq!(machines.json()["jobs"][0]["ready"], false, "{machines}");
}

fn expect_ready(place: &Workspace) -> Ran {
    let check = place.command(&["check"]);
    assert_eq!(check.code, 0, "{check}");
    assert!(check.stdout.contains("job  ready"), "{check}");
    check
}

#[test]
fn a_marker_that_cannot_be_read_is_no_ready_job() {
    let place = place_following(Server::Sqlite, "marker = 'data/cycle.json'");
    expect_not_ready(&place, "could not read marker file");
    place.file("data/cycle.json", "{\"cycle_id\": 46}");
    expect_not_ready(&place, "is not a cycle");
    place.file(
        "data/cycle.json",
        r#"{"cycle_id": "2026-W46", "completed_at": "2026-11-15T06:30:00Z"}"#,
    );
    let check = expect_ready(&place);
    let now = "a run now: 2 read = 1 updated + 1 skipped";
    assert!(check.stdout.contains(now), "{check}");
    assert!(!place.path(".writeback").exists(), "check writes nothing");
}

#[test]
fn a_cycle_query_that_fails_is_no_ready_job() {
    for server in Server::ALL {
        let query = "source = 'crm'\nquery = 'SELECT cycle_id, completed_at, status FROM cycles'";
        let place = place_following(server, query);
        expect_not_ready(&place, "the query of dashboard `health` failed");
        place.execute(
            "CREATE TABLE cycles (cycle_id varchar(20), completed_at varchar(40), status varchar(20))",
        );
        let waiting = expect_ready(&place);
        let told = "dashboard `health` has finished no cycle yet";
        assert!(waiting.stderr.contains(told), "{waiting}");
        place.execute("INSERT INTO cycles VALUES ('W46', '2026-11-15T06:30:00Z', 'succeeded')");
        let ready = expect_ready(&place);
        assert!(!ready.stderr.contains("no cycle"), "{ready}");
    }
}

#[test]
fn a_model_that_fails_at_a_record_is_no_ready_job() {
    // Each fails when it meets A2, and not before.
    let models = [
        (
            Server::Sqlite,
            "CASE id WHEN 'A2' THEN abs(-9223372036854775807 - 1) ELSE 1 END",
        ),
        (
            Server::Postgres,
            "CASE id WHEN 'A2' THEN 1 / (length(id) - 2) ELSE 1 END",
        ),
        (
            Server::MariaDb,
            "CASE id WHEN 'A2' THEN (SELECT 1 UNION SELECT 2) ELSE 1 END",
        ),
    ];
    for (server, score) in models {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        place.execute("CREATE TABLE exported (id varchar(18))");
        place.execute("INSERT INTO exported VALUES ('A1')");
        let job = write_back("scores", "accounts", "", FIELDS);
        place.file(
            "schedules/job.toml",
            &job.replace("source = \"files\"", "source = \"crm\"")
                .replace("source = 'files'", "source = 'crm'"),
        );
        let model = format!("SELECT id, {score} AS score, 'x' AS note FROM exported");
        let table = "CREATE TABLE scores (id VARCHAR(18) PRIMARY KEY, score INTEGER, note TEXT);";
        place.file("sql/scores.sql", &format!("{table}\n{model}\n"));
        expect_ready(&place);
        place.execute("INSERT INTO exported VALUES ('A2')");
        expect_not_ready(&place, "scores");
        assert_eq!(place.command(&["check", "--quick"]).code, 0, "on {server}");
    }
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_is_no_ready_job() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    expect_ready(&place);
    place.file("data/scores.csv", "id,score,note\nA1,2,x\nA2,3,\"y\n");
    expect_not_ready(&place, "line 3");
}

#[test]
fn what_a_guard_would_stop_is_told_beforehand() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, "id,score,note\n");
    let check = expect_ready(&place);
    assert!(
        check
            .stderr
            .contains("a guard would stop a run now: `scores`"),
        "{check}"
    );
}

#[test]
fn row_level_security_that_opens_no_row_is_no_ready_job() {
    let (place, user) = place_with_a_new_user(Server::Postgres);
    place.grant("SELECT, UPDATE, INSERT", "accounts", &user);
    place.execute("ALTER TABLE accounts ENABLE ROW LEVEL SECURITY");
    let environment = [("WRITER_PASSWORD", "writer")];
    for (command, what) in [("SELECT", "see no row"), ("UPDATE", "update no row")] {
        let check = place.command_with(&["check"], &environment);
        assert_eq!(check.code, 2, "{check}");
        assert!(check.stderr.contains(what), "{check}");
        let proposed = check.stderr.split("`CREATE POLICY").nth(1);
        let proposed = proposed.and_then(|rest| rest.split('`').next());
        let proposed = format!("CREATE POLICY{}", proposed.expect("a statement"));
        assert!(proposed.contains(&format!("FOR {command} ")), "{check}");
        place.execute(&proposed);
    }
    let check = place.command_with(&["check"], &environment);
    assert_eq!(check.code, 0, "{check}");
    let run = place.command_with(&["run", "job"], &environment);
    assert_eq!(run.code, 0, "{run}");
}
