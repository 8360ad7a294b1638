//! Who may come in: tokens are granted here and told from others. Source: "OAuth Authorization
//! Flows" and "OpenID Connect Token Introspection" of Salesforce's help.

use base64::Engine as _;
use chrono::{DateTime, Utc};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::errors::ApiError;
use super::org::{Org, Session};
use super::settings::App;
use crate::practice::call::{Answer, Call};

/// How far ahead a JSON web token may end, with some room for clocks.
const ASSERTION_SECONDS_MAX: i64 = 5 * 60 + 60;

/// Hosts that log in people of every org.
const SHARED_HOSTS: [&str; 2] = ["login.", "test."];

/// Why no token is granted.
struct Denied {
    error: &'static str,
    description: &'static str,
}

fn denied<T>(error: &'static str, description: &'static str) -> Result<T, Denied> {
    Err(Denied { error, description })
}

impl Org {
    /// `/services/oauth2/…`.
    pub(super) fn oauth(&mut self, call: &Call, resource: &str) -> Answer {
        match resource {
            "token" => self.token(call),
            "revoke" => self.revoke(call),
            "introspect" => self.introspect(call),
            "userinfo" => match self.caller(call) {
                Ok((user, _)) => Answer::json(200, self.identity(call, &user).to_string()),
                // Here the words differ from those of the data.
                Err(_) => Answer::text(403, "text/html;charset=UTF-8", "Bad_OAuth_Token"),
            },
            _ => ApiError::not_found().answer(),
        }
    }

    fn token(&mut self, call: &Call) -> Answer {
        match self.grant(call) {
            Ok(granted) => Answer::json(200, granted.to_string()),
            Err(Denied { error, description }) => {
                let told = json!({ "error": error, "error_description": description });
                Answer::json(400, told.to_string())
            }
        }
        .with("Cache-Control", "no-cache, no-store")
        .with("Pragma", "no-cache")
    }

    fn grant(&mut self, call: &Call) -> Result<Value, Denied> {
        let form = call.form();
        let value = |name: &str| {
            let found = form.iter().find(|(known, _)| known == name);
            found
                .map(|(_, value)| value.as_str())
                .or_else(|| call.parameter(name))
        };
        match value("grant_type") {
            Some("client_credentials") => {
                if is_shared_host(call) {
                    return denied("invalid_grant", "request not supported on this domain");
                }
                let (id, secret) = credentials(call, &value);
                let app = self.app(id.as_deref(), secret.as_deref())?;
                let user = app
                    .user
                    .clone()
                    .unwrap_or_else(|| self.settings.org.user.clone());
                self.granted(call, &app.client_id, &user, None)
            }
            Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {
                let (client_id, user) =
                    self.asserted(call, value("assertion").unwrap_or_default())?;
                self.granted(call, &client_id, &user, None)
            }
            Some("refresh_token") => {
                let (id, secret) = credentials(call, &value);
                let app = self.app_of_refresh(id.as_deref(), secret.as_deref())?;
                let given = value("refresh_token").unwrap_or_default();
                let first = app.refresh_token.as_deref().unwrap_or_default();
                let valid = self
                    .counters
                    .refresh_tokens
                    .get(&app.client_id)
                    .map_or(first, String::as_str);
                if given.is_empty() || given != valid {
                    return denied("invalid_grant", "expired access/refresh token");
                }
                let next = app.rotate.then(|| self.secret("5Aep861", call.now));
                if let Some(next) = &next {
                    self.counters
                        .refresh_tokens
                        .insert(app.client_id.clone(), next.clone());
                    self.touch_counters();
                }
                let user = app
                    .user
                    .clone()
                    .unwrap_or_else(|| self.settings.org.user.clone());
                self.granted(call, &app.client_id, &user, next)
            }
            Some(_) => denied("unsupported_grant_type", "grant type not supported"),
            None => denied("invalid_request", "missing required parameter: grant_type"),
        }
    }

    /// The app, whose secret is right.
    fn app(&self, id: Option<&str>, secret: Option<&str>) -> Result<App, Denied> {
        let app = id.and_then(|id| self.settings.app(id));
        let Some(app) = app else {
            return denied("invalid_client_id", "client identifier invalid");
        };
        match app.client_secret.as_deref() == secret {
            true => Ok(app.clone()),
            false => denied("invalid_client", "invalid client credentials"),
        }
    }

    /// The same for a refresh, which an app may ask for without its secret.
    fn app_of_refresh(&self, id: Option<&str>, secret: Option<&str>) -> Result<App, Denied> {
        match secret {
            Some(_) => self.app(id, secret),
            None => match id.and_then(|id| self.settings.app(id)) {
                Some(app) => Ok(app.clone()),
                None => denied("invalid_client_id", "client identifier invalid"),
            },
        }
    }

    /// The app and the user that a JSON web token vouches for.
    fn asserted(&self, call: &Call, assertion: &str) -> Result<(String, String), Denied> {
        let invalid = || Denied {
            error: "invalid_grant",
            description: "invalid assertion",
        };
        let decode = |part: &str| {
            base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part.trim_end_matches('='))
        };
        let parts: Vec<&str> = assertion.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else {
            return Err(invalid());
        };
        let read =
            |part: &str| -> Option<Value> { serde_json::from_slice(&decode(part).ok()?).ok() };
        let (Some(head), Some(told)) = (read(header), read(claims)) else {
            return Err(invalid());
        };
        let text = |name: &str| {
            told.get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let Some(app) = self.settings.app(&text("iss")) else {
            return denied("invalid_client_id", "client identifier invalid");
        };
        if head.get("alg").and_then(Value::as_str) != Some("RS256") {
            return Err(invalid());
        }
        if let Some(key) = &app.key {
            let signed = format!("{header}.{claims}");
            let signature = decode(signature).map_err(|_| invalid())?;
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
                .verify(signed.as_bytes(), &signature)
                .map_err(|_| invalid())?;
        }
        let seconds =
            told.get("exp").and_then(Value::as_i64).unwrap_or_default() - call.now.timestamp();
        if seconds <= 0 || seconds > ASSERTION_SECONDS_MAX {
            return denied("invalid_grant", "expired authorization code");
        }
        let audience = text("aud");
        let audience = audience.trim_end_matches('/');
        let known = [
            "https://login.salesforce.com",
            "https://test.salesforce.com",
        ];
        if !known.contains(&audience) && audience != origin(call) {
            return denied("invalid_grant", "audience is invalid");
        }
        let user = text("sub");
        let is_approved = app
            .approved
            .as_ref()
            .is_none_or(|approved| approved.iter().any(|name| name.eq_ignore_ascii_case(&user)));
        if self.user_named(&user).is_none() || !is_approved {
            return denied("invalid_grant", "user hasn't approved this consumer");
        }
        Ok((app.client_id.clone(), user))
    }

    fn granted(
        &mut self,
        call: &Call,
        client_id: &str,
        username: &str,
        refresh: Option<String>,
    ) -> Result<Value, Denied> {
        let Some(user) = self.user_named(username) else {
            return denied("invalid_grant", "no client credentials user enabled");
        };
        let org = self.settings.org.id.clone();
        let secret = self.secret("AQ", call.now);
        let token = format!("{}!{secret}", org.get(..15).unwrap_or_default());
        self.sessions.insert(
            token.clone(),
            Session {
                user: user.clone(),
                client_id: client_id.to_owned(),
                last_used: call.now,
                calls: 0,
                dead: false,
            },
        );
        self.touch_session(&token);
        let origin = origin(call);
        let issued = call.now.timestamp_millis().to_string();
        let id = format!("{origin}/id/{org}/{user}");
        let digest = Sha256::digest(format!("{id}{issued}"));
        let mut granted = json!({
            "access_token": token,
            "signature": base64::engine::general_purpose::STANDARD.encode(digest),
            "scope": "api refresh_token",
            "instance_url": origin,
            "id": id,
            "token_type": "Bearer",
            "issued_at": issued,
        });
        if let (Some(refresh), Some(object)) = (refresh, granted.as_object_mut()) {
            object.insert("refresh_token".to_owned(), Value::from(refresh));
        }
        Ok(granted)
    }

    /// A text that nobody guesses who has not seen the state.
    fn secret(&mut self, begins: &str, now: DateTime<Utc>) -> String {
        self.counters.made += 1;
        self.touch_counters();
        let seed = format!("{}{}{now:?}", self.counters.made, self.settings.org.id);
        let digest = Sha256::digest(seed);
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest);
        format!("{begins}{}", text.replace('-', "."))
    }

    fn revoke(&mut self, call: &Call) -> Answer {
        let form = call.form();
        let token = form
            .iter()
            .find(|(name, _)| name == "token")
            .map(|(_, token)| token.clone());
        let token = token
            .or_else(|| call.parameter("token").map(str::to_owned))
            .unwrap_or_default();
        if let Some(session) = self.sessions.get_mut(&token) {
            session.dead = true;
            self.touch_session(&token);
            return Answer::new(200);
        }
        let app = self.settings.apps.iter().find(|app| {
            let first = app.refresh_token.as_deref().unwrap_or_default();
            let valid = self
                .counters
                .refresh_tokens
                .get(&app.client_id)
                .map_or(first, String::as_str);
            !token.is_empty() && valid == token
        });
        match app.map(|app| app.client_id.clone()) {
            Some(client_id) => {
                self.counters
                    .refresh_tokens
                    .insert(client_id, String::new());
                self.touch_counters();
                Answer::new(200)
            }
            None => {
                let told = json!({ "error": "unsupported_token_type", "error_description": "this token type is not supported" });
                Answer::json(400, told.to_string())
            }
        }
    }

    fn introspect(&self, call: &Call) -> Answer {
        let form = call.form();
        let token = form
            .iter()
            .find(|(name, _)| name == "token")
            .map(|(_, token)| token.as_str());
        let session = token
            .and_then(|token| self.sessions.get(token))
            .filter(|session| !session.dead);
        let told = match session {
            None => json!({ "active": false }),
            Some(session) => {
                let ends = session.last_used
                    + chrono::TimeDelta::from_std(self.settings.org.session).unwrap_or_default();
                json!({
                    "active": ends > call.now, "scope": "api refresh_token", "client_id": session.client_id,
                    "username": self.settings.org.user, "sub": format!("{}/id/{}/{}", origin(call), self.settings.org.id, session.user),
                    "token_type": "access_token", "exp": ends.timestamp(), "iat": session.last_used.timestamp(),
                    "nbf": session.last_used.timestamp(),
                })
            }
        };
        Answer::json(200, told.to_string())
    }

    /// The user whose token a call carries, and the token.
    /// Errors: it carries none, or one that is dead.
    pub(super) fn caller(&self, call: &Call) -> Result<(String, String), ApiError> {
        let header = call.header("authorization");
        let token = header.and_then(|header| {
            let (scheme, token) = header.split_once(' ')?;
            let is_known =
                scheme.eq_ignore_ascii_case("Bearer") || scheme.eq_ignore_ascii_case("OAuth");
            (is_known && !token.trim().is_empty()).then(|| token.trim())
        });
        let Some(token) = token else {
            let message = if header.is_some() {
                "INVALID_HEADER_TYPE"
            } else {
                "INVALID_AUTH_HEADER"
            };
            return Err(ApiError::new(401, "INVALID_AUTH_HEADER", message));
        };
        let session = self.sessions.get(token).filter(|session| {
            let idle = (call.now - session.last_used).to_std().unwrap_or_default();
            !session.dead && idle < self.settings.org.session
        });
        match session {
            Some(session) => Ok((session.user.clone(), token.to_owned())),
            None => Err(expired()),
        }
    }

    /// Notes that a token was used; one that was used often enough dies.
    pub(super) fn used(&mut self, token: &str, call: &Call) {
        if let Some(session) = self.sessions.get_mut(token) {
            session.last_used = call.now;
            session.calls += 1;
            session.dead = call
                .hindrance
                .token_calls
                .is_some_and(|calls| session.calls >= calls);
            self.touch_session(token);
        }
    }

    /// Ends tokens: that of a call, or all.
    pub(super) fn expire(&mut self, token: Option<&str>) {
        let tokens: Vec<String> = self.sessions.keys().cloned().collect();
        for known in tokens {
            if token.is_none_or(|token| token == known) {
                if let Some(session) = self.sessions.get_mut(&known) {
                    session.dead = true;
                }
                self.touch_session(&known);
            }
        }
    }

    /// Who a user is, as the identity URL tells it.
    pub(super) fn identity(&self, call: &Call, user: &str) -> Value {
        let origin = origin(call);
        let org = &self.settings.org.id;
        let words = |name: &str| {
            let record = self.live(user);
            let of = self.place_of(user).zip(record);
            of.map_or_else(String::new, |(place, record)| {
                super::write::words_of(self, place, record, name)
            })
        };
        let id = format!("{origin}/id/{org}/{user}");
        let data = format!("{origin}/services/data/v{{version}}/");
        json!({
            "id": id, "sub": id, "asserted_user": true, "user_id": user, "organization_id": org,
            "username": words("Username"), "preferred_username": words("Username"), "nick_name": words("Alias"),
            "display_name": words("Name"), "name": words("Name"), "given_name": words("FirstName"),
            "family_name": words("LastName"), "email": words("Email"), "email_verified": true,
            "first_name": words("FirstName"), "last_name": words("LastName"),
            "timezone": "America/Los_Angeles", "zoneinfo": "America/Los_Angeles",
            "active": words("IsActive") == "true", "is_app_installed": true, "user_type": "STANDARD",
            "language": "en_US", "locale": "en_US", "utcOffset": -28_800_000,
            "last_modified_date": words("LastModifiedDate"),
            "urls": {
                "rest": data.clone(),
                "sobjects": format!("{data}sobjects/"),
                "query": format!("{data}query/"),
                "search": format!("{data}search/"),
                "custom_domain": origin,
            },
        })
    }
}

/// What a call with a dead token is told.
pub(super) fn expired() -> ApiError {
    ApiError::new(401, "INVALID_SESSION_ID", "Session expired or invalid")
}

/// The app's name and secret, from the form or from the header.
fn credentials<'a>(
    call: &Call,
    value: &impl Fn(&str) -> Option<&'a str>,
) -> (Option<String>, Option<String>) {
    let basic = call.header("authorization").and_then(|header| {
        let encoded = header.strip_prefix("Basic ")?;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(encoded.trim())
            .ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (id, secret) = text.split_once(':')?;
        Some((id.to_owned(), secret.to_owned()))
    });
    let (id, secret) = basic.unzip();
    (
        value("client_id").map(str::to_owned).or(id),
        value("client_secret").map(str::to_owned).or(secret),
    )
}

fn is_shared_host(call: &Call) -> bool {
    let host = call.header("host").unwrap_or_default();
    SHARED_HOSTS.iter().any(|shared| host.starts_with(shared))
}

/// Where the org is: the host that was asked, or its own behind the shared ones.
pub(super) fn origin(call: &Call) -> String {
    let scheme = call.header("x-forwarded-proto").unwrap_or("http");
    let host = call.header("host").unwrap_or("127.0.0.1");
    let own = SHARED_HOSTS
        .iter()
        .find_map(|shared| host.strip_prefix(shared));
    format!("{scheme}://{}", own.unwrap_or(host))
}
