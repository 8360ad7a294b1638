//! Requests over TLS, and requests that are signed, as other programs make both.

use std::io::Write as _;
use std::process::{Command, Stdio};

use chrono::Utc;

use super::caller::{Answering, CALLER, TOKEN, path_of, place_on};
use crate::harness::{Server, Workspace, certificates};

const CHANGE: &str = r#"{"values": {"score": 7}}"#;

fn with_http(replace: &str, with: &str) -> Workspace {
    let place = place_on(Server::Sqlite);
    let project = place.text("writeback.toml");
    assert!(CALLER.contains(replace) && project.contains(replace));
    place.file("writeback.toml", &project.replace(replace, with));
    place
}

fn score(place: &Workspace) -> String {
    place.query("SELECT score FROM accounts WHERE id = 'A1'")
}

/// What `curl` gets to hear: whether it trusts who answers, and what is answered.
fn curl(place: &Workspace, port: &str, arguments: &[&str]) -> (bool, String) {
    let url = format!("https://localhost:{port}{}", path_of("A1"));
    let asked = Command::new("curl")
        .args(["--silent", "--show-error", "--resolve"])
        .arg(format!("localhost:{port}:127.0.0.1"))
        .args([
            "-X",
            "PATCH",
            "-H",
            &format!("Authorization: Bearer {TOKEN}"),
            "-d",
            CHANGE,
        ])
        .args(arguments)
        .arg(url)
        .current_dir(place.path(""))
        .output()
        .expect("`curl` is installed");
    (
        asked.status.success(),
        String::from_utf8_lossy(&asked.stdout).into_owned(),
    )
}

#[test]
fn requests_are_answered_over_tls_to_whoever_trusts_the_certificate_and_never_in_the_clear() {
    let place = with_http(
        "listen = '127.0.0.1:0'",
        "listen = '127.0.0.1:0'\ntls = { certificate = 'server.pem', key = 'server.key' }",
    );
    certificates::make(&place.path(""));
    let answering = Answering::start(&place);
    assert!(
        answering.log().contains("https://127.0.0.1"),
        "{}",
        answering.log()
    );
    let port = answering.host.rsplit(':').next().expect("a port");
    let (trusts, _) = curl(&place, port, &[]);
    assert!(!trusts, "nobody vouches for the certificate");
    let token = format!("Bearer {TOKEN}");
    let headers = [("Authorization", token.as_str())];
    let clear = super::caller::send(&answering.host, "PATCH", &path_of("A1"), &headers, CHANGE);
    assert!(clear.is_none(), "{clear:?}");
    assert_eq!(score(&place), "score\n1\n");
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let (trusts, answer) = curl(&place, port, &["--cacert", "ca.pem", version]);
        assert!(
            trusts && answer.contains(r#""status":200"#),
            "{version} {answer}"
        );
    }
    assert_eq!(score(&place), "score\n7\n");
    let (code, log) = answering.stop();
    assert_eq!(code, Some(0), "{log}");
    place.file("server.key", "no key");
    let served = place.command_with(&["serve"], &[("PORTAL_TOKEN", TOKEN)]);
    assert_ne!(served.code, 0, "{served}");
    assert!(served.stderr.contains("server.key"), "{served}");
}

/// `v1=` and what `openssl` makes of it.
fn signature(timestamp: &str, asked: &str, body: &str) -> String {
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", TOKEN])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`openssl` is installed");
    let signed = format!("{timestamp}.{asked}\n{body}");
    let stdin = openssl.stdin.take().expect("a pipe");
    let mut stdin = stdin;
    stdin.write_all(signed.as_bytes()).expect("a pipe");
    drop(stdin);
    let told = openssl.wait_with_output().expect("an end").stdout;
    let told = String::from_utf8_lossy(&told).into_owned();
    let digits = told.split_whitespace().last().expect("digits");
    format!("v1={digits}")
}

#[test]
fn a_signed_request_is_carried_out_and_no_other_that_its_signature_is_put_on() {
    let place = with_http("token = {", "secret = {");
    let answering = Answering::start(&place);
    let send = |timestamp: &str, path: &str, body: &str, signature: &str| {
        let headers = [
            ("X-Writeback-Timestamp", timestamp),
            ("X-Writeback-Signature", signature),
        ];
        answering.send("PATCH", path, &headers, body)
    };
    let now = Utc::now().timestamp();
    let (now, old) = (now.to_string(), (now - 301).to_string());
    let path = path_of("A1");
    let asked = format!("PATCH {path}");
    let right = signature(&now, &asked, CHANGE);
    let read = signature(&now, &format!("GET {path}"), CHANGE);
    let outdated = signature(&old, &asked, CHANGE);
    for (answer, what) in [
        (
            send(&now, &path, r#"{"values": {"score": 8}}"#, &right),
            "another body",
        ),
        (send(&now, &path_of("A2"), CHANGE, &right), "another record"),
        (send(&old, &path, CHANGE, &right), "another time"),
        (send(&now, &path, CHANGE, &read), "another method"),
        (send(&old, &path, CHANGE, &outdated), "too old"),
        (answering.change("A1", CHANGE), "the secret as a token"),
    ] {
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
    }
    assert_eq!(place.rows("accounts"), super::caller::ROWS);
    assert_eq!(send(&now, &path, CHANGE, &right).status, 200);
    assert_eq!(score(&place), "score\n7\n");
    let query = format!("{}?id=A2", path.trim_end_matches("/A1"));
    let of_query = signature(&now, &format!("PATCH {query}"), CHANGE);
    assert_eq!(send(&now, &query, CHANGE, &of_query).status, 200);
}
