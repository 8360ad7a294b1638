//! `practice.toml` of a folder that stands for a HubSpot portal: who may log in, what the portal
//! allows, and which records its rules refuse.

use std::time::Duration;

use chrono_tz::Tz;
use serde::{Deserialize, Deserializer};

/// The token that every practice portal takes.
pub(crate) const TOKEN: &str = "practice";

/// Calls of a day and of ten seconds. Source: the allowance of Professional, in the usage guidelines.
const DAILY_CALLS: u64 = 650_000;
const TEN_SECONDS_CALLS: usize = 190;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    #[serde(default)]
    pub(super) portal: PortalSettings,
    #[serde(default, rename = "app")]
    pub(super) apps: Vec<App>,
    #[serde(default, rename = "rule")]
    pub(super) rules: Vec<Rule>,
    #[serde(default, rename = "label")]
    pub(super) labels: Vec<AssociationLabel>,
}

/// A label that an admin has made, for what records of two objects are to one another.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssociationLabel {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) name: String,
    /// The number of its type; the next one leads back.
    pub(super) id: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PortalSettings {
    pub(super) id: u64,
    pub(super) account_type: String,
    #[serde(deserialize_with = "zone")]
    pub(super) time_zone: Tz,
    /// A service key; it does not expire.
    pub(super) token: String,
    /// Scopes of the service key; all where none is named.
    pub(super) scopes: Vec<String>,
    pub(super) daily_calls: u64,
    pub(super) ten_seconds_calls: usize,
    /// How far the search is behind.
    #[serde(deserialize_with = "duration")]
    pub(super) search_lag: Duration,
    /// How an answer to too many calls says how long to wait.
    pub(super) retry_after: RetryAfter,
    /// Whether versions from before dates are still spoken.
    pub(super) old_versions: bool,
    /// Whether a wrong value refuses its whole call, as it does where inputs have no marks.
    pub(super) wrong_values: WrongValues,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RetryAfter {
    Seconds,
    Milliseconds,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WrongValues {
    RefuseTheInput,
    RefuseTheCall,
}

impl Default for PortalSettings {
    fn default() -> Self {
        Self {
            id: 24_281_934,
            account_type: "DEVELOPER_TEST".to_owned(),
            time_zone: Tz::US__Eastern,
            token: TOKEN.to_owned(),
            scopes: Vec::new(),
            daily_calls: DAILY_CALLS,
            ten_seconds_calls: TEN_SECONDS_CALLS,
            search_lag: Duration::from_secs(5),
            retry_after: RetryAfter::Seconds,
            old_versions: true,
            wrong_values: WrongValues::RefuseTheInput,
        }
    }
}

/// An app that the portal is connected to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct App {
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) refresh_token: String,
    /// Whether a refresh token works once and is answered with the next one.
    #[serde(default)]
    pub(super) rotate: bool,
    /// How long an access token is good for.
    #[serde(default = "half_an_hour", deserialize_with = "duration")]
    pub(super) lifetime: Duration,
}

/// A rule that an admin has made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) object: String,
    pub(super) kind: RuleKind,
    pub(super) property: String,
    /// Of a conditional rule: the property and the value that make the other one required.
    pub(super) when: Option<When>,
    /// Of a range: the largest number.
    pub(super) max: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RuleKind {
    /// Required as soon as another property holds a value.
    Conditional,
    /// Required of what is created.
    CreateForm,
    /// Letters only.
    Alpha,
    /// A number of at most so much.
    Max,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    pub(super) property: String,
    pub(super) value: String,
}

fn half_an_hour() -> Duration {
    Duration::from_secs(1800)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(serde::de::Error::custom)
}

fn zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| serde::de::Error::custom(format!("`{text}` is no time zone")))
}

impl Settings {
    /// Reads the text of `practice.toml`. Errors: what is wrong, with its place.
    pub(super) fn read(text: Option<&str>) -> Result<Self, String> {
        match text {
            Some(text) => toml::from_str(text).map_err(|error| error.to_string()),
            None => Ok(Self::default()),
        }
    }
}
