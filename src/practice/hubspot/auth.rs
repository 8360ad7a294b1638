//! Who is behind a call: a service key, or an app with a token that dies.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::errors::ApiError;
use super::portal::{Portal, Token};
use crate::practice::call::{Answer, Call};
use crate::practice::faults::drawn;

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    ServiceKey,
    App,
}

impl Portal {
    /// Errors: nobody is, or somebody whose token is dead.
    pub(super) fn caller(&mut self, call: &Call) -> Result<Caller, ApiError> {
        let header = call.header("authorization").unwrap_or_default();
        let Some(token) = header.strip_prefix("Bearer ").map(str::trim) else {
            return Err(ApiError::unauthorized(
                "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
            ));
        };
        if token == self.settings.portal.token {
            return match self.counters.revoked {
                false => Ok(Caller::ServiceKey),
                true => Err(ApiError::unauthorized(
                    "The access token is expired or revoked.",
                )),
            };
        }
        let known = self.tokens.get_mut(token);
        let Some(known) = known.filter(|known| known.dies > call.now) else {
            return Err(ApiError::new(
                401,
                "EXPIRED_AUTHENTICATION",
                "The OAuth token used to make this call expired. Get a new one with the refresh token.",
            ));
        };
        known.calls += 1;
        if let Some(calls) = call.hindrance.token_calls
            && known.calls >= calls
        {
            known.dies = call.now;
        }
        self.touch_token(token);
        Ok(Caller::App)
    }

    /// Errors: the service key was not given the right.
    pub(super) fn expect_scope(&self, caller: Caller, scope: &str) -> Result<(), ApiError> {
        let scopes = &self.settings.portal.scopes;
        let is_given = scopes.is_empty() || scopes.iter().any(|given| given == scope);
        match is_given || caller == Caller::App {
            true => Ok(()),
            false => Err(ApiError::missing_scope(scope)),
        }
    }

    /// `POST /oauth/…/token`.
    pub(super) fn grant(&mut self, call: &Call) -> Answer {
        let form = call.form();
        let part = |name: &str| {
            let found = form.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        let refused = |status: &str, error: &str, why: &str| {
            let body = json!({
                "error": error, "error_description": why, "status": status, "message": why,
            });
            Answer::json(400, body.to_string())
        };
        if part("grant_type") != "refresh_token" {
            let why = "missing or unknown grant type";
            return refused("BAD_GRANT_TYPE", "unsupported_grant_type", why);
        }
        let app = self
            .settings
            .apps
            .iter()
            .find(|app| app.client_id == part("client_id"));
        let Some(app) = app
            .filter(|app| app.client_secret == part("client_secret"))
            .cloned()
        else {
            return refused(
                "BAD_CLIENT_ID",
                "invalid_client",
                "missing or unknown client id",
            );
        };
        let current = self.counters.refresh_tokens.get(&app.client_id);
        let current = current.unwrap_or(&app.refresh_token).clone();
        if current.is_empty() || part("refresh_token") != current {
            let why = "missing or invalid refresh token";
            return refused("BAD_REFRESH_TOKEN", "invalid_grant", why);
        }
        let number = self.next_id();
        let access = format!("practice-access-{number}-{:06}", drawn(number, "access", 1));
        let lifetime = TimeDelta::from_std(app.lifetime).unwrap_or_default();
        let token = Token {
            client_id: app.client_id.clone(),
            dies: call.now + lifetime,
            calls: 0,
        };
        self.tokens.insert(access.clone(), token);
        self.touch_token(&access);
        let next = match app.rotate {
            true => format!(
                "practice-refresh-{number}-{:06}",
                drawn(number, "refresh", 1)
            ),
            false => current,
        };
        self.counters
            .refresh_tokens
            .insert(app.client_id, next.clone());
        self.touch_counters();
        let body = json!({
            "token_type": "bearer", "access_token": access, "refresh_token": next,
            "expires_in": lifetime.num_seconds(), "hub_id": self.settings.portal.id,
        });
        Answer::json(200, body.to_string())
    }

    /// Ends all tokens of apps now.
    pub(super) fn expire(&mut self, now: DateTime<Utc>) {
        let tokens: Vec<String> = self.tokens.keys().cloned().collect();
        for token in tokens {
            if let Some(known) = self.tokens.get_mut(&token) {
                known.dies = known.dies.min(now);
            }
            self.touch_token(&token);
        }
    }
}
