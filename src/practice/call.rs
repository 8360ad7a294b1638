//! One HTTP call and its answer, as every stand-in sees them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use url::form_urlencoded;

/// The verbs that APIs know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    pub(crate) fn named(name: &str) -> Option<Self> {
        [
            Self::Get,
            Self::Head,
            Self::Post,
            Self::Put,
            Self::Patch,
            Self::Delete,
        ]
        .into_iter()
        .find(|method| method.name().eq_ignore_ascii_case(name))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What a client asks for.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Verb,
    /// As it was sent, with its query.
    pub(crate) uri: String,
    /// Decoded; empty ones are left out.
    pub(crate) segments: Vec<String>,
    /// Decoded.
    pub(crate) query: Vec<(String, String)>,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) now: DateTime<Utc>,
    /// What stands in the way of this call.
    pub(crate) hindrance: Hindrance,
}

/// What stands in the way of a call that is carried out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hindrance {
    /// Records that another call holds.
    pub(crate) locked: BTreeSet<String>,
    /// Whether some record of the call is held by a call that nobody sees.
    pub(crate) lock_some: bool,
    /// Records on a page at the most.
    pub(crate) page: Option<usize>,
    /// Whether a page is shorter than it might be.
    pub(crate) short_page: bool,
    /// Whether a bulk job that is made by this call fails half way.
    pub(crate) bulk_fail: bool,
    /// Calls after which a token dies.
    pub(crate) token_calls: Option<u64>,
    /// Calls of other programs, for each of ours.
    pub(crate) others: u64,
    /// Calls so far, by which what is said now and then is said.
    pub(crate) number: u64,
}

impl Call {
    pub(crate) fn new(method: Verb, uri: &str, now: DateTime<Utc>) -> Self {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let segments = path.split('/').filter(|part| !part.is_empty());
        Self {
            method,
            uri: uri.to_owned(),
            segments: segments.map(decoded).collect(),
            query: form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            headers: Vec::new(),
            body: Vec::new(),
            now,
            hindrance: Hindrance::default(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|(known, value)| (known == name).then_some(value.as_str()))
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find_map(|(known, value)| (known == name).then_some(value.as_str()))
    }

    /// The path's parts, to be matched.
    pub(crate) fn path(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    /// The body as a form.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }
}

/// A part of a path without its percent signs; `+` is itself there.
fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// What a client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn text(status: u16, content_type: &str, text: impl Into<Vec<u8>>) -> Self {
        Self::new(status)
            .with("Content-Type", content_type)
            .holding(text)
    }

    pub(crate) fn json(status: u16, text: impl Into<Vec<u8>>) -> Self {
        Self::text(status, "application/json;charset=UTF-8", text)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn holding(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_part_by_part() {
        let call = Call::new(Verb::Get, "/a/x%2Fy/b+c%20d/e=f&g/?q=1+2%2B3", Utc::now());
        assert_eq!(call.segments, ["a", "x/y", "b+c d", "e=f&g"]);
        assert_eq!(call.parameter("q"), Some("1 2+3"));
    }
}
