//! Connections to web APIs: hosts, the way to log in, and how much of the account's quota may be
//! taken. What an API calls its flows is known here; how they are carried out, the service knows.

mod bullhorn;
mod dataverse;
mod hubspot;
mod salesforce;
mod terms;

use url::Url;

pub(in crate::config) use self::terms::NoteTerms;
use self::terms::{AccountTerms, Flow, Terms};
use super::super::document::{Table, Value, each_once, shown};
use super::super::percent::read_percent;
use super::super::secret::Given;
use super::reader::{ATTEMPTS_MAX, Reader, WRITERS_MAX, is_local, timeout};
use crate::domain::allowance::CallAllowance;
use crate::domain::connection::{
    Auth, DataverseOptions, Limits, LiveAccess, SalesforceOptions, Secret, ServiceAccess,
    ServiceKind, ServiceSettings, TenantProof,
};
use crate::domain::problem::{Problem, did_you_mean, quoted_list};
use crate::domain::share::Percent;

/// Keys that a practice stand-in takes the place of.
const LIVE_KEYS: [&str; 4] = ["login_url", "api_url", "auth", "ca_file"];

/// Requests in flight where nobody says otherwise: with more, a Salesforce org begins to see locks.
const WRITERS_USUAL: usize = 4;

/// How long an answer is waited for where nobody says otherwise: the slowest triggers take a minute
/// and more for 200 records.
const REQUEST_TIMEOUT_USUAL: std::time::Duration = std::time::Duration::from_secs(120);

/// More requests a second than this are never meant.
const REQUESTS_PER_SECOND_MAX: u32 = 1000;

fn terms(kind: ServiceKind) -> &'static Terms {
    match kind {
        ServiceKind::Salesforce => &salesforce::TERMS,
        ServiceKind::Bullhorn => &bullhorn::TERMS,
        ServiceKind::HubSpot => &hubspot::TERMS,
        ServiceKind::Dataverse => &dataverse::TERMS,
    }
}

/// What an API has notes in.
pub(in crate::config) fn note_terms(kind: ServiceKind) -> &'static NoteTerms {
    &terms(kind).notes
}

/// Keys that a connection to such an API may have.
pub(super) fn keys(kind: ServiceKind) -> &'static [&'static str] {
    terms(kind).keys
}

/// Keys that some flow takes.
fn flow_keys() -> Vec<&'static str> {
    let flows = ServiceKind::ALL
        .into_iter()
        .flat_map(|kind| terms(kind).flows);
    each_once(flows.map(|flow| flow.keys))
}

/// The web API that a connection's `kind` names.
pub(super) fn kind_of(table: &Table<'_>) -> Option<ServiceKind> {
    let kind = table.get("kind").filter(Value::is_text)?.text()?;
    ServiceKind::ALL
        .into_iter()
        .find(|known| known.name() == kind)
}

impl Reader<'_> {
    /// A connection to a web API. Its mistakes are all noted before it is given up.
    pub(super) fn service(&mut self, kind: ServiceKind) -> Option<ServiceSettings> {
        let terms = terms(kind);
        let account = self.account(&terms.account);
        let allowance = self.allowance(terms);
        let quota_share = match self.table.get("quota_share") {
            Some(value) => read_share(value),
            None => Percent::parse("50 %"),
        };
        let requests_per_second = self
            .table
            .get("requests_per_second")
            .and_then(|value| value.integer(1, REQUESTS_PER_SECOND_MAX));
        let api_version = self.table.get("api_version");
        let api_version = api_version.map(|value| read_version(value, terms));
        let access = match self.table.get("practice") {
            Some(value) => self.practice(value),
            None => self.live(terms),
        };
        // A practice is as fast as it is.
        let is_live = matches!(access, Some(ServiceAccess::Live(_)));
        let usual_pace = terms.requests_per_second.filter(|_| is_live);
        Some(ServiceSettings {
            kind,
            access: access?,
            account: account?,
            quota_share: quota_share?,
            allowance: allowance?,
            requests_per_second: requests_per_second.or(usual_pace),
            options: SalesforceOptions::default(),
            dataverse: DataverseOptions::default(),
            search_lag: self.table.get("search_lag").and_then(timeout),
            api_version: match api_version {
                None => None,
                Some(version) => Some(version?),
            },
            state_folder: self.surroundings.root.join(".writeback"),
        })
    }

    /// Bounds of a connection to a web API.
    pub(super) fn service_limits(&self) -> Limits {
        let usual = Limits {
            statement_timeout: REQUEST_TIMEOUT_USUAL,
            writers: WRITERS_USUAL,
            ..Limits::default()
        };
        let waited = |key: &str, usual| self.table.get(key).and_then(timeout).unwrap_or(usual);
        let number =
            |key: &str, max: u32| self.table.get(key).and_then(|value| value.integer(1, max));
        Limits {
            connect_timeout: waited("connect_timeout", usual.connect_timeout),
            statement_timeout: waited("request_timeout", usual.statement_timeout),
            lock_timeout: usual.lock_timeout,
            attempts_max: number("attempts_max", ATTEMPTS_MAX).unwrap_or(usual.attempts_max),
            writers: number("writers", WRITERS_MAX)
                .and_then(|writers| usize::try_from(writers).ok())
                .unwrap_or(usual.writers),
        }
    }

    fn practice(&self, value: Value<'_>) -> Option<ServiceAccess> {
        for key in LIVE_KEYS {
            if let Some(value) = self.table.get(key) {
                let message = format!("`{key}` means nothing beside `practice`");
                let hint = "a practice stand-in needs no host and no credentials: keep one of them";
                value.key_mistake(message, Some(hint.to_owned()));
            }
        }
        let folder = value.text()?;
        if folder.trim().is_empty() {
            value.mistake(
                "`practice` names no folder",
                Some("name the folder of describe answers and records".to_owned()),
            );
            return None;
        }
        Some(ServiceAccess::Practice {
            folder: self.surroundings.root.join(folder),
        })
    }

    /// How many calls the account has, where the API does not tell.
    fn allowance(&self, terms: &Terms) -> Option<Option<CallAllowance>> {
        match (terms.allowance, self.table.get("quota")) {
            (None, _) => Some(None),
            (Some(usual), None) => Some(Some(usual)),
            (Some(_), Some(value)) => read_allowance(value).map(Some),
        }
    }

    fn live(&mut self, terms: &'static Terms) -> Option<ServiceAccess> {
        let login_url = match (terms.login_url, self.table.get("login_url")) {
            (Some(usual), None) => Some((None, usual.to_owned())),
            (_, _) => self
                .table
                .require("login_url", terms.login_url_hint)
                .and_then(|value| Some((Some(value), read_host(value)?))),
        };
        let api_url = match (self.table.get("api_url"), terms.api_url_hint) {
            (None, None) => Some(None),
            (None, Some(hint)) => self.table.require("api_url", hint).map(|_| None),
            (Some(value), _) => read_host(value).map(Some),
        };
        let ca_file = match self.table.get("ca_file") {
            None => Some(None),
            Some(value) => value
                .text()
                .map(|file| Some(self.surroundings.root.join(file))),
        };
        let auth = self.auth(terms);
        let (value, login_url) = login_url?;
        let auth = auth?;
        if let Some(value) = value {
            self.check_login_host(value, &login_url, &auth);
        }
        Some(ServiceAccess::Live(Box::new(LiveAccess {
            login_url,
            api_url: api_url?,
            auth,
            ca_file: ca_file?,
        })))
    }

    fn check_login_host(&self, value: Value<'_>, login_url: &str, auth: &Auth) {
        let host = login_url.strip_prefix("https://").unwrap_or(login_url);
        if matches!(auth, Auth::ClientCredentials { .. })
            && salesforce::SHARED_LOGIN_HOSTS.contains(&host)
        {
            value.mistake(
                format!("`{host}` grants no client credentials"),
                Some(
                    "name the org's own host, as Setup › My Domain shows it: `https://MyDomain.my.salesforce.com`"
                        .to_owned(),
                ),
            );
        }
    }

    /// The account that is pinned, if one is; without one the users of the connection are warned.
    fn account(&mut self, terms: &AccountTerms) -> Option<Option<String>> {
        let called = terms.called;
        let Some(value) = self.table.get("account") else {
            if self.table.get("practice").is_none() {
                let message = format!(
                    "connection `{}` names no `account`: whichever {called} its credentials lead to is written",
                    self.name
                );
                self.told_to_users.push(
                    Problem::warning(self.table.location(), message).hint(terms.missing_hint),
                );
            }
            return Some(None);
        };
        let text = value.number_or_text()?;
        if !(terms.is_id)(&text) {
            let article = if called.starts_with(['a', 'e', 'i', 'o', 'u']) {
                "an"
            } else {
                "a"
            };
            value.mistake(
                format!(
                    "`account` is {}, which is not the id of {article} {called}",
                    shown(&text)
                ),
                Some(terms.hint.to_owned()),
            );
            return None;
        }
        Some(Some(text))
    }

    fn auth(&mut self, terms: &'static Terms) -> Option<Auth> {
        let all = || terms.flows.iter().map(|flow| flow.name);
        let names = || quoted_list(all());
        let hint = format!(
            "write `auth = {{ flow = \"…\", … }}`; flows are {}",
            names()
        );
        let value = self.table.require("auth", &hint)?;
        let table = value.table("`auth`".to_owned())?;
        let (word_value, word) = table.require_text("flow", &format!("flows are {}", names()))?;
        let Some(flow) = terms.flows.iter().find(|flow| flow.name == word) else {
            let hint = match terms.retired_flows.contains(&word) {
                true => terms.retired_flow_hint.to_owned(),
                false => {
                    did_you_mean(word, all()).unwrap_or_else(|| format!("flows are {}", names()))
                }
            };
            word_value.mistake(
                format!("`flow` is {}, which is no way to log in", shown(word)),
                Some(hint),
            );
            return None;
        };
        table.expect_among(
            flow.keys,
            &flow_keys(),
            &format!("the flow `{}`", flow.name),
        );
        self.credentials(&table, flow)
    }

    fn credentials(&mut self, table: &Table<'_>, flow: &Flow) -> Option<Auth> {
        // All are read before one is missed, so that no mistake hides another.
        let wanted = flow.keys.iter().filter(|key| **key != "flow");
        let texts = wanted.map(|key| {
            let text = self.credential(table, key, flow.optional.contains(key));
            (*key, Some(text))
        });
        let mut texts: Vec<_> = texts.collect();
        let mut take = |key: &str| {
            let (_, text) = texts.iter_mut().find(|(known, _)| *known == key)?;
            text.take()?
        };
        let client_id = take("client_id").flatten();
        let client_secret = take("client_secret");
        Some(match flow.name {
            "token" => Auth::Token {
                token: Secret::new(take("token").flatten()?),
            },
            "client_credentials" if flow.keys.contains(&"tenant") => Auth::Tenant {
                tenant: take("tenant").flatten()?,
                client_id: client_id?,
                proof: TenantProof::Secret(Secret::new(client_secret??)),
            },
            "client_certificate" => {
                let (tenant, certificate) =
                    (take("tenant").flatten(), take("certificate").flatten());
                let private_key = take("private_key").flatten();
                Auth::Tenant {
                    tenant: tenant?,
                    client_id: client_id?,
                    proof: TenantProof::Certificate {
                        certificate: certificate?,
                        private_key: Secret::new(private_key?),
                    },
                }
            }
            "client_credentials" => Auth::ClientCredentials {
                client_id: client_id?,
                client_secret: Secret::new(client_secret??),
            },
            "password" => {
                let (user, password) = (take("user").flatten(), take("password").flatten());
                Auth::Password {
                    client_id: client_id?,
                    client_secret: Secret::new(client_secret??),
                    user: user?,
                    password: Secret::new(password?),
                }
            }
            "jwt_bearer" => {
                let (user, private_key) = (take("user").flatten(), take("private_key").flatten());
                Auth::JwtBearer {
                    client_id: client_id?,
                    user: user?,
                    private_key: Secret::new(private_key?),
                }
            }
            _ => {
                let refresh_token = take("refresh_token").flatten();
                Auth::RefreshToken {
                    client_id: client_id?,
                    client_secret: client_secret?.map(Secret::new),
                    refresh_token: Secret::new(refresh_token?),
                }
            }
        })
    }

    /// A text of `auth`: `Some(None)` where it is not there and need not be, `None` where it should
    /// be there.
    fn credential(
        &mut self,
        table: &Table<'_>,
        key: &str,
        optional: bool,
    ) -> Option<Option<String>> {
        let value = match table.get(key) {
            None if optional => return Some(None),
            _ => table.require(key, &format!("write `{key} = {{ env = \"NAME\" }}`"))?,
        };
        match self.surroundings.given(value)? {
            Given::Here(text) => {
                if !matches!(key, "client_id" | "user" | "tenant" | "certificate") {
                    self.warn_of_secret(value, &key.replace('_', " "), key);
                }
                Some(Some(text))
            }
            Given::Elsewhere(text) => Some(Some(text)),
            Given::Absent(problem) => {
                self.told_to_users.push(problem);
                None
            }
        }
    }
}

/// Reads `quota`.
fn read_allowance(value: Value<'_>) -> Option<CallAllowance> {
    let text = value.text()?;
    let read = CallAllowance::parse(text);
    if read.is_none() {
        value.mistake(
            format!(
                "`quota` is {}, which is no number of calls in a period",
                shown(text)
            ),
            Some("write as in `quota = \"100000 per month\"`, or `per day`".to_owned()),
        );
    }
    read
}

/// How much of the quota may be used: more than none of it, and no more than all.
fn read_share(value: Value<'_>) -> Option<Percent> {
    let share = read_percent(value)?;
    if share > Percent::ALL || share.part_of(10_000) == 0 {
        value.mistake(
            format!("`quota_share` is {share}, which is no share of the account's calls"),
            Some("write more than `\"0 %\"` and at most `\"100 %\"`".to_owned()),
        );
        return None;
    }
    Some(share)
}

/// Scheme, host and port of a URL that names nothing else.
fn read_host(value: Value<'_>) -> Option<String> {
    let text = value.text()?;
    let wrong = |message: String, hint: &str| {
        value.mistake(message, Some(hint.to_owned()));
        None
    };
    let key = value.key;
    let hint = "write `https://HOST`";
    let Ok(url) = Url::parse(text.trim()) else {
        return wrong(format!("`{key}` cannot be read as a URL"), hint);
    };
    let host = url.host_str().unwrap_or_default();
    if !url.username().is_empty() || url.password().is_some() {
        return wrong(
            format!("`{key}` holds a user or a password"),
            "leave them out; `auth` says how to log in",
        );
    }
    if host.is_empty() || !matches!(url.path(), "" | "/") || url.query().is_some() {
        return wrong(format!("`{key}` is more or less than a host"), hint);
    }
    match url.scheme() {
        "https" => {}
        "http" if is_local(host.trim_matches(['[', ']'])) => {}
        "http" => {
            return wrong(
                format!("`{key}` is plain http, which everybody on the way can read"),
                "write `https://…`; plain http may lead to this machine only",
            );
        }
        _ => return wrong(format!("`{key}` is neither https nor http"), hint),
    }
    Some(url.as_str().trim_end_matches('/').to_owned())
}

fn read_version(value: Value<'_>, terms: &Terms) -> Option<String> {
    let text = value.number_or_text()?;
    let version = (terms.version)(&text);
    if version.is_none() {
        value.mistake(
            format!(
                "`api_version` is {}, which is {}",
                shown(&text),
                terms.version_words
            ),
            Some(terms.version_hint.to_owned()),
        );
    }
    version
}
