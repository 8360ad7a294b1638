//! What waits for a person, first; then every job, and why it runs now or does not.

use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::clock::length;
use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::{acts, looks, parts, paths, problems};
use crate::config::{CheckedJob, Project};
use crate::domain::access::{Right, Role};
use crate::domain::alert::StandingAlert;
use crate::domain::counted::counted;
use crate::domain::job::Job;
use crate::domain::outcome::{Stage, grouped};
use crate::domain::problem::Severity;
use crate::ledger::cycles::Server;
use crate::ledger::{Pending, RejectionGroup, RunEntry, RunStatus};
use crate::report::{pending, schedule};
use crate::schedule::outlook::{self, Depth, Outlook};

/// Reasons shown of a write-back's rejected records.
const REASONS_SHOWN_MAX: u32 = 3;

/// Everything that the overview is made of.
struct Overview {
    outlooks: Vec<Outlook>,
    server: Option<Server>,
    alerts: Vec<StandingAlert>,
    drifts: Vec<Drift>,
    reasons: Vec<(String, Vec<RejectionGroup>)>,
    mistakes: usize,
    /// Whether a destination's own words may be shown.
    values: bool,
    now: DateTime<Utc>,
}

/// Asks what `status` asks of every job that somebody may see; one whose file holds mistakes is a
/// problem, and told as one. However many there are, it takes as many statements as one.
pub(super) async fn outlooks(
    house: &House,
    frame: &Frame,
    project: &Project,
    jobs: &[CheckedJob],
    (depth, now): (Depth, DateTime<Utc>),
) -> Result<(Vec<Outlook>, Option<Server>), Refusal> {
    let jobs = jobs.iter().map(|checked| &checked.job);
    let jobs: Vec<&Job> = jobs.filter(|job| frame.caller.may_see(&job.name)).collect();
    let asked = (depth, outlook::OPENINGS_USUAL);
    Ok(outlook::outlooks(project, &jobs, &house.ledger, asked, now).await?)
}

/// Asks what waits, and what stands beside it.
async fn overview(house: &House, frame: &Frame) -> Result<Overview, Refusal> {
    let project = house.project()?;
    let now = Utc::now();
    let found = tokio::task::block_in_place(|| problems::find_of(&project));
    let asked = (Depth::Next, now);
    let (outlooks, server) = outlooks(house, frame, &project, &found.jobs, asked).await?;
    let is_mistake =
        |problem: &&crate::domain::problem::Problem| problem.severity == Severity::Mistake;
    let mut alerts = house.ledger.standing_alerts(None).await?;
    alerts.retain(|alert| frame.caller.may_see(&alert.job));
    Ok(Overview {
        drifts: drifts(house, &project, &outlooks).await?,
        reasons: reasons(house, &outlooks).await?,
        server,
        mistakes: found.problems.iter().filter(is_mistake).count(),
        values: house.shows_values_to(frame.caller.role),
        outlooks,
        alerts,
        now,
    })
}

/// What the latest look found that is no longer as it was written.
struct Drift {
    job: String,
    look: i64,
    looked_at: DateTime<Utc>,
    drifted: u64,
    compared: u64,
}

/// Drift of each job whose last verification found some, and that has not run since.
async fn drifts(
    house: &House,
    project: &Project,
    outlooks: &[Outlook],
) -> Result<Vec<Drift>, Refusal> {
    let mut drifts = Vec::new();
    for look in house.ledger.latest_verifications().await? {
        let Some(outlook) = outlooks.iter().find(|outlook| outlook.job == look.job) else {
            continue;
        };
        let ran_at = outlook.last_run.as_ref().map(|run| run.started_at);
        let looked_at = look.ended_at.unwrap_or(look.asked_at);
        let Ok(told) = looks::json_of(project, look.request) else {
            continue;
        };
        let sum = |name: &str| -> u64 {
            let write_backs = told
                .get("write_backs")
                .and_then(serde_json::Value::as_array);
            let counts = write_backs.into_iter().flatten();
            counts.filter_map(|one| one.get(name)?.as_u64()).sum()
        };
        if sum("drifted") > 0 && ran_at.is_none_or(|ran_at| ran_at < looked_at) {
            drifts.push(Drift {
                job: outlook.job.clone(),
                look: look.request,
                looked_at,
                drifted: sum("drifted"),
                compared: sum("compared"),
            });
        }
    }
    Ok(drifts)
}

/// The write-back of a job of which most records are pending, if any are.
fn most_pending(outlook: &Outlook) -> Option<&Pending> {
    outlook.pending.iter().max_by_key(|one| one.records)
}

/// Why records are pending, of each job that has some.
async fn reasons(
    house: &House,
    outlooks: &[Outlook],
) -> Result<Vec<(String, Vec<RejectionGroup>)>, Refusal> {
    let most: Vec<(&str, &Pending)> = outlooks
        .iter()
        .filter_map(|outlook| Some((outlook.job.as_str(), most_pending(outlook)?)))
        .collect();
    if most.is_empty() {
        return Ok(Vec::new());
    }
    let asked: Vec<(i64, &str)> = most
        .iter()
        .map(|(_, one)| (one.run, one.write_back.as_str()))
        .collect();
    let found = house.ledger.rejection_groups_of(&asked, REASONS_SHOWN_MAX);
    let mut all = Vec::new();
    for ((run, name), groups) in found.await? {
        let of = most
            .iter()
            .find(|(_, one)| one.run == run && one.write_back == name);
        all.extend(of.map(|(job, _)| ((*job).to_owned(), groups)));
    }
    Ok(all)
}

pub(super) async fn page(State(house): State<Arc<House>>, frame: Frame) -> Result<Markup, Refusal> {
    let overview = overview(&house, &frame).await?;
    let waiting: Vec<Markup> = waiting(&frame, &overview);
    let running: Vec<&RunEntry> = overview
        .outlooks
        .iter()
        .filter_map(|outlook| outlook.last_run.as_ref())
        .filter(|run| run.status == RunStatus::Running)
        .collect();
    let content = html! {
        h2 #waiting { "What waits for a person" }
        @if waiting.is_empty() {
            p.empty { span.good { "✓" } " Nothing waits." }
        } @else {
            ul.waiting aria-labelledby="waiting" { @for item in waiting { (item) } }
        }
        @if !running.is_empty() {
            h2 { "At work now" }
            ul.waiting { @for run in running { li {
                div.what { p {
                    a href=(paths::job(&run.job)) { (run.job) } " · "
                    a href=(paths::run(run.run)) { "run " (run.run) } " · cycle " (parts::cut(&run.cycle))
                    " · " (frame.zone.time_and_age(run.started_at, overview.now))
                } (at_work(run)) }
                div.do { @if frame.may(Role::Operator) { a.button href=(format!("{}/stop", paths::run(run.run))) { "Stop…" } } }
            } } }
        }
        h2 #jobs { "Jobs" }
        (serving(&frame, &overview))
        @if overview.outlooks.iter().any(|outlook| outlook.job.contains('/')) {
            p { a href="/agencies" { "Agencies" } ": what each has switched on, and its settings" }
        }
        (jobs_table(&frame, &overview))
        (parts::same("writeback status"))
    };
    Ok(frame.page("Overview", content))
}

/// How far a run has come, as of now: its own page shows it as it goes on.
fn at_work(run: &RunEntry) -> Markup {
    let tally = parts::tally_of(run);
    html! {
        progress max=(tally.read.max(1)) value=(tally.accounted()) aria-label=(format!("Run {}", run.run)) {}
        p.quiet { (acts::progress_words(run)) }
    }
}

/// Each thing that nothing but a person settles.
fn waiting(frame: &Frame, overview: &Overview) -> Vec<Markup> {
    let mut items = Vec::new();
    // Whose one job is does not see the files.
    if overview.mistakes > 0 && frame.caller.job.is_none() {
        items.push(html! { li.bad {
            div.what { p { span.chip.bad { "✕ files" } " " (counted(overview.mistakes, "mistake"))
                " in the project's files: the jobs run as they were before" } }
            div.do { a.button href="/problems" { "See them" } }
        } });
    }
    for outlook in &overview.outlooks {
        items.extend(
            outlook
                .last_run
                .as_ref()
                .and_then(|run| stopped(frame, run, overview)),
        );
        items.extend(rejected(outlook, overview));
    }
    items.extend(
        overview
            .drifts
            .iter()
            .map(|drift| drifted(frame, drift, overview.now)),
    );
    items.extend(
        overview
            .alerts
            .iter()
            .filter(|alert| !told_elsewhere(alert))
            .map(|alert| alerted(frame, alert, overview.now)),
    );
    items
}

/// Whether another line tells the same.
fn told_elsewhere(alert: &StandingAlert) -> bool {
    use crate::domain::alert::AlertKind;
    match alert.kind {
        AlertKind::Guarded | AlertKind::Failing | AlertKind::GivenUp | AlertKind::BrokenFile => {
            true
        }
        AlertKind::Expired
        | AlertKind::Silent
        | AlertKind::Rejected
        | AlertKind::Skipped
        | AlertKind::ReadCount => false,
    }
}

/// A job's last run, if a guard stopped it or it could not finish.
fn stopped(frame: &Frame, run: &RunEntry, overview: &Overview) -> Option<Markup> {
    let (class, mark, word, why) = match run.status {
        RunStatus::Guarded => {
            let why: Vec<String> = run.guards.iter().map(ToString::to_string).collect();
            ("warn", "■", "stopped by a guard", why.join("; "))
        }
        RunStatus::Failed => {
            let why = run.error.clone().filter(|_| overview.values);
            ("bad", "✕", "failed", why.unwrap_or_default())
        }
        RunStatus::Running | RunStatus::Succeeded | RunStatus::Rejected | RunStatus::NothingNew => {
            return None;
        }
    };
    let since = run.finished_at.unwrap_or(run.started_at);
    Some(html! { li.(class) {
        div.what {
            p { span.chip.(class) { (mark) " " (word) } " "
                a href=(paths::job(&run.job)) { (run.job) } " · "
                a href=(paths::run(run.run)) { "run " (run.run) } " · " (frame.zone.time_and_age(since, overview.now)) }
            p { (parts::quoted(&parts::cut(&why))) }
        }
        div.do { @if run.status == RunStatus::Guarded && frame.caller.holds(Right::Approve) {
            a.button href=(format!("/runs/{}/approve", run.run)) { "Look and decide" }
        } @else {
            a.button href=(paths::run(run.run)) { @if run.status == RunStatus::Guarded { "Look" } @else { "Why" } }
        } }
    } })
}

fn rejected(outlook: &Outlook, overview: &Overview) -> Option<Markup> {
    let records = pending::count(&outlook.pending);
    let most = most_pending(outlook)?;
    let reasons = overview.reasons.iter().find(|(job, _)| *job == outlook.job);
    let reasons = reasons
        .map(|(_, groups)| groups.as_slice())
        .unwrap_or_default();
    let told: Vec<String> = reasons
        .iter()
        .map(|group| reason(group, overview.values))
        .collect();
    Some(html! { li.warn {
        div.what {
            p { span.chip.warn { "! rejected" } " " a href=(paths::job(&outlook.job)) { (outlook.job) } " · "
                (grouped(records)) @if records == 1 { " rejected record is pending" }
                @else { " rejected records are pending" } }
            @if !told.is_empty() { p.quiet { (told.join(" · ")) } }
        }
        div.do { a.button href=(paths::rejected(most.run, &most.write_back)) { "See them" } }
    } })
}

/// `CHURN_RISK: value too long (1 150)`. A destination's own words may hold values.
fn reason(group: &RejectionGroup, values: bool) -> String {
    let column = group.column.as_ref().map(|column| format!("{column}: "));
    let column = column.unwrap_or_default();
    let shown = values || group.stage != Stage::Destination.name();
    let why = if shown {
        parts::cut(&group.reason)
    } else {
        "refused by the destination".to_owned()
    };
    format!("{column}{why} ({})", grouped(group.records))
}

fn drifted(frame: &Frame, drift: &Drift, now: DateTime<Utc>) -> Markup {
    html! { li.warn {
        div.what {
            p { span.chip.warn { "~ drift" } " " a href=(paths::job(&drift.job)) { (drift.job) } " · "
                (grouped(drift.drifted)) " of " (grouped(drift.compared)) " records no longer as written, looked at "
                (frame.zone.time_and_age(drift.looked_at, now)) }
        }
        div.do { @if frame.may(Role::Operator) { a.button href=(format!("/looks/{}", drift.look)) { "See" } } }
    } }
}

fn alerted(frame: &Frame, alert: &StandingAlert, now: DateTime<Utc>) -> Markup {
    html! { li.warn {
        div.what {
            p { span.chip.warn { "! " (alert.kind.name().replace('_', " ")) } " "
                a href=(paths::job(&alert.job)) { (alert.job) } " · " (frame.zone.time_and_age(alert.since, now)) }
            p { (parts::quoted(&alert.message)) }
        }
        div.do { a.button href=(paths::job(&alert.job)) { "See" } }
    } }
}

fn serving(frame: &Frame, overview: &Overview) -> Markup {
    html! { p.quiet {
        @match &overview.server {
            Some(server) => {
                "Served by process " (server.process) @if let Some(host) = &server.host { " on " (host) }
                " since " (frame.zone.time(server.since)) "."
            }
            None => { span.warn { "! Nobody serves" } ": jobs run when somebody runs them; " code { "writeback serve" } " does it by itself." }
        }
    } }
}

fn jobs_table(frame: &Frame, overview: &Overview) -> Markup {
    if overview.outlooks.is_empty() {
        return html! { p.empty { "No job can be read from " code { "schedules/" } "." } };
    }
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="jobs" { table {
            thead { tr {
                th scope="col" { "job" } th scope="col" { "now" } th scope="col" { "last run" }
                th scope="col" { "ended" } th.num scope="col" { "pending" } th.num scope="col" { "lag" }
                th scope="col" { "next" }
            } }
            tbody { @for outlook in &overview.outlooks { (job_row(frame, outlook, overview.now)) } }
        } }
    }
}

fn job_row(frame: &Frame, outlook: &Outlook, now: DateTime<Utc>) -> Markup {
    let last = outlook.last_run.as_ref();
    let next = outlook.following.as_ref().and_then(schedule::next_instant);
    html! { tr {
        th scope="row" { a href=(paths::job(&outlook.job)) { (outlook.job) } }
        td.long { (parts::quoted(&schedule::why(outlook.following.as_ref()))) }
        td { @if let Some(run) = last {
            a href=(paths::run(run.run)) { "run " (run.run) } " " span.age { (super::clock::age(run.started_at, now)) }
        } @else { span.quiet { "never ran" } } }
        td { @if let Some(run) = last { (parts::status(run.status)) } }
        td.num { (grouped(pending::count(&outlook.pending))) }
        td.num { @if let Some(seconds) = last.and_then(lag) { (length(seconds)) } }
        td { @if let Some(next) = next { (frame.zone.time(next)) } }
    } }
}

/// From when the data was complete to when it was in the destination, in seconds.
fn lag(run: &RunEntry) -> Option<u64> {
    let delivered = matches!(run.status, RunStatus::Succeeded | RunStatus::Rejected);
    let finished_at = run.finished_at.filter(|_| delivered)?;
    u64::try_from((finished_at - run.cycle_completed_at).num_seconds()).ok()
}
