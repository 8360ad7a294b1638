//! Connections to web APIs: hosts, the way to log in, and how much of the account's quota may be
//! taken. What an API calls its flows is known here; how they are carried out, the service knows.

use url::Url;

use super::super::alerts::read_percent;
use super::super::document::{Table, Value, shown};
use super::super::secret::Given;
use super::{ATTEMPTS_MAX, Reader, WRITERS_MAX, is_local, timeout};
use crate::config::address::Kind;
use crate::domain::allowance::CallAllowance;
use crate::domain::connection::{
    Auth, Limits, LiveAccess, Secret, ServiceAccess, ServiceKind, ServiceSettings,
};
use crate::domain::problem::{Problem, did_you_mean, quoted_list};
use crate::domain::share::Percent;

pub(super) const SALESFORCE_KEYS: &[&str] = &[
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
];

pub(super) const BULLHORN_KEYS: &[&str] = &[
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
];

/// Keys that a practice stand-in takes the place of.
const LIVE_KEYS: [&str; 4] = ["login_url", "api_url", "auth", "ca_file"];

/// Requests in flight where nobody says otherwise: with more, a Salesforce org begins to see locks.
const WRITERS_USUAL: usize = 4;

/// How long an answer is waited for where nobody says otherwise: the slowest triggers take a minute
/// and more for 200 records.
const REQUEST_TIMEOUT_USUAL: std::time::Duration = std::time::Duration::from_secs(120);

/// More requests a second than this are never meant.
const REQUESTS_PER_SECOND_MAX: u32 = 1000;

/// The oldest version of Salesforce's API whose update by an external id can be kept from creating.
/// Source: <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/dome_upsert.htm>.
const SALESFORCE_VERSION_MIN: u32 = 61;

/// Hosts that log everybody in, and grant no client credentials.
const SHARED_LOGIN_HOSTS: [&str; 2] = ["login.salesforce.com", "test.salesforce.com"];

/// The host that tells each user of Bullhorn where the user's own are.
/// Source: <https://bullhorn.github.io/rest-api-docs/>, "URLs".
const BULLHORN_LOGIN_URL: &str = "https://rest.bullhornstaffing.com";

/// Requests a second where nobody says otherwise, a little below the 1,500 a minute that Bullhorn
/// takes. Source: <https://kb.bullhorn.com/>, "Understanding Bullhorn API Usage Limits".
const BULLHORN_REQUESTS_PER_SECOND: u32 = 20;

/// A way to log in, the keys it takes, and which of them it can do without.
struct Flow {
    name: &'static str,
    keys: &'static [&'static str],
    optional: &'static [&'static str],
}

const SALESFORCE_FLOWS: [Flow; 3] = [
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
];

const BULLHORN_FLOWS: [Flow; 1] = [Flow {
    name: "password",
    keys: &["flow", "client_id", "client_secret", "user", "password"],
    optional: &[],
}];

fn flows_of(kind: ServiceKind) -> &'static [Flow] {
    match kind {
        ServiceKind::Salesforce => &SALESFORCE_FLOWS,
        ServiceKind::Bullhorn => &BULLHORN_FLOWS,
    }
}

/// Keys that some flow takes.
const FLOW_KEYS: [&str; 7] = [
    "flow",
    "client_id",
    "client_secret",
    "user",
    "private_key",
    "refresh_token",
    "password",
];

/// The web API that a connection's `kind` names.
pub(super) fn kind_of(table: &Table<'_>) -> Option<ServiceKind> {
    let kind = table.get("kind").filter(Value::is_text)?.text()?;
    [ServiceKind::Salesforce, ServiceKind::Bullhorn]
        .into_iter()
        .find(|known| known.name() == kind)
}

impl Reader<'_> {
    /// A connection to a web API. Its mistakes are all noted before it is given up.
    pub(super) fn service(&mut self, kind: Kind) -> Option<ServiceSettings> {
        let kind = match kind {
            Kind::Salesforce => ServiceKind::Salesforce,
            Kind::Bullhorn => ServiceKind::Bullhorn,
            Kind::Files
            | Kind::Sqlite
            | Kind::Postgres
            | Kind::Mysql
            | Kind::Adbc
            | Kind::Duckdb
            | Kind::Snowflake => return None,
        };
        let account = self.account(kind);
        let allowance = self.allowance(kind);
        let quota_share = match self.table.get("quota_share") {
            Some(value) => read_share(value),
            None => Percent::parse("50 %"),
        };
        let requests_per_second = self
            .table
            .get("requests_per_second")
            .and_then(|value| value.integer(1, REQUESTS_PER_SECOND_MAX))
            .or_else(|| self.requests_per_second_usual(kind));
        let api_version = self.table.get("api_version").map(read_version);
        let access = match self.table.get("practice") {
            Some(value) => self.practice(value),
            None => self.live(kind),
        };
        Some(ServiceSettings {
            kind,
            access: access?,
            account: account?,
            quota_share: quota_share?,
            allowance: allowance?,
            requests_per_second,
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

    /// A practice takes as many requests a second as it can.
    fn requests_per_second_usual(&self, kind: ServiceKind) -> Option<u32> {
        match kind {
            ServiceKind::Bullhorn if self.table.lacks("practice") => {
                Some(BULLHORN_REQUESTS_PER_SECOND)
            }
            ServiceKind::Bullhorn | ServiceKind::Salesforce => None,
        }
    }

    /// How many calls the account has, where the API does not tell.
    fn allowance(&self, kind: ServiceKind) -> Option<Option<CallAllowance>> {
        let usual = match kind {
            ServiceKind::Salesforce => return Some(None),
            ServiceKind::Bullhorn => CallAllowance::BULLHORN,
        };
        match self.table.get("quota") {
            None => Some(Some(usual)),
            Some(value) => read_allowance(value).map(Some),
        }
    }

    /// Where to log in; of some APIs one host knows every account.
    fn login_url(&self, kind: ServiceKind) -> Option<String> {
        let value = match kind {
            ServiceKind::Bullhorn => match self.table.get("login_url") {
                None => return Some(BULLHORN_LOGIN_URL.to_owned()),
                Some(value) => value,
            },
            ServiceKind::Salesforce => {
                let hint = "write `login_url = \"https://MyDomain.my.salesforce.com\"`, or `practice = \"FOLDER\"` to rehearse";
                self.table.require("login_url", hint)?
            }
        };
        read_host(value)
    }

    fn live(&mut self, kind: ServiceKind) -> Option<ServiceAccess> {
        let login_url = self.login_url(kind);
        let api_url = match self.table.get("api_url") {
            None => Some(None),
            Some(value) => read_host(value).map(Some),
        };
        let ca_file = match self.table.get("ca_file") {
            None => Some(None),
            Some(value) => value
                .text()
                .map(|file| Some(self.surroundings.root.join(file))),
        };
        let auth = self.auth(kind);
        let login_url = login_url?;
        let auth = auth?;
        self.check_login_host(&login_url, &auth);
        Some(ServiceAccess::Live(Box::new(LiveAccess {
            login_url,
            api_url: api_url?,
            auth,
            ca_file: ca_file?,
        })))
    }

    fn check_login_host(&self, login_url: &str, auth: &Auth) {
        let Some(value) = self.table.get("login_url") else {
            return;
        };
        let host = login_url.strip_prefix("https://").unwrap_or(login_url);
        if matches!(auth, Auth::ClientCredentials { .. }) && SHARED_LOGIN_HOSTS.contains(&host) {
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
    fn account(&mut self, kind: ServiceKind) -> Option<Option<String>> {
        let (account, hint) = match kind {
            ServiceKind::Salesforce => (
                "org",
                "write `account = \"00D…\"`, the Organization ID of Setup › Company Information",
            ),
            ServiceKind::Bullhorn => (
                "corporation",
                "write `account = \"12345\"`, the corporation's id; `check` prints it",
            ),
        };
        let Some(value) = self.table.get("account") else {
            if self.table.get("practice").is_none() {
                let message = format!(
                    "connection `{}` names no `account`: whichever {account} its credentials lead to is written",
                    self.name
                );
                self.told_to_users
                    .push(Problem::warning(self.table.location(), message).hint(hint));
            }
            return Some(None);
        };
        if kind == ServiceKind::Bullhorn {
            return read_corporation(value).map(Some);
        }
        let text = value.text()?;
        let is_org = text.starts_with("00D")
            && matches!(text.len(), 15 | 18)
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_org {
            value.mistake(
                format!("`account` is {}, which is not the id of an org", shown(text)),
                Some("write the Organization ID of Setup › Company Information: `00D` and 12 or 15 more signs".to_owned()),
            );
            return None;
        }
        Some(Some(text.to_owned()))
    }

    fn auth(&mut self, kind: ServiceKind) -> Option<Auth> {
        let flows = flows_of(kind);
        let names = || quoted_list(flows.iter().map(|flow| flow.name));
        let hint = format!(
            "write `auth = {{ flow = \"…\", … }}`; flows are {}",
            names()
        );
        let value = self.table.require("auth", &hint)?;
        let table = value.table("`auth`".to_owned())?;
        let (word_value, word) = table.require_text("flow", &format!("flows are {}", names()))?;
        let Some(flow) = flows.iter().find(|flow| flow.name == word) else {
            let hint = match word {
                "password" | "username_password" if kind == ServiceKind::Salesforce => {
                    "Salesforce retires that flow: write `client_credentials`, `jwt_bearer` or `refresh_token`"
                        .to_owned()
                }
                word => did_you_mean(word, flows.iter().map(|flow| flow.name))
                    .unwrap_or_else(|| format!("flows are {}", names())),
            };
            word_value.mistake(
                format!("`flow` is {}, which is no way to log in", shown(word)),
                Some(hint),
            );
            return None;
        };
        table.expect_among(flow.keys, &FLOW_KEYS, &format!("the flow `{}`", flow.name));
        self.credentials(&table, flow)
    }

    fn credentials(&mut self, table: &Table<'_>, flow: &Flow) -> Option<Auth> {
        // All are read before one is missed, so that no mistake hides another.
        let mut texts = FLOW_KEYS.map(|key| {
            let is_wanted = key != "flow" && flow.keys.contains(&key);
            is_wanted.then(|| self.credential(table, key, flow.optional.contains(&key)))
        });
        let mut take = |key: &str| {
            let position = FLOW_KEYS.iter().position(|known| *known == key)?;
            texts.get_mut(position)?.take()?
        };
        let client_id = take("client_id").flatten();
        let client_secret = take("client_secret");
        Some(match flow.name {
            "client_credentials" => Auth::ClientCredentials {
                client_id: client_id?,
                client_secret: Secret::new(client_secret??),
            },
            "jwt_bearer" => {
                let (user, private_key) = (take("user").flatten(), take("private_key").flatten());
                Auth::JwtBearer {
                    client_id: client_id?,
                    user: user?,
                    private_key: Secret::new(private_key?),
                }
            }
            "password" => {
                let (user, password) = (take("user").flatten(), take("password").flatten());
                Auth::Password {
                    client_id: client_id?,
                    client_secret: Secret::new(client_secret??),
                    user: user?,
                    password: Secret::new(password?),
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
                if !matches!(key, "client_id" | "user") {
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

/// The id of a corporation of Bullhorn.
fn read_corporation(value: Value<'_>) -> Option<String> {
    let text = value.number_or_text()?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        value.mistake(
            format!(
                "`account` is {}, which is not the id of a corporation",
                shown(&text)
            ),
            Some("write its number, as `check` prints it once the connection works".to_owned()),
        );
        return None;
    }
    Some(text)
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

fn read_version(value: Value<'_>) -> Option<String> {
    let text = value.number_or_text()?;
    let parsed = text
        .strip_suffix(".0")
        .and_then(|number| number.parse::<u32>().ok())
        .filter(|number| (SALESFORCE_VERSION_MIN..1000).contains(number));
    if parsed.is_none() {
        value.mistake(
            format!(
                "`api_version` is {}, which is no version from {SALESFORCE_VERSION_MIN}.0 on",
                shown(&text)
            ),
            Some("leave it out, or write one as in `api_version = \"67.0\"`".to_owned()),
        );
    }
    parsed.map(|number| format!("{number}.0"))
}
