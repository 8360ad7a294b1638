//! History as people read it: a line for one run, a table of many, one run in full. Texts only; who
//! prints them is decided elsewhere.

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::domain::outcome::{DELETED, Rejection, Tally, grouped};
use crate::domain::parking::LeftAlone;
use crate::domain::printable::printable;
use crate::ledger::{Approval, BatchEntry, PassedCanary, RunEntry, RunStatus, WriteBackEntry};
use crate::report::account::made;
use crate::report::clock::{cell, heading, moment};
use crate::report::guards;
use crate::report::table::{self, fitted};
use crate::run::outcomes::SkippedRecord;

/// Batches shown of one run: more is for machines to read.
const BATCHES_SHOWN_MAX: usize = 1_000;

/// One line that adds up: `weekly  run 7  10 000 read = 9 980 updated + 20 skipped  3.1 s`. Terms
/// of zero are left out.
pub(crate) fn summary_line(job: &str, run: i64, tally: &Tally, seconds: f64) -> String {
    format!(
        "{}  run {run}  {tally}  {}",
        printable(job),
        duration(seconds)
    )
}

/// What went first of a write-back's records.
pub(crate) fn canary_line(write_back: &str, canary: &PassedCanary) -> String {
    let PassedCanary { records, read_back } = canary;
    let plural = if *records == 1 { "" } else { "s" };
    let (records, read_back) = (grouped(*records), grouped(*read_back));
    format!(
        "canary of {}: {records} record{plural}, checked ({read_back} read back)",
        printable(write_back)
    )
}

fn duration(seconds: f64) -> String {
    format!("{seconds:.1} s")
}

/// How a run ended, and of which one it was a retry or an undo, or whether it applied a saved plan.
fn status_of(run: &RunEntry) -> String {
    let retry = run
        .retry_of
        .map(|earlier| format!(", retry of {earlier}"))
        .unwrap_or_default();
    let undo = run
        .undo_of
        .map(|earlier| format!(", undo of {earlier}"))
        .unwrap_or_default();
    let plan = run.plan.as_ref().map(|_| ", of a plan").unwrap_or_default();
    status_text(run.status) + &retry + &undo + plan
}

fn status_text(status: RunStatus) -> String {
    status.name().replace('_', " ")
}

/// Runs, one a line, as they come.
pub(crate) fn runs_table(runs: &[RunEntry]) -> String {
    if runs.is_empty() {
        return "no runs yet".to_owned();
    }
    let tallies = Tallies::of(
        runs.iter()
            .flat_map(|run| &run.write_backs)
            .map(|one| &one.tally),
    );
    let mut table = table(
        [
            right("run"),
            left("job"),
            left("cycle"),
            left("status"),
            left(&heading("started")),
            right("took"),
        ],
        tallies.header(),
    );
    for run in runs {
        let mut tally = Tally::default();
        run.write_backs
            .iter()
            .for_each(|write_back| tally += write_back.tally);
        let mut cells = vec![
            right(run.run.to_string()),
            left(&run.job),
            left(&run.cycle),
            left(&status_of(run)),
            left(&cell(run.started_at)),
            right(took(run)),
        ];
        cells.extend(tallies.cells(&tally));
        table.add_row(cells);
    }
    let stopped = runs
        .iter()
        .filter(|run| run.status == RunStatus::Guarded)
        .map(stopped_lines);
    [fitted(table, &[1, 2])]
        .into_iter()
        .chain(stopped)
        .collect::<Vec<_>>()
        .join("\n\n")
}

fn canary_lines(write_backs: &[WriteBackEntry]) -> String {
    let line = |one: &WriteBackEntry| Some(canary_line(&one.name, one.canary.as_ref()?));
    write_backs
        .iter()
        .filter_map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

/// How many of the records that count as written may not be.
fn doubt_line(run: &RunEntry) -> String {
    let in_doubt: u64 = run
        .write_backs
        .iter()
        .map(|write_back| write_back.in_doubt)
        .sum();
    match in_doubt {
        0 => String::new(),
        1 => "1 record is in doubt: it was sent, and counts as written".to_owned(),
        _ => format!(
            "{} records are in doubt: they were sent, and count as written",
            grouped(in_doubt)
        ),
    }
}

/// Why guards stopped a run, and who let it go ahead.
fn stopped_lines(run: &RunEntry) -> String {
    let mut lines = Vec::new();
    if !run.guards.is_empty() {
        lines.push(format!(
            "run {} was stopped by guards before its first write:",
            run.run
        ));
        lines.extend(guards::lines(&run.job, &run.guards));
    }
    if let Some(Approval {
        approved_by,
        approved_at,
        reason,
    }) = &run.approval
    {
        let by = approved_by
            .as_deref()
            .map_or("somebody".to_owned(), printable);
        let why = reason
            .as_deref()
            .map_or(String::new(), |reason| format!(": {}", printable(reason)));
        lines.push(format!("approved by {by}, {}{why}", moment(*approved_at)));
    }
    lines.join("\n")
}

/// From begin to end; nothing while a run goes on.
fn took(run: &RunEntry) -> String {
    let finished = run
        .finished_at
        .map(|finished_at| (finished_at - run.started_at).as_seconds_f64());
    finished.map(duration).unwrap_or_default()
}

/// One run: what it was, its write-backs, its batches, and parked and rejected records with the
/// names of their write-backs, as many as are given; how many rejected ones there are in all stands
/// in the run.
pub(crate) fn run_in_full(
    run: &RunEntry,
    batches: &[BatchEntry],
    left_alone: &[(String, LeftAlone)],
    skipped: &[(String, SkippedRecord)],
    rejections: &[(String, Rejection)],
) -> String {
    let parts = [
        facts(run),
        stopped_lines(run),
        write_backs_table(&run.write_backs),
        canary_lines(&run.write_backs),
        doubt_line(run),
        batches_table(batches),
        left_alone_table(left_alone),
        skipped_table(run, skipped, left_alone.len()),
        rejections_table(run, rejections),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n\n")
}

fn facts(run: &RunEntry) -> String {
    let finished = run
        .finished_at
        .map(|finished_at| format!("{}, after {}", moment(finished_at), took(run)));
    let cycle = format!(
        "{}, completed {}",
        printable(&run.cycle),
        moment(run.cycle_completed_at)
    );
    let started = moment(run.started_at);
    let facts = [
        ("cycle", Some(cycle)),
        ("started", Some(started)),
        ("finished", finished),
        (
            "retry of",
            run.retry_of.map(|earlier| {
                format!("run {earlier}: it took only records that were rejected then")
            }),
        ),
        (
            "undo of",
            run.undo_of.map(|earlier| {
                format!("run {earlier}: it restored what rows held before that run")
            }),
        ),
        (
            "plan",
            run.plan.as_deref().map(|digest| {
                format!(
                    "SHA-256 {}: it applied what was previewed",
                    printable(digest)
                )
            }),
        ),
        // Of a guarded run the guards tell.
        (
            "error",
            run.error
                .as_deref()
                .filter(|_| run.status != RunStatus::Guarded)
                .map(printable),
        ),
    ];
    let calls = run
        .calls
        .iter()
        .map(|calls| format!("  {:<9} {}", "calls", made(calls)));
    let title = format!(
        "run {} of job `{}`: {}",
        run.run,
        printable(&run.job),
        status_text(run.status)
    );
    let lines = facts
        .into_iter()
        .filter_map(|(name, fact)| fact.map(|fact| format!("  {name:<9} {fact}")));
    std::iter::once(title)
        .chain(lines)
        .chain(calls)
        .collect::<Vec<_>>()
        .join("\n")
}

fn write_backs_table(write_backs: &[WriteBackEntry]) -> String {
    if write_backs.is_empty() {
        return String::new();
    }
    let tallies = Tallies::of(write_backs.iter().map(|one| &one.tally));
    let mut table = table(
        [left("write-back"), right("batches"), right("took")],
        tallies.header(),
    );
    for write_back in write_backs {
        let mut cells = vec![
            left(&write_back.name),
            right(grouped(write_back.batches)),
            right(duration(write_back.seconds)),
        ];
        cells.extend(tallies.cells(&write_back.tally));
        table.add_row(cells);
    }
    fitted(table, &[0])
}

fn batches_table(batches: &[BatchEntry]) -> String {
    if batches.is_empty() {
        return String::new();
    }
    let first = [
        left("write-back"),
        right("partition"),
        right("first"),
        right("attempts"),
        left("committed"),
        right("took"),
    ];
    let tallies = Tallies::of(batches.iter().map(|batch| &batch.tally));
    let mut table = table(first, tallies.header());
    for batch in batches.iter().take(BATCHES_SHOWN_MAX) {
        let mut cells = vec![
            left(&batch.write_back),
            right(grouped(batch.partition.into())),
            right(grouped(batch.first.into())),
            right(grouped(batch.attempts.into())),
            left(if batch.committed { "yes" } else { "in doubt" }),
            right(duration(batch.seconds)),
        ];
        cells.extend(tallies.cells(&batch.tally));
        table.add_row(cells);
    }
    let rest = batches.len().saturating_sub(BATCHES_SHOWN_MAX);
    if rest == 0 {
        fitted(table, &[0])
    } else {
        format!(
            "{}\n… and {} more batches",
            fitted(table, &[0]),
            grouped(rest as u64)
        )
    }
}

fn left_alone_table(left_alone: &[(String, LeftAlone)]) -> String {
    if left_alone.is_empty() {
        return String::new();
    }
    let mut table = table(
        [
            left("write-back"),
            right("record"),
            left("key"),
            left("skipped"),
        ],
        [],
    );
    for (
        write_back,
        LeftAlone {
            record,
            key,
            reason,
            ..
        },
    ) in left_alone
    {
        table.add_row(vec![
            left(write_back),
            right(grouped(record.saturating_add(1))),
            left(key),
            left(reason),
        ]);
    }
    fitted(table, &[0, 2, 3])
}

fn rejections_table(run: &RunEntry, rejections: &[(String, Rejection)]) -> String {
    if rejections.is_empty() {
        return String::new();
    }
    let header = [
        left("write-back"),
        right("record"),
        left("key"),
        left("stage"),
        left("column"),
        left("reason"),
    ];
    let mut table = table(header, []);
    for (write_back, rejection) in rejections {
        table.add_row(vec![
            left(write_back),
            right(grouped(rejection.record.saturating_add(1))),
            left(rejection.key.as_deref().unwrap_or_default()),
            left(rejection.stage.name()),
            left(rejection.column.as_deref().unwrap_or_default()),
            left(&rejection.reason),
        ]);
    }
    let told = fitted(table, &[0, 2, 4, 5]);
    let all = sum_of(run, |tally| tally.rejected);
    with_rest(told, all, rejections.len(), "rejected records")
}

/// The first records that were skipped, beside so many parked ones.
fn skipped_table(run: &RunEntry, skipped: &[(String, SkippedRecord)], parked: usize) -> String {
    if skipped.is_empty() {
        return String::new();
    }
    let header = [
        left("write-back"),
        right("record"),
        left("key"),
        left("skipped"),
    ];
    let mut table = table(header, []);
    for (write_back, record) in skipped {
        table.add_row(vec![
            left(write_back),
            right(grouped(record.record)),
            left(&record.key),
            left(&record.reason),
        ]);
    }
    let told = fitted(table, &[0, 2, 3]);
    let all = sum_of(run, |tally| tally.skipped);
    with_rest(told, all, skipped.len() + parked, "skipped records")
}

/// A skipped record as `runs RUN --json` prints it.
pub(crate) fn skipped_json((write_back, skipped): &(String, SkippedRecord)) -> Value {
    json!({
        "write_back": write_back,
        "record": skipped.record,
        "key": skipped.key,
        "reason": skipped.reason,
    })
}

fn sum_of(run: &RunEntry, count: fn(&Tally) -> u64) -> u64 {
    let write_backs = run.write_backs.iter();
    write_backs.map(|write_back| count(&write_back.tally)).sum()
}

/// A table, and how many of `all` it does not show.
fn with_rest(table: String, all: u64, shown: usize, what: &str) -> String {
    match all.saturating_sub(shown as u64) {
        0 => table,
        rest => format!("{table}\n… and {} more {what}", grouped(rest)),
    }
}

/// The columns of a table's tallies: deleted rows have one only where there are any, as only an
/// undo deletes.
struct Tallies {
    deletes: bool,
}

impl Tallies {
    fn of<'a>(tallies: impl IntoIterator<Item = &'a Tally>) -> Self {
        Self {
            deletes: tallies.into_iter().any(|tally| tally.deleted > 0),
        }
    }

    fn header(&self) -> Vec<Cell> {
        let names = self.terms(&Tally::default()).map(|(_, name)| name);
        std::iter::once("read").chain(names).map(right).collect()
    }

    fn cells(&self, tally: &Tally) -> Vec<Cell> {
        let counts = self.terms(tally).map(|(records, _)| records);
        let counts = std::iter::once(tally.read).chain(counts);
        counts.map(|records| right(grouped(records))).collect()
    }

    fn terms(&self, tally: &Tally) -> impl Iterator<Item = (u64, &'static str)> + use<> {
        let deletes = self.deletes;
        let terms = tally.terms().into_iter();
        terms.filter(move |(_, name)| deletes || *name != DELETED)
    }
}

/// A table without lines: twelve columns then fit beside one another, and what is copied from it
/// stays text.
fn table(first: impl IntoIterator<Item = Cell>, then: impl IntoIterator<Item = Cell>) -> Table {
    let mut table = table::table(presets::NOTHING);
    table.set_header(first.into_iter().chain(then));
    table
}

fn left(text: &str) -> Cell {
    Cell::new(printable(text))
}

fn right(text: impl Into<String>) -> Cell {
    Cell::new(text.into()).set_alignment(CellAlignment::Right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account_calls::AccountCalls;
    use crate::domain::outcome::Stage;

    fn tally() -> Tally {
        Tally {
            read: 10_000,
            updated: 9_412,
            unchanged: 561,
            skipped: 20,
            rejected: 7,
            ..Tally::default()
        }
    }

    fn run() -> RunEntry {
        let moment = |text: &str| {
            text.parse::<chrono::DateTime<chrono::Utc>>()
                .expect("a moment")
        };
        RunEntry {
            run: 4182,
            job: "account-health".to_owned(),
            cycle: "2026-W47".to_owned(),
            cycle_completed_at: moment("2026-11-20T06:00:00Z"),
            status: RunStatus::Rejected,
            started_at: moment("2026-11-20T06:30:00Z"),
            finished_at: Some(moment("2026-11-20T06:30:03.1Z")),
            error: None,
            retry_of: None,
            undo_of: None,
            plan: None,
            guards: Vec::new(),
            approval: None,
            calls: vec![AccountCalls {
                connection: "crm".to_owned(),
                made: 1_204,
                used: Some(3_000),
                allowed: Some(15_000),
            }],
            write_backs: vec![WriteBackEntry {
                name: "health_score".to_owned(),
                tally: tally(),
                batches: 20,
                seconds: 2.9,
                in_doubt: 0,
                canary: None,
            }],
        }
    }

    #[test]
    fn a_summary_adds_up_in_one_line() {
        assert_eq!(
            summary_line("account-health", 4182, &tally(), 3.1),
            "account-health  run 4182  10 000 read = 9 412 updated + 561 unchanged + 20 skipped + 7 rejected  3.1 s"
        );
        assert_eq!(
            summary_line("weekly", 1, &Tally::default(), 0.0),
            "weekly  run 1  0 read = 0  0.0 s"
        );
        let inserted = Tally {
            read: 1_234_567,
            inserted: 1_234_567,
            ..Tally::default()
        };
        assert_eq!(
            summary_line("weekly", 2, &inserted, 61.25),
            "weekly  run 2  1 234 567 read = 1 234 567 inserted  61.2 s"
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        let texts = [
            (0, "0"),
            (999, "999"),
            (1_000, "1 000"),
            (12_345, "12 345"),
            (u64::MAX, "18 446 744 073 709 551 615"),
        ];
        for (number, text) in texts {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn history_is_a_table() {
        assert_eq!(runs_table(&[]), "no runs yet");
        insta::assert_snapshot!(runs_table(&[run()]), @"
         run  job             cycle     status    started (UTC)         took    read  inserted  updated  unchanged  skipped  rejected
        4182  account-health  2026-W47  rejected  2026-11-20 06:30:00  3.1 s  10 000         0    9 412        561       20         7
        ");
    }

    #[test]
    fn one_run_in_full() {
        let batch = BatchEntry {
            write_back: "health_score".to_owned(),
            partition: 0,
            first: 9_500,
            records: 500,
            attempts: 1,
            committed: true,
            tally: Tally {
                read: 500,
                updated: 493,
                rejected: 7,
                ..Tally::default()
            },
            seconds: 0.123,
        };
        let rejection = Rejection {
            record: 1_017,
            key: Some("A\u{7}17".to_owned()),
            stage: Stage::Mapping,
            column: Some("CHURN_RISK".to_owned()),
            value: None,
            reason: "17 characters do not fit in 16".to_owned(),
            others: Vec::new(),
        };
        let rejections = [("health_score".to_owned(), rejection)];
        insta::assert_snapshot!(run_in_full(&run(), &[batch], &[], &[], &rejections), @r"
        run 4182 of job `account-health`: rejected
          cycle     2026-W47, completed 2026-11-20 06:00:00 UTC
          started   2026-11-20 06:30:00 UTC
          finished  2026-11-20 06:30:03 UTC, after 3.1 s
          calls     1 204 to `crm`; 12 000 of its 15 000 are left

         write-back    batches   took    read  inserted  updated  unchanged  skipped  rejected
         health_score       20  2.9 s  10 000         0    9 412        561       20         7

         write-back    partition  first  attempts  committed   took  read  inserted  updated  unchanged  skipped  rejected
         health_score          0  9 500         1  yes        0.1 s   500         0      493          0        0         7

         write-back    record  key       stage    column      reason
         health_score   1 018  A\u{7}17  mapping  CHURN_RISK  17 characters do not fit in 16
        … and 6 more rejected records
        ");
    }
}
