//! Passwords never leave the program. Every call of every test looks at what is printed; these look
//! at the rest.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::{CANARY, PASSWORD, Server, Workspace};

const ROWS: &str = "id,score,note,phone\nA1,1,,\n";
const SOURCE: &str = "id,score,note\nA1,2,\nA2,x,\n";

#[test]
fn no_log_level_prints_a_password_and_no_file_keeps_it() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        for arguments in [
            &["check"][..],
            &["check", "--json"],
            &["preview", "job"],
            &["preview", "job", "--json"],
            &["run", "job"],
            &["test", "job", "--record", "A1"],
            &["runs"],
            &["runs", "1"],
            &["runs", "1", "--json"],
            &["status", "--json"],
            &["schema", "crm", "accounts"],
        ] {
            // What is printed is looked at by the harness.
            let ran = place.command_with(
                arguments,
                &[("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")],
            );
            assert!(ran.code < 2, "on {server}: {ran}");
        }
        nothing_is_kept(&place);
    }
}

fn nothing_is_kept(place: &Workspace) {
    for (path, bytes) in place.state() {
        let holds = bytes
            .windows(CANARY.len())
            .any(|window| window == CANARY.as_bytes());
        assert!(!holds, "{} holds the password", path.display());
    }
}

/// The password as a URL holds it.
fn in_url() -> String {
    url::form_urlencoded::byte_serialize(PASSWORD.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

#[test]
fn a_url_with_a_password_may_come_from_elsewhere_and_is_never_shown() {
    for server in Server::WITH_USERS {
        for source in ["{ env = 'CRM_URL' }", "{ file = 'secret' }"] {
            let place = Workspace::accounts(server, ROWS, SOURCE);
            let crm = format!("[connections.crm]\nurl = {source}\n");
            let url = place
                .url("tester")
                .replace("tester@", &format!("tester:{}@", in_url()));
            place
                .file("writeback.toml", &(place.connection("files") + &crm))
                .file("secret", &url);
            for arguments in [
                &["check"][..],
                &["check", "--json"],
                &["run", "job"],
                &["schema", "crm", "accounts"],
            ] {
                let ran =
                    place.command_with(arguments, &[("RUST_LOG", "trace"), ("CRM_URL", &url)]);
                assert!(ran.code < 2, "{source} on {server}: {ran}");
            }
            assert_eq!(
                place.rows("accounts"),
                ROWS.replace("A1,1", "A1,2"),
                "{source} on {server}"
            );
            nothing_is_kept(&place);
            // And when it does not lead anywhere.
            let nobody = url.replace("tester:", "nobody:");
            let closed = url.replace(&format!(":{}/", place.port()), ":1/");
            for url in [
                format!("{url}_nowhere"),
                nobody,
                closed,
                url.replace("127.0.0.1", "nowhere.invalid"),
            ] {
                place.file("secret", &url);
                let ran = place
                    .command_with(&["run", "job"], &[("RUST_LOG", "debug"), ("CRM_URL", &url)]);
                assert_eq!(ran.code, 2, "{source} on {server}: {ran}");
                nothing_is_kept(&place);
            }
        }
    }
}

#[test]
fn a_scheduler_that_fails_for_its_password_tells_it_to_nobody() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let project = place.text("writeback.toml") + "[dashboards.health]\nmarker = 'cycle.json'\n";
        let job =
            "[cadence]\ndashboard = 'health'\n\n".to_owned() + &place.text("schedules/job.toml");
        place
            .file("writeback.toml", &project)
            .file("schedules/job.toml", &job);
        place.file(
            "cycle.json",
            "{\"cycle_id\": \"c1\", \"completed_at\": \"2026-11-20T06:00:00Z\"}",
        );
        let wrong = format!("{CANARY}-wrong");
        let environment = [("RUST_LOG", "trace"), ("CRM_PASSWORD", wrong.as_str())];
        let mut serving = place.serve_with(
            &["--listen", "127.0.0.1:0", "--log-format", "json"],
            &environment,
        );
        serving.wait_for_log("a run could not finish");
        for arguments in [
            &["status"][..],
            &["status", "--json"],
            &["runs"],
            &["runs", "--json"],
        ] {
            // What is printed is looked at by the harness.
            assert_eq!(place.command(arguments).code, 0, "on {server}");
        }
        let metrics = metrics_at(&address_in(&serving.log()));
        assert!(
            metrics.contains("writeback_") && !metrics.contains(CANARY),
            "on {server}: {metrics}"
        );
        let (_, log) = serving.stop();
        assert!(!log.contains(CANARY), "the password is logged on {server}");
        nothing_is_kept(&place);
    }
}

/// Where the scheduler answers, as its log of JSON lines tells.
fn address_in(log: &str) -> String {
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON"));
    let addresses = lines.filter_map(|line| line["fields"]["address"].as_str().map(str::to_owned));
    addresses.into_iter().next().expect("an address")
}

fn metrics_at(address: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_refused_login_names_the_user_and_not_the_password() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let wrong = format!("{CANARY}-wrong");
        let run = place.command_with(
            &["run", "job"],
            &[("RUST_LOG", "trace"), ("CRM_PASSWORD", &wrong)],
        );
        assert_eq!(run.code, 2, "{run}");
        assert!(run.stderr.contains("crm"), "{run}");
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
    }
}

#[test]
fn a_password_that_is_not_set_is_a_mistake_that_says_how_to_set_it() {
    let place = Workspace::accounts(Server::Postgres, ROWS, SOURCE);
    let settings = place
        .text("writeback.toml")
        .replace("CRM_PASSWORD", "CRM_PASSWORD_NOBODY_SET");
    place.file("writeback.toml", &settings);
    let run = place.run();
    assert_eq!(run.code, 2, "{run}");
    assert!(
        run.stderr.contains("export CRM_PASSWORD_NOBODY_SET="),
        "{run}"
    );
}

#[test]
fn a_password_may_come_from_a_file() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let settings = place
            .text("writeback.toml")
            .replace("{ env = \"CRM_PASSWORD\" }", "{ file = \"secret\" }");
        place
            .file("writeback.toml", &settings)
            .file("secret", &format!("{PASSWORD}\n"));
        assert_eq!(
            place.run().summary(),
            "2 read = 1 updated + 1 rejected",
            "on {server}"
        );
    }
}

#[test]
fn a_password_in_the_file_itself_works_and_is_warned_about() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let literal = toml::Value::String(PASSWORD.to_owned()).to_string();
        let settings = place
            .text("writeback.toml")
            .replace("{ env = \"CRM_PASSWORD\" }", &literal);
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
        place.file(
            "writeback.toml",
            &(place.connection("files") + &format!("[connections.crm]\nurl = '{url}'\n")),
        );
        let run = place.command_with(&["run", "job"], &[("RUST_LOG", "trace")]);
        assert_eq!(run.code, 2, "{run}");
    }
}

#[test]
fn a_ca_file_that_holds_something_else_is_named_and_not_shown() {
    for server in Server::WITH_USERS {
        let place = Workspace::on_tls(server).with_accounts(ROWS, SOURCE);
        place.file(
            "private.pem",
            &format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"),
        );
        let crm = place.connection("crm").trim_end().to_owned() + "\nca_file = 'private.pem'\n";
        place.file("writeback.toml", &(place.connection("files") + &crm));
        let run = place.command_with(
            &["run", "job"],
            &[("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")],
        );
        assert_eq!(run.code, 2, "on {server}: {run}");
        nothing_is_kept(&place);
    }
}
