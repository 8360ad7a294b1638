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
use super::refusal::Refusal;
use super::{acts, dashboards, door, overview, problems, runs, write_backs};
use crate::domain::access::Role;
use crate::domain::alert::StandingAlert;
use crate::domain::method::Method;
use crate::domain::outcome::{Rejection, Stage};
use crate::ledger::cycles::Noticed;
use crate::ledger::{RunEntry, RunStatus};
use crate::report::{failure, schedule};
use crate::schedule::outlook;

/// Items of a list that are given at once.
const ITEMS_MAX: u32 = 100;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "writeback",
        description = "What the page of `writeback serve` shows and does. Errors are `application/problem+json`."
    ),
    security(("token" = [])),
    modifiers(&Tokens)
)]
struct Description;

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
        .routes(routes!(history))
        .routes(routes!(runs))
        .routes(routes!(run))
        .routes(routes!(rejected))
        .routes(routes!(dashboard))
        .routes(routes!(alerts))
        .routes(routes!(methods))
        .routes(routes!(request))
        .routes(routes!(openapi))
        .route_layer(from_fn_with_state(Role::Viewer, door::at_least));
    let operates = OpenApiRouter::new()
        .routes(routes!(run_job))
        .routes(routes!(stop_run))
        .route_layer(from_fn_with_state(Role::Operator, door::at_least));
    OpenApiRouter::with_openapi(Description::openapi())
        .nest("/api/v1", looks)
        .nest("/api/v1", operates)
}

pub(super) fn routes() -> Router<Arc<House>> {
    described().split_for_parts().0
}

/// The description, as `writeback page openapi` prints it.
pub(crate) fn openapi_text() -> String {
    let mut text = described()
        .split_for_parts()
        .1
        .to_pretty_json()
        .unwrap_or_default();
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
struct Before {
    /// `next` of the list before.
    before: Option<i64>,
}

/// What people and programs did, newest first.
#[utoipa::path(get, path = "/actions", params(Before), responses((status = 200, description = "items, next")))]
async fn actions(
    State(house): State<Arc<House>>,
    frame: Frame,
    Query(place): Query<Before>,
) -> Result<Json<Value>, Refusal> {
    frame.caller.expect_every_job()?;
    let actions = house.ledger.actions(place.before, ITEMS_MAX).await?;
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
    let overview = overview::overview(&house, &frame).await?;
    Ok(Json(schedule::outlooks_json(
        &overview.outlooks,
        overview.server.as_ref(),
    )))
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
    let seen = outlook::outlook(&project, &checked.job, ledger, openings, Utc::now()).await?;
    let server = outlook::server(ledger).await?;
    Ok(Json(schedule::outlooks_json(&[seen], server.as_ref())))
}

/// One record: who wrote its fields, run by run, as `history --json`.
#[utoipa::path(
    get,
    path = "/jobs/{job}/{write_back}/records/{key}",
    params(("job" = String, Path), ("write_back" = String, Path), ("key" = String, Path)),
    responses((status = 200, description = "entries, since, unknown"))
)]
async fn history(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((job, write_back, key)): Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    frame.caller.expect_job(&job)?;
    house.expect_values_for(&frame)?;
    let told = write_backs::biography(&house, &job, &write_back, &key).await?;
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
    if let Some(own) = &frame.caller.job {
        wanted.job = Some(own);
    }
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
    let item = |noticed: &Noticed| {
        let cycle = &noticed.cycle;
        json!({ "cycle": cycle.id, "completed_at": cycle.completed_at, "noticed_at": noticed.noticed_at })
    };
    let items: Vec<Value> = cycles.iter().map(item).collect();
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
    let place = [(header::LOCATION, format!("/api/v1/requests/{number}"))];
    Ok((StatusCode::ACCEPTED, place, Json(json!(request))).into_response())
}
