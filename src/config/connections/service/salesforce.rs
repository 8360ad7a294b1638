//! What connections to Salesforce are made of.

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
        "timezone",
    ],
    flows: &[
        Flow {
            name: "client_credentials",
            keys: &["flow", "client_id", "client_secret"],
            optional: &[],
        },
        Flow {
            name: "jwt_bearer",
            keys: &["flow", "client_id", "user", "private_key"],
            optional: &[],
        },
        Flow {
            name: "refresh_token",
            keys: &["flow", "client_id", "client_secret", "refresh_token"],
            optional: &["client_secret"],
        },
    ],
    retired_flows: &["password", "username_password"],
    retired_flow_hint: "Salesforce retires that flow: write `client_credentials`, `jwt_bearer` or `refresh_token`",
    login_url: None,
    login_url_hint: "write `login_url = \"https://MyDomain.my.salesforce.com\"`, or `practice = \"FOLDER\"` to rehearse",
    api_url_hint: None,
    account: AccountTerms {
        called: "org",
        is_id: is_org_id,
        missing_hint: "write `account = \"00D…\"`, the Organization ID of Setup › Company Information",
        hint: "write the Organization ID of Setup › Company Information: `00D` and 12 or 15 more signs",
    },
    requests_per_second: None,
    allowance: None,
    version: read_version,
    version_words: "no version from 61.0 on",
    version_hint: "leave it out, or write one as in `api_version = \"67.0\"`",
    // Source: <https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_task.htm>.
    notes: NoteTerms {
        table: "Task",
        about: |object| match object {
            "Contact" | "Lead" => "WhoId".to_owned(),
            _ => "WhatId".to_owned(),
        },
        text: "Description",
        marker: None,
        action: Some("Subject"),
        author: "OwnerId",
        at: None,
        html: false,
    },
};

/// The oldest version whose update by an external id can be kept from creating.
/// Source: <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/dome_upsert.htm>.
const VERSION_MIN: u32 = 61;

/// Hosts that log everybody in, and grant no client credentials.
pub(super) const SHARED_LOGIN_HOSTS: [&str; 2] = ["login.salesforce.com", "test.salesforce.com"];

fn is_org_id(text: &str) -> bool {
    text.starts_with("00D")
        && matches!(text.len(), 15 | 18)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn read_version(text: &str) -> Option<String> {
    let number = text.strip_suffix(".0").unwrap_or_default();
    let number = number.parse::<u32>().ok();
    let number = number.filter(|number| (VERSION_MIN..1000).contains(number))?;
    Some(format!("{number}.0"))
}
