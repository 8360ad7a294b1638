//! One job: why it runs now or does not, when it may next, what it did and what it writes.

use std::sync::Arc;

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::clock::length;
use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::{acts, files, parts, paths, plots, tending};
use crate::config::CheckedJob;
use crate::domain::access::Role;
use crate::domain::alert::StandingAlert;
use crate::domain::cadence::{Next, Wait};
use crate::domain::outcome::grouped;
use crate::domain::parking::Parked;
use crate::domain::pause::Pause;
use crate::ledger::{Pending, RunEntry};
use crate::report::{pending, schedule};
use crate::schedule::outlook::{self, Depth, Following};

/// Earlier runs on a job's page.
const RUNS_SHOWN_MAX: usize = 10;

/// A job with all that is known of it.
struct Seen {
    checked: CheckedJob,
    following: Option<Following>,
    pending: Vec<Pending>,
    runs: Vec<RunEntry>,
    parked: Vec<Parked>,
    alerts: Vec<StandingAlert>,
    pause: Option<Pause>,
    now: DateTime<Utc>,
}

async fn see(house: &House, job: &str) -> Result<Seen, Refusal> {
    let project = house.project()?;
    let checked = house.job(&project, job)?;
    let now = Utc::now();
    let (job, ledger) = (&checked.job, &house.ledger);
    let asked = (Depth::Past, outlook::OPENINGS_USUAL);
    let following = outlook::following(&project, job, ledger, asked, now).await?;
    Ok(Seen {
        pause: match &following {
            Some(following) => following.pause.clone(),
            None => ledger.pause_of(&job.name, now).await?,
        },
        following,
        pending: ledger.pending(&job.name).await?,
        runs: ledger.runs(Some(&job.name), plots::RUNS_MAX).await?,
        parked: ledger.parked(&job.name, now).await?,
        alerts: ledger.standing_alerts(Some(&job.name)).await?,
        checked,
        now,
    })
}

pub(super) async fn page(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
) -> Result<Markup, Refusal> {
    frame.caller.expect_job(&job)?;
    let seen = see(&house, &job).await?;
    let file = format!("schedules/{job}.toml");
    let key = acts::fresh_key()?;
    let cadence = seen.checked.job.cadence.as_ref();
    let fresh = plots::freshness(&house, cadence, &seen.runs).await?;
    let content = html! {
        div.line {
            @if frame.may(Role::Operator) {
                a.button href=(format!("{}/run", paths::job(&job))) { "Run now…" }
                (look_form(&job, "previews", "Preview", &key))
                (look_form(&job, "verifications", "Verify", &format!("{key}v")))
                (tending::pause_form(&job, seen.pause.as_ref()))
            }
            a href=(format!("/files/{}", paths::encoded_path(&file))) { (file) }
            a href=(paths::settings(&job)) { "Settings" }
        }
        @if let (Some((base, _)), Some(agency)) = (job.split_once('/'), &seen.checked.job.agency) {
            p { b { (agency) } ", an " a href=(format!("/agencies?q={}%2F", paths::encoded_value(base))) { "agency of " (base) } }
        }
        @if let Some(pause) = &seen.pause { (paused(&frame, pause)) }
        (why(&frame, &seen))
        (standing(&frame, &seen)?)
        @if let Some(following) = &seen.following { (instants(&frame, following)) }
        h2 #write-backs { "Write-backs" }
        (write_backs(&seen.checked))
        h2 #runs { "Last runs" }
        @if seen.runs.is_empty() { p.empty { "It never ran." } } @else {
            (parts::runs_table(&frame, "Last runs", seen.runs.get(..RUNS_SHOWN_MAX).unwrap_or(&seen.runs), false))
            p { a href=(format!("/runs?job={}", paths::encoded_value(&job))) { "All its runs" } }
        }
        @if !fresh.is_empty() { (plots::freshness_plot(&frame, &fresh)) }
        (plots::outcomes_plot(&frame, &seen.runs))
        (parked(&frame, &seen))
        (parts::same(&format!("writeback next {job}")))
    };
    Ok(frame.page(&job, content))
}

/// Until when nothing runs it, and why.
fn paused(frame: &Frame, pause: &Pause) -> Markup {
    html! { p.refused {
        span.chip.warn { "■ paused" }
        @if let Some(until) = pause.until { " until " (frame.zone.time(until)) }
        @if let Some(by) = &pause.paused_by { " by " (by) }
        ": " (pause.reason)
    } }
}

/// A button that begins a look at a job.
fn look_form(job: &str, what: &str, name: &str, key: &str) -> Markup {
    html! { form method="post" action=(format!("{}/{what}", paths::job(job))) {
        input type="hidden" name="key" value=(key);
        button { (name) }
    } }
}

/// Whether it would run now, and the step that it hangs on.
fn why(frame: &Frame, seen: &Seen) -> Markup {
    let why = schedule::why(seen.following.as_ref());
    let Some(following) = &seen.following else {
        return html! { p.lead { "Would not run by itself: " (parts::quoted(&why)) "." } };
    };
    let (runs, here) = match &following.next {
        Next::Run(_) => (true, STEPS.len()),
        Next::Wait(wait) => (false, step_of(wait, following.newest_cycle.is_some())),
    };
    html! {
        p.lead {
            @if runs { span.chip.good { "✓ would run now" } } @else { span.chip.warn { "would not run now" } }
            " " (parts::quoted(&why)) "."
        }
        ol.steps { @for (step, name) in STEPS.into_iter().enumerate() {
            @let state = step.cmp(&here);
            li.here[state.is_eq()] {
                span aria-hidden="true" { @if state.is_lt() { span.good { "✓" } } @else if state.is_eq() { span.bad { "✕" } } @else { "–" } }
                span { (name) @if state.is_eq() { b { " ← here" } } }
                span.quiet { (facts_of(frame, step, following)) }
            }
        } }
    }
}

/// What must hold before a job runs, in the order in which it is asked.
const STEPS: [&str; 5] = [
    "its dashboard finished a cycle",
    "which is not written back yet",
    "and has settled",
    "and a gate is open",
    "and it is not paused, and no run of it waits or works",
];

/// The step that a wait is about.
fn step_of(wait: &Wait, knows_cycle: bool) -> usize {
    match wait {
        Wait::Cycle => usize::from(knows_cycle),
        Wait::MoreCycles { .. } => 0,
        Wait::CycleAfterFailure { .. } => 1,
        Wait::Settle { .. } => 2,
        Wait::Gate { .. } | Wait::Nothing { .. } => 3,
        Wait::Retry { .. } | Wait::Approval { .. } | Wait::Run | Wait::Paused(_) => 4,
    }
}

fn facts_of(frame: &Frame, step: usize, following: &Following) -> Markup {
    let cadence = &following.cadence;
    match step {
        0 => match &following.newest_cycle {
            Some(noticed) => html! {
                a href=(paths::dashboard(&cadence.dashboard)) { (cadence.dashboard) } ": "
                (parts::cut(&noticed.cycle.id)) ", " (frame.zone.time(noticed.cycle.completed_at))
            },
            None => {
                html! { a href=(paths::dashboard(&cadence.dashboard)) { (cadence.dashboard) } ": no cycle noticed yet" }
            }
        },
        2 => {
            html! { @if cadence.settle.is_zero() { "at once" } @else { (length(cadence.settle.as_secs())) " after it is noticed" } }
        }
        3 => match following.openings.first() {
            _ if cadence.gates.is_empty() => html! { "it has none" },
            Some(opening) => html! { "opens " (schedule::opening_text(opening)) },
            None => html! { "none opens any more" },
        },
        4 => match &following.next {
            Next::Wait(Wait::Retry { until, .. }) => {
                html! { "next attempt " (frame.zone.time(*until)) }
            }
            Next::Wait(_) | Next::Run(_) => html! {},
        },
        _ => html! {},
    }
}

/// Alerts that are not over, and records that are pending.
fn standing(frame: &Frame, seen: &Seen) -> Result<Markup, Refusal> {
    let pending = &seen.pending;
    let keyed = pending.iter().any(|one| one.records > one.without_key);
    let retry = match frame.may(Role::Operator) && keyed {
        true => Some(tending::retry_form(
            &seen.checked.job.name,
            pending::count(pending),
        )?),
        false => None,
    };
    Ok(html! {
        @if !seen.alerts.is_empty() || pending::count(pending) > 0 {
            h2 #waiting { "What waits for a person" }
            @if let Some(retry) = retry { div.line { (retry) } }
            ul.waiting aria-labelledby="waiting" {
                @for one in pending {
                    li.warn { div.what { p { span.chip.warn { "! rejected" } " " (one.write_back) ": " (grouped(one.records)) " pending since run " (one.run)
                        @if one.without_key > 0 { ", " (grouped(one.without_key)) " without a key" } } }
                        div.do { a.button href=(paths::rejected(one.run, &one.write_back)) { "See them" } } }
                }
                @for alert in &seen.alerts {
                    li.warn { div.what {
                        p { span.chip.warn { "! " (alert.kind.name().replace('_', " ")) } " " (frame.zone.time_and_age(alert.since, seen.now)) }
                        p { (parts::quoted(&alert.message)) }
                    } }
                }
            }
        }
    })
}

/// When it may run, and when it could have and did not.
fn instants(frame: &Frame, following: &Following) -> Markup {
    html! {
        h2 { "Next instants" }
        @if following.openings.is_empty() {
            p.quiet { "Only the dashboard knows: it runs after each cycle." }
        } @else {
            ul { @for opening in &following.openings { li { (schedule::opening_text(opening)) } } }
        }
        @if !following.passed_over.is_empty() || !following.cycles_passed_over.is_empty() || !following.gates_for_nothing.is_empty() {
            h2 { "Passed over" }
            ul {
                @for passed in &following.passed_over {
                    li { "cycle " (parts::cut(&passed.cycle)) ": " (parts::quoted(&passed.why.to_string())) }
                }
                @for entry in &following.cycles_passed_over {
                    li { "cycle " (parts::cut(&entry.passed.cycle)) ": " (parts::quoted(&entry.passed.why.to_string())) ", "
                        (frame.zone.time(entry.decided_at))
                        @if let Some(error) = &entry.error { ": " (parts::cut(error)) } }
                }
                @for gate in &following.gates_for_nothing {
                    li { "gate of " (frame.zone.time(gate.opened_at)) " opened for nothing: " (parts::quoted(&gate.reason)) }
                }
            }
        }
    }
}

fn write_backs(checked: &CheckedJob) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="write-backs" { table {
            thead { tr {
                th scope="col" { "write-back" } th scope="col" { "from" } th scope="col" { "to" }
                th scope="col" { "matching" } th.num scope="col" { "fields" } th.num scope="col" { "batch size" }
                th scope="col" { "line" }
            } }
            tbody { @for one in &checked.job.write_backs { tr {
                th scope="row" { a href=(paths::write_back(&checked.job.name, &one.name)) { (one.name) } }
                td { (one.schema.file) " of " (one.source) }
                td { (one.told_object()) " of " (one.destination) }
                td { (one.mode.name().replace('_', " ")) }
                td.num { (one.fields.len()) }
                td.num { (grouped(one.batch_records_max.get() as u64)) }
                td { a href=(files::address(&one.location.file, one.location.line)) { (one.location.line) } }
            } } }
        } }
    }
}

fn parked(frame: &Frame, seen: &Seen) -> Markup {
    html! {
        @if !seen.parked.is_empty() {
            h2 #parked { "Parked records" }
            div.scroll tabindex="0" role="region" aria-labelledby="parked" { table {
                thead { tr {
                    th scope="col" { "key" } th scope="col" { "write-back" } th scope="col" { "until" }
                    th scope="col" { "why" } th scope="col" { "who" } th scope="col" { "since" }
                } }
                tbody { @for one in &seen.parked { tr {
                    th.key scope="row" { a href=(paths::record(&seen.checked.job.name, &one.write_back, &one.key)) { (parts::cut(&one.key)) } }
                    td { (one.write_back) } td { (parts::until(frame, one.until)) } td.long { (one.reason) }
                    td { (one.parked_by.as_deref().unwrap_or("nobody known")) }
                    td { (frame.zone.time(one.parked_at)) }
                } } }
            } }
        }
    }
}
