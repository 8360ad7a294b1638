//! What connections to HubSpot are made of.

use super::terms::{AccountTerms, Flow, NoteTerms, Terms};

pub(super) const TERMS: Terms = Terms {
    keys: &[
        "kind",
        "practice",
        "login_url",
        "api_url",
        "account",
        "auth",
        "ca_file",
        "quota_share",
        "writers",
        "connect_timeout",
        "request_timeout",
        "attempts_max",
        "requests_per_second",
        "api_version",
        "search_lag",
        "timezone",
    ],
    flows: &[
        Flow {
            name: "token",
            keys: &["flow", "token"],
            optional: &[],
        },
        Flow {
            name: "refresh_token",
            keys: &["flow", "client_id", "client_secret", "refresh_token"],
            optional: &[],
        },
    ],
    retired_flows: &["hapikey", "api_key"],
    retired_flow_hint: "HubSpot takes no API keys any more: write `token`, with a service key, or `refresh_token`",
    login_url: Some("https://api.hubapi.com"),
    login_url_hint: "leave it out: all portals are at `https://api.hubapi.com`",
    api_url_hint: None,
    account: AccountTerms {
        called: "portal",
        is_id: is_portal_id,
        missing_hint: "write `account = \"…\"`, the Hub ID that stands beside the account's name in HubSpot",
        hint: "write the Hub ID that stands beside the account's name in HubSpot: digits only",
    },
    // The smallest allowance is 100 calls in ten seconds.
    requests_per_second: Some(9),
    allowance: None,
    version: read_version,
    version_words: "no version from 2026-09 on",
    version_hint: "leave it out, or write one as in `api_version = \"2026-09\"`",
    // Source: <https://developers.hubspot.com/docs/api-reference/crm-notes-v3/guide>.
    notes: NoteTerms {
        table: "notes",
        about: |object| format!("associated_{object}"),
        text: "hs_note_body",
        marker: None,
        action: None,
        author: "hubspot_owner_id",
        at: Some("hs_timestamp"),
        html: true,
    },
};

/// The oldest version that this program speaks.
const VERSION_MIN: &str = "2026-09";

fn is_portal_id(text: &str) -> bool {
    (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Versions are months: two come in a year, in March and in September.
fn read_version(text: &str) -> Option<String> {
    let (year, month) = text.split_once('-')?;
    let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    let is_version = is_year && matches!(month, "03" | "09") && text >= VERSION_MIN;
    is_version.then(|| text.to_owned())
}
