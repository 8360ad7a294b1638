//! Files behind a web server. They are asked for in pieces, and only if they are not what they were.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use url::Url;

use super::service::{Clients, wait};
use super::{PIECE_BYTES, Trouble};
use crate::domain::connection::OptionValue;
use crate::domain::error::SystemError;
use crate::domain::files::RemoteFolder;
use crate::http::{Request, Response, SendError};

/// What is waited before a request that failed for a passing reason is sent again.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_millis(600),
    Duration::from_secs(2),
];

/// The only option: the value of the header that says who asks.
const AUTHORIZATION: &str = "authorization";

/// A web server with files.
#[derive(Debug)]
pub(super) struct Web {
    clients: Clients,
    url: Url,
    /// Whether files are within what the URL leads to, rather than that itself.
    is_folder: bool,
    authorization: Option<OptionValue>,
}

/// A piece of a file.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Where it begins in the file.
    pub(super) begin: u64,
    /// Bytes of the whole file.
    pub(super) total: u64,
    pub(super) version: String,
}

/// What a server says to a request for a piece.
#[derive(Debug)]
pub(super) enum Answer {
    Piece(Piece),
    /// The file is what the request says it was.
    Same,
    /// The file is not what the request says it was.
    Other,
}

/// Of which file a piece is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    Any,
    /// Only of this version.
    Version(&'a str),
    /// Only of another version.
    Newer(&'a str),
}

impl Web {
    pub(super) fn open(
        folder: &RemoteFolder,
        is_folder: bool,
        trouble: &Trouble,
    ) -> Result<Self, SystemError> {
        let mut authorization = None;
        for (name, value) in &folder.options {
            if name != AUTHORIZATION {
                let what = format!("there is no option `{name}`");
                let hint = "a web server takes `authorization = { env = \"NAME\" }`, the header's \
                            value, such as `Bearer TOKEN`";
                return Err(trouble.failed("", what, Some(hint.to_owned())));
            }
            authorization = Some(value.clone());
        }
        Ok(Self {
            clients: Clients::of(folder, trouble)?,
            url: folder.url.clone(),
            is_folder,
            authorization,
        })
    }

    /// Asks for the piece of a file that begins at a byte.
    pub(super) fn ask(
        &self,
        name: &str,
        begin: u64,
        wanted: Wanted<'_>,
        trouble: &Trouble,
    ) -> Result<Answer, SystemError> {
        let request = self.request(name, begin, wanted, trouble)?;
        let mut pauses = PAUSES.iter();
        loop {
            let client = self
                .clients
                .for_host(Some(self.url.scheme()), self.url.host_str());
            let sending = async {
                match client {
                    Ok(client) => client.send_on(request.clone()).await,
                    Err(error) => Err(error),
                }
            };
            let sent = wait(sending).map_err(|error| trouble.unavailable(&error.to_string()))?;
            let is_passing = match &sent {
                Ok(answer) => matches!(answer.status, 429 | 500 | 502 | 503 | 504),
                Err(SendError::NotSent(_) | SendError::Unanswered(_)) => true,
                Err(_) => false,
            };
            match pauses.next().filter(|_| is_passing) {
                Some(pause) => thread::sleep(*pause),
                None => return read(sent, name, begin, trouble),
            }
        }
    }

    fn request(
        &self,
        name: &str,
        begin: u64,
        wanted: Wanted<'_>,
        trouble: &Trouble,
    ) -> Result<Request, SystemError> {
        let last = begin + PIECE_BYTES - 1;
        let mut request = Request::get(self.address(name, trouble)?)
            .with_header("Accept", "*/*")
            .with_header("Range", format!("bytes={begin}-{last}"))
            // A server that squeezed the file would give pieces of something else.
            .with_header("Accept-Encoding", "identity");
        if let Some(value) = &self.authorization {
            request = request.with_header("Authorization", value.reveal());
        }
        let condition = match wanted {
            Wanted::Any => None,
            Wanted::Version(version) => condition(version, "If-Match", "If-Unmodified-Since"),
            Wanted::Newer(version) => condition(version, "If-None-Match", "If-Modified-Since"),
        };
        Ok(match condition {
            Some((header, value)) => request.with_header(header, value),
            None => request,
        })
    }

    fn address(&self, name: &str, trouble: &Trouble) -> Result<String, SystemError> {
        let mut url = self.url.clone();
        if self.is_folder {
            let segments = url.path_segments_mut();
            let no_folder = |()| trouble.failed(name, "the URL has no path", None);
            segments.map_err(no_folder)?.pop_if_empty().push(name);
        }
        Ok(url.into())
    }
}

/// How a version is asked about, by its tag or by its date; `None` where a server tells neither.
fn condition(
    version: &str,
    by_tag: &'static str,
    by_date: &'static str,
) -> Option<(&'static str, String)> {
    match version.split_once(' ') {
        Some(("tag", tag)) => Some((by_tag, tag.to_owned())),
        Some(("date", date)) => Some((by_date, date.to_owned())),
        _ => None,
    }
}

/// Whether a version was told by its server, and can be asked about.
pub(super) fn is_told(version: &str) -> bool {
    condition(version, "", "").is_some()
}

/// What tells one version of a file from another, as far as its server says.
fn version(answer: &Response, total: u64) -> String {
    let tag = answer.header("etag").filter(|tag| !tag.starts_with("W/"));
    match (tag, answer.header("last-modified")) {
        (Some(tag), _) => format!("tag {tag}"),
        (None, Some(date)) => format!("date {date}"),
        (None, None) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            format!("untold {total} {}", now.unwrap_or_default().as_nanos())
        }
    }
}

fn read(
    sent: Result<Response, SendError>,
    name: &str,
    begin: u64,
    trouble: &Trouble,
) -> Result<Answer, SystemError> {
    let answer = match sent {
        Ok(answer) => answer,
        Err(error @ (SendError::NotSent(_) | SendError::Unanswered(_))) => {
            return Err(trouble.unavailable(&error.to_string()));
        }
        Err(SendError::Unproven { what, hint }) => {
            return Err(trouble.failed(name, what, Some(hint.to_owned())));
        }
        Err(error @ (SendError::TooLarge(_) | SendError::Malformed(_))) => {
            let hint = "a file of more than that is fetched from servers that give pieces of \
                        files: those that answer `Range` with 206";
            return Err(trouble.failed(name, error.to_string(), Some(hint.to_owned())));
        }
    };
    let status = answer.status;
    let whole = |bytes: Vec<u8>, version| {
        let total = bytes.len() as u64;
        Answer::Piece(Piece {
            bytes,
            begin: 0,
            total,
            version,
        })
    };
    match status {
        200 => {
            let version = version(&answer, answer.body.len() as u64);
            Ok(whole(answer.body, version))
        }
        206 => {
            let told = answer.header("content-range").and_then(content_range);
            match told {
                Some((first, last, total))
                    if first == begin && last + 1 - first == answer.body.len() as u64 =>
                {
                    Ok(Answer::Piece(Piece {
                        version: version(&answer, total),
                        begin,
                        total,
                        bytes: answer.body,
                    }))
                }
                _ => Err(trouble.failed(
                    name,
                    "the server gave another piece than it was asked for",
                    None,
                )),
            }
        }
        304 => Ok(Answer::Same),
        412 => Ok(Answer::Other),
        // An empty file has no first byte.
        416 if begin == 0 => {
            let version = version(&answer, 0);
            Ok(whole(Vec::new(), version))
        }
        416 => Ok(Answer::Other),
        404 | 410 => Err(trouble.not_found(name)),
        401 | 403 => Err(trouble.forbidden(&format!("the server answers with {status}"))),
        429 | 500..=599 => Err(trouble.unavailable(&format!("the server answers with {status}"))),
        300..=399 => {
            let place = answer.header("location").unwrap_or("another place");
            // What follows the path may be a secret.
            let place = place.split('?').next().unwrap_or_default();
            let hint = format!("let `folder` name where it leads: {place}");
            Err(trouble.failed(name, "the server sends on to another one", Some(hint)))
        }
        _ => Err(trouble.failed(name, format!("the server answers with {status}"), None)),
    }
}

/// First byte, last byte, and bytes of the whole, of `bytes 0-99/1234`.
fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    let total: u64 = total.parse().ok()?;
    (first <= last && last < total).then_some((first, last, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_or_refused() {
        for (text, told) in [
            ("bytes 0-99/1234", Some((0, 99, 1234))),
            (" bytes 5-5/6", Some((5, 5, 6))),
            ("bytes 0-99/*", None),
            ("bytes 9-5/10", None),
            ("bytes 0-10/10", None),
            ("items 0-1/2", None),
            ("bytes 0-18446744073709551615/18446744073709551615", None),
        ] {
            assert_eq!(content_range(text), told, "{text}");
        }
    }

    #[test]
    fn a_version_is_asked_about_as_its_server_tells_it() {
        assert_eq!(
            condition("tag \"a b\"", "If-Match", "If-Unmodified-Since"),
            Some(("If-Match", "\"a b\"".to_owned()))
        );
        assert_eq!(condition("untold 7 8", "If-Match", "x"), None);
    }
}
