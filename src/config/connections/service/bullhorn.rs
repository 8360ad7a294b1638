//! What connections to Bullhorn are made of.

use super::terms::{AccountTerms, Flow, NoteTerms, Terms};
use crate::domain::allowance::CallAllowance;

pub(super) const TERMS: Terms = Terms {
    keys: &[
        "kind",
        "practice",
        "login_url",
        "account",
        "auth",
        "ca_file",
        "quota",
        "quota_share",
        "writers",
        "connect_timeout",
        "request_timeout",
        "attempts_max",
        "requests_per_second",
        "timezone",
    ],
    flows: &[Flow {
        name: "password",
        keys: &["flow", "client_id", "client_secret", "user", "password"],
        optional: &[],
    }],
    retired_flows: &[],
    retired_flow_hint: "",
    // It tells each user where the user's own hosts are.
    // Source: <https://bullhorn.github.io/rest-api-docs/>, "URLs".
    login_url: Some("https://rest.bullhornstaffing.com"),
    login_url_hint: "leave it out: the user's hosts are discovered",
    api_url_hint: None,
    account: AccountTerms {
        called: "corporation",
        is_id: is_number,
        missing_hint: "write `account = \"12345\"`, the corporation's id; `check` prints it",
        hint: "write its number, as `check` prints it once the connection works",
    },
    // A little below the 1,500 a minute that Bullhorn takes.
    // Source: <https://kb.bullhorn.com/>, "Understanding Bullhorn API Usage Limits".
    requests_per_second: Some(20),
    allowance: Some(CallAllowance::BULLHORN),
    // It has no versions, nor a key that names one.
    version: |_| None,
    version_words: "no version",
    version_hint: "leave it out",
    // Source: <https://bullhorn.github.io/rest-api-docs/entityref.html#note>.
    notes: NoteTerms {
        table: "Note",
        about: |_| "personReference".to_owned(),
        text: "comments",
        marker: Some("externalID"),
        action: Some("action"),
        author: "commentingPerson",
        at: None,
        html: true,
    },
};

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
