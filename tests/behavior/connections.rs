//! Ways to a server, and what is said when none of them leads there.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::harness::{PASSWORD, Ran, Server, Workspace};

const ROWS: &str = "id,score,note,phone\nA1,1,,\n";
const SOURCE: &str = "id,score,note\nA1,2,x\n";
const WRITTEN: &str = "id,score,note,phone\nA1,2,x,\n";

/// Longer than the connection's `connect_timeout` by what a debug build on a busy machine takes for
/// the rest.
const PATIENCE: Duration = Duration::from_secs(20);

/// The connection `crm` by its parts, `settings` in place of those of the same key; an empty one
/// leaves the key out.
fn parts(place: &Workspace, settings: &[(&str, &str)]) -> String {
    let usual = [
        ("kind", format!("'{}'", place.server.kind())),
        ("host", "'127.0.0.1'".to_owned()),
        ("port", place.port().to_string()),
        ("user", "'tester'".to_owned()),
        ("password", "{ env = 'CRM_PASSWORD' }".to_owned()),
        ("database", format!("'{}'", place.database_name())),
        ("connect_timeout", "'3s'".to_owned()),
    ];
    let given = |key: &str| settings.iter().any(|(other, _)| *other == key);
    let kept = usual
        .iter()
        .filter(|(key, _)| !given(key))
        .map(|(key, value)| (*key, value.as_str()));
    let lines = kept
        .chain(settings.iter().copied())
        .filter(|(_, value)| !value.is_empty());
    let lines: String = lines
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    format!("[connections.crm]\n{lines}")
}

fn connect(place: &Workspace, crm: &str) {
    place.file("writeback.toml", &(place.connection("files") + crm));
}

fn written(place: &Workspace) {
    assert_eq!(place.command(&["check"]).code, 0, "on {}", place.server);
    assert_eq!(
        place.run().summary(),
        "1 read = 1 updated",
        "on {}",
        place.server
    );
    assert_eq!(place.rows("accounts"), WRITTEN, "on {}", place.server);
    let schema = place.command(&["schema", "crm", "accounts"]);
    assert!(
        schema.stdout.contains("CREATE TABLE"),
        "sources connect in the same way: {schema}"
    );
}

/// Neither command gets through; both say why, name the connection, and wait no longer than they
/// must.
fn refused(place: &Workspace, words: &[&str]) -> Ran {
    let begun = Instant::now();
    let run = place.command_with(&["run", "job"], &[("RUST_LOG", "warn")]);
    assert!(
        begun.elapsed() < PATIENCE,
        "it took {:?} on {}: {run}",
        begun.elapsed(),
        place.server
    );
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (2, ""),
        "on {}: {run}",
        place.server
    );
    for word in words.iter().copied().chain(["crm"]) {
        assert!(
            run.stderr.contains(word),
            "no `{word}` on {}: {run}",
            place.server
        );
    }
    assert_eq!(place.rows("accounts"), ROWS, "on {}", place.server);
    let check = place.command(&["check"]);
    assert_eq!(
        (check.code, &check.stderr),
        (2, &run.stderr),
        "`check` finds what `run` finds on {}",
        place.server
    );
    run
}

#[test]
fn parts_lead_where_a_url_leads() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        connect(&place, &parts(&place, &[]));
        written(&place);
    }
}

#[test]
fn a_url_and_its_password_may_come_from_elsewhere() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        place.file("secret", &format!("{PASSWORD}\n"));
        connect(
            &place,
            "[connections.crm]\nurl = { env = 'CRM_URL' }\npassword = { file = 'secret' }\n",
        );
        let run = place.command_with(
            &["run", "job", "--json"],
            &[("CRM_URL", &place.url("tester"))],
        );
        assert_eq!(run.summary(), "1 read = 1 updated", "on {server}");

        let escaped: String = PASSWORD
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect();
        let url = place
            .url("tester")
            .replace("tester@", &format!("tester:{escaped}@"));
        place.file("url", &format!("{url}\n"));
        connect(&place, "[connections.crm]\nurl = { file = 'url' }\n");
        assert_eq!(place.run().summary(), "1 read = 1 unchanged", "on {server}");
        assert_eq!(place.rows("accounts"), WRITTEN, "on {server}");
    }
}

#[test]
fn a_socket_leads_to_a_server_of_this_machine() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let socket = format!("'{}'", place.socket().display());
        // A socket's port is part of its name in PostgreSQL; MariaDB's file needs none.
        let port = if server == Server::Postgres {
            place.port().to_string()
        } else {
            String::new()
        };
        connect(
            &place,
            &parts(
                &place,
                &[("host", ""), ("socket", &socket), ("port", &port)],
            ),
        );
        written(&place);
        let nowhere = [
            ("host", ""),
            ("socket", "'nobody-listens-here'"),
            ("port", &port),
        ];
        let place = Workspace::accounts(server, ROWS, SOURCE);
        connect(&place, &parts(&place, &nowhere));
        refused(&place, &["`crm`", "[connections.crm]"]);
    }
}

#[test]
fn a_private_authority_vouches_for_a_server() {
    for server in Server::WITH_USERS {
        let place = Workspace::on_tls(server).with_accounts(ROWS, SOURCE);
        let ca_file = format!("'{}'", place.ca_file().display());
        // `tls = "verified"` is what a `ca_file` means.
        for tls in ["'verified'", ""] {
            connect(
                &place,
                &parts(
                    &place,
                    &[("host", "'localhost'"), ("tls", tls), ("ca_file", &ca_file)],
                ),
            );
            assert_eq!(place.command(&["check"]).code, 0, "on {server}");
        }
        written(&place);
    }
}

#[test]
fn a_server_that_nobody_vouches_for_is_refused() {
    for server in Server::WITH_USERS {
        let place = Workspace::on_tls(server).with_accounts(ROWS, SOURCE);
        connect(
            &place,
            &parts(&place, &[("host", "'localhost'"), ("tls", "'verified'")]),
        );
        refused(&place, &["certificate", "`ca_file` of `[connections.crm]`"]);
        connect(
            &place,
            &parts(
                &place,
                &[("host", "'localhost'"), ("ca_file", "'nowhere.pem'")],
            ),
        );
        refused(&place, &["check `ca_file` of `[connections.crm]`"]);
    }
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    for server in Server::WITH_USERS {
        let place = Workspace::on_tls(server).with_accounts(ROWS, SOURCE);
        let ca_file = format!("'{}'", place.ca_file().display());
        connect(&place, &parts(&place, &[("ca_file", &ca_file)]));
        refused(&place, &["certificate", "not valid for name", "`host`"]);
    }
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_wanted_and_the_other_way_round() {
    for server in Server::WITH_USERS {
        let plain = Workspace::accounts(server, ROWS, SOURCE);
        connect(&plain, &parts(&plain, &[("tls", "'verified'")]));
        refused(&plain, &["TLS", "`tls = \"off\"`"]);
        let encrypted = Workspace::on_tls(server).with_accounts(ROWS, SOURCE);
        connect(&encrypted, &parts(&encrypted, &[("tls", "'off'")]));
        refused(&encrypted, &["`tls = \"verified\"`"]);
    }
}

#[test]
fn a_wrong_password_names_what_to_look_at() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        place.file("secret", "not-the-password-5c1e");
        connect(
            &place,
            &parts(&place, &[("password", "{ file = 'secret' }")]),
        );
        let run = refused(
            &place,
            &[
                "tester",
                "check `user` and `password` of `[connections.crm]`",
            ],
        );
        assert!(!run.stderr.contains("5c1e"), "{run}");
    }
}

#[test]
fn an_unknown_database_names_what_to_look_at() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        connect(&place, &parts(&place, &[("database", "'nowhere'")]));
        refused(
            &place,
            &["nowhere", "check `database` of `[connections.crm]`"],
        );
    }
}

#[test]
fn a_server_that_is_not_there_is_given_up_soon() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        // A port that the system gives to nobody who asks for a free one.
        connect(&place, &parts(&place, &[("port", "1")]));
        refused(
            &place,
            &["could not reach `crm`", "efused", "[connections.crm]"],
        );
        connect(
            &place,
            &parts(
                &place,
                &[("host", "'no-such-host.invalid'"), ("tls", "'off'")],
            ),
        );
        refused(&place, &["could not reach `crm`", "[connections.crm]"]);
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up_after_the_connect_timeout() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, ROWS, SOURCE);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener
            .local_addr()
            .expect("a bound address")
            .port()
            .to_string();
        connect(
            &place,
            &parts(&place, &[("port", &port), ("connect_timeout", "'1s'")]),
        );
        refused(
            &place,
            &[
                "could not reach `crm`",
                "no answer within 1s",
                "[connections.crm]",
            ],
        );
    }
}
