//! What takes a person's word: to let a run go ahead that guards stopped, to apply exactly what a
//! preview showed, to take a run back. Each is bound to a look, whose page has the button, and asks
//! for a reason, which is recorded.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Redirect;
use chrono::Utc;
use maud::{Markup, PreEscaped, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::acts::{self, KeyForm};
use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::{looks, parts, paths};
use crate::domain::access::{Right, Role};
use crate::domain::four_eyes::OwnRun;
use crate::domain::outcome::grouped;
use crate::domain::parking::REASON_CHARACTERS_MAX;
use crate::ledger::{
    NewRequest, PageRequest, RequestAct, RunEntry, RunStatus, RunsWanted, UndoWish,
};
use crate::run::approval::{self, shell_word};
use crate::run::parking;
use crate::run::place::look_folder;
use crate::run::saved_plan::{PLAN_FILE, SavedPlan};

/// Earlier runs that tell what is usual.
const USUAL_RUNS: u32 = 10;
/// Records of an undo of some at most: their keys stand in a form.
const RECORDS_MAX: usize = 1_000;

/// What a form for a look at a job brings.
#[derive(Debug, Deserialize)]
pub(super) struct LookForm {
    key: String,
    #[serde(default)]
    write_back: String,
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Begins a preview of a job.
pub(super) async fn preview(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
    Form(form): Form<LookForm>,
) -> Result<Redirect, Refusal> {
    let write_back = given(&form.write_back);
    let look = look_at_job(
        &house,
        &frame,
        RequestAct::Preview,
        &job,
        write_back,
        &form.key,
    );
    Ok(to_look(look.await?))
}

/// Begins a verification of a job.
pub(super) async fn verify(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
    Form(form): Form<LookForm>,
) -> Result<Redirect, Refusal> {
    let write_back = given(&form.write_back);
    let look = look_at_job(
        &house,
        &frame,
        RequestAct::Verify,
        &job,
        write_back,
        &form.key,
    );
    Ok(to_look(look.await?))
}

fn to_look(look: i64) -> Redirect {
    Redirect::to(&format!("/looks/{look}"))
}

/// Begins a look at a job, or at one of its write-backs.
pub(super) async fn look_at_job(
    house: &Arc<House>,
    frame: &Frame,
    act: RequestAct,
    job: &str,
    write_back: Option<&str>,
    key: &str,
) -> Result<i64, Refusal> {
    frame.caller.expect_job(job)?;
    let checked = house.job(&house.project()?, job)?;
    if let Some(name) = write_back {
        house.expect_called(&checked, name)?;
    }
    let asked = NewRequest {
        write_back,
        ..NewRequest::new(key, act, job, &frame.caller.name)
    };
    looks::begin(house, frame, &asked).await
}

/// What a job's last runs changed, for whoever wonders what is usual.
async fn usual(house: &House, run: &RunEntry) -> Result<Option<String>, Refusal> {
    let wanted = RunsWanted {
        job: Some(&run.job),
        before: Some(run.run),
        ..RunsWanted::default()
    };
    let runs = house.ledger.runs_wanted(wanted, USUAL_RUNS * 3).await?;
    let shares: Vec<f64> = runs
        .iter()
        .filter(|run| parts::is_delivery(run))
        .filter_map(|run| parts::changed_share(&parts::tally_of(run)))
        .take(USUAL_RUNS as usize)
        .collect();
    let (least, most) = shares
        .iter()
        .fold((f64::MAX, f64::MIN), |(low, high), share| {
            (low.min(*share), high.max(*share))
        });
    Ok(match shares.len() {
        0 => None,
        1 => Some(format!("Its last run changed {most:.1} % of its records.")),
        runs => Some(format!(
            "Its last {runs} runs changed {least:.1} to {most:.1} % of their records."
        )),
    })
}

/// The page of a run that guards stopped: what they had against it, and the way to a look.
pub(super) async fn approve_form(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(run): Path<i64>,
) -> Result<Markup, Refusal> {
    let entry = house.run_for(&frame, run).await?;
    expect_waiting(&house, &entry).await?;
    let own = own_run(&house, &frame, &entry).await?;
    let key = acts::fresh_key()?;
    let latest = house
        .ledger
        .latest_look(RequestAct::LookAtStopped, run)
        .await?;
    let content = html! {
        (objections(&entry))
        @if let Some(usual) = usual(&house, &entry).await? { p { (usual) } }
        @if let Some(own) = &own { (for_another(own)) }
        p { "First look at what it would change: its records, as they were pulled, held against what "
            "the destination holds now. Nothing is written by that." }
        form.sheet method="post" action=(format!("/runs/{run}/approve/looks")) {
            input type="hidden" name="key" value=(key);
            button.primary { "Look at old and new" }
        }
        @if let Some(look) = latest {
            p { a href=(paths::request(look.request, look.act)) { "The last look" } ", "
                (frame.zone.time_and_age(look.ended_at.unwrap_or(look.asked_at), Utc::now())) }
        }
        (parts::same(&approving_command(&entry)))
    };
    Ok(frame.page_within("Let it go ahead?", &above(&entry), content))
}

fn above(entry: &RunEntry) -> Vec<(String, &str)> {
    vec![
        ("/runs".to_owned(), "Runs"),
        (paths::job(&entry.job), entry.job.as_str()),
        (paths::run(entry.run), "Run"),
    ]
}

fn approving_command(entry: &RunEntry) -> String {
    let cycle = shell_word(&entry.cycle);
    format!("writeback run {} --cycle {cycle} --approve", entry.job)
}

fn objections(entry: &RunEntry) -> Markup {
    html! { div.card {
        p { b { "Guards stopped it before its first write:" } }
        ul { @for objection in &entry.guards { li { (parts::quoted(&objection.to_string())) } } }
    } }
}

/// Why a run is somebody's own, where another is to let it go ahead.
async fn own_run(
    house: &House,
    frame: &Frame,
    entry: &RunEntry,
) -> Result<Option<OwnRun>, Refusal> {
    if !house.settings.approve_by_another {
        return Ok(None);
    }
    let checked = house.job(&house.project()?, &entry.job)?;
    let files: Vec<&str> = checked.files.keys().map(String::as_str).collect();
    let hands = house.ledger.hands_in(entry.run, &files).await?;
    Ok(hands.own(&frame.caller.name))
}

fn for_another(own: &OwnRun) -> Markup {
    html! { p.refused { "Somebody else is to let it go ahead: " (parts::quoted(&own.to_string())) "." } }
}

/// Errors: the run is somebody's own, and another is to let it go ahead.
async fn expect_another(house: &House, frame: &Frame, entry: &RunEntry) -> Result<(), Refusal> {
    let Some(own) = own_run(house, frame, entry).await? else {
        return Ok(());
    };
    let title = format!("somebody else is to let run {} go ahead: {own}", entry.run);
    let hint = "`approve_by_another` in `[page]` of writeback.toml asks for four eyes";
    Err(Refusal::new(StatusCode::FORBIDDEN, title).hint(hint))
}

/// Errors: the run waits for nobody.
async fn expect_waiting(house: &House, entry: &RunEntry) -> Result<(), Refusal> {
    let waiting = house.ledger.guarded_run(&entry.job).await?;
    if waiting.is_some_and(|waiting| waiting.run == entry.run) {
        return Ok(());
    }
    let title = format!("run {} waits for nobody", entry.run);
    let hint = "only a job's latest run is let go ahead, if guards stopped it";
    Err(Refusal::new(StatusCode::CONFLICT, title).hint(hint))
}

pub(super) async fn look_at_stopped(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(run): Path<i64>,
    Form(form): Form<KeyForm>,
) -> Result<Redirect, Refusal> {
    Ok(to_look(
        ask_to_look_at_stopped(&house, &frame, run, &form.key).await?,
    ))
}

/// Begins a look at a run that guards stopped. Errors: it waits for nobody.
pub(super) async fn ask_to_look_at_stopped(
    house: &Arc<House>,
    frame: &Frame,
    run: i64,
    key: &str,
) -> Result<i64, Refusal> {
    let entry = house.run_for(frame, run).await?;
    expect_waiting(house, &entry).await?;
    let act = RequestAct::LookAtStopped;
    let asked = NewRequest {
        run: Some(run),
        ..NewRequest::new(key, act, &entry.job, &frame.caller.name)
    };
    looks::begin(house, frame, &asked).await
}

/// What somebody says who decides.
#[derive(Debug, Deserialize)]
pub(super) struct WordForm {
    key: String,
    look: i64,
    #[serde(default)]
    reason: String,
}

/// A word that something is to be done which a look showed.
pub(super) struct Word<'a> {
    pub(super) key: &'a str,
    pub(super) look: i64,
    pub(super) reason: &'a str,
}

impl WordForm {
    fn word(&self) -> Word<'_> {
        Word {
            key: &self.key,
            look: self.look,
            reason: &self.reason,
        }
    }
}

/// A reason as it is recorded: one line. Errors: there is none, or it is long.
pub(super) fn reason(text: &str) -> Result<&str, Refusal> {
    let reason = text.trim();
    let is_line = !reason.contains(char::is_control);
    if is_line && (1..=REASON_CHARACTERS_MAX).contains(&reason.chars().count()) {
        return Ok(reason);
    }
    let title = format!("a reason is one line of 1 to {REASON_CHARACTERS_MAX} characters");
    let hint = "say why, for whoever reads it in a year";
    Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, title).hint(hint))
}

/// The look that a word about a run, or about none, is bound to. Errors: it is another one, or
/// showed nothing.
async fn look_of(
    house: &House,
    frame: &Frame,
    word: &Word<'_>,
    act: RequestAct,
    run: Option<i64>,
) -> Result<(PageRequest, String), Refusal> {
    let look = acts::request_for(house, frame, word.look).await?;
    let seen = look
        .seen
        .clone()
        .filter(|_| look.act == act && look.ended_at.is_some());
    let title = format!("look {} is none that this could be bound to", word.look);
    let seen = seen.ok_or_else(|| Refusal::new(StatusCode::CONFLICT, title))?;
    if run.is_some() && look.run != run {
        return Err(moved(format!("look {} is at another run", look.request)));
    }
    Ok((look, seen))
}

fn moved(title: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::CONFLICT, title).hint("look again, then decide")
}

/// Writes a word down for the process that serves, and who gave it. A form that is sent twice is
/// one.
async fn ask(
    house: &House,
    frame: &Frame,
    request: &NewRequest<'_>,
    target: &str,
    checked: Result<(), Refusal>,
) -> Result<i64, Refusal> {
    if let Some(known) = house.ledger.request_keyed(request.key).await? {
        return Ok(known);
    }
    let arguments = json!({ "look": request.arguments.get("look"), "reason": request.reason });
    let record = |result: String| {
        let arguments = arguments.to_string();
        async move {
            let mut action = frame.caller.action(request.act.name(), &result);
            action.target = Some(target);
            action.arguments = Some(&arguments);
            action.seen = request.seen;
            house.ledger.record_action(&action).await
        }
    };
    if let Err(refusal) = checked {
        record(refusal.title().to_owned()).await?;
        return Err(refusal);
    }
    let (number, new) = house.ledger.request(request).await?;
    if new {
        record("done".to_owned()).await?;
    }
    Ok(number)
}

pub(super) async fn approve(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(run): Path<i64>,
    Form(form): Form<WordForm>,
) -> Result<Redirect, Refusal> {
    let request = ask_to_approve(&house, &frame, run, &form.word()).await?;
    Ok(Redirect::to(&format!("/requests/{request}")))
}

/// Lets a run go ahead. Errors: it is not what was looked at any more.
pub(super) async fn ask_to_approve(
    house: &House,
    frame: &Frame,
    run: i64,
    word: &Word<'_>,
) -> Result<i64, Refusal> {
    let entry = house.run_for(frame, run).await?;
    let reason = reason(word.reason)?;
    let (look, seen) = look_of(house, frame, word, RequestAct::LookAtStopped, Some(run)).await?;
    let checked = match expect_another(house, frame, &entry).await {
        Ok(()) => expect_as_seen(house, &entry, &seen).await,
        refused @ Err(_) => refused,
    };
    let act = RequestAct::Approve;
    let request = NewRequest {
        run: Some(run),
        arguments: json!({ "look": look.request }),
        seen: Some(&seen),
        reason: Some(reason),
        ..NewRequest::new(word.key, act, &entry.job, &frame.caller.name)
    };
    ask(house, frame, &request, &format!("run {run}"), checked).await
}

/// Errors: the run waits no more, has other records, or is of a cycle that is not the newest.
async fn expect_as_seen(house: &House, entry: &RunEntry, seen: &str) -> Result<(), Refusal> {
    let project = house.project()?;
    let waiting = house.ledger.guarded_run(&entry.job).await?;
    let Some(waiting) = waiting.filter(|waiting| waiting.run == entry.run) else {
        return Err(moved(format!(
            "run {} waits for nobody any more",
            entry.run
        )));
    };
    let now = approval::digest(&project, &house.ledger, &waiting).await;
    if now.ok().as_deref() != Some(seen) {
        return Err(moved(format!(
            "run {} is not what was looked at",
            entry.run
        )));
    }
    let checked = house.job(&project, &entry.job)?;
    expect_newest(house, &checked, &entry.cycle).await
}

/// Errors: a newer cycle has finished.
async fn expect_newest(
    house: &House,
    checked: &crate::config::CheckedJob,
    cycle: &str,
) -> Result<(), Refusal> {
    match acts::newest_cycle(house, checked).await? {
        Some(newest) if newest != cycle => Err(moved(format!(
            "cycle `{newest}` has finished since you looked"
        ))),
        Some(_) | None => Ok(()),
    }
}

pub(super) async fn apply(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(look): Path<i64>,
    Form(form): Form<WordForm>,
) -> Result<Redirect, Refusal> {
    let word = Word {
        look,
        ..form.word()
    };
    let request = ask_to_apply(&house, &frame, &word).await?;
    Ok(Redirect::to(&format!("/requests/{request}")))
}

/// Applies exactly what a preview showed. Errors: the plan is gone, or of files or a cycle that are
/// no longer those.
pub(super) async fn ask_to_apply(
    house: &House,
    frame: &Frame,
    word: &Word<'_>,
) -> Result<i64, Refusal> {
    let reason = reason(word.reason)?;
    let (look, seen) = look_of(house, frame, word, RequestAct::Preview, None).await?;
    let checked = expect_plan(house, &look, &seen).await;
    let act = RequestAct::Apply;
    let request = NewRequest {
        write_back: look.write_back.as_deref(),
        arguments: json!({ "look": look.request }),
        seen: Some(&seen),
        reason: Some(reason),
        ..NewRequest::new(word.key, act, &look.job, &frame.caller.name)
    };
    ask(house, frame, &request, &look.job, checked).await
}

async fn expect_plan(house: &House, look: &PageRequest, seen: &str) -> Result<(), Refusal> {
    let project = house.project()?;
    let checked = house.job(&project, &look.job)?;
    let file = look_folder(&project, look.request).join(PLAN_FILE);
    let saved = tokio::task::block_in_place(|| SavedPlan::open(&file));
    let saved = saved.map_err(|error| moved(error.to_string()))?;
    if saved.digest() != seen {
        return Err(moved("the plan is not the one that was seen"));
    }
    saved
        .expect_job(&checked)
        .map_err(|error| moved(error.to_string()))?;
    expect_newest(house, &checked, &saved.cycle().id).await
}

/// How a run is to be taken back, as a form says it.
#[derive(Debug, Deserialize)]
pub(super) struct UndoForm {
    key: String,
    #[serde(default)]
    write_back: String,
    /// One key a line.
    #[serde(default)]
    records: String,
    even_changed: Option<String>,
    delete_created: Option<String>,
}

pub(super) async fn undo_form(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(run): Path<i64>,
) -> Result<Markup, Refusal> {
    let entry = house.run_for(&frame, run).await?;
    expect_over(&entry)?;
    let key = acts::fresh_key()?;
    let content = html! {
        p { "Rows get back what they held before run " (run) ", where they still hold what it wrote. "
            "First look at what that comes to; nothing is written by looking." }
        form.sheet method="post" action=(format!("/runs/{run}/undo/looks")) {
            input type="hidden" name="key" value=(key);
            label for="write_back" { "Write-backs" }
            select #write_back name="write_back" {
                option value="" { "all of them" }
                @for one in &entry.write_backs { option value=(one.name) { "only " (one.name) } }
            }
            label for="records" { "Only these records, a key a line" }
            textarea #records name="records" rows="3" {}
            label.check { input type="checkbox" name="even_changed"; " also rows that somebody changed since" }
            label.check { input type="checkbox" name="delete_created"; " also remove rows that the run created" }
            button.primary { "Look what it would come to" }
        }
        (parts::same(&format!("writeback undo {run} --preview")))
    };
    Ok(frame.page_within("Take it back?", &above(&entry), content))
}

/// Errors: the run is at work, or never wrote.
fn expect_over(entry: &RunEntry) -> Result<(), Refusal> {
    if parts::can_be_undone(entry) {
        return Ok(());
    }
    let title = match entry.status {
        RunStatus::Running => format!("run {} is at work", entry.run),
        RunStatus::Succeeded
        | RunStatus::Rejected
        | RunStatus::Failed
        | RunStatus::Guarded
        | RunStatus::NothingNew => format!("run {} wrote nothing", entry.run),
    };
    Err(Refusal::new(StatusCode::CONFLICT, title))
}

pub(super) async fn look_at_undo(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(run): Path<i64>,
    Form(form): Form<UndoForm>,
) -> Result<Redirect, Refusal> {
    let records = form.records.lines().map(str::trim);
    let arguments = UndoWish {
        records: records
            .filter(|key| !key.is_empty())
            .map(parking::key_of)
            .collect(),
        even_changed: form.even_changed.is_some(),
        delete_created: form.delete_created.is_some(),
    };
    let write_back = given(&form.write_back);
    let look = ask_to_look_at_undo(&house, &frame, run, write_back, &arguments, &form.key);
    Ok(to_look(look.await?))
}

/// Begins a look at an undo. Errors: the run is not over, or wrote nothing.
pub(super) async fn ask_to_look_at_undo(
    house: &Arc<House>,
    frame: &Frame,
    run: i64,
    write_back: Option<&str>,
    arguments: &UndoWish,
    key: &str,
) -> Result<i64, Refusal> {
    let entry = house.run_for(frame, run).await?;
    expect_over(&entry)?;
    if let Some(name) = write_back {
        house.write_back_of(&entry, name)?;
    }
    if arguments.records.len() > RECORDS_MAX {
        let title = format!("an undo of some records takes {RECORDS_MAX} at most");
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, title));
    }
    let asked = NewRequest {
        run: Some(run),
        write_back,
        arguments: json!(arguments),
        ..NewRequest::new(key, RequestAct::LookAtUndo, &entry.job, &frame.caller.name)
    };
    looks::begin(house, frame, &asked).await
}

pub(super) async fn undo(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(run): Path<i64>,
    Form(form): Form<WordForm>,
) -> Result<Redirect, Refusal> {
    let request = ask_to_undo(&house, &frame, run, &form.word()).await?;
    Ok(Redirect::to(&format!("/requests/{request}")))
}

/// Takes a run back as a look showed it. What rows hold by then is held against that look when it
/// is done.
pub(super) async fn ask_to_undo(
    house: &House,
    frame: &Frame,
    run: i64,
    word: &Word<'_>,
) -> Result<i64, Refusal> {
    let entry = house.run_for(frame, run).await?;
    let reason = reason(word.reason)?;
    let (look, seen) = look_of(house, frame, word, RequestAct::LookAtUndo, Some(run)).await?;
    let mut arguments = look.arguments.clone();
    if let Some(object) = arguments.as_object_mut() {
        object.insert("look".to_owned(), json!(look.request));
    }
    let request = NewRequest {
        run: Some(run),
        write_back: look.write_back.as_deref(),
        arguments,
        seen: Some(&seen),
        reason: Some(reason),
        ..NewRequest::new(word.key, RequestAct::Undo, &entry.job, &frame.caller.name)
    };
    let target = format!("run {run}");
    ask(house, frame, &request, &target, expect_over(&entry)).await
}

/// A look: what it showed, and the act that is bound to it.
pub(super) async fn look_page(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(number): Path<i64>,
) -> Result<Markup, Refusal> {
    house.expect_values_for(&frame)?;
    let look = acts::request_for(&house, &frame, number).await?;
    if !look.act.is_look() {
        return Err(Refusal::absent(format!("request {number} is no look")));
    }
    let project = house.project()?;
    let shown = match &look.seen {
        Some(_) if look.ended_at.is_some() => Some(looks::page_of(&project, number)?),
        Some(_) | None => None,
    };
    let run = match look.run {
        Some(run) => Some(house.run_for(&frame, run).await?),
        None => None,
    };
    let own = match run
        .as_ref()
        .filter(|_| look.act == RequestAct::LookAtStopped)
    {
        Some(run) => own_run(&house, &frame, run).await?,
        None => None,
    };
    let content = html! {
        (state(&house, &frame, &look))
        @if let Some(run) = run.as_ref().filter(|_| look.act == RequestAct::LookAtStopped) {
            (objections(run))
            @if let Some(usual) = usual(&house, run).await? { p { (usual) } }
        }
        @if let Some(shown) = shown {
            @if right_of(look.act).is_some_and(|right| frame.caller.holds(right)) {
                p { a href="#reason" { "To the decision, below" } }
            }
            div.look { (PreEscaped(shown)) }
            @if let Some(own) = &own { div #reason { (for_another(own)) } }
            @else { (word_form(&frame, &look, &looks::json_of(&project, number)?)?) }
        }
    };
    let mut above = vec![(paths::job(&look.job), look.job.as_str())];
    let run_name = look.run.map(|run| format!("Run {run}"));
    if let (Some(run), Some(name)) = (look.run, &run_name) {
        above.push((paths::run(run), name.as_str()));
    }
    Ok(frame.page_within(&title(&look), &above, content))
}

fn title(look: &PageRequest) -> String {
    match look.act {
        RequestAct::LookAtStopped => "Let it go ahead?".to_owned(),
        RequestAct::LookAtUndo => "Take it back?".to_owned(),
        RequestAct::Verify => format!("Verification of {}", look.job),
        RequestAct::Test => "One record, the whole way".to_owned(),
        RequestAct::Preview => format!("Preview of {}", look.job),
        RequestAct::Run
        | RequestAct::Retry
        | RequestAct::Approve
        | RequestAct::Apply
        | RequestAct::Undo
        | RequestAct::Stop => format!("Request {}", look.request),
    }
}

fn state(house: &House, frame: &Frame, look: &PageRequest) -> Markup {
    let made_here = house.looks().contains_key(&look.request);
    let kept =
        look.act == RequestAct::Test && look.arguments.get("rollback") == Some(&Value::Bool(false));
    html! { div role="status" { @match (look.ended_at, &look.seen) {
        (Some(ended_at), Some(_)) => p.quiet {
            "Looked at " (frame.zone.time_and_age(ended_at, Utc::now())) " for " (look.who) ". "
            @if kept { "What was written stays." } @else { "Nothing was written." }
        },
        (Some(_), None) => p.refused { (look.message.as_deref().unwrap_or("It showed nothing.")) },
        (None, _) if made_here => div data-live=(format!("/events?request={}", look.request)) {
            (acts::missed())
            p.lead { span.chip { "▶ looking" } " It reads records and asks the destination; nothing is written." }
            p { a.button href=(paths::request(look.request, look.act)) { "Look again" } }
        },
        (None, _) => p.refused { "It is not being made here: it was cut off, or another process makes it." },
    } } }
}

/// The right that is asked for by the act that a look is made for, if there is one.
fn right_of(look: RequestAct) -> Option<Right> {
    match look {
        RequestAct::LookAtStopped => Some(Right::Approve),
        RequestAct::LookAtUndo => Some(Right::Undo),
        RequestAct::Preview => Some(Right::Apply),
        RequestAct::Verify
        | RequestAct::Test
        | RequestAct::Run
        | RequestAct::Retry
        | RequestAct::Approve
        | RequestAct::Apply
        | RequestAct::Undo
        | RequestAct::Stop => None,
    }
}

/// How many records an act would change, as its look told.
fn records(told: &Value, names: &[&str]) -> u64 {
    let write_backs = told["write_backs"].as_array();
    let counts = write_backs
        .into_iter()
        .flatten()
        .flat_map(|one| names.iter().filter_map(|name| one.get(*name)?.as_u64()));
    counts.sum()
}

/// The button that does what was looked at, for those who may press it.
fn word_form(frame: &Frame, look: &PageRequest, told: &Value) -> Result<Markup, Refusal> {
    let written = grouped(records(told, &["updated", "inserted"]));
    let (action, button, command) = match (look.act, look.run) {
        (RequestAct::LookAtStopped, Some(run)) => (
            format!("/runs/{run}/approval"),
            format!("Let {written} records be changed"),
            format!("writeback run {} --approve", look.job),
        ),
        (RequestAct::LookAtUndo, Some(run)) => (
            format!("/runs/{run}/undo"),
            format!(
                "Take back {} records",
                grouped(records(told, &["reversed"]))
            ),
            format!("writeback undo {run}"),
        ),
        (RequestAct::Preview, _) => (
            format!("/looks/{}/apply", look.request),
            format!("Apply exactly this: {written} records"),
            format!(
                "writeback preview {0} --out plan, then writeback run {0} --plan plan",
                look.job
            ),
        ),
        _ => return Ok(html! {}),
    };
    if let Some(right) = right_of(look.act).filter(|right| !frame.caller.holds(*right)) {
        let who = match frame.caller.rights.least(right) {
            Role::Admin => "Admins",
            Role::Operator | Role::Viewer => "Operators",
        };
        return Ok(html! { p.quiet { (who) " may decide here." } });
    }
    let key = acts::fresh_key()?;
    Ok(html! {
        form.sheet method="post" action=(action) {
            input type="hidden" name="key" value=(key);
            input type="hidden" name="look" value=(look.request);
            label for="reason" { "Why?" }
            input #reason name="reason" required maxlength=(REASON_CHARACTERS_MAX) aria-describedby="recorded";
            p.quiet #recorded { "It is recorded: " (frame.caller.name) ", now." }
            button.primary { (button) }
            @if let Some(run) = look.run { a href=(paths::run(run)) { "Leave it as it is" } }
        }
        (parts::same(&command))
    })
}
