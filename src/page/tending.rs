//! What people do about records and jobs that need care: take rejected records again, leave one
//! alone for a while, try one the whole way, announce a cycle, pause a job.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Redirect;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::acts;
use super::deciding::reason;
use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::runs::RejectedFilter;
use super::{looks, parts, paths};
use crate::config::Signal;
use crate::domain::access::Role;
use crate::domain::outcome::grouped;
use crate::domain::parking::{Parked, REASON_CHARACTERS_MAX, Until};
use crate::domain::pause::Pause;
use crate::ledger::cycles::Noticed;
use crate::ledger::{NewRequest, RequestAct, RetryWish};
use crate::report::pending as counting;
use crate::run::parking::{self, Parking, key_of};
use crate::run::pending;
use crate::run::request::ChosenRecords;
use crate::schedule::announce::announced;

/// Records parked in one go at most: people look at them one by one.
const PARKED_AT_ONCE_MAX: u64 = 1_000;

fn unfit(why: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why)
}

/// The page of rejected records that are like something: to take them again, or leave them alone.
pub(super) async fn chosen_page(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((run, name)): Path<(i64, String)>,
    Query(filter): Query<RejectedFilter>,
) -> Result<Markup, Refusal> {
    let entry = house.run_for(&frame, run).await?;
    house.write_back_of(&entry, &name)?;
    let arguments = filter.arguments(run, 0);
    let chosen = pending::choose(&house.ledger, run, &name, &arguments).await?;
    let (count, key, park_key) = (chosen.count(), acts::fresh_key()?, acts::fresh_key()?);
    let address = paths::rejected(run, &name);
    let fields = html! {
        (filter.hidden())
        input type="hidden" name="records" value=(count);
    };
    let content = html! {
        p.lead { b { (grouped(count)) } " records are pending and like this:" }
        dl.facts { @for (what, value) in filter.told() { dt { (what) } dd { (parts::cut(value)) } } }
        @if count == 0 { p.empty { "None of them is pending: they landed since, or have no key that could be read." } }
        @else {
            h2 { "Take them again" }
            p { "A run takes these records and no others out of the source as it is now." }
            form.sheet method="post" action=(format!("/runs/{run}/{}/retry", paths::encoded(&name))) {
                input type="hidden" name="key" value=(key);
                (fields)
                button.primary { "Take " (grouped(count)) " records again" }
            }
            h2 { "Leave them alone" }
            @if count > PARKED_AT_ONCE_MAX { p.quiet { "At most " (grouped(PARKED_AT_ONCE_MAX)) " are parked in one go: search for fewer." } }
            @else {
                form.sheet method="post" action=(format!("/runs/{run}/{}/park", paths::encoded(&name))) {
                    input type="hidden" name="key" value=(park_key);
                    (fields)
                    (until_and_why())
                    button { "Park " (grouped(count)) " records" }
                }
            }
        }
        (parts::same(&format!("writeback run {} --only-rejected --write-back {name} --record KEY …", entry.job)))
    };
    let above = [(paths::run(run), "Run"), (address, "Rejected records")];
    Ok(frame.page_within("These records", &above, content))
}

fn until_and_why() -> Markup {
    html! {
        label for="until" { "Until" }
        input #until name="until" required placeholder="2026-12-01" aria-describedby="until-help";
        p.quiet #until-help { "A date, a time with its zone, or " code { "changed" } ": until its values change." }
        label for="because" { "Why?" }
        input #because name="because" required maxlength=(REASON_CHARACTERS_MAX);
    }
}

/// Records that are to be taken again, or left alone.
#[derive(Debug, Deserialize)]
pub(super) struct ChosenForm {
    #[serde(default)]
    key: String,
    #[serde(default)]
    stage: String,
    #[serde(default)]
    column: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    q: String,
    records: u64,
    #[serde(default)]
    until: String,
    #[serde(default)]
    because: String,
}

impl ChosenForm {
    fn arguments(&self, run: i64) -> RetryWish {
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        RetryWish {
            run: Some(run),
            stage: given(&self.stage),
            column: given(&self.column),
            reason: given(&self.reason),
            text: given(&self.q),
            records: self.records,
        }
    }
}

pub(super) async fn retry_chosen(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((run, name)): Path<(i64, String)>,
    Form(form): Form<ChosenForm>,
) -> Result<Redirect, Refusal> {
    let job = house.run_for(&frame, run).await?.job;
    let arguments = form.arguments(run);
    let request = ask_to_retry(&house, &frame, &job, Some(&name), &arguments, &form.key);
    Ok(Redirect::to(&format!("/requests/{}", request.await?)))
}

/// A form that takes all that is pending of a job.
#[derive(Debug, Deserialize)]
pub(super) struct RetryForm {
    key: String,
    records: u64,
}

pub(super) async fn retry_all(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
    Form(form): Form<RetryForm>,
) -> Result<Redirect, Refusal> {
    let arguments = RetryWish {
        records: form.records,
        ..RetryWish::default()
    };
    let request = ask_to_retry(&house, &frame, &job, None, &arguments, &form.key);
    Ok(Redirect::to(&format!("/requests/{}", request.await?)))
}

/// Asks for rejected records to be taken again. Errors: they are not as many as were seen.
pub(super) async fn ask_to_retry(
    house: &House,
    frame: &Frame,
    job: &str,
    write_back: Option<&str>,
    arguments: &RetryWish,
    key: &str,
) -> Result<i64, Refusal> {
    frame.caller.expect_job(job)?;
    let checked = house.job(&house.project()?, job)?;
    if let Some(name) = write_back {
        house.write_back(&checked, name)?;
    }
    if let Some(known) = house.ledger.request_keyed(key).await? {
        return Ok(known);
    }
    let now = match (arguments.run, write_back) {
        (Some(run), Some(name)) => {
            let entry = house.run_for(frame, run).await?;
            if entry.job != job {
                return Err(unfit(format!("run {run} is of another job")));
            }
            chosen_of(house, run, name, arguments).await?.count()
        }
        (Some(_), None) => return Err(unfit("of a run's records a write-back is to be named")),
        (None, _) => {
            let mut pending = house.ledger.pending(job).await?;
            pending.retain(|one| write_back.is_none_or(|name| one.write_back == name));
            counting::count(&pending)
        }
    };
    let request = NewRequest {
        write_back,
        arguments: json!(arguments),
        ..NewRequest::new(key, RequestAct::Retry, job, &frame.caller.name)
    };
    let checked = expect_count(now, arguments.records);
    acts::recorded(house, frame, "retry", job, checked).await?;
    Ok(house.ledger.request(&request).await?.0)
}

fn expect_count(now: u64, seen: u64) -> Result<(), Refusal> {
    if now == seen && now > 0 {
        return Ok(());
    }
    let title = format!("{now} records are pending and like this now, not {seen}");
    Err(Refusal::new(StatusCode::CONFLICT, title).hint("look again, then decide"))
}

async fn chosen_of(
    house: &House,
    run: i64,
    write_back: &str,
    arguments: &RetryWish,
) -> Result<ChosenRecords, Refusal> {
    Ok(pending::choose(&house.ledger, run, write_back, arguments).await?)
}

pub(super) async fn park_chosen(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((run, name)): Path<(i64, String)>,
    Form(form): Form<ChosenForm>,
) -> Result<Redirect, Refusal> {
    let until = read_until(&form.until)?;
    let job = house.run_for(&frame, run).await?.job;
    let arguments = form.arguments(run);
    park_all(
        &house,
        &frame,
        (&job, &name),
        &arguments,
        until,
        &form.because,
    )
    .await?;
    Ok(Redirect::to(&format!("{}#parked", paths::job(&job))))
}

pub(super) fn read_until(text: &str) -> Result<Until, Refusal> {
    Until::parse(text.trim()).map_err(unfit)
}

/// Parks all rejected records that are like something. Errors: they are not as many as were seen,
/// or too many.
pub(super) async fn park_all(
    house: &House,
    frame: &Frame,
    (job, name): (&str, &str),
    arguments: &RetryWish,
    until: Until,
    because: &str,
) -> Result<Vec<Parked>, Refusal> {
    let run = arguments.run.unwrap_or_default();
    let chosen = chosen_of(house, run, name, arguments).await?;
    expect_count(chosen.count(), arguments.records)?;
    if chosen.count() > PARKED_AT_ONCE_MAX {
        let title = format!("at most {PARKED_AT_ONCE_MAX} records are parked in one go");
        return Err(unfit(title).hint("search for fewer"));
    }
    let keys: Vec<&str> = chosen.keys().iter().map(String::as_str).collect();
    park(house, frame, job, name, &keys, until, because).await
}

/// Parks records of a write-back. Errors: there is no such write-back or key, or the time is over.
pub(super) async fn park(
    house: &House,
    frame: &Frame,
    job: &str,
    name: &str,
    keys: &[&str],
    until: Until,
    because: &str,
) -> Result<Vec<Parked>, Refusal> {
    frame.caller.expect_job(job)?;
    let checked = house.job(&house.project()?, job)?;
    let write_back = house.write_back(&checked, name)?;
    let parking = Parking {
        until,
        reason: reason(because)?,
        by: Some(&frame.caller.name),
        now: Utc::now(),
    };
    let mut parked = Vec::new();
    for key in keys {
        let records = parking.of_record(job, &[write_back], key);
        parked.extend(records.map_err(|error| match error.hint() {
            Some(hint) => unfit(error.to_string()).hint(hint),
            None => unfit(error.to_string()),
        })?);
    }
    house.ledger.park(job, &parked).await?;
    let target = match keys {
        [key] => format!("{job} / {name} / {key}"),
        _ => format!("{job} / {name}: {} records", keys.len()),
    };
    acts::recorded(house, frame, "park", &target, Ok(parked)).await
}

/// One record that is to be left alone.
#[derive(Debug, Deserialize)]
pub(super) struct ParkForm {
    until: String,
    because: String,
}

type RecordPath = Path<(String, String, String)>;

pub(super) async fn park_one(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((job, name, key)): RecordPath,
    Form(form): Form<ParkForm>,
) -> Result<Redirect, Refusal> {
    let (until, key) = (read_until(&form.until)?, key_of(&key));
    park(&house, &frame, &job, &name, &[&key], until, &form.because).await?;
    Ok(Redirect::to(&paths::record(&job, &name, &key)))
}

pub(super) async fn lift_one(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((job, name, key)): RecordPath,
) -> Result<Redirect, Refusal> {
    lift(&house, &frame, &job, &name, &key).await?;
    Ok(Redirect::to(&paths::record(&job, &name, &key)))
}

/// How a record is parked, if it is and its job is still there.
pub(super) async fn parked_record(
    house: &House,
    job: &str,
    name: &str,
    key: &str,
) -> Result<Option<Parked>, Refusal> {
    let Ok(checked) = house.job(&house.project()?, job) else {
        return Ok(None);
    };
    let Ok(write_back) = house.write_back(&checked, name) else {
        return Ok(None);
    };
    let parked = house.ledger.parked(job, Utc::now()).await?;
    Ok(parking::those_of(parked, &[write_back], key).pop())
}

/// Takes a parked record up again. Errors: it is not parked.
pub(super) async fn lift(
    house: &House,
    frame: &Frame,
    job: &str,
    name: &str,
    key: &str,
) -> Result<(), Refusal> {
    frame.caller.expect_job(job)?;
    let checked = house.job(&house.project()?, job)?;
    let write_back = house.write_back(&checked, name)?;
    let parked = house.ledger.parked(job, Utc::now()).await?;
    let own = parking::those_of(parked, &[write_back], key);
    let done = match house.ledger.lift(job, &own).await? {
        0 => Err(Refusal::new(
            StatusCode::CONFLICT,
            format!("record `{key}` is not parked"),
        )),
        _ => Ok(()),
    };
    acts::recorded(
        house,
        frame,
        "lift",
        &format!("{job} / {name} / {key}"),
        done,
    )
    .await
}

/// What can be done about one record, for those who may.
pub(super) fn record_acts(
    frame: &Frame,
    job: &str,
    name: &str,
    key: &str,
    parked: bool,
) -> Result<Markup, Refusal> {
    let address = paths::record(job, name, key);
    let (first, second) = (acts::fresh_key()?, acts::fresh_key()?);
    Ok(html! { div.line {
        form method="post" action=(format!("{address}/test")) {
            input type="hidden" name="key" value=(first);
            button { "Test with rollback" }
        }
        @if frame.may(Role::Admin) { details.act {
            summary.button { "Test and keep…" }
            form.sheet method="post" action=(format!("{address}/test")) {
                input type="hidden" name="key" value=(second);
                input type="hidden" name="keep" value="1";
                p { "This one record is written, read back, and stays." }
                button.primary { "Write this record" }
            }
        } }
        @if parked {
            form method="post" action=(format!("{address}/lift")) { button { "Take it up again" } }
        } @else { details.act {
            summary.button { "Park…" }
            form.sheet method="post" action=(format!("{address}/park")) {
                p { "Runs leave this record alone until then." }
                (until_and_why())
                button.primary { "Park it" }
            }
        } }
    } })
}

/// One record that is to be tried.
#[derive(Debug, Deserialize)]
pub(super) struct TestForm {
    key: String,
    keep: Option<String>,
}

pub(super) async fn test_one(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((job, name, key)): RecordPath,
    Form(form): Form<TestForm>,
) -> Result<Redirect, Refusal> {
    let rollback = form.keep.is_none();
    let look = ask_to_test(&house, &frame, (&job, &name, &key), rollback, &form.key).await?;
    Ok(Redirect::to(&format!("/looks/{look}")))
}

/// Begins a test of one record. Errors: what stays takes an admin.
pub(super) async fn ask_to_test(
    house: &Arc<House>,
    frame: &Frame,
    (job, name, record_key): (&str, &str, &str),
    rollback: bool,
    key: &str,
) -> Result<i64, Refusal> {
    frame.caller.expect_job(job)?;
    let checked = house.job(&house.project()?, job)?;
    house.write_back(&checked, name)?;
    if !rollback && !frame.may(Role::Admin) {
        let title = "a test whose record stays takes the role admin";
        let refusal = Refusal::new(StatusCode::FORBIDDEN, title);
        return Err(refusal.hint("with rollback, an operator may do it"));
    }
    let asked = NewRequest {
        write_back: Some(name),
        arguments: json!({ "record": key_of(record_key), "rollback": rollback }),
        ..NewRequest::new(key, RequestAct::Test, job, &frame.caller.name)
    };
    let look = looks::begin(house, frame, &asked).await?;
    let target = format!("{job} / {name} / {record_key}");
    let act = if rollback { "test" } else { "test and keep" };
    acts::recorded(house, frame, act, &target, Ok(look)).await
}

/// A cycle that is to be announced.
#[derive(Debug, Deserialize)]
pub(super) struct CycleForm {
    cycle: String,
}

pub(super) async fn announce_one(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(dashboard): Path<String>,
    Form(form): Form<CycleForm>,
) -> Result<Redirect, Refusal> {
    announce_cycle(&house, &frame, &dashboard, form.cycle.trim(), None).await?;
    Ok(Redirect::to(&format!(
        "{}#cycles",
        paths::dashboard(&dashboard)
    )))
}

/// Announces that a dashboard finished a cycle. Errors: it tells so itself.
pub(super) async fn announce_cycle(
    house: &House,
    frame: &Frame,
    dashboard: &str,
    cycle: &str,
    completed_at: Option<DateTime<Utc>>,
) -> Result<Noticed, Refusal> {
    frame.caller.expect_every_job()?;
    let project = house.project()?;
    let known = house.dashboard(&project, dashboard)?;
    if !matches!(known.signal, Signal::Announced) {
        let title = format!("dashboard `{dashboard}` tells itself when a cycle is finished");
        return Err(Refusal::new(StatusCode::CONFLICT, title));
    }
    let now = Utc::now();
    let told = match announced(cycle, completed_at, now) {
        Ok(cycle) => house.ledger.see_cycle(dashboard, &cycle, now).await,
        Err(error) => return Err(unfit(error.to_string())),
    };
    let told = told.map_err(Refusal::from);
    acts::recorded(
        house,
        frame,
        "announce",
        &format!("{dashboard}: {cycle}"),
        told,
    )
    .await
}

/// A form that announces a cycle.
pub(super) fn announce_form(dashboard: &str) -> Markup {
    html! {
        form.line method="post" action=(format!("{}/cycles", paths::dashboard(dashboard))) {
            label for="cycle" { "Announce that a cycle is finished: its id" }
            input #cycle name="cycle" required placeholder="2026-W46";
            button { "Announce it" }
        }
        (parts::same(&format!("writeback cycle {dashboard} --id ID")))
    }
}

/// A pause that is to begin.
#[derive(Debug, Deserialize)]
pub(super) struct PauseForm {
    #[serde(default)]
    until: String,
    because: String,
}

pub(super) async fn pause_job(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
    Form(form): Form<PauseForm>,
) -> Result<Redirect, Refusal> {
    let until = Some(form.until.trim()).filter(|text| !text.is_empty());
    let until = until.map(read_instant).transpose()?;
    pause(&house, &frame, &job, until, &form.because).await?;
    Ok(Redirect::to(&paths::job(&job)))
}

/// A date (its first moment in UTC) or a time with its zone.
pub(super) fn read_instant(text: &str) -> Result<DateTime<Utc>, Refusal> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .map(|date| date.and_time(NaiveTime::MIN).and_utc());
    let instant =
        date.or_else(|_| DateTime::parse_from_rfc3339(text).map(|instant| instant.to_utc()));
    instant.map_err(|_| {
        unfit(
            "write a date such as 2026-12-01, or a time with its zone such as 2026-12-01T06:00:00Z",
        )
    })
}

/// Pauses a job. Errors: the time is over.
pub(super) async fn pause(
    house: &House,
    frame: &Frame,
    job: &str,
    until: Option<DateTime<Utc>>,
    because: &str,
) -> Result<Pause, Refusal> {
    frame.caller.expect_job(job)?;
    house.job(&house.project()?, job)?;
    let now = Utc::now();
    if until.is_some_and(|until| until <= now) {
        return Err(unfit("that time is over").hint("name a later one, or none"));
    }
    let pause = Pause {
        until,
        reason: reason(because)?.to_owned(),
        paused_by: Some(frame.caller.name.clone()),
        paused_at: now,
    };
    house.ledger.pause(job, &pause).await?;
    acts::recorded(house, frame, "pause", job, Ok(pause)).await
}

pub(super) async fn resume_job(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
) -> Result<Redirect, Refusal> {
    resume(&house, &frame, &job).await?;
    Ok(Redirect::to(&paths::job(&job)))
}

/// Ends a job's pause. Errors: it is not paused.
pub(super) async fn resume(house: &House, frame: &Frame, job: &str) -> Result<(), Refusal> {
    frame.caller.expect_job(job)?;
    let done = match house.ledger.resume(job).await? {
        true => Ok(()),
        false => Err(Refusal::new(
            StatusCode::CONFLICT,
            format!("job `{job}` is not paused"),
        )),
    };
    acts::recorded(house, frame, "resume", job, done).await
}

/// What pauses a job or ends that, for those who may.
pub(super) fn pause_form(job: &str, pause: Option<&Pause>) -> Markup {
    html! { @match pause {
        Some(_) => form method="post" action=(format!("{}/resume", paths::job(job))) { button { "End the pause" } },
        None => details.act {
            summary.button { "Pause…" }
            form.sheet method="post" action=(format!("{}/pause", paths::job(job))) {
                p { "Nothing runs " (job) " meanwhile; what is at work goes on to its end." }
                label for="until" { "Until, if it is to end by itself" }
                input #until name="until" placeholder="2026-12-01T06:00:00Z";
                label for="because" { "Why?" }
                input #because name="because" required maxlength=(REASON_CHARACTERS_MAX);
                button.primary { "Pause " (job) }
            }
        },
    } }
}

/// A button that takes all pending records of a job again.
pub(super) fn retry_form(job: &str, records: u64) -> Result<Markup, Refusal> {
    let key = acts::fresh_key()?;
    Ok(html! {
        form method="post" action=(format!("{}/retries", paths::job(job))) {
            input type="hidden" name="key" value=(key);
            input type="hidden" name="records" value=(records);
            button { "Take " (grouped(records)) " again" }
        }
    })
}
