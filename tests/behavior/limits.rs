//! Few open files and little memory: a run says why it cannot go on, if it cannot, and the next one, that has enough, leaves
//! what it should. Few connections are told of in `faults`.

use crate::harness::{FIELDS, Ran, Server, Workspace};

const RECORDS: u32 = 40;
const WRITTEN: &str = "40 read = 40 updated";

fn place(server: Server, limits: &str) -> Workspace {
    let rows: String = (0..RECORDS).map(|id| format!("A{id:02},0,,\n")).collect();
    let scores: String = (0..RECORDS).map(|id| format!("A{id:02},1,\n")).collect();
    let place =
        Workspace::accounts(server, &format!("id,score,note,phone\n{rows}"), &format!("id,score,note\n{scores}"));
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
    assert_eq!((next.run(), next.summary().as_str()), (1, WRITTEN), "{about}, then without: {next}");
    false
}

/// An error of the program's own; where there is no memory even for that, the system ends it, which is being killed.
fn says_why(run: &Ran) -> bool {
    (run.code == 2 && run.stderr.contains("error: ")) || run.code == -1
}

#[test]
fn few_open_files_end_a_run_with_a_reason_or_not_at_all() {
    for server in Server::ALL {
        let place = place(server, "\nwriters = 4\nattempts_max = 2\n");
        let done: Vec<bool> =
            [12, 16, 20, 24, 32, 40].map(|files| run_with_little(&place, &format!("ulimit -n {files}"))).into();
        assert_eq!(done.last(), Some(&true), "40 files are enough on {server}");
    }
}

#[test]
fn little_memory_ends_a_run_with_a_reason_or_not_at_all() {
    for server in Server::ALL {
        let place = place(server, "\nattempts_max = 2\n");
        let run = |mebibytes: u32| run_with_little(&place, &format!("ulimit -v {}", mebibytes * 1024));
        let done = [150, 250, 300, 400, 500, 700, 2000].map(run);
        assert_eq!(done.last(), Some(&true), "2 GiB of addresses are enough on {server}");
    }
}
