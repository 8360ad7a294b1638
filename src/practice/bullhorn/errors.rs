//! Errors as Bullhorn words them. A refused value comes with 500, not with 400.

use serde_json::{Value, json};

use crate::practice::call::Answer;

/// What is wrong with one property of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Detail {
    pub(super) property: Option<String>,
    pub(super) message: Option<String>,
    pub(super) kind: String,
}

impl Detail {
    pub(super) fn new(kind: &str, property: &str, message: String) -> Self {
        Self {
            property: Some(property.to_owned()),
            message: Some(message),
            kind: kind.to_owned(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BullhornError {
    pub(super) status: u16,
    key: &'static str,
    message: String,
    details: Vec<Detail>,
    entity: Option<String>,
}

impl BullhornError {
    pub(super) fn new(status: u16, key: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            key,
            message: message.into(),
            details: Vec::new(),
            entity: None,
        }
    }

    pub(super) fn bad(key: &'static str, message: impl Into<String>) -> Self {
        Self::new(400, key, message)
    }

    /// A record that is not taken.
    pub(super) fn persisting(entity: &str, details: Vec<Detail>) -> Self {
        Self {
            status: 500,
            key: "errors.cannotPersistEntity",
            message: format!("error persisting an entity of type: {entity}"),
            details,
            entity: Some(entity.to_owned()),
        }
    }

    /// What is told where nothing is known.
    pub(super) fn internal() -> Self {
        Self::new(500, "errors.internalError", "an internal error occurred")
    }

    pub(super) fn not_found(entity: &str, id: u64) -> Self {
        Self::new(
            404,
            "errors.entityNotFound",
            format!("{entity} {id} not found"),
        )
    }

    pub(super) fn forbidden(what: &str) -> Self {
        Self::new(
            403,
            "errors.notAuthorized",
            format!("You are missing the entitlement: {what}"),
        )
    }

    /// Source: sdk-rest issue 158.
    pub(super) fn expired() -> Self {
        Self::new(
            401,
            "errors.authentication.invalidRestToken",
            "Bad 'BhRestToken' or timed-out.",
        )
    }

    pub(super) fn overburdened() -> Self {
        Self::new(
            429,
            "errors.tooManyRequests",
            "Server API capacity exceeded",
        )
    }

    pub(super) fn month_used() -> Self {
        Self::new(
            429,
            "errors.apiLimit",
            "The API calls of this month are used up",
        )
    }

    pub(super) fn answer(&self) -> Answer {
        let mut told = json!({
            "errorMessage": self.message,
            "errorMessageKey": self.key,
            "errorCode": self.status,
        });
        if let (Some(entity), Some(object)) = (&self.entity, told.as_object_mut()) {
            let details = self.details.iter().map(|detail| {
                json!({
                    "detailMessage": detail.message,
                    "propertyName": detail.property,
                    "severity": "ERROR",
                    "type": detail.kind,
                })
            });
            object.insert("errors".to_owned(), details.collect::<Vec<Value>>().into());
            object.insert("entityName".to_owned(), entity.as_str().into());
        }
        Answer::json(self.status, told.to_string())
    }
}
