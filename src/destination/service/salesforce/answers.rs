//! What Salesforce's answers mean: its error codes, sorted by what can be done about them, and one
//! reply for each record that was sent. Whatever an answer holds, nothing of it is taken for a
//! success that does not say so of the very record.
//! Source: <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/errorcodes.htm>.

use serde_json::Value;

use crate::destination::seam::RowId;
use crate::destination::service::seam::Reply;
use crate::domain::printable::printable;
use crate::http::Response;

/// One error as an answer tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ApiError {
    pub(super) code: String,
    pub(super) message: String,
    /// Names of the fields that are to blame.
    pub(super) fields: Vec<String>,
}

impl ApiError {
    /// Reads an error of a request (`errorCode`), of a record (`statusCode`) or of a log-in
    /// (`error`).
    fn read(value: &Value) -> Option<Self> {
        let text = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| value.get(name)?.as_str())
                .map(printable)
        };
        let code = text(&["statusCode", "errorCode", "error"])?;
        let fields = value.get("fields").and_then(Value::as_array);
        Some(Self {
            code,
            message: text(&["message", "error_description"]).unwrap_or_default(),
            fields: fields
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(printable)
                .collect(),
        })
    }

    fn says(&self, words: &str) -> bool {
        self.message.contains(words)
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.message.is_empty() {
            true => formatter.write_str(&self.code),
            false => write!(formatter, "{}: {}", self.code, self.message),
        }
    }
}

/// The errors of an answer: a list of them, or sometimes one alone. Empty where there is none, as
/// in a page of HTML.
pub(super) fn errors(response: &Response) -> Vec<ApiError> {
    let Ok(value) = serde_json::from_slice::<Value>(&response.body) else {
        return Vec::new();
    };
    errors_in(&value)
}

fn errors_in(value: &Value) -> Vec<ApiError> {
    match value.as_array() {
        Some(errors) => errors.iter().filter_map(ApiError::read).collect(),
        None => ApiError::read(value).into_iter().collect(),
    }
}

/// What can be done about the error of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// Waiting, and sending it with fewer others.
    Wait,
    /// Nothing, for the record is gone.
    Gone,
    /// Nothing, for the record changed meanwhile.
    Changed,
    /// Changing the record, the system or the job.
    None,
}

fn remedy(error: &ApiError) -> Remedy {
    /// Words of errors that come of too much at once, whatever their code.
    const OVERBURDENED: [&str; 8] = [
        "UNABLE_TO_LOCK_ROW",
        "unable to obtain exclusive access",
        "Too many SOQL queries",
        "Too many DML",
        "Too many query rows",
        "CPU time limit",
        "heap size",
        "ConcurrentRequests",
    ];
    match error.code.as_str() {
        "UNABLE_TO_LOCK_ROW"
        | "SERVER_UNAVAILABLE"
        | "REQUEST_RUNNING_TOO_LONG"
        | "QUERY_TIMEOUT"
        | "LIMIT_EXCEEDED" => Remedy::Wait,
        "CANNOT_EXECUTE_FLOW_TRIGGER"
        | "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
        | "REQUEST_LIMIT_EXCEEDED"
        | "UNKNOWN_EXCEPTION"
            if OVERBURDENED.iter().any(|words| error.says(words)) =>
        {
            Remedy::Wait
        }
        "ENTITY_IS_DELETED" | "NOT_FOUND" => Remedy::Gone,
        "PRECONDITION_FAILED" | "ENTITY_CHANGED" => Remedy::Changed,
        _ => Remedy::None,
    }
}

/// The reply of a record that was not written, for these errors; in the system's own words.
pub(super) fn refusal(errors: &[ApiError]) -> Reply {
    let Some(first) = errors.first() else {
        // It says neither that it was written nor why it was not.
        return Reply::Unknown;
    };
    let remedies: Vec<Remedy> = errors.iter().map(remedy).collect();
    let words: Vec<String> = errors.iter().map(ApiError::to_string).collect();
    let message = words.join("; ");
    if remedies.contains(&Remedy::None) {
        let column = errors
            .iter()
            .find(|error| remedy(error) == Remedy::None)
            .unwrap_or(first)
            .fields
            .first()
            .cloned();
        return Reply::Refused { message, column };
    }
    match remedy(first) {
        Remedy::Wait => Reply::Again {
            after: None,
            why: message,
        },
        Remedy::Gone => Reply::Gone,
        Remedy::Changed => Reply::ChangedSince,
        Remedy::None => Reply::Refused {
            message,
            column: None,
        },
    }
}

/// The reply of a record that a bulk job did not write, from its cell: `CODE:message:Fields --`.
pub(super) fn bulk_refusal(cell: &str) -> Reply {
    let (code, rest) = cell.split_once(':').unwrap_or((cell, ""));
    let (message, fields) = rest.rsplit_once(':').unwrap_or((rest, ""));
    let fields = fields.trim_end_matches("--").split(',').map(str::trim);
    let fields = fields.filter(|field| !field.is_empty()).map(printable);
    if code.is_empty() {
        return Reply::Unknown;
    }
    refusal(&[ApiError {
        code: printable(code),
        message: printable(message),
        fields: fields.collect(),
    }])
}

/// One reply for each of `sent` records, from the answer of a collection: results come in the order
/// of the records, and those that failed name no id. `ids` are those of the records, where they
/// have one: a success that names another is nobody's.
pub(super) fn collection_replies(body: &[u8], ids: &[Option<&RowId>]) -> Vec<Reply> {
    let unknown = || vec![Reply::Unknown; ids.len()];
    let Ok(Value::Array(results)) = serde_json::from_slice::<Value>(body) else {
        return unknown();
    };
    if results.len() == ids.len() {
        return results
            .iter()
            .zip(ids)
            .map(|(result, id)| reply(result, *id))
            .collect();
    }
    // Places say nothing any more; names still do.
    let done = |id: &&RowId| {
        results
            .iter()
            .any(|result| is_done(result, id) && count_of(&results, id) == 1)
    };
    ids.iter()
        .map(|id| match id.filter(done) {
            Some(id) => Reply::Done { id: id.clone() },
            None => Reply::Unknown,
        })
        .collect()
}

fn count_of(results: &[Value], id: &RowId) -> usize {
    results.iter().filter(|result| is_done(result, id)).count()
}

fn is_done(result: &Value, id: &RowId) -> bool {
    let named = result.get("id").and_then(Value::as_str);
    succeeded(result) == Some(true) && named.is_some_and(|named| same_id(named, &id.0))
}

fn succeeded(result: &Value) -> Option<bool> {
    result.get("success")?.as_bool()
}

fn reply(result: &Value, id: Option<&RowId>) -> Reply {
    let named = result.get("id").and_then(Value::as_str);
    match (succeeded(result), named, id) {
        (Some(true), Some(named), Some(id)) if same_id(named, &id.0) => {
            Reply::Done { id: id.clone() }
        }
        (Some(true), Some(named), None) if is_id(named) => Reply::Done {
            id: RowId(named.to_owned()),
        },
        (Some(true), _, _) | (None, _, _) => Reply::Unknown,
        (Some(false), _, _) => refusal(&result.get("errors").map(errors_in).unwrap_or_default()),
    }
}

/// One reply for each of the records of a composite request, whose parts are named by their places.
pub(super) fn composite_replies(body: &[u8], ids: &[&RowId]) -> Vec<Reply> {
    let parsed = serde_json::from_slice::<Value>(body).ok();
    let parts = parsed
        .as_ref()
        .and_then(|value| value.get("compositeResponse"))
        .and_then(Value::as_array);
    let of = |place: usize| {
        let name = part_name(place);
        let mut named = parts
            .into_iter()
            .flatten()
            .filter(|part| part.get("referenceId").and_then(Value::as_str) == Some(name.as_str()));
        // One that is told of twice is not told of.
        named.next().filter(|_| named.next().is_none())
    };
    ids.iter()
        .enumerate()
        .map(|(place, id)| of(place).map_or(Reply::Unknown, |part| part_reply(part, id)))
        .collect()
}

/// As the part of a composite request at a place is called.
pub(super) fn part_name(place: usize) -> String {
    format!("r{place}")
}

fn part_reply(part: &Value, id: &RowId) -> Reply {
    let errors = || part.get("body").map(errors_in).unwrap_or_default();
    match part.get("httpStatusCode").and_then(Value::as_u64) {
        Some(200 | 204) => Reply::Done { id: id.clone() },
        Some(412) => Reply::ChangedSince,
        Some(404) if errors().is_empty() => Reply::Gone,
        Some(400..=499) => refusal(&errors()),
        _ => Reply::Unknown,
    }
}

/// Whether two ids name the same record: the first fifteen characters do, with their case, and
/// three more make sure of it where case is lost.
pub(super) fn same_id(left: &str, right: &str) -> bool {
    match (short_id(left), short_id(right)) {
        (Some(short), Some(other)) if left.len() != right.len() => short == other,
        _ => left == right,
    }
}

/// The fifteen characters that name a record; `None` if it is no id.
pub(super) fn short_id(id: &str) -> Option<&str> {
    is_id(id).then(|| id.get(..15)).flatten()
}

pub(super) fn is_id(id: &str) -> bool {
    matches!(id.len(), 15 | 18) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
