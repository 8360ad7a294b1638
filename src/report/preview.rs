//! A preview as people read it: in a terminal, and as a page for a browser.

pub(crate) mod page;
mod plot;

use std::path::Path;

use comfy_table::{Cell, CellAlignment, presets};

use crate::domain::counted::{counted, in_batches};
use crate::domain::outcome::grouped;
use crate::domain::printable::printable;
use crate::report::run::{as_written, kept_counts};
use crate::report::table::{fitted, line, table};
use crate::report::{guards, parked};
use crate::run::approval::shell_word;
use crate::run::preview::calls::CallForecast;
use crate::run::preview::columns::ColumnPreview;
use crate::run::preview::numbers::{Spread, tidy};
use crate::run::preview::pairs::Pair;
use crate::run::preview::{
    Basis, ColumnChange, Expected, RejectionSample, Sample, Sharing, SkipSample, Statements,
    WriteBackPreview,
};

/// Longest value shown in a table's cell, in characters; the `--json` form is not cut.
const CELL_CHARACTERS_MAX: usize = 60;

/// Pairs shown of a column in a terminal, and how long a value of one may be, in characters.
const PAIRS_SHOWN_MAX: usize = 3;
const PAIR_CHARACTERS_MAX: usize = 20;

/// Where a preview stands beside the text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Files<'a> {
    /// As a page for a browser.
    pub(crate) page: Option<&'a Path>,
    /// As a plan that a run can apply.
    pub(crate) plan: Option<&'a Path>,
}

/// Counts, expectations, what happens to each column, a sample of old → new values, and a sample of
/// rejected records.
pub(crate) fn text(job: &str, previews: &[WriteBackPreview], files: Files<'_>) -> String {
    let mut sections: Vec<String> = previews
        .iter()
        .map(|preview| section(job, preview))
        .collect();
    let page = files
        .page
        .map(|file| format!("page: {}\n", printable(&file.display().to_string())))
        .unwrap_or_default();
    let plan = files.plan.map(|file| {
        let file = shell_word(&file.display().to_string());
        let command = printable(&format!("writeback run {job} --plan {file}"));
        format!("plan: `{command}` applies what is shown, and nothing else\n")
    });
    sections.push(format!(
        "{page}{}nothing was written\n",
        plan.unwrap_or_default()
    ));
    sections.join("\n")
}

fn section(job: &str, preview: &WriteBackPreview) -> String {
    let batches = in_batches(preview.batches);
    let mut text = format!("{job}  {}  {}  {batches}\n", preview.name, preview.tally);
    text += &format!(
        "time: {}\n{}\n",
        expectation(preview.expected),
        statements(preview.statements)
    );
    if let Some(written) = as_written(&preview.tally) {
        text += &format!("{written}\n");
    }
    if let Some(calls) = &preview.calls {
        text += &calls_lines(calls, "");
    }
    if let Some(sharing) = preview.sharing {
        text += &format!("{}\n", sharing_line(preview, sharing));
    }
    text += &columns(preview);
    if !preview.samples.is_empty() {
        text += &format!("{}\n", samples(&preview.samples));
    }
    if !preview.rejections.is_empty() {
        let all = usize::try_from(preview.tally.rejected).unwrap_or(usize::MAX);
        let shown = preview.rejections.len();
        let which = if shown < all {
            format!(", the first {shown}")
        } else {
            String::new()
        };
        text += &format!(
            "{}{which}:\n{}\n",
            counted(all, "rejected record"),
            rejections(&preview.rejections)
        );
    }
    text += &skips(preview);
    if preview.parked > 0 {
        let all = usize::try_from(preview.parked).unwrap_or(usize::MAX);
        let are_parked = preview.left_alone.iter().all(|record| record.parked);
        let what = if are_parked {
            "parked record"
        } else {
            "record that is left alone"
        };
        text += &format!("{}:\n", counted(all, what));
        text += &format!(
            "{}\n",
            parked::lines(&preview.left_alone, preview.parked).join("\n")
        );
    }
    if !preview.kept.is_empty() {
        text += &format!("{}\n", kept_counts(&preview.kept));
    }
    if !preview.guards.is_empty() {
        text += &format!(
            "guards would stop the run:\n{}\n",
            guards::lines(job, &preview.guards).join("\n")
        );
    }
    text
}

/// ``leads to 1 row of `User`, to which 312 rows refer``
fn sharing_line(preview: &WriteBackPreview, sharing: Sharing) -> String {
    let rows = usize::try_from(sharing.rows).unwrap_or(usize::MAX);
    let sharers = usize::try_from(sharing.sharers).unwrap_or(usize::MAX);
    let refer = if sharers == 1 { "refers" } else { "refer" };
    format!(
        "leads to {} of `{}`, to which {} {refer}",
        counted(rows, "row"),
        printable(&preview.table),
        counted(sharers, "row")
    )
}

/// `calls: 102 for its records (51 look-ups, 51 updates), about 2.5 minutes; 0.7 % of 15 000`, in
/// lines that fit, each behind an indent.
pub(crate) fn calls_lines(calls: &CallForecast, indent: &str) -> String {
    line(&calls_line(calls), indent)
}

fn calls_line(calls: &CallForecast) -> String {
    let kinds = match sent(calls.look_ups, calls.updates, calls.inserts) {
        kinds if kinds.is_empty() => kinds,
        kinds => format!(" ({kinds})"),
    };
    let quota = calls.quota.as_ref().map(|quota| {
        format!(
            "; {:.1} % of the {} calls of its quota, of which {} are used",
            quota.percent,
            grouped(quota.allowed),
            grouped(quota.used)
        )
    });
    format!(
        "calls: {} for its records{kinds}, about {:.1} minutes{}",
        grouped(calls.total),
        calls.minutes,
        quota.unwrap_or_default()
    )
}

/// How long the run is expected to take, and how that is known.
fn expectation(Expected { seconds, from }: Expected) -> String {
    let duration = match seconds {
        ..1.0 => "less than a second".to_owned(),
        ..90.0 => format!("{seconds:.0} s"),
        _ => format!("{:.1} minutes", seconds / 60.0),
    };
    match from {
        Basis::Runs { runs: 1 } => format!("about {duration}, by the pace of its last run"),
        Basis::Runs { runs } => format!("about {duration}, by the pace of its last {runs} runs"),
        Basis::Reading => {
            format!("no finished run to go by: reading took {duration}, and writing comes on top")
        }
    }
}

fn statements(
    Statements {
        look_ups,
        updates,
        inserts,
    }: Statements,
) -> String {
    match sent(look_ups, updates, inserts) {
        sent if sent.is_empty() => "no statements".to_owned(),
        sent => format!("statements: {sent}"),
    }
}

/// `2 look-ups, 1 update`: what there is none of is not told.
fn sent(look_ups: u64, updates: u64, inserts: u64) -> String {
    let counts = [
        (look_ups, "look-up"),
        (updates, "update"),
        (inserts, "insert"),
    ];
    let sent: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| match count {
            1 => format!("1 {noun}"),
            _ => format!("{} {noun}s", grouped(count)),
        })
        .collect();
    sent.join(", ")
}

/// A line for each column that changes or has numbers, and the names of the others.
fn columns(preview: &WriteBackPreview) -> String {
    let (told, others): (Vec<&ColumnPreview>, Vec<&ColumnPreview>) = preview
        .columns
        .iter()
        .partition(|column| column.changed > 0 || spread_after(column).is_some());
    let mut text = String::new();
    if !told.is_empty() {
        text += &format!("{}\n", columns_table(&told));
    }
    if !told.is_empty() && !others.is_empty() {
        let names: Vec<String> = others
            .iter()
            .map(|column| printable(&column.column))
            .collect();
        text += &format!("no row changes in {}\n", names.join(", "));
    }
    text
}

fn columns_table(columns: &[&ColumnPreview]) -> String {
    let mut table = table(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "column",
        "changed",
        "→ NULL",
        "NULL →",
        "min, median, max",
        "most frequent changes",
    ]);
    let right = |count: u64| Cell::new(grouped(count)).set_alignment(CellAlignment::Right);
    for column in columns {
        let pairs = column.pairs.most_frequent.iter().take(PAIRS_SHOWN_MAX);
        let pairs: Vec<String> = pairs
            .map(|pair| pair_line(pair, column.pairs.is_exact()))
            .collect();
        table.add_row([
            Cell::new(printable(&column.column)),
            right(column.changed),
            right(column.becomes_null),
            right(column.stops_being_null),
            Cell::new(spreads(column)),
            Cell::new(pairs.join("\n")),
        ]);
    }
    fitted(table, &[0, 5])
}

/// `low → high (1 204)`
fn pair_line(pair: &Pair, is_exact: bool) -> String {
    let [before, after] =
        [&pair.before, &pair.after].map(|value| shown(value.as_deref(), PAIR_CHARACTERS_MAX));
    format!("{before} → {after} ({})", pair_count(pair, is_exact))
}

fn pair_count(pair: &Pair, is_exact: bool) -> String {
    let at_least = if is_exact { "" } else { "at least " };
    format!("{at_least}{}", grouped(pair.records))
}

fn spread_before(column: &ColumnPreview) -> Option<&Spread> {
    column.numbers.as_ref()?.before.as_ref()
}

fn spread_after(column: &ColumnPreview) -> Option<&Spread> {
    column.numbers.as_ref()?.after.as_ref()
}

/// What the numbers are, and on a line of its own what they will be.
fn spreads(column: &ColumnPreview) -> String {
    let before = spread_before(column).map(spread);
    let after = spread_after(column).map(|after| format!("→ {}", spread(after)));
    before
        .into_iter()
        .chain(after)
        .collect::<Vec<_>>()
        .join("\n")
}

/// `2.5, about 57.1, 99`
fn spread(spread: &Spread) -> String {
    format!(
        "{}, {}, {}",
        number(spread.minimum),
        median(spread),
        number(spread.maximum)
    )
}

/// That of a sample to the three digits it is good for.
fn median(spread: &Spread) -> String {
    match spread.about {
        true => format!(
            "about {}",
            number(
                format!("{:.2e}", spread.median)
                    .parse()
                    .unwrap_or(spread.median)
            )
        ),
        false => number(spread.median),
    }
}

/// A number in as few digits as tell it, fifteen at most.
fn number(number: f64) -> String {
    match number.abs() {
        0.0 | 1e-4..1e15 => tidy(number).to_string(),
        _ => format!("{:e}", tidy(number)),
    }
}

fn samples(samples: &[Sample]) -> String {
    let mut table = table(presets::UTF8_FULL_CONDENSED);
    table.set_header(["record", "decision", "column", "old", "new"]);
    for sample in samples {
        for (
            index,
            ColumnChange {
                column,
                before,
                after,
            },
        ) in sample.changes.iter().enumerate()
        {
            let (key, decision) = if index == 0 {
                (printable(&sample.key), sample.decision)
            } else {
                Default::default()
            };
            let [before, after] = cells(before.as_deref(), after.as_deref());
            table.add_row([&key, decision, &printable(column), &before, &after]);
        }
    }
    fitted(table, &[0, 2, 3, 4])
}

/// `23 skipped records, the first 10:` and a line each of key and reason.
fn skips(preview: &WriteBackPreview) -> String {
    let all = preview.tally.skipped.saturating_sub(preview.parked);
    let all = usize::try_from(all).unwrap_or(usize::MAX);
    let shown = preview.skips.len();
    if shown == 0 {
        return String::new();
    }
    let which = if shown < all {
        format!(", the first {shown}")
    } else {
        String::new()
    };
    let line =
        |skip: &SkipSample| format!("  {}  {}\n", printable(&skip.key), printable(&skip.reason));
    let lines: String = preview.skips.iter().map(line).collect();
    format!("{}{which}:\n{lines}", counted(all, "skipped record"))
}

fn rejections(rejections: &[RejectionSample]) -> String {
    let mut table = table(presets::UTF8_FULL_CONDENSED);
    table.set_header(["record", "stage", "column", "reason"]);
    for rejection in rejections {
        let text = |text: Option<&str>| printable(text.unwrap_or_default());
        let (key, column) = (
            text(rejection.key.as_deref()),
            text(rejection.column.as_deref()),
        );
        table.add_row([
            &key,
            rejection.stage.name(),
            &column,
            &printable(&rejection.reason),
        ]);
    }
    fitted(table, &[0, 2, 3])
}

/// A value in a table's cell: on one line, cut where it is long, NULL told from text.
pub(crate) fn cell(value: Option<&str>) -> String {
    shown(value, CELL_CHARACTERS_MAX)
}

/// Two values that differ, as [`cell`] shows each: long ones of one beginning are cut so that the
/// place can be seen where they differ.
pub(crate) fn cells(before: Option<&str>, after: Option<&str>) -> [String; 2] {
    /// Characters that are shown before the first that differs.
    const SHARED_SHOWN: usize = 10;
    let (Some(left), Some(right)) = (before, after) else {
        return [cell(before), cell(after)];
    };
    let shared = left.chars().zip(right.chars());
    let shared = shared.take_while(|(left, right)| left == right).count();
    let is_hidden = shared + SHARED_SHOWN >= CELL_CHARACTERS_MAX;
    let skipped = shared.saturating_sub(SHARED_SHOWN);
    [left, right].map(|value| match is_hidden {
        true => {
            let rest: String = value.chars().skip(skipped).collect();
            shown(Some(&format!("…{rest}")), CELL_CHARACTERS_MAX)
        }
        false => cell(Some(value)),
    })
}

/// A text that would be taken for NULL, for nothing or for its own quotation stands in quotation
/// marks.
fn told_apart(value: &str) -> String {
    let is_quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
    match value {
        "" | "NULL" => format!("\"{value}\""),
        value if is_quoted => format!("\"{value}\""),
        value => value.to_owned(),
    }
}

fn shown(value: Option<&str>, characters_max: usize) -> String {
    let Some(value) = value else {
        return "NULL".to_owned();
    };
    let line = printable(&told_apart(value));
    match line.chars().count() > characters_max {
        true => line.chars().take(characters_max - 1).chain(['…']).collect(),
        false => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_told_from_texts_that_look_like_it() {
        assert_eq!(cell(Some("")), "\"\"");
        assert_eq!(cell(Some("NULL")), "\"NULL\"");
        assert_eq!(cell(Some("\"NULL\"")), "\"\"NULL\"\"");
        assert_eq!(cell(Some("null")), "null");
    }

    #[test]
    fn two_long_values_are_cut_where_they_differ() {
        let shared = "a".repeat(200);
        let [before, after] = cells(Some(&format!("{shared}b")), Some(&format!("{shared}c")));
        assert_eq!(before, format!("…{}b", "a".repeat(10)));
        assert_eq!(after, format!("…{}c", "a".repeat(10)));
        assert_eq!(cells(Some("ab"), Some("ac")), ["ab", "ac"]);
        assert_eq!(cells(None, Some("")), ["NULL", "\"\""]);
    }

    #[test]
    fn a_cell_is_one_line_that_fits() {
        assert_eq!(cell(None), "NULL");
        assert_eq!(
            cell(Some("O'Neil \"Ned\"\nAthens, Αθήνα")),
            "O'Neil \"Ned\"\\nAthens, Αθήνα"
        );
        assert_eq!(
            cell(Some(&"x".repeat(100))).chars().count(),
            CELL_CHARACTERS_MAX
        );
    }

    #[test]
    fn numbers_are_told_in_few_digits() {
        let texts = [0.0, 57.0, -0.15, 1_234.5, 0.1 + 0.2, 1e15, -2.5e-7].map(number);
        assert_eq!(
            texts,
            ["0", "57", "-0.15", "1234.5", "0.3", "1e15", "-2.5e-7"]
        );
    }

    #[test]
    fn a_median_of_a_sample_claims_no_more_digits_than_it_has() {
        let exactly = Spread {
            records: 3,
            minimum: 0.0,
            median: 1_234.56,
            maximum: 9.0,
            about: false,
        };
        assert_eq!(median(&exactly), "1234.56");
        assert_eq!(
            median(&Spread {
                about: true,
                ..exactly
            }),
            "about 1230"
        );
    }

    #[test]
    fn expectations_say_what_they_stand_on() {
        let of = |seconds, from| expectation(Expected { seconds, from });
        assert_eq!(
            of(0.2, Basis::Runs { runs: 1 }),
            "about less than a second, by the pace of its last run"
        );
        assert_eq!(
            of(12.4, Basis::Runs { runs: 5 }),
            "about 12 s, by the pace of its last 5 runs"
        );
        assert_eq!(
            of(150.0, Basis::Reading),
            "no finished run to go by: reading took 2.5 minutes, and writing comes on top"
        );
    }

    #[test]
    fn statements_that_are_not_sent_are_not_told_of() {
        let sent = Statements {
            look_ups: 2,
            updates: 1,
            inserts: 0,
        };
        assert_eq!(statements(sent), "statements: 2 look-ups, 1 update");
        assert_eq!(statements(Statements::default()), "no statements");
    }
}
