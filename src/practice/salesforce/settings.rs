//! `practice.toml` of a folder that stands for a Salesforce org: who may log in, what the org
//! allows, and which records its rules refuse.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::soql::{Condition, parse_condition};
use crate::practice::app::{CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN};
use crate::practice::keys;

/// What an org is where the file does not say it.
const ORG_ID: &str = "00DPracticeOrg1";
const USERNAME: &str = "writeback@practice.example";
/// Calls in 24 hours. Source: the allocation of a Developer Edition.
const DAILY_CALLS: u64 = 15_000;
/// Long calls at once. Source: the allocation of production orgs.
const LONG_CALLS_MAX: usize = 25;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    #[serde(default)]
    pub(super) org: OrgSettings,
    #[serde(default, rename = "app")]
    pub(super) apps: Vec<App>,
    #[serde(default, rename = "record_type")]
    pub(super) record_types: Vec<RecordType>,
    #[serde(default, rename = "refuse")]
    pub(super) refusals: Vec<Refusal>,
    #[serde(default, rename = "trigger")]
    pub(super) triggers: Vec<Trigger>,
    #[serde(default, rename = "duplicate_rule")]
    pub(super) duplicate_rules: Vec<DuplicateRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OrgSettings {
    pub(super) id: String,
    pub(super) name: String,
    /// Name of the user as which client credentials log in.
    pub(super) user: String,
    pub(super) daily_calls: u64,
    pub(super) long_calls_max: usize,
    /// How long a token lives without a call.
    #[serde(deserialize_with = "duration")]
    pub(super) session: Duration,
}

impl Default for OrgSettings {
    fn default() -> Self {
        Self {
            id: ORG_ID.to_owned(),
            name: "Practice".to_owned(),
            user: USERNAME.to_owned(),
            daily_calls: DAILY_CALLS,
            long_calls_max: LONG_CALLS_MAX,
            session: Duration::from_secs(2 * 60 * 60),
        }
    }
}

/// An app that may log in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct App {
    pub(super) client_id: String,
    pub(super) client_secret: Option<String>,
    /// Whom it logs in as; that of the org where it is not said.
    pub(super) user: Option<String>,
    /// User names that it may log in by a JSON web token; all where it is not said.
    pub(super) approved: Option<Vec<String>>,
    /// A PEM file beside `practice.toml` that such tokens are checked with; where there is none,
    /// their signature is not looked at.
    pub(super) public_key: Option<String>,
    pub(super) refresh_token: Option<String>,
    /// Whether a refresh token works once and is answered with the next one.
    #[serde(default)]
    pub(super) rotate: bool,
    /// The public key itself: RSA, as PKCS #1 has it.
    #[serde(skip)]
    pub(super) key: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordType {
    pub(super) object: String,
    pub(super) id: String,
    pub(super) name: String,
    /// Whether the user may give it to a record.
    #[serde(default = "yes")]
    pub(super) available: bool,
    /// Values that it offers of a picklist; all of them where the field is not named.
    #[serde(default)]
    pub(super) choices: BTreeMap<String, Vec<String>>,
}

/// What is done to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    Insert,
    Update,
    Delete,
    Undelete,
}

impl Event {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Undelete => "undelete",
        }
    }
}

/// A rule that refuses records: a validation rule, a trigger, a lookup filter, an approval.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refusal {
    pub(super) object: String,
    #[serde(default = "writes")]
    pub(super) on: Vec<Event>,
    /// What may stand after `WHERE`; the record as it would be is looked at.
    #[serde(deserialize_with = "condition")]
    pub(super) when: Condition,
    /// Whether the record as it was is looked at instead.
    #[serde(default)]
    pub(super) before: bool,
    #[serde(default = "validation")]
    pub(super) code: String,
    pub(super) message: String,
    #[serde(default)]
    pub(super) fields: Vec<String>,
}

/// An automation that sets fields of what is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trigger {
    pub(super) object: String,
    #[serde(default = "writes")]
    pub(super) on: Vec<Event>,
    #[serde(default, deserialize_with = "maybe_condition")]
    pub(super) when: Option<Condition>,
    /// Fields and the texts that they are set to; an empty text is nothing.
    pub(super) set: BTreeMap<String, String>,
}

/// A rule that holds a record for another one's double.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DuplicateRule {
    pub(super) object: String,
    pub(super) name: String,
    /// A record is a double where all of these hold something and the same.
    pub(super) fields: Vec<String>,
    /// Whether `allowSave` lets it through.
    #[serde(default = "yes")]
    pub(super) allow_save: bool,
    #[serde(default = "use_one")]
    pub(super) message: String,
}

fn yes() -> bool {
    true
}

fn writes() -> Vec<Event> {
    vec![Event::Insert, Event::Update]
}

fn validation() -> String {
    "FIELD_CUSTOM_VALIDATION_EXCEPTION".to_owned()
}

fn use_one() -> String {
    "Use one of these records?".to_owned()
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(serde::de::Error::custom)
}

fn condition<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Condition, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_condition(&text).map_err(|error| {
        serde::de::Error::custom(format!("`{text}` is no condition: {}", error.message))
    })
}

fn maybe_condition<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Condition>, D::Error> {
    condition(deserializer).map(Some)
}

impl Settings {
    /// Reads the text of `practice.toml`; files that it names stand in `folder`.
    /// Errors: what is wrong, with its place.
    pub(super) fn read(text: Option<&str>, folder: &Path) -> Result<Self, String> {
        let mut settings: Self = match text {
            Some(text) => toml::from_str(text).map_err(|error| error.to_string())?,
            None => Self::default(),
        };
        settings.org.id = crate::domain::salesforce_id::canonical_id(&settings.org.id)
            .filter(|id| id.starts_with("00D"))
            .ok_or_else(|| {
                format!(
                    "`{}` is not the id of an org: `00D` and 12 or 15 more signs",
                    settings.org.id
                )
            })?;
        for app in &mut settings.apps {
            if let Some(file) = &app.public_key {
                app.key = Some(keys::public_key(&folder.join(file))?);
            }
        }
        if settings.app(CLIENT_ID).is_none() {
            settings.apps.push(App {
                client_id: CLIENT_ID.to_owned(),
                client_secret: Some(CLIENT_SECRET.to_owned()),
                user: None,
                approved: None,
                public_key: None,
                refresh_token: Some(REFRESH_TOKEN.to_owned()),
                rotate: false,
                key: None,
            });
        }
        Ok(settings)
    }

    pub(super) fn app(&self, client_id: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.client_id == client_id)
    }
}
