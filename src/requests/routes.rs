//! What can be asked for, and how it is answered: paths, statuses, and the description of both in
//! OpenAPI, which is made of the very handlers.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRef, Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use chrono::Utc;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tower_http::limit::RequestBodyLimitLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answered, Refused};
use super::body::{self, Change, Changes, Misread, ReadChange};
use super::desk::{self, Desk, From, TakenIn};
use super::door;
use super::several::Addressed;
use crate::domain::caller::{Caller, HttpSettings};
use crate::domain::job::Job;
use crate::domain::printable::printable;
use crate::domain::record::key_parts;
use crate::run::real_time::{self, Unwritable};

/// Records of one request at most.
const RECORDS_MAX: usize = 200;

/// Bytes of a body at most: 200 records of five kilobytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of an `Idempotency-Key` at most.
const KEY_BYTES_MAX: usize = 200;

#[derive(Clone)]
struct Shared {
    desk: Arc<Desk>,
    settings: Arc<HttpSettings>,
}

impl FromRef<Shared> for Arc<Desk> {
    fn from_ref(shared: &Shared) -> Self {
        Arc::clone(&shared.desk)
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "writeback",
        description = "Changes single records at once. Whatever is no success is `application/problem+json`."
    ),
    security(("token" = []), ("timestamp" = [], "signature" = [])),
    modifiers(&Tokens)
)]
struct Description;

/// Callers bring a token, or sign.
struct Tokens;

impl utoipa::Modify for Tokens {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{
            ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme,
        };
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        let bearer = bearer.description(Some("`token` of a caller of `[http]`"));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
        let header = |name: &str, told: &str| {
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, told)))
        };
        let signature = "`v1=` and the hexadecimal HMAC-SHA256, with the caller's `secret`, of \
                         `TIMESTAMP.METHOD ADDRESS`, a line end, and the body";
        components.add_security_scheme("signature", header(door::SIGNATURE_HEADER, signature));
        let timestamp = "seconds since 1970, no more than five minutes from now";
        components.add_security_scheme("timestamp", header(door::TIMESTAMP_HEADER, timestamp));
    }
}

fn described() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(write_back))
        .routes(routes!(change_record))
        .routes(routes!(change_keyed, change_records))
        .routes(routes!(outcome))
        .routes(routes!(openapi))
}

pub(super) fn routes(desk: Arc<Desk>, settings: HttpSettings) -> Router {
    let shared = Shared {
        desk,
        settings: Arc::new(settings),
    };
    described()
        .split_for_parts()
        .0
        .route_layer(from_fn_with_state(shared.clone(), know_before_reading))
        .fallback(nothing_there)
        .method_not_allowed_fallback(not_done_there)
        .with_state(shared)
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(map_response(in_own_words))
}

/// The description, as `GET /v1/openapi.json` gives it.
fn openapi_text() -> String {
    let mut text = described()
        .split_for_parts()
        .1
        .to_pretty_json()
        .unwrap_or_default();
    text.push('\n');
    text
}

async fn nothing_there() -> Refused {
    let hint = "`GET /v1/openapi.json` lists what is there";
    Refused::new(StatusCode::NOT_FOUND, "nothing is there").hint(hint)
}

async fn not_done_there() -> Refused {
    let hint = "`GET /v1/openapi.json` lists what is done where";
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, "this is not done there").hint(hint)
}

/// Refuses what is sent by nobody that is known before its body is read: many strangers' bodies are
/// much memory.
async fn know_before_reading(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        door::expect_possible(&shared.settings, request.headers(), Utc::now())?;
    }
    Ok(next.run(request).await)
}

/// What the layers below refuse in words of their own.
async fn in_own_words(response: Response) -> Response {
    let is_own = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| {
            let kind = kind.as_bytes();
            kind.starts_with(b"application/")
        });
    match response.status() {
        _ if is_own => response,
        status if status.is_success() => response,
        StatusCode::PAYLOAD_TOO_LARGE => {
            Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large").into_response()
        }
        status => Refused::new(status, "the request cannot be read").into_response(),
    }
}

/// A request as it came in.
struct Came<'a> {
    method: Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl Shared {
    fn caller(&self, came: &Came<'_>) -> Result<&Caller, Refused> {
        let signed = door::signed_bytes(&came.method, came.uri, came.body);
        door::caller(&self.settings, came.headers, &signed, Utc::now())
    }

    /// The write-back, for a caller that may use it.
    fn named(&self, caller: &Caller, job: &str, write_back: &str) -> Result<Addressed, Refused> {
        if !caller.may_write(job, write_back) {
            return Err(door::forbidden(
                crate::domain::caller::NotAllowed::WriteBack,
                caller,
            ));
        }
        self.desk.named(job, write_back)
    }

    /// Errors: what of a change is not for this caller, or not written by requests.
    fn expect_may(
        caller: &Caller,
        named: &Addressed,
        (job, write_back): (&str, &str),
        change: &ReadChange,
    ) -> Result<(), Refused> {
        let columns = change.values.keys().map(String::as_str);
        let may = caller.expect_may(job, write_back, columns, change.origin.as_deref());
        may.map_err(|not_allowed| door::forbidden(not_allowed, caller))?;
        for column in change.values.keys() {
            let write_backs = named.write_backs();
            let mut all = write_backs.map(|one| real_time::expect_writable(one, column));
            let mut first = all.next().unwrap_or(Ok(()));
            for other in all {
                first = match (first, other) {
                    (Ok(()), _) | (_, Ok(())) => Ok(()),
                    (Err(Unwritable::Unknown { .. }), Err(other)) => Err(other),
                    (Err(first), Err(_)) => Err(first),
                };
            }
            first.map_err(|why| unwritable(why, column))?;
        }
        let key = key_columns(named);
        if key.len() == change.key.len() && key.iter().all(|column| change.key.contains_key(column))
        {
            return Ok(());
        }
        let title = format!("the record is named by {}", key.join(" and "));
        Err(Refused::new(StatusCode::BAD_REQUEST, title))
    }
}

fn unwritable(why: Unwritable, column: &str) -> Refused {
    let forbidden = |title: String| Refused::new(StatusCode::FORBIDDEN, title).column(column);
    match why {
        Unwritable::Unknown { known } => {
            let title = format!("no field is made of a column `{column}`");
            let hint = match known.is_empty() {
                true => "no field of the write-back has `realtime = true`".to_owned(),
                false => format!("columns that can be written are {}", known.join(", ")),
            };
            Refused::new(StatusCode::BAD_REQUEST, title)
                .column(column)
                .hint(hint)
        }
        Unwritable::Never(why) => forbidden(format!(
            "`{column}` cannot be written in real time: {}",
            why.words()
        )),
        Unwritable::SwitchedOff { field } => {
            forbidden(format!("`{column}` is not written in real time")).hint(format!(
                "write `{field} = {{ column = \"{column}\", realtime = true }}` in the job's file"
            ))
        }
    }
}

/// Columns of the unique identifier, which is the same for all destinations.
fn key_columns(named: &Addressed) -> Vec<String> {
    let first = named.write_backs().next();
    first.map(real_time::key_columns).unwrap_or_default()
}

fn misread((title, hint): Misread) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, title).hint_if(hint)
}

fn from(caller: &Caller, headers: &HeaderMap) -> Result<From, Refused> {
    let key = headers.get("idempotency-key");
    let key = key.map(|key| key.to_str().map(str::to_owned));
    let idempotency_key = match key.transpose() {
        Ok(Some(key)) if key.is_empty() || key.len() > KEY_BYTES_MAX => {
            let title = format!("an `Idempotency-Key` has 1 to {KEY_BYTES_MAX} characters");
            return Err(Refused::new(StatusCode::BAD_REQUEST, title));
        }
        Ok(key) => key,
        Err(_) => {
            let title = "the `Idempotency-Key` holds more than plain characters";
            return Err(Refused::new(StatusCode::BAD_REQUEST, title));
        }
    };
    let prefers = headers.get_all("prefer").iter();
    let mut prefers = prefers.filter_map(|prefer| prefer.to_str().ok());
    Ok(From {
        caller: caller.name.clone(),
        id: None,
        idempotency_key,
        is_accepted: prefers.any(|prefer| {
            let mut wishes = prefer.split(',');
            wishes.any(|wish| wish.trim().eq_ignore_ascii_case("respond-async"))
        }),
    })
}

/// The fields of a write-back: type, and real time or why not.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}/write-backs/{write_back}",
    params(("job" = String, Path), ("write_back" = String, Path)),
    responses(
        (status = 200, description = "job, write_back, destination, object, key, fields, read_back, mirror"),
        (status = 401, description = "nobody knows who asks"),
        (status = 403, description = "the caller may not use it"),
        (status = 404, description = "there is none"),
        (status = 429, description = "come back after `Retry-After` seconds"),
        (status = 502, description = "its destination cannot be asked"),
        (status = 503, description = "nothing can be written now")
    )
)]
async fn write_back(
    State(shared): State<Shared>,
    Path((job, write_back)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    let came = Came {
        method: Method::GET,
        uri: &uri,
        headers: &headers,
        body: &[],
    };
    let caller = shared.caller(&came)?;
    let named = shared.named(caller, &job, &write_back)?;
    let others = shared.desk.other_jobs(&job);
    let others: Vec<&Job> = others.iter().map(|other| &other.job).collect();
    if named.is_several {
        let destinations = named.write_backs().map(|one| {
            json!({
                "write_back": one.name,
                "destination": one.destination,
                "object": one.told_object(),
                "fields": real_time::told(one, &others),
                "read_back": real_time::told_read_back(one),
                "mirror": real_time::told_mirror(one),
            })
        });
        return Ok(Json(json!({
            "job": job,
            "write_back": write_back,
            "key": key_columns(&named),
            "destinations": destinations.collect::<Vec<_>>(),
        })));
    }
    let post = shared.desk.post(&job, &write_back).await?;
    Ok(Json(json!({
        "job": job,
        "write_back": write_back,
        "destination": post.destination(),
        "object": post.object(),
        "key": key_columns(&named),
        "fields": real_time::told(post.declared(), &others),
        "read_back": real_time::told_read_back(post.declared()),
        "mirror": real_time::told_mirror(post.declared()),
    })))
}

/// Changes one record, at once. The same `Idempotency-Key` gives the same answer.
#[utoipa::path(
    patch,
    path = "/v1/jobs/{job}/write-backs/{write_back}/records/{key}",
    params(
        ("job" = String, Path),
        ("write_back" = String, Path),
        ("key" = String, Path, description = "the unique identifier; several columns as one line of CSV"),
        ("Idempotency-Key" = Option<String>, Header),
        ("Prefer" = Option<String>, Header, description = "`respond-async`")
    ),
    request_body = Change,
    responses(
        (status = 200, description = "written, or held already", body = Answered),
        (status = 202, description = "accepted: ask at `Location`"),
        (status = 400, description = "not understood"),
        (status = 401, description = "nobody knows who asks"),
        (status = 403, description = "the caller may not, or the field is not real time"),
        (status = 404, description = "no such write-back, or no such record", body = Answered),
        (status = 409, description = "not as expected, or another request had the `Idempotency-Key`", body = Answered),
        (status = 413, description = "the body is too large"),
        (status = 422, description = "rejected: stage, column and reason", body = Answered),
        (status = 429, description = "come back after `Retry-After` seconds"),
        (status = 502, description = "nothing was written", body = Answered),
        (status = 503, description = "nothing can be written now"),
        (status = 504, description = "not known yet: ask `GET /v1/outcomes/ID`", body = Answered)
    )
)]
async fn change_record(
    State(shared): State<Shared>,
    Path((job, write_back, key)): Path<(String, String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let came = Came {
        method: Method::PATCH,
        uri: &uri,
        headers: &headers,
        body: &body,
    };
    let caller = shared.caller(&came)?;
    let named = shared.named(caller, &job, &write_back)?;
    let columns = key_columns(&named);
    if uri.query().is_some_and(|query| !query.is_empty()) {
        let title = "the record is named by the path, and something stands in the query";
        let hint = "name it in one of the two";
        return Err(Refused::new(StatusCode::BAD_REQUEST, title).hint(hint));
    }
    let parts = match columns.len() {
        1 => vec![key],
        _ => key_parts(&key).unwrap_or_default(),
    };
    if parts.len() != columns.len() {
        let title = format!("the record is named by {}", columns.join(" and "));
        let hint = "write the parts of the key as one line of CSV, or as `?COLUMN=VALUE&…`";
        return Err(Refused::new(StatusCode::BAD_REQUEST, title).hint(hint));
    }
    let key = columns.into_iter().zip(parts).collect();
    shared
        .change(caller, &named, &came, (&job, &write_back), key)
        .await
}

/// Changes one record whose key columns the query names.
#[utoipa::path(
    patch,
    path = "/v1/jobs/{job}/write-backs/{write_back}/records",
    params(
        ("job" = String, Path),
        ("write_back" = String, Path),
        ("key" = BTreeMap<String, String>, Query, style = Form, explode = true,
         description = "the columns of the unique identifier, each with its value: `?COLUMN=VALUE&…`"),
        ("Idempotency-Key" = Option<String>, Header),
        ("Prefer" = Option<String>, Header, description = "`respond-async`")
    ),
    request_body = Change,
    responses(
        (status = 200, description = "written, or held already", body = Answered),
        (status = 202, description = "accepted: ask at `Location`"),
        (status = 400, description = "not understood"),
        (status = 401, description = "nobody knows who asks"),
        (status = 403, description = "the caller may not, or the field is not real time"),
        (status = 404, description = "no such write-back, or no such record", body = Answered),
        (status = 409, description = "not as expected, or another request had the `Idempotency-Key`", body = Answered),
        (status = 413, description = "the body is too large"),
        (status = 422, description = "rejected: stage, column and reason", body = Answered),
        (status = 429, description = "come back after `Retry-After` seconds"),
        (status = 502, description = "nothing was written", body = Answered),
        (status = 503, description = "nothing can be written now"),
        (status = 504, description = "not known yet: ask `GET /v1/outcomes/ID`", body = Answered)
    )
)]
async fn change_keyed(
    State(shared): State<Shared>,
    Path((job, write_back)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let came = Came {
        method: Method::PATCH,
        uri: &uri,
        headers: &headers,
        body: &body,
    };
    let caller = shared.caller(&came)?;
    let mut key = BTreeMap::new();
    for (column, value) in named_in(uri.query().unwrap_or_default())? {
        if key.insert(column.clone(), value).is_some() {
            let title = format!("the address names `{column}` twice");
            return Err(Refused::new(StatusCode::BAD_REQUEST, title));
        }
    }
    let named = shared.named(caller, &job, &write_back)?;
    shared
        .change(caller, &named, &came, (&job, &write_back), key)
        .await
}

/// Names and values of a query.
/// Errors: one of them is no text.
fn named_in(query: &str) -> Result<Vec<(String, String)>, Refused> {
    let text = |part: &str| {
        let spaced = part.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8();
        decoded.map(String::from).map_err(|_| {
            let title = format!("`{}` in the address is no UTF-8", printable(part));
            let hint = "percent-encode the bytes of its UTF-8";
            Refused::new(StatusCode::BAD_REQUEST, title).hint(hint)
        })
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((text(name)?, text(value)?))
    });
    pairs.collect()
}

impl Shared {
    async fn change(
        &self,
        caller: &Caller,
        named: &Addressed,
        came: &Came<'_>,
        (job, write_back): (&str, &str),
        key: BTreeMap<String, String>,
    ) -> Result<Response, Refused> {
        let change = body::read_change(came.body, key).map_err(misread)?;
        Self::expect_may(caller, named, (job, write_back), &change)?;
        let from = from(caller, came.headers)?;
        let taken = self.desk.take((job, write_back), named, change, from);
        Ok(match taken.await? {
            TakenIn::Answered(answer) => answer.into_response(),
            TakenIn::Accepted(id) => {
                let place = [(header::LOCATION, format!("/v1/outcomes/{id}"))];
                (StatusCode::ACCEPTED, place, Json(json!({ "id": id }))).into_response()
            }
        })
    }

    /// One of several changes.
    async fn one(
        &self,
        caller: &Caller,
        named: &Addressed,
        (job, write_back): (&str, &str),
        change: ReadChange,
        from: From,
    ) -> Value {
        let done = async {
            Self::expect_may(caller, named, (job, write_back), &change)?;
            let taken = self.desk.take((job, write_back), named, change, from);
            Ok(match taken.await? {
                TakenIn::Answered(answer) => json!(answer),
                TakenIn::Accepted(id) => json!({ "status": 202, "id": id }),
            })
        };
        done.await.unwrap_or_else(|refused: Refused| refused.json())
    }
}

/// Changes up to 200 records, each by itself, with the same mapping.
#[utoipa::path(
    post,
    path = "/v1/jobs/{job}/write-backs/{write_back}/records",
    params(
        ("job" = String, Path),
        ("write_back" = String, Path),
        ("Idempotency-Key" = Option<String>, Header),
        ("Prefer" = Option<String>, Header, description = "`respond-async`")
    ),
    request_body = Changes,
    responses(
        (status = 200, description = "records: each with a `status` and what became of it"),
        (status = 202, description = "records: each with the `id` to ask `GET /v1/outcomes/ID` with"),
        (status = 400, description = "not understood"),
        (status = 401, description = "nobody knows who asks"),
        (status = 403, description = "the caller may not use the write-back"),
        (status = 404, description = "no such write-back"),
        (status = 413, description = "the body is too large"),
        (status = 429, description = "come back after `Retry-After` seconds"),
        (status = 502, description = "its destination cannot be asked"),
        (status = 503, description = "nothing can be written now")
    )
)]
async fn change_records(
    State(shared): State<Shared>,
    Path((job, write_back)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let came = Came {
        method: Method::POST,
        uri: &uri,
        headers: &headers,
        body: &body,
    };
    let caller = shared.caller(&came)?;
    if uri.query().is_some_and(|query| !query.is_empty()) {
        let title =
            "each record is named by its `key` in the body, and something stands in the query";
        return Err(Refused::new(StatusCode::BAD_REQUEST, title));
    }
    let named = shared.named(caller, &job, &write_back)?;
    let changes = body::read_changes(&body, RECORDS_MAX).map_err(misread)?;
    let from = from(caller, &headers)?;
    let address = (job.as_str(), write_back.as_str());
    let one = |(index, change): (usize, ReadChange)| {
        let key = from.idempotency_key.as_ref();
        let from = From {
            idempotency_key: key.map(|key| format!("{key}#{index}")),
            ..from.clone()
        };
        shared.one(caller, &named, address, change, from)
    };
    let records = futures_util::future::join_all(changes.into_iter().enumerate().map(one)).await;
    let status = match from.is_accepted {
        true => StatusCode::ACCEPTED,
        false => StatusCode::OK,
    };
    Ok((status, Json(json!({ "records": records }))).into_response())
}

/// What became of a request that the caller made.
#[utoipa::path(
    get,
    path = "/v1/outcomes/{id}",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "settled, and the answer once it is", body = Answered),
        (status = 401, description = "nobody knows who asks"),
        (status = 404, description = "the caller made no such request"),
        (status = 503, description = "the ledger cannot be read now")
    )
)]
async fn outcome(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    let came = Came {
        method: Method::GET,
        uri: &uri,
        headers: &headers,
        body: &[],
    };
    let caller = shared.caller(&came)?;
    let several = shared.desk.ledger().several(&id).await;
    let several = several.map_err(|error| desk::unkept(&error))?;
    if let Some(several) = several.filter(|several| several.caller == caller.name) {
        let told = shared.desk.told_of_several(&several).await;
        let (answered, settled) = told.map_err(|error| desk::unkept(&error))?;
        return Ok(settled_or_not(&answered, settled));
    }
    let request = shared.desk.ledger().record_request(&id).await;
    let request = request.map_err(|error| desk::unkept(&error))?;
    match request.filter(|request| request.caller == caller.name) {
        Some(request) => {
            let settled = request.has_ended;
            Ok(settled_or_not(&desk::answer_of(&request), settled))
        }
        None => Err(Refused::new(
            StatusCode::NOT_FOUND,
            "there is no such request",
        )),
    }
}

fn settled_or_not(answered: &Answered, settled: bool) -> Json<Value> {
    let mut told = json!(answered);
    if let Some(object) = told.as_object_mut() {
        object.insert("settled".to_owned(), json!(settled));
    }
    Json(told)
}

/// This description.
#[utoipa::path(get, path = "/v1/openapi.json", security(()), responses((status = 200, description = "OpenAPI 3.1")))]
async fn openapi() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, openapi_text()).into_response()
}
