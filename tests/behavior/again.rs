//! A cycle is written back once by `writeback run`, unless somebody insists, takes it back or
//! changes what is written.

use serde_json::json;

use crate::harness::{FIELDS, Ran, Server, Workspace, write_back};

const ROWS: &str = "id,score,note,phone\nA1,1,,\nA2,2,,\n";

/// Two accounts, and a job whose dashboard finished cycle `W46`.
fn place() -> Workspace {
    let source = "id,score,note\nA1,10,x\nA2,20,y\n";
    let place = Workspace::accounts(Server::Sqlite, ROWS, source);
    let project = place.connection("files") + &place.connection("crm");
    let dashboard = "[dashboards.health]\nmarker = 'data/cycle.json'\n";
    place.file("writeback.toml", &(project + dashboard));
    place.file(
        "data/cycle.json",
        r#"{"cycle_id": "W46", "completed_at": "2026-11-15T06:30:00Z"}"#,
    );
    schedule(&place, FIELDS);
    place
}

fn schedule(place: &Workspace, fields: &str) {
    let write_back = write_back("scores", "accounts", "", fields);
    place.file(
        "schedules/job.toml",
        &format!("[cadence]\ndashboard = 'health'\n\n{write_back}"),
    );
}

fn run(place: &Workspace, flags: &[&str]) -> Ran {
    place.command(&[&["run", "job", "--json"], flags].concat())
}

/// Panics: if the run did not leave everything to the run of this number.
fn expect_delivered_by(ran: &Ran, run: i64) {
    assert_eq!(ran.code, 0, "{ran}");
    let told = ran.json();
    assert_eq!(told["status"], "nothing_new", "{ran}");
    assert_eq!(told["delivered_by"], run, "{ran}");
    assert_eq!(told["write_backs"], json!([]), "{ran}");
}

#[test]
fn what_somebody_wrote_since_is_not_overwritten_unless_somebody_insists() {
    let place = place();
    assert_eq!(run(&place, &[]).summary(), "2 read = 2 updated");
    place.execute("UPDATE accounts SET score = 99 WHERE id = 'A1'");
    expect_delivered_by(&run(&place, &[]), 1);
    expect_delivered_by(&run(&place, &["--cycle", "W46"]), 1);
    let text = place.command(&["run", "job"]).stdout;
    assert!(
        text.contains("run 1 wrote cycle `W46` back already"),
        "{text}"
    );
    assert!(text.contains("`writeback run job --again`"), "{text}");
    let score = "SELECT score FROM accounts WHERE id = 'A1'";
    assert_eq!(place.query(score), "score\n99\n");
    let again = run(&place, &["--again"]);
    assert_eq!(again.summary(), "2 read = 1 updated + 1 unchanged");
    assert_eq!(place.query(score), "score\n10\n");
    expect_delivered_by(&run(&place, &[]), 2);
}

#[test]
fn runs_that_begin_at_once_deliver_a_cycle_once() {
    let place = place();
    let started: Vec<_> = (0..3)
        .map(|_| place.start(&["run", "job", "--json"]))
        .collect();
    for mut run in started {
        run.wait().expect("a run that ends");
    }
    let delivered = "SELECT count(*) AS runs FROM runs WHERE status = 'succeeded'";
    assert_eq!(place.query_ledger(delivered).as_deref(), Some("runs\n1\n"));
    expect_delivered_by(&run(&place, &[]), 1);
}

#[test]
fn a_newer_cycle_is_new() {
    let place = place();
    run(&place, &[]);
    place.file(
        "data/cycle.json",
        r#"{"cycle_id": "W47", "completed_at": "2026-11-22T06:30:00Z"}"#,
    );
    assert_eq!(run(&place, &[]).summary(), "2 read = 2 unchanged");
    expect_delivered_by(&run(&place, &[]), 2);
}

#[test]
fn a_write_back_that_was_changed_is_new() {
    let place = place();
    run(&place, &[]);
    schedule(
        &place,
        &FIELDS.replace("note = 'note'", "note = { string = 'n' }"),
    );
    place.file(
        "schedules/job.toml",
        &place.text("schedules/job.toml").replacen(
            "name = 'scores'",
            "name = 'scores'\nignore = ['note']",
            1,
        ),
    );
    assert_eq!(run(&place, &[]).summary(), "2 read = 2 updated");
    expect_delivered_by(&run(&place, &[]), 2);
    schedule(&place, FIELDS);
    assert_eq!(run(&place, &[]).summary(), "2 read = 2 updated");
}

#[test]
fn a_cycle_that_was_undone_is_new_again() {
    let place = place();
    run(&place, &[]);
    let undone = place.command(&["undo", "1", "--record", "A1"]);
    assert_eq!(undone.code, 0, "{undone}");
    expect_delivered_by(&run(&place, &[]), 1);
    let undone = place.command(&["undo", "1"]);
    assert_eq!(undone.code, 0, "{undone}");
    assert_eq!(place.rows("accounts"), ROWS);
    let redone = place.command(&["undo", "3"]);
    assert_eq!(redone.code, 0, "{redone}");
    expect_delivered_by(&run(&place, &[]), 1);
    let undone = place.command(&["undo", "1"]);
    assert_eq!(undone.code, 0, "{undone}");
    assert_eq!(run(&place, &[]).summary(), "2 read = 2 updated");
}

#[test]
fn a_job_without_a_dashboard_is_new_each_time() {
    let place = place();
    place.job("", FIELDS);
    assert_eq!(run(&place, &[]).summary(), "2 read = 2 updated");
    assert_eq!(run(&place, &[]).summary(), "2 read = 2 unchanged");
}

#[test]
fn a_run_that_did_not_finish_delivered_nothing() {
    let place = place();
    place.execute("ALTER TABLE accounts RENAME COLUMN note TO remark");
    assert_eq!(run(&place, &[]).code, 2);
    place.execute("ALTER TABLE accounts RENAME COLUMN remark TO note");
    assert_eq!(run(&place, &[]).summary(), "2 read = 2 updated");
}
