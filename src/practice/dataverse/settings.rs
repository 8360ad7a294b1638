//! `practice.toml` of a folder that stands for a Dataverse environment: who may log in, what its
//! rules are, and how much it takes.

use std::path::Path;

use serde::Deserialize;

use super::filter::{Filter, parse_filter};
use crate::practice::app::{CLIENT_ID, CLIENT_SECRET};
use crate::practice::keys::{self, Certified};

/// The tenant of every practice environment.
pub(crate) const TENANT: &str = "practice.example";

/// What an environment is where the file does not say it.
const ORGANIZATION_ID: &str = "0a0e0000-0000-4000-8000-000000000001";
const USER_ID: &str = "0a0e0000-0000-4000-8000-000000000002";
const BUSINESS_UNIT_ID: &str = "0a0e0000-0000-4000-8000-000000000003";

/// Requests of one user and web server in five minutes, and at once.
/// Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/api-limits>.
const REQUESTS_MAX: u64 = 6_000;
const CONCURRENT_MAX: usize = 52;

/// Seconds for which a token is good, as the real host says.
const TOKEN_SECONDS: u64 = 3_599;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    #[serde(default)]
    pub(super) environment: EnvironmentSettings,
    #[serde(default, rename = "app")]
    pub(super) apps: Vec<App>,
    #[serde(default, rename = "refuse")]
    pub(super) plug_ins: Vec<PlugIn>,
    /// What column security lets the application user do.
    #[serde(default, rename = "grant")]
    pub(super) grants: Vec<ColumnGrant>,
    #[serde(default, rename = "duplicate_rule")]
    pub(super) duplicate_rules: Vec<DuplicateRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EnvironmentSettings {
    /// The organization's id.
    pub(super) id: String,
    /// The application user's id and name.
    pub(super) user: String,
    pub(super) user_name: String,
    pub(super) business_unit: String,
    pub(super) tenant: String,
    pub(super) token_seconds: u64,
    pub(super) requests_max: u64,
    pub(super) concurrent_max: usize,
    /// Parallel requests that it recommends.
    pub(super) parallel: u32,
    /// Privileges that the application user lacks, such as `prvWriteAccount`.
    pub(super) without: Vec<String>,
    /// Names of its security roles.
    pub(super) roles: Vec<String>,
}

impl Default for EnvironmentSettings {
    fn default() -> Self {
        Self {
            id: ORGANIZATION_ID.to_owned(),
            user: USER_ID.to_owned(),
            user_name: "# Writeback".to_owned(),
            business_unit: BUSINESS_UNIT_ID.to_owned(),
            tenant: TENANT.to_owned(),
            token_seconds: TOKEN_SECONDS,
            requests_max: REQUESTS_MAX,
            concurrent_max: CONCURRENT_MAX,
            parallel: 8,
            without: Vec::new(),
            roles: vec!["Writeback".to_owned()],
        }
    }
}

/// An app registration that may log in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct App {
    pub(super) client_id: String,
    pub(super) client_secret: Option<String>,
    /// A PEM file beside `practice.toml`: whoever signs with its key is let in.
    pub(super) certificate: Option<String>,
    #[serde(skip)]
    pub(super) certified: Option<Certified>,
    /// Whether the environment has an application user for it.
    #[serde(default = "yes")]
    pub(super) member: bool,
}

/// A column with column security, and what the application user may do with it. Secured columns
/// that are not named here it may neither read nor write.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnGrant {
    pub(super) table: String,
    pub(super) column: String,
    #[serde(default)]
    pub(super) read: bool,
    #[serde(default)]
    pub(super) update: bool,
    #[serde(default)]
    pub(super) create: bool,
}

/// A plug-in that refuses rows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlugIn {
    pub(super) table: String,
    /// What may stand in `$filter`; the row as it would be is looked at.
    #[serde(deserialize_with = "filter")]
    pub(super) when: Filter,
    pub(super) message: String,
}

/// A rule that holds a row for another one's double; it applies where a request asks for it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DuplicateRule {
    pub(super) table: String,
    /// A row is a double where all of these hold something and the same.
    pub(super) columns: Vec<String>,
}

fn yes() -> bool {
    true
}

fn filter<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Filter, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_filter(&text, &[]).map_err(|error| {
        serde::de::Error::custom(format!("`{text}` is no filter: {}", error.message))
    })
}

impl Settings {
    /// Reads the text of `practice.toml`; files that it names stand in `folder`.
    /// Errors: what is wrong, with its place.
    pub(super) fn read(text: Option<&str>, folder: &Path) -> Result<Self, String> {
        let mut settings: Self = match text {
            Some(text) => toml::from_str(text).map_err(|error| error.to_string())?,
            None => Self::default(),
        };
        for app in &mut settings.apps {
            if let Some(file) = &app.certificate {
                app.certified = Some(keys::certificate(&folder.join(file))?);
            }
        }
        let environment = &settings.environment;
        for id in [
            &environment.id,
            &environment.user,
            &environment.business_unit,
        ] {
            if uuid::Uuid::parse_str(id).is_err() {
                return Err(format!("`{id}` is no GUID"));
            }
        }
        if settings.app(CLIENT_ID).is_none() {
            settings.apps.push(App {
                client_id: CLIENT_ID.to_owned(),
                client_secret: Some(CLIENT_SECRET.to_owned()),
                certificate: None,
                certified: None,
                member: true,
            });
        }
        Ok(settings)
    }

    /// What the application user may do with a column.
    pub(super) fn grant(&self, table: &str, column: &str) -> Option<&ColumnGrant> {
        let mut grants = self.grants.iter();
        grants.find(|grant| grant.table == table && grant.column == column)
    }

    pub(super) fn app(&self, client_id: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.client_id == client_id)
    }
}
