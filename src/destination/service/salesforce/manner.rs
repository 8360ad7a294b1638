//! How Salesforce lets in, and what its answers mean to whoever would ask again.
//! Source: <https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_flows.htm>.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chrono::Utc;
use ring::signature::RSA_PKCS1_SHA256;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use url::form_urlencoded::Serializer;

use super::super::token;
use super::answers::{ApiError, errors};
use super::describe::Offered;
use super::families::Families;
use crate::domain::connection::{Auth, LiveAccess, Secret};
use crate::http::{
    ApiManner, Client, Granted, HttpMethod, Judgement, LoginError, Request, Response, SendError,
    Usage, same_site,
};

/// How long a signed log-in is good for: the host takes no more than five minutes, and clocks differ.
const ASSERTION_SECONDS: i64 = 180;

/// Tries at a request that the host says it has no idea about.
const UNEXPLAINED_TRIES_MAX: u32 = 2;

/// Words of refusals that no new token cures, and what does.
const INCURABLE: [(&str, &str); 2] = [
    (
        "not valid for use with the REST API",
        "let the app's OAuth scopes hold `api`: Setup › External Client Apps",
    ),
    (
        "Connected app is not attached to Agent",
        "give the connection an app of its own: Setup › External Client Apps",
    ),
];

#[derive(Debug)]
pub(super) struct SalesforceManner {
    pub(super) live: LiveAccess,
    pub(super) connection: String,
    /// What record types offer, by object and type; nothing, where it is not told.
    offered: Mutex<BTreeMap<(String, String), Option<Offered>>>,
    /// By object, the fields that name parents.
    parents: Mutex<BTreeMap<String, Vec<String>>>,
    pub(super) families: Families,
}

impl SalesforceManner {
    pub(super) fn new(live: LiveAccess, connection: &str) -> Self {
        Self {
            live,
            connection: connection.to_owned(),
            offered: Mutex::default(),
            parents: Mutex::default(),
            families: Families::default(),
        }
    }

    /// The fields of an object that name parents, as it was described last.
    pub(super) fn parents(&self, object: &str) -> Vec<String> {
        let known = self.parents.lock();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        known.get(object).cloned().unwrap_or_default()
    }

    pub(super) fn know_parents(&self, object: &str, fields: Vec<String>) {
        let known = self.parents.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        known.insert(object.to_owned(), fields);
    }

    /// What a record type offers, once it was asked for.
    pub(super) fn offered(&self, object: &str, kind: &str) -> Option<Option<Offered>> {
        let known = self.offered.lock();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        known.get(&(object.to_owned(), kind.to_owned())).cloned()
    }

    pub(super) fn know_offered(&self, object: &str, kind: &str, offered: &Option<Offered>) {
        let known = self.offered.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        known.insert((object.to_owned(), kind.to_owned()), offered.clone());
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    instance_url: String,
    /// The URL of the identity: its last two parts are the org and the user.
    #[serde(default)]
    id: String,
    refresh_token: Option<String>,
}

impl ApiManner for SalesforceManner {
    async fn log_in(
        &self,
        client: &Client,
        refresh_token: Option<&Secret>,
    ) -> Result<Granted, LoginError> {
        let url = format!("{}/services/oauth2/token", self.live.login_url);
        let form = self.form(refresh_token)?;
        let request = Request::new(HttpMethod::Post, url)
            .with_body("application/x-www-form-urlencoded", form);
        let response = match client.send(request).await {
            Ok(response) => response,
            Err(SendError::Unproven { what, hint }) => {
                let hint = hint.to_owned();
                return Err(LoginError::Refused { what, hint });
            }
            Err(error) => {
                return Err(LoginError::Passing(
                    self.without_secrets(&error.to_string()),
                ));
            }
        };
        match response.status {
            200 => self.granted(&response),
            _ => Err(self.refused(&response)),
        }
    }

    fn usage(&self, response: &Response) -> Option<Usage> {
        usage(response.header("sforce-limit-info")?)
    }

    fn judge(&self, response: &Response) -> Judgement {
        judge(response, &self.connection)
    }

    fn resumes(&self) -> String {
        let latest = (Utc::now() + chrono::Duration::hours(24)).format("%Y-%m-%d %H:%M UTC");
        format!(
            "the org counts the calls of the last 24 hours, so that some are to be had again bit by bit, \
             all of them at {latest}: run again then, and what is left is done"
        )
    }
}

impl SalesforceManner {
    fn form(&self, refresh_token: Option<&Secret>) -> Result<String, LoginError> {
        let mut form = Serializer::new(String::new());
        match &self.live.auth {
            Auth::ClientCredentials {
                client_id,
                client_secret,
            } => form
                .append_pair("grant_type", "client_credentials")
                .append_pair("client_id", client_id)
                .append_pair("client_secret", client_secret.reveal()),
            Auth::JwtBearer {
                client_id,
                user,
                private_key,
            } => {
                let assertion = assertion(client_id, user, &self.live.login_url, private_key)?;
                form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
                    .append_pair("assertion", &assertion)
            }
            Auth::Token { .. } => {
                return Err(LoginError::Refused {
                    what: "Salesforce is not logged in to with a token alone".to_owned(),
                    hint: "write `flow = \"client_credentials\"`, `\"jwt_bearer\"` or `\"refresh_token\"`".to_owned(),
                });
            }
            Auth::RefreshToken {
                client_id,
                client_secret,
                refresh_token: configured,
            } => {
                let refresh_token = refresh_token.unwrap_or(configured);
                form.append_pair("grant_type", "refresh_token")
                    .append_pair("refresh_token", refresh_token.reveal())
                    .append_pair("client_id", client_id);
                if let Some(secret) = client_secret {
                    form.append_pair("client_secret", secret.reveal());
                }
                &mut form
            }
            Auth::Password { .. } | Auth::Tenant { .. } => {
                return Err(LoginError::Refused {
                    what: "Salesforce is not logged in to this way".to_owned(),
                    hint: "write another `flow`".to_owned(),
                });
            }
        };
        Ok(form.finish())
    }

    fn granted(&self, response: &Response) -> Result<Granted, LoginError> {
        let answer: TokenAnswer = serde_json::from_slice(&response.body).map_err(|_| {
            LoginError::Passing(
                "the log-in was answered with something else than a token".to_owned(),
            )
        })?;
        let told = answer.instance_url.trim_end_matches('/');
        let api_url = match &self.live.api_url {
            Some(api_url) => api_url.clone(),
            None if same_site(told, &self.live.login_url) => told.to_owned(),
            None => {
                return Err(LoginError::Refused {
                    what: "the log-in leads to a host of another site".to_owned(),
                    hint: format!(
                        "if that is meant, write `api_url = \"https://…\"` in `[connections.{}]`",
                        self.connection
                    ),
                });
            }
        };
        let mut parts = answer.id.rsplit('/').map(str::to_owned);
        let (user, account) = (parts.next(), parts.next());
        Ok(Granted {
            token: Secret::new(answer.access_token),
            api_url,
            account: account.filter(|account| account.starts_with("00D")),
            user: user.filter(|user| user.starts_with("005")),
            refresh_token: answer.refresh_token.map(Secret::new),
            // An org counts from the last call and does not tell.
            lifetime: None,
        })
    }

    /// Why a log-in was refused, or that it may work later.
    fn refused(&self, response: &Response) -> LoginError {
        let error = errors(response).into_iter().next();
        let Some(error) = error.filter(|_| (400..500).contains(&response.status)) else {
            return LoginError::Passing(format!(
                "the log-in was answered with {}",
                response.status
            ));
        };
        LoginError::Refused {
            what: self.without_secrets(&format!("the log-in was refused, {error}")),
            hint: self.login_hint(&error),
        }
    }

    fn login_hint(&self, error: &ApiError) -> String {
        let hint = match (error.code.as_str(), &self.live.auth) {
            ("invalid_client" | "invalid_client_id", _) => {
                "check `client_id` and `client_secret` against Setup › External Client Apps"
            }
            ("invalid_grant", Auth::JwtBearer { .. }) => {
                "check `user` and `private_key`, and let the app pre-authorize the user's profile or permission set"
            }
            ("invalid_grant", Auth::RefreshToken { .. }) => {
                "the refresh token is dead or was used already: log in anew and give the new one"
            }
            ("invalid_grant", Auth::ClientCredentials { .. }) => {
                "let the app name a Run-As user for client credentials: Setup › External Client Apps"
            }
            ("unsupported_grant_type" | "invalid_grant", _) => {
                "turn this flow on for the app: Setup › External Client Apps"
            }
            _ => "see Setup › Login History for what the org says",
        };
        hint.to_owned()
    }

    /// Words of the host without what nobody may read, should it repeat it.
    fn without_secrets(&self, words: &str) -> String {
        let secrets: Vec<&Secret> = match &self.live.auth {
            Auth::ClientCredentials { client_secret, .. } => vec![client_secret],
            Auth::JwtBearer { private_key, .. } => vec![private_key],
            Auth::Token { token } => vec![token],
            Auth::RefreshToken {
                client_secret,
                refresh_token,
                ..
            } => client_secret.iter().chain([refresh_token]).collect(),
            Auth::Password {
                client_secret,
                password,
                ..
            } => vec![client_secret, password],
            Auth::Tenant { proof, .. } => vec![proof.secret()],
        };
        secrets.into_iter().fold(words.to_owned(), |words, secret| {
            words.replace(secret.reveal(), "***")
        })
    }
}

/// A log-in signed with the private key.
/// Source: <https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_jwt_flow.htm>.
fn assertion(
    client_id: &str,
    user: &str,
    audience: &str,
    private_key: &Secret,
) -> Result<String, LoginError> {
    let claims = json!({
        "iss": client_id,
        "sub": user,
        "aud": audience,
        "exp": Utc::now().timestamp() + ASSERTION_SECONDS,
    });
    let head = json!({ "alg": "RS256" });
    token::signed(&head, &claims, private_key, &RSA_PKCS1_SHA256)
}

/// Reads `api-usage=10018/100000; api-bursts=1/750`.
fn usage(header: &str) -> Option<Usage> {
    let mut parts = header.split([';', ',', ' ']);
    let told = parts.find_map(|part| part.trim().strip_prefix("api-usage="))?;
    let (used, allowed) = told.split_once('/')?;
    Some(Usage {
        used: used.parse().ok()?,
        allowed: allowed.parse().ok()?,
    })
}

fn judge(response: &Response, connection: &str) -> Judgement {
    let told = errors(response);
    let first = told.first();
    let code = first.map_or("", |error| error.code.as_str());
    let message = first.map_or("", |error| error.message.as_str());
    let why = || match first {
        Some(error) => error.to_string(),
        None => format!("it answered {} without saying why", response.status),
    };
    let forbidden = |hint: &str| Judgement::Forbidden {
        what: why(),
        hint: hint.to_owned(),
    };
    let broken = |undone, tries_max| Judgement::Broken {
        undone,
        tries_max,
        why: why(),
    };
    match (response.status, code) {
        (200..=299 | 304, _) if is_whole(response) => Judgement::Answered,
        (200..=299, _) => Judgement::Broken {
            undone: false,
            tries_max: u32::MAX,
            why: "its answer is cut short, or a page for people".to_owned(),
        },
        // What is told so has no body, often.
        (300 | 404 | 412..=414 | 431, _) => Judgement::Answered,
        (301..=399, _) => forbidden(&format!(
            "it sends on to another address: name the org's own host in `[connections.{connection}]`"
        )),
        (_, "REQUEST_LIMIT_EXCEEDED") if message.contains("Concurrent") => Judgement::Throttled {
            after: response.retry_after(),
            why: why(),
        },
        (_, "REQUEST_LIMIT_EXCEEDED") => Judgement::QuotaSpent {
            what: why(),
            resumes: "the org counts the calls of the last 24 hours: run again later, or have it buy more".to_owned(),
        },
        (_, "API_DISABLED_FOR_ORG" | "API_CURRENTLY_DISABLED") => {
            forbidden("let the org's edition and the user's profile allow the API (`API Enabled`)")
        }
        (_, "OAUTH_APP_BLOCKED") => {
            forbidden("let an admin unblock the app: Setup › Connected Apps OAuth Usage")
        }
        (401, _) => match INCURABLE.iter().find(|(words, _)| message.contains(words)) {
            Some((_, hint)) => forbidden(hint),
            None if code == "INVALID_AUTH_HEADER" => forbidden("this is a fault of the program"),
            None => Judgement::Renew,
        },
        (410, _) => forbidden(&format!(
            "this version of the API is retired: take `api_version` out of `[connections.{connection}]`, or have a newer program"
        )),
        (429, _) => Judgement::Throttled {
            after: response.retry_after(),
            why: why(),
        },
        (_, "SERVER_UNAVAILABLE") => broken(true, u32::MAX),
        (420 | 502..=504, _) => broken(false, u32::MAX),
        (_, "REQUEST_RUNNING_TOO_LONG" | "QUERY_TIMEOUT") => broken(false, u32::MAX),
        (500..=599, _) => broken(false, UNEXPLAINED_TRIES_MAX),
        (_, "") => broken(false, UNEXPLAINED_TRIES_MAX),
        _ => Judgement::Answered,
    }
}

/// Whether an answer is what it says it is: JSON to its end, CSV, or nothing.
fn is_whole(response: &Response) -> bool {
    let is_csv = response
        .header("content-type")
        .is_some_and(|content_type| content_type.starts_with("text/csv"));
    is_csv
        || response.body.is_empty()
        || serde_json::from_slice::<IgnoredAny>(&response.body).is_ok()
}
