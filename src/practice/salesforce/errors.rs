//! Errors in the shapes in which Salesforce tells them. Source: "Status Codes and Error Responses"
//! of the REST API guide, and recorded answers.

use serde_json::{Value, json};

use super::soql::QueryError;
use crate::practice::call::Answer;

/// Why a whole request failed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) fields: Option<Vec<String>>,
    /// What a duplicate rule found.
    pub(super) duplicates: Option<Box<Value>>,
}

impl ApiError {
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            fields: None,
            duplicates: None,
        }
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "NOT_FOUND", "The requested resource does not exist")
    }

    pub(super) fn no_object(name: &str) -> Self {
        let message = format!(
            "sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append \
             the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names."
        );
        Self::new(400, "INVALID_TYPE", message)
    }

    pub(super) fn unparsable(message: impl Into<String>) -> Self {
        Self::new(400, "JSON_PARSER_ERROR", message)
    }

    pub(super) fn value(&self) -> Value {
        let mut error = json!({ "message": self.message, "errorCode": self.code });
        if let Some(fields) = &self.fields {
            set(&mut error, "fields", json!(fields));
        }
        if let Some(duplicates) = &self.duplicates {
            // Misspelt there since it was introduced.
            set(&mut error, "duplicateResut", Value::clone(duplicates));
        }
        error
    }

    pub(super) fn answer(&self) -> Answer {
        Answer::json(self.status, json!([self.value()]).to_string())
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        Self::new(400, error.code, error.message)
    }
}

/// Why one record was refused.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RowError {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) fields: Vec<String>,
    pub(super) duplicates: Option<Box<Value>>,
}

impl RowError {
    pub(super) fn new(code: &str, message: impl Into<String>, fields: &[&str]) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            duplicates: None,
        }
    }

    /// As it stands in the answer of a collection.
    pub(super) fn value(&self) -> Value {
        json!({ "statusCode": self.code, "message": self.message, "fields": self.fields })
    }

    /// As it stands in a file of failed results.
    pub(super) fn cell(&self) -> String {
        format!(
            "{}:{}:{} --",
            self.code,
            self.message,
            self.fields.join(" ")
        )
    }

    /// As the answer to a request for this record alone.
    pub(super) fn alone(self) -> ApiError {
        let status = match self.code.as_str() {
            "ENTITY_IS_DELETED" | "NOT_FOUND" | "INVALID_CROSS_REFERENCE_KEY"
                if self.fields.is_empty() =>
            {
                404
            }
            "INSUFFICIENT_ACCESS_OR_READONLY" | "INSUFFICIENT_ACCESS" => 403,
            _ => 400,
        };
        // A column that is not there is told without a list.
        let is_bare = self.code == "INVALID_FIELD" && self.fields.is_empty();
        ApiError {
            status,
            fields: (!is_bare && self.duplicates.is_none()).then_some(self.fields),
            code: self.code,
            message: self.message,
            duplicates: self.duplicates,
        }
    }
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}
