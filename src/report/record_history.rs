//! The history of one record as people read it: newest first, a line for each value that changed.

use comfy_table::presets;

use crate::domain::printable::printable;
use crate::report::clock::{self, heading, moment};
use crate::report::preview::cell;
use crate::report::table::{fitted, table};
use crate::run::history::{By, Entry, RecordHistory, RequestTold, RowFate};
use crate::run::journal::{RunAt, Unknown};
use crate::run::preview::ColumnChange;

/// A line saying whose history it is, the table, and how far back it reaches.
pub(crate) fn text(history: &RecordHistory) -> String {
    let RecordHistory {
        job,
        write_back,
        record,
        entries,
        since,
        unknown,
        // All of it is told here.
        next: _,
    } = history;
    let whose = format!(
        "{}  {}  record {}",
        printable(job),
        printable(write_back),
        printable(record)
    );
    let mut text = match entries.is_empty() {
        true => format!("{whose}  nothing is known to have been written\n"),
        false => format!("{whose}\n{}\n", entries_table(entries)),
    };
    text += &match since {
        Some(RunAt { run, started_at }) => {
            format!(
                "the journal reaches back to run {run}, {}\n",
                moment(*started_at)
            )
        }
        None => "the journal is empty\n".to_owned(),
    };
    text + &unknown.iter().map(unknown_line).collect::<String>()
}

/// Which run's writes are not known, and why.
pub(crate) fn unknown_line(
    Unknown {
        run: RunAt { run, started_at },
        why,
    }: &Unknown,
) -> String {
    format!(
        "what run {run}, {}, wrote is not known: {}\n",
        moment(*started_at),
        why.words()
    )
}

fn entries_table(entries: &[Entry]) -> String {
    let mut table = table(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        &*heading("run started"),
        "cycle",
        "by",
        "column",
        "old",
        "new",
    ]);
    for entry in entries {
        for (index, line) in lines(entry).into_iter().enumerate() {
            let [column, old, new] = line;
            let (when, cycle, by) = match (index, entry.by) {
                (0, By::Run(_)) => {
                    let request = entry.request.as_ref();
                    let at = request.map_or(entry.started_at, |request| request.asked_at);
                    (clock::cell(at), printable(&entry.cycle), by(entry))
                }
                (0, By::SomeoneElse) => (String::new(), String::new(), by(entry)),
                _ => (String::new(), String::new(), String::new()),
            };
            table.add_row([when, cycle, by, column, old, new]);
        }
    }
    fitted(table, &[1, 3, 4, 5])
}

fn by(entry: &Entry) -> String {
    match entry.by {
        By::Run(kind) => {
            let undone = entry
                .undone_by
                .map(|undo| format!(", undone by run {undo}"));
            let doubt = if entry.in_doubt { ", in doubt" } else { "" };
            let asked = entry.request.as_ref().map(asked).unwrap_or_default();
            format!(
                "{} {}{asked}{doubt}{}",
                kind.name(),
                entry.run,
                undone.unwrap_or_default()
            )
        }
        By::SomeoneElse => format!("someone else, before run {}", entry.run),
    }
}

/// Who asked for it, and where.
fn asked(request: &RequestTold) -> String {
    let RequestTold {
        caller,
        origin,
        actor,
        ..
    } = request;
    let parts = [actor.as_ref(), origin.as_ref(), Some(caller)];
    let parts: Vec<String> = parts
        .into_iter()
        .flatten()
        .map(|part| printable(part))
        .collect();
    format!(" ({})", parts.join(", "))
}

/// Column, old and new, of each change; one line for a row that came or went.
fn lines(entry: &Entry) -> Vec<[String; 3]> {
    let row = match entry.row {
        RowFate::Created => Some("the row was created"),
        RowFate::Removed => Some("the row was removed"),
        RowFate::Changed if entry.changes.is_empty() => Some("no value changed"),
        RowFate::Changed => None,
    };
    let row = row.map(|what| [String::new(), String::new(), what.to_owned()]);
    let change = |ColumnChange {
                      column,
                      before,
                      after,
                  }: &ColumnChange| {
        let before = match entry.row {
            RowFate::Created => String::new(),
            RowFate::Changed | RowFate::Removed => cell(before.as_deref()),
        };
        [printable(column), before, cell(after.as_deref())]
    };
    row.into_iter()
        .chain(entry.changes.iter().map(change))
        .collect()
}
