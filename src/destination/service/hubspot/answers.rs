//! What HubSpot's answers mean: its errors, and one reply for each record that was sent. Results
//! come in any order, and an input may be in none of the lists: nothing is taken for a success that
//! does not name the very record.
//! Source: <https://developers.hubspot.com/docs/api-reference/error-handling>.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::destination::seam::RowId;
use crate::destination::service::seam::Reply;
use crate::domain::printable::printable;
use crate::http::Response;

/// One error as an answer tells it. Every part of it may be left out there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ApiError {
    pub(super) category: String,
    pub(super) message: String,
    /// Codes and words of what is wrong in detail.
    details: Vec<Detail>,
    /// The limit that was crossed.
    pub(super) policy: Option<String>,
    /// Scopes that would have to be there.
    pub(super) scopes: Vec<String>,
    /// Inputs that it is about, by the marks that they were sent with.
    marks: Vec<String>,
    /// Records that it is about.
    pub(super) ids: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Detail {
    code: String,
    message: String,
    property: Option<String>,
}

impl ApiError {
    /// The error of an answer; `None` if it is none, as in a page of HTML.
    pub(super) fn of(response: &Response) -> Option<Self> {
        Self::read(&serde_json::from_slice(&response.body).ok()?)
    }

    /// One of no category, in our own words.
    pub(super) fn saying(message: String) -> Self {
        Self {
            message,
            ..Self::default()
        }
    }

    pub(super) fn read(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let text = |names: &[&str]| {
            let found = names
                .iter()
                .find_map(|name| fields.get(*name)?.as_str())
                .map(printable);
            found.unwrap_or_default()
        };
        // As they were sent: ids and marks are compared, so nothing of them may be made printable.
        let context = |name: &str| texts(fields.get("context").and_then(|all| all.get(name)));
        let message = text(&["message", "error_description"]);
        let category = match text(&["category", "error"]) {
            empty if empty.is_empty() => text(&["errorType"]),
            category => category,
        };
        if message.is_empty() && category.is_empty() {
            return None;
        }
        let errors = fields.get("errors").and_then(Value::as_array);
        let scopes = ["requiredGranularScopes", "requiredScopes"];
        let ids = ["ids", "id"].map(context).concat();
        Some(Self {
            details: errors
                .into_iter()
                .flatten()
                .filter_map(Detail::read)
                .chain(embedded(&message))
                .collect(),
            policy: fields
                .get("policyName")
                .and_then(Value::as_str)
                .map(printable),
            scopes: scopes
                .map(context)
                .concat()
                .iter()
                .map(|scope| printable(scope))
                .collect(),
            marks: context("objectWriteTraceId"),
            ids,
            category,
            message,
        })
    }

    /// The property that is to blame.
    fn property(&self) -> Option<String> {
        self.details
            .iter()
            .find_map(|detail| detail.property.clone())
    }

    fn has_code(&self, code: &str) -> bool {
        self.category == code || self.details.iter().any(|detail| detail.code == code)
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let joint = |code: &str, message: &str| match (code.is_empty(), message.is_empty()) {
            (false, false) => format!("{code}: {message}"),
            _ => format!("{code}{message}"),
        };
        if self.details.is_empty() {
            return formatter.write_str(&joint(&self.category, &self.message));
        }
        let mut told: Vec<String> = Vec::new();
        for detail in &self.details {
            let words = joint(&detail.code, &detail.message);
            if !told.contains(&words) {
                told.push(words);
            }
        }
        formatter.write_str(&told.join("; "))
    }
}

impl Detail {
    fn read(value: &Value) -> Option<Self> {
        let text = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| value.get(*name)?.as_str())
                .map(printable)
        };
        let property = value
            .get("context")
            .and_then(|context| context.get("propertyName"));
        Some(Self {
            message: text(&["message"])?,
            code: text(&["code", "error", "subCategory"]).unwrap_or_default(),
            property: texts(property)
                .into_iter()
                .next()
                .or_else(|| text(&["name"])),
        })
    }
}

/// What an error's words hold as JSON: `Property values were not valid: [{…}]`.
fn embedded(message: &str) -> Vec<Detail> {
    let list = message.split_once(": [").map(|(_, list)| list);
    let list = list.and_then(|list| serde_json::from_str::<Value>(&format!("[{list}")).ok());
    let list = list.as_ref().and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Detail::read)
        .collect()
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let values = value.and_then(Value::as_array).into_iter().flatten();
    values
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// The reply of a record that was not written, for this error; in HubSpot's own words.
pub(super) fn refusal(error: &ApiError) -> Reply {
    let again = ["RATE_LIMITS", "LOCKED", "INTERNAL_ERROR"];
    if error.has_code("OBJECT_NOT_FOUND") {
        return Reply::Gone;
    }
    if again.contains(&error.category.as_str()) {
        return Reply::Again {
            after: None,
            why: error.to_string(),
        };
    }
    Reply::Refused {
        message: error.to_string(),
        column: error.property(),
    }
}

/// A record as an answer holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) id: String,
    /// The input's mark, if it is repeated.
    mark: Option<String>,
    pub(super) updated_at: Option<String>,
    pub(super) properties: BTreeMap<String, Option<String>>,
}

impl Told {
    fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let properties = value.get("properties").and_then(Value::as_object);
        let plain = |value: &Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Some(other.to_string())
            }
        };
        Some(Self {
            id: text("id").filter(|id| !id.is_empty())?,
            mark: text("objectWriteTraceId"),
            updated_at: text("updatedAt"),
            properties: properties
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), plain(value)))
                .collect(),
        })
    }
}

/// The answer of a batch or of a search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Batch {
    pub(super) results: Vec<Told>,
    pub(super) errors: Vec<ApiError>,
    /// Whether it is done with: what is pending says nothing.
    pub(super) is_complete: bool,
    /// Of a search: how many there are, and where the next page begins.
    pub(super) total: Option<usize>,
    pub(super) after: Option<String>,
}

impl Batch {
    /// Reads an answer; `None` if it is none.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let list = |name: &str| value.get(name).and_then(Value::as_array);
        let status = value.get("status").and_then(Value::as_str);
        let after = value.pointer("/paging/next/after");
        Some(Self {
            results: list("results")?.iter().filter_map(Told::read).collect(),
            errors: list("errors")
                .into_iter()
                .flatten()
                .filter_map(ApiError::read)
                .collect(),
            is_complete: status.is_none_or(|status| status == "COMPLETE"),
            total: value
                .get("total")
                .and_then(Value::as_u64)
                .and_then(|total| usize::try_from(total).ok()),
            after: after.and_then(Value::as_str).map(str::to_owned),
        })
    }

    /// One reply for each input: those that name a record by its id, and those that make one, which
    /// are known by their marks.
    pub(super) fn replies(&self, inputs: &[Input<'_>]) -> Vec<Reply> {
        if !self.is_complete {
            return vec![Reply::Unknown; inputs.len()];
        }
        let nobodys = self
            .errors
            .iter()
            .find(|error| error.marks.is_empty() && error.ids.is_empty());
        inputs
            .iter()
            .map(|input| match (self.result(input), self.error(input)) {
                (Some(told), None) => Reply::Done {
                    id: RowId(told.id.clone()),
                },
                (None, Some(error)) => refusal(error),
                // An error that does not say whose it is: each is asked about alone.
                (None, None) if input.id.is_some() && nobodys.is_some() && inputs.len() > 1 => {
                    Reply::Again {
                        after: Some(std::time::Duration::ZERO),
                        why: nobodys.map(ToString::to_string).unwrap_or_default(),
                    }
                }
                (None, None) if inputs.len() == 1 => nobodys.map_or(Reply::Unknown, refusal),
                (_, _) => Reply::Unknown,
            })
            .collect()
    }

    fn result(&self, input: &Input<'_>) -> Option<&Told> {
        let is_own = |told: &&Told| match input.id {
            Some(id) => told.id == id.0,
            None => told.mark.as_deref() == Some(input.mark.as_str()) || input.is_shown_by(told),
        };
        let mut results = self.results.iter().filter(is_own);
        // One that is told of twice is not told of.
        results.next().filter(|_| results.next().is_none())
    }

    fn error(&self, input: &Input<'_>) -> Option<&ApiError> {
        self.errors.iter().find(|error| {
            let by_id = input.id.is_some_and(|id| error.ids.contains(&id.0));
            error.marks.contains(&input.mark) || (error.marks.is_empty() && by_id)
        })
    }
}

/// One input of a batch, as its answer is joined to it.
#[derive(Debug, Clone)]
pub(super) struct Input<'a> {
    pub(super) id: Option<&'a RowId>,
    /// What it was sent with, to be known again.
    pub(super) mark: String,
    /// A property that no two records share, with what was sent in it.
    pub(super) unique: Option<(&'a str, String)>,
}

impl Input<'_> {
    fn is_shown_by(&self, told: &Told) -> bool {
        let Some((name, sent)) = &self.unique else {
            return false;
        };
        let held = told.properties.get(*name).and_then(Option::as_deref);
        held.is_some_and(|held| held.eq_ignore_ascii_case(sent))
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests may")]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::super::garbled::garbled;
    use super::*;

    /// An answer to four updates: two are done, and two refused.
    fn whole() -> Value {
        let done = |id: &str| json!({ "id": id, "properties": { "score": "7" }, "updatedAt": "2026-11-30T00:00:00Z" });
        json!({
            "status": "COMPLETE", "results": [done("103"), done("101")], "numErrors": 2,
            "errors": [
                { "category": "VALIDATION_ERROR", "message": "no", "context": { "objectWriteTraceId": ["r1"] } },
                { "category": "OBJECT_NOT_FOUND", "message": "gone", "context": { "ids": ["104"], "objectWriteTraceId": ["r3"] } },
            ],
        })
    }

    proptest! {
        #[test]
        fn an_answer_that_is_cut_or_garbled_makes_no_success(body in garbled(whole())) {
            let known = ids(&["101", "102", "103", "104"]);
            let replies = Batch::read(&body).map(|batch| batch.replies(&updates(&known)));
            let told: Value = serde_json::from_slice(&body).unwrap_or_default();
            for (own, reply) in known.iter().zip(replies.unwrap_or_default()) {
                if let Reply::Done { id } = reply {
                    prop_assert_eq!(&id, own);
                    let results = told["results"].as_array().into_iter().flatten();
                    let named = results.filter(|result| result["id"] == own.0.as_str()).count();
                    prop_assert_eq!(named, 1, "{} in {}", own.0, told);
                }
            }
        }

        #[test]
        fn what_is_made_is_known_by_its_mark_alone(body in garbled(json!({
            "status": "COMPLETE", "results": [
                { "id": "7", "objectWriteTraceId": "r1", "properties": {} },
                { "id": "8", "objectWriteTraceId": "r0", "properties": {} },
            ],
        }))) {
            let inputs = [0, 1].map(|place| Input { id: None, mark: format!("r{place}"), unique: None });
            let replies = Batch::read(&body).map(|batch| batch.replies(&inputs));
            let told: Value = serde_json::from_slice(&body).unwrap_or_default();
            for (input, reply) in inputs.iter().zip(replies.unwrap_or_default()) {
                if let Reply::Done { id } = reply {
                    let results = told["results"].as_array().into_iter().flatten();
                    let own: Vec<&Value> = results.filter(|result| result["objectWriteTraceId"] == input.mark.as_str()).collect();
                    prop_assert!(own.len() == 1 && own[0]["id"] == id.0.as_str(), "{:?} in {}", id, told);
                }
            }
        }
    }

    /// Inputs that update these records, marked by their places.
    fn updates(ids: &[RowId]) -> Vec<Input<'_>> {
        let input = |(place, id)| Input {
            id: Some(id),
            mark: format!("r{place}"),
            unique: None,
        };
        ids.iter().enumerate().map(input).collect()
    }

    fn ids(ids: &[&str]) -> Vec<RowId> {
        ids.iter().map(|id| RowId((*id).to_owned())).collect()
    }

    fn replies(answer: &Value, inputs: &[Input<'_>]) -> Vec<Reply> {
        let batch = Batch::read(answer.to_string().as_bytes()).expect("a batch");
        batch.replies(inputs)
    }

    fn done(id: &str) -> Reply {
        Reply::Done {
            id: RowId(id.to_owned()),
        }
    }

    #[test]
    fn answers_are_joined_by_id_and_mark_and_what_is_left_out_is_in_doubt() {
        let answer = json!({
            "status": "COMPLETE",
            "results": [{ "id": "3", "properties": {} }, { "id": "1", "properties": {} }],
            "errors": [
                { "category": "OBJECT_NOT_FOUND", "message": "Could not get some objects", "context": { "ids": ["2"], "objectWriteTraceId": ["r1"] } },
                { "category": "VALIDATION_ERROR", "message": "Property values were not valid: [{\"message\":\"x was not one of the allowed options\",\"error\":\"INVALID_OPTION\",\"name\":\"risk\"}]", "context": { "objectWriteTraceId": ["r4"] } },
            ],
        });
        let ids = ids(&["1", "2", "3", "4", "5"]);
        let replies = replies(&answer, &updates(&ids));
        assert_eq!(
            replies[..4],
            [done("1"), Reply::Gone, done("3"), Reply::Unknown]
        );
        let refused = Reply::Refused {
            message: "INVALID_OPTION: x was not one of the allowed options".to_owned(),
            column: Some("risk".to_owned()),
        };
        assert_eq!(replies[4], refused);
    }

    #[test]
    fn what_is_not_complete_or_told_of_twice_is_in_doubt() {
        let one = json!({ "id": "1", "properties": {} });
        let ids = ids(&["1"]);
        for answer in [
            json!({ "status": "PENDING", "results": [one] }),
            json!({ "status": "COMPLETE", "results": [one, one] }),
            json!({ "status": "COMPLETE", "results": [], "errors": [] }),
            json!({ "results": [{ "id": "9", "properties": {} }] }),
        ] {
            assert_eq!(
                replies(&answer, &updates(&ids)),
                [Reply::Unknown],
                "{answer}"
            );
        }
    }

    #[test]
    fn an_error_that_is_nobody_s_has_each_asked_about_alone() {
        let answer = json!({
            "results": [], "errors": [{ "category": "VALIDATION_ERROR", "message": "no" }],
        });
        let two = ids(&["1", "2"]);
        let both = replies(&answer, &updates(&two));
        assert!(
            both.iter()
                .all(|reply| matches!(reply, Reply::Again { .. }))
        );
        let alone = replies(&answer, &updates(&two[..1]));
        assert!(matches!(&alone[..], [Reply::Refused { .. }]));
    }

    #[test]
    fn what_is_made_is_known_by_its_mark_or_by_what_no_two_share() {
        let answer = json!({ "results": [
            { "id": "8", "objectWriteTraceId": "r1", "properties": {} },
            { "id": "7", "properties": { "key": "K0" } },
        ] });
        let input = |place: usize| Input {
            id: None,
            mark: format!("r{place}"),
            unique: Some(("key", format!("K{place}"))),
        };
        let inputs = [input(0), input(1), input(2)];
        let expected = [done("7"), done("8"), Reply::Unknown];
        assert_eq!(replies(&answer, &inputs), expected);
    }

    #[test]
    fn every_part_of_an_error_may_be_left_out() {
        for (told, words) in [
            (json!({ "message": "no" }), Some("no")),
            (json!({ "category": "CONFLICT" }), Some("CONFLICT")),
            (
                json!({ "error": "invalid_grant", "error_description": "dead" }),
                Some("invalid_grant: dead"),
            ),
            (json!({ "status": "error" }), None),
            (json!("no"), None),
        ] {
            let error = ApiError::read(&told).map(|error| error.to_string());
            assert_eq!(error.as_deref(), words, "{told}");
        }
    }
}
