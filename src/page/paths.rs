//! Addresses of pages: what is said about a thing has one address, in which its name is one part.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::ledger::RequestAct;

/// What may stand in a part of an address as it is.
const PART: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b',')
    .remove(b'@');

/// A name as one part of an address. Parts of dots alone would mean something else.
pub(super) fn encoded(name: &str) -> String {
    let encoded = utf8_percent_encode(name, PART).to_string();
    match name.bytes().all(|byte| byte == b'.') {
        true => encoded.replace('.', "%2E"),
        false => encoded,
    }
}

/// A file's name, whose folders stay parts of their own.
pub(super) fn encoded_path(path: &str) -> String {
    path.split('/').map(encoded).collect::<Vec<_>>().join("/")
}

/// A value in a query.
pub(super) fn encoded_value(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

pub(super) fn job(job: &str) -> String {
    format!("/jobs/{}", encoded(job))
}

pub(super) fn settings(job: &str) -> String {
    format!("/settings/{}", encoded(job))
}

pub(super) fn write_back(job: &str, write_back: &str) -> String {
    format!("/jobs/{}/{}", encoded(job), encoded(write_back))
}

pub(super) fn record(job: &str, write_back: &str, key: &str) -> String {
    let (job, write_back, key) = (encoded(job), encoded(write_back), encoded(key));
    format!("/jobs/{job}/{write_back}/records/{key}")
}

pub(super) fn run(run: i64) -> String {
    format!("/runs/{run}")
}

pub(super) fn rejected(run: i64, write_back: &str) -> String {
    format!("/runs/{run}/{}/rejected", encoded(write_back))
}

/// Where a request is told of; what it shows, if it is a look.
pub(super) fn request(request: i64, act: RequestAct) -> String {
    match act.is_look() {
        true => format!("/looks/{request}"),
        false => format!("/requests/{request}"),
    }
}

pub(super) fn dashboard(dashboard: &str) -> String {
    format!("/dashboards/{}", encoded(dashboard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_part_whatever_it_holds() {
        assert_eq!(
            record("a/b", "c d", "x,\"y\"?#%"),
            "/jobs/a%2Fb/c%20d/records/x,%22y%22%3F%23%25"
        );
        assert_eq!(encoded(".."), "%2E%2E");
        assert_eq!(encoded("ä"), "%C3%A4");
        assert_eq!(encoded_path("sql/a b.sql"), "sql/a%20b.sql");
    }
}
