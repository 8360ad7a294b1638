//! HubSpot's errors: their status, category and words.
//! Source: <https://developers.hubspot.com/docs/api-reference/error-handling>.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::practice::call::Answer;

/// A wrong value, as an error tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) property: String,
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// What an error is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) category: &'static str,
    pub(super) message: String,
    pub(super) context: BTreeMap<String, Vec<String>>,
    pub(super) errors: Vec<Value>,
    pub(super) policy: Option<&'static str>,
}

impl ApiError {
    pub(super) fn new(status: u16, category: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            category,
            message: message.into(),
            ..Self::default()
        }
    }

    pub(super) fn with(mut self, name: &str, values: impl IntoIterator<Item = String>) -> Self {
        self.context
            .insert(name.to_owned(), values.into_iter().collect());
        self
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "VALIDATION_ERROR", message)
    }

    pub(super) fn unknown_object(name: &str) -> Self {
        Self::new(400, "", format!("Unable to infer object type from: {name}"))
    }

    pub(super) fn unreadable_json(what: &str) -> Self {
        Self::validation(format!("Invalid input JSON on line 1, column 2: {what}"))
    }

    pub(super) fn not_found(object: &str, ids: Vec<String>) -> Self {
        let message = format!(
            "Could not get some {object} objects, they may be deleted or not exist. Check that ids are valid."
        );
        Self::new(404, "OBJECT_NOT_FOUND", message).with("ids", ids)
    }

    pub(super) fn too_many(found: usize) -> Self {
        Self::validation(format!(
            "The maximum number of inputs supported in a batch request is 100 but found {found}"
        ))
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self::new(401, "INVALID_AUTHENTICATION", message)
    }

    pub(super) fn missing_scope(scope: &str) -> Self {
        Self::new(
            403,
            "MISSING_SCOPES",
            "One or more of the following scopes are required.",
        )
        .with("requiredGranularScopes", [scope.to_owned()])
    }

    /// Values that are not what their properties take.
    pub(super) fn wrong_values(wrongs: &[Wrong]) -> Self {
        let told: Vec<Value> = wrongs
            .iter()
            .map(|wrong| {
                json!({
                    "isValid": false, "message": wrong.message, "error": wrong.code, "name": wrong.property,
                })
            })
            .collect();
        let message = format!("Property values were not valid: {}", Value::Array(told));
        let mut error = Self::validation(message);
        error.errors = wrongs
            .iter()
            .map(|wrong| {
                json!({
                    "message": wrong.message, "code": wrong.code,
                    "context": { "propertyName": [wrong.property] },
                })
            })
            .collect();
        error
    }

    /// As it stands in the list of errors of an answer.
    pub(super) fn entry(&self, mark: Option<&str>) -> Value {
        let mut context = self.context.clone();
        if let Some(mark) = mark {
            context.insert("objectWriteTraceId".to_owned(), vec![mark.to_owned()]);
        }
        let mut entry = json!({
            "status": "error", "category": self.category, "message": self.message, "context": context,
        });
        if !self.errors.is_empty()
            && let Some(fields) = entry.as_object_mut()
        {
            fields.insert("errors".to_owned(), Value::from(self.errors.clone()));
        }
        entry
    }

    /// The answer, which may leave out what is optional in every error.
    pub(super) fn answer(&self, sparse: bool, number: u64) -> Answer {
        let mut body = Map::new();
        body.insert("status".to_owned(), "error".into());
        body.insert("message".to_owned(), self.message.as_str().into());
        if !sparse {
            let id = format!("00000000-0000-4000-8000-{number:012x}");
            body.insert("correlationId".to_owned(), id.into());
        }
        if !self.category.is_empty() && (!sparse || self.errors.is_empty()) {
            body.insert("category".to_owned(), self.category.into());
        }
        if let Some(policy) = self.policy {
            body.insert("errorType".to_owned(), "RATE_LIMIT".into());
            body.insert("policyName".to_owned(), policy.into());
        }
        if !self.context.is_empty() {
            body.insert("context".to_owned(), json!(self.context));
        }
        if !self.errors.is_empty() {
            body.insert("errors".to_owned(), Value::from(self.errors.clone()));
        }
        Answer::json(self.status, Value::Object(body).to_string())
    }
}
