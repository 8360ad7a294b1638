//! Telling people: what `[alerts]` names is tried with `check --alert`, and told by `serve` when a
//! job goes wrong and when it is right again. Nothing that is secret about it is printed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{CANARY, Server, Workspace, certificates};

/// How long a test waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(60);

/// A project with a job that is in order, and these lines of `[alerts]`.
fn place(lines: &str) -> Workspace {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,\n",
    );
    let project = place.text("writeback.toml");
    place.file("writeback.toml", &format!("[alerts]\n{lines}\n{project}"));
    place
}

/// A receiver on this machine that gives every request this answer: its port, and what it is sent.
fn receiver(answer: &'static str) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, received) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if sender.send(request(&stream)).is_err() {
                return;
            }
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    (port, received)
}

/// A request's lines and its body.
fn request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut text).unwrap(), 0, "a whole request");
    }
    let length = text.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")
            .map(str::to_owned)
    });
    let mut body = vec![0; length.expect("a length").parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    text + std::str::from_utf8(&body).unwrap()
}

#[test]
fn check_sends_a_test_alert_through_each_channel_when_asked() {
    let (port, received) = receiver("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    let place = place(&format!(
        "command = ['/bin/sh', '-c', 'cat > told.json; env > environment']\nwebhook.url = 'http://127.0.0.1:{port}/hooks'\n"
    ));
    let quiet = place.command(&["check"]);
    assert_eq!(quiet.code, 0, "{quiet}");
    assert!(
        quiet
            .stdout
            .starts_with("alerts\n  command: ready\n  webhook: ready\njob  ready\n"),
        "{quiet}"
    );
    assert!(
        !place.path("told.json").exists() && received.try_recv().is_err(),
        "nobody asked"
    );
    let check = place.command(&["check", "--alert"]);
    assert_eq!(check.code, 0, "{check}");
    let told =
        "alerts\n  command: told of a test alert\n  webhook: told of a test alert\njob  ready\n";
    assert!(check.stdout.starts_with(told), "{check}");
    let posted = received.recv_timeout(DEADLINE).expect("a request");
    let (head, body) = posted.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hooks HTTP/1.1\r\n"), "{posted}");
    assert!(
        !head.to_lowercase().contains("x-writeback-signature"),
        "there is no secret to sign with: {posted}"
    );
    for body in [body.to_owned(), place.text("told.json")] {
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&body["kind"], &body["state"], &body["job"]),
            (&json!("test"), &json!("raised"), &Value::Null)
        );
        assert_eq!(
            body["message"],
            "this is a test of `[alerts]`; nothing is wrong"
        );
    }
    assert!(
        !place.text("environment").contains("MALLOC"),
        "what the program sets for itself is not its alerts'"
    );
    let machines = place.command(&["check", "--alert", "--json"]).json();
    assert_eq!(
        machines["alerts"],
        json!([{ "channel": "command", "told": true }, { "channel": "webhook", "told": true }])
    );
}

#[test]
fn a_channel_that_fails_is_told_and_the_other_one_is_used_all_the_same() {
    let (port, received) = receiver("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    let place = place(&format!(
        "command = ['/bin/sh', '-c', 'echo the pager is down; exit 4']\nwebhook.url = 'http://127.0.0.1:{port}/hooks'\n"
    ));
    let check = place.command(&["check", "--alert"]);
    assert_eq!(check.code, 2, "{check}");
    received.recv_timeout(DEADLINE).expect("a request");
    assert!(
        check
            .stdout
            .starts_with("alerts\n  command: could not be told\n  webhook: could not be told\n"),
        "{check}"
    );
    let told = "error: `[alerts]` has 2 problems\n  \
        could not tell of a test alert through `command`: `/bin/sh` ended with exit code 4\n  \
        could not tell of a test alert through `webhook`: the webhook answered 500\n    \
        hint: see what the receiver says of it in its own log\n";
    assert!(check.stderr.ends_with(told), "{check}");
    assert!(check.stderr.contains("the pager is down"), "{check}");
}

#[test]
fn a_test_alert_needs_a_channel() {
    let check = place("rejected_max = '5 %'\n").command(&["check", "--alert"]);
    assert_eq!(check.code, 2, "{check}");
    assert_eq!(
        check.stderr,
        "error: `[alerts]` has 1 problem\n  \
         `[alerts]` names no channel that a test alert could be sent through\n    \
         hint: add `command = [\"PROGRAM\"]` or `webhook = { url = \"https://…\" }` to it\n"
    );
}

#[test]
fn check_tells_what_a_channel_lacks_and_runs_do_without_it() {
    let place = place("webhook.url = { env = 'NOBODY_SET_THIS' }\n");
    let check = place.command(&["check"]);
    assert_eq!(check.code, 2, "{check}");
    assert_eq!(
        check.stderr,
        "error: `[alerts]` has 1 problem\n  \
         writeback.toml:2:23: environment variable `NOBODY_SET_THIS` is not set\n    \
         hint: export NOBODY_SET_THIS=…\n"
    );
    let machines = place.command(&["check", "--json"]).json();
    assert_eq!(
        machines["problems"][0]["message"],
        "environment variable `NOBODY_SET_THIS` is not set"
    );
    assert_eq!(place.run().summary(), "1 read = 1 updated");
}

#[test]
fn no_log_level_prints_a_webhooks_url_or_its_secret() {
    for answer in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 500 Oops\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let (port, received) = receiver(answer);
        let place =
            place("webhook = { url = { env = 'HOOK_URL' }, secret = { file = 'secret' } }\n");
        place.file("secret", CANARY);
        let url = format!("http://127.0.0.1:{port}/{CANARY}");
        for level in [
            "trace",
            "ureq=trace,ureq::run=trace,ureq_proto::util=trace,rustls=trace,log=trace",
        ] {
            // What is printed is looked at by the harness.
            let environment = [
                ("RUST_LOG", level),
                ("RUST_BACKTRACE", "full"),
                ("HOOK_URL", &url),
            ];
            place.command_with(&["check", "--alert"], &environment);
            let posted = received.recv_timeout(DEADLINE).expect("a request");
            assert!(
                posted.contains(CANARY)
                    && posted.to_lowercase().contains("x-writeback-signature: v1="),
                "{posted}"
            );
        }
        for (path, bytes) in place.state() {
            assert!(
                !bytes
                    .windows(CANARY.len())
                    .any(|window| window == CANARY.as_bytes()),
                "{}",
                path.display()
            );
        }
    }
}

/// A project served by itself: each cycle that is announced is written back, or tried to.
fn served_place(alerts: &str) -> Workspace {
    let place = place(alerts);
    let project = place.text("writeback.toml");
    place.file(
        "writeback.toml",
        &format!("{project}\n[dashboards.health]\nannounced = true\n"),
    );
    let job = place.text("schedules/job.toml");
    let cadence = "[cadence]\ndashboard = 'health'\nretry_delay = '1s'\nretry_delay_max = '1s'\nattempts_max = 1000\n";
    place.file("schedules/job.toml", &format!("{cadence}\n{job}"));
    place
}

/// The next alert that a receiver is sent.
fn next(received: &mpsc::Receiver<String>) -> Value {
    let posted = received.recv_timeout(DEADLINE).expect("a request");
    serde_json::from_str(posted.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_job_that_fails_is_told_once_and_once_when_it_is_well_again_also_across_a_kill() {
    let (port, received) = receiver("HTTP/1.1 204 No Content\r\n\r\n");
    let place = served_place(&format!("webhook.url = 'http://127.0.0.1:{port}/'\n"));
    place.execute("ALTER TABLE accounts RENAME COLUMN score TO rating");
    let mut serving = place.serve(&[]);
    assert_eq!(place.command(&["cycle", "health", "--id", "W46"]).code, 0);
    let raised = next(&received);
    assert_eq!(
        (&raised["kind"], &raised["state"]),
        (&json!("failing"), &json!("raised")),
        "{raised}"
    );
    assert_eq!(
        (&raised["job"], &raised["cycle"]),
        (&json!("job"), &json!("W46"))
    );
    let message = raised["message"].as_str().unwrap();
    assert!(
        message.starts_with("job `job` could not write cycle `W46` back after ")
            && message.contains("score"),
        "{message}"
    );
    // It goes on failing, also in another process, and nobody is told again.
    serving.wait_for_log("a run could not finish");
    serving.kill();
    let mut serving = place.serve(&[]);
    serving.wait_for_log("a run could not finish");
    place.execute("ALTER TABLE accounts RENAME COLUMN rating TO score");
    // A kill between telling and recording that people were told repeats the telling, with its id.
    let recovered = std::iter::repeat_with(|| next(&received))
        .find(|change| change["id"] != raised["id"])
        .unwrap();
    assert_eq!(
        (&recovered["kind"], &recovered["state"]),
        (&json!("failing"), &json!("recovered")),
        "{recovered}"
    );
    assert_eq!(
        (&recovered["since"], &recovered["run"]),
        (&raised["since"], &json!(1))
    );
    assert_eq!(
        (
            &recovered["write_backs"][0]["read"],
            &recovered["write_backs"][0]["updated"]
        ),
        (&json!(1), &json!(1))
    );
    let (code, log) = serving.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(received.try_recv().is_err(), "told of one change twice");
}

#[test]
fn rejected_records_and_broken_files_are_told_by_a_command() {
    let lines = "command = ['/bin/sh', '-c', 'cat >> told.json']\nrejected_max = '50 %'\n";
    let place = served_place(lines);
    let told = |place: &Workspace| {
        let text = std::fs::read_to_string(place.path("told.json")).unwrap_or_default();
        let changes = text
            .lines()
            .map_while(|line| serde_json::from_str::<Value>(line).ok());
        changes
            .map(|change| format!("{} {}", change["kind"], change["state"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    place.file("data/scores.csv", "id,score,note\nA1,x,\n");
    let serving = place.serve(&[]);
    assert_eq!(place.command(&["cycle", "health", "--id", "W46"]).code, 0);
    place.wait_until("the rejected records", |place| {
        told(place) == ["rejected raised"]
    });
    let good = place.text("schedules/job.toml");
    place.file("schedules/job.toml", &good.replace("'score'", "'scroe'"));
    place.wait_until("the broken file", |place| {
        told(place)
            .last()
            .is_some_and(|last| last == "broken_file raised")
    });
    place
        .file("schedules/job.toml", &good)
        .file("data/scores.csv", "id,score,note\nA1,3,\n");
    place.wait_until("the file is read again", |place| told(place).len() == 3);
    assert_eq!(place.command(&["cycle", "health", "--id", "W47"]).code, 0);
    let all = [
        "rejected raised",
        "broken_file raised",
        "broken_file recovered",
        "rejected recovered",
    ];
    place.wait_until("all is well", |place| told(place) == all);
    let (code, log) = serving.stop();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn what_could_not_be_told_is_told_after_a_restart() {
    let place = served_place("command = ['/bin/sh', '-c', 'test -e pager && cat >> told.json']\n");
    place.execute("ALTER TABLE accounts RENAME COLUMN score TO rating");
    let mut serving = place.serve(&[]);
    assert_eq!(place.command(&["cycle", "health", "--id", "W46"]).code, 0);
    serving.wait_for_log("could not tell of an alert; it is tried again");
    serving.kill();
    place.file("pager", "");
    let _serving = place.serve(&[]);
    place.wait_until("the alert", |place| {
        place.path("told.json").exists() && !place.text("told.json").is_empty()
    });
    assert!(place.text("told.json").contains("\"failing\""));
}

#[test]
fn serving_begins_only_when_people_can_be_told() {
    let place = served_place("webhook.url = { env = 'NOBODY_SET_THIS' }\n");
    let serve = place.command(&["serve"]);
    assert_eq!(serve.code, 2, "{serve}");
    assert!(
        serve.stderr.contains("hint: export NOBODY_SET_THIS=…"),
        "{serve}"
    );
}

/// A receiver that speaks TLS with a certificate for `localhost`, which the private authority in
/// `ca.pem` vouches for, and takes whatever is posted.
struct TlsReceiver {
    folder: TempDir,
    port: u16,
    server: Child,
}

impl TlsReceiver {
    fn start() -> Self {
        Self::showing("server")
    }

    /// With the certificate of this name: the server's own, or its authority's.
    fn showing(name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        certificates::make(folder.path());
        let mut server = Command::new("openssl");
        server.args([
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-cert",
            &format!("{name}.pem"),
            "-key",
            &format!("{name}.key"),
        ]);
        server
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut server = server.spawn().expect("`openssl` is installed");
        let mut answers = server.stdin.take().unwrap();
        let lines = BufReader::new(server.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let (sender, port) = mpsc::channel();
        thread::spawn(move || {
            for line in lines {
                if let Some((_, port)) = line
                    .strip_prefix("ACCEPT ")
                    .and_then(|address| address.rsplit_once(':'))
                {
                    sender.send(port.parse().unwrap()).unwrap();
                }
                if line.contains("POST /hooks HTTP/1.1") {
                    answers
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                        .unwrap();
                }
            }
        });
        let port = port.recv_timeout(DEADLINE).expect("`openssl` listens");
        Self {
            folder,
            port,
            server,
        }
    }
}

impl Drop for TlsReceiver {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

#[test]
fn a_webhooks_certificate_is_verified_against_the_roots_of_the_machine() {
    let receiver = TlsReceiver::start();
    let place = place(&format!(
        "webhook.url = 'https://localhost:{}/hooks'\n",
        receiver.port
    ));
    let stranger = place.command(&["check", "--alert"]);
    assert_eq!(stranger.code, 2, "{stranger}");
    let told = "the webhook could not prove who it is: nobody whom this machine trusts has signed its certificate (";
    assert!(
        stranger.stderr.contains(told) && stranger.stderr.contains("UnknownIssuer"),
        "{stranger}"
    );
    assert!(
        stranger
            .stderr
            .contains("hint: let `ca_file` name the certificate"),
        "{stranger}"
    );
    let ca_file = receiver.folder.path().join("ca.pem");
    let trusting = [("SSL_CERT_FILE", ca_file.to_str().unwrap())];
    let trusted = place.command_with(&["check", "--alert"], &trusting);
    assert_eq!(trusted.code, 0, "{trusted}");
    assert!(
        trusted.stdout.contains("webhook: told of a test alert"),
        "{trusted}"
    );
    let text = place
        .text("writeback.toml")
        .replace("localhost", "127.0.0.1");
    let other_name = place
        .file("writeback.toml", &text)
        .command_with(&["check", "--alert"], &trusting);
    assert_eq!(other_name.code, 2, "{other_name}");
    assert!(!other_name.stderr.contains("127.0.0.1"), "{other_name}");
}

#[test]
fn a_webhook_is_vouched_for_by_the_authority_in_its_ca_file() {
    let receiver = TlsReceiver::start();
    let port = receiver.port;
    let place = place(&format!(
        "webhook = {{ url = 'https://localhost:{port}/hooks', ca_file = 'certs/ca.pem' }}\n"
    ));
    let absent = place.command(&["check"]);
    assert_eq!(absent.code, 2, "{absent}");
    assert!(
        absent.stderr.contains("writeback.toml:2:") && absent.stderr.contains("there is no file"),
        "{absent}"
    );
    place.file("certs/ca.pem", "no certificate\n");
    let empty = place.command(&["check", "--alert"]);
    assert_eq!(empty.code, 2, "{empty}");
    assert!(
        empty.stderr.contains("could not read certificates from")
            && empty.stderr.contains("it holds none"),
        "{empty}"
    );
    place.file(
        "certs/ca.pem",
        &std::fs::read_to_string(receiver.folder.path().join("ca.pem")).unwrap(),
    );
    let trusted = place.command(&["check", "--alert"]);
    assert_eq!(trusted.code, 0, "{trusted}");
    assert!(
        trusted.stdout.contains("webhook: told of a test alert"),
        "{trusted}"
    );
}

#[test]
fn a_receiver_that_shows_its_authoritys_own_certificate_is_explained() {
    let receiver = TlsReceiver::showing("ca");
    let port = receiver.port;
    let place = place(&format!(
        "webhook = {{ url = 'https://localhost:{port}/hooks', ca_file = 'ca.pem' }}\n"
    ));
    place.file(
        "ca.pem",
        &std::fs::read_to_string(receiver.folder.path().join("ca.pem")).unwrap(),
    );
    let check = place.command(&["check", "--alert"]);
    assert_eq!(check.code, 2, "{check}");
    let told = "the webhook could not prove who it is: it shows the certificate of an authority, which vouches for others \
        and proves no server itself";
    assert!(check.stderr.contains(told), "{check}");
    assert!(
        check
            .stderr
            .contains("hint: give the server a certificate of its own"),
        "{check}"
    );
}
