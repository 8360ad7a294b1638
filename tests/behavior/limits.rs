//! Few open files and little memory: a run says why it cannot go on, if it cannot, and the next
//! one, that has enough, leaves what it should. Few connections are told of in `faults`.

use std::os::unix::fs::MetadataExt;

use crate::harness::{FIELDS, Ran, Server, Workspace};

const RECORDS: u32 = 40;
const WRITTEN: &str = "40 read = 40 updated";

fn place(server: Server, limits: &str) -> Workspace {
    let rows: String = (0..RECORDS).map(|id| format!("A{id:02},0,,\n")).collect();
    let scores: String = (0..RECORDS).map(|id| format!("A{id:02},1,\n")).collect();
    let place = Workspace::accounts(
        server,
        &format!("id,score,note,phone\n{rows}"),
        &format!("id,score,note\n{scores}"),
    );
    let crm = place.connection("crm").trim_end().to_owned() + limits;
    place.file("writeback.toml", &(place.connection("files") + &crm));
    place.job("batch_size = 2", FIELDS);
    place
}

/// Runs the job with limits of the shell, then without.
fn run_with_little(place: &Workspace, limit: &str) -> bool {
    place.execute("UPDATE accounts SET score = 0");
    drop(std::fs::remove_dir_all(place.path(".writeback")));
    let starter = ["sh", "-c", &format!("{limit} && exec \"$@\""), "sh"].map(str::to_owned);
    let first = place.command_through(&starter, &["run", "job", "--json"], &[]);
    let about = format!("with `{limit}` on {}", place.server);
    if first.code == 0 {
        assert_eq!(first.summary(), WRITTEN, "{about}");
        return true;
    }
    assert!(says_why(&first), "{about}: {first}");
    let next = place.run();
    assert_eq!(
        (next.run(), next.summary().as_str()),
        (1, WRITTEN),
        "{about}, then without: {next}"
    );
    false
}

/// An error of the program's own. Where the system has no room for the program itself, it ends it
/// before it says a word.
fn says_why(run: &Ran) -> bool {
    (run.code == 2 && run.stderr.contains("error: ")) || (run.code == -1 && run.stderr.is_empty())
}

#[test]
fn few_open_files_end_a_run_with_a_reason_or_not_at_all() {
    for server in Server::ALL {
        let place = place(server, "\nwriters = 4\nattempts_max = 2\n");
        let done: Vec<bool> = [12, 16, 20, 24, 32, 40]
            .map(|files| run_with_little(&place, &format!("ulimit -n {files}")))
            .into();
        assert_eq!(done.last(), Some(&true), "40 files are enough on {server}");
    }
}

#[test]
fn little_memory_ends_a_run_with_a_reason_or_not_at_all() {
    for server in Server::ALL {
        let place = place(server, "\nattempts_max = 2\n");
        let run =
            |mebibytes: u32| run_with_little(&place, &format!("ulimit -v {}", mebibytes * 1024));
        let done = [
            150, 200, 230, 260, 300, 400, 500, 600, 700, 900, 1100, 1300, 2000,
        ]
        .map(run);
        assert_eq!(
            done.last(),
            Some(&true),
            "2 GiB of addresses are enough on {server}"
        );
    }
}

/// What starts a program with few threads as a user who has no other process: root is let off the
/// limit.
fn as_nobody_else(threads: u32) -> Vec<String> {
    let user = (100_000 + std::process::id()).to_string();
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let starter = match root {
        true => [
            "setpriv",
            "--reuid",
            &user,
            "--regid",
            &user,
            "--clear-groups",
        ]
        .map(str::to_owned)
        .to_vec(),
        // In a namespace of its own a user has no other process either.
        false => ["unshare", "--user"].map(str::to_owned).to_vec(),
    };
    [
        starter,
        vec!["prlimit".to_owned(), format!("--nproc={threads}")],
    ]
    .concat()
}

#[test]
fn few_threads_end_a_run_with_a_reason_or_not_at_all() {
    let place = place(Server::Sqlite, "\nattempts_max = 2\n");
    let opened = std::process::Command::new("chmod")
        .args(["-R", "a+rwX", "."])
        .current_dir(place.path(""))
        .status();
    assert!(opened.expect("chmod").success());
    let run = |threads: u32| {
        place.execute("UPDATE accounts SET score = 0");
        drop(std::fs::remove_dir_all(place.path(".writeback")));
        let run = place.command_through(&as_nobody_else(threads), &["run", "job", "--json"], &[]);
        let about = format!("with {threads} threads: {run}");
        if run.code == 0 {
            assert_eq!(run.summary(), WRITTEN, "{about}");
        } else {
            let tells = run
                .stderr
                .contains("threads that the work takes could be started");
            assert!(says_why(&run) && (tells || threads > 8), "{about}");
            assert!(
                !tells
                    || run
                        .stderr
                        .contains("hint: let this user or service have more (`ulimit -u`"),
                "{about}"
            );
        }
        run.code == 0
    };
    let enough = 1_000;
    assert!(!run(3) && run(enough));
    for threads in [1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 24, 32] {
        run(threads);
    }
}

#[test]
fn all_commands_say_that_there_is_too_little_memory() {
    let place = place(Server::Sqlite, "");
    place.run();
    let starter = ["sh", "-c", "ulimit -v 450000 && exec \"$@\"", "sh"].map(str::to_owned);
    for arguments in [
        &["check"][..],
        &["preview", "job"],
        &["test", "job", "--record", "A01"],
        &["verify", "job"],
        &["undo", "1"],
        &["runs"],
        &["status"],
        &["serve"],
        &["schema", "crm", "accounts"],
    ] {
        let ran = place.command_through(&starter, arguments, &[]);
        assert!(
            ran.code == 2 && ran.stderr.contains("error: there is too little memory"),
            "{ran}"
        );
        assert!(
            ran.stderr.contains("hint: ") && ran.stderr.contains("ulimit -v"),
            "{ran}"
        );
    }
}
