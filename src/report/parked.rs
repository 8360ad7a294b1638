//! Parked records as people read them: those of a job, and those that a run left alone.

use comfy_table::presets;
use serde_json::{Value, json};

use super::clock::{cell, heading};
use super::table::{fitted, table};
use crate::domain::outcome::grouped;
use crate::domain::parking::{LeftAlone, Parked};
use crate::domain::printable::printable;

/// Records named where a run ends; `outcomes.parquet` holds them all.
const LINES_MAX: usize = 10;

/// A job's parked records.
pub(crate) fn text(job: &str, parked: &[Parked]) -> String {
    if parked.is_empty() {
        return format!("{}  no record is parked\n", printable(job));
    }
    let mut table = table(presets::NOTHING);
    table.set_header([
        "write-back",
        "record",
        "until",
        "reason",
        &heading("parked"),
        "by",
    ]);
    for record in parked {
        table.add_row([
            printable(&record.write_back),
            printable(&record.key),
            record.until.to_string(),
            printable(&record.reason),
            cell(record.parked_at),
            record
                .parked_by
                .as_deref()
                .map(printable)
                .unwrap_or_default(),
        ]);
    }
    fitted(table, &[0, 1, 3, 5]) + "\n"
}

/// One line for each record that was left alone, the first of `all`.
pub(crate) fn lines(records: &[LeftAlone], all: u64) -> Vec<String> {
    let line = |record: &LeftAlone| {
        format!(
            "  {}  {}",
            printable(&record.key),
            printable(&record.reason)
        )
    };
    let mut lines: Vec<String> = records.iter().take(LINES_MAX).map(line).collect();
    let rest = all.saturating_sub(lines.len() as u64);
    if rest > 0 {
        let are_parked = records.iter().all(|record| record.parked);
        let what = if are_parked {
            "parked records"
        } else {
            "records"
        };
        lines.push(format!("  … and {} more {what}", grouped(rest)));
    }
    lines
}

/// One record that a run left alone, as machines read it.
pub(crate) fn json(write_back: &str, record: &LeftAlone) -> Value {
    json!({ "write_back": write_back, "record": record.record, "key": record.key, "reason": record.reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_records_are_named_by_the_first_of_them() {
        let record = |record| LeftAlone {
            record,
            key: format!("A{record}\u{7}"),
            reason: "parked until changed: why".to_owned(),
            parked: true,
            met: None,
        };
        let records: Vec<LeftAlone> = (0..12).map(record).collect();
        let told = lines(&records, 1_012);
        assert_eq!(
            told.first().map(String::as_str),
            Some("  A0\\u{7}  parked until changed: why")
        );
        assert_eq!(
            (told.len(), told.last().map(String::as_str)),
            (11, Some("  … and 1 002 more parked records"))
        );
        assert_eq!(lines(&[], 0), Vec::<String>::new());
    }
}
