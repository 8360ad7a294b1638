//! Answers that are none: what is wrong, and what to do about it. Handlers give a [`Refusal`]; here
//! it becomes a page or, under `/api`, `application/problem+json` (RFC 9457), with the same words.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde_json::json;
use tower_http::csrf::ProtectionError;
use tracing::error;

use super::door::Caller;
use super::frame::{Frame, plain_page};
use super::paths::encoded_value;
use crate::access::AccessError;
use crate::domain::error::chain;
use crate::domain::problem::Problem;
use crate::ledger::LedgerError;
use crate::report::failure;
use crate::run::journal::JournalError;

/// Why a request is not answered with what it asked for.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: StatusCode,
    title: String,
    hint: Option<String>,
    problems: Arc<[Problem]>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, title: impl Into<String>) -> Self {
        Self {
            status,
            title: title.into(),
            hint: None,
            problems: Arc::from([]),
        }
    }

    pub(super) fn title(&self) -> &str {
        &self.title
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// What is refused and what to do about it, as a part of a page.
    pub(super) fn words(&self) -> Markup {
        html! { p.refused { (self.title) "." @if let Some(hint) = &self.hint { " " (hint) "." } } }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// Nothing is there.
    pub(super) fn absent(title: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, title)
    }

    /// Files of the project hold mistakes.
    pub(super) fn mistakes(problems: Vec<Problem>) -> Self {
        Self {
            problems: problems.into(),
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "files of the project hold mistakes",
            )
        }
    }

    fn fault(error: &(dyn std::error::Error + 'static), hint: Option<String>) -> Self {
        let told = chain(error).join(": ");
        error!(error = %told, "the page could not answer");
        Self {
            hint,
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, told)
        }
    }

    /// As programs read it.
    fn problem_json(&self) -> Response {
        let first = self.problems.first();
        let mut body = json!({
            "type": "about:blank",
            "status": self.status.as_u16(),
            "title": self.title,
        });
        if let Some(object) = body.as_object_mut() {
            let hint = self.hint.clone().or_else(|| first?.hint.clone());
            object.extend(hint.map(|hint| ("hint".to_owned(), json!(hint))));
            if !self.problems.is_empty() {
                object.insert(
                    "problems".to_owned(),
                    failure::problems_json(&self.problems),
                );
            }
        }
        let kind = HeaderValue::from_static("application/problem+json");
        (
            self.status,
            [(header::CONTENT_TYPE, kind)],
            body.to_string(),
        )
            .into_response()
    }

    /// As people read it.
    fn page(&self, frame: Option<&Frame>) -> Response {
        let content = html! {
            p.lead { (self.title) "." }
            @if let Some(hint) = &self.hint { p { (hint) "." } }
            @if !self.problems.is_empty() {
                pre.problems { (failure::problems_text(&self.problems)) }
            }
            p { a href="/" { "To the overview" } }
        };
        let title = self.status.canonical_reason().unwrap_or("Refused");
        let page = match frame {
            Some(frame) => frame.page(title, content),
            None => plain_page(title, content),
        };
        (self.status, page).into_response()
    }
}

/// Carries the refusal to [`shown`], which knows who asked and for what.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        if matches!(error, LedgerError::NoSuchRun { .. }) {
            Self::absent(error.to_string())
        } else {
            Self::fault(&error, error.hint())
        }
    }
}

impl From<JournalError> for Refusal {
    fn from(error: JournalError) -> Self {
        if let JournalError::Ledger(error) = error {
            error.into()
        } else if matches!(error, JournalError::NoSuchWriteBack { .. }) {
            Self::absent(error.to_string())
        } else {
            Self::fault(&error, error.hint())
        }
    }
}

impl From<AccessError> for Refusal {
    fn from(error: AccessError) -> Self {
        let status = match &error {
            AccessError::Absent { .. } => StatusCode::NOT_FOUND,
            AccessError::Taken { .. } => StatusCode::CONFLICT,
            AccessError::Password | AccessError::Name | AccessError::Lasts => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            AccessError::Database { .. }
            | AccessError::Migration { .. }
            | AccessError::Io { .. }
            | AccessError::Hash { .. }
            | AccessError::Random { .. } => return Self::fault(&error, error.hint()),
        };
        Self {
            hint: error.hint(),
            ..Self::new(status, error.to_string())
        }
    }
}

/// Shows refusals as whoever asked can read them.
pub(super) async fn shown(request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let frame = Frame::parts_of(&request);
    let mut response = next.run(request).await;
    let refusal = response
        .extensions_mut()
        .remove::<Refusal>()
        .or_else(|| unexpected(&response));
    let Some(refusal) = refusal else {
        return response;
    };
    let caller = response.extensions_mut().remove::<Caller>();
    let mut answer = match is_api(&uri) {
        true => refusal.problem_json(),
        false => refusal.page(caller.map(|caller| frame.of(caller)).as_ref()),
    };
    for name in [header::ALLOW, header::WWW_AUTHENTICATE] {
        if let Some(value) = response.headers_mut().remove(&name) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// What the layers below refuse in their own words, or in none.
fn unexpected(response: &Response) -> Option<Refusal> {
    if response.extensions().get::<ProtectionError>().is_some() {
        let title = "the request comes from another site";
        let hint = "open the page itself and press the button there";
        return Some(Refusal::new(StatusCode::FORBIDDEN, title).hint(hint));
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
        return None;
    }
    let title = match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => "this cannot be done there",
        StatusCode::PAYLOAD_TOO_LARGE => "that is more than a form holds",
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => "the request cannot be read",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "the request is of a kind that is not expected there",
        StatusCode::NOT_FOUND => "nothing is there",
        _ => return None,
    };
    Some(Refusal::new(response.status(), title))
}

pub(super) fn is_api(uri: &Uri) -> bool {
    uri.path() == "/api" || uri.path().starts_with("/api/")
}

pub(super) async fn nothing_there(uri: Uri) -> Refusal {
    Refusal::absent(format!("there is no page `{}`", uri.path()))
}

/// To the page that signs in, and from there back.
pub(super) fn to_sign_in(uri: &Uri) -> Response {
    let back = uri.path_and_query().map_or("/", |path| path.as_str());
    let next = encoded_value(back);
    Redirect::to(&format!("/login?next={next}")).into_response()
}
