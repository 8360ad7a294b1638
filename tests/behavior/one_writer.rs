//! A column has one writer in a project: `check` tells of another, and two that both write it at
//! once are refused.

use crate::agencies;
use crate::harness::{Server, Workspace, write_back};

const ROWS: &str = "id,score,note,phone\nA1,1,,555\n";
const SOURCE: &str = "id,score,note\nA1,10,a\n";
const AT_ONCE: &str = "id = 'id'\nscore = { column = 'score', realtime = true }\nnote = 'note'";

fn place() -> Workspace {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    place.job("", "id = 'id'\nscore = 'score'\nnote = 'note'");
    place
}

fn another(place: &Workspace, settings: &str, fields: &str) {
    let text = write_back("scores", "ACCOUNTS", settings, fields);
    place.file("schedules/weekly.toml", &text);
}

#[test]
fn check_tells_of_a_column_that_another_job_writes() {
    let place = place();
    another(&place, "ignore = ['note']", "id = 'id'\nscore = 'score'");
    let checked = place.command(&["check"]);
    assert_eq!(checked.code, 0, "{checked}");
    let told = "`score` of accounts at `crm` has another writer: `scores` of job `weekly`";
    assert!(checked.stderr.contains(told), "{checked}");
    assert!(
        checked.stderr.contains("schedules/job.toml:"),
        "with its place: {checked}"
    );
    assert!(!checked.stderr.contains("`note`"), "{checked}");
    let ran = place.run();
    assert_eq!(ran.json()["status"], "succeeded", "{ran}");
}

#[test]
fn whoever_makes_rows_writes_another_column_or_is_broken_is_no_other_writer() {
    let place = place();
    for (settings, fields) in [
        (
            "matching = 'create_only'\nignore = ['note']",
            "id = 'id'\nscore = 'score'",
        ),
        (
            "ignore = ['note', 'score']",
            "id = 'id'\nphone = { string = '1' }",
        ),
        ("ignore = ['nothing']", "id = 'id'\nscore = 'score'"),
    ] {
        another(&place, settings, fields);
        let checked = place.command(&["check", "job"]);
        assert_eq!(checked.code, 0, "{settings}: {checked}");
        assert!(
            !checked.stderr.contains("another writer"),
            "{settings}: {checked}"
        );
    }
}

#[test]
fn two_jobs_that_write_a_column_at_once_are_refused_by_name() {
    let place = place();
    place.job("", AT_ONCE);
    another(
        &place,
        "ignore = ['note']",
        "id = 'id'\nscore = { column = 'score', realtime = true }",
    );
    for (job, other) in [("job", "weekly"), ("weekly", "job")] {
        let ran = place.command(&["run", job]);
        assert_eq!(ran.code, 2, "{ran}");
        assert!(
            ran.stderr
                .contains("has another writer with `realtime = true`"),
            "{ran}"
        );
        assert!(ran.stderr.contains(&format!("of job `{other}`")), "{ran}");
    }
    place.file("schedules/weekly.toml", "");
    let ran = place.run();
    assert_eq!(ran.json()["status"], "succeeded", "{ran}");
}

#[test]
fn agencies_of_one_base_write_the_same_column_each_for_its_own_records() {
    let place = agencies::place();
    let at_once = "name = { column = \"name\", realtime = true }";
    let base = agencies::BASE.replacen("name = \"name\"", at_once, 1);
    place.file("schedules/referral.toml", &base);
    let checked = place.command(&["check"]);
    assert_eq!(checked.code, 0, "{checked}");
    assert!(!checked.stderr.contains("another writer"), "{checked}");
    // A job of its own is another writer to each of them.
    let fields = "id = 'referral_id'\nname = { column = 'name', realtime = true }";
    let settings = "schema = 'sql/referral.sql'\nignore = ['agency']";
    let weekly = write_back("scores", "candidate", settings, fields);
    place.file("schedules/weekly.toml", &weekly);
    let checked = place.command(&["check", "referral/north"]);
    assert_eq!(checked.code, 2, "{checked}");
    assert!(checked.stderr.contains("of job `weekly`"), "{checked}");
}
