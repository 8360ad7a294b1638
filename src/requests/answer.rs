//! Answers: what became of a request, destination by destination and field by field, or why it was
//! not even tried. Whatever is no success is `application/problem+json` (RFC 9457).

use std::collections::BTreeMap;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::domain::outcome::{Rejection, Stage};
use crate::domain::real_time::RequestFate;
use crate::ledger::PartFate;
use crate::run::real_time::{Carried, Followed, MirrorTold};

/// When several destinations, of which one takes no more requests, may be asked again.
const RETRY_AFTER_SECONDS: u32 = 5;

/// What became of one field.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(super) struct FieldAnswer {
    field: String,
    from: Option<String>,
    to: Option<String>,
    /// `updated`, `unchanged`, or `kept`, for the job's rules leave it as it is.
    outcome: String,
}

/// What became of the source's own row. Whatever that is, the request itself is written.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(super) struct MirrorAnswer {
    /// `mirrored`, `unchanged`, or `not_mirrored`.
    outcome: String,
    /// By the source's columns, what they hold now.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    fields: BTreeMap<String, Option<String>>,
    /// Why it was not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What became of a request at one destination.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub(super) struct DestinationAnswer {
    pub(super) destination: String,
    pub(super) object: String,
    /// Of the row, where the destination has such ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) outcome: String,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) fields: Vec<FieldAnswer>,
    /// Fields as the destination holds them now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) read_back: Option<BTreeMap<String, Option<String>>>,
    /// What the request expected of fields, where one of them held something else: `from` of
    /// `fields` is what they hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected: Option<BTreeMap<String, Option<String>>>,
    /// What became of the source's own row, where something of it is mirrored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mirror: Option<MirrorAnswer>,
    /// `schema`, `mapping`, `match` or `destination`, of a record that is rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) column: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
    /// As it would be answered alone, where there are several destinations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    /// The destination's day run, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<i64>,
    /// The destination's own request, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<String>,
}

/// What became of a request.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) outcome: String,
    /// By which `GET /v1/outcomes/ID` tells it again.
    pub(super) id: String,
    pub(super) record: String,
    /// The day run that it is a part of; where there are several destinations, each has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<i64>,
    pub(super) milliseconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
    pub(super) destinations: Vec<DestinationAnswer>,
}

/// As JSON and people read it.
pub(super) fn word(fate: RequestFate) -> String {
    let word = json!(fate);
    word.as_str().unwrap_or_default().to_owned()
}

impl DestinationAnswer {
    pub(super) fn of(destination: &str, object: &str, fate: RequestFate) -> Self {
        Self {
            destination: destination.to_owned(),
            object: object.to_owned(),
            outcome: word(fate),
            ..Self::default()
        }
    }

    /// What is told of a record that was carried out.
    pub(super) fn carried(self, carried: Carried) -> Self {
        let fields = carried.fields.into_iter().map(|field| FieldAnswer {
            field: field.name,
            from: field.before,
            to: field.after,
            outcome: word(field.fate),
        });
        let answer = Self {
            id: carried.row,
            fields: fields.collect(),
            read_back: carried.read_back,
            expected: carried.expected,
            mirror: carried.mirror.map(mirror_answer),
            ..self
        };
        if let Some(rejection) = carried.outcome.rejection() {
            return answer.rejected(rejection);
        }
        match carried.outcome.skip_reason() {
            Some(reason) => Self {
                reason: Some(reason.words().to_owned()),
                ..answer
            },
            None => answer,
        }
    }

    /// What followed a request that was settled.
    pub(super) fn followed(self, followed: Followed) -> Self {
        let read_back = Some(followed.read_back).filter(|read_back| !read_back.is_empty());
        Self {
            read_back,
            mirror: followed.mirror.map(mirror_answer),
            ..self
        }
    }

    pub(super) fn rejected(self, rejection: &Rejection) -> Self {
        let stage = json!(rejection.stage);
        let field = rejection
            .column
            .clone()
            .filter(|_| rejection.stage == Stage::Match);
        let fields = field.map(|field| FieldAnswer {
            field,
            from: None,
            to: None,
            outcome: word(RequestFate::Rejected),
        });
        Self {
            fields: match self.fields.is_empty() {
                true => fields.into_iter().collect(),
                false => self.fields,
            },
            stage: stage.as_str().map(str::to_owned),
            column: rejection.column.clone(),
            reason: Some(rejection.reason.clone()),
            ..self
        }
    }
}

fn mirror_answer(told: MirrorTold) -> MirrorAnswer {
    let word = json!(told.fate);
    MirrorAnswer {
        outcome: word.as_str().unwrap_or_default().to_owned(),
        fields: told.fields,
        reason: told.reason,
    }
}

impl Answered {
    /// Title and hint of what is no success.
    pub(super) fn titled(self, title: impl Into<String>, hint: Option<String>) -> Self {
        Self {
            title: Some(title.into()),
            hint,
            ..self
        }
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let status = status(self.status);
        let mut response = match status.is_success() {
            true => (status, axum::Json(self)).into_response(),
            false => problem(status, json!(self)),
        };
        if status == StatusCode::TOO_MANY_REQUESTS {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        response
    }
}

/// Why a request is not even tried.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    status: StatusCode,
    title: String,
    hint: Option<String>,
    /// The schema's column that is to blame.
    column: Option<String>,
    /// Seconds until it may be asked again.
    retry_after: Option<u32>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, title: impl Into<String>) -> Self {
        Self {
            status,
            title: title.into(),
            hint: None,
            column: None,
            retry_after: None,
        }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    pub(super) fn hint_if(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    pub(super) fn column(self, column: &str) -> Self {
        Self {
            column: Some(column.to_owned()),
            ..self
        }
    }

    pub(super) fn retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// As what becomes of one of several destinations.
    pub(super) fn part(&self) -> PartFate {
        PartFate::Refused {
            status: self.status.as_u16(),
            title: self.title.clone(),
            hint: self.hint.clone(),
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// As one of several answers.
    pub(super) fn json(&self) -> Value {
        let mut body = json!({ "status": self.status.as_u16(), "title": self.title });
        if let Some(object) = body.as_object_mut() {
            for (name, told) in [("hint", &self.hint), ("column", &self.column)] {
                object.extend(told.clone().map(|told| (name.to_owned(), json!(told))));
            }
            let seconds = self.retry_after.map(|seconds| json!(seconds));
            object.extend(seconds.map(|seconds| ("retry_after".to_owned(), seconds)));
        }
        body
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = problem(self.status, self.json());
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn problem(status: StatusCode, mut body: Value) -> Response {
    if let Some(object) = body.as_object_mut() {
        object.insert("type".to_owned(), json!("about:blank"));
    }
    let kind = HeaderValue::from_static("application/problem+json");
    (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
}
