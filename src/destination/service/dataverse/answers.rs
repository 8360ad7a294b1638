//! What Dataverse's answers mean: its error codes, sorted by what can be done about them, and one
//! reply for each record that was sent. The class of an error comes from its code: a duplicate rule
//! answers with 500, and a request that was throttled may say so in a part of a batch.
//! Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/reference/web-service-error-codes>.

use std::time::Duration;

use serde_json::Value;

use crate::destination::seam::RowId;
use crate::destination::service::seam::Reply;
use crate::domain::printable::printable;
use crate::http::Response;

/// Codes of too much at once; the wait is told beside them.
pub(super) const THROTTLED: [&str; 3] = ["0x80072321", "0x80072322", "0x80072326"];

/// Codes of what may work later: a deadlock, a wait for a lock, and what nobody explains.
const PASSING: [&str; 3] = ["0x80044150", "0x80044151", "0x80040216"];

/// A plug-in's error, whose words say whether it ran out of time.
const PLUG_IN: &str = "0x80040265";
const OUT_OF_TIME: [&str; 3] = ["2-minute", "time-out", "timeout"];

const NO_ROW: &str = "0x80040217";
const CHANGED: &str = "0x80060882";

/// An error as an answer tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ApiError {
    pub(super) code: String,
    pub(super) message: String,
}

impl ApiError {
    /// Errors in an answer; `None` where there is none, as in a page of HTML.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let error = value.get("error")?;
        // A log-in's error is a word, with its description beside it.
        if let Some(code) = error.as_str() {
            let message = value.get("error_description").and_then(Value::as_str);
            return Some(Self {
                code: printable(code),
                message: printable(message.unwrap_or_default()),
            });
        }
        let text = |name: &str| error.get(name).and_then(Value::as_str).map(printable);
        Some(Self {
            code: text("code").unwrap_or_default().to_lowercase(),
            message: text("message")?,
        })
    }

    pub(super) fn of(response: &Response) -> Option<Self> {
        Self::read(&response.body)
    }

    pub(super) fn is_throttled(&self) -> bool {
        THROTTLED.contains(&self.code.as_str())
    }

    /// Whether the same request may be taken a while later.
    pub(super) fn is_passing(&self) -> bool {
        let message = self.message.to_lowercase();
        let is_late = OUT_OF_TIME.iter().any(|words| message.contains(words));
        self.is_throttled()
            || PASSING.contains(&self.code.as_str())
            || (self.code == PLUG_IN && is_late)
    }

    /// Whether it says that the row of this id is not there; that of a lookup's target says so of
    /// another id.
    fn is_about_no(&self, id: &RowId) -> bool {
        self.code == NO_ROW && self.message.to_lowercase().contains(&id.0.to_lowercase())
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code.is_empty(), self.message.is_empty()) {
            (true, _) => formatter.write_str(&self.message),
            (false, true) => formatter.write_str(&self.code),
            (false, false) => write!(formatter, "{}: {}", self.code, self.message),
        }
    }
}

/// The answer to one request of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartAnswer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl PartAnswer {
    /// What it says of the record that was sent, which has this id if it was there before.
    pub(super) fn reply(&self, id: Option<&RowId>, columns: &[&str]) -> Reply {
        let error = ApiError::read(&self.body);
        match (self.status, id) {
            (200..=299, Some(id)) => return Reply::Done { id: id.clone() },
            (404, Some(_)) if error.is_none() => return Reply::Gone,
            (429, _) => {
                return Reply::Again {
                    after: self.retry_after,
                    why: error
                        .map_or_else(|| "it is throttled".to_owned(), |error| error.to_string()),
                };
            }
            _ => {}
        }
        match error {
            Some(error) => refusal(&error, self.status, id, self.retry_after, columns),
            None => Reply::Unknown,
        }
    }
}

/// The reply of a record that was not written, for this error; in the system's own words.
pub(super) fn refusal(
    error: &ApiError,
    status: u16,
    id: Option<&RowId>,
    after: Option<Duration>,
    columns: &[&str],
) -> Reply {
    if error.is_passing() {
        let why = error.to_string();
        return Reply::Again { after, why };
    }
    if error.code == CHANGED {
        return Reply::ChangedSince;
    }
    let is_gone = id.is_some_and(|id| error.is_about_no(id));
    if is_gone || (status == 404 && error.code.is_empty()) {
        return Reply::Gone;
    }
    Reply::Refused {
        column: columns
            .iter()
            .find(|column| error.message.contains(&format!("'{column}'")))
            .map(|column| (*column).to_owned()),
        message: error.to_string(),
    }
}

/// The parts of a batch's answer, in the order of the requests; `None` if it is no such answer, or
/// its end is missing.
pub(super) fn parts(response: &Response) -> Option<Vec<PartAnswer>> {
    parts_in(response.header("content-type")?, &response.body)
}

fn parts_in(content_type: &str, body: &[u8]) -> Option<Vec<PartAnswer>> {
    let boundary = boundary(content_type)?;
    let text = std::str::from_utf8(body).ok()?;
    let delimiter = format!("--{boundary}");
    let mut pieces = text.split(delimiter.as_str());
    pieces.next()?;
    let mut parts = Vec::new();
    for piece in pieces {
        if piece.starts_with("--") {
            return Some(parts);
        }
        parts.push(part(piece)?);
    }
    None
}

fn boundary(content_type: &str) -> Option<&str> {
    let mut parts = content_type.split(';').map(str::trim);
    let kind = parts.next()?;
    if !kind.eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    let value = parts.find_map(|part| part.strip_prefix("boundary="))?;
    Some(value.trim_matches('"'))
}

/// Headers of the part, a blank line, and an answer as HTTP has it.
fn part(piece: &str) -> Option<PartAnswer> {
    let (_, answer) = piece.split_once("\r\n\r\n")?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let retry_after = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_wait = name.trim().eq_ignore_ascii_case("retry-after");
        is_wait.then(|| value.trim().parse().ok()).flatten()
    });
    Some(PartAnswer {
        status,
        retry_after: retry_after.map(Duration::from_secs),
        body: body.trim_end_matches("\r\n").as_bytes().to_vec(),
    })
}

/// Whether an answer is what it says it is, to its end.
pub(super) fn is_whole(response: &Response) -> bool {
    if response.header("content-type").and_then(boundary).is_some() {
        return parts(response).is_some();
    }
    response.body.is_empty()
        || serde_json::from_slice::<serde::de::IgnoredAny>(&response.body).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::super::garbled::{damaged, garbled};
    use super::*;

    fn id() -> RowId {
        RowId("00000000-0000-4000-8000-0000000000aa".to_owned())
    }

    fn reply(status: u16, code: &str, message: &str) -> Reply {
        let body = format!(r#"{{"error":{{"code":"{code}","message":"{message}"}}}}"#);
        let answer = PartAnswer {
            status,
            retry_after: Some(Duration::from_secs(3)),
            body: body.into_bytes(),
        };
        answer.reply(Some(&id()), &["name", "subject"])
    }

    #[test]
    fn the_code_of_an_error_decides_and_not_its_status() {
        let refused = |reply: Reply| matches!(reply, Reply::Refused { .. });
        let again = |reply: Reply| matches!(reply, Reply::Again { .. });
        let gone = format!("Entity 'account' With Id = {} Does Not Exist", id().0);
        assert_eq!(reply(404, "0x80040217", &gone), Reply::Gone);
        let target =
            "Entity 'contact' With Id = 00000000-0000-4000-8000-0000000000bb Does Not Exist";
        assert!(
            refused(reply(404, "0x80040217", target)),
            "the target of a lookup"
        );
        assert_eq!(reply(412, "0x80060882", "changed"), Reply::ChangedSince);
        assert!(refused(reply(412, "0x80060892", "Entity Key violated")));
        assert!(refused(reply(500, "0x80040333", "a duplicate rule")));
        assert!(again(reply(500, "0x80044150", "deadlocked")));
        assert!(again(reply(500, "0x80040216", "unexpected")));
        assert!(again(reply(429, "0x80072326", "too many")));
        assert!(refused(reply(
            400,
            "0x80040265",
            "A health score lies between 0 and 100."
        )));
        assert!(again(reply(
            400,
            "0x80040265",
            "exceeded the 2-minute limit"
        )));
    }

    #[test]
    fn a_refused_row_names_the_column_that_the_words_name() {
        let words =
            "The length of the 'subject' attribute exceeded the maximum allowed length of '200'.";
        let Reply::Refused { message, column } = reply(400, "0x80044331", words) else {
            panic!("refused");
        };
        assert_eq!(message, format!("0x80044331: {words}"));
        assert_eq!(column.as_deref(), Some("subject"));
    }

    /// An answer to three writes: done, refused, done.
    fn batch() -> String {
        let head = "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 ";
        let done = "204 No Content\r\nOData-Version: 4.0\r\n\r\n\r\n";
        let refused = "400 Bad Request\r\nContent-Type: application/json\r\n\r\n\
                       {\"error\":{\"code\":\"0x80044331\",\"message\":\"too long\"}}\r\n";
        format!("{head}{done}{head}{refused}{head}{done}--b--\r\n")
    }

    /// That nothing is done which no line of the answer says is done.
    fn expect_honest(body: &[u8]) {
        let Some(parts) = parts_in("multipart/mixed; boundary=b", body) else {
            return;
        };
        let replies = parts.iter().map(|part| part.reply(Some(&id()), &["name"]));
        let done = replies
            .filter(|reply| matches!(reply, Reply::Done { .. }))
            .count();
        let text = String::from_utf8_lossy(body);
        let said = text.lines().filter(|line| {
            let status = line.split(' ').nth(1).unwrap_or_default();
            status.len() == 3 && status.starts_with('2')
        });
        assert!(done <= said.count(), "{text}");
    }

    proptest! {
        #[test]
        fn a_batch_s_answer_that_is_cut_or_garbled_is_no_success(body in damaged(batch().into_bytes())) {
            expect_honest(&body);
        }

        #[test]
        fn a_refusal_that_is_cut_or_garbled_is_no_success(
            body in garbled(json!({ "error": { "code": "0x80040217", "message": "Does Not Exist" } })),
            status in prop::sample::select(vec![400_u16, 404, 412, 429, 500]),
        ) {
            let answer = PartAnswer { status, retry_after: None, body };
            prop_assert!(!matches!(answer.reply(Some(&id()), &["name"]), Reply::Done { .. }), "it is refused");
        }
    }

    #[test]
    fn a_part_without_an_error_is_no_success() {
        let answer = PartAnswer {
            status: 500,
            retry_after: None,
            body: b"<html>".to_vec(),
        };
        assert_eq!(answer.reply(Some(&id()), &[]), Reply::Unknown);
    }

    #[test]
    fn a_part_is_read_with_its_status_its_wait_and_its_body() {
        let piece = "\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n\
                     HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\n\r\n{}\r\n";
        let expected = PartAnswer {
            status: 429,
            retry_after: Some(Duration::from_secs(7)),
            body: b"{}".to_vec(),
        };
        assert_eq!(part(piece), Some(expected));
        let bare = "\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n";
        assert_eq!(part(bare).map(|answer| answer.status), Some(204));
        assert_eq!(boundary("multipart/mixed; boundary=\"a b\""), Some("a b"));
        assert_eq!(boundary("application/json"), None);
    }
}
