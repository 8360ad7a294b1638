//! The program needs no more rights than it uses, and says exactly which one is missing.

use crate::harness::{FIELDS, Ran, Server, Workspace};

const ROWS: &str = "id,score,note,phone\nA1,1,,\n";

/// A place whose `crm` is used by a user that may do nothing yet, and the user's name.
pub(crate) fn place_with_a_new_user(server: Server) -> (Workspace, String) {
    let place = Workspace::accounts(server, ROWS, "id,score,note\nA1,2,x\n");
    let user = place.new_user("writer", "writer");
    place.come_as(&user);
    (place, user)
}

#[test]
fn reading_and_updating_the_mapped_columns_is_enough() {
    for server in Server::WITH_USERS {
        let (place, user) = place_with_a_new_user(server);
        place.grant(
            "SELECT (id, score, note), UPDATE (score, note)",
            "accounts",
            &user,
        );
        for arguments in [&["check"][..], &["run", "job"]] {
            let ran = place.command_with(arguments, &[("WRITER_PASSWORD", "writer")]);
            assert_eq!(ran.code, 0, "on {server}: {ran}");
        }
        assert_eq!(
            place.rows("accounts"),
            "id,score,note,phone\nA1,2,x,\n",
            "on {server}"
        );
    }
}

#[test]
fn a_missing_right_stops_the_run_before_its_first_write_and_names_the_grant() {
    for server in Server::WITH_USERS {
        let (place, user) = place_with_a_new_user(server);
        place.grant(
            "SELECT (id, score, note), UPDATE (score)",
            "accounts",
            &user,
        );
        for arguments in [&["check"][..], &["run", "job"]] {
            let ran = place.command_with(arguments, &[("WRITER_PASSWORD", "writer")]);
            assert_eq!(ran.code, 2, "on {server}: {ran}");
            let printed = (ran.stdout.clone() + &ran.stderr).to_lowercase();
            assert!(
                printed.contains("grant update") && printed.contains("note"),
                "on {server}: {ran}"
            );
        }
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
    }
}

/// The GRANT statements among the hints of a check.
fn proposed(check: &Ran) -> Vec<String> {
    let hints = check
        .stderr
        .lines()
        .filter(|line| line.trim_start().starts_with("hint: "));
    hints
        .filter_map(|hint| Some(hint[hint.to_lowercase().find("grant ")?..].to_owned()))
        .collect()
}

/// Lets an administrator carry out what `check` proposes until it has nothing to say; what is
/// proposed must help.
fn grant_what_is_proposed(place: &Workspace, what: &str) {
    // A server shows nobody what is behind a closed door, so there may be one door after the other,
    // but not many.
    for _ in 0..3 {
        let check = place.command_with(&["check"], &[("WRITER_PASSWORD", "writer")]);
        if check.code == 0 {
            return;
        }
        let statements = proposed(&check);
        let problems = check
            .stderr
            .lines()
            .filter(|line| line.starts_with("  schedules/"))
            .count();
        assert_eq!(
            statements.len(),
            problems,
            "each problem has its statement, {what}: {check}"
        );
        for statement in statements {
            place.execute(&statement);
        }
    }
    panic!(
        "{what}: {}",
        place.command_with(&["check"], &[("WRITER_PASSWORD", "writer")])
    );
}

#[test]
fn the_proposed_grants_are_all_that_is_missing() {
    for server in Server::WITH_USERS {
        for (mode, summary) in [
            ("update_only", "2 read = 1 updated + 1 skipped"),
            ("upsert", "2 read = 1 inserted + 1 updated"),
        ] {
            for granted in [
                "",
                "SELECT (id)",
                "UPDATE (score)",
                "SELECT (id, note), UPDATE (score, note), INSERT (id)",
            ] {
                let (place, user) = place_with_a_new_user(server);
                let what = format!("{mode} with `{granted}` on {server}");
                if !granted.is_empty() {
                    place.grant(granted, "accounts", &user);
                }
                place.job(&format!("matching = '{mode}'"), FIELDS);
                place.file("data/scores.csv", "id,score,note\nA1,2,x\nA2,3,y\n");
                grant_what_is_proposed(&place, &what);
                let run =
                    place.command_with(&["run", "job", "--json"], &[("WRITER_PASSWORD", "writer")]);
                assert_eq!(run.summary(), summary, "{what}");
            }
        }
    }
}

#[test]
fn a_schema_of_its_own_needs_a_right_of_its_own() {
    let (place, _) = place_with_a_new_user(Server::Postgres);
    place.execute("CREATE SCHEMA \"The CRM\"; ALTER TABLE accounts SET SCHEMA \"The CRM\"");
    place.job("table = '\"The CRM\".accounts'", FIELDS);
    let check = place.command_with(&["check"], &[("WRITER_PASSWORD", "writer")]);
    assert!(
        check
            .stderr
            .contains("GRANT USAGE ON SCHEMA \"The CRM\" TO "),
        "{check}"
    );
    grant_what_is_proposed(&place, "a schema");
    let run = place.command_with(&["run", "job", "--json"], &[("WRITER_PASSWORD", "writer")]);
    assert_eq!(run.summary(), "1 read = 1 updated");
}

#[test]
fn inserting_needs_its_own_right() {
    for server in Server::WITH_USERS {
        let (place, user) = place_with_a_new_user(server);
        place
            .job("matching = 'upsert'", FIELDS)
            .file("data/scores.csv", "id,score,note\nA1,2,x\nA2,3,y\n");
        place.grant(
            "SELECT (id, score, note), UPDATE (score, note)",
            "accounts",
            &user,
        );
        let run = place.command_with(&["run", "job"], &[("WRITER_PASSWORD", "writer")]);
        assert_eq!(run.code, 2, "on {server}: {run}");
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
        place.grant("INSERT (id, score, note)", "accounts", &user);
        let run = place.command_with(&["run", "job"], &[("WRITER_PASSWORD", "writer")]);
        assert_eq!(run.code, 0, "on {server}: {run}");
        assert_eq!(
            place.rows("accounts"),
            "id,score,note,phone\nA1,2,x,\nA2,3,y,unknown\n",
            "on {server}"
        );
    }
}

#[test]
fn a_plan_that_only_makes_rows_asks_for_no_right_to_change_them() {
    for server in Server::WITH_USERS {
        let (place, user) = place_with_a_new_user(server);
        place.grant(
            "SELECT (id, score, note), INSERT (id, score, note)",
            "accounts",
            &user,
        );
        place
            .file("data/scores.csv", "id,score,note\nA1,2,x\nN1,3,y\n")
            .job("matching = 'create_only'", FIELDS);
        for arguments in [
            &["preview", "job", "--out", "job.plan"][..],
            &["run", "job", "--plan", "job.plan"],
        ] {
            let ran = place.command_with(arguments, &[("WRITER_PASSWORD", "writer")]);
            assert_eq!(ran.code, 0, "on {server}: {ran}");
        }
        let rows = "id,score,note,phone\nA1,1,,\nN1,3,y,unknown\n";
        assert_eq!(place.rows("accounts"), rows, "on {server}");
    }
}
