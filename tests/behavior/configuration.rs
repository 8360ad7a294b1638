//! Mistakes in a user's files: all of them at once, each with its place and what to do, and nothing
//! is written.

use crate::harness::{FIELDS, Ran, SCORES, Server, Workspace};

const ROWS: &str = "id,score,note,phone\nA1,1,,\n";
const SOURCE: &str = "id,score,note\nA1,2,x\n";

/// Runs the job; it must end before anything is written.
fn refused(place: &Workspace) -> Ran {
    let before = place.rows("accounts");
    let run = place.command(&["run", "job"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
    assert_eq!(place.rows("accounts"), before, "{run}");
    let check = place.command(&["check", "job"]);
    assert_eq!(
        (check.code, &check.stderr),
        (2, &run.stderr),
        "`check` finds what `run` finds: {check}"
    );
    run
}

#[test]
fn every_mistake_of_a_job_file_is_shown_at_once() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    place.file(
        "schedules/job.toml",
        "[cadence]\n\
         dashbord = 'health'\n\
         \n\
         [[write_back]]\n\
         name = 'scores'\n\
         schema = 'sql/scores.sql'\n\
         source = 'file'\n\
         destination = 'crm'\n\
         table = 'accounts'\n\
         batch_size = 0\n\
         matching = 'update'\n\
         \n\
         [write_back.fields]\n\
         id = 'id'\n\
         score = 'scroe'\n\
         stamp = { method = 'now' }\n",
    );
    insta::assert_snapshot!(refused(&place).stderr, @r"
    error: job `job` has 7 problems
      schedules/job.toml:2:1: `dashbord` is not a key of `[cadence]`
        hint: did you mean `dashboard`?
      schedules/job.toml:7:10: there is no connection `file` in writeback.toml
        hint: did you mean `files`?
      schedules/job.toml:10:14: `batch_size` is not a whole number from 1 to 1000000
      schedules/job.toml:11:12: `matching` is `update`, which is not known
        hint: did you mean `update_only`?
      schedules/job.toml:13:1: schema column `note` goes nowhere
        hint: give it a field or name it in `ignore`
      schedules/job.toml:15:9: schema `sql/scores.sql` has no column `scroe`
        hint: did you mean `score`?
      schedules/job.toml:16:20: there is no method `now`
        hint: `writeback methods` lists them
    ");
}

/// A place whose job follows the cycles of a dashboard that somebody announces.
fn with_cadence(cadence: &str) -> Workspace {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    place.file(
        "writeback.toml",
        &(place.text("writeback.toml") + "[dashboards.health]\nannounced = true\n"),
    );
    let cadence = format!("[cadence]\ndashboard = 'health'\n{cadence}\n");
    place.file(
        "schedules/job.toml",
        &(cadence + &place.text("schedules/job.toml")),
    );
    place
}

#[test]
fn a_cadence_that_can_never_be_kept_is_refused_before_anything_waits_for_it() {
    let place = with_cadence(
        "settle = '2h'\n\
         deadline = '1h'\n\
         gate = { cron = '0 6 13 * FRI', timezone = 'Europe/Berlin' }\n\
         at = [2026-12-24T06:00:00]\n\
         missed = 'newest'\n",
    );
    insta::assert_snapshot!(refused(&place).stderr, @r#"
    error: job `job` has 4 problems
      schedules/job.toml:4:12: `deadline` is never met: `settle` takes as long
        hint: both count from the cycle: write a longer `deadline` or a shorter `settle`
      schedules/job.toml:5:17: gate `0 6 13 * FRI` names a day of the month and a weekday; tools read that differently
        hint: keep one of them, or write two gates
      schedules/job.toml:6:7: `2026-12-24T06:00:00` names no time zone
        hint: write `2026-12-24T06:00:00+01:00` or `{ at = "2026-12-24T06:00:00", timezone = "Europe/Berlin" }`
      schedules/job.toml:7:10: `missed` is `newest`, which is not known
        hint: write one of `latest`, `none`, `all`
    "#);
}

#[test]
fn an_instant_that_has_passed_is_warned_about_and_stops_nothing() {
    let place = with_cadence("at = [2020-12-24T06:00:00Z]");
    let check = place.command(&["check", "job"]);
    assert_eq!(check.code, 0, "{check}");
    assert!(
        check
            .stderr
            .contains("schedules/job.toml:3:6: warning: every instant of `at` has passed\n"),
        "{check}"
    );
    let later = with_cadence("at = [2020-12-24T06:00:00Z, 9999-12-24T06:00:00Z]")
        .command(&["check", "job"]);
    assert!(later.code == 0 && !later.stderr.contains("`at`"), "{later}");
}

#[test]
fn every_mistake_against_the_destination_is_shown_at_once() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        place.job("", "id = 'id'\nscroe = 'score'\nnoted = 'note'");
        let run = refused(&place);
        assert!(
            run.stderr.starts_with("error: job `job` has 2 problems\n"),
            "on {server}: {run}"
        );
        assert!(
            run.stderr.contains("schedules/job.toml:11:1: ")
                && run.stderr.contains("schedules/job.toml:12:1: "),
            "{run}"
        );
        assert!(
            run.stderr.contains("hint: did you mean `score`?"),
            "on {server}: {run}"
        );
        assert!(
            run.stderr.contains("hint: did you mean `note`?"),
            "on {server}: {run}"
        );
    }
}

#[test]
fn a_mistake_in_a_schema_file_names_line_and_column() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    place.file(
        "sql/scores.sql",
        "CREATE TABLE scores (\n    id VARCHAR(18),\n    score BLOB,\n    note VARCHAR(0),\n    note TEXT\n);\n",
    );
    insta::assert_snapshot!(refused(&place).stderr, @r"
    error: job `job` has 4 problems
      sql/scores.sql:1:14: the schema has no `PRIMARY KEY`
        hint: write `PRIMARY KEY` after the column that identifies a record
      sql/scores.sql:3:5: column `score`: `BLOB` is not a type write-backs carry
        hint: types are CHAR, VARCHAR, TEXT, SMALLINT, INTEGER, BIGINT, DECIMAL, REAL, DOUBLE PRECISION, BOOLEAN, DATE, TIME, TIMESTAMP, TIMESTAMP WITH TIME ZONE, UUID and JSON
      sql/scores.sql:4:5: column `note`: its length is 0
        hint: write a length of at least 1, or `TEXT` for any length
      sql/scores.sql:5:5: column `note` stands here twice
        hint: the first stands in line 4
    ");
}

#[test]
fn a_file_that_is_not_toml_or_sql_names_the_place() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    let job = place.text("schedules/job.toml");
    place.file("schedules/job.toml", "[[write_back]]\nname = scores\n");
    assert!(
        refused(&place)
            .stderr
            .contains("schedules/job.toml:2:8: this is not TOML"),
        "{}",
        refused(&place)
    );
    place.file("schedules/job.toml", &job).file(
        "sql/scores.sql",
        "CREATE TABLE scores (\n  id VARCHAR(18 PRIMARY KEY\n);",
    );
    assert!(
        refused(&place).stderr.contains("sql/scores.sql:2:"),
        "{}",
        refused(&place)
    );
    let settings = place.text("writeback.toml");
    place.file("writeback.toml", &settings.replace("folder", "foldr"));
    assert!(
        refused(&place).stderr.contains("did you mean `folder`?"),
        "{}",
        refused(&place)
    );
}

#[test]
fn a_job_that_is_not_there_is_answered_with_those_that_are() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    for (job, hint) in [
        ("jop", "did you mean `job`?"),
        ("weekly", "jobs are `job`"),
        ("../job", "jobs are `job`"),
    ] {
        let run = place.command(&["run", job]);
        assert_eq!(run.code, 2, "{run}");
        assert!(run.stderr.contains(hint), "{run}");
    }
    for job in ["job", "job.toml", "schedules/job.toml"] {
        assert_eq!(place.command(&["check", job]).code, 0, "{job}");
    }
}

#[test]
fn types_that_can_never_fit_are_a_mistake_and_not_a_rejection() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        place.table(
            "accounts",
            "id VARCHAR(18) PRIMARY KEY, score INTEGER, note DATE",
            "id\nA1\n",
        );
        place.scores(SCORES, SOURCE).job("", FIELDS);
        let run = refused(&place);
        assert!(
            run.stderr.contains("schedules/job.toml:12:1: "),
            "on {server}: {run}"
        );
    }
}

#[test]
fn a_view_that_cannot_be_updated_is_a_mistake() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        place.execute(
            "CREATE VIEW summed AS SELECT id, sum(score) AS score, max(note) AS note FROM accounts GROUP BY id",
        );
        place.job("table = 'summed'", FIELDS);
        let run = refused(&place);
        assert!(run.stderr.contains("view"), "on {server}: {run}");
    }
}

#[test]
fn a_column_that_the_database_computes_is_a_mistake() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = "id VARCHAR(18) PRIMARY KEY, points INTEGER, note VARCHAR(40), \
                       score INTEGER GENERATED ALWAYS AS (points * 2) STORED";
        place
            .table("accounts", columns, "id,points\nA1,1\n")
            .scores(SCORES, SOURCE)
            .job("", FIELDS);
        let run = refused(&place);
        assert!(
            run.stderr.contains("schedules/job.toml:11:1: "),
            "on {server}: {run}"
        );
    }
}

#[test]
fn an_insert_that_leaves_out_what_must_be_given_is_a_mistake() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40), owner VARCHAR(9) NOT NULL";
        place
            .table("accounts", columns, "id,owner\nA1,me\n")
            .scores(SCORES, SOURCE)
            .job("matching = 'upsert'", FIELDS);
        let run = refused(&place);
        assert!(run.stderr.contains("`owner`"), "on {server}: {run}");
        assert_eq!(
            place.job("", FIELDS).run().summary(),
            "1 read = 1 updated",
            "on {server}"
        );
    }
}

#[test]
fn a_key_without_an_index_is_warned_about_with_the_statement_that_adds_it() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        place.table(
            "accounts",
            "id VARCHAR(18) NOT NULL, score INTEGER, note VARCHAR(40)",
            "id\nA1\n",
        );
        place.scores(SCORES, SOURCE).job("", FIELDS);
        let run = place.command(&["run", "job"]);
        assert_eq!(run.code, 0, "{run}");
        let warned = run.stderr.to_lowercase();
        assert!(
            warned.contains("warning") && warned.contains("create unique index"),
            "on {server}: {run}"
        );
    }
}

#[test]
fn two_writers_of_one_column_are_a_mistake() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    let first = place.text("schedules/job.toml");
    let second = first
        .replace("name = 'scores'", "name = 'again'")
        .replace("'accounts'", "'ACCOUNTS'");
    place.file("schedules/job.toml", &(first + &second));
    let run = refused(&place);
    assert!(run.stderr.contains("has two writers"), "{run}");
}

#[test]
fn check_looks_at_every_job_and_writes_nothing() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        place.count_writes("accounts");
        let check = place.command(&["check"]);
        assert_eq!(check.code, 0, "{check}");
        assert!(check.stdout.contains("job  ready"), "on {server}: {check}");
        place.file("schedules/other.toml", "[[write_back]]\n");
        let check = place.command(&["check"]);
        assert!(
            check.code == 2 && check.stderr.contains("schedules/other.toml"),
            "on {server}: {check}"
        );
        assert_eq!(
            (place.writes(), place.rows("accounts").as_str()),
            (0, ROWS),
            "on {server}"
        );
    }
}

#[test]
fn a_database_that_cannot_be_reached_is_an_error_that_names_it() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let crm = format!(
            "[connections.crm]\nkind = '{}'\nhost = '127.0.0.1'\nport = 1\nuser = 'x'\ndatabase = 'x'\n",
            server.kind()
        );
        place.file("writeback.toml", &(place.connection("files") + &crm));
        let run = refused(&place);
        assert!(run.stderr.contains("`crm`"), "on {server}: {run}");
    }
}

#[test]
fn another_folder_may_be_the_project() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    let elsewhere = Workspace::on(Server::Sqlite);
    let project = place.path(".").display().to_string();
    assert_eq!(
        elsewhere
            .command(&["--project", &project, "run", "job", "--json"])
            .summary(),
        "1 read = 1 updated"
    );
    assert!(place.path(".writeback").is_dir() && !elsewhere.path(".writeback").exists());
}
