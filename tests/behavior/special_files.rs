//! Named pipes, devices and other things that are no regular files, wherever a file may be named:
//! they are refused, and nothing waits for them. Passwords in files and variables as people leave
//! them there.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Server, Workspace};

const ROWS: &str = "id,score,note,phone\nA1,1,,\n";
const SOURCE: &str = "id,score,note\nA1,2,\n";
const WRITTEN: &str = "id,score,note,phone\nA1,2,,\n";

/// Long enough on a busy machine, and much shorter than the harness waits for a command that hangs.
const PROMPT: Duration = Duration::from_secs(30);

fn shell(place: &Workspace, script: &str) {
    let status = Command::new("sh")
        .args(["-c", script])
        .current_dir(place.path(""))
        .status()
        .expect("a shell");
    assert!(status.success(), "{script}");
}

/// Commands that put something else where `file` stands, and how it is called.
fn others(file: &str) -> [(String, &'static str); 5] {
    [
        (format!("mkfifo '{file}'"), "not a regular file"),
        (format!("mkdir '{file}'"), ""),
        (format!("ln -s /dev/zero '{file}'"), "not a regular file"),
        (
            format!("mkfifo '{file}.pipe'; ln -s \"$PWD/{file}.pipe\" '{file}'"),
            "not a regular file",
        ),
        (format!("ln -s nowhere-at-all '{file}'"), ""),
    ]
}

/// Puts each in the place of `file` and sees that the command ends at once, with an error that
/// names the file.
fn is_refused(place: &Workspace, file: &str, arguments: &[&str]) {
    let usual = place.text(file);
    for (script, words) in others(file) {
        shell(place, &format!("rm -rf '{file}' '{file}.pipe'; {script}"));
        let begun = Instant::now();
        let ran = place.command(arguments);
        assert!(begun.elapsed() < PROMPT, "{script}: {ran}");
        assert_eq!(ran.code, 2, "{script}: {ran}");
        let name = file.rsplit('/').next().unwrap_or(file);
        assert!(
            ran.stderr.contains(name) && ran.stderr.contains(words),
            "{script}: {ran}"
        );
    }
    shell(place, &format!("rm -rf '{file}' '{file}.pipe'"));
    place.file(file, &usual);
}

#[test]
fn nothing_waits_for_a_file_that_is_none() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    let project = place.text("writeback.toml") + "[dashboards.health]\nmarker = 'cycle.json'\n";
    let job = "[cadence]\ndashboard = 'health'\n\n".to_owned() + &place.text("schedules/job.toml");
    place
        .file("writeback.toml", &project)
        .file("schedules/job.toml", &job);
    place.file(
        "cycle.json",
        "{\"cycle_id\": \"c1\", \"completed_at\": \"2026-11-20T06:00:00Z\"}",
    );
    assert_eq!(
        place.command(&["preview", "job", "--out", "job.plan"]).code,
        0
    );
    for file in [
        "writeback.toml",
        "schedules/job.toml",
        "sql/scores.sql",
        "cycle.json",
        "data/scores.csv",
    ] {
        is_refused(&place, file, &["run", "job"]);
    }
    for (script, words) in others("job.plan") {
        shell(&place, &format!("rm -rf job.plan job.plan.pipe; {script}"));
        let ran = place.command(&["run", "job", "--plan", "job.plan"]);
        assert!(
            ran.code == 2 && ran.stderr.contains("job.plan") && ran.stderr.contains(words),
            "{script}: {ran}"
        );
    }
    assert_eq!(place.rows("accounts"), ROWS);
}

#[test]
fn nothing_waits_for_a_database_or_a_script_that_is_none() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    let crm = "[connections.crm]\nkind = 'sqlite'\nfile = 'new.db'\ncreate_from = 'script.sql'\n";
    place.file("writeback.toml", &(place.connection("files") + crm));
    place.file(
        "script.sql",
        "CREATE TABLE accounts (id TEXT PRIMARY KEY, score INTEGER, note TEXT)",
    );
    is_refused(&place, "script.sql", &["run", "job"]);
    for script in [
        "mkfifo new.db",
        "mkdir new.db",
        "ln -s /dev/zero new.db",
        "ln -s /dev/full new.db",
    ] {
        shell(&place, &format!("rm -rf new.db; {script}"));
        let begun = Instant::now();
        let ran = place.command(&["run", "job"]);
        assert!(ran.code == 2 && begun.elapsed() < PROMPT, "{script}: {ran}");
        assert!(ran.stderr.contains("new.db"), "{script}: {ran}");
        assert!(
            ran.stderr.contains("it is not a regular file but a"),
            "{script}: {ran}"
        );
    }
}

#[test]
fn nothing_waits_for_certificates_that_are_none() {
    for server in Server::WITH_USERS {
        let place = Workspace::on_tls(server).with_accounts(ROWS, SOURCE);
        let certificates = std::fs::read_to_string(place.ca_file()).expect("a file");
        place.file("ca.pem", &certificates);
        let url = place.url("tester").replace("127.0.0.1", "localhost");
        let crm = format!(
            "[connections.crm]\nurl = '{url}'\npassword = {{ env = 'CRM_PASSWORD' }}\nca_file = 'ca.pem'\n"
        );
        place.file("writeback.toml", &(place.connection("files") + &crm));
        is_refused(&place, "ca.pem", &["run", "job"]);
        assert_eq!(place.run().code, 0, "on {server}");
        assert_eq!(place.rows("accounts"), WRITTEN, "on {server}");
    }
}

#[test]
fn the_scheduler_goes_on_and_stops_when_asked_whatever_becomes_of_its_files() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    let project =
        place.text("writeback.toml") + "[dashboards.health]\nmarker = 'cycle.json'\npoll = '1s'\n";
    let job = "[cadence]\ndashboard = 'health'\n\n".to_owned() + &place.text("schedules/job.toml");
    place
        .file("writeback.toml", &project)
        .file("schedules/job.toml", &job);
    for file in [
        "schedules/job.toml",
        "writeback.toml",
        "sql/scores.sql",
        "cycle.json",
    ] {
        let usual = if place.path(file).exists() {
            place.text(file)
        } else {
            String::new()
        };
        let mut serving = place.serve(&[]);
        serving.wait_for_log("serving");
        shell(&place, &format!("rm -f {file}; mkfifo {file}"));
        serving.signal("-HUP");
        serving.wait_for_log("regular file");
        let (code, log) = serving.stop();
        assert_eq!(code, Some(0), "with {file}: {log}");
        shell(&place, &format!("rm -f {file}"));
        place.file(file, &usual);
    }
}

/// Passwords that people have, and what of them must not be printed.
const PASSWORDS: [(&str, &str); 5] = [
    ("plain-zq", "plain-zq"),
    ("🔑😀 zq🦀", "🦀"),
    ("Ⅸ\u{a0}pässwörd-zq", "wörd-zq"),
    ("tab\tzq\u{1}x", "zq"),
    ("עברית 1 zq", "עברית"),
];

#[test]
fn passwords_are_taken_as_other_clients_take_them() {
    for server in Server::WITH_USERS {
        for (password, canary) in PASSWORDS {
            let place = Workspace::accounts(server, ROWS, SOURCE);
            let user = place.new_user("u", password);
            place.grant("SELECT, UPDATE", "accounts", &user);
            for (from, end) in [
                ("env = 'SECRET'", ""),
                ("env = 'SECRET'", "\n"),
                ("file = 'secret'", "\r\n"),
            ] {
                let url = place.url(&user);
                let crm = format!("[connections.crm]\nurl = '{url}'\npassword = {{ {from} }}\n");
                place.file("writeback.toml", &(place.connection("files") + &crm));
                let given = format!("{password}{end}");
                place
                    .file("secret", &given)
                    .execute("UPDATE accounts SET score = 1");
                let ran = place.command_with(
                    &["run", "job"],
                    &[("SECRET", &given), ("RUST_LOG", "trace")],
                );
                assert_eq!(ran.code, 0, "{from} with {end:?} on {server}: {ran}");
                assert_eq!(
                    place.rows("accounts"),
                    WRITTEN,
                    "{from} with {end:?} on {server}"
                );
                let wrong = format!("{password}!{end}");
                place.file("secret", &wrong);
                let ran = place.command_with(
                    &["run", "job"],
                    &[("SECRET", &wrong), ("RUST_LOG", "trace")],
                );
                assert_eq!(ran.code, 2, "{from} with {end:?} on {server}: {ran}");
                assert!(
                    !ran.stdout.contains(canary) && !ran.stderr.contains(canary),
                    "{ran}"
                );
                place.execute("UPDATE accounts SET score = 0");
                drop(std::fs::remove_dir_all(place.path(".writeback")));
            }
        }
    }
}

#[test]
fn a_password_that_is_none_is_told_of_by_its_place() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    let crm = "[connections.crm]\nurl = 'postgres://tester@127.0.0.1:1/crm'\npassword = { file = 'secret' }\n";
    place.file("writeback.toml", &(place.connection("files") + crm));
    let long = "zq".repeat(1 << 20);
    for (bytes, words) in [
        (&b""[..], "`secret` is empty"),
        (b"\n", "`secret` is empty"),
        (b"\xEF\xBB\xBF\r\n", "`secret` is empty"),
        (b"zq\0zq", "`secret` holds a NUL character"),
        (b"zq\xFF", "`secret` is not UTF-8 text"),
        (long.as_bytes(), "`secret` is larger than"),
    ] {
        place.bytes("secret", bytes);
        let ran = place.command(&["check"]);
        assert!(
            ran.code == 2 && ran.stderr.contains(words) && !ran.stderr.contains("zq"),
            "{words}: {ran}"
        );
    }
    let crm = crm.replace("file = 'secret'", "env = 'SECRET'");
    place.file("writeback.toml", &(place.connection("files") + &crm));
    for empty in ["", "\n", "\r\n"] {
        let ran = place.command_with(&["check"], &[("SECRET", empty)]);
        assert!(
            ran.code == 2 && ran.stderr.contains("variable `SECRET` is empty"),
            "{empty:?}: {ran}"
        );
    }
}
