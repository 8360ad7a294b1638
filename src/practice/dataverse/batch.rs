//! `$batch`: many requests in one, each by itself or, within a change set, all or none. Source:
//! <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/webapi/execute-batch-operations-using-web-api>.

use super::environment::Environment;
use super::errors::ODataError;
use crate::practice::call::{Answer, Call, Verb};

/// Requests of one batch.
const REQUESTS_MAX: usize = 1_000;

/// One part of a batch.
enum Part {
    Request(Box<Call>),
    ChangeSet(Vec<(String, Call)>),
}

impl Environment {
    /// Carries a batch out, in order; `carry_out` does one request.
    pub(super) fn batch(
        &mut self,
        call: &Call,
        carry_out: &dyn Fn(&mut Self, &Call) -> Answer,
    ) -> Answer {
        let parts = match parts_of(call) {
            Ok(parts) => parts,
            Err(error) => return error.answer(),
        };
        let prefer = call.header("prefer").unwrap_or_default();
        let goes_on = prefer.contains("odata.continue-on-error");
        let boundary = format!("batchresponse_{:016x}", call.hindrance.number);
        let mut body = Vec::new();
        let mut failed = false;
        for part in parts {
            open(&mut body, &boundary);
            let is_good = match part {
                Part::Request(inner) => {
                    let answer = carry_out(self, &inner);
                    write_answer(&mut body, &answer, None);
                    answer.status < 400
                }
                Part::ChangeSet(requests) => {
                    self.change_set(&mut body, &boundary, requests, carry_out)
                }
            };
            if !is_good && !goes_on {
                failed = true;
                break;
            }
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        let status = if failed { 400 } else { 200 };
        Answer::text(
            status,
            &format!("multipart/mixed; boundary={boundary}"),
            body,
        )
    }

    /// Carries out a change set: all of it, or what was done is taken back and the one error told.
    fn change_set(
        &mut self,
        body: &mut Vec<u8>,
        outer: &str,
        requests: Vec<(String, Call)>,
        carry_out: &dyn Fn(&mut Self, &Call) -> Answer,
    ) -> bool {
        let mark = self.mark();
        let boundary = outer.replace("batchresponse", "changesetresponse");
        let mut answers: Vec<(String, Answer)> = Vec::new();
        for (name, request) in requests {
            let request = with_references(request, &answers);
            let answer = match request.method {
                Verb::Get | Verb::Head => {
                    ODataError::invalid("A change set holds no GET request.").answer()
                }
                Verb::Post | Verb::Put | Verb::Patch | Verb::Delete => carry_out(self, &request),
            };
            if answer.status >= 400 {
                self.roll_back(mark);
                write_answer(body, &answer, Some(&name));
                return false;
            }
            answers.push((name, answer));
        }
        let head = format!("Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        for (name, answer) in &answers {
            open(body, &boundary);
            write_answer(body, answer, Some(name));
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        true
    }
}

/// Puts what earlier requests of a change set made in the place of `$1`.
fn with_references(mut request: Call, answers: &[(String, Answer)]) -> Call {
    for (name, answer) in answers {
        let Some(id) = answer.header("OData-EntityId") else {
            continue;
        };
        let text = String::from_utf8_lossy(&request.body).into_owned();
        request.body = text
            .replace(&format!("\"${name}\""), &format!("\"{id}\""))
            .into_bytes();
    }
    request
}

fn open(body: &mut Vec<u8>, boundary: &str) {
    body.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
}

fn write_answer(body: &mut Vec<u8>, answer: &Answer, name: Option<&str>) {
    let mut head =
        String::from("Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n");
    if let Some(name) = name {
        head.push_str(&format!("Content-ID: {name}\r\n"));
    }
    head.push_str(&format!(
        "\r\nHTTP/1.1 {} {}\r\n",
        answer.status,
        reason(answer.status)
    ));
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(&answer.body);
    body.extend_from_slice(b"\r\n");
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        412 => "Precondition Failed",
        429 => "Too Many Requests",
        _ => "Internal Server Error",
    }
}

fn malformed(what: &str) -> ODataError {
    ODataError::payload(format!("The batch cannot be read: {what}."))
}

/// The parts of a batch, one after the other. Errors: it is none, or too large.
fn parts_of(call: &Call) -> Result<Vec<Part>, ODataError> {
    let content_type = call.header("content-type").unwrap_or_default();
    let boundary = boundary_of(content_type).ok_or_else(|| malformed("no boundary is given"))?;
    let mut parts = Vec::new();
    let mut requests = 0;
    for (headers, content) in split(&call.body, &boundary)? {
        let inner_type = header(&headers, "content-type").unwrap_or_default();
        match boundary_of(&inner_type) {
            Some(inner) => {
                let mut set = Vec::new();
                for (headers, content) in split(&content, &inner)? {
                    let name = header(&headers, "content-id")
                        .ok_or_else(|| malformed("a part of a change set has no Content-ID"))?;
                    set.push((name, request(call, &content)?));
                    requests += 1;
                }
                parts.push(Part::ChangeSet(set));
            }
            None => {
                parts.push(Part::Request(Box::new(request(call, &content)?)));
                requests += 1;
            }
        }
    }
    match requests > REQUESTS_MAX {
        true => Err(malformed("it holds more than 1000 requests")),
        false => Ok(parts),
    }
}

/// The boundary of `multipart/mixed`, quoted or bare.
pub(super) fn boundary_of(content_type: &str) -> Option<String> {
    if !content_type.to_lowercase().starts_with("multipart/mixed") {
        return None;
    }
    content_type.split(';').find_map(|part| {
        let value = part.trim().strip_prefix("boundary=")?;
        Some(value.trim_matches('"').to_owned())
    })
}

type Headers = Vec<(String, String)>;

fn header(headers: &Headers, name: &str) -> Option<String> {
    let found = headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.clone())
}

/// The parts of a multipart body: their headers, and what they hold. Lines end with CRLF.
fn split(body: &[u8], boundary: &str) -> Result<Vec<(Headers, Vec<u8>)>, ODataError> {
    let text = String::from_utf8(body.to_vec()).map_err(|_| malformed("it is not UTF-8"))?;
    let delimiter = format!("--{boundary}");
    let mut pieces = text.split(&delimiter);
    pieces.next();
    let mut parts = Vec::new();
    for piece in pieces {
        if piece.starts_with("--") {
            return Ok(parts);
        }
        let piece = piece
            .strip_prefix("\r\n")
            .ok_or_else(|| malformed("lines end with CRLF"))?;
        let (head, content) = piece
            .split_once("\r\n\r\n")
            .ok_or_else(|| malformed("a part has no blank line after its headers"))?;
        parts.push((headers_of(head), content.as_bytes().to_vec()));
    }
    Err(malformed("its end is missing"))
}

fn headers_of(head: &str) -> Headers {
    head.split("\r\n")
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_lowercase(), value.trim().to_owned()))
        })
        .collect()
}

/// A request as it stands in a part: `PATCH /api/data/v9.2/accounts(…) HTTP/1.1`.
fn request(outer: &Call, content: &[u8]) -> Result<Call, ODataError> {
    let text = String::from_utf8_lossy(content);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let mut words = line.split(' ');
    let method = words.next().and_then(Verb::named);
    let (Some(method), Some(url)) = (method, words.next()) else {
        return Err(malformed("a part holds no request"));
    };
    let path = match url.split_once("://") {
        Some((_, rest)) => rest
            .find('/')
            .and_then(|place| rest.get(place..))
            .unwrap_or("/")
            .to_owned(),
        None if url.starts_with('/') => url.to_owned(),
        // Relative to the root of the service.
        None => {
            let root = outer.uri.split("$batch").next().unwrap_or("/");
            format!("{root}{url}")
        }
    };
    let mut inner = Call::new(method, &path, outer.now);
    inner.headers = headers_of(headers);
    let shared = [
        "host",
        "mscrm.suppressduplicatedetection",
        "mscrm.bypassbusinesslogicexecution",
        "mscrm.suppresscallbackregistrationexpanderjob",
    ];
    let given = outer
        .headers
        .iter()
        .filter(|(name, _)| shared.contains(&name.as_str()));
    inner.headers.extend(given.cloned());
    inner.hindrance = outer.hindrance.clone();
    inner.body = body.trim_end_matches("\r\n").as_bytes().to_vec();
    Ok(inner)
}

/// Ids that a batch's requests name, for locks.
pub(super) fn urls_of(call: &Call) -> Vec<String> {
    let text = String::from_utf8_lossy(&call.body);
    text.split("\r\n")
        .filter(|line| line.ends_with(" HTTP/1.1") && !line.starts_with("GET "))
        .filter_map(|line| Some(line.split(' ').nth(1)?.to_owned()))
        .collect()
}
