//! A preview as people read it.

use comfy_table::presets;

use crate::report::table::{fitted, table};
use crate::report::{guards, parked};
use crate::run::preview::{Change, RejectionSample, Sample, WriteBackPreview};
use crate::run::{counted, counted_batches};

/// Longest value shown in a table's cell, in characters; the `--json` form is not cut.
const CELL_CHARACTERS_MAX: usize = 60;

/// Counts, batches, a sample of old → new values, and a sample of rejected records.
pub(crate) fn text(job: &str, previews: &[WriteBackPreview]) -> String {
    let mut sections: Vec<String> = previews.iter().map(|preview| section(job, preview)).collect();
    sections.push("nothing was written\n".to_owned());
    sections.join("\n")
}

fn section(job: &str, preview: &WriteBackPreview) -> String {
    let batches = counted_batches(preview.batches);
    let mut text = format!("{job}  {}  {}  in {batches}\n", preview.name, preview.tally);
    if !preview.samples.is_empty() {
        text += &format!("{}\n", samples(&preview.samples));
    }
    if !preview.rejections.is_empty() {
        let all = usize::try_from(preview.tally.rejected).unwrap_or(usize::MAX);
        let shown = preview.rejections.len();
        let which = if shown < all { format!(", the first {shown}") } else { String::new() };
        text += &format!("{}{which}:\n{}\n", counted(all, "rejected record"), rejections(&preview.rejections));
    }
    if preview.parked > 0 {
        let all = usize::try_from(preview.parked).unwrap_or(usize::MAX);
        text += &format!("{}:\n", counted(all, "parked record"));
        text += &format!("{}\n", parked::lines(&preview.left_alone, preview.parked).join("\n"));
    }
    if !preview.guards.is_empty() {
        text += &format!("guards would stop the run:\n{}\n", guards::lines(job, &preview.guards).join("\n"));
    }
    text
}

fn samples(samples: &[Sample]) -> String {
    let mut table = table(presets::UTF8_FULL_CONDENSED);
    table.set_header(["record", "decision", "column", "old", "new"]);
    for sample in samples {
        for (index, Change { column, before, after }) in sample.changes.iter().enumerate() {
            let (key, decision) = if index == 0 { (sample.key.as_str(), sample.decision) } else { ("", "") };
            table.add_row([key, decision, column, &cell(before.as_deref()), &cell(after.as_deref())]);
        }
    }
    fitted(table, &[0, 2, 3, 4])
}

fn rejections(rejections: &[RejectionSample]) -> String {
    let mut table = table(presets::UTF8_FULL_CONDENSED);
    table.set_header(["record", "stage", "column", "reason"]);
    for rejection in rejections {
        let (key, column) = (rejection.key.as_deref().unwrap_or(""), rejection.column.as_deref().unwrap_or(""));
        table.add_row([key, rejection.stage.name(), column, &rejection.reason]);
    }
    fitted(table, &[0, 2, 3])
}

/// A value in a table's cell: on one line, cut where it is long, NULL told from text.
pub(crate) fn cell(value: Option<&str>) -> String {
    let Some(value) = value else { return "NULL".to_owned() };
    let line = value.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'");
    match line.chars().count() > CELL_CHARACTERS_MAX {
        true => line.chars().take(CELL_CHARACTERS_MAX - 1).chain(['…']).collect(),
        false => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_line_that_fits() {
        assert_eq!(cell(None), "NULL");
        assert_eq!(cell(Some("O'Neil \"Ned\"\nAthens, Αθήνα")), "O'Neil \"Ned\"\\nAthens, Αθήνα");
        assert_eq!(cell(Some(&"x".repeat(100))).chars().count(), CELL_CHARACTERS_MAX);
    }
}
