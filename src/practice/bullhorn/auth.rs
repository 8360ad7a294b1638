//! Who may come in: `loginInfo`, OAuth, and the session that follows. A code works once, and so does a
//! refresh token. Sources: bullhorn.github.io/docs/oauth, "Getting Started"; sdk-rest.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::corporation::{ACCESS_SECONDS, Corporation};
use super::errors::BullhornError;
use crate::practice::call::{Answer, Call};

/// A session is kept for as many minutes at the most. Source: sdk-rest.
const SESSION_MINUTES_MAX: i64 = 2_880;
const SESSION_MINUTES_USUAL: i64 = 60;

const REFUSED_PAGE: &str = "<!DOCTYPE html><html><head><title>Bullhorn Login</title></head>\
    <body><p class=\"error\">Invalid credentials</p></body></html>\n";
const TERMS_PAGE: &str = "<!DOCTYPE html><html><head><title>Terms of Service</title></head>\
    <body><form method=\"post\"><input type=\"submit\" value=\"Agree\"></form></body></html>\n";

impl Corporation {
    /// `rest-services/loginInfo`.
    pub(super) fn login_info(&self, call: &Call) -> Answer {
        let origin = origin(call);
        let told = json!({
            "oauthUrl": format!("{origin}/oauth"),
            "restUrl": format!("{origin}/rest-services"),
            "atsUrl": origin,
            "coreUrl": origin,
            "novoUrl": origin,
        });
        Answer::json(200, told.to_string())
    }

    /// `oauth/authorize`.
    pub(super) fn authorize(&mut self, call: &Call) -> Answer {
        let value = |name: &str| given(call, name).unwrap_or_default();
        let user = &self.settings.api_user;
        let is_known = value("client_id") == user.client_id
            && value("response_type") == "code"
            && value("action") == "Login"
            && value("username") == user.username
            && value("password") == user.password;
        let page = |page: &str| Answer::text(200, "text/html;charset=UTF-8", page);
        if !is_known {
            return page(REFUSED_PAGE);
        }
        if !user.has_accepted_terms {
            return page(TERMS_PAGE);
        }
        // As a real one, with a sign that a URL escapes.
        let code = format!("31:{}", self.secret("code", call.now));
        self.counters.codes.insert(code.clone());
        self.touch_counters();
        let place = value("redirect_uri");
        let place = match place.is_empty() {
            true => "https://app.practice.example/",
            false => &place,
        };
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("code", &code)
            .append_pair("client_id", &value("client_id"))
            .append_pair("state", &value("state"))
            .finish();
        Answer::new(302).with("Location", format!("{place}?{query}"))
    }

    /// `oauth/token`.
    pub(super) fn token(&mut self, call: &Call) -> Answer {
        let value = |name: &str| given(call, name).unwrap_or_default();
        let denied = |error: &str, description: &str| {
            let told = json!({ "error": error, "error_description": description });
            Answer::json(400, told.to_string())
        };
        let user = &self.settings.api_user;
        if value("client_id") != user.client_id || value("client_secret") != user.client_secret {
            return denied("invalid_client", "Bad client credentials");
        }
        let is_good = match value("grant_type").as_str() {
            "authorization_code" => self.counters.codes.remove(&value("code")),
            "refresh_token" => {
                let known = self.counters.refresh_token.take();
                let is_good = known.is_some() && known == Some(value("refresh_token"));
                if !is_good {
                    self.counters.refresh_token = known;
                }
                is_good
            }
            _ => return denied("unsupported_grant_type", "Unsupported grant type"),
        };
        if !is_good {
            return denied("invalid_grant", "Invalid, expired, or revoked grant");
        }
        let access_token = self.secret("access", call.now);
        let until = call.now + TimeDelta::seconds(ACCESS_SECONDS);
        self.counters
            .access_tokens
            .retain(|_, until| *until > call.now);
        self.counters
            .access_tokens
            .insert(access_token.clone(), until);
        let mut told = json!({
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": ACCESS_SECONDS,
        });
        if self.settings.api_user.has_refresh_tokens {
            let refresh_token = self.secret("refresh", call.now);
            self.counters.refresh_token = Some(refresh_token.clone());
            if let Some(told) = told.as_object_mut() {
                told.insert("refresh_token".to_owned(), refresh_token.into());
            }
        }
        self.touch_counters();
        Answer::json(200, told.to_string())
    }

    /// `rest-services/login`.
    pub(super) fn login(&mut self, call: &Call) -> Answer {
        let token = given(call, "access_token").unwrap_or_default();
        let until = self.counters.access_tokens.get(&token);
        if until.is_none_or(|until| *until <= call.now) {
            let message = "Invalid or expired OAuth access token.";
            return BullhornError::bad("errors.internalError", message).answer();
        }
        if self.living_sessions(call.now) >= self.settings.corporation.sessions_max {
            let message = "The maximum number of sessions is reached";
            return BullhornError::new(403, "errors.sessions", message).answer();
        }
        let minutes = given(call, "ttl").and_then(|ttl| ttl.parse().ok());
        let minutes = minutes.unwrap_or(SESSION_MINUTES_USUAL);
        let session = self.secret("session", call.now);
        self.open_session(&session, minutes.clamp(1, SESSION_MINUTES_MAX), call.now);
        let corporation = &self.settings.corporation.token;
        let told = json!({
            "BhRestToken": session,
            "restUrl": format!("{}/rest-services/{corporation}/", origin(call)),
        });
        Answer::json(200, told.to_string())
    }

    /// A text that nobody guesses who has not seen the state.
    fn secret(&mut self, what: &str, now: DateTime<Utc>) -> String {
        self.counters.made += 1;
        self.touch_counters();
        let seed = format!("{what} {} {now:?}", self.counters.made);
        URL_SAFE_NO_PAD.encode(Sha256::digest(seed))
    }
}

/// A value of the query or of a form.
fn given(call: &Call, name: &str) -> Option<String> {
    let of_form = || {
        let form = call.form();
        form.into_iter()
            .find_map(|(known, value)| (known == name).then_some(value))
    };
    call.parameter(name).map(str::to_owned).or_else(of_form)
}

pub(super) fn origin(call: &Call) -> String {
    let host = call.header("host").unwrap_or("127.0.0.1");
    format!("http://{host}")
}
