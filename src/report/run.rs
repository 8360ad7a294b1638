//! A run's end as people and machines read it.

use serde_json::{Value, json};

use crate::domain::outcome::Tally;
use crate::ledger::RunStatus;
use crate::report::history::summary_line;
use crate::run::{RunReport, WriteBackReport};

/// The summary: a line per write-back when there are several, and one for the job that adds up.
pub(crate) fn text(report: &RunReport) -> String {
    let Some(run) = report.run else {
        return format!("{}  nothing new: a newer cycle than `{}` is already written back\n", report.job, report.cycle);
    };
    let mut lines = Vec::new();
    if report.write_backs.len() > 1 {
        let line = |one: &WriteBackReport| summary_line(&one.name, run, &one.tally, one.elapsed.as_secs_f64());
        lines.extend(report.write_backs.iter().map(line));
    }
    lines.push(summary_line(&report.job, run, &total(report), seconds(report)));
    if let Some(folder) = report.folder.as_ref().filter(|_| report.status == RunStatus::Rejected) {
        let file = folder.join("rejected.csv");
        let shown = file.strip_prefix(".").unwrap_or(&file);
        lines.push(format!("rejected records: {}", shown.display()));
    }
    lines.join("\n") + "\n"
}

/// The object that `run --json` prints.
pub(crate) fn json(report: &RunReport) -> Value {
    let write_back = |one: &WriteBackReport| {
        json!({
            "name": one.name,
            "read": one.tally.read,
            "inserted": one.tally.inserted,
            "updated": one.tally.updated,
            "unchanged": one.tally.unchanged,
            "skipped": one.tally.skipped,
            "rejected": one.tally.rejected,
            "batches": one.batches,
            "seconds": one.elapsed.as_secs_f64(),
        })
    };
    json!({
        "run": report.run,
        "job": report.job,
        "cycle": report.cycle,
        "status": report.status,
        "write_backs": report.write_backs.iter().map(write_back).collect::<Vec<_>>(),
    })
}

fn total(report: &RunReport) -> Tally {
    let mut total = Tally::default();
    for write_back in &report.write_backs {
        total += write_back.tally;
    }
    total
}

fn seconds(report: &RunReport) -> f64 {
    report.write_backs.iter().map(|write_back| write_back.elapsed.as_secs_f64()).sum()
}
