//! What Bullhorn's answers mean. Its status says little: a refused value comes with 500, and an ignored
//! one with 200. Source: <https://bullhorn.github.io/rest-api-docs/#errors>.

use serde::Deserialize;
use serde_json::Value;

use crate::destination::seam::RowId;
use crate::destination::service::seam::Reply;
use crate::domain::printable::printable;
use crate::http::Response;

/// An error as an answer tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    /// `errors.cannotPersistEntity`, or the code of a log-in's error.
    pub(super) key: String,
    message: String,
    details: Vec<Detail>,
}

/// What is wrong with one property.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Detail {
    kind: String,
    property: Option<String>,
    message: Option<String>,
}

impl ApiError {
    /// The error of an answer; `None` where there is none that can be read, as in a page of HTML.
    pub(super) fn of(response: &Response) -> Option<Self> {
        let value = serde_json::from_slice::<Value>(&response.body).ok()?;
        let text = |names: &[&str]| {
            let found = names.iter().find_map(|name| value.get(name)?.as_str());
            found.map(printable)
        };
        let message = text(&["errorMessage", "error_description"]);
        let key = text(&["errorMessageKey", "error"]);
        if message.is_none() && key.is_none() {
            return None;
        }
        let details = value.get("errors").and_then(Value::as_array);
        Some(Self {
            key: key.unwrap_or_default(),
            message: message.unwrap_or_default(),
            details: details.into_iter().flatten().map(Detail::read).collect(),
        })
    }

    /// Whether it says that something broke, which may pass, and not that the record is refused.
    pub(super) fn may_pass(&self) -> bool {
        let is_unknown = |detail: &Detail| detail.kind == "UNKNOWN_INTERNAL_ERROR";
        match self.key.as_str() {
            "errors.cannotPersistEntity" => {
                self.details.is_empty() || self.details.iter().all(is_unknown)
            }
            "errors.internalError" => true,
            _ => false,
        }
    }

    /// Whether it says that just this is there already.
    pub(super) fn is_duplicate(&self) -> bool {
        let is = |detail: &Detail| detail.kind == "DUPLICATE_VALUE";
        !self.details.is_empty() && self.details.iter().all(is)
    }

    pub(super) fn says(&self, words: &str) -> bool {
        self.message.to_lowercase().contains(&words.to_lowercase())
    }

    /// The reply of a record that is refused for it.
    pub(super) fn refusal(&self) -> Reply {
        let property = self
            .details
            .iter()
            .find_map(|detail| detail.property.clone());
        Reply::Refused {
            message: self.to_string(),
            column: property,
        }
    }
}

impl Detail {
    fn read(value: &Value) -> Self {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(printable);
        Self {
            kind: text("type").unwrap_or_default(),
            property: text("propertyName"),
            message: text("detailMessage"),
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let details = self.details.iter().map(|detail| match &detail.message {
            Some(message) => format!("{}: {message}", detail.kind),
            None => detail.kind.clone(),
        });
        let details: Vec<String> = details.collect();
        match (details.is_empty(), self.message.is_empty()) {
            (true, true) => formatter.write_str(&self.key),
            (true, false) => formatter.write_str(&self.message),
            (false, _) => write!(formatter, "{} ({})", details.join("; "), self.message),
        }
    }
}

/// What a write that was carried out tells.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changed {
    changed_entity_id: u64,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(default)]
    detail_message: Option<String>,
    #[serde(default)]
    property_name: Option<String>,
    #[serde(default, rename = "type")]
    kind: String,
}

impl Changed {
    /// `None` if the answer does not say so.
    pub(super) fn of(response: &Response) -> Option<Self> {
        match response.is_success() {
            true => serde_json::from_slice(&response.body).ok(),
            false => None,
        }
    }

    pub(super) fn id(&self) -> RowId {
        RowId(self.changed_entity_id.to_string())
    }

    /// What it says of a property that was sent: it was left alone.
    pub(super) fn word_on(&self, property: &str) -> Option<String> {
        let is_of = |message: &&Message| message.property_name.as_deref() == Some(property);
        let message = self.messages.iter().find(is_of)?;
        Some(match &message.detail_message {
            Some(words) => format!("{}: {}", printable(&message.kind), printable(words)),
            None => printable(&message.kind),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::super::garbled::garbled;
    use super::*;

    proptest! {
        #[test]
        fn an_answer_that_is_cut_or_garbled_changes_no_other_record(body in garbled(json!({
            "changedEntityType": "Candidate", "changedEntityId": 10, "changeType": "UPDATE",
            "messages": [{ "detailMessage": "left alone", "propertyName": "status", "type": "READ_ONLY" }],
        }))) {
            // What nobody reads may hold bytes that are no text.
            let told = String::from_utf8_lossy(&body);
            let told: Value = serde_json::from_str(&told).unwrap_or_default();
            if let Ok(changed) = serde_json::from_slice::<Changed>(&body) {
                let id = told.get("changedEntityId").and_then(Value::as_u64);
                prop_assert_eq!(id, Some(changed.changed_entity_id));
            }
        }
    }
}
