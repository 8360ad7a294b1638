//! What each API has of its own about connections.

use crate::domain::allowance::CallAllowance;

/// A way to log in, the keys it takes, and which of them it can do without.
pub(super) struct Flow {
    pub(super) name: &'static str,
    pub(super) keys: &'static [&'static str],
    pub(super) optional: &'static [&'static str],
}

/// What is an API's own about its connections.
pub(super) struct Terms {
    pub(super) keys: &'static [&'static str],
    pub(super) flows: &'static [Flow],
    /// Flows that people know and that are no more, and what is to be written instead.
    pub(super) retired_flows: &'static [&'static str],
    pub(super) retired_flow_hint: &'static str,
    /// Where everybody logs in; `None` where each account has a host of its own.
    pub(super) login_url: Option<&'static str>,
    pub(super) login_url_hint: &'static str,
    /// Of an API whose host of the data calls is to be named.
    pub(super) api_url_hint: Option<&'static str>,
    pub(super) account: AccountTerms,
    /// Requests that may begin in a second where nobody says otherwise.
    pub(super) requests_per_second: Option<u32>,
    /// How many calls an account has where nobody says otherwise; `None` where the API tells.
    pub(super) allowance: Option<CallAllowance>,
    /// A version as it is spoken; `None` if the text is none that this program speaks.
    pub(super) version: fn(&str) -> Option<String>,
    pub(super) version_words: &'static str,
    pub(super) version_hint: &'static str,
    pub(super) notes: NoteTerms,
}

/// What an API has notes in, and the fields that the parts of one go to.
pub(in crate::config) struct NoteTerms {
    pub(in crate::config) table: &'static str,
    /// By the object whose record a note is about.
    pub(in crate::config) about: fn(&str) -> String,
    pub(in crate::config) text: &'static str,
    /// `None` where a field has to be made for it.
    pub(in crate::config) marker: Option<&'static str>,
    pub(in crate::config) action: Option<&'static str>,
    pub(in crate::config) author: &'static str,
    /// What a note cannot do without: when it was written.
    pub(in crate::config) at: Option<&'static str>,
    /// Whether the text is HTML.
    pub(in crate::config) html: bool,
}

/// What an API calls the accounts that are pinned.
pub(super) struct AccountTerms {
    pub(super) called: &'static str,
    pub(super) is_id: fn(&str) -> bool,
    pub(super) missing_hint: &'static str,
    pub(super) hint: &'static str,
}
