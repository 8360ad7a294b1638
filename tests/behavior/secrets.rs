//! Passwords never leave the program. Every call of every test looks at what is printed; these look at the rest.

use crate::harness::{CANARY, PASSWORD, Server, Workspace};

const ROWS: &str = "id,score,note,phone\nA1,1,,\n";
const SOURCE: &str = "id,score,note\nA1,2,\nA2,x,\n";

#[test]
fn no_log_level_prints_a_password_and_no_file_keeps_it() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        for arguments in [
            &["check"][..],
            &["preview", "job"],
            &["run", "job"],
            &["test", "job", "--record", "A1"],
            &["runs"],
            &["runs", "1"],
            &["schema", "crm", "accounts"],
        ] {
            // What is printed is looked at by the harness.
            let ran = place.command_with(arguments, &[("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")]);
            assert!(ran.code < 2, "on {server}: {ran}");
        }
        for (path, bytes) in place.state() {
            let holds = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
            assert!(!holds, "{} holds the password", path.display());
        }
    }
}

#[test]
fn a_refused_login_names_the_user_and_not_the_password() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let wrong = format!("{CANARY}-wrong");
        let run = place.command_with(&["run", "job"], &[("RUST_LOG", "trace"), ("CRM_PASSWORD", &wrong)]);
        assert_eq!(run.code, 2, "{run}");
        assert!(run.stderr.contains("crm"), "{run}");
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
    }
}

#[test]
fn a_password_that_is_not_set_is_a_mistake_that_says_how_to_set_it() {
    let place = Workspace::accounts(Server::Postgres, ROWS, SOURCE);
    let settings = place.text("writeback.toml").replace("CRM_PASSWORD", "CRM_PASSWORD_NOBODY_SET");
    place.file("writeback.toml", &settings);
    let run = place.run();
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("export CRM_PASSWORD_NOBODY_SET="), "{run}");
}

#[test]
fn a_password_may_come_from_a_file() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let settings = place.text("writeback.toml").replace("{ env = \"CRM_PASSWORD\" }", "{ file = \"secret\" }");
        place.file("writeback.toml", &settings).file("secret", &format!("{PASSWORD}\n"));
        assert_eq!(place.run().summary(), "2 read = 1 updated + 1 rejected", "on {server}");
    }
}

#[test]
fn a_password_in_the_file_itself_works_and_is_warned_about() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let literal = toml::Value::String(PASSWORD.to_owned()).to_string();
        let settings = place.text("writeback.toml").replace("{ env = \"CRM_PASSWORD\" }", &literal);
        place.file("writeback.toml", &settings);
        let check = place.command_with(&["check"], &[("RUST_LOG", "trace")]);
        assert_eq!(check.code, 0, "{check}");
        let printed = check.stdout.clone() + &check.stderr;
        assert!(printed.contains("warning"), "on {server}: {check}");
    }
}

#[test]
fn a_mistake_in_a_url_does_not_print_it() {
    let place = Workspace::accounts(Server::Postgres, ROWS, SOURCE);
    for url in [
        format!("postgres://tester:{CANARY}@127.0.0.1:notaport/db"),
        format!("postgres://tester:{CANARY}@127.0.0.1/db?sslmood={CANARY}"),
        format!("postgrs://tester:{CANARY}@127.0.0.1/db"),
    ] {
        place.file("writeback.toml", &(place.connection("files") + &format!("[connections.crm]\nurl = '{url}'\n")));
        let run = place.command_with(&["run", "job"], &[("RUST_LOG", "trace")]);
        assert_eq!(run.code, 2, "{run}");
    }
}
