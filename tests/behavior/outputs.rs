//! Stdout and stderr that take nothing: a full disk, a reader that is gone. A line is lost, and
//! never the work.

use std::fs::File;
use std::process::{Child, Command, Output, Stdio};

use crate::harness::{PASSWORD, Server, Workspace, wait_until};

const ROWS: &str = "id,score,note,phone\nA1,1,,\nA2,1,,\n";
const SOURCE: &str = "id,score,note\nA1,2,\nA2,x,\n";
const WRITTEN: &str = "id,score,note,phone\nA1,2,,\nA2,1,,\n";

/// A way out that takes nothing.
#[derive(Debug, Clone, Copy)]
enum Broken {
    FullDisk,
    ReaderGone,
}

impl Broken {
    const ALL: [Self; 2] = [Self::FullDisk, Self::ReaderGone];

    fn open(self) -> Stdio {
        match self {
            Self::FullDisk => File::options()
                .write(true)
                .open("/dev/full")
                .expect("a device")
                .into(),
            // The reading end is dropped here.
            Self::ReaderGone => std::io::pipe().expect("a pipe").1.into(),
        }
    }
}

fn start(place: &Workspace, arguments: &[&str], stdout: Stdio, stderr: Stdio) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_writeback"));
    command
        .args(arguments)
        .current_dir(place.path(""))
        .env("CRM_PASSWORD", PASSWORD);
    // Everything that can be logged is.
    command
        .env("RUST_LOG", "trace")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr);
    command.spawn().expect("the program starts")
}

fn end(place: &Workspace, arguments: &[&str], stdout: Stdio, stderr: Stdio) -> Output {
    start(place, arguments, stdout, stderr)
        .wait_with_output()
        .expect("the program ends")
}

const COMMANDS: [&[&str]; 15] = [
    &["check"],
    &["check", "nothing"],
    &["preview", "job"],
    &["test", "job", "--record", "A1"],
    &["run", "job"],
    &["run", "job", "--json", "--log-format", "json"],
    &["history", "scores", "--record", "A1"],
    &["verify", "job"],
    &["runs"],
    &["runs", "1"],
    &["status"],
    &[
        "park", "job", "--record", "A1", "--until", "changed", "--reason", "x",
    ],
    &["undo", "1"],
    &["undo", "99"],
    &["schema", "crm", "accounts"],
];

#[test]
fn a_command_ends_as_it_would_though_its_log_cannot_be_written() {
    let (place, other) = [(); 2]
        .map(|()| Workspace::accounts(Server::Sqlite, ROWS, SOURCE))
        .into();
    for broken in Broken::ALL {
        for arguments in COMMANDS {
            let usual = end(&other, arguments, Stdio::piped(), Stdio::piped());
            let ended = end(&place, arguments, Stdio::piped(), broken.open());
            assert_eq!(ended.status, usual.status, "{arguments:?} with {broken:?}");
            assert_eq!(
                ended.stdout.is_empty(),
                usual.stdout.is_empty(),
                "{arguments:?} with {broken:?}"
            );
            assert_eq!(
                place.rows("accounts"),
                other.rows("accounts"),
                "{arguments:?} with {broken:?}"
            );
        }
    }
}

#[test]
fn a_run_is_done_though_what_it_says_cannot_be_written() {
    for server in Server::ALL {
        for (broken, code) in [(Broken::FullDisk, 2), (Broken::ReaderGone, 1)] {
            for arguments in [&["run", "job"][..], &["run", "job", "--json"]] {
                let place = Workspace::accounts(server, ROWS, SOURCE);
                let both = end(&place, arguments, broken.open(), broken.open());
                assert_eq!(
                    both.status.code(),
                    Some(code),
                    "{arguments:?} with {broken:?} on {server}"
                );
                assert_eq!(
                    place.rows("accounts"),
                    WRITTEN,
                    "{arguments:?} with {broken:?} on {server}"
                );
                let listed = place.command(&["runs", "--json"]).json();
                assert_eq!(
                    listed["runs"][0]["status"], "rejected",
                    "{arguments:?} with {broken:?} on {server}"
                );
            }
        }
    }
}

#[test]
fn data_that_does_not_reach_a_full_disk_is_an_error_and_a_reader_that_has_enough_is_none() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, &SOURCE.replace('x', "3"));
    for arguments in [
        &["check"][..],
        &["run", "job"],
        &["runs"],
        &["runs", "1", "--json"],
        &["methods"],
        &["man"],
    ] {
        let ended = end(&place, arguments, Broken::FullDisk.open(), Stdio::piped());
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(
            said.contains("error: could not write to stdout; the work itself is done\n"),
            "{arguments:?}: {said}"
        );
        assert!(
            said.contains("hint: free some space"),
            "{arguments:?}: {said}"
        );
        let ended = end(&place, arguments, Broken::ReaderGone.open(), Stdio::piped());
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{arguments:?}: {said}");
    }
}

#[test]
fn a_new_project_is_there_though_nobody_can_be_told() {
    let place = Workspace::on(Server::Sqlite);
    let ended = end(
        &place,
        &["init", "new", "--yes"],
        Broken::FullDisk.open(),
        Broken::FullDisk.open(),
    );
    assert_eq!(ended.status.code(), Some(2));
    assert!(place.path("new/writeback.toml").exists());
}

#[test]
fn the_scheduler_serves_though_its_log_cannot_be_written() {
    for broken in Broken::ALL {
        let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
        let project = place.text("writeback.toml")
            + "[dashboards.health]\nmarker = 'cycle.json'\npoll = '1s'\n";
        let job =
            "[cadence]\ndashboard = 'health'\n\n".to_owned() + &place.text("schedules/job.toml");
        place
            .file("writeback.toml", &project)
            .file("schedules/job.toml", &job);
        let mut child = start(&place, &["serve"], broken.open(), broken.open());
        for cycle in ["c1", "c2"] {
            place.execute("UPDATE accounts SET score = 1");
            let completed_at = format!("2026-11-2{}T06:00:00Z", cycle.trim_start_matches('c'));
            place.file(
                "cycle.json",
                &format!("{{\"cycle_id\": \"{cycle}\", \"completed_at\": \"{completed_at}\"}}"),
            );
            wait_until("a cycle is written back", || {
                place.rows("accounts") == WRITTEN
            });
        }
        let asked = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()
            .expect("kill starts");
        assert!(asked.success(), "the scheduler is gone with {broken:?}");
        assert_eq!(
            child.wait().expect("it ends").code(),
            Some(0),
            "with {broken:?}"
        );
    }
}
