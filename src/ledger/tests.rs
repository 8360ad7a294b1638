#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use chrono::{DateTime, TimeDelta};
use tempfile::TempDir;

use super::*;
use crate::domain::cycle::Cycle;
use crate::domain::doubt::Marker;
use crate::domain::error::chain;
use crate::domain::outcome::{Outcome, Rejection, SkipReason, Stage, Tally};
use crate::ledger::write_backs::Progress;

const FIRST: WriteBackId = WriteBackId {
    run: 1,
    position: 0,
};
const SPAN: BatchSpan = BatchSpan {
    partition: 0,
    first: 0,
    records: 4,
};

pub(super) async fn ledger() -> (TempDir, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join(".writeback"))
        .await
        .unwrap();
    (folder, ledger)
}

pub(super) fn cycle(id: &str, days: i64) -> Cycle {
    let completed_at =
        DateTime::from_timestamp(1_790_000_000, 123_456_789).unwrap() + TimeDelta::days(days);
    Cycle {
        id: id.to_owned(),
        completed_at,
    }
}

pub(super) async fn begin(ledger: &Ledger, job: &str, cycle: &Cycle) -> i64 {
    let write_backs = vec!["health_score", "recommendation"];
    let run = NewRun {
        job,
        cycle,
        started_at: cycle.completed_at,
        write_backs,
        versions: Vec::new(),
        of_records: false,
        job_digest: "digest",
        write_back: None,
        retry_of: None,
        undo_of: None,
        plan: None,
    };
    ledger.begin_run(&run).await.unwrap()
}

fn rejection(record: u64, stage: Stage) -> Rejection {
    let (key, column) = (Some(format!("A{record}")), Some("score".to_owned()));
    Rejection {
        record,
        key,
        stage,
        column,
        value: None,
        reason: "too long".to_owned(),
        others: Vec::new(),
    }
}

fn outcomes() -> Vec<Outcome> {
    vec![
        Outcome::Updated,
        Outcome::Rejected(Box::new(rejection(31, Stage::Destination))),
        Outcome::Skipped(SkipReason::NoMatch),
        Outcome::Unchanged,
    ]
}

fn mapped_for() -> MappedFor {
    MappedFor {
        layout: "layout".to_owned(),
        ..MappedFor::default()
    }
}

#[tokio::test]
async fn runs_are_numbered_from_one_and_survive_reopening() {
    let (folder, ledger) = ledger().await;
    assert_eq!(begin(&ledger, "weekly", &cycle("c1", 0)).await, 1);
    assert_eq!(begin(&ledger, "daily", &cycle("c1", 0)).await, 2);
    drop(ledger);
    let ledger = Ledger::open(&folder.path().join(".writeback"))
        .await
        .unwrap();
    let run = ledger.run(1).await.unwrap();
    assert_eq!(
        (run.job.as_str(), run.status, run.cycle.as_str()),
        ("weekly", RunStatus::Running, "c1")
    );
    assert_eq!(run.cycle_completed_at, cycle("c1", 0).completed_at);
    let names: Vec<&str> = run
        .write_backs
        .iter()
        .map(|write_back| write_back.name.as_str())
        .collect();
    assert_eq!(names, ["health_score", "recommendation"]);
    assert!(matches!(
        ledger.run(3).await,
        Err(LedgerError::NoSuchRun { run: 3 })
    ));
    assert!(matches!(
        ledger.finish_run(3, RunStatus::Failed, None).await,
        Err(LedgerError::NoSuchRun { run: 3 })
    ));
    assert!(matches!(
        ledger
            .tally(WriteBackId {
                run: 1,
                position: 2
            })
            .await,
        Err(LedgerError::NoSuchRun { run: 1 })
    ));
}

#[tokio::test]
async fn only_a_latest_run_that_neither_finished_nor_failed_for_good_is_taken_up() {
    let (_folder, ledger) = ledger().await;
    assert_eq!(ledger.unfinished_run("weekly").await.unwrap(), None);
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    let unfinished = ledger.unfinished_run("weekly").await.unwrap().unwrap();
    let expected = UnfinishedRun {
        run: 1,
        cycle: cycle("c1", 0),
        started_at: cycle("c1", 0).completed_at,
        job_digest: "digest".to_owned(),
        write_back: None,
        retry_of: None,
        undo_of: None,
        plan: None,
    };
    assert_eq!(unfinished, expected.clone());
    assert_eq!(ledger.unfinished_run("daily").await.unwrap(), None);
    ledger.stop_run(1, "unreachable").await.unwrap();
    let run = ledger.run(1).await.unwrap();
    assert_eq!(
        (run.status, run.error.as_deref()),
        (RunStatus::Failed, Some("unreachable"))
    );
    assert_eq!(
        ledger.unfinished_run("weekly").await.unwrap(),
        Some(expected.clone())
    );
    ledger.take_up_run(1).await.unwrap();
    let run = ledger.run(1).await.unwrap();
    assert_eq!(
        (run.status, run.error, run.finished_at),
        (RunStatus::Running, None, None)
    );
    assert_eq!(
        ledger.unfinished_run("weekly").await.unwrap(),
        Some(expected)
    );
    ledger
        .finish_run(1, RunStatus::Failed, Some("unreachable"))
        .await
        .unwrap();
    assert_eq!(ledger.unfinished_run("weekly").await.unwrap(), None);
    let run = ledger.run(1).await.unwrap();
    assert_eq!(
        (run.status, run.error.as_deref()),
        (RunStatus::Failed, Some("unreachable"))
    );
    assert!(run.finished_at.is_some());
    // The latest run alone counts: what it leaves undone, and that it leaves nothing undone.
    begin(&ledger, "weekly", &cycle("c2", 1)).await;
    begin(&ledger, "weekly", &cycle("c3", 2)).await;
    assert_eq!(
        ledger
            .unfinished_run("weekly")
            .await
            .unwrap()
            .map(|unfinished| unfinished.run),
        Some(3)
    );
    ledger
        .finish_run(3, RunStatus::Succeeded, None)
        .await
        .unwrap();
    assert_eq!(ledger.unfinished_run("weekly").await.unwrap(), None);
}

#[tokio::test]
async fn a_batch_is_sent_then_committed_and_its_outcomes_come_back() {
    let (_folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    assert_eq!(ledger.progress(FIRST).await.unwrap(), Progress::default());
    ledger
        .record_packaged(FIRST, 5, &mapped_for())
        .await
        .unwrap();
    ledger
        .record_sent(FIRST, SPAN, &outcomes(), 2, &Left::default())
        .await
        .unwrap();
    let sent = SentBatch {
        span: SPAN,
        outcomes: outcomes(),
    };
    let expected = Progress {
        packaged: true,
        layout: Some("layout".to_owned()),
        sent: vec![sent.clone()],
        ..Progress::default()
    };
    assert_eq!(ledger.progress(FIRST).await.unwrap(), expected);
    assert_eq!(ledger.outcomes(FIRST, 0).await.unwrap(), []);
    let tally = Tally {
        read: 5,
        updated: 1,
        unchanged: 1,
        skipped: 1,
        rejected: 1,
        ..Tally::default()
    };
    assert_eq!(
        ledger.tally(FIRST).await.unwrap(),
        tally,
        "what was sent may be written"
    );
    let in_doubt = async || ledger.run(1).await.unwrap().write_backs[0].in_doubt;
    assert_eq!(in_doubt().await, 1);

    ledger
        .record_committed(FIRST, SPAN, 0.5, true)
        .await
        .unwrap();
    assert_eq!(in_doubt().await, 0);
    let expected = Progress {
        packaged: true,
        layout: Some("layout".to_owned()),
        committed: vec![SPAN],
        ..Progress::default()
    };
    assert_eq!(ledger.progress(FIRST).await.unwrap(), expected);
    assert_eq!(ledger.outcomes(FIRST, 0).await.unwrap(), [sent]);
    let batches = ledger.batches(1).await.unwrap();
    assert_eq!(
        (batches.len(), batches[0].attempts, batches[0].committed),
        (1, 2, true)
    );
    let tally = Tally {
        read: 4,
        updated: 1,
        unchanged: 1,
        skipped: 1,
        rejected: 1,
        ..Tally::default()
    };
    assert_eq!(batches[0].tally, tally);
    assert_eq!(
        ledger
            .progress(WriteBackId {
                position: 1,
                ..FIRST
            })
            .await
            .unwrap(),
        Progress::default()
    );

    let next = BatchSpan {
        first: SPAN.records,
        ..SPAN
    };
    ledger
        .record_sent(FIRST, next, &vec![Outcome::Updated; 4], 1, &Left::default())
        .await
        .unwrap();
    ledger
        .record_committed(FIRST, next, 0.5, true)
        .await
        .unwrap();
    let spans: Vec<BatchSpan> = ledger
        .outcomes(FIRST, 0)
        .await
        .unwrap()
        .iter()
        .map(|batch| batch.span)
        .collect();
    assert_eq!(spans, [SPAN, next], "in the order of their records");
}

#[tokio::test]
async fn a_batch_recorded_again_replaces_its_outcomes_and_its_rejections() {
    let (_folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    ledger
        .record_rejections(FIRST, &[rejection(2, Stage::Schema)])
        .await
        .unwrap();
    ledger
        .record_sent(FIRST, SPAN, &outcomes(), 1, &Left::default())
        .await
        .unwrap();
    assert_eq!(ledger.rejections(FIRST, None, 10).await.unwrap().len(), 2);
    ledger
        .record_sent(FIRST, SPAN, &vec![Outcome::Updated; 4], 2, &Left::default())
        .await
        .unwrap();
    assert_eq!(
        ledger.rejections(FIRST, None, 10).await.unwrap(),
        [rejection(2, Stage::Schema)]
    );
    let half = BatchSpan { records: 2, ..SPAN };
    ledger
        .record_sent(
            FIRST,
            half,
            &vec![Outcome::Inserted; 2],
            3,
            &Left::default(),
        )
        .await
        .unwrap();
    let sent = SentBatch {
        span: half,
        outcomes: vec![Outcome::Inserted; 2],
    };
    assert_eq!(
        ledger.progress(FIRST).await.unwrap().sent,
        std::slice::from_ref(&sent)
    );
    // Batches after it are others, and so is one that begins there and is longer.
    let next = BatchSpan {
        first: SPAN.first + half.records,
        ..half
    };
    ledger
        .record_sent(
            FIRST,
            next,
            &vec![Outcome::Unchanged; 2],
            1,
            &Left::default(),
        )
        .await
        .unwrap();
    ledger
        .record_sent(
            FIRST,
            half,
            &vec![Outcome::Inserted; 2],
            4,
            &Left::default(),
        )
        .await
        .unwrap();
    let after = SentBatch {
        span: next,
        outcomes: vec![Outcome::Unchanged; 2],
    };
    assert_eq!(ledger.progress(FIRST).await.unwrap().sent, [sent, after]);
    assert!(
        ledger
            .record_committed(FIRST, SPAN, 0.1, true)
            .await
            .is_err()
    );
    assert_eq!(ledger.progress(FIRST).await.unwrap().committed, []);
}

#[tokio::test]
async fn before_images_of_a_batch_in_doubt_go_when_it_was_rolled_back_and_stay_in_doubt_when_nobody_knows()
 {
    let (_folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    let sent = async |offset: u64, earlier: Earlier| {
        let images = ImageSegment {
            file: "0001.images".to_owned(),
            offset,
            bytes: 1,
            xxh3: 7,
            keys: None,
        };
        let marker = Marker {
            transaction: Some(offset.to_string()),
            journal: None,
        };
        let left = Left {
            images: Some(images),
            marker: Some(marker),
            earlier,
            ..Left::default()
        };
        ledger
            .record_sent(FIRST, SPAN, &outcomes(), 1, &left)
            .await
            .unwrap();
    };
    let held = async || {
        let images = ledger.images_of(FIRST, SPAN).await.unwrap();
        assert_eq!(ledger.images(FIRST).await.unwrap(), images);
        images
            .into_iter()
            .map(|images| (images.image, images.segment.offset, images.commit))
            .collect::<Vec<_>>()
    };
    sent(0, Earlier::default()).await;
    assert_eq!(held().await, [(1, 0, Commit::InDoubt)]);
    sent(1, Earlier::RolledBack(vec![1])).await;
    sent(2, Earlier::Doubtful(Vec::new())).await;
    assert_eq!(
        held().await,
        [(2, 1, Commit::InDoubt), (3, 2, Commit::InDoubt)]
    );
    assert_eq!(
        ledger.images(FIRST).await.unwrap()[1]
            .marker
            .as_ref()
            .unwrap()
            .transaction
            .as_deref(),
        Some("2")
    );
    ledger
        .record_committed(FIRST, SPAN, 0.1, true)
        .await
        .unwrap();
    assert_eq!(
        held().await,
        [(2, 1, Commit::Doubtful), (3, 2, Commit::Known)]
    );
    let next = BatchSpan {
        first: SPAN.records,
        ..SPAN
    };
    assert_eq!(ledger.images_of(FIRST, next).await.unwrap(), []);
    ledger
        .record_committed(FIRST, SPAN, 0.1, false)
        .await
        .unwrap();
    assert_eq!(held().await, [], "they are not to be kept");
}

#[tokio::test]
async fn a_refused_commit_is_forgotten_and_a_commit_never_sent_is_an_error() {
    let (_folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    ledger
        .record_sent(FIRST, SPAN, &outcomes(), 1, &Left::default())
        .await
        .unwrap();
    ledger.forget_sent(FIRST, SPAN).await.unwrap();
    assert_eq!(ledger.progress(FIRST).await.unwrap(), Progress::default());
    assert_eq!(ledger.rejections(FIRST, None, 10).await.unwrap(), []);
    let error = ledger
        .record_committed(FIRST, SPAN, 0.1, true)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "no batch of partition 0 that begins at record 0 was recorded"
    );
    ledger
        .record_sent(FIRST, SPAN, &outcomes(), 1, &Left::default())
        .await
        .unwrap();
    ledger
        .record_committed(FIRST, SPAN, 0.1, true)
        .await
        .unwrap();
    ledger.forget_sent(FIRST, SPAN).await.unwrap();
    assert_eq!(
        ledger.progress(FIRST).await.unwrap().committed,
        [SPAN],
        "what is committed is not forgotten"
    );
}

#[tokio::test]
async fn the_tally_sums_batches_and_rejections_to_what_was_read() {
    let (_folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    let early: Vec<Rejection> = (100..103)
        .map(|record| rejection(record, Stage::Mapping))
        .collect();
    ledger.record_rejections(FIRST, &early).await.unwrap();
    ledger.record_rejections(FIRST, &early).await.unwrap();
    ledger
        .record_packaged(FIRST, 9, &mapped_for())
        .await
        .unwrap();
    ledger
        .record_sent(FIRST, SPAN, &outcomes(), 1, &Left::default())
        .await
        .unwrap();
    ledger
        .record_committed(FIRST, SPAN, 0.25, true)
        .await
        .unwrap();
    let second = BatchSpan {
        partition: 1,
        first: 0,
        records: 2,
    };
    ledger
        .record_sent(
            FIRST,
            second,
            &[Outcome::Inserted, Outcome::Skipped(SkipReason::NoMatch)],
            1,
            &Left::default(),
        )
        .await
        .unwrap();
    let entry = ledger.run(1).await.unwrap().write_backs[0].clone();
    assert_eq!(
        (entry.batches, entry.in_doubt),
        (1, 1),
        "one batch is still in the air"
    );
    ledger
        .record_committed(FIRST, second, 0.25, true)
        .await
        .unwrap();
    let tally = Tally {
        read: 9,
        inserted: 1,
        updated: 1,
        unchanged: 1,
        skipped: 2,
        rejected: 4,
        ..Tally::default()
    };
    assert_eq!(ledger.tally(FIRST).await.unwrap(), tally);
    assert!(tally.balances());

    ledger.finish_write_back(FIRST, 1.5).await.unwrap();
    ledger.finish_write_back(FIRST, 0.5).await.unwrap();
    assert!(ledger.progress(FIRST).await.unwrap().finished);
    let entry = ledger.run(1).await.unwrap().write_backs[0].clone();
    assert_eq!(
        entry,
        WriteBackEntry {
            name: "health_score".to_owned(),
            tally,
            batches: 2,
            seconds: 2.0,
            in_doubt: 0,
            canary: None
        }
    );
}

#[tokio::test]
async fn a_pull_begun_again_starts_from_nothing() {
    let (_folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    ledger
        .record_rejections(FIRST, &[rejection(2, Stage::Schema)])
        .await
        .unwrap();
    ledger
        .record_packaged(FIRST, 9, &mapped_for())
        .await
        .unwrap();
    ledger
        .record_sent(FIRST, SPAN, &outcomes(), 1, &Left::default())
        .await
        .unwrap();
    ledger.restart_pull(FIRST).await.unwrap();
    assert_eq!(ledger.progress(FIRST).await.unwrap(), Progress::default());
    assert_eq!(ledger.tally(FIRST).await.unwrap(), Tally::default());
}

#[tokio::test]
async fn rejections_come_in_pages_by_position() {
    let (_folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    let mut all: Vec<Rejection> = (0..2_500)
        .rev()
        .map(|record| rejection(record * 3, Stage::Schema))
        .collect();
    ledger.record_rejections(FIRST, &all).await.unwrap();
    ledger.record_rejections(FIRST, &[]).await.unwrap();
    all.reverse();
    let mut pages = Vec::new();
    while let page @ [_, ..] = ledger
        .rejections(FIRST, pages.last().map(|last: &Rejection| last.record), 999)
        .await
        .unwrap()
        .as_slice()
    {
        pages.extend_from_slice(page);
    }
    assert_eq!(pages, all);
    ledger
        .record_sent(FIRST, SPAN, &outcomes(), 1, &Left::default())
        .await
        .unwrap();
    assert_eq!(
        ledger.rejections(FIRST, Some(30), 1).await.unwrap(),
        [rejection(31, Stage::Destination)]
    );
    assert_eq!(
        ledger
            .rejections_outside_batches(FIRST, Some(30), 1)
            .await
            .unwrap(),
        [rejection(33, Stage::Schema)]
    );
}

/// What there is of the first write-back's rejections: in all, pending, and by what is wrong.
async fn rejections_counted(ledger: &Ledger) -> (u64, Vec<u64>, Vec<(String, u64)>) {
    let in_all = ledger.run(1).await.unwrap().write_backs[0].tally.rejected;
    let pending = ledger.pending("weekly").await.unwrap();
    let groups = ledger.rejection_groups(FIRST, 10).await.unwrap();
    let pending = pending.iter().map(|one| one.records).collect();
    let groups = groups.into_iter().map(|one| (one.stage, one.records));
    (in_all, pending, groups.collect())
}

#[tokio::test]
async fn rejections_are_counted_once_and_anew_when_others_come() {
    let (_folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    let all = [
        rejection(1, Stage::Schema),
        rejection(2, Stage::Match),
        rejection(3, Stage::Match),
    ];
    ledger.record_rejections(FIRST, &all).await.unwrap();
    ledger.finish_write_back(FIRST, 1.0).await.unwrap();
    let rejected = RunStatus::Rejected;
    ledger.finish_run(1, rejected, None).await.unwrap();
    let groups = |schema, matching| {
        let group = |stage: Stage, records| (stage.name().to_owned(), records);
        vec![group(Stage::Match, matching), group(Stage::Schema, schema)]
    };
    assert_eq!(
        rejections_counted(&ledger).await,
        (3, vec![3], groups(1, 2))
    );
    // It is what was counted that is told: nobody looks at the rejections again.
    let counted = "SELECT rejected_in_all FROM write_backs WHERE write_back = 1";
    let counted = async || {
        let mut connection = ledger.connection.lock().await;
        sqlx::query_scalar::<_, Option<i64>>(counted)
            .fetch_one(&mut *connection)
            .await
            .unwrap()
    };
    assert_eq!(counted().await, Some(3));
    let more = [rejection(4, Stage::Match)];
    ledger.record_rejections(FIRST, &more).await.unwrap();
    assert_eq!(counted().await, None);
    assert_eq!(
        rejections_counted(&ledger).await,
        (4, vec![4], groups(1, 3))
    );
}

#[tokio::test]
async fn history_is_newest_first_of_one_job_or_of_all() {
    let (_folder, ledger) = ledger().await;
    for job in ["weekly", "daily", "weekly"] {
        begin(&ledger, job, &cycle("c1", 0)).await;
    }
    let numbers = async |job, runs_max| -> Vec<i64> {
        ledger
            .runs(job, runs_max)
            .await
            .unwrap()
            .iter()
            .map(|run| run.run)
            .collect()
    };
    assert_eq!(numbers(None, 10).await, [3, 2, 1]);
    assert_eq!(numbers(None, 2).await, [3, 2]);
    assert_eq!(numbers(Some("weekly"), 10).await, [3, 1]);
}

#[tokio::test]
async fn history_as_json_keeps_its_shape() {
    let (_folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    let run = serde_json::to_value(ledger.run(1).await.unwrap()).unwrap();
    assert_eq!(run["status"], "running");
    assert_eq!(run["write_backs"][0]["read"], 0);
}

#[test]
fn a_status_has_one_name_wherever_it_is_written() {
    for status in RunStatus::ALL {
        assert_eq!(serde_json::to_value(status).unwrap(), status.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_share_a_ledger() {
    let (_folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    let writers: Vec<_> = (0..2)
        .map(|partition| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for first in 0..50 {
                    let span = BatchSpan {
                        partition,
                        first,
                        records: 1,
                    };
                    ledger
                        .record_sent(FIRST, span, &[Outcome::Updated], 1, &Left::default())
                        .await
                        .unwrap();
                    ledger
                        .record_committed(FIRST, span, 0.0, true)
                        .await
                        .unwrap();
                    ledger.progress(FIRST).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(ledger.tally(FIRST).await.unwrap().updated, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_may_open_a_new_ledger_at_once_and_write() {
    let folder = tempfile::tempdir().unwrap();
    let opened: Vec<_> = (0..8)
        .map(|number| {
            let state_folder = folder.path().join("state");
            tokio::spawn(async move {
                let ledger = Ledger::open(&state_folder).await.unwrap();
                begin(&ledger, &format!("job-{number}"), &cycle("c1", 0)).await
            })
        })
        .collect();
    let mut numbers = Vec::new();
    for run in opened {
        numbers.push(run.await.unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn a_job_is_locked_across_ledgers() {
    let (folder, ledger) = ledger().await;
    let other = Ledger::open(&folder.path().join(".writeback"))
        .await
        .unwrap();
    let lock = ledger.lock_job("weekly").unwrap();
    let error = other.lock_job("weekly").unwrap_err();
    let process = Some(std::process::id());
    assert!(
        matches!(&error, LedgerError::JobRunning { job, process: holder } if job == "weekly" && *holder == process)
    );
    assert!(error.hint().is_some());
    drop(lock);
    other.lock_job("weekly").unwrap();
}

#[tokio::test]
async fn only_the_owner_reads_the_ledger() {
    let (folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    let _lock = ledger.lock_job("weekly").unwrap();
    let state_folder = folder.path().join(".writeback");
    assert_eq!(
        fs::metadata(&state_folder).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let mut files: Vec<PathBuf> = fs::read_dir(state_folder.join("locks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.extend(
        ["ledger.db", "ledger.db-wal", "ledger.db-shm"].map(|name| state_folder.join(name)),
    );
    for file in files {
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            file.display()
        );
    }
}

#[tokio::test]
async fn a_link_in_the_ledgers_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    symlink(
        folder.path().join("elsewhere.db"),
        folder.path().join("ledger.db"),
    )
    .unwrap();
    assert!(matches!(
        Ledger::open(folder.path()).await,
        Err(LedgerError::Io { .. })
    ));
    assert!(!folder.path().join("elsewhere.db").exists());
}

#[tokio::test]
async fn a_damaged_ledger_says_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("ledger.db"),
        "not a database, though long enough to be looked at ".repeat(100),
    )
    .unwrap();
    let error = Ledger::open(folder.path()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("backup"));
}

#[tokio::test]
async fn contents_that_no_version_writes_are_damage_too() {
    let (_folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    ledger
        .record_sent(FIRST, SPAN, &outcomes(), 1, &Left::default())
        .await
        .unwrap();
    let shorter = "UPDATE batches SET records = records - 1";
    sqlx::query(shorter)
        .execute(&mut *ledger.connection.lock().await)
        .await
        .unwrap();
    assert!(matches!(
        ledger.progress(FIRST).await,
        Err(LedgerError::Damaged { .. })
    ));
    ledger
        .record_sent(FIRST, SPAN, &outcomes(), 1, &Left::default())
        .await
        .unwrap();
    for statement in [
        "UPDATE batches SET outcomes = x'01'",
        "UPDATE batches SET outcomes = x'01010199'",
        "UPDATE batches SET outcomes = x'01010101'",
        "UPDATE batches SET first = -1",
    ] {
        sqlx::query(statement)
            .execute(&mut *ledger.connection.lock().await)
            .await
            .unwrap();
        let error = ledger.progress(FIRST).await.unwrap_err();
        assert!(
            matches!(error, LedgerError::Damaged { .. }),
            "{statement}: {error:?}"
        );
    }
    sqlx::query("UPDATE runs SET status = 'lost'")
        .execute(&mut *ledger.connection.lock().await)
        .await
        .unwrap();
    assert!(matches!(
        ledger.runs(None, 1).await,
        Err(LedgerError::Damaged { .. })
    ));
}

#[tokio::test]
async fn a_ledger_of_a_newer_version_is_refused_politely() {
    let (folder, ledger) = ledger().await;
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'later', 1, x'00', 0)";
    sqlx::query(newer)
        .execute(&mut *ledger.connection.lock().await)
        .await
        .unwrap();
    drop(ledger);
    let error = Ledger::open(&folder.path().join(".writeback"))
        .await
        .unwrap_err();
    assert!(matches!(error, LedgerError::Newer { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .ends_with("was written by a newer version")
    );
}

#[tokio::test]
async fn a_hundred_thousand_rejections_are_kept_in_bounded_time() {
    let (_folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    let all: Vec<Rejection> = (0..100_000)
        .map(|record| rejection(record, Stage::Schema))
        .collect();
    ledger.record_rejections(FIRST, &all).await.unwrap();
    assert_eq!(ledger.tally(FIRST).await.unwrap().rejected, 100_000);
}

/// All that a run taken up builds on, and history.
async fn told(ledger: &Ledger) -> Result<String, LedgerError> {
    let progress = (
        ledger.progress(FIRST).await?,
        ledger.outcomes(FIRST, 0).await?,
    );
    let history = (
        ledger.runs(None, 10).await?,
        ledger.batches(1).await?,
        ledger.batches(2).await?,
    );
    Ok(format!(
        "{progress:?} {history:?} {:?}",
        ledger.unfinished_run("daily").await?
    ))
}

async fn close(ledger: Ledger) {
    ledger.close().await;
}

#[tokio::test]
async fn a_ledger_with_a_bit_flipped_is_refused_or_tells_the_same() {
    let (folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    ledger
        .record_packaged(FIRST, 6, &mapped_for())
        .await
        .unwrap();
    ledger
        .record_sent(FIRST, SPAN, &outcomes(), 1, &Left::default())
        .await
        .unwrap();
    ledger
        .record_committed(FIRST, SPAN, 0.5, true)
        .await
        .unwrap();
    let second = BatchSpan {
        first: 4,
        records: 2,
        ..SPAN
    };
    ledger
        .record_sent(
            FIRST,
            second,
            &[Outcome::Inserted, Outcome::Updated],
            1,
            &Left::default(),
        )
        .await
        .unwrap();
    ledger.stop_run(1, "unreachable").await.unwrap();
    begin(&ledger, "daily", &cycle("c1", 0)).await;
    let sound = told(&ledger).await.unwrap();
    close(ledger).await;
    let bytes = fs::read(folder.path().join(".writeback/ledger.db")).unwrap();
    let mut refused = 0;
    for place in (0..bytes.len()).step_by(FLIP_STEP) {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << (place % 8);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ledger.db"), &flipped).unwrap();
        let answer = match Ledger::open(folder.path()).await {
            Ok(ledger) => told(&ledger).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(told) => assert_eq!(told, sound, "byte {place}"),
            Err(error) => {
                assert!(error.hint().is_some(), "byte {place}: {error:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "{} flips", bytes.len() / FLIP_STEP);
}

/// Bytes between two flips: a prime, so that every place of a page and every bit of a byte has its
/// turn.
const FLIP_STEP: usize = 397;

#[tokio::test]
async fn what_a_sealed_row_says_cannot_be_changed_behind_its_seal() {
    for change in [
        "UPDATE batches SET committed = 1",
        "UPDATE batches SET inserted = 0, updated = 2",
        "UPDATE write_backs SET read = 7",
        "UPDATE runs SET resumable = 1",
        "UPDATE runs SET cycle_completed_at = '2126-11-15T06:30:00.000000000Z'",
        "ALTER TABLE batches RENAME COLUMN skipped TO skippe",
    ] {
        let (folder, ledger) = ledger().await;
        begin(&ledger, "weekly", &cycle("c1", 0)).await;
        ledger
            .record_sent(FIRST, SPAN, &outcomes(), 1, &Left::default())
            .await
            .unwrap();
        sqlx::query(change)
            .execute(&mut *ledger.connection.lock().await)
            .await
            .unwrap();
        close(ledger).await;
        let error = Ledger::open(&folder.path().join(".writeback"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, LedgerError::Damaged { .. }),
            "{change}: {error:?}"
        );
    }
}

#[tokio::test]
async fn tables_altered_by_a_program_that_was_killed_before_it_sealed_them_are_sealed_by_the_next()
{
    let (folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    sqlx::query("DELETE FROM seals")
        .execute(&mut *ledger.connection.lock().await)
        .await
        .unwrap();
    close(ledger).await;
    let ledger = Ledger::open(&folder.path().join(".writeback"))
        .await
        .unwrap();
    sqlx::query("UPDATE runs SET status = 'failed'")
        .execute(&mut *ledger.connection.lock().await)
        .await
        .unwrap();
    close(ledger).await;
    assert!(matches!(
        Ledger::open(&folder.path().join(".writeback")).await,
        Err(LedgerError::Damaged { .. })
    ));
}

#[tokio::test]
async fn a_transaction_that_ended_by_itself_or_was_let_go_keeps_none_after_it_from_beginning() {
    let (_folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &cycle("c1", 0)).await;
    // As a disk does that is full.
    let end = "CREATE TEMP TRIGGER full BEFORE INSERT ON main.rejections WHEN NEW.record = 7
               BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END";
    sqlx::raw_sql(end)
        .execute(&mut *ledger.connection.lock().await)
        .await
        .unwrap();
    for _ in 0..2 {
        let error = ledger
            .record_rejections(FIRST, &[rejection(7, Stage::Schema)])
            .await
            .unwrap_err();
        assert!(
            chain(&error).join(" ").ends_with("disk is full"),
            "{error:?}"
        );
    }
    // As whoever waits for something else as well does.
    let writing = ledger.write("write to", async |_| {
        std::future::pending::<()>().await;
        Ok(())
    });
    tokio::time::timeout(std::time::Duration::from_millis(50), writing)
        .await
        .unwrap_err();
    ledger
        .record_rejections(FIRST, &[rejection(8, Stage::Schema)])
        .await
        .unwrap();
    assert_eq!(
        ledger.rejections(FIRST, None, 10).await.unwrap(),
        [rejection(8, Stage::Schema)]
    );
}

/// Writes a number into a table of the test's own.
async fn write_number(ledger: &Ledger, number: i64, fails: bool) -> Result<(), LedgerError> {
    let work = async |connection: &mut sqlx::SqliteConnection| {
        sqlx::query("INSERT INTO numbers VALUES (?)")
            .bind(number)
            .execute(connection)
            .await?;
        match fails {
            true => Err(super::error::Fault::NoSuchRun(number)),
            false => Ok(()),
        }
    };
    ledger.write("write a number in", work).await
}

async fn numbers(ledger: &Ledger) -> Vec<i64> {
    let numbers = ledger.read(async |connection| {
        let all = sqlx::query_scalar("SELECT number FROM numbers ORDER BY number");
        Ok(all.fetch_all(connection).await?)
    });
    numbers.await.unwrap()
}

async fn ledger_of_numbers() -> (tempfile::TempDir, Ledger) {
    let (folder, ledger) = ledger().await;
    let table = ledger.write("make", async |connection| {
        let table = "CREATE TABLE numbers (number INTEGER PRIMARY KEY)";
        sqlx::raw_sql(table).execute(connection).await?;
        Ok(())
    });
    table.await.unwrap();
    (folder, ledger)
}

#[tokio::test]
async fn who_writes_at_the_same_time_shares_a_transaction_and_what_fails_is_taken_back_alone() {
    let (_folder, ledger) = ledger_of_numbers().await;
    let before = ledger.transactions();
    let all = (0..20).map(|number| write_number(&ledger, number, number % 5 == 3));
    let written = futures_util::future::join_all(all).await;
    let failed = written.iter().filter(|one| one.is_err()).count();
    assert_eq!(failed, 4);
    let kept: Vec<i64> = (0..20).filter(|number| number % 5 != 3).collect();
    assert_eq!(numbers(&ledger).await, kept);
    let transactions = ledger.transactions() - before;
    assert!(transactions < 10, "{transactions}");
}

#[tokio::test]
async fn a_write_that_is_let_go_half_way_leaves_nothing_and_takes_nobody_s_away() {
    let (_folder, ledger) = ledger_of_numbers().await;
    let let_go = async |connection: &mut sqlx::SqliteConnection| {
        sqlx::query("INSERT INTO numbers VALUES (7)")
            .execute(connection)
            .await?;
        std::future::pending::<Result<(), super::error::Fault>>().await
    };
    let half_way = tokio::time::timeout(
        std::time::Duration::from_millis(100),
        ledger.write("write in", let_go),
    );
    let (first, half_way, last) = tokio::join!(
        write_number(&ledger, 1, false),
        half_way,
        write_number(&ledger, 2, false)
    );
    assert!(half_way.is_err());
    first.unwrap();
    last.unwrap();
    assert_eq!(numbers(&ledger).await, [1, 2]);
}
