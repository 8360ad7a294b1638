//! What stands around every page: its head, where one is, who looks, and how to get elsewhere.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use maud::{DOCTYPE, Markup, html};

use super::assets::ASSETS;
use super::clock::Zone;
use super::door::{self, Caller};
use super::house::House;
use super::refusal::Refusal;
use crate::domain::access::Role;

/// The cookie that holds the reader's time zone.
pub(super) const ZONE_COOKIE: &str = "tz";
/// The cookie that says that single keys lead nowhere.
pub(super) const KEYS_COOKIE: &str = "keys";
/// What it holds then.
pub(super) const KEYS_OFF: &str = "off";

/// The pages that everything begins from, each with the key that leads there after `g`.
const PLACES: [(&str, &str, &str); 4] = [
    ("/", "Overview", "o"),
    ("/runs", "Runs", "r"),
    ("/problems", "Problems", "p"),
    ("/activity", "Activity", "a"),
];

/// A page for somebody.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) caller: Caller,
    pub(super) zone: Zone,
    /// Whether single keys lead about.
    pub(super) keys: bool,
    /// Of this page, to come back to.
    pub(super) place: String,
}

/// A page for whoever it turns out to be.
#[derive(Debug, Clone)]
pub(super) struct FrameParts {
    zone: Zone,
    keys: bool,
    place: String,
}

impl FrameParts {
    fn new(uri: &Uri, headers: &HeaderMap) -> Self {
        let place = uri.path_and_query().map_or("/", |path| path.as_str());
        Self {
            zone: zone(uri, headers),
            keys: door::cookie(headers, KEYS_COOKIE) != Some(KEYS_OFF),
            place: place.to_owned(),
        }
    }

    pub(super) fn of(self, caller: Caller) -> Frame {
        Frame {
            caller,
            zone: self.zone,
            keys: self.keys,
            place: self.place,
        }
    }
}

/// The zone that the address names, else the one chosen before, else UTC.
fn zone(uri: &Uri, headers: &HeaderMap) -> Zone {
    let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let asked = query
        .filter(|(name, _)| name == ZONE_COOKIE)
        .find_map(|(_, value)| Zone::parse(&value).ok());
    let chosen = || door::cookie(headers, ZONE_COOKIE).and_then(|name| Zone::parse(name).ok());
    asked.or_else(chosen).unwrap_or(Zone::UTC)
}

impl Frame {
    /// What is known of a page before it is known who asks for it.
    pub(super) fn parts_of(request: &Request) -> FrameParts {
        FrameParts::new(request.uri(), request.headers())
    }

    /// A whole page with one heading, which is its title too.
    pub(super) fn page(&self, title: &str, content: Markup) -> Markup {
        self.page_within(title, &[], content)
    }

    /// A page that lies below others, each with its address and name.
    pub(super) fn page_within(
        &self,
        title: &str,
        above: &[(String, &str)],
        content: Markup,
    ) -> Markup {
        let header = html! {
            header.top {
                nav aria-label="Main" {
                    a.brand href="/" { "writeback" }
                    @for (address, name, key) in PLACES.into_iter().filter(|place| self.leads_to(place.0)) {
                        @let here = self.place.split(['?', '/']).nth(1) == address.split('/').nth(1);
                        a href=(address) data-go=(key) aria-current=[here.then_some("page")] { (name) }
                    }
                }
                div.who {
                    a href="/account" {
                        (self.zone.name()) " · " (self.caller.name) " · " (self.caller.role.name())
                    }
                    form method="post" action="/logout" { button.plain { "Sign out" } }
                }
            }
            @if self.keys { (self.keys_dialog()) }
        };
        let content = html! {
            @if !above.is_empty() {
                nav.above aria-label="Above" {
                    @for (address, name) in above {
                        a href=(address) { (name) } " / "
                    }
                }
            }
            h1 { (title) }
            (content)
        };
        document(title, header, content)
    }

    pub(super) fn may(&self, role: Role) -> bool {
        self.caller.role >= role
    }

    /// Whether a page is theirs who looks: files and acts are of all jobs.
    fn leads_to(&self, address: &str) -> bool {
        self.caller.job.is_none() || !matches!(address, "/problems" | "/activity")
    }

    /// What single keys do. A script opens it, and whoever closes it is back where they were.
    fn keys_dialog(&self) -> Markup {
        let keys = [
            ("?", "shows these keys"),
            ("/", "leads to the search"),
            ("j", "the next row"),
            ("k", "the row before"),
        ];
        html! {
            dialog data-keys aria-labelledby="keys-name" {
                h2 #keys-name { "Keys" }
                dl.facts {
                    @for (key, what) in keys { dt { kbd { (key) } } dd { (what) } }
                    @for (_, name, key) in PLACES.into_iter().filter(|place| self.leads_to(place.0)) { dt { kbd { "g" } " " kbd { (key) } } dd { (name) } }
                }
                p.quiet { "Switch them off under " a href="/account#keys" { "Account" } "." }
                form method="dialog" { button.primary { "Close" } }
            }
        }
    }
}

/// A page for whoever is not signed in.
pub(super) fn plain_page(title: &str, content: Markup) -> Markup {
    let header = html! { header.top { span.brand { "writeback" } } };
    document(title, header, html! { h1 { (title) } (content) })
}

fn document(title: &str, header: Markup, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · writeback" }
                link rel="icon" href="/favicon.ico";
                link rel="stylesheet" href=(ASSETS.style.path);
                script type="module" src=(ASSETS.script.path) {}
            }
            body {
                a.skip href="#content" { "To the content" }
                (header)
                main #content tabindex="-1" { (content) }
            }
        }
    }
}

impl FromRequestParts<Arc<House>> for Frame {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        _house: &Arc<House>,
    ) -> Result<Self, Self::Rejection> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Refusal::absent("nobody is signed in"))?;
        Ok(FrameParts::new(&parts.uri, &parts.headers).of(caller))
    }
}
