//! Memory stays flat: what a run holds does not grow with what it moves.

use std::fmt::Write;
use std::process::Child;
use std::time::Duration;

use crate::harness::{FIELDS, Ran, Server, Workspace};

const RECORDS: u32 = 200_000;

/// What a run may hold, however many records it moves, in KiB.
pub(crate) const MEMORY_MAX: u64 = 256 * 1024;

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The most that a process had in memory, in KiB.
#[derive(Debug, Default)]
pub(crate) struct Peak {
    /// Everything, pages of the program's own file included: a debug build's are a third of the bound. The system
    /// remembers it, so only what is taken after the last look goes unseen.
    pub(crate) resident: u64,
    /// What it asked for itself, as of the looks.
    pub(crate) anonymous: u64,
}

/// Inserts the records, each with a note of so many bytes, from CSV into SQLite, and watches.
fn insert_records(note_bytes: usize) -> Peak {
    let place = Workspace::on(Server::Sqlite);
    let note = "n".repeat(note_bytes);
    let mut csv = "id,score,note\n".to_owned();
    for id in 0..RECORDS {
        writeln!(csv, "A{id:06},{},{note}", id % 100).expect("memory");
    }
    let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(2000)";
    place.scores(columns, &csv).table("accounts", columns, "").job("matching = 'upsert'", FIELDS);
    drop(csv);

    let mut child = place.start(&["run", "job", "--json"]);
    let peak = watch(&mut child);
    let run = Ran::of(&["run", "job", "--json"], &child.wait_with_output().expect("the program ends"));
    assert_eq!(run.summary(), format!("{RECORDS} read = {RECORDS} inserted"));
    assert_eq!(place.query("SELECT count(*) AS n, sum(score) AS s FROM accounts"), "n,s\n200000,9900000\n");
    assert!(peak.resident > peak.anonymous && peak.anonymous > 0, "it was looked at: {peak:?}");
    peak
}

/// Waits for the end of a process.
/// Source: `VmHWM`, `RssAnon` of <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>.
pub(crate) fn watch(child: &mut Child) -> Peak {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = Peak::default();
    while child.try_wait().expect("a child").is_none() {
        // A process that has just ended has no memory to tell of.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let kibibytes = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name));
            value.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
        };
        peak.resident = peak.resident.max(kibibytes("VmHWM:"));
        peak.anonymous = peak.anonymous.max(kibibytes("RssAnon:"));
        std::thread::sleep(LOOK_INTERVAL);
    }
    peak
}

#[test]
fn two_hundred_thousand_records_stay_within_the_bound() {
    let peak = insert_records(30);
    assert!(peak.resident < MEMORY_MAX, "{peak:?} in KiB");
}

#[test]
fn an_export_larger_than_the_bound_stays_within_it() {
    /// Notes of 300 MB in all.
    const NOTE_BYTES: usize = 1_500;
    let peak = insert_records(NOTE_BYTES);
    assert!(peak.anonymous < MEMORY_MAX, "{peak:?} in KiB");
}
