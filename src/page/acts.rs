//! What people ask for on the page: a run now, and that one stops. The page does none of it itself:
//! it writes a request into the ledger, bound to what was seen, and the process that serves does it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::Utc;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::{parts, paths};
use crate::access::Passcode;
use crate::config::CheckedJob;
use crate::domain::job::WriteBack;
use crate::domain::outcome::grouped;
use crate::ledger::{NewRequest, PageRequest, RequestAct, RunEntry, RunStatus};
use crate::schedule::outlook;

/// How often whoever watches is told something new.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How long a stream lasts: less than its connection may. Browsers come back by themselves.
const STREAM_DURATION_MAX: Duration = Duration::from_secs(50);

/// What a form for a run brings: what was seen, and what is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct RunForm {
    /// The same in a form that is sent twice.
    key: String,
    /// The cycle that was seen; empty where the job follows no dashboard.
    #[serde(default)]
    cycle: String,
    #[serde(default)]
    write_back: String,
}

/// What is asked for, whoever asks and however.
pub(super) struct RunWanted<'a> {
    pub(super) key: &'a str,
    /// The cycle that was seen, if there is one.
    pub(super) cycle: Option<&'a str>,
    pub(super) write_back: Option<&'a str>,
}

/// The page that says what a run would take and where it would go, before it is asked for.
pub(super) async fn run_form(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
) -> Result<Markup, Refusal> {
    frame.caller.expect_job(&job)?;
    let checked = house.job(&house.project()?, &job)?;
    let cycle = newest_cycle(&house, &checked).await?;
    let served = outlook::server(&house.ledger).await?.is_some();
    let key = fresh_key()?;
    let ready = cycle.is_some() || checked.job.dashboard().is_none();
    let content = html! {
        @if !ready { p.refused { "Its dashboard has finished no cycle yet." } }
        ul { @for one in &checked.job.write_backs {
            li { (one.name) ": from " (one.schema.file) " of " (one.source) " into " code { (one.told_object()) } " of " code { (one.destination) } }
        } }
        p { "Guards are asked before the first write, batches are kept for undo, and what is written already is left alone." }
        @if !served { p.refused { "Nobody serves: it waits until " code { "writeback serve" } " runs." } }
        @if ready { form.sheet method="post" action=(format!("{}/runs", paths::job(&job))) {
            input type="hidden" name="key" value=(key);
            input type="hidden" name="cycle" value=(cycle.as_deref().unwrap_or_default());
            p { "Cycle: " b { (cycle.as_deref().map_or("one of its own".to_owned(), parts::cut)) } }
            label for="write_back" { "Write-backs" }
            select #write_back name="write_back" {
                option value="" { "all of them" }
                @for one in &checked.job.write_backs {
                    @if let Some(name) = named_first(&checked.job.write_backs, one) { option value=(name) { "only " (name) ", at each destination" } }
                    option value=(one.name) { "only " (one.name) }
                }
            }
            button.primary { "Run " (job) " now" }
        } }
        (parts::same(&format!("writeback run {job}")))
    };
    Ok(frame.page_within("Run it now?", &[(paths::job(&job), job.as_str())], content))
}

/// The name of all destinations of what is read once, if this is the first of them.
fn named_first<'a>(all: &'a [WriteBack], one: &WriteBack) -> Option<&'a str> {
    let first = all.iter().find(|other| other.is_pulled_with(one))?;
    first
        .common_name
        .as_deref()
        .filter(|_| first.name == one.name)
}

/// The cycle that a run now would write back, as far as it was noticed.
pub(super) async fn newest_cycle(
    house: &House,
    checked: &CheckedJob,
) -> Result<Option<String>, Refusal> {
    let Some(dashboard) = checked.job.dashboard() else {
        return Ok(None);
    };
    let newest = house.ledger.newest_cycle(dashboard, Utc::now()).await?;
    Ok(newest.map(|noticed| noticed.cycle.id))
}

pub(super) async fn run_now(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
    Form(form): Form<RunForm>,
) -> Result<Redirect, Refusal> {
    let given = |text: &'_ str| !text.is_empty();
    let wanted = RunWanted {
        key: &form.key,
        cycle: Some(form.cycle.as_str()).filter(|text| given(text)),
        write_back: Some(form.write_back.as_str()).filter(|text| given(text)),
    };
    let request = ask_for_run(&house, &frame, &job, &wanted).await?;
    Ok(Redirect::to(&format!("/requests/{request}")))
}

/// Writes down that a run is asked for. Errors: what was seen is no longer so.
pub(super) async fn ask_for_run(
    house: &House,
    frame: &Frame,
    job: &str,
    wanted: &RunWanted<'_>,
) -> Result<i64, Refusal> {
    frame.caller.expect_job(job)?;
    let checked = house.job(&house.project()?, job)?;
    if let Some(name) = wanted.write_back {
        house.expect_called(&checked, name)?;
    }
    let request = NewRequest {
        write_back: wanted.write_back,
        cycle: wanted.cycle,
        ..NewRequest::new(wanted.key, RequestAct::Run, job, &frame.caller.name)
    };
    let newest = newest_cycle(house, &checked).await?;
    if newest.as_deref() != wanted.cycle && house.ledger.request_keyed(wanted.key).await?.is_none()
    {
        let title = match newest {
            Some(newest) => format!("cycle `{newest}` has finished since you looked"),
            None => "its dashboard has finished no such cycle".to_owned(),
        };
        record(house, frame, "run", job, &title).await?;
        return Err(Refusal::new(StatusCode::CONFLICT, title).hint("look again, then decide"));
    }
    let (number, new) = house.ledger.request(&request).await?;
    if new {
        record(house, frame, "run", job, "done").await?;
    }
    Ok(number)
}

/// The page that says what stopping a run means.
pub(super) async fn stop_form(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(run): Path<i64>,
) -> Result<Markup, Refusal> {
    let entry = house.run_for(&frame, run).await?;
    expect_at_work(&entry)?;
    let key = fresh_key()?;
    let content = html! {
        p { "Batches in hand are finished; the rest is left to the next run that somebody asks for, which goes on where this one stood, or to the next start of the process that serves." }
        form.sheet method="post" action=(format!("/runs/{run}/stop")) {
            input type="hidden" name="key" value=(key);
            button.primary { "Stop run " (run) " of " (entry.job) }
        }
    };
    let name = format!("Run {run}");
    Ok(frame.page_within("Stop it?", &[(paths::run(run), name.as_str())], content))
}

#[derive(Debug, Deserialize)]
pub(super) struct KeyForm {
    pub(super) key: String,
}

pub(super) async fn stop_now(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(run): Path<i64>,
    Form(form): Form<KeyForm>,
) -> Result<Redirect, Refusal> {
    let request = ask_to_stop(&house, &frame, run, &form.key).await?;
    Ok(Redirect::to(&format!("/requests/{request}")))
}

/// Writes down that a run is to stop. Errors: it is not at work.
pub(super) async fn ask_to_stop(
    house: &House,
    frame: &Frame,
    run: i64,
    key: &str,
) -> Result<i64, Refusal> {
    let entry = house.run_for(frame, run).await?;
    expect_at_work(&entry)?;
    let request = NewRequest {
        run: Some(run),
        ..NewRequest::new(key, RequestAct::Stop, &entry.job, &frame.caller.name)
    };
    let (number, new) = house.ledger.request(&request).await?;
    if new {
        record(house, frame, "stop", &format!("run {run}"), "done").await?;
    }
    Ok(number)
}

fn expect_at_work(run: &RunEntry) -> Result<(), Refusal> {
    match run.status {
        RunStatus::Running => Ok(()),
        RunStatus::Succeeded
        | RunStatus::Rejected
        | RunStatus::Failed
        | RunStatus::Guarded
        | RunStatus::NothingNew => {
            let title = format!("run {} is over", run.run);
            Err(Refusal::new(StatusCode::CONFLICT, title))
        }
    }
}

/// Writes down what was done here, or why not.
pub(super) async fn recorded<T>(
    house: &House,
    frame: &Frame,
    act: &str,
    target: &str,
    done: Result<T, Refusal>,
) -> Result<T, Refusal> {
    let result = match &done {
        Ok(_) => "done",
        Err(refusal) => refusal.title(),
    };
    record(house, frame, act, target, result).await?;
    done
}

async fn record(
    house: &House,
    frame: &Frame,
    act: &str,
    target: &str,
    result: &str,
) -> Result<(), Refusal> {
    let mut action = frame.caller.action(act, result);
    action.target = Some(target);
    house.ledger.record_action(&action).await?;
    Ok(())
}

/// Something that no other form holds.
pub(super) fn fresh_key() -> Result<String, Refusal> {
    Ok(Passcode::new()?.reveal().to_owned())
}

/// A request that somebody may see. Errors: there is none.
pub(super) async fn request_for(
    house: &House,
    frame: &Frame,
    number: i64,
) -> Result<PageRequest, Refusal> {
    let request = house.ledger.request_numbered(number).await?;
    let request =
        request.ok_or_else(|| Refusal::absent(format!("there is no request {number}")))?;
    frame.caller.expect_job(&request.job)?;
    Ok(request)
}

pub(super) async fn request_page(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(number): Path<i64>,
) -> Result<Markup, Refusal> {
    let request = request_for(&house, &frame, number).await?;
    let served = outlook::server(&house.ledger).await?.is_some();
    let run = run_of(&house, &request).await?;
    let content = html! {
        div role="status" { @match (&request.message, run) {
            (Some(message), _) => p.lead { span.chip { "over" } " " (parts::quoted(message)) },
            (None, Some(run)) => p.lead { span.chip { "▶ at work" } " It became " a href=(paths::run(run)) { "run " (run) } "." },
            (None, None) if served => p.lead { span.chip { "waits" } " It begins within a second or two, once a place is free." },
            (None, None) => p.lead { span.chip.warn { "! waits" } " Nobody serves; it begins once " code { "writeback serve" } " runs." },
        } }
        @if request.ended_at.is_none() { div data-live=(format!("/events?request={number}")) {
            (missed())
            p { a.button href=(format!("/requests/{number}")) { "Look again" } }
        } }
        dl.facts {
            dt { "Asked for" } dd { (wish(request.act)) " "
                @match (request.act, request.run) {
                    (RequestAct::Stop | RequestAct::Undo | RequestAct::Approve, Some(run)) => a href=(paths::run(run)) { "run " (run) },
                    _ => a href=(paths::job(&request.job)) { (request.job) },
                } }
            @if let Some(reason) = &request.reason { dt { "Why" } dd { (parts::cut(reason)) } }
            @if let Some(cycle) = &request.cycle { dt { "Cycle" } dd { (parts::cut(cycle)) } }
            @if let Some(one) = &request.write_back { dt { "Only" } dd { (one) } }
            dt { "By" } dd { (request.who) ", " (frame.zone.time_and_age(request.asked_at, Utc::now())) }
            @if let Some(run) = request.run { dt { "Run" } dd { a href=(paths::run(run)) { (run) } } }
        }
    };
    let above = [(paths::job(&request.job), request.job.as_str())];
    Ok(frame.page_within(&format!("Request {number}"), &above, content))
}

/// What is asked for, before what it is asked of.
fn wish(act: RequestAct) -> &'static str {
    match act {
        RequestAct::Run => "a run of",
        RequestAct::Retry => "rejected records again, of",
        RequestAct::Approve => "to go ahead:",
        RequestAct::Apply => "what a preview showed, of",
        RequestAct::Undo => "to be taken back:",
        RequestAct::Stop => "an end of",
        RequestAct::Preview
        | RequestAct::LookAtStopped
        | RequestAct::LookAtUndo
        | RequestAct::Verify
        | RequestAct::Test => "a look at",
    }
}

/// The run that an open request became, as far as it is at work.
async fn run_of(house: &House, request: &PageRequest) -> Result<Option<i64>, Refusal> {
    if !request.act.runs() || request.ended_at.is_some() {
        return Ok(None);
    }
    let last = house.ledger.runs_of_job(&request.job, 1).await?;
    let last = last.first().filter(|run| run.status == RunStatus::Running);
    Ok(last
        .filter(|run| {
            let is_meant = request.act == RequestAct::Approve && Some(run.run) == request.run;
            is_meant || run.started_at >= request.asked_at
        })
        .map(|run| run.run))
}

/// What a run has done so far, for somebody who watches.
pub(super) fn progress(run: &RunEntry) -> Markup {
    let tally = parts::tally_of(run);
    html! {
        div.card data-live=(format!("/events?run={}", run.run)) {
            label for="progress" { "At work" }
            progress #progress max=(tally.read.max(1)) value=(tally.accounted()) { (tally.accounted()) }
            p data-words { (progress_words(run)) }
            (missed())
            p.line {
                a.button href=(paths::run(run.run)) { "Look again" }
                button type="button" data-pause hidden { "Pause updates" }
            }
        }
    }
}

/// What a script shows while nobody answers.
pub(super) fn missed() -> Markup {
    html! { div role="status" { p.refused data-lost hidden {
        "Nobody answers here: what you see may be old. It is asked for again, and goes on by itself."
    } } }
}

/// What a run has done so far, in figures.
pub(super) fn progress_words(run: &RunEntry) -> String {
    let tally = parts::tally_of(run);
    let batches: u64 = run.write_backs.iter().map(|one| one.batches).sum();
    let (done, read) = (grouped(tally.accounted()), grouped(tally.read));
    let rejected = grouped(tally.rejected);
    format!("{done} of {read} records, {batches} batches, {rejected} rejected")
}

#[derive(Debug, Deserialize)]
pub(super) struct Watched {
    run: Option<i64>,
    request: Option<i64>,
}

/// Tells whoever watches a run, or a request, how it goes: `progress` as it comes on, `over` once
/// there is another page to look at.
pub(super) async fn events(
    State(house): State<Arc<House>>,
    frame: Frame,
    Query(watched): Query<Watched>,
) -> Result<Response, Refusal> {
    // Whether they may is asked before the stream begins.
    told(&house, &frame, &watched).await?;
    let Ok(place) = Arc::clone(&house.streams).try_acquire_owned() else {
        let title = "too many watch already";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, title));
    };
    let (begun, state) = (
        Instant::now(),
        Some((house, frame, watched, None::<String>)),
    );
    let stream = futures_util::stream::unfold((state, place), move |(state, place)| async move {
        let (house, frame, watched, before) = state?;
        while begun.elapsed() < STREAM_DURATION_MAX {
            let Ok(told) = told(&house, &frame, &watched).await else {
                break;
            };
            // The last figures are told before it is over.
            if before.as_ref() != Some(&told.progress) {
                let event = event("progress", told.progress.clone());
                let state = Some((house, frame, watched, Some(told.progress)));
                return Some((event, (state, place)));
            }
            if let Some(address) = told.over {
                return Some((event("over", address), (None, place)));
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        None
    });
    Ok(Sse::new(stream)
        .keep_alive(KeepAlive::default())
        .into_response())
}

fn event(name: &str, data: String) -> Result<Event, Infallible> {
    Ok(Event::default().event(name).data(data))
}

/// What whoever watches is told.
struct Told {
    /// The figures as they are now.
    progress: String,
    /// The page to look at, once it is over.
    over: Option<String>,
}

async fn told(house: &House, frame: &Frame, watched: &Watched) -> Result<Told, Refusal> {
    if let Some(run) = watched.run {
        let run = house.run_for(frame, run).await?;
        let tally = parts::tally_of(&run);
        let figures =
            json!({ "read": tally.read, "done": tally.accounted(), "words": progress_words(&run) });
        return Ok(Told {
            progress: figures.to_string(),
            over: (run.status != RunStatus::Running).then(|| paths::run(run.run)),
        });
    }
    let number = watched
        .request
        .ok_or_else(|| Refusal::absent("nothing is watched"))?;
    let request = request_for(house, frame, number).await?;
    // Of an act that is about a run, that one is no end of it.
    let ran = request.ended_at.is_some() && request.act == RequestAct::Run;
    let run = match request.run.filter(|_| ran) {
        Some(run) => Some(run),
        None => run_of(house, &request).await?,
    };
    let ended = || paths::request(number, request.act);
    Ok(Told {
        progress: "{}".to_owned(),
        over: run
            .map(paths::run)
            .or_else(|| request.ended_at.map(|_| ended())),
    })
}
