//! How Bullhorn lets in, and what its answers mean to whoever would ask again. Hosts are told by
//! `loginInfo`; a user's name and password are changed for a code, the code for an access token, and
//! that for a session. Source: <https://bullhorn.github.io/Getting-Started-with-REST/>.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;
use url::form_urlencoded::Serializer;

use super::answers::ApiError;
use super::knowledge::Knowledge;
use crate::domain::connection::{Auth, LiveAccess, Secret};
use crate::domain::printable::printable;
use crate::http::{
    ApiManner, Client, Granted, HttpMethod, Judgement, LoginError, Request, Response, SendError,
    Usage, same_site,
};

/// The version of the API that this program was tested with.
pub(super) const VERSION: &str = "2.0";

/// Minutes for which a session is kept that nobody uses.
const SESSION_MINUTES: u32 = 60;

/// How long a host is left alone that has too many calls.
/// Source: <https://bullhorn.github.io/rest-api-docs/#errors>, 429.
const THROTTLED_DELAY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct BullhornManner {
    pub(super) live: LiveAccess,
    pub(super) connection: String,
    /// What was learned of the corporation.
    knowledge: Mutex<Knowledge>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoginInfo {
    oauth_url: String,
    rest_url: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct SessionAnswer {
    #[serde(rename = "BhRestToken")]
    token: String,
    #[serde(rename = "restUrl")]
    rest_url: String,
}

/// The user's and the app's own.
struct Credentials<'a> {
    client_id: &'a str,
    client_secret: &'a Secret,
    user: &'a str,
    password: &'a Secret,
}

impl ApiManner for BullhornManner {
    /// Grants an access token, and the host at which a session is to be had for it.
    async fn log_in(
        &self,
        client: &Client,
        refresh_token: Option<&Secret>,
    ) -> Result<Granted, LoginError> {
        let credentials = self.own()?;
        let info = self.login_info(client, &credentials).await?;
        let refreshed = match refresh_token {
            Some(token) => self.refresh(client, &info, &credentials, token).await?,
            None => None,
        };
        let answer = match refreshed {
            Some(answer) => answer,
            None => {
                let code = self.code(client, &info, &credentials).await?;
                self.change_code(client, &info, &credentials, &code).await?
            }
        };
        Ok(Granted {
            token: Secret::new(answer.access_token),
            api_url: info.rest_url,
            account: None,
            user: None,
            refresh_token: answer.refresh_token.map(Secret::new),
            // What data calls take is a session, which begins as it is entered.
            lifetime: None,
        })
    }

    async fn enter(&self, client: &Client, granted: Granted) -> Result<Granted, LoginError> {
        let query = Serializer::new(String::new())
            .append_pair("version", VERSION)
            .append_pair("access_token", granted.token.reveal())
            .append_pair("ttl", &SESSION_MINUTES.to_string())
            .finish();
        let url = format!("{}/login?{query}", granted.api_url);
        let response = self
            .send(client, Request::new(HttpMethod::Post, url))
            .await?;
        if response.status != 200 {
            return Err(self.refused(&response, "the session was refused"));
        }
        let answer: SessionAnswer = read(&response)?;
        Ok(Granted {
            token: Secret::new(answer.token),
            api_url: self.told_host(&answer.rest_url)?,
            ..granted
        })
    }

    fn credentials(&self, token: &Secret) -> (&'static str, String) {
        ("BhRestToken", token.reveal().to_owned())
    }

    fn is_sent_on(&self) -> bool {
        true
    }

    fn usage(&self, _response: &Response) -> Option<Usage> {
        // It tells of the minute at best; the month is counted here.
        None
    }

    fn judge(&self, response: &Response) -> Judgement {
        judge(response)
    }

    fn resumes(&self) -> String {
        "calls are counted anew with the next month".to_owned()
    }
}

impl BullhornManner {
    pub(super) fn new(live: LiveAccess, connection: &str) -> Self {
        Self {
            live,
            connection: connection.to_owned(),
            knowledge: Mutex::default(),
        }
    }

    /// Looks something up in what is known, or notes it there.
    pub(super) fn known<T>(&self, ask: impl FnOnce(&mut Knowledge) -> T) -> T {
        let mut knowledge = self
            .knowledge
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        ask(&mut knowledge)
    }

    fn own(&self) -> Result<Credentials<'_>, LoginError> {
        if let Auth::Password {
            client_id,
            client_secret,
            user,
            password,
        } = &self.live.auth
        {
            return Ok(Credentials {
                client_id,
                client_secret,
                user,
                password,
            });
        }
        Err(LoginError::Refused {
            what: "Bullhorn logs in with a user's name and password".to_owned(),
            hint: "write `flow = \"password\"`".to_owned(),
        })
    }

    async fn send(&self, client: &Client, request: Request) -> Result<Response, LoginError> {
        match client.send_on(request).await {
            Ok(response) if (500..=599).contains(&response.status) => Err(LoginError::Passing(
                format!("the log-in was answered with {}", response.status),
            )),
            Ok(response) if matches!(response.status, 307 | 308) => Err(LoginError::Refused {
                what: "the log-in is sent on to a host of another site".to_owned(),
                hint: format!("check `login_url` of `[connections.{}]`", self.connection),
            }),
            Ok(response) => Ok(response),
            Err(SendError::Unproven { what, hint }) => Err(LoginError::Refused {
                what,
                hint: hint.to_owned(),
            }),
            Err(error) => Err(LoginError::Passing(
                self.without_secrets(&error.to_string()),
            )),
        }
    }

    /// Where the user's hosts are.
    async fn login_info(
        &self,
        client: &Client,
        credentials: &Credentials<'_>,
    ) -> Result<LoginInfo, LoginError> {
        let query = Serializer::new(String::new())
            .append_pair("username", credentials.user)
            .finish();
        let url = format!("{}/rest-services/loginInfo?{query}", self.live.login_url);
        let response = self.send(client, Request::get(url)).await?;
        if response.status != 200 {
            return Err(self.refused(&response, "the user's hosts are not told"));
        }
        let info: LoginInfo = read(&response)?;
        Ok(LoginInfo {
            oauth_url: self.told_host(&info.oauth_url)?,
            rest_url: self.told_host(&info.rest_url)?,
        })
    }

    /// A host that was told, if it is of the same site as the one that is configured.
    fn told_host(&self, told: &str) -> Result<String, LoginError> {
        let told = told.trim_end_matches('/');
        match same_site(told, &self.live.login_url) {
            true => Ok(told.to_owned()),
            false => Err(LoginError::Refused {
                what: "the log-in leads to a host of another site".to_owned(),
                hint: format!("check `login_url` of `[connections.{}]`", self.connection),
            }),
        }
    }

    /// A code for the user's name and password, by which an access token is had.
    async fn code(
        &self,
        client: &Client,
        info: &LoginInfo,
        credentials: &Credentials<'_>,
    ) -> Result<String, LoginError> {
        let query = Serializer::new(String::new())
            .append_pair("client_id", credentials.client_id)
            .append_pair("response_type", "code")
            .append_pair("action", "Login")
            .append_pair("username", credentials.user)
            .append_pair("password", credentials.password.reveal())
            .finish();
        let url = format!("{}/authorize?{query}", info.oauth_url);
        let response = self.send(client, Request::get(url)).await?;
        let code = response.header("location").and_then(code_of);
        code.ok_or_else(|| LoginError::Refused {
            what: "the log-in was refused: no code came for the user's name and password".to_owned(),
            hint: format!(
                "check `user`, `password` and `client_id`; if they are right, log in once as `{}` in a browser, by {}/authorize?client_id={}&response_type=code, and accept the terms",
                credentials.user, info.oauth_url, credentials.client_id
            ),
        })
    }

    async fn change_code(
        &self,
        client: &Client,
        info: &LoginInfo,
        credentials: &Credentials<'_>,
        code: &str,
    ) -> Result<TokenAnswer, LoginError> {
        let grant = [("grant_type", "authorization_code"), ("code", code)];
        let response = self.grant(client, info, credentials, grant).await?;
        match response.status {
            200 => read(&response),
            _ => Err(self.refused(&response, "the log-in was refused")),
        }
    }

    /// An access token for a refresh token; `None` if that one is dead, as one is that was used.
    async fn refresh(
        &self,
        client: &Client,
        info: &LoginInfo,
        credentials: &Credentials<'_>,
        refresh_token: &Secret,
    ) -> Result<Option<TokenAnswer>, LoginError> {
        let grant = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.reveal()),
        ];
        let response = self.grant(client, info, credentials, grant).await?;
        match response.status {
            200 => read(&response).map(Some),
            _ => Ok(None),
        }
    }

    async fn grant(
        &self,
        client: &Client,
        info: &LoginInfo,
        credentials: &Credentials<'_>,
        grant: [(&str, &str); 2],
    ) -> Result<Response, LoginError> {
        let query = Serializer::new(String::new())
            .extend_pairs(grant)
            .append_pair("client_id", credentials.client_id)
            .append_pair("client_secret", credentials.client_secret.reveal())
            .finish();
        let url = format!("{}/token?{query}", info.oauth_url);
        self.send(client, Request::new(HttpMethod::Post, url)).await
    }

    fn refused(&self, response: &Response, what: &str) -> LoginError {
        let words = ApiError::of(response).map_or_else(
            || format!("it answered {}", response.status),
            |error| error.to_string(),
        );
        if response.status == 429 {
            return LoginError::Passing(words);
        }
        LoginError::Refused {
            what: self.without_secrets(&format!("{what}: {words}")),
            hint: "check `client_id` and `client_secret` against what Bullhorn's support gave, and whether the user may use the API".to_owned(),
        }
    }

    /// Words of the host without what nobody may read, should it repeat it.
    fn without_secrets(&self, words: &str) -> String {
        match self.own() {
            Ok(credentials) => [credentials.client_secret, credentials.password]
                .into_iter()
                .fold(words.to_owned(), |words, secret| {
                    words.replace(secret.reveal(), "***")
                }),
            Err(_) => words.to_owned(),
        }
    }
}

/// The code in the address that a log-in is sent on to.
fn code_of(location: &str) -> Option<String> {
    let url = Url::parse(location).ok()?;
    let mut pairs = url.query_pairs();
    pairs.find_map(|(name, value)| (name == "code").then(|| value.into_owned()))
}

fn read<T: for<'a> Deserialize<'a>>(response: &Response) -> Result<T, LoginError> {
    serde_json::from_slice(&response.body).map_err(|_| {
        LoginError::Passing("the log-in was answered with something that cannot be read".to_owned())
    })
}

fn judge(response: &Response) -> Judgement {
    let told = ApiError::of(response);
    let why = || match &told {
        Some(error) => error.to_string(),
        None => format!("it answered {} without saying why", response.status),
    };
    let broken = |why: String| Judgement::Broken {
        undone: false,
        tries_max: u32::MAX,
        why,
    };
    match (response.status, &told) {
        (200..=299, _) if is_whole(response) => Judgement::Answered,
        (200..=299, _) => broken("its answer is cut short, or a page for people".to_owned()),
        (301..=399, _) => Judgement::Forbidden {
            what: "it sends on to a host of another site".to_owned(),
            hint: "see where the corporation has moved: log in to Bullhorn in a browser".to_owned(),
        },
        (401 | 412, _) => Judgement::Renew,
        (429, _) => Judgement::Throttled {
            after: response.retry_after().or(Some(THROTTLED_DELAY)),
            why: why(),
        },
        (502..=504, _) => broken(why()),
        // What a record is told stands in the body; a page says nothing of it.
        (_, Some(_)) | (404, _) => Judgement::Answered,
        (_, None) => broken(printable(&why())),
    }
}

fn is_whole(response: &Response) -> bool {
    response.body.is_empty() || serde_json::from_slice::<IgnoredAny>(&response.body).is_ok()
}
