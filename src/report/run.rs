//! A run's end as people and machines read it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::domain::outcome::{Tally, grouped};
use crate::domain::parking::LeftAlone;
use crate::domain::printable::printable;
use crate::ledger::{ReasonCount, RunStatus};
use crate::report::history::{canary_line, summary_line};
use crate::report::{account, guards, parked, pending};
use crate::run::conflicts::kept::KEPT_CSV;
use crate::run::outcomes::SKIPPED_CSV;
use crate::run::report::{Applied, EarlierDelivery, Guarded};
use crate::run::{RunReport, WriteBackReport};

/// The summary: a line per write-back when there are several, and one for the job that adds up.
pub(crate) fn text(report: &RunReport, reasons: &[ReasonCount]) -> String {
    let Some(run) = report.run else {
        if let Some(before) = &report.before {
            return before_text(report, before);
        }
        if let Some(retry) = &report.retry {
            return pending::nothing_to_take(&report.job, retry);
        }
        return format!(
            "{}  nothing new: a newer cycle than `{}` is already written back\n",
            report.job,
            printable(&report.cycle)
        );
    };
    if let Some(guarded) = &report.guarded {
        return guarded_text(report, run, guarded);
    }
    let mut lines = Vec::new();
    if report.write_backs.len() > 1 {
        let line = |one: &WriteBackReport| {
            summary_line(&one.name, run, &one.tally, one.elapsed.as_secs_f64())
        };
        lines.extend(report.write_backs.iter().map(line));
    }
    lines.push(summary_line(
        &report.job,
        run,
        &total(report),
        seconds(report),
    ));
    lines.extend(as_written(&total(report)));
    lines.extend(report.calls.iter().map(account::made_line));
    lines.extend(
        report
            .write_backs
            .iter()
            .filter_map(|one| Some(canary_line(&one.name, one.canary.as_ref()?))),
    );
    lines.extend(report.applied.iter().flat_map(left_of_plan));
    let parked: Vec<LeftAlone> = report
        .write_backs
        .iter()
        .flat_map(|one| one.parked.clone())
        .collect();
    lines.extend(parked::lines(
        &parked,
        u64::try_from(parked.len()).unwrap_or(u64::MAX),
    ));
    lines.extend(
        report
            .write_backs
            .iter()
            .flat_map(|one| kept(one, report.folder.as_deref())),
    );
    lines.extend(report.write_backs.iter().flat_map(left_lines));
    let folder = report.folder.as_deref();
    lines.extend(
        report
            .write_backs
            .iter()
            .filter_map(|one| skipped(one, folder)),
    );
    lines.extend(report.write_backs.iter().flat_map(unmatched));
    if let Some(folder) = report
        .folder
        .as_ref()
        .filter(|_| report.status == RunStatus::Rejected)
    {
        lines.push(format!(
            "rejected records: {}",
            shown(&folder.join("rejected.csv"))
        ));
        let rejected = total(report).rejected;
        lines.extend(reason_lines(reasons, rejected));
    }
    let can_be_undone = |one: &WriteBackReport| {
        one.keeps_before_images && one.tally.inserted + one.tally.updated > 0
    };
    if report.write_backs.iter().any(can_be_undone) {
        lines.push(format!("`writeback undo {run}` takes this back"));
    }
    lines.extend(
        report
            .retry
            .iter()
            .flat_map(|retry| pending::after_retry(&report.job, retry)),
    );
    lines.join("\n") + "\n"
}

/// Says of how many unchanged records nobody looked at the row, if of any.
pub(super) fn as_written(tally: &Tally) -> Option<String> {
    let records = tally.as_written;
    (records > 0).then(|| {
        format!(
            "not looked up, for they are as last written: {} of {} unchanged",
            grouped(records),
            grouped(tally.unchanged)
        )
    })
}

/// Says that the cycle was delivered before, and what can be done all the same.
fn before_text(report: &RunReport, before: &EarlierDelivery) -> String {
    let (job, run, cycle) = (&report.job, before.run, printable(&report.cycle));
    let mut lines = vec![
        format!("{job}  nothing new: run {run} wrote cycle `{cycle}` back already"),
        format!("hint: `writeback run {job} --again` writes it once more"),
    ];
    let records: u64 = before.pending.iter().map(|pending| pending.records).sum();
    if records > 0 {
        let records = grouped(records);
        lines.push(format!(
            "hint: `writeback run {job} --only-rejected` takes rejected records again: {records} are pending"
        ));
    }
    lines.join("\n") + "\n"
}

/// As [`json()`] tells of a run with nothing to do, and of who did it.
fn before_json(report: &RunReport, before: &EarlierDelivery) -> Value {
    json!({
        "run": null,
        "job": report.job,
        "cycle": report.cycle,
        "status": report.status,
        "delivered_by": before.run,
        "pending": before.pending,
        "write_backs": [],
    })
}

/// What became of the records of a plan that was not applied to them; nothing, if it was applied to
/// all.
fn left_of_plan(applied: &Applied) -> Vec<String> {
    let parts = [
        (
            applied.changed_since,
            "kept: the row no longer holds what the plan was made for",
        ),
        (applied.gone, "could not: the row is gone"),
    ];
    let told = parts.into_iter().filter(|(records, _)| *records > 0);
    told.map(|(records, what)| format!("{:>9} {what}", grouped(records)))
        .collect()
}

/// Reasons that are told on the screen; the file has them all.
pub(crate) const REASONS_SHOWN_MAX: u32 = 5;

/// `      500 × HEALTH_SCORE: not a number`, the most frequent first.
fn reason_lines(reasons: &[ReasonCount], rejected: u64) -> Vec<String> {
    let line = |one: &ReasonCount| {
        let place = one.column.as_deref().map(|column| format!("{column}: "));
        let told = format!("{}{}", place.unwrap_or_default(), one.reason);
        format!("{:>9} × {}", grouped(one.records), printable(&told))
    };
    let told: u64 = reasons.iter().map(|one| one.records).sum();
    let rest = rejected.saturating_sub(told);
    let others = (rest > 0).then(|| format!("{:>9} for other reasons", grouped(rest)));
    reasons.iter().map(line).chain(others).collect()
}

/// The file that lists a write-back's skipped records, if any was.
fn skipped(one: &WriteBackReport, folder: Option<&Path>) -> Option<String> {
    let file = folder?.join(&one.name).join(SKIPPED_CSV);
    (one.tally.skipped > 0).then(|| format!("skipped records: {}", shown(&file)))
}

/// That no record has a row, which is no success.
fn unmatched(one: &WriteBackReport) -> Vec<String> {
    let told = [
        format!("{}: no record has a row in the destination", one.name),
        "hint: compare a key with the destination's, letter by letter; `matching = \"upsert\"` creates rows"
            .to_owned(),
    ];
    told.into_iter().filter(|_| one.matched_nothing).collect()
}

/// `        3 × referral_note: notes are off for northwind`
fn left_lines(one: &WriteBackReport) -> Vec<String> {
    let line = |(reason, records): (&String, &u64)| {
        format!(
            "{:>9} × {}: {}",
            grouped(*records),
            one.name,
            printable(reason)
        )
    };
    one.left.iter().map(line).collect()
}

/// A file as people read it: relative to where they stand.
fn shown(file: &Path) -> String {
    let shown = file.strip_prefix(".").unwrap_or(file);
    printable(&shown.display().to_string())
}

/// What was left alone, and the file that lists it.
fn kept(one: &WriteBackReport, folder: Option<&Path>) -> Option<String> {
    let file = folder?.join(&one.name).join(KEPT_CSV);
    let shown = file
        .strip_prefix(".")
        .unwrap_or(&file)
        .display()
        .to_string();
    (!one.kept.is_empty()).then(|| format!("{}; see {shown}", kept_counts(&one.kept)))
}

/// `values kept, for someone else changed them: 3 of HEALTH_SCORE, 1 of CHURN_RISK`
pub(super) fn kept_counts(kept: &BTreeMap<String, u64>) -> String {
    let counts: Vec<String> = kept
        .iter()
        .map(|(column, values)| format!("{} of {}", grouped(*values), printable(column)))
        .collect();
    format!(
        "values kept, for someone else changed them: {}",
        counts.join(", ")
    )
}

/// What stopped the run, how to see more, and how to let it go ahead.
fn guarded_text(report: &RunReport, run: i64, guarded: &Guarded) -> String {
    let job = &report.job;
    let mut lines = vec![format!(
        "{job}  run {run}  stopped by {} before the first write",
        guards(guarded)
    )];
    lines.extend(guards::lines(job, &guarded.objections));
    lines.push(format!(
        "hint: `writeback preview {job}` shows what it would do; `{}` lets it go ahead",
        guarded.approving_command
    ));
    lines.join("\n") + "\n"
}

fn guards(guarded: &Guarded) -> &'static str {
    if guarded.objections.len() == 1 {
        "a guard"
    } else {
        "guards"
    }
}

/// The object that `run --json` prints.
pub(crate) fn json(report: &RunReport) -> Value {
    if let Some(before) = &report.before {
        return before_json(report, before);
    }
    let write_back = |one: &WriteBackReport| {
        json!({
            "name": one.name,
            "read": one.tally.read,
            "inserted": one.tally.inserted,
            "updated": one.tally.updated,
            "unchanged": one.tally.unchanged,
            "as_written": one.tally.as_written,
            "skipped": one.tally.skipped,
            "rejected": one.tally.rejected,
            "batches": one.batches,
            "calls": one.calls,
            "seconds": one.elapsed.as_secs_f64(),
            "parked": one.parked,
            "left": one.left,
            "kept": one.kept,
            "matched_nothing": one.matched_nothing,
            "canary": one.canary,
        })
    };
    json!({
        "run": report.run,
        "job": report.job,
        "cycle": report.cycle,
        "status": report.status,
        "guards": report.guarded.as_ref().map_or(&[][..], |guarded| &guarded.objections),
        "retry_of": report.retry.as_ref().and_then(|retry| retry.of),
        "pending": report.retry.as_ref().map(|retry| &retry.pending),
        "plan": report.applied,
        "calls": report.calls,
        "approve": report.guarded.as_ref().map(|guarded| &guarded.approving_command),
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
    report
        .write_backs
        .iter()
        .map(|write_back| write_back.elapsed.as_secs_f64())
        .sum()
}
