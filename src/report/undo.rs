//! An undo as people and machines read it, in three parts: reversed; kept, because somebody changed
//! it since; could not.

use serde_json::{Value, json};

use crate::domain::outcome::{Tally, grouped};
use crate::domain::printable::printable;
use crate::ledger::RunStatus;
use crate::report::account;
use crate::report::history::summary_line;
use crate::run::undo::{UndoReport, Undone};

/// The sum, the three parts, and what to do about rows that the run created.
pub(crate) fn text(report: &UndoReport) -> String {
    let mut lines = vec![title(report)];
    let several = report.write_backs.len() > 1;
    for undone in &report.write_backs {
        let indent = if several { "    " } else { "  " };
        if several {
            lines.push(format!(
                "  {}: {}",
                printable(&undone.report.name),
                undone.report.tally
            ));
        }
        lines.extend(
            parts(undone)
                .into_iter()
                .map(|part| format!("{indent}{part}")),
        );
    }
    if report.run.is_some() && report.status == RunStatus::Rejected {
        let file = report.folder.join("rejected.csv");
        lines.push(format!(
            "rejected records: {}",
            file.strip_prefix(".").unwrap_or(&file).display()
        ));
    }
    lines.extend(report.calls.iter().map(account::made_line));
    let of = report.undo_of;
    if report
        .write_backs
        .iter()
        .any(|undone| undone.changed_since > 0)
    {
        lines.push(format!(
            "hint: `writeback undo {of} --even-changed` also restores rows changed since"
        ));
    }
    if report.write_backs.iter().any(|undone| undone.created > 0) {
        lines.push(format!(
            "hint: `writeback undo {of} --delete-created` also removes rows that run {of} created"
        ));
    }
    if let Some(run) = report.run.filter(|_| reversed(&total(report)) > 0) {
        lines.push(format!("`writeback undo {run}` takes this back"));
    }
    lines.join("\n") + "\n"
}

fn title(report: &UndoReport) -> String {
    let total = total(report);
    let seconds = report
        .write_backs
        .iter()
        .map(|undone| undone.report.elapsed.as_secs_f64())
        .sum();
    match report.run {
        Some(run) => {
            let line = summary_line(&report.job, run, &total, seconds);
            format!(
                "{line}\nundo of run {}, cycle {}",
                report.undo_of,
                printable(&report.cycle)
            )
        }
        None => format!(
            "{}  an undo of run {}, cycle {}, would come to {total}",
            printable(&report.job),
            report.undo_of,
            printable(&report.cycle)
        ),
    }
}

/// What became of the records, for people: parts without a record are left out.
fn parts(undone: &Undone) -> Vec<String> {
    let Tally {
        updated,
        deleted,
        unchanged,
        rejected,
        ..
    } = undone.report.tally;
    let parts = [
        (updated, "reversed: what the row held before is restored"),
        (
            deleted,
            "reversed: the run created the row, and it is deleted",
        ),
        (
            unchanged,
            "reversed already: the row holds what it held before",
        ),
        (undone.changed_since, "kept: somebody changed the row since"),
        (undone.created, "kept: the run created the row"),
        (
            undone.created_in_doubt,
            "kept: it is not known whether the run made this row",
        ),
        (undone.gone, "could not: the row is gone"),
        (rejected, "could not: rejected"),
    ];
    let told = parts.into_iter().filter(|(records, _)| *records > 0);
    told.map(|(records, what)| format!("{:>9} {what}", grouped(records)))
        .collect()
}

/// The object that `undo --json` prints.
pub(crate) fn json(report: &UndoReport) -> Value {
    let write_back = |undone: &Undone| {
        let Tally {
            read,
            inserted,
            updated,
            unchanged,
            deleted,
            skipped,
            rejected,
            ..
        } = undone.report.tally;
        json!({
            "name": undone.report.name,
            "read": read,
            "inserted": inserted,
            "updated": updated,
            "unchanged": unchanged,
            "deleted": deleted,
            "skipped": skipped,
            "rejected": rejected,
            "reversed": reversed(&undone.report.tally),
            "changed_since": undone.changed_since,
            "created": undone.created,
            "created_in_doubt": undone.created_in_doubt,
            "could_not": undone.gone + rejected,
            "batches": undone.report.batches,
            "seconds": undone.report.elapsed.as_secs_f64(),
        })
    };
    json!({
        "run": report.run,
        "undo_of": report.undo_of,
        "calls": report.calls,
        "job": report.job,
        "cycle": report.cycle,
        "status": report.status,
        "write_backs": report.write_backs.iter().map(write_back).collect::<Vec<_>>(),
    })
}

/// Records whose rows hold again what they held before the run.
fn reversed(tally: &Tally) -> u64 {
    tally.updated + tally.deleted
}

fn total(report: &UndoReport) -> Tally {
    let mut total = Tally::default();
    report
        .write_backs
        .iter()
        .for_each(|undone| total += undone.report.tally);
    total
}
