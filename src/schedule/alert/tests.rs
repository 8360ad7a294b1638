//! Telling real receivers: a server on this machine, and programs.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use chrono::TimeDelta;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::domain::channel::{AlertCommand, Webhook};
use crate::domain::connection::Secret;
use crate::domain::cycle::Cycle;
use crate::ledger::{NewRun, RunStatus, WriteBackId};

/// How long a test waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(60);
const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// A request as a receiver sees it.
#[derive(Debug)]
struct Received {
    line: String,
    /// By their names in lower case.
    headers: BTreeMap<String, String>,
    body: String,
}

/// A server that gives each request the next of its answers, the last one for ever.
struct Receiver {
    port: u16,
    received: mpsc::Receiver<Received>,
}

impl Receiver {
    fn answering(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, received) = mpsc::channel();
        thread::spawn(move || {
            let mut answers = answers.iter().peekable();
            for stream in listener.incoming() {
                let answer = if answers.len() > 1 {
                    answers.next()
                } else {
                    answers.peek().copied()
                };
                let mut stream = stream.unwrap();
                if sender.send(read_request(&stream)).is_err() {
                    return;
                }
                drop(stream.write_all(answer.copied().unwrap_or(OK).as_bytes()));
            }
        });
        Self { port, received }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks/canary-7f", self.port)
    }

    fn next(&self) -> Received {
        self.received.recv_timeout(DEADLINE).expect("a request")
    }

    /// Everything received so far.
    fn all(&self) -> Vec<Received> {
        self.received.try_iter().collect()
    }
}

fn read_request(stream: &TcpStream) -> Received {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers: BTreeMap<String, String> = lines[1..]
        .iter()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    Received {
        line: lines[0].clone(),
        headers,
        body: String::from_utf8(body).unwrap(),
    }
}

fn webhook(url: &str) -> Webhook {
    Webhook {
        url: Secret::new(url.to_owned()),
        secret: None,
        ca_file: None,
        timeout: DEADLINE,
    }
}

fn command(script: &str, timeout: Duration) -> AlertCommand {
    let arguments = vec!["-c".to_owned(), script.to_owned()];
    AlertCommand {
        program: "/bin/sh".into(),
        arguments,
        timeout,
    }
}

fn to_webhook(webhook: Webhook) -> Channels {
    Channels {
        command: None,
        webhook: Some(webhook),
    }
}

fn to_command(command: AlertCommand) -> Channels {
    Channels {
        command: Some(command),
        webhook: None,
    }
}

fn moment(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
}

async fn alerts(channels: Channels) -> (TempDir, Alerts) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join(".writeback"))
        .await
        .unwrap();
    (
        folder,
        Alerts::new(ledger, channels, Arc::new(ServeState::new())),
    )
}

/// Records that an attempt at a cycle failed before a run began, and finds out what that means.
async fn fail(alerts: &Alerts, now: DateTime<Utc>) {
    alerts
        .ledger
        .attempt_failed("weekly", &cycle("c1"), now, "could not reach `crm`")
        .await
        .unwrap();
    // There is no time for another attempt, so people are told of the first.
    let circumstances = Circumstances {
        deadline_nears: true,
        ..Circumstances::default()
    };
    update(alerts, circumstances, now).await;
}

fn cycle(id: &str) -> Cycle {
    Cycle {
        id: id.to_owned(),
        completed_at: moment(0),
    }
}

fn thresholds() -> Thresholds {
    Thresholds {
        rejected_max: None,
        skipped_max: None,
        read_change_max: None,
        recent_runs: NonZeroU32::MIN,
    }
}

async fn update(alerts: &Alerts, circumstances: Circumstances, now: DateTime<Utc>) {
    alerts
        .update("weekly", circumstances, &thresholds(), now)
        .await
        .unwrap();
}

/// A run that delivered `read` records.
async fn deliver(ledger: &Ledger, read: u64) -> i64 {
    let cycle = cycle("c1");
    let run = NewRun {
        job: "weekly",
        cycle: &cycle,
        started_at: moment(0),
        write_back: None,
        retry_of: None,
        undo_of: None,
        plan: None,
        write_backs: vec!["scores"],
        versions: Vec::new(),
        of_records: false,
        job_digest: "digest",
    };
    let run = ledger.begin_run(&run).await.unwrap();
    ledger
        .record_packaged(
            WriteBackId { run, position: 0 },
            read,
            &crate::ledger::MappedFor::default(),
        )
        .await
        .unwrap();
    ledger
        .finish_run(run, RunStatus::Succeeded, None)
        .await
        .unwrap();
    run
}

/// The chain of messages of a channel that could not be told through.
async fn refusal(channels: &Channels, channel: Channel) -> String {
    let error = tell(channels, channel, "{}", moment(0))
        .await
        .expect_err("not told");
    chain(&error).join(": ")
}

#[tokio::test]
async fn a_webhook_is_given_the_alert_as_json_with_a_signature_that_anybody_can_verify() {
    let receiver = Receiver::answering(&[OK]);
    let secret = Some(Secret::new("s3cret".to_owned()));
    let (_folder, alerts) = alerts(to_webhook(Webhook {
        secret,
        ..webhook(&receiver.url())
    }))
    .await;
    fail(&alerts, moment(0)).await;
    assert_eq!(
        alerts.deliver_due(moment(5)).await.unwrap(),
        Some(moment(5))
    );
    assert_eq!(alerts.deliver_due(moment(5)).await.unwrap(), None);
    let received = receiver.next();
    assert_eq!(received.line, "POST /hooks/canary-7f HTTP/1.1");
    assert_eq!(received.headers["content-type"], "application/json");
    let timestamp: i64 = received.headers["x-writeback-timestamp"].parse().unwrap();
    assert!(timestamp >= moment(5).timestamp());
    let mut hmac = Hmac::<sha2::Sha256>::new_from_slice(b"s3cret").unwrap();
    hmac.update(format!("{timestamp}.{}", received.body).as_bytes());
    let signature = received.headers["x-writeback-signature"]
        .strip_prefix("v1=")
        .unwrap()
        .to_owned();
    let bytes = (0..signature.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&signature[at..at + 2], 16).unwrap());
    hmac.verify_slice(&bytes.collect::<Vec<u8>>())
        .expect("the signature fits");
    let body: Value = serde_json::from_str(&received.body).unwrap();
    assert_eq!(
        body,
        json!({
            "id": "weekly/failing/2026-09-21T14:13:20.000000000Z/raised",
            "kind": "failing",
            "state": "raised",
            "job": "weekly",
            "cycle": "c1",
            "run": null,
            "message": "job `weekly` could not write cycle `c1` back: could not reach `crm`",
            "hint": "`writeback check weekly` looks at its files, connections and rights; it is tried again by itself",
            "since": "2026-09-21T14:13:20Z",
            "at": "2026-09-21T14:13:20Z",
            "write_backs": [],
        })
    );
    assert!(receiver.all().is_empty(), "told once");
}

#[tokio::test]
async fn people_are_told_once_of_an_alert_and_once_of_its_end_also_across_a_restart() {
    let receiver = Receiver::answering(&[OK]);
    let (folder, alerts) = alerts(to_webhook(webhook(&receiver.url()))).await;
    fail(&alerts, moment(0)).await;
    fail(&alerts, moment(1)).await;
    drop(alerts);
    let ledger = Ledger::open(&folder.path().join(".writeback"))
        .await
        .unwrap();
    let alerts = Alerts::new(
        ledger.clone(),
        to_webhook(webhook(&receiver.url())),
        Arc::new(ServeState::new()),
    );
    fail(&alerts, moment(2)).await;
    update(&alerts, Circumstances::default(), moment(3)).await;
    assert_eq!(
        ledger.standing_alerts(Some("weekly")).await.unwrap().len(),
        1,
        "no run has ended"
    );
    let run = deliver(&ledger, 5).await;
    update(&alerts, Circumstances::default(), moment(4)).await;
    assert_eq!(ledger.standing_alerts(None).await.unwrap(), []);
    // The alert comes before its end, which waits for it.
    alerts.deliver_due(moment(9)).await.unwrap();
    assert_eq!(receiver.all().len(), 1);
    alerts.deliver_due(moment(9)).await.unwrap();
    let recovered: Value = serde_json::from_str(&receiver.next().body).unwrap();
    assert_eq!(alerts.deliver_due(moment(9)).await.unwrap(), None);
    assert_eq!(
        recovered["id"],
        "weekly/failing/2026-09-21T14:13:20.000000000Z/recovered"
    );
    assert_eq!(recovered["message"], "job `weekly` finished a run again");
    assert_eq!(
        (&recovered["since"], &recovered["at"]),
        (
            &json!("2026-09-21T14:13:20Z"),
            &json!("2026-09-21T14:13:24Z")
        )
    );
    assert_eq!(recovered["run"], json!(run));
    assert_eq!(
        (
            &recovered["write_backs"][0]["name"],
            &recovered["write_backs"][0]["read"]
        ),
        (&json!("scores"), &json!(5))
    );
    assert!(receiver.all().is_empty());
}

#[tokio::test]
async fn a_telling_that_failed_is_tried_again_with_growing_pauses_and_the_same_words() {
    const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    let receiver = Receiver::answering(&[BUSY, BUSY, OK]);
    let (_folder, alerts) = alerts(to_webhook(webhook(&receiver.url()))).await;
    fail(&alerts, moment(0)).await;
    alerts.deliver_due(moment(0)).await.unwrap();
    let second = alerts
        .deliver_due(moment(1))
        .await
        .unwrap()
        .expect("another attempt");
    assert!(second >= moment(10), "{second}");
    assert_eq!(receiver.all().len(), 1, "nothing is sent before it is due");
    alerts.deliver_due(second).await.unwrap();
    let third = alerts
        .deliver_due(second)
        .await
        .unwrap()
        .expect("another attempt");
    assert!(third >= second + TimeDelta::seconds(20), "{third}");
    alerts.deliver_due(third).await.unwrap();
    assert_eq!(alerts.deliver_due(third).await.unwrap(), None);
    let later = receiver.all();
    assert_eq!(later.len(), 2);
    assert_eq!(later[0].body, later[1].body);
}

#[tokio::test]
async fn telling_is_given_up_after_a_day_and_what_comes_later_is_told() {
    let (folder, alerts) = alerts(to_command(command("exit 7", DEADLINE))).await;
    fail(&alerts, moment(0)).await;
    let mut now = moment(0);
    let mut attempts = 0;
    loop {
        alerts.deliver_due(now).await.unwrap();
        attempts += 1;
        match alerts.deliver_due(now).await.unwrap() {
            Some(next) => now = next,
            None => break,
        }
    }
    assert_eq!(attempts, 32);
    let file = folder.path().join("told");
    alerts.use_channels(to_command(command(
        &format!("cat > {}", file.display()),
        DEADLINE,
    )));
    deliver(&alerts.ledger, 1).await;
    update(&alerts, Circumstances::default(), now).await;
    alerts.deliver_due(now).await.unwrap();
    let told: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(told["state"], "recovered");
}

#[tokio::test]
async fn a_channel_that_is_no_longer_there_is_given_up_at_once() {
    let (_folder, alerts) = alerts(to_command(command("exit 7", DEADLINE))).await;
    fail(&alerts, moment(0)).await;
    alerts.use_channels(Channels::default());
    alerts.deliver_due(moment(0)).await.unwrap();
    assert_eq!(alerts.deliver_due(moment(0)).await.unwrap(), None);
}

#[tokio::test]
async fn alerts_of_a_job_that_is_no_more_are_over() {
    let (_folder, alerts) = alerts(Channels::default()).await;
    fail(&alerts, moment(0)).await;
    alerts
        .keep_only(&["weekly", "daily"], moment(1))
        .await
        .unwrap();
    assert_eq!(alerts.ledger.standing_alerts(None).await.unwrap().len(), 1);
    alerts.keep_only(&["daily"], moment(1)).await.unwrap();
    assert_eq!(alerts.ledger.standing_alerts(None).await.unwrap(), []);
}

#[tokio::test]
async fn counts_are_watched_over_the_runs_of_the_ledger() {
    let (_folder, alerts) = alerts(Channels::default()).await;
    let percent = crate::domain::share::Percent::parse("50 %");
    let thresholds = Thresholds {
        read_change_max: percent,
        recent_runs: NonZeroU32::new(3).unwrap(),
        ..thresholds()
    };
    // The first count is no longer among the recent ones when it would matter.
    for read in [9_000, 100, 100, 100, 140, 151, 149] {
        deliver(&alerts.ledger, read).await;
        alerts
            .update("weekly", Circumstances::default(), &thresholds, moment(0))
            .await
            .unwrap();
        let standing = alerts.ledger.standing_alerts(Some("weekly")).await.unwrap();
        let told: Vec<&str> = standing
            .iter()
            .map(|alert| alert.message.as_str())
            .collect();
        match read {
            151 => assert_eq!(
                told,
                [
                    "write-back `scores` of job `weekly` read 151 records, the median of its last 3 runs is 100, and a \
                  change of 50 % is the most"
                ]
            ),
            _ => assert_eq!(told, [""; 0], "{read}"),
        }
    }
}

#[tokio::test]
async fn the_sender_wakes_when_an_alert_is_recorded_and_stops_when_asked() {
    let receiver = Receiver::answering(&[OK]);
    let (_folder, alerts) = alerts(to_webhook(webhook(&receiver.url()))).await;
    let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
    let sender = alerts.clone();
    let sender =
        tokio::spawn(async move { sender.keep_delivering(async { drop(stopping.await) }).await });
    // By then the sender most likely sleeps, which it would do for twice as long as this test
    // waits.
    tokio::task::yield_now().await;
    fail(&alerts, Utc::now()).await;
    let told = move || receiver.received.recv_timeout(SENDER_SLEEP_MAX / 2);
    tokio::task::spawn_blocking(told)
        .await
        .unwrap()
        .expect("told");
    stop.send(()).unwrap();
    tokio::time::timeout(DEADLINE, sender)
        .await
        .expect("it stops")
        .unwrap();
}

#[tokio::test]
async fn a_webhook_that_does_not_take_it_is_an_error_that_tells_no_url() {
    for (answer, told) in [
        (
            "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nbody",
            "the webhook answered 500",
        ),
        ("HTTP/1.1 404 Not Found\r\n\r\n", "the webhook answered 404"),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/canary-7f\r\n\r\n",
            "the webhook answered 302",
        ),
        (
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: /canary-7f\r\n\r\n",
            "the webhook answered 307",
        ),
    ] {
        let receiver = Receiver::answering(Box::leak(Box::new([answer])));
        let refusal = refusal(&to_webhook(webhook(&receiver.url())), Channel::Webhook).await;
        assert_eq!(refusal, told);
        assert_eq!(receiver.all().len(), 1, "redirects are not followed");
    }
    for answer in ["", "canary-7f\r\n\r\n", "HTTP/1.1 2"] {
        let receiver = Receiver::answering(Box::leak(Box::new([answer])));
        let refusal = refusal(&to_webhook(webhook(&receiver.url())), Channel::Webhook).await;
        assert!(
            refusal.starts_with("could not reach the webhook: "),
            "{refusal}"
        );
        assert!(
            !refusal.contains("canary") && !refusal.contains("127.0.0.1"),
            "{refusal}"
        );
    }
}

#[tokio::test]
async fn a_body_of_any_size_of_the_answer_is_not_waited_for() {
    // The promised body never comes; its status has, and counts.
    let receiver =
        Receiver::answering(&["HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nbegun"]);
    tell(
        &to_webhook(webhook(&receiver.url())),
        Channel::Webhook,
        "{}",
        moment(0),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_webhook_that_cannot_be_reached_is_an_error_that_tells_no_url() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let refused = refusal(
        &to_webhook(webhook(&format!("http://127.0.0.1:{free}/canary-7f"))),
        Channel::Webhook,
    )
    .await;
    assert!(
        refused.contains("refused") && !refused.contains("canary"),
        "{refused}"
    );

    // Connections are taken by the kernel, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "http://127.0.0.1:{}/canary-7f",
        silent.local_addr().unwrap().port()
    );
    let impatient = Webhook {
        timeout: Duration::from_millis(200),
        ..webhook(&url)
    };
    let timeout = refusal(&to_webhook(impatient), Channel::Webhook).await;
    assert_eq!(
        timeout,
        "could not reach the webhook: no answer within 200ms"
    );

    let unknown = refusal(
        &to_webhook(webhook("https://canary-7f.invalid/x")),
        Channel::Webhook,
    )
    .await;
    assert!(
        unknown.starts_with("could not reach the webhook: ") && !unknown.contains("canary"),
        "{unknown}"
    );
}

#[tokio::test]
async fn a_command_is_given_the_alert_on_its_standard_input_and_its_arguments_by_no_shell() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("told");
    let script = r#"cat > "$0"; printf '%s' "$1" >> "$0""#;
    let arguments = ["-c", script, file.to_str().unwrap(), "$HOME `id`"]
        .map(str::to_owned)
        .to_vec();
    let command = AlertCommand {
        program: "sh".into(),
        arguments,
        timeout: DEADLINE,
    };
    tell(
        &to_command(command),
        Channel::Command,
        r#"{"id":"a"}"#,
        moment(0),
    )
    .await
    .unwrap();
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "{\"id\":\"a\"}\n$HOME `id`"
    );
}

#[tokio::test]
async fn a_command_that_reads_nothing_and_prints_a_lot_is_no_failure() {
    let body = "x".repeat(1 << 20);
    let prints = command(
        "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2",
        DEADLINE,
    );
    tell(&to_command(prints), Channel::Command, &body, moment(0))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_command_that_fails_says_how() {
    let failed = refusal(
        &to_command(command("echo why >&2; exit 3", DEADLINE)),
        Channel::Command,
    )
    .await;
    assert_eq!(failed, "`/bin/sh` ended with exit code 3");
    let killed = refusal(
        &to_command(command("kill -s TERM $$", DEADLINE)),
        Channel::Command,
    )
    .await;
    assert_eq!(killed, "`/bin/sh` was ended by signal 15");
    let missing = AlertCommand {
        program: "/nowhere/page".into(),
        ..command("", DEADLINE)
    };
    let missing = refusal(&to_command(missing), Channel::Command).await;
    assert_eq!(
        missing,
        "could not start `/nowhere/page`: No such file or directory (os error 2)"
    );
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_all_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("child");
    let script = format!("sleep 600 & echo $! > {}; wait", file.display());
    let hung = refusal(
        &to_command(command(&script, Duration::from_secs(2))),
        Channel::Command,
    )
    .await;
    assert_eq!(hung, "`/bin/sh` was killed: it was not done after 2s");
    let child = std::fs::read_to_string(&file).expect("two seconds are enough to start");
    let begun = Instant::now();
    while is_alive(child.trim()) {
        assert!(begun.elapsed() < DEADLINE, "process {child} is still there");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process is there and more than a remainder that nobody has asked about yet.
fn is_alive(process: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(process).join("stat"));
    stat.is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with('Z')
    })
}

#[test]
fn every_reason_not_to_be_told_says_what_to_do_if_anything_can_be_done() {
    let refused = |status| TellError::WebhookRefused { status }.hint().unwrap();
    assert_eq!(
        refused(301),
        "redirects are not followed: name the address itself"
    );
    assert_eq!(
        refused(500),
        "see what the receiver says of it in its own log"
    );
}
