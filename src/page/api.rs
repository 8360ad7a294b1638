//! The page for programs: `/api/v1`, with the same rights, the same words and the same figures as
//! the page and as `--json` prints them, and its own description in OpenAPI.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::frame::Frame;
use super::house::House;
use super::people::Newcomer;
use super::refusal::Refusal;
use super::{
    account, acts, agencies, dashboards, deciding, door, editing, looks, overview, paths, people,
    plots, problems, questions, runs, settings, tending, write_backs,
};
use crate::domain::access::{Right, Role};
use crate::domain::alert::StandingAlert;
use crate::domain::method::Method;
use crate::domain::outcome::{Rejection, Stage};
use crate::ledger::cycles::Noticed;
use crate::ledger::{ActionsWanted, RequestAct, RetryWish, RunEntry, RunStatus, UndoWish};
use crate::report::{agencies as report, failure, schedule};
use crate::run::parking;
use crate::run::record_writes::RecordOf;
use crate::schedule::outlook::{self, Depth};

/// Items of a list that are given at once.
const ITEMS_MAX: u32 = 100;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "writeback",
        description = "What the page of `writeback serve` shows and does. Errors are `application/problem+json`."
    ),
    security(("token" = [])),
    components(schemas(Problem)),
    modifiers(&Tokens)
)]
struct Description;

/// Why there is no answer (RFC 9457).
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what `refusal` writes")]
struct Problem {
    /// `about:blank`: the status says what kind it is.
    r#type: String,
    /// What is wrong.
    title: String,
    status: u16,
    /// What to do about it.
    hint: Option<String>,
    /// Mistakes in the project's files, each with its place.
    problems: Option<Vec<Value>>,
}

/// The statuses of all that is refused.
const REFUSALS: &str = "4XX";

/// Describes of every operation what is told where it is refused.
fn describe_refusals(openapi: &mut utoipa::openapi::OpenApi) {
    use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
    let problem = || Content::new(Some(Ref::from_schema_name("Problem")));
    let kind = "application/problem+json";
    for item in openapi.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            let responses = &mut operation.responses.responses;
            for (status, response) in responses.iter_mut() {
                if let (true, RefOr::T(response)) = (status.starts_with('4'), response) {
                    response.content.insert(kind.to_owned(), problem().into());
                }
            }
            let refusal = ResponseBuilder::new().description("it is refused, and why");
            let refusal = refusal.content(kind, problem());
            responses.insert(REFUSALS.to_owned(), refusal.into());
        }
    }
}

/// Programs bring a token.
struct Tokens;

impl utoipa::Modify for Tokens {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        let bearer = bearer.description(Some("`writeback page token add NAME` makes one"));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    }
}

fn described() -> OpenApiRouter<Arc<House>> {
    let looks = OpenApiRouter::new()
        .routes(routes!(session))
        .routes(routes!(actions))
        .routes(routes!(problems))
        .routes(routes!(status))
        .routes(routes!(job))
        .routes(routes!(freshness))
        .routes(routes!(history))
        .routes(routes!(runs))
        .routes(routes!(run))
        .routes(routes!(rejected))
        .routes(routes!(dashboard))
        .routes(routes!(alerts))
        .routes(routes!(methods))
        .routes(routes!(agencies))
        .routes(routes!(job_settings))
        .routes(routes!(request))
        .routes(routes!(sessions))
        .routes(routes!(end_session))
        .routes(routes!(openapi))
        .route_layer(from_fn_with_state(Role::Viewer, door::at_least));
    let operates = OpenApiRouter::new()
        .routes(routes!(job_questions))
        .routes(routes!(run_job))
        .routes(routes!(stop_run))
        .routes(routes!(preview))
        .routes(routes!(verify))
        .routes(routes!(look))
        .routes(routes!(retry))
        .routes(routes!(park, lift))
        .routes(routes!(park_like))
        .routes(routes!(test))
        .routes(routes!(announce))
        .routes(routes!(pause, resume))
        .route_layer(from_fn_with_state(Role::Operator, door::at_least));
    let approves = OpenApiRouter::new()
        .routes(routes!(look_at_stopped))
        .routes(routes!(approve))
        .route_layer(from_fn_with_state(Right::Approve, door::holds));
    let undoes = OpenApiRouter::new()
        .routes(routes!(look_at_undo))
        .routes(routes!(undo))
        .route_layer(from_fn_with_state(Right::Undo, door::holds));
    let applies = OpenApiRouter::new()
        .routes(routes!(apply))
        .route_layer(from_fn_with_state(Right::Apply, door::holds));
    let governs = OpenApiRouter::new()
        .routes(routes!(file, put_file))
        .routes(routes!(people, add_person))
        .routes(routes!(remove_person))
        .routes(routes!(tokens, add_token))
        .routes(routes!(remove_token))
        .route_layer(from_fn_with_state(Role::Admin, door::at_least));
    OpenApiRouter::with_openapi(Description::openapi())
        .nest("/api/v1", looks)
        .nest("/api/v1", operates)
        .nest("/api/v1", approves)
        .nest("/api/v1", undoes)
        .nest("/api/v1", applies)
        .nest("/api/v1", governs)
}

pub(super) fn routes() -> Router<Arc<House>> {
    described().split_for_parts().0
}

/// The description, as `writeback page openapi` prints it.
pub(crate) fn openapi_text() -> String {
    let mut openapi = described().split_for_parts().1;
    describe_refusals(&mut openapi);
    let mut text = openapi.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "OpenAPI 3.1")))]
async fn openapi() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, openapi_text()).into_response()
}

/// Who asks, and what they may do.
#[utoipa::path(get, path = "/session", responses((status = 200, description = "name, role, job, sees_values")))]
async fn session(State(house): State<Arc<House>>, frame: Frame) -> Json<Value> {
    let caller = &frame.caller;
    let sees_values = house.shows_values_to(caller.role);
    let job = &caller.job;
    Json(
        json!({ "name": caller.name, "role": caller.role, "job": job, "sees_values": sees_values }),
    )
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct WantedActs {
    /// Only acts of this name.
    act: Option<String>,
    /// Only acts of this person or program.
    who: Option<String>,
    /// Only acts on what has this in its name.
    target: Option<String>,
    /// Only acts that were done, or only those that were refused.
    done: Option<bool>,
    /// `next` of the list before.
    before: Option<i64>,
}

/// What people and programs did, newest first.
#[utoipa::path(get, path = "/actions", params(WantedActs), responses((status = 200, description = "items, next")))]
async fn actions(
    State(house): State<Arc<House>>,
    frame: Frame,
    Query(asked): Query<WantedActs>,
) -> Result<Json<Value>, Refusal> {
    frame.caller.expect_every_job()?;
    let wanted = ActionsWanted {
        act: asked.act,
        who: asked.who,
        target: asked.target,
        is_done: asked.done,
        before: asked.before,
    };
    let actions = house.ledger.actions(&wanted, ITEMS_MAX).await?;
    let next = actions
        .last()
        .map(|last| last.action)
        .filter(|last| *last > 1);
    Ok(Json(json!({ "items": actions, "next": next })))
}

/// What is wrong with the project's files.
#[utoipa::path(get, path = "/problems", responses((status = 200, description = "items: severity, location, message, hint")))]
async fn problems(State(house): State<Arc<House>>, frame: Frame) -> Result<Json<Value>, Refusal> {
    frame.caller.expect_every_job()?;
    let found = tokio::task::block_in_place(|| problems::find(&house));
    Ok(Json(
        json!({ "items": failure::problems_json(&found.problems) }),
    ))
}

/// Every job: its last run, what is pending, and why it runs now or does not, as `status --json`.
#[utoipa::path(get, path = "/status", responses((status = 200, description = "server, jobs")))]
async fn status(State(house): State<Arc<House>>, frame: Frame) -> Result<Json<Value>, Refusal> {
    let project = house.project()?;
    let found = tokio::task::block_in_place(|| problems::find_of(&project));
    let asked = (Depth::Whole, Utc::now());
    let seen = overview::outlooks(&house, &frame, &project, &found.jobs, asked);
    let (outlooks, server) = seen.await?;
    Ok(Json(schedule::outlooks_json(&outlooks, server.as_ref())))
}

/// One job, as `status JOB --json`.
#[utoipa::path(get, path = "/jobs/{job}", params(("job" = String, Path)), responses((status = 200, description = "server, jobs")))]
async fn job(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
) -> Result<Json<Value>, Refusal> {
    frame.caller.expect_job(&job)?;
    let project = house.project()?;
    let checked = house.job(&project, &job)?;
    let (ledger, openings) = (&house.ledger, outlook::OPENINGS_USUAL);
    let seen = outlook::outlook(&project, &checked.job, ledger, openings, Utc::now());
    let (seen, server) = seen.await?;
    Ok(Json(schedule::outlooks_json(&[seen], server.as_ref())))
}

/// When the data of a job's deliveries was complete, noticed, allowed, begun and done.
#[utoipa::path(get, path = "/jobs/{job}/freshness", params(("job" = String, Path)), responses((status = 200, description = "items")))]
async fn freshness(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
) -> Result<Json<Value>, Refusal> {
    frame.caller.expect_job(&job)?;
    let checked = house.job(&house.project()?, &job)?;
    let runs = house.ledger.runs(Some(&job), plots::RUNS_MAX).await?;
    let cadence = checked.job.cadence.as_ref();
    let fresh = plots::freshness(&house, cadence, &runs).await?;
    let item = |one: &plots::Fresh<'_>| {
        let way = one.way;
        json!({
            "run": one.run.run, "cycle": one.run.cycle, "completed_at": way.completed_at,
            "noticed_at": way.noticed_at, "allowed_at": way.allowed_at,
            "begun_at": way.begun_at, "done_at": way.done_at,
        })
    };
    let items: Vec<Value> = fresh.iter().map(item).collect();
    Ok(Json(json!({ "items": items })))
}

/// One record: who wrote its fields, run by run, as `history --json`; the newest writes first, and
/// where there are older ones, `next`.
#[utoipa::path(
    get,
    path = "/jobs/{job}/{write_back}/records/{key}",
    params(
        ("job" = String, Path),
        ("write_back" = String, Path),
        ("key" = String, Path),
        ("before" = Option<i64>, Query, description = "`next` of the list before")
    ),
    responses((status = 200, description = "entries, since, unknown, next"))
)]
async fn history(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((job, write_back, key)): Path<(String, String, String)>,
    Query(wanted): Query<write_backs::PartWanted>,
) -> Result<Json<Value>, Refusal> {
    frame.caller.expect_job(&job)?;
    house.expect_values_for(&frame)?;
    let of = RecordOf {
        job: &job,
        write_back: &write_back,
        record: &key,
    };
    let told = write_backs::biography(&house, of, &wanted).await?;
    Ok(Json(json!(told)))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `runs::Filter` reads")]
struct RunsQuery {
    job: Option<String>,
    status: Option<String>,
    cycle: Option<String>,
    /// `next` of the list before.
    before: Option<i64>,
}

/// Runs, newest first, each as `runs --json` prints it.
#[utoipa::path(get, path = "/runs", params(RunsQuery), responses((status = 200, description = "items, next")))]
async fn runs(
    State(house): State<Arc<House>>,
    frame: Frame,
    Query(filter): Query<runs::Filter>,
) -> Result<Json<Value>, Refusal> {
    let mut wanted = filter.wanted();
    wanted.within = frame.caller.job.as_deref();
    let found = house.ledger.runs_wanted(wanted, ITEMS_MAX).await?;
    let next = found
        .last()
        .filter(|_| found.len() == ITEMS_MAX as usize)
        .map(|last| last.run);
    let shown: Vec<Value> = found.iter().map(|run| told(&house, &frame, run)).collect();
    Ok(Json(json!({ "items": shown, "next": next })))
}

/// One run in full, as `runs RUN --json`.
#[utoipa::path(get, path = "/runs/{run}", params(("run" = i64, Path)), responses((status = 200, description = "a run")))]
async fn run(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(run): Path<i64>,
) -> Result<Json<Value>, Refusal> {
    let entry = house.run_for(&frame, run).await?;
    let batches = house.ledger.batches(run).await?;
    let mut value = told(&house, &frame, &entry);
    if let Some(object) = value.as_object_mut() {
        object.insert("batches".to_owned(), json!(batches));
    }
    Ok(Json(value))
}

/// A run as somebody may see it: why it failed may be in a destination's words, which hold values.
fn told(house: &House, frame: &Frame, run: &RunEntry) -> Value {
    let mut run = run.clone();
    if !house.shows_values_to(frame.caller.role) && run.status != RunStatus::Guarded {
        run.error = run.error.map(|_| "it could not finish".to_owned());
    }
    json!(run)
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `runs::RejectedFilter` reads")]
struct RejectedQuery {
    stage: Option<String>,
    column: Option<String>,
    /// The whole reason.
    reason: Option<String>,
    /// Stands in the key or the reason.
    q: Option<String>,
    /// `next` of the list before.
    after: Option<u64>,
}

/// Rejected records of a write-back of a run.
#[utoipa::path(
    get,
    path = "/runs/{run}/{write_back}/rejected",
    params(("run" = i64, Path), ("write_back" = String, Path), RejectedQuery),
    responses((status = 200, description = "items, next"))
)]
async fn rejected(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((run, name)): Path<(i64, String)>,
    Query(filter): Query<runs::RejectedFilter>,
) -> Result<Json<Value>, Refusal> {
    let entry = house.run_for(&frame, run).await?;
    let (id, _) = house.write_back_of(&entry, &name)?;
    let values = house.shows_values_to(frame.caller.role);
    let (wanted, after) = (filter.wanted(), filter.after());
    let found = house
        .ledger
        .rejections_wanted(id, wanted, after, ITEMS_MAX)
        .await?;
    let item = |one: &Rejection| {
        let shown = values || one.stage != Stage::Destination;
        let reason = shown.then_some(&one.reason);
        json!({ "record": one.record, "key": one.key, "stage": one.stage, "column": one.column, "reason": reason })
    };
    let next = found
        .last()
        .filter(|_| found.len() == ITEMS_MAX as usize)
        .map(|last| last.record);
    let items: Vec<Value> = found.iter().map(item).collect();
    Ok(Json(json!({ "items": items, "next": next })))
}

/// The cycles that a dashboard finished last.
#[utoipa::path(get, path = "/dashboards/{dashboard}", params(("dashboard" = String, Path)), responses((status = 200, description = "items")))]
async fn dashboard(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    frame.caller.expect_every_job()?;
    house.dashboard(&house.project()?, &name)?;
    let cycles = house
        .ledger
        .cycles_noticed(&name, dashboards::CYCLES_MAX)
        .await?;
    let items: Vec<Value> = cycles.iter().map(cycle_json).collect();
    Ok(Json(json!({ "items": items })))
}

/// Alerts that are not over.
#[utoipa::path(get, path = "/alerts", responses((status = 200, description = "items")))]
async fn alerts(State(house): State<Arc<House>>, frame: Frame) -> Result<Json<Value>, Refusal> {
    let standing = house.ledger.standing_alerts(None).await?;
    let theirs = standing
        .iter()
        .filter(|alert| frame.caller.may_see(&alert.job));
    let item = |alert: &StandingAlert| json!({ "job": alert.job, "kind": alert.kind.name(), "since": alert.since, "message": alert.message });
    let items: Vec<Value> = theirs.map(item).collect();
    Ok(Json(json!({ "items": items })))
}

/// The value methods, each with its purpose and an example.
#[utoipa::path(get, path = "/methods", responses((status = 200, description = "items")))]
async fn methods() -> Json<Value> {
    let item = |method: Method| json!({ "name": method.name(), "purpose": method.purpose(), "example": method.example() });
    Json(json!({ "items": Method::ALL.map(item) }))
}

/// Every agency: what it has switched on, how many settings its file changes, what is pending.
#[utoipa::path(get, path = "/agencies", responses((status = 200, description = "items")))]
async fn agencies(State(house): State<Arc<House>>, frame: Frame) -> Result<Json<Value>, Refusal> {
    let seen = agencies::see(&house, &frame).await?;
    let items: Vec<Value> = seen.iter().map(agencies::Seen::json).collect();
    Ok(Json(json!({ "items": items })))
}

/// Every setting of a job or an agency, with the file and line that says it, as `show --json`.
#[utoipa::path(get, path = "/jobs/{job}/settings", params(("job" = String, Path)), responses((status = 200, description = "items: path, value, file, line, changed")))]
async fn job_settings(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
) -> Result<Json<Value>, Refusal> {
    frame.caller.expect_job(&job)?;
    let settings = tokio::task::block_in_place(|| settings::of_job(&house, &job))?;
    Ok(Json(json!({ "items": report::settings_json(&settings) })))
}

/// What a job's records were asked, as `questions --json`; nothing, if it has no questions.
#[utoipa::path(get, path = "/jobs/{job}/questions", params(("job" = String, Path)), responses((status = 200, description = "records, questions"), (status = 424, description = "they could not be read")))]
async fn job_questions(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let (checked, asked) = questions::of_job(&house, &frame, &job).await?;
    Ok(Json(asked.json(&checked.job.name)))
}

/// What is to be run.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
struct RunAsked {
    /// The newest cycle, as it was seen; none where the job follows no dashboard.
    cycle: Option<String>,
    /// The only one of the job's write-backs.
    write_back: Option<String>,
}

/// Asks for a run now. The same `Idempotency-Key` asks for the same run.
#[utoipa::path(
    post,
    path = "/jobs/{job}/runs",
    params(("job" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = RunAsked,
    responses((status = 202, description = "a request"), (status = 409, description = "a newer cycle finished"))
)]
async fn run_job(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
    headers: HeaderMap,
    Json(asked): Json<RunAsked>,
) -> Result<Response, Refusal> {
    let key = key_of(&headers)?;
    let wanted = acts::RunWanted {
        key: &key,
        cycle: asked.cycle.as_deref(),
        write_back: asked.write_back.as_deref(),
    };
    let number = acts::ask_for_run(&house, &frame, &job, &wanted).await?;
    accepted(&house, &frame, number).await
}

/// Asks a run at work to stop.
#[utoipa::path(
    post,
    path = "/runs/{run}/stop",
    params(("run" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "a request"), (status = 409, description = "it is over"))
)]
async fn stop_run(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(run): Path<i64>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let number = acts::ask_to_stop(&house, &frame, run, &key_of(&headers)?).await?;
    accepted(&house, &frame, number).await
}

/// What is to be looked at.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
struct LookAsked {
    /// The only one of the job's write-backs.
    write_back: Option<String>,
}

/// Looks at what a run of a job would do now, and keeps it as a plan. Writes nothing.
#[utoipa::path(
    post,
    path = "/jobs/{job}/previews",
    params(("job" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = LookAsked,
    responses((status = 202, description = "a look"), (status = 409, description = "another look at the job is being made"))
)]
async fn preview(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
    headers: HeaderMap,
    Json(asked): Json<LookAsked>,
) -> Result<Response, Refusal> {
    let (key, only) = (key_of(&headers)?, asked.write_back.as_deref());
    let look = deciding::look_at_job(&house, &frame, RequestAct::Preview, &job, only, &key).await?;
    accepted(&house, &frame, look).await
}

/// Looks whether the destination still holds what was written back last. Writes nothing.
#[utoipa::path(
    post,
    path = "/jobs/{job}/verifications",
    params(("job" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = LookAsked,
    responses((status = 202, description = "a look"), (status = 409, description = "another look at the job is being made"))
)]
async fn verify(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
    headers: HeaderMap,
    Json(asked): Json<LookAsked>,
) -> Result<Response, Refusal> {
    let (key, only) = (key_of(&headers)?, asked.write_back.as_deref());
    let look = deciding::look_at_job(&house, &frame, RequestAct::Verify, &job, only, &key).await?;
    accepted(&house, &frame, look).await
}

/// Looks at what a run that guards stopped would change. Writes nothing.
#[utoipa::path(
    post,
    path = "/runs/{run}/approval/looks",
    params(("run" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "a look"), (status = 409, description = "it waits for nobody"))
)]
async fn look_at_stopped(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(run): Path<i64>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = key_of(&headers)?;
    let look = deciding::ask_to_look_at_stopped(&house, &frame, run, &key).await?;
    accepted(&house, &frame, look).await
}

/// That what a look showed is to be done, and why.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct WordGiven {
    look: i64,
    /// Recorded, for whoever reads it later.
    reason: String,
}

impl WordGiven {
    fn word<'a>(&'a self, key: &'a str) -> deciding::Word<'a> {
        deciding::Word {
            key,
            look: self.look,
            reason: &self.reason,
        }
    }
}

/// Lets a run go ahead that guards stopped, as a look showed it.
#[utoipa::path(
    post,
    path = "/runs/{run}/approval",
    params(("run" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = WordGiven,
    responses((status = 202, description = "a request"), (status = 409, description = "it is not what was looked at any more"))
)]
async fn approve(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(run): Path<i64>,
    headers: HeaderMap,
    Json(given): Json<WordGiven>,
) -> Result<Response, Refusal> {
    let key = key_of(&headers)?;
    let number = deciding::ask_to_approve(&house, &frame, run, &given.word(&key)).await?;
    accepted(&house, &frame, number).await
}

/// How a run is to be taken back.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
struct UndoAsked {
    /// The only one of the run's write-backs.
    write_back: Option<String>,
    /// Match keys of the only records.
    #[serde(default)]
    records: Vec<String>,
    /// Rows that somebody changed since, too.
    #[serde(default)]
    even_changed: bool,
    /// Rows that the run created are removed.
    #[serde(default)]
    delete_created: bool,
}

/// Looks at what taking a run back would come to. Writes nothing.
#[utoipa::path(
    post,
    path = "/runs/{run}/undo/looks",
    params(("run" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = UndoAsked,
    responses((status = 202, description = "a look"), (status = 409, description = "it is at work, or wrote nothing"))
)]
async fn look_at_undo(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(run): Path<i64>,
    headers: HeaderMap,
    Json(asked): Json<UndoAsked>,
) -> Result<Response, Refusal> {
    let key = key_of(&headers)?;
    let arguments = UndoWish {
        records: asked
            .records
            .iter()
            .map(|key| parking::key_of(key))
            .collect(),
        even_changed: asked.even_changed,
        delete_created: asked.delete_created,
    };
    let only = asked.write_back.as_deref();
    let look = deciding::ask_to_look_at_undo(&house, &frame, run, only, &arguments, &key).await?;
    accepted(&house, &frame, look).await
}

/// Takes a run back, as a look showed it.
#[utoipa::path(
    post,
    path = "/runs/{run}/undo",
    params(("run" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = WordGiven,
    responses((status = 202, description = "a request"), (status = 409, description = "the look is at another run"))
)]
async fn undo(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(run): Path<i64>,
    headers: HeaderMap,
    Json(given): Json<WordGiven>,
) -> Result<Response, Refusal> {
    let key = key_of(&headers)?;
    let number = deciding::ask_to_undo(&house, &frame, run, &given.word(&key)).await?;
    accepted(&house, &frame, number).await
}

/// Why something is to be done.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct Why {
    /// Recorded, for whoever reads it later.
    reason: String,
}

/// Applies exactly what a preview showed.
#[utoipa::path(
    post,
    path = "/looks/{look}/apply",
    params(("look" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Why,
    responses((status = 202, description = "a request"), (status = 409, description = "its files or its cycle are others now"))
)]
async fn apply(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(look): Path<i64>,
    headers: HeaderMap,
    Json(given): Json<Why>,
) -> Result<Response, Refusal> {
    let (key, reason) = (key_of(&headers)?, given.reason.as_str());
    let key = key.as_str();
    let word = deciding::Word { key, look, reason };
    let number = deciding::ask_to_apply(&house, &frame, &word).await?;
    accepted(&house, &frame, number).await
}

/// A file of the project, to be edited: its text, and the digest of its bytes.
#[utoipa::path(get, path = "/files/{file}", params(("file" = String, Path, description = "its slash as `%2F`")), responses((status = 200, description = "file, digest, text"), (status = 403, description = "files are not edited here")))]
async fn file(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let read = tokio::task::block_in_place(|| editing::read(&house, &frame, &name))?;
    Ok(Json(
        json!({ "file": name, "digest": read.digest(), "text": read.text()? }),
    ))
}

/// What a file is to hold.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct FilePut {
    text: String,
}

/// Writes a file of the project: the same bytes but for lines that differ, if it still has the
/// digest of `If-Match` and the project stays without mistakes.
#[utoipa::path(
    put,
    path = "/files/{file}",
    params(("file" = String, Path, description = "its slash as `%2F`"), ("If-Match" = String, Header)),
    request_body = FilePut,
    responses((status = 200, description = "file, digest"), (status = 409, description = "it was changed since"), (status = 422, description = "problems"))
)]
async fn put_file(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(put): Json<FilePut>,
) -> Result<Json<Value>, Refusal> {
    let base = headers
        .get(header::IF_MATCH)
        .and_then(|base| base.to_str().ok());
    let base = base.map(|base| base.trim_matches('"'));
    let base = base.ok_or_else(|| {
        let title = "`If-Match` is to say which digest the file had";
        Refusal::new(StatusCode::PRECONDITION_REQUIRED, title)
    })?;
    let digest = editing::put(&house, &frame, &name, base, &put.text).await?;
    Ok(Json(json!({ "file": name, "digest": digest })))
}

/// A look, and what it showed, as the command prints it.
#[utoipa::path(get, path = "/looks/{look}", params(("look" = i64, Path)), responses((status = 200, description = "a request, and `told` once it has ended")))]
async fn look(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(look): Path<i64>,
) -> Result<Json<Value>, Refusal> {
    house.expect_values_for(&frame)?;
    let request = acts::request_for(&house, &frame, look).await?;
    let mut value = json!(request);
    if let Some(object) = value.as_object_mut()
        && request.act.is_look()
        && request.ended_at.is_some()
        && request.seen.is_some()
    {
        let told = looks::json_of(&house.project()?, look)?;
        object.insert("told".to_owned(), told);
    }
    Ok(Json(value))
}

/// Which rejected records are meant.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
struct RetryAsked {
    /// The only one of the job's write-backs.
    write_back: Option<String>,
    /// The run that rejected them; without it, all that is pending.
    run: Option<i64>,
    stage: Option<String>,
    column: Option<String>,
    /// The whole reason.
    reason: Option<String>,
    /// Stands in the key or the reason.
    q: Option<String>,
    /// How many there are, as was seen.
    records: u64,
}

impl RetryAsked {
    fn arguments(&self) -> RetryWish {
        RetryWish {
            run: self.run,
            stage: self.stage.clone(),
            column: self.column.clone(),
            reason: self.reason.clone(),
            text: self.q.clone(),
            records: self.records,
        }
    }
}

/// Takes rejected records again, and no others.
#[utoipa::path(
    post,
    path = "/jobs/{job}/retries",
    params(("job" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = RetryAsked,
    responses((status = 202, description = "a request"), (status = 409, description = "they are not as many as were seen"))
)]
async fn retry(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
    headers: HeaderMap,
    Json(asked): Json<RetryAsked>,
) -> Result<Response, Refusal> {
    let (key, arguments) = (key_of(&headers)?, asked.arguments());
    let only = asked.write_back.as_deref();
    let number = tending::ask_to_retry(&house, &frame, &job, only, &arguments, &key).await?;
    accepted(&house, &frame, number).await
}

/// Until when records are left alone, and why.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct ParkAsked {
    /// A date, a time with its zone, or `changed`.
    until: String,
    reason: String,
}

/// Leaves one record alone.
#[utoipa::path(
    put,
    path = "/jobs/{job}/{write_back}/parked/{key}",
    params(("job" = String, Path), ("write_back" = String, Path), ("key" = String, Path)),
    request_body = ParkAsked,
    responses((status = 200, description = "items: what is parked by it"))
)]
async fn park(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((job, name, key)): Path<(String, String, String)>,
    Json(asked): Json<ParkAsked>,
) -> Result<Json<Value>, Refusal> {
    let (until, key) = (tending::read_until(&asked.until)?, parking::key_of(&key));
    let keys = [key.as_str()];
    let parked = tending::park(&house, &frame, &job, &name, &keys, until, &asked.reason).await?;
    Ok(Json(json!({ "items": parked })))
}

/// Takes a parked record up again.
#[utoipa::path(
    delete,
    path = "/jobs/{job}/{write_back}/parked/{key}",
    params(("job" = String, Path), ("write_back" = String, Path), ("key" = String, Path)),
    responses((status = 204, description = "done"), (status = 409, description = "it is not parked"))
)]
async fn lift(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((job, name, key)): Path<(String, String, String)>,
) -> Result<StatusCode, Refusal> {
    tending::lift(&house, &frame, &job, &name, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which rejected records of a run are left alone, until when, and why.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct ParkLikeAsked {
    stage: Option<String>,
    column: Option<String>,
    /// The whole reason of the rejection.
    reason: Option<String>,
    /// Stands in the key or the reason.
    q: Option<String>,
    /// How many there are, as was seen.
    records: u64,
    until: String,
    /// Why they are left alone.
    because: String,
}

/// Leaves all rejected records alone that are like this.
#[utoipa::path(
    post,
    path = "/runs/{run}/{write_back}/parked",
    params(("run" = i64, Path), ("write_back" = String, Path)),
    request_body = ParkLikeAsked,
    responses((status = 200, description = "items: what is parked by it"), (status = 409, description = "they are not as many as were seen"))
)]
async fn park_like(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((run, name)): Path<(i64, String)>,
    Json(asked): Json<ParkLikeAsked>,
) -> Result<Json<Value>, Refusal> {
    let until = tending::read_until(&asked.until)?;
    let job = house.run_for(&frame, run).await?.job;
    let arguments = RetryWish {
        run: Some(run),
        stage: asked.stage,
        column: asked.column,
        reason: asked.reason,
        text: asked.q,
        records: asked.records,
    };
    let of = (job.as_str(), name.as_str());
    let parked = tending::park_all(&house, &frame, of, &arguments, until, &asked.because).await?;
    Ok(Json(json!({ "items": parked })))
}

/// Whether nothing of a test is to stay.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct TestAsked {
    rollback: bool,
}

/// Takes one record the whole way and reads it back. What stays takes an admin.
#[utoipa::path(
    post,
    path = "/jobs/{job}/{write_back}/records/{key}/tests",
    params(("job" = String, Path), ("write_back" = String, Path), ("key" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = TestAsked,
    responses((status = 202, description = "a look"), (status = 403, description = "what stays takes an admin"))
)]
async fn test(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((job, name, record)): Path<(String, String, String)>,
    headers: HeaderMap,
    Json(asked): Json<TestAsked>,
) -> Result<Response, Refusal> {
    let (key, of) = (
        key_of(&headers)?,
        (job.as_str(), name.as_str(), record.as_str()),
    );
    let look = tending::ask_to_test(&house, &frame, of, asked.rollback, &key).await?;
    accepted(&house, &frame, look).await
}

/// A cycle that finished.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct CycleAnnounced {
    cycle: String,
    /// Now, if it is not told.
    completed_at: Option<String>,
}

/// Announces that a dashboard finished a cycle; one that is known stays as it is.
#[utoipa::path(
    post,
    path = "/dashboards/{dashboard}/cycles",
    params(("dashboard" = String, Path)),
    request_body = CycleAnnounced,
    responses((status = 200, description = "cycle, completed_at, noticed_at"), (status = 409, description = "the dashboard tells itself"))
)]
async fn announce(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(name): Path<String>,
    Json(told): Json<CycleAnnounced>,
) -> Result<Json<Value>, Refusal> {
    let completed_at = told.completed_at.as_deref().map(tending::read_instant);
    let completed_at = completed_at.transpose()?;
    let noticed = tending::announce_cycle(&house, &frame, &name, &told.cycle, completed_at).await?;
    Ok(Json(cycle_json(&noticed)))
}

fn cycle_json(noticed: &Noticed) -> Value {
    let cycle = &noticed.cycle;
    json!({ "cycle": cycle.id, "completed_at": cycle.completed_at, "noticed_at": noticed.noticed_at })
}

/// Until when nothing runs a job, and why.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct PauseAsked {
    /// A date, or a time with its zone; without it, until it is ended.
    until: Option<String>,
    reason: String,
}

/// Lets nothing run a job for a while.
#[utoipa::path(
    put,
    path = "/jobs/{job}/pause",
    params(("job" = String, Path)),
    request_body = PauseAsked,
    responses((status = 200, description = "until, reason, paused_by, paused_at"))
)]
async fn pause(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
    Json(asked): Json<PauseAsked>,
) -> Result<Json<Value>, Refusal> {
    let until = asked.until.as_deref().map(tending::read_instant);
    let pause = tending::pause(&house, &frame, &job, until.transpose()?, &asked.reason).await?;
    Ok(Json(json!(pause)))
}

/// Ends a pause.
#[utoipa::path(
    delete,
    path = "/jobs/{job}/pause",
    params(("job" = String, Path)),
    responses((status = 204, description = "done"), (status = 409, description = "it is not paused"))
)]
async fn resume(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
) -> Result<StatusCode, Refusal> {
    tending::resume(&house, &frame, &job).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What became of a request.
#[utoipa::path(get, path = "/requests/{request}", params(("request" = i64, Path)), responses((status = 200, description = "a request")))]
async fn request(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(number): Path<i64>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!(
        acts::request_for(&house, &frame, number).await?
    )))
}

/// Who may sign in.
#[utoipa::path(get, path = "/people", responses((status = 200, description = "items: name, role, job, made_at")))]
async fn people(State(house): State<Arc<House>>, frame: Frame) -> Result<Json<Value>, Refusal> {
    frame.caller.expect_every_job()?;
    Ok(Json(json!({ "items": house.access.people().await? })))
}

/// Somebody who is to be let in.
#[derive(Deserialize, utoipa::ToSchema)]
struct PersonAsked {
    name: String,
    /// `viewer`, `operator` or `admin`.
    role: String,
    /// The only job that is theirs, with its agencies; without it, all of them.
    job: Option<String>,
    /// Twelve characters or more.
    password: String,
}

/// Lets somebody in.
#[utoipa::path(
    post,
    path = "/people",
    request_body = PersonAsked,
    responses((status = 201, description = "name"), (status = 409, description = "the name is taken"))
)]
async fn add_person(
    State(house): State<Arc<House>>,
    frame: Frame,
    Json(asked): Json<PersonAsked>,
) -> Result<Response, Refusal> {
    let new = Newcomer {
        name: asked.name,
        role: asked.role,
        job: asked.job.unwrap_or_default(),
    };
    people::add_person(&house, &frame, &new, asked.password).await?;
    Ok((StatusCode::CREATED, Json(json!({ "name": new.name }))).into_response())
}

/// Lets somebody in no more; their sessions end at once.
#[utoipa::path(
    delete,
    path = "/people/{name}",
    params(("name" = String, Path)),
    responses((status = 204, description = "done"))
)]
async fn remove_person(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    people::remove_person(&house, &frame, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Programs that are let in.
#[utoipa::path(get, path = "/tokens", responses((status = 200, description = "items: name, role, job, made_at, expires_at")))]
async fn tokens(State(house): State<Arc<House>>, frame: Frame) -> Result<Json<Value>, Refusal> {
    frame.caller.expect_every_job()?;
    Ok(Json(json!({ "items": house.access.tokens().await? })))
}

/// A program that is to be let in.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct TokenAsked {
    name: String,
    /// `viewer`, `operator` or `admin`.
    role: String,
    /// The only job that it is good for, with its agencies; without it, for all of them.
    job: Option<String>,
    /// How long it is good, such as `12h`; 90 days, if it is not said.
    expires: Option<String>,
}

/// Makes a token, which is told this once.
#[utoipa::path(
    post,
    path = "/tokens",
    request_body = TokenAsked,
    responses((status = 201, description = "name, token"), (status = 409, description = "the name is taken"))
)]
async fn add_token(
    State(house): State<Arc<House>>,
    frame: Frame,
    Json(asked): Json<TokenAsked>,
) -> Result<Response, Refusal> {
    let new = Newcomer {
        name: asked.name,
        role: asked.role,
        job: asked.job.unwrap_or_default(),
    };
    let secret = people::add_token(&house, &frame, &new, asked.expires.as_deref()).await?;
    let told = json!({ "name": new.name, "token": secret.reveal() });
    Ok((StatusCode::CREATED, Json(told)).into_response())
}

/// Makes a token good for nothing.
#[utoipa::path(
    delete,
    path = "/tokens/{name}",
    params(("name" = String, Path)),
    responses((status = 204, description = "done"))
)]
async fn remove_token(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    people::remove_token(&house, &frame, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is signed in: an admin is told of everybody, anybody else of themselves.
#[utoipa::path(get, path = "/sessions", responses((status = 200, description = "items: session, name, role, job, address, began_at, seen_at")))]
async fn sessions(State(house): State<Arc<House>>, frame: Frame) -> Result<Json<Value>, Refusal> {
    let seen = account::seen_by(&frame, house.access.sessions().await?);
    Ok(Json(json!({ "items": seen })))
}

/// Signs somebody out.
#[utoipa::path(
    delete,
    path = "/sessions/{session}",
    params(("session" = i64, Path)),
    responses((status = 204, description = "done"))
)]
async fn end_session(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(session): Path<i64>,
) -> Result<StatusCode, Refusal> {
    account::end_known_session(&house, &frame, session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The key of a request: chosen by the program, else one that no other has.
fn key_of(headers: &HeaderMap) -> Result<String, Refusal> {
    let given = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    match given {
        Some(key) => Ok(key.to_owned()),
        None => acts::fresh_key(),
    }
}

async fn accepted(house: &House, frame: &Frame, number: i64) -> Result<Response, Refusal> {
    let request = acts::request_for(house, frame, number).await?;
    let place = format!("/api/v1{}", paths::request(number, request.act));
    let place = [(header::LOCATION, place)];
    Ok((StatusCode::ACCEPTED, place, Json(json!(request))).into_response())
}
