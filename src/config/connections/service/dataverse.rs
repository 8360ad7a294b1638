//! What connections to Dataverse are made of.

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
            keys: &["flow", "tenant", "client_id", "client_secret"],
            optional: &[],
        },
        Flow {
            name: "client_certificate",
            keys: &["flow", "tenant", "client_id", "certificate", "private_key"],
            optional: &[],
        },
    ],
    retired_flows: &["password", "username_password"],
    retired_flow_hint: "Entra retires that flow: write `client_credentials` or `client_certificate`, for an application user",
    login_url: Some("https://login.microsoftonline.com"),
    login_url_hint: "leave it out, or name the log-in host of another cloud: `https://login.microsoftonline.us`",
    api_url_hint: Some(
        "write `api_url = \"https://ORG.crm4.dynamics.com\"`, as the Power Platform admin center shows it, or `practice = \"FOLDER\"` to rehearse",
    ),
    account: AccountTerms {
        called: "environment",
        is_id: is_guid,
        missing_hint: "write `account = \"…\"`, the Organization ID of Power Platform admin center › Environments",
        hint: "write the Organization ID of Power Platform admin center › Environments: a GUID",
    },
    requests_per_second: None,
    allowance: None,
    version: read_version,
    version_words: "none of `9.0`, `9.1` and `9.2`",
    version_hint: "leave it out, or write `api_version = \"9.2\"`",
    // A row's id may be chosen, and tells a note from every other.
    // Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/reference/entities/annotation>.
    notes: NoteTerms {
        table: "annotation",
        about: |_| "objectid".to_owned(),
        text: "notetext",
        marker: Some("annotationid"),
        action: Some("subject"),
        author: "ownerid",
        at: None,
        html: false,
    },
};

fn is_guid(text: &str) -> bool {
    uuid::Uuid::parse_str(text).is_ok()
}

fn read_version(text: &str) -> Option<String> {
    matches!(text, "9.0" | "9.1" | "9.2").then(|| text.to_owned())
}
