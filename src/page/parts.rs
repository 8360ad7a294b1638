//! Parts that several pages show: how a run ended, its sum, what it was, tables of runs.

use chrono::{DateTime, Utc};
use maud::{Markup, PreEscaped, html};

use super::clock::length;
use super::frame::Frame;
use super::paths;
use crate::domain::outcome::{Tally, grouped};
use crate::domain::parking::Until;
use crate::domain::printable::printable;
use crate::ledger::{RunEntry, RunStatus};

/// Characters of a foreign text that a table shows; the whole of it stands where it is told.
const CHARACTERS_SHOWN_MAX: usize = 200;

/// How a run ended, in a word that a mark and a colour repeat.
pub(super) fn status(status: RunStatus) -> Markup {
    let (class, mark) = match status {
        RunStatus::Running => ("", "▶"),
        RunStatus::Succeeded => ("good", "✓"),
        RunStatus::Rejected => ("warn", "!"),
        RunStatus::Failed => ("bad", "✕"),
        RunStatus::Guarded => ("warn", "■"),
        RunStatus::NothingNew => ("", "–"),
    };
    html! { span.chip.(class) { (mark) " " (status_words(status)) } }
}

pub(super) fn status_words(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Running => "at work",
        RunStatus::Succeeded => "succeeded",
        RunStatus::Rejected => "with rejected records",
        RunStatus::Failed => "failed",
        RunStatus::Guarded => "stopped by a guard",
        RunStatus::NothingNew => "nothing new",
    }
}

/// All that a run's write-backs did.
pub(super) fn tally_of(run: &RunEntry) -> Tally {
    let mut sum = Tally::default();
    for write_back in &run.write_backs {
        sum += write_back.tally;
    }
    sum
}

/// The sum, term by term: what was read is what became of it. Of a run that was stopped, or is at
/// work, the rest has no outcome yet, and is told so.
pub(super) fn sum(tally: &Tally) -> Markup {
    let terms = [
        (tally.inserted, "inserted", ""),
        (tally.updated, "updated", ""),
        (tally.unchanged, "unchanged", ""),
        (tally.deleted, "deleted", ""),
        (tally.skipped, "skipped", ""),
        (tally.rejected, "rejected", "bad"),
        (
            tally.read.saturating_sub(tally.accounted()),
            "not written",
            "warn",
        ),
    ];
    let told: Vec<_> = terms
        .into_iter()
        .filter(|(records, ..)| *records > 0)
        .collect();
    let words: Vec<String> = told
        .iter()
        .map(|(records, word, _)| format!("{} {word}", grouped(*records)))
        .collect();
    let label = format!("{} read = {}", grouped(tally.read), words.join(" + "));
    html! {
        ul.sum aria-label=(label) {
            li { b { (grouped(tally.read)) } "read" }
            @for (index, (records, word, class)) in told.into_iter().enumerate() {
                li.op aria-hidden="true" { @if index == 0 { "=" } @else { "+" } }
                li { b.(class) { (grouped(records)) } (word) }
            }
        }
    }
}

/// Whether a run delivered a cycle, and not a plan, an undo or a retry.
pub(super) fn is_delivery(run: &RunEntry) -> bool {
    let delivered = matches!(run.status, RunStatus::Succeeded | RunStatus::Rejected);
    delivered && run.undo_of.is_none() && run.retry_of.is_none()
}

/// Whether a run is over and wrote something.
pub(super) fn can_be_undone(run: &RunEntry) -> bool {
    let tally = tally_of(run);
    let wrote = tally.inserted + tally.updated + tally.deleted > 0;
    match run.status {
        RunStatus::Succeeded | RunStatus::Rejected | RunStatus::Failed => wrote,
        RunStatus::Running | RunStatus::Guarded | RunStatus::NothingNew => false,
    }
}

/// How many of a run's records it changed, in percent; nothing, if it read none.
pub(super) fn changed_share(tally: &Tally) -> Option<f64> {
    let changed = u32::try_from(tally.inserted + tally.updated + tally.deleted).ok()?;
    let read = u32::try_from(tally.read).ok().filter(|read| *read > 0)?;
    Some(f64::from(changed) / f64::from(read) * 100.0)
}

/// What a run was besides a delivery of its cycle.
pub(super) fn kind(run: &RunEntry) -> Option<Markup> {
    let of =
        |what: &str, run: i64| html! { (what) " of " a href=(paths::run(run)) { "run " (run) } };
    match (run.retry_of, run.undo_of, &run.plan) {
        (Some(run), ..) => Some(of("retry", run)),
        (_, Some(run), _) => Some(of("undo", run)),
        (.., Some(_)) => Some(html! { "of a plan" }),
        (None, None, None) => None,
    }
}

/// From begin to end; nothing while a run goes on.
pub(super) fn took(run: &RunEntry) -> Option<String> {
    let finished_at = run.finished_at?;
    let seconds = (finished_at - run.started_at).as_seconds_f64();
    Some(if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else {
        length((finished_at - run.started_at).num_seconds().unsigned_abs())
    })
}

/// Runs, one a row, as they come.
pub(super) fn runs_table(
    frame: &Frame,
    caption: &str,
    runs: &[RunEntry],
    with_job: bool,
) -> Markup {
    let now = Utc::now();
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) { table {
            thead { tr {
                th scope="col" { "run" }
                @if with_job { th scope="col" { "job" } }
                th scope="col" { "ended" } th scope="col" { "cycle" } th scope="col" { "started" }
                th.num scope="col" { "took" } th.num scope="col" { "read" } th.num scope="col" { "written" }
                th.num scope="col" { "rejected" }
            } }
            tbody { @for run in runs { (run_row(frame, run, with_job, now)) } }
        } }
    }
}

fn run_row(frame: &Frame, run: &RunEntry, with_job: bool, now: DateTime<Utc>) -> Markup {
    let tally = tally_of(run);
    let written = tally.inserted + tally.updated + tally.deleted;
    html! { tr {
        th scope="row" { a href=(paths::run(run.run)) { (run.run) } }
        @if with_job { td { a href=(paths::job(&run.job)) { (run.job) } } }
        td { (status(run.status)) @if let Some(kind) = kind(run) { " " span.quiet { (kind) } } }
        td { (cut(&run.cycle)) }
        td { (frame.zone.time_and_age(run.started_at, now)) }
        td.num { (took(run).unwrap_or_default()) }
        td.num { (grouped(tally.read)) }
        td.num { (grouped(written)) }
        td.num { (rejected_count(run, &tally)) }
    } }
}

fn rejected_count(run: &RunEntry, tally: &Tally) -> Markup {
    let write_back = run
        .write_backs
        .iter()
        .find(|write_back| write_back.tally.rejected > 0);
    html! {
        @match write_back {
            Some(write_back) => a.bad href=(paths::rejected(run.run, &write_back.name)) { (grouped(tally.rejected)) },
            None => "0",
        }
    }
}

/// A foreign text, cut where it is long. Characters that would turn or hide others are shown by
/// their codes.
pub(super) fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(CHARACTERS_SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    printable(&shown)
}

/// Until when a record is left alone.
pub(super) fn until(frame: &Frame, until: Until) -> Markup {
    html! { @match until {
        Until::Instant(instant) => (frame.zone.time(instant)),
        Until::Changed => "its values change",
    } }
}

/// The command that does, or shows, the same.
pub(super) fn same(command: &str) -> Markup {
    html! { p.same { "The same: " code { (command) } } }
}

/// A text between backquotes is code.
pub(super) fn quoted(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return html! { (text) };
    }
    let mut markup = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        let part = if index % 2 == 0 {
            html! { (part) }
        } else {
            html! { code { (part) } }
        };
        markup.push_str(&part.into_string());
    }
    PreEscaped(markup)
}
