//! Drift as people read it: what was compared, then what is no longer as it was written.

use comfy_table::{Cell, CellAlignment, presets};

use crate::domain::counted::counted;
use crate::domain::outcome::grouped;
use crate::domain::printable::printable;
use crate::report::clock::moment;
use crate::report::preview::cells;
use crate::report::record_history::unknown_line;
use crate::report::table::{fitted, table};
use crate::run::journal::RunAt;
use crate::run::verify::{ColumnDrift, RowDrift, RowSample, ValueSample, Verification};

/// A section for each write-back.
pub(crate) fn text(job: &str, verifications: &[Verification]) -> String {
    verifications
        .iter()
        .map(|verification| section(job, verification))
        .collect::<Vec<_>>()
        .join("\n")
}

fn section(job: &str, verification: &Verification) -> String {
    let name = format!("{}  {}", printable(job), printable(&verification.name));
    let Some(RunAt { run, started_at }) = &verification.since else {
        return format!("{name}  nothing was written back yet\n");
    };
    let mut text = format!(
        "{name}  {}: {} of {}\ncompared with `{}` of `{}`, as written since run {run}, {}\n",
        if verification.drifted == 0 {
            "no drift"
        } else {
            "drift"
        },
        grouped(verification.drifted),
        records(verification.compared),
        printable(&verification.table),
        printable(&verification.destination),
        moment(*started_at),
    );
    text += &verification
        .unknown
        .iter()
        .map(unknown_line)
        .collect::<String>();
    if !verification.not_compared.is_empty() {
        let columns = printable(&verification.not_compared.join(", "));
        text += &format!("no longer there or of another type, so not compared: {columns}\n");
    }
    if verification.columns.iter().any(|column| column.drifted > 0) {
        text += &format!("{}\n", columns_table(&verification.columns));
    }
    text += &rows("row gone", &verification.gone);
    text + &rows("several rows of the key", &verification.doubled)
}

fn records(count: u64) -> String {
    format!(
        "{} {}",
        grouped(count),
        if count == 1 { "record" } else { "records" }
    )
}

fn columns_table(columns: &[ColumnDrift]) -> String {
    let mut table = table(presets::UTF8_FULL_CONDENSED);
    table.set_header(["column", "drifted", "record", "written", "now", "by run"]);
    for column in columns {
        for (
            index,
            ValueSample {
                record,
                written,
                now,
                run,
            },
        ) in column.samples.iter().enumerate()
        {
            let (name, drifted) = match index {
                0 => (printable(&column.column), grouped(column.drifted)),
                _ => (String::new(), String::new()),
            };
            let [written, now] = cells(written.as_deref(), now.as_deref());
            table.add_row([
                Cell::new(name),
                Cell::new(drifted).set_alignment(CellAlignment::Right),
                Cell::new(printable(record)),
                Cell::new(written),
                Cell::new(now),
                Cell::new(run).set_alignment(CellAlignment::Right),
            ]);
        }
        if column.samples.is_empty() && column.drifted > 0 {
            table.add_row([
                Cell::new(printable(&column.column)),
                Cell::new(grouped(column.drifted)),
            ]);
        }
    }
    fitted(table, &[0, 2, 3, 4])
}

/// `row gone: 2 records: A1 (run 3), A2 (run 3)`
fn rows(what: &str, drift: &RowDrift) -> String {
    if drift.records == 0 {
        return String::new();
    }
    let samples = drift
        .samples
        .iter()
        .map(|RowSample { record, run }| format!("{} (run {run})", printable(record)));
    let mut samples: Vec<String> = samples.collect();
    let rest = drift.records.saturating_sub(samples.len() as u64);
    if rest > 0 {
        samples.push(format!(
            "… and {} more",
            counted(usize::try_from(rest).unwrap_or(usize::MAX), "record")
        ));
    }
    format!(
        "{what}: {}: {}\n",
        records(drift.records),
        samples.join(", ")
    )
}
