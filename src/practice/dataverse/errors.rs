//! Errors in the shape in which Dataverse tells them. Source: "Compose HTTP requests and handle
//! errors" of the Web API's guide, and its reference of error codes.

use serde_json::json;

use crate::practice::call::Answer;

/// Why a request, or a part of one, failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ODataError {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// Seconds after which it may be tried again.
    pub(super) retry_after: Option<u64>,
}

impl ODataError {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    /// A payload or a query that names what is not there, or holds what cannot be there.
    pub(super) fn payload(message: impl Into<String>) -> Self {
        Self::new(400, "0x80048d19", message)
    }

    /// A row that is not there.
    pub(super) fn no_row(table: &str, id: &str) -> Self {
        let message = format!("Entity '{table}' With Id = {id} Does Not Exist");
        Self::new(404, "0x80040217", message)
    }

    /// A key that no row has.
    pub(super) fn no_row_of_key(table: &str) -> Self {
        let message =
            format!("A record with the specified key values does not exist in {table} entity");
        Self::new(404, "0x80060891", message)
    }

    pub(super) fn no_segment(segment: &str) -> Self {
        let message = format!("Resource not found for the segment '{segment}'.");
        Self::new(404, "0x80060888", message)
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "0x80040203", message)
    }

    pub(super) fn answer(&self) -> Answer {
        let told = json!({ "error": { "code": self.code, "message": self.message } });
        let answer = Answer::text(
            self.status,
            "application/json; odata.metadata=minimal",
            told.to_string(),
        );
        match self.retry_after {
            Some(seconds) => answer.with("Retry-After", seconds.to_string()),
            None => answer,
        }
    }
}
