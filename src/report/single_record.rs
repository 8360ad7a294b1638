//! A single-record test as people read it.

use comfy_table::presets;

use crate::domain::printable::printable;
use crate::report::preview::cell;
use crate::report::table::{fitted, table};
use crate::run::single_record::{SingleOutcome, SingleRecord};

/// What became of the record, and its columns before, as sent, and as read back.
pub(crate) fn text(record: &SingleRecord) -> String {
    let ending = if record.rolled_back {
        ", rolled back"
    } else {
        ""
    };
    let outcome = printable(&outcome(&record.outcome));
    let mut text = format!(
        "{}  record {}  {outcome}{ending}\n",
        record.write_back,
        printable(&record.key)
    );
    if !record.columns.is_empty() {
        text += &format!("{}\n", columns(record));
    }
    if let Some(request) = &record.request {
        text += &format!("`writeback undo --request {request}` takes this back\n");
    }
    if let Some(alteration) = &record.alteration {
        text += &format!("{}\n", printable(&alteration.to_string()));
    }
    text
}

fn outcome(outcome: &SingleOutcome) -> String {
    match outcome {
        SingleOutcome::Inserted => "inserted".to_owned(),
        SingleOutcome::Updated => "updated".to_owned(),
        SingleOutcome::Unchanged => "unchanged".to_owned(),
        SingleOutcome::Deleted => "deleted".to_owned(),
        SingleOutcome::Skipped { reason } => format!("skipped: {reason}"),
        SingleOutcome::Rejected {
            stage,
            column: Some(column),
            reason,
        } => {
            format!("rejected at stage {stage}: column `{column}`: {reason}")
        }
        SingleOutcome::Rejected {
            stage,
            column: None,
            reason,
        } => format!("rejected at stage {stage}: {reason}"),
        SingleOutcome::NotInSource { read } => format!("not in the source among {read} records"),
    }
}

fn columns(record: &SingleRecord) -> String {
    let now = if record.rolled_back {
        "before rolling back"
    } else {
        "now"
    };
    let mut table = table(presets::UTF8_FULL_CONDENSED);
    table.set_header(["column", "before", "sent", now, ""]);
    for column in &record.columns {
        let mark = match (column.as_written, column.changed, column.kept) {
            (false, _, _) => "not as written",
            (true, true, _) => "changed",
            (true, false, true) => "kept",
            (true, false, false) => "",
        };
        table.add_row([
            &printable(&column.column),
            &cell(column.before.as_deref()),
            &cell(column.sent.as_deref()),
            &cell(column.after.as_deref()),
            mark,
        ]);
    }
    fitted(table, &[0, 1, 2, 3])
}
