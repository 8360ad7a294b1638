//! How HubSpot lets in, and what its answers mean to whoever would ask again.
//! Source: <https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines>.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Days, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::form_urlencoded::Serializer;

use super::answers::ApiError;
use super::describe::AssociationType;
use super::unseen::Unseen;
use crate::domain::connection::{Auth, LiveAccess, Secret};
use crate::http::{
    ApiManner, Bucket, Client, Granted, HttpMethod, Judgement, LoginError, Request, Response,
    SendError, Usage,
};

/// The version of the log-in, which has its own.
/// Source: <https://developers.hubspot.com/docs/apps/developer-apps/authentication/oauth/manage-oauth-tokens>.
const LOGIN_PATH: &str = "/oauth/2026-03/token";

/// How long a token is good for where it does not say so.
const TOKEN_SECONDS: u64 = 1800;

/// How long calls are counted together.
const INTERVAL: Duration = Duration::from_secs(10);

/// How long is waited where too many calls came in an interval and it is not told how long: some of
/// them are older already.
const INTERVAL_WAIT: Duration = Duration::from_secs(4);

const SECOND_WAIT: Duration = Duration::from_secs(1);

/// How long a locked record is left alone.
/// Source: <https://developers.hubspot.com/docs/api-reference/error-handling>.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// Searches that may begin in a second: one fewer than the account has, for others.
const SEARCHES_PER_SECOND: u32 = 4;

#[derive(Debug)]
pub(super) struct HubSpotManner {
    live: LiveAccess,
    connection: String,
    version: String,
    /// What was told of the portal at the last log-in.
    portal: Mutex<Option<Portal>>,
    pub(super) searches: Bucket,
    pub(super) unseen: Unseen,
    /// The types by which records of one object are associated with those of another.
    associations: Mutex<BTreeMap<(String, String), AssociationType>>,
}

/// What is told of a portal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Portal {
    pub(super) portal_id: u64,
    #[serde(default)]
    pub(super) account_type: Option<String>,
    #[serde(default)]
    pub(super) time_zone: Option<String>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    refresh_token: Option<String>,
    expires_in: Option<u64>,
}

impl HubSpotManner {
    pub(super) fn new(
        live: LiveAccess,
        connection: &str,
        version: &str,
        search_lag: Duration,
    ) -> Self {
        Self {
            live,
            connection: connection.to_owned(),
            version: version.to_owned(),
            portal: Mutex::new(None),
            searches: Bucket::new(Some(SEARCHES_PER_SECOND)),
            unseen: Unseen::new(search_lag),
            associations: Mutex::default(),
        }
    }

    pub(super) fn association_type(&self, from: &str, to: &str) -> Option<AssociationType> {
        let known = self.associations.lock();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        known.get(&(from.to_owned(), to.to_owned())).cloned()
    }

    pub(super) fn know_association(&self, from: &str, to: &str, kind: &AssociationType) {
        let known = self.associations.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        known.insert((from.to_owned(), to.to_owned()), kind.clone());
    }

    pub(super) fn portal(&self) -> Option<Portal> {
        let portal = self.portal.lock();
        portal.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn api_url(&self) -> &str {
        self.live.api_url.as_ref().unwrap_or(&self.live.login_url)
    }
}

impl ApiManner for HubSpotManner {
    async fn log_in(
        &self,
        client: &Client,
        refresh_token: Option<&Secret>,
    ) -> Result<Granted, LoginError> {
        match &self.live.auth {
            Auth::Token { token } => Ok(self.granted(token.clone(), None, None)),
            Auth::RefreshToken {
                client_id,
                client_secret,
                refresh_token: configured,
            } => {
                let refresh_token = refresh_token.unwrap_or(configured);
                self.refreshed(client, client_id, client_secret.as_ref(), refresh_token)
                    .await
            }
            Auth::ClientCredentials { .. }
            | Auth::JwtBearer { .. }
            | Auth::Password { .. }
            | Auth::Tenant { .. } => Err(LoginError::Refused {
                what: "HubSpot is not logged in to this way".to_owned(),
                hint: "write `flow = \"token\"` or `\"refresh_token\"`".to_owned(),
            }),
        }
    }

    /// Asks which portal the token leads to.
    async fn enter(&self, client: &Client, mut granted: Granted) -> Result<Granted, LoginError> {
        let portal = self.ask_portal(client, &granted.token).await?;
        granted.account = portal.as_ref().map(|portal| portal.portal_id.to_string());
        *self.portal.lock().unwrap_or_else(PoisonError::into_inner) = portal;
        Ok(granted)
    }

    fn usage(&self, response: &Response) -> Option<Usage> {
        let count = |name: &str| response.header(name)?.trim().parse::<u64>().ok();
        let allowed = count("x-hubspot-ratelimit-daily")?;
        let left = count("x-hubspot-ratelimit-daily-remaining")?;
        Some(Usage {
            used: allowed.saturating_sub(left),
            allowed,
        })
    }

    fn judge(&self, response: &Response) -> Judgement {
        judge(response, &self.connection, &self.resumes())
    }

    fn resumes(&self) -> String {
        let zone = self.portal().and_then(|portal| portal.time_zone);
        let zone = zone.and_then(|zone| zone.parse::<Tz>().ok());
        match zone.and_then(|zone| next_midnight(Utc::now(), zone)) {
            Some(midnight) => format!(
                "the portal's day ends at midnight of its time zone, {}: run again then, and what is left is done",
                midnight.format("%Y-%m-%d %H:%M UTC")
            ),
            None => "the portal's day ends at midnight of its time zone: run again then, and what is left is done".to_owned(),
        }
    }
}

impl HubSpotManner {
    fn granted(
        &self,
        token: Secret,
        refresh_token: Option<Secret>,
        lifetime: Option<Duration>,
    ) -> Granted {
        Granted {
            token,
            api_url: self.api_url().to_owned(),
            account: None,
            user: None,
            refresh_token,
            lifetime,
        }
    }

    async fn refreshed(
        &self,
        client: &Client,
        client_id: &str,
        client_secret: Option<&Secret>,
        refresh_token: &Secret,
    ) -> Result<Granted, LoginError> {
        let form = form(client_id, client_secret, refresh_token);
        let url = format!("{}{LOGIN_PATH}", self.live.login_url);
        let request = Request::new(HttpMethod::Post, url)
            .with_body("application/x-www-form-urlencoded", form);
        let response = self.sent(client, request, refresh_token).await?;
        if response.status != 200 {
            return Err(self.refused(
                &response,
                refresh_token,
                "the refresh token is dead, or the app's id or secret is another: connect the app to the portal anew, and give the new token",
            ));
        }
        let answer: TokenAnswer = serde_json::from_slice(&response.body).map_err(|_| {
            LoginError::Passing(
                "the log-in was answered with something else than a token".to_owned(),
            )
        })?;
        let seconds = answer.expires_in.unwrap_or(TOKEN_SECONDS);
        Ok(self.granted(
            Secret::new(answer.access_token),
            answer.refresh_token.map(Secret::new),
            Some(Duration::from_secs(seconds)),
        ))
    }

    /// Which portal a token leads to; `None`, if the token may not ask that.
    async fn ask_portal(
        &self,
        client: &Client,
        token: &Secret,
    ) -> Result<Option<Portal>, LoginError> {
        let url = format!("{}/account-info/{}/details", self.api_url(), self.version);
        let bearer = format!("Bearer {}", token.reveal());
        let request = Request::get(url).with_header("Authorization", bearer);
        let response = self.sent(client, request, token).await?;
        match response.status {
            200 => serde_json::from_slice(&response.body)
                .map(Some)
                .map_err(|_| {
                    LoginError::Passing("it does not tell which portal it is".to_owned())
                }),
            403 => Ok(None),
            _ => Err(self.refused(
                &response,
                token,
                "see in HubSpot whether the service key or app is still there and gave this token: Settings › Integrations",
            )),
        }
    }

    async fn sent(
        &self,
        client: &Client,
        request: Request,
        secret: &Secret,
    ) -> Result<Response, LoginError> {
        client.send(request).await.map_err(|error| {
            if let SendError::Unproven { what, hint } = error {
                let hint = hint.to_owned();
                return LoginError::Refused { what, hint };
            }
            LoginError::Passing(self.without_secrets(&error.to_string(), secret))
        })
    }

    /// Why a log-in was refused, or that it may work later.
    fn refused(&self, response: &Response, secret: &Secret, hint: &str) -> LoginError {
        let error = ApiError::of(response);
        match (response.status, error) {
            (400 | 401 | 404, Some(error)) => LoginError::Refused {
                what: self.without_secrets(&format!("the log-in was refused, {error}"), secret),
                hint: hint.to_owned(),
            },
            (status, _) => LoginError::Passing(format!("the log-in was answered with {status}")),
        }
    }

    /// Words of the host without what nobody may read, should it repeat it.
    fn without_secrets(&self, words: &str, secret: &Secret) -> String {
        let app_secret = if let Auth::RefreshToken { client_secret, .. } = &self.live.auth {
            client_secret.as_ref()
        } else {
            None
        };
        let secrets = app_secret.into_iter().chain([secret]);
        secrets.fold(words.to_owned(), |words, secret| {
            words.replace(secret.reveal(), "***")
        })
    }
}

fn form(client_id: &str, client_secret: Option<&Secret>, refresh_token: &Secret) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token")
        .append_pair("client_id", client_id)
        .append_pair("refresh_token", refresh_token.reveal());
    if let Some(secret) = client_secret {
        form.append_pair("client_secret", secret.reveal());
    }
    form.finish()
}

/// When the day of a zone ends.
fn next_midnight(now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
    let tomorrow = now
        .with_timezone(&zone)
        .date_naive()
        .checked_add_days(Days::new(1))?;
    let midnight = zone.from_local_datetime(&tomorrow.and_time(NaiveTime::MIN));
    Some(midnight.earliest()?.with_timezone(&Utc))
}

fn judge(response: &Response, connection: &str, resumes: &str) -> Judgement {
    let told = ApiError::of(response);
    let why = || match &told {
        Some(error) => error.to_string(),
        None => format!("it answered {} without saying why", response.status),
    };
    let forbidden = |hint: String| Judgement::Forbidden { what: why(), hint };
    let broken = |why: String| Judgement::Broken {
        undone: false,
        tries_max: u32::MAX,
        why,
    };
    match response.status {
        200..=299 if is_whole(response) => Judgement::Answered,
        200..=299 => broken("its answer is cut short, or a page for people".to_owned()),
        301..=308 => forbidden(format!(
            "it sends on to another address: see `api_url` in `[connections.{connection}]`"
        )),
        401 => Judgement::Renew,
        403 => forbidden(scopes_hint(told.as_ref())),
        423 => Judgement::Throttled {
            after: Some(response.retry_after().unwrap_or(LOCK_WAIT)),
            why: why(),
        },
        429 => throttled(response, told.as_ref(), why(), resumes),
        // A portal that moves to another data centre asks to be left alone for up to a day.
        477 => Judgement::Throttled {
            after: response.retry_after(),
            why: why(),
        },
        500..=504 | 521..=526 => broken(why()),
        404 if told.is_none() && response.body.is_empty() => forbidden(format!(
            "this version of the API is not there: take `api_version` out of `[connections.{connection}]`, or have a newer program"
        )),
        400..=499 if told.is_none() => broken(why()),
        _ => Judgement::Answered,
    }
}

fn scopes_hint(told: Option<&ApiError>) -> String {
    let scopes = told.map(|error| error.scopes.join("`, `"));
    match scopes.filter(|scopes| !scopes.is_empty()) {
        Some(scopes) => format!("give the service key or app the scope `{scopes}`"),
        None => "see which scopes the service key or app has, and whether its user is still there"
            .to_owned(),
    }
}

fn throttled(
    response: &Response,
    told: Option<&ApiError>,
    why: String,
    resumes: &str,
) -> Judgement {
    let policy = told.and_then(|error| error.policy.as_deref());
    let message = told.map_or("", |error| error.message.as_str());
    let usual = match policy {
        Some("DAILY") => {
            return Judgement::QuotaSpent {
                what: why,
                resumes: resumes.to_owned(),
            };
        }
        None if message.contains("daily") => {
            return Judgement::QuotaSpent {
                what: why,
                resumes: resumes.to_owned(),
            };
        }
        Some("SECONDLY") => SECOND_WAIT,
        None if message.contains("secondly") && !message.contains("ten_secondly") => SECOND_WAIT,
        _ => INTERVAL_WAIT,
    };
    // Some are told milliseconds; no interval is longer than this one.
    let asked = response.retry_after().map(|asked| match asked {
        seconds if seconds <= INTERVAL => seconds,
        milliseconds if milliseconds.as_secs() >= 1000 => {
            Duration::from_millis(milliseconds.as_secs()).min(INTERVAL)
        }
        _ => INTERVAL,
    });
    Judgement::Throttled {
        after: Some(asked.unwrap_or(usual)),
        why,
    }
}

/// Whether an answer is JSON to its end, or nothing.
fn is_whole(response: &Response) -> bool {
    response.body.is_empty() || serde_json::from_slice::<IgnoredAny>(&response.body).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_of_the_portal() {
        let now = "2026-11-30T03:00:00Z".parse().expect("an instant");
        let midnight = |zone: Tz| next_midnight(now, zone).expect("one").to_string();
        assert_eq!(midnight(Tz::US__Eastern), "2026-11-30 05:00:00 UTC");
        assert_eq!(midnight(Tz::Europe__Berlin), "2026-11-30 23:00:00 UTC");
    }
}
