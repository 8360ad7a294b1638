//! Disks that are full or read-only: a run stops before it pushes what it could not record, says
//! so, and the next one goes on when there is space again.

use crate::harness::{Disk, FIELDS, Ran, Server, Workspace};

const RECORDS: u32 = 60;
/// Far more than the state of a run of so many records takes.
const DISK_KIB: u32 = 16 << 10;
/// How much of it is left free, one trial after the other: too little to open a ledger, to pull, to
/// push all, and enough.
const FREE_KIB: [u32; 12] = [0, 8, 32, 96, 160, 224, 320, 448, 640, 896, 1280, 8192];

const WRITTEN: &str = "60 read = 60 updated";

fn place(server: Server) -> Workspace {
    let rows: String = (0..RECORDS).map(|id| format!("A{id:03},0,,\n")).collect();
    let scores: String = (0..RECORDS).map(|id| format!("A{id:03},1,\n")).collect();
    let place = Workspace::accounts(
        server,
        &format!("id,score,note,phone\n{rows}"),
        &format!("id,score,note\n{scores}"),
    );
    place.job("batch_size = 1", FIELDS);
    place
}

fn count(text: &str) -> u32 {
    text.trim_start_matches("n\n")
        .trim_end()
        .parse()
        .unwrap_or_default()
}

fn written(place: &Workspace) -> u32 {
    count(&place.query("SELECT count(*) AS n FROM accounts WHERE score = 1"))
}

/// Records of the batches that the ledger knows.
fn recorded(disk: &Disk<'_>) -> u32 {
    disk.query_ledger("SELECT sum(records) AS n FROM batches")
        .map_or(0, |sum| count(&sum))
}

fn assert_says_what_to_do(run: &Ran, about: &str) {
    assert_eq!(run.code, 2, "{about}: {run}");
    let hint = run
        .stderr
        .lines()
        .rfind(|line| line.trim_start().starts_with("hint: "))
        .unwrap_or_default();
    assert!(hint.contains("space"), "{about}: {run}");
}

#[test]
fn a_full_disk_stops_a_run_before_it_writes_what_it_cannot_record() {
    for server in Server::ALL {
        let place = place(server);
        let disk = Disk::mount(&place, DISK_KIB);
        let mut stopped_after = Vec::new();
        for free in FREE_KIB {
            place.execute("UPDATE accounts SET score = 0");
            disk.shell("rm -rf .writeback/*");
            disk.fill(free);
            let first = disk.run();
            if first.code == 0 {
                assert_eq!(first.summary(), WRITTEN, "with {free} KiB on {server}");
                break;
            }
            let about = format!("with {free} KiB on {server}");
            assert_says_what_to_do(&first, &about);
            let (written, recorded) = (written(&place), recorded(&disk));
            assert!(
                written <= recorded,
                "{about} {written} records are written and {recorded} recorded: {first}"
            );
            stopped_after.push(written);
            disk.free();
            let next = disk.run();
            assert_eq!(
                (next.run(), next.summary().as_str()),
                (1, WRITTEN),
                "{about}, then freed: {next}"
            );
        }
        assert!(
            stopped_after.len() < FREE_KIB.len(),
            "no disk was large enough on {server}"
        );
        assert!(
            stopped_after.contains(&0),
            "no disk was too small to begin with on {server}"
        );
        assert!(
            stopped_after.iter().any(|written| *written > 0),
            "none became full in the middle on {server}"
        );
    }
}

#[test]
fn a_disk_that_takes_no_writes_stops_a_run_before_it_writes() {
    let place = place(Server::Sqlite);
    let disk = Disk::mount(&place, DISK_KIB);
    disk.command(
        &["run", "job"],
        &[("WRITEBACK_ABORT_AT", "20 record a commit in")],
    );
    let before = written(&place);
    assert!((20..RECORDS).contains(&before), "{before}");
    disk.shell("mount -o remount,ro .writeback");
    let refused = disk.run();
    assert_eq!(refused.code, 2, "{refused}");
    assert!(
        refused
            .stderr
            .contains("hint: keep the project where files can be written"),
        "{refused}"
    );
    assert_eq!(written(&place), before);
    disk.shell("mount -o remount,rw .writeback");
    let next = disk.run();
    assert_eq!(
        (next.run(), next.summary().as_str()),
        (1, WRITTEN),
        "{next}"
    );
}
