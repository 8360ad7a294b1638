//! What looks show, as parts of a page: an undo in three parts, drift, and one record that was
//! tried.

use maud::{Markup, html};

use super::parts;
use crate::domain::outcome::grouped;
use crate::domain::printable::printable;
use crate::report::preview::{cell, cells};
use crate::run::single_record::{ColumnProof, SingleOutcome, SingleRecord};
use crate::run::undo::{UndoPart, UndoReport, Undone};
use crate::run::verify::{ColumnDrift, RowDrift, Verification};

/// An undo, in three parts before it happens.
pub(super) fn undo(report: &UndoReport) -> Markup {
    html! {
        @for undone in &report.write_backs {
            section {
                h2 { (printable(&undone.report.name)) }
                (undo_parts(undone))
            }
        }
    }
}

fn undo_parts(undone: &Undone) -> Markup {
    let tally = undone.report.tally;
    let reversed = [
        (tally.updated, "the row gets back what it held before"),
        (tally.deleted, "the run created the row, and it is deleted"),
        (tally.unchanged, "the row holds what it held before already"),
    ];
    let kept = [
        (undone.changed_since, "somebody changed the row since"),
        (undone.created, "the run created the row"),
        (
            undone.created_in_doubt,
            "it is not known whether the run made the row",
        ),
    ];
    let could_not = [
        (undone.gone, "the row is gone"),
        (
            tally.rejected,
            "a column is altered, or the key matches several rows",
        ),
    ];
    html! {
        (undo_part(undone, UndoPart::Reversed, ("good", "✓", "would be reversed"), &reversed))
        (undo_part(undone, UndoPart::Kept, ("warn", "~", "would be kept"), &kept))
        (undo_part(undone, UndoPart::CouldNot, ("bad", "✕", "could not be"), &could_not))
    }
}

fn undo_part(
    undone: &Undone,
    part: UndoPart,
    (class, mark, word): (&str, &str, &str),
    why: &[(u64, &str)],
) -> Markup {
    let records: u64 = why.iter().map(|(records, _)| records).sum();
    let samples = undone.samples.iter().filter(|sample| sample.part == part);
    let keys: Vec<&str> = samples.map(|sample| sample.key.as_str()).collect();
    html! {
        div.card.bucket {
            p { span.chip.(class) { (mark) " " (grouped(records)) " " (word) } }
            @if records > 0 {
                ul { @for (records, why) in why.iter().filter(|(records, _)| *records > 0) {
                    li { (grouped(*records)) ": " (why) }
                } }
                details {
                    summary { "The first " (keys.len()) }
                    ul.keys { @for key in keys { li.key { (parts::cut(key)) } } }
                }
            }
        }
    }
}

/// What is no longer as it was written, column by column.
pub(super) fn verifications(job: &str, verified: &[Verification]) -> Markup {
    html! {
        @for one in verified {
            section {
                h2 { (printable(&one.name)) }
                @match &one.since {
                    None => p.empty { "Nothing was written back yet." },
                    Some(since) => {
                        p.lead {
                            @if one.drifted == 0 { span.chip.good { "✓ no drift" } } @else { span.chip.warn { "~ drift" } }
                            " " (grouped(one.drifted)) " of " (grouped(one.compared)) " records are no longer as written since run " (since.run)
                        }
                        p.quiet { "Compared with " (printable(&one.table)) " of " (printable(&one.destination)) "." }
                        @if !one.not_compared.is_empty() {
                            p.quiet { "No longer there or of another type, so not compared: " (printable(&one.not_compared.join(", "))) }
                        }
                        (drift_table(&one.columns))
                        (rows(job, "the row is gone", &one.gone))
                        (rows(job, "several rows have the key", &one.doubled))
                    }
                }
            }
        }
    }
}

fn drift_table(columns: &[ColumnDrift]) -> Markup {
    let drifted: Vec<&ColumnDrift> = columns.iter().filter(|one| one.drifted > 0).collect();
    html! { @if !drifted.is_empty() {
        div.scroll tabindex="0" role="region" aria-label="Drift" { table {
            thead { tr {
                th scope="col" { "column" } th.num scope="col" { "drifted" } th scope="col" { "record" }
                th scope="col" { "written" } th scope="col" { "now" } th.num scope="col" { "by run" }
            } }
            @for column in drifted { tbody { @for (index, sample) in column.samples.iter().enumerate() {
                @let [written, now] = cells(sample.written.as_deref(), sample.now.as_deref());
                tr {
                    @if index == 0 {
                        th scope="rowgroup" rowspan=(column.samples.len()) { (printable(&column.column)) }
                        td.num rowspan=(column.samples.len()) { (grouped(column.drifted)) }
                    }
                    td.key { (parts::cut(&sample.record)) } td.long { (written) } td.long { (now) } td.num { (sample.run) }
                }
            } } }
        } }
    } }
}

fn rows(job: &str, what: &str, drift: &RowDrift) -> Markup {
    html! { @if drift.records > 0 {
        p { (grouped(drift.records)) ": " (what) " (job " (job) ")" }
        ul.keys { @for sample in &drift.samples { li.key { (parts::cut(&sample.record)) " (run " (sample.run) ")" } } }
    } }
}

/// One record the whole way, write-back by write-back.
pub(super) fn tried(records: &[SingleRecord]) -> Markup {
    html! { @for record in records {
        section {
            h2 { (printable(&record.write_back)) }
            p.lead {
                @let class = if record.fails() { "bad" } else { "good" };
                span.chip.(class) { (outcome(&record.outcome)) }
                @if record.rolled_back { " rolled back: nothing of it stays" }
            }
            @match &record.outcome {
                SingleOutcome::Skipped { reason } => p { (parts::cut(reason)) },
                SingleOutcome::Rejected { stage, column, reason } => p {
                    "At stage " (stage) @if let Some(column) = column { ", column " code { (printable(column)) } } ": " (parts::cut(reason))
                },
                SingleOutcome::Inserted | SingleOutcome::Updated | SingleOutcome::Unchanged | SingleOutcome::Deleted
                | SingleOutcome::NotInSource { .. } => {},
            }
            @if let Some(alteration) = &record.alteration { p.refused { (parts::quoted(&printable(alteration))) } }
            @if !record.columns.is_empty() { (proof_table(record)) }
        }
    } }
}

fn outcome(outcome: &SingleOutcome) -> &'static str {
    match outcome {
        SingleOutcome::Inserted => "inserted",
        SingleOutcome::Updated => "updated",
        SingleOutcome::Unchanged => "unchanged",
        SingleOutcome::Deleted => "deleted",
        SingleOutcome::Skipped { .. } => "skipped",
        SingleOutcome::Rejected { .. } => "rejected",
        SingleOutcome::NotInSource { .. } => "not in the source",
    }
}

fn proof_table(record: &SingleRecord) -> Markup {
    let after = if record.rolled_back {
        "read back before rolling back"
    } else {
        "read back"
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Columns" { table {
            thead { tr {
                th scope="col" { "column" } th scope="col" { "before" } th scope="col" { "sent" }
                th scope="col" { (after) } th scope="col" { "so" }
            } }
            tbody { @for column in &record.columns { tr {
                th scope="row" { (printable(&column.column)) }
                td.long { (cell(column.before.as_deref())) }
                td.long { (cell(column.sent.as_deref())) }
                td.long { (cell(column.after.as_deref())) }
                td { (proof(column)) }
            } } }
        } }
    }
}

fn proof(column: &ColumnProof) -> Markup {
    html! { @match (column.as_written, column.changed, column.kept) {
        (false, _, _) => span.bad { "✕ not as written" },
        (true, true, _) => span.good { "✓ changed" },
        (true, false, true) => "kept",
        (true, false, false) => "as it was",
    } }
}
