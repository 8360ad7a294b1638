//! `practice.toml` of a folder that stands for a corporation: who may log in, what the corporation
//! allows, and what its forms and triggers do to records.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::expression::Condition;
use super::where_clause::parse_where;
use crate::practice::{CLIENT_ID, CLIENT_SECRET};

/// The user that every practice lets in.
pub(crate) const USERNAME: &str = "practice.api";
pub(crate) const PASSWORD: &str = "practice";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    #[serde(default)]
    pub(super) corporation: CorporationSettings,
    #[serde(default)]
    pub(super) api_user: ApiUser,
    #[serde(default)]
    pub(super) search: SearchSettings,
    /// Words of a note's `action`, and of a submission's `status`; without them any is taken.
    #[serde(default)]
    pub(super) lists: Lists,
    /// Properties that a new record must have, by entity.
    #[serde(default = "required_usually")]
    pub(super) required: BTreeMap<String, Vec<String>>,
    /// Properties that one value may be given to in many records at once, by entity.
    #[serde(default)]
    pub(super) mass_update: BTreeMap<String, Vec<String>>,
    #[serde(default, rename = "refuse")]
    pub(super) refusals: Vec<Refusal>,
    #[serde(default, rename = "ignore")]
    pub(super) ignored: Vec<Ignored>,
    #[serde(default, rename = "forbid")]
    pub(super) forbidden: Vec<Forbidden>,
    #[serde(default, rename = "trigger")]
    pub(super) triggers: Vec<Trigger>,
}

impl Settings {
    pub(super) fn read(text: Option<&str>) -> Result<Self, String> {
        toml::from_str(text.unwrap_or_default()).map_err(|error| error.to_string())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CorporationSettings {
    pub(super) id: u64,
    pub(super) name: String,
    /// The part of every path that names the corporation.
    pub(super) token: String,
    /// The number of the user that is logged in, among the `CorporateUser`s.
    pub(super) user_id: u64,
    /// Calls of a minute; none are too many where it is 0.
    pub(super) calls_per_minute: usize,
    pub(super) calls_per_month: u64,
    /// Sessions at once.
    pub(super) sessions_max: usize,
    /// Whether answers tell in headers how many calls are left.
    pub(super) tells_limits: bool,
    /// Whether parts of an address that are not sent stay as they are.
    pub(super) keeps_addresses_whole: bool,
}

impl Default for CorporationSettings {
    fn default() -> Self {
        Self {
            id: 12345,
            name: "Practice".to_owned(),
            token: "abc123".to_owned(),
            user_id: 1,
            // Source: "Understanding Bullhorn API Usage Limits", kb.bullhorn.com, as the next two.
            calls_per_minute: 1_500,
            calls_per_month: 100_000,
            sessions_max: 50,
            tells_limits: false,
            keeps_addresses_whole: true,
        }
    }
}

/// Who may log in, and what the user may do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApiUser {
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) username: String,
    pub(super) password: String,
    /// Whether the terms were accepted, once, in a browser.
    pub(super) has_accepted_terms: bool,
    /// Whether the key is granted refresh tokens.
    pub(super) has_refresh_tokens: bool,
    pub(super) views_confidential: bool,
    pub(super) edits_confidential: bool,
    /// The entitlement "SI Dataloader Administration".
    pub(super) loads_data: bool,
}

impl Default for ApiUser {
    fn default() -> Self {
        Self {
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            username: USERNAME.to_owned(),
            password: PASSWORD.to_owned(),
            has_accepted_terms: true,
            has_refresh_tokens: true,
            views_confidential: false,
            edits_confidential: false,
            loads_data: true,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SearchSettings {
    /// How long after a write the index knows of it.
    #[serde(deserialize_with = "duration")]
    pub(super) lag: Duration,
    /// Of a thousand writes those that the index never hears of.
    pub(super) missed_per_mille: u64,
    /// Whether notes are found at all.
    pub(super) finds_notes: bool,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self {
            lag: Duration::from_secs(2),
            missed_per_mille: 0,
            finds_notes: true,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Lists {
    pub(super) note_actions: Vec<String>,
    pub(super) submission_statuses: Vec<String>,
}

/// Records that are not taken.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refusal {
    pub(super) entity: String,
    /// As after `where`; the record as it would be is looked at.
    #[serde(deserialize_with = "condition")]
    pub(super) when: Condition,
    #[serde(default)]
    pub(super) property: Option<String>,
    #[serde(default)]
    pub(super) message: Option<String>,
    /// The type of the error.
    #[serde(default = "invalid_value", rename = "type")]
    pub(super) kind: String,
}

/// A property that is left alone, whatever is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ignored {
    pub(super) entity: String,
    pub(super) property: String,
    /// Whether the answer says nothing of it.
    #[serde(default)]
    pub(super) silently: bool,
}

/// Something that the user's type may not do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Forbidden {
    pub(super) entity: String,
    /// `CREATE`, `READ`, `UPDATE` or `DELETE`.
    pub(super) entitlement: String,
}

/// A form trigger: a write of one property sets another.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trigger {
    pub(super) entity: String,
    pub(super) on: String,
    pub(super) property: String,
    pub(super) value: Value,
}

fn required_usually() -> BTreeMap<String, Vec<String>> {
    let properties = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    [
        (
            "JobSubmission".to_owned(),
            properties(&["candidate", "jobOrder", "status", "dateWebResponse"]),
        ),
        (
            "Note".to_owned(),
            properties(&["action", "comments", "personReference"]),
        ),
    ]
    .into()
}

fn invalid_value() -> String {
    "INVALID_VALUE".to_owned()
}

fn condition<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Condition, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_where(&text).map_err(serde::de::Error::custom)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(serde::de::Error::custom)
}
