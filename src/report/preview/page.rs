//! A preview as one page for a browser: self-contained, without a script, light or dark as its
//! reader likes it, and fit for print. Every value in it is a record's, and may be hostile: `maud`
//! escapes them, and the page itself forbids whatever would load or run.

use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::plot::{self, Bar, Caption, Tone};
use super::{
    CELL_CHARACTERS_MAX, expectation, median, number, pair_count, shown, spread_after,
    spread_before, statements,
};
use crate::domain::counted::in_batches;
use crate::domain::outcome::{Tally, grouped};
use crate::domain::printable::printable;
use crate::domain::value::Kind;
use crate::report::clock;
use crate::run::preview::columns::ColumnPreview;
use crate::run::preview::numbers::{Histogram, Numbers, Spread};
use crate::run::preview::pairs::Pair;
use crate::run::preview::{RejectionSample, Sample, SkipSample, WriteBackPreview};

/// Longest value beside a bar, in characters: two of them and an arrow fit in the plot.
const LABEL_CHARACTERS_MAX: usize = 36;

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";
const STYLE: &str = include_str!("page.css");

/// The page of a job's previews, made at `at` of one cycle.
pub(crate) fn html(
    job: &str,
    cycle: &str,
    at: DateTime<Utc>,
    previews: &[WriteBackPreview],
) -> String {
    let title = format!("Preview of {}", printable(job));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p.muted {
                        "Cycle " (printable(cycle)) ", looked at "
                        time datetime=(at.to_rfc3339()) { (clock::minute(at)) }
                        ". Nothing was written."
                    }
                }
                main { (sections(job, previews)) }
            }
        }
    };
    page.into_string()
}

/// The previews alone, for a page that brings its own head and style.
pub(crate) fn sections(job: &str, previews: &[WriteBackPreview]) -> Markup {
    html! {
        @for (index, preview) in previews.iter().enumerate() {
            (section(&format!("write-back-{index}"), job, preview))
        }
    }
}

fn section(id: &str, job: &str, preview: &WriteBackPreview) -> Markup {
    html! {
        section aria-labelledby=(format!("{id}-heading")) {
            h2 id=(format!("{id}-heading")) { (printable(&preview.name)) }
            p.muted { "to " (printable(&preview.table)) " of " (printable(&preview.destination)) }
            @if !preview.guards.is_empty() {
                div.warning role="note" {
                    p { strong { "Guards would stop the run:" } }
                    ul { @for objection in &preview.guards { li { (printable(&objection.reason.to_string())) } } }
                    p { "To see more: " code { "writeback preview " (printable(job)) } }
                }
            }
            p { (preview.tally.to_string()) }
            p.muted {
                (capitalised(&in_batches(preview.batches))) "; " (statements(preview.statements)) ". Time: "
                (expectation(preview.expected)) "."
            }
            (outcomes(id, preview.tally))
            (columns(id, preview))
            (pairs(&preview.columns))
            (samples(&preview.samples))
            (rejections(&preview.rejections, preview.tally.rejected))
            (skips(&preview.skips, preview.tally.skipped.saturating_sub(preview.parked)))
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut signs = text.chars();
    let first = signs.next().map(|sign| sign.to_ascii_uppercase());
    first.into_iter().chain(signs).collect()
}

fn outcomes(id: &str, tally: Tally) -> Markup {
    let rows = [
        ("updated", tally.updated, Tone::After),
        ("inserted", tally.inserted, Tone::After),
        ("unchanged", tally.unchanged, Tone::Before),
        ("skipped", tally.skipped, Tone::Before),
        ("rejected", tally.rejected, Tone::Rejected),
    ];
    let bar = |(label, records, tone): (&str, u64, Tone)| Bar {
        label: label.to_owned(),
        records,
        count: grouped(records),
        tone,
    };
    let caption = Caption {
        id: format!("{id}-outcomes"),
        title: "What would become of the records".to_owned(),
        description: tally.to_string(),
    };
    figure(&caption, &plot::bars(&caption, &rows.map(bar)), &html! {})
}

fn figure(caption: &Caption, svg: &str, more: &Markup) -> Markup {
    html! {
        figure tabindex="0" {
            figcaption { (caption.title) }
            (PreEscaped(svg))
            (more)
        }
    }
}

/// What happens to each column: in numbers, then in plots.
fn columns(id: &str, preview: &WriteBackPreview) -> Markup {
    html! {
        @if preview.tally.updated + preview.tally.inserted > 0 {
            h3 { "Columns" }
            div.scroll tabindex="0" role="region" aria-label="Columns" { (columns_table(&preview.columns)) }
            @for (index, column) in preview.columns.iter().enumerate() {
                (column_plot(&format!("{id}-column-{index}"), column))
            }
        }
    }
}

fn columns_table(columns: &[ColumnPreview]) -> Markup {
    html! {
        table {
            caption { "In the records that would be written" }
            thead {
                tr {
                    th scope="col" rowspan="2" { "column" }
                    @for name in ["changes", "becomes NULL", "stops being NULL"] {
                        th.number scope="col" rowspan="2" { (name) }
                    }
                    th scope="colgroup" colspan="3" { "numbers before" }
                    th scope="colgroup" colspan="3" { "numbers after" }
                }
                tr {
                    @for _ in 0..2 { @for name in ["min", "median", "max"] { th.number scope="col" { (name) } } }
                }
            }
            tbody {
                @for column in columns {
                    tr {
                        th scope="row" { (printable(&column.column)) }
                        @for count in [column.changed, column.becomes_null, column.stops_being_null] {
                            td.number { (grouped(count)) }
                        }
                        (spread_cells(spread_before(column)))
                        (spread_cells(spread_after(column)))
                    }
                }
            }
        }
    }
}

fn spread_cells(spread: Option<&Spread>) -> Markup {
    let cells = match spread {
        Some(spread) => [
            number(spread.minimum),
            median(spread),
            number(spread.maximum),
        ],
        None => Default::default(),
    };
    html! { @for cell in cells { td.number { (cell) } } }
}

fn column_plot(id: &str, column: &ColumnPreview) -> Markup {
    match &column.numbers {
        Some(
            numbers @ Numbers {
                histogram: Some(histogram),
                ..
            },
        ) => distribution(id, &column.column, numbers, histogram),
        Some(_) => html! {},
        None => match column.kind {
            Kind::Text | Kind::Boolean if column.pairs.most_frequent.len() > 1 => {
                transitions(id, column)
            }
            Kind::Text
            | Kind::Boolean
            | Kind::Integer
            | Kind::Decimal
            | Kind::Float32
            | Kind::Float64
            | Kind::Date
            | Kind::Time
            | Kind::Timestamp
            | Kind::Instant
            | Kind::Uuid
            | Kind::Json => html! {},
        },
    }
}

fn distribution(id: &str, column: &str, numbers: &Numbers, histogram: &Histogram) -> Markup {
    let side = |name: &str, spread: Option<&Spread>| match spread {
        Some(spread) => format!(
            "{name}: {} records, minimum {}, median {}, maximum {}.",
            grouped(spread.records),
            number(spread.minimum),
            median(spread),
            number(spread.maximum)
        ),
        None => format!("{name}: no records."),
    };
    let caption = Caption {
        id: id.to_owned(),
        title: format!(
            "{}: how its numbers are spread, before and after",
            printable(column)
        ),
        description: [
            side("Before", numbers.before.as_ref()),
            side("After", numbers.after.as_ref()),
        ]
        .join(" "),
    };
    let more = html! {
        p.legend {
            span.before-key {} "before, filled"
            span.after-key {} "after, outlined"
            @if histogram.about { span.muted { "estimated from a sample" } }
        }
        details {
            summary { "As a table" }
            div.scroll tabindex="0" role="region" aria-label="Distribution" { (histogram_table(histogram)) }
        }
    };
    figure(&caption, &plot::histogram(&caption, histogram), &more)
}

fn histogram_table(histogram: &Histogram) -> Markup {
    let bars = histogram.edges.iter().zip(histogram.edges.iter().skip(1));
    html! {
        table {
            thead {
                tr { @for name in ["from", "to below", "records before", "records after"] { th.number scope="col" { (name) } } }
            }
            tbody {
                @for (((low, high), before), after) in bars.zip(&histogram.before).zip(&histogram.after) {
                    tr {
                        @for edge in [low, high] { td.number { (number(*edge)) } }
                        @for count in [before, after] { td.number { (grouped(*count)) } }
                    }
                }
            }
        }
    }
}

fn transitions(id: &str, column: &ColumnPreview) -> Markup {
    let is_exact = column.pairs.is_exact();
    let bar = |pair: &Pair| {
        let [before, after] =
            [&pair.before, &pair.after].map(|value| shown(value.as_deref(), LABEL_CHARACTERS_MAX));
        let label = format!("{before} → {after}");
        Bar {
            label,
            records: pair.records,
            count: pair_count(pair, is_exact),
            tone: Tone::After,
        }
    };
    let bars: Vec<Bar> = column.pairs.most_frequent.iter().map(bar).collect();
    let lines: Vec<String> = bars
        .iter()
        .map(|bar| format!("{}: {}", bar.label, bar.count))
        .collect();
    let caption = Caption {
        id: id.to_owned(),
        title: format!("{}: its most frequent changes", printable(&column.column)),
        description: lines.join("; "),
    };
    figure(&caption, &plot::bars(&caption, &bars), &html! {})
}

fn pairs(columns: &[ColumnPreview]) -> Markup {
    let told: Vec<&ColumnPreview> = columns
        .iter()
        .filter(|column| !column.pairs.most_frequent.is_empty())
        .collect();
    html! {
        @if !told.is_empty() {
            h3 { "Most frequent changes" }
            div.scroll tabindex="0" role="region" aria-label="Most frequent changes" {
                table {
                    thead {
                        tr {
                            @for name in ["column", "old", "new"] { th scope="col" { (name) } }
                            th.number scope="col" { "records" }
                        }
                    }
                    @for column in told {
                        tbody {
                            @for (index, pair) in column.pairs.most_frequent.iter().enumerate() {
                                tr {
                                    @if index == 0 {
                                        th scope="rowgroup" rowspan=(column.pairs.most_frequent.len()) {
                                            (printable(&column.column))
                                        }
                                    }
                                    (value_cell(pair.before.as_deref()))
                                    (value_cell(pair.after.as_deref()))
                                    td.number { (pair_count(pair, column.pairs.is_exact())) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn samples(samples: &[Sample]) -> Markup {
    html! {
        @if !samples.is_empty() {
            h3 { "The first records that would be written" }
            div.scroll tabindex="0" role="region" aria-label="First records" {
                table {
                    thead {
                        tr { @for name in ["record", "decision", "column", "old", "new"] { th scope="col" { (name) } } }
                    }
                    @for sample in samples {
                        tbody {
                            @for (index, change) in sample.changes.iter().enumerate() {
                                tr {
                                    @if index == 0 {
                                        th scope="rowgroup" rowspan=(sample.changes.len()) {
                                            (shown(Some(&sample.key), CELL_CHARACTERS_MAX))
                                        }
                                        td rowspan=(sample.changes.len()) { (sample.decision) }
                                    }
                                    td { (printable(&change.column)) }
                                    (value_cell(change.before.as_deref()))
                                    (value_cell(change.after.as_deref()))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn rejections(rejections: &[RejectionSample], rejected: u64) -> Markup {
    html! {
        @if !rejections.is_empty() {
            h3 { "Records that would be rejected" }
            div.scroll tabindex="0" role="region" aria-label="Rejected records" {
                table {
                    caption { "The first " (rejections.len()) " of " (grouped(rejected)) }
                    thead { tr { @for name in ["record", "stage", "column", "reason"] { th scope="col" { (name) } } } }
                    tbody {
                        @for RejectionSample { key, stage, column, reason } in rejections {
                            tr {
                                th scope="row" {
                                    @if let Some(key) = key { (shown(Some(key), CELL_CHARACTERS_MAX)) }
                                }
                                td { (stage.name()) }
                                td { @if let Some(column) = column { (printable(column)) } }
                                td.value { (printable(reason)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn skips(skips: &[SkipSample], skipped: u64) -> Markup {
    html! {
        @if !skips.is_empty() {
            h3 { "Records that would be skipped" }
            div.scroll {
                table {
                    caption { "The first " (skips.len()) " of " (grouped(skipped)) }
                    thead { tr { @for name in ["record", "reason"] { th scope="col" { (name) } } } }
                    tbody {
                        @for SkipSample { key, reason } in skips {
                            tr {
                                th scope="row" { (shown(Some(key), CELL_CHARACTERS_MAX)) }
                                td { (reason) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// NULL is told from a text that reads the same.
fn value_cell(value: Option<&str>) -> Markup {
    match value {
        Some(_) => html! { td.value { (shown(value, CELL_CHARACTERS_MAX)) } },
        None => html! { td.value { i.muted { "NULL" } } },
    }
}
