//! What a job's runs did over time, drawn on the server: how fresh the data was that they brought,
//! in spans, and what became of records. What is drawn stands beside it in figures.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::clock::length;
use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::{parts, paths};
use crate::domain::cadence::Cadence;
use crate::domain::freshness::{Freshness, Way};
use crate::domain::outcome::{Tally, grouped};
use crate::ledger::RunEntry;

/// Runs whose outcomes are drawn.
pub(super) const RUNS_MAX: u32 = 40;
/// Runs whose freshness is drawn.
const FRESHNESS_MAX: usize = 20;
/// Cycles of a dashboard that are looked through for when each was noticed.
const CYCLES_MAX: u32 = 200;

/// Length of a bar that is as long as can be, in its own unit.
const WIDTH: u64 = 1_000;

/// Names of a freshness' spans, and their classes in the stylesheet.
const SPANS: [(&str, &str); 4] = [
    ("noticing", "span-noticing"),
    ("settling and gates", "span-waiting"),
    ("starting", "span-starting"),
    ("the run", "span-running"),
];

/// One run with its freshness.
pub(super) struct Fresh<'a> {
    pub(super) run: &'a RunEntry,
    pub(super) way: Way,
}

/// The freshness of a job's deliveries, newest first.
pub(super) async fn freshness<'a>(
    house: &House,
    cadence: Option<&Cadence>,
    runs: &'a [RunEntry],
) -> Result<Vec<Fresh<'a>>, Refusal> {
    let mut noticed: HashMap<String, DateTime<Utc>> = HashMap::new();
    if let Some(cadence) = cadence {
        let cycles = house
            .ledger
            .cycles_noticed(&cadence.dashboard, CYCLES_MAX)
            .await?;
        noticed.extend(cycles.into_iter().map(|one| (one.cycle.id, one.noticed_at)));
    }
    let allowed = |noticed_at: DateTime<Utc>| {
        let cadence = cadence?;
        let settled =
            noticed_at.checked_add_signed(chrono::TimeDelta::from_std(cadence.settle).ok()?)?;
        match cadence.gates.is_empty() {
            true => Some(settled),
            false => cadence.gates.first_from(settled),
        }
    };
    let deliveries = runs.iter().filter(|run| parts::is_delivery(run));
    let fresh = deliveries.filter_map(|run| {
        let noticed_at = noticed.get(&run.cycle).copied();
        let way = Way {
            completed_at: run.cycle_completed_at,
            noticed_at,
            allowed_at: noticed_at.and_then(allowed),
            begun_at: run.started_at,
            done_at: run.finished_at?,
        };
        Some(Fresh { run, way })
    });
    Ok(fresh.take(FRESHNESS_MAX).collect())
}

/// Freshness as bars of one scale, with its spans in figures.
pub(super) fn freshness_plot(frame: &Frame, fresh: &[Fresh<'_>]) -> Markup {
    let spans: Vec<Freshness> = fresh.iter().map(|one| Freshness::of(one.way)).collect();
    let longest = spans
        .iter()
        .map(|one| one.whole())
        .max()
        .unwrap_or_default();
    html! {
        h2 #freshness { "Freshness" }
        p.quiet { "From when the dashboard's data was complete to when it was in the destination." }
        (legend(&SPANS))
        div.scroll tabindex="0" role="region" aria-labelledby="freshness" { table {
            thead { tr {
                th scope="col" { "run" } th scope="col" { "cycle completed" } th scope="col" { "in spans" }
                @for (name, _) in SPANS { th.num scope="col" { (name) } }
                th.num scope="col" { "in all" }
            } }
            tbody { @for (one, spans) in fresh.iter().zip(&spans) { tr {
                th scope="row" { a href=(paths::run(one.run.run)) { (one.run.run) } }
                td { (frame.zone.time(one.run.cycle_completed_at)) }
                td { (bar(&spans.spans().map(|span| scaled(span, longest)))) }
                @for span in spans.spans() { td.num { (length(span.as_secs())) } }
                td.num { (length(spans.whole().as_secs())) }
            } } }
        } }
    }
}

/// A part of the longest, in units of a bar.
fn scaled(span: Duration, longest: Duration) -> u64 {
    let part = span.as_millis() * u128::from(WIDTH) / longest.as_millis().max(1);
    u64::try_from(part).unwrap_or(WIDTH)
}

/// One bar of spans that follow one another; what it shows stands in figures beside it.
fn bar(spans: &[u64; 4]) -> Markup {
    let starts = spans.iter().scan(0, |next, span| {
        let start = *next;
        *next += span;
        Some(start)
    });
    html! {
        svg.bar viewBox=(format!("0 0 {WIDTH} 40")) preserveAspectRatio="none" aria-hidden="true" {
            @for ((start, span), (_, class)) in starts.zip(spans).zip(SPANS) { @if *span > 0 {
                rect.(class) x=(start) y="4" width=(span) height="32" {}
            } }
        }
    }
}

fn legend(names: &[(&str, &str)]) -> Markup {
    html! { ul.legend { @for (name, class) in names {
        li { svg.key-mark viewBox="0 0 10 10" aria-hidden="true" { rect.(class) width="10" height="10" {} } " " (name) }
    } } }
}

/// What becomes of records, and the classes of that.
const OUTCOMES: [(&str, &str); 5] = [
    ("updated or deleted", "out-updated"),
    ("inserted", "out-inserted"),
    ("unchanged", "out-unchanged"),
    ("skipped", "out-skipped"),
    ("rejected", "out-rejected"),
];

fn outcomes_of(tally: &Tally) -> [u64; 5] {
    [
        tally.updated + tally.deleted,
        tally.inserted,
        tally.unchanged,
        tally.skipped,
        tally.rejected,
    ]
}

/// Height of the outcomes' columns, and the width of one, in their own unit.
const HEIGHT: u64 = 200;
const COLUMN: u64 = 20;
/// Columns that there is room for at least: one alone is not as wide as the page.
const COLUMNS_MIN: u64 = 16;

/// What became of the records of a job's last runs, oldest first, as columns of one scale.
pub(super) fn outcomes_plot(frame: &Frame, runs: &[RunEntry]) -> Markup {
    let over = runs.iter().filter(|run| run.finished_at.is_some());
    let mut told: Vec<(&RunEntry, Tally)> = over
        .map(|run| (run, parts::tally_of(run)))
        .filter(|(_, tally)| tally.accounted() > 0)
        .collect();
    told.reverse();
    let highest = told.iter().map(|(_, tally)| tally.accounted()).max();
    let (Some(highest), columns) = (highest, told.len() as u64) else {
        return html! {};
    };
    let words = format!(
        "The outcomes of the last {columns} runs, as columns; the highest stands for {} records.",
        grouped(highest)
    );
    html! {
        h2 #outcomes { "Outcomes" }
        (legend(&OUTCOMES))
        figure tabindex="0" {
            figcaption { "The last " (columns) " runs, oldest first; the highest column is " (grouped(highest)) " records" }
            svg.columns viewBox=(format!("0 0 {} {HEIGHT}", columns.max(COLUMNS_MIN) * COLUMN)) preserveAspectRatio="none" role="img" aria-label=(words) {
                @for ((_, tally), index) in told.iter().zip(0_u64..) { (column(tally, index, highest)) }
            }
        }
        details {
            summary { "As a table" }
            div.scroll tabindex="0" role="region" aria-labelledby="outcomes" { table {
                thead { tr {
                    th scope="col" { "run" } th scope="col" { "started" }
                    @for (name, _) in OUTCOMES { th.num scope="col" { (name) } }
                } }
                tbody { @for (run, tally) in told.iter().rev() { tr {
                    th scope="row" { a href=(paths::run(run.run)) { (run.run) } }
                    td { (frame.zone.time(run.started_at)) }
                    @for records in outcomes_of(tally) { td.num { (grouped(records)) } }
                } } }
            } }
        }
    }
}

/// One run's column; what is there at all can be seen.
fn column(tally: &Tally, index: u64, highest: u64) -> Markup {
    let heights = outcomes_of(tally).map(|records| {
        let height = u128::from(records) * u128::from(HEIGHT) / u128::from(highest.max(1));
        u64::try_from(height)
            .unwrap_or(HEIGHT)
            .max(u64::from(records > 0) * 2)
    });
    let tops = heights.iter().scan(HEIGHT, |next, height| {
        *next = next.saturating_sub(*height);
        Some(*next)
    });
    html! { @for ((top, height), (_, class)) in tops.zip(heights).zip(OUTCOMES) { @if height > 0 {
        rect.(class) x=(index * COLUMN + 2) y=(top) width=(COLUMN - 4) height=(height) {}
    } } }
}
