//! Who may come in: the token endpoint of the tenant, and tokens of calls. Source:
//! <https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow>.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::environment::{Environment, GrantedToken};
use super::errors::ODataError;
use crate::domain::printable::hexadecimal;
use crate::practice::call::{Answer, Call};
use crate::practice::keys::Certified;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Why no token is granted.
struct Denied {
    status: u16,
    error: &'static str,
    number: u32,
    words: String,
}

impl Environment {
    /// `/TENANT/oauth2/v2.0/token`.
    pub(super) fn token(&mut self, call: &Call, tenant: &str) -> Answer {
        match self.grant(call, tenant) {
            Ok(granted) => Answer::json(200, granted.to_string()),
            Err(Denied {
                status,
                error,
                number,
                words,
            }) => {
                let told = json!({
                    "error": error, "error_description": format!("AADSTS{number}: {words}"),
                    "error_codes": [number], "timestamp": call.now.format("%Y-%m-%d %H:%M:%SZ").to_string(),
                });
                Answer::json(status, told.to_string())
            }
        }
        .with("Cache-Control", "no-store, no-cache")
    }

    fn grant(&mut self, call: &Call, tenant: &str) -> Result<Value, Denied> {
        let denied = |status, error, number, words: &str| Denied {
            status,
            error,
            number,
            words: words.to_owned(),
        };
        let form = call.form();
        let value = |name: &str| {
            let found = form.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        if tenant != self.settings.environment.tenant {
            let words = format!("Tenant '{tenant}' not found.");
            return Err(denied(400, "invalid_request", 90_002, &words));
        }
        if value("grant_type") != "client_credentials" {
            let words = "The app requested an unsupported grant type.";
            return Err(denied(400, "unsupported_grant_type", 70_003, words));
        }
        let host = call.header("host").unwrap_or_default();
        let scope = value("scope");
        let resource = scope.strip_suffix("/.default").unwrap_or_default();
        let named = resource.split_once("://").map(|(_, host)| host);
        if named.map(|named| named.trim_end_matches('/')) != Some(host) {
            let words = format!("The provided value for scope {scope} is not valid.");
            return Err(denied(401, "invalid_scope", 70_011, &words));
        }
        let Some(app) = self.settings.app(value("client_id")) else {
            let words = "Application was not found in the directory.";
            return Err(denied(400, "unauthorized_client", 700_016, words));
        };
        let asserted = value("client_assertion");
        if !asserted.is_empty() {
            let is_asserted = value("client_assertion_type") == ASSERTION_TYPE;
            let audience = format!("http://{host}/{tenant}/oauth2/v2.0/token");
            let is_known = app.certified.as_ref().filter(|_| is_asserted);
            let refused = match is_known {
                Some(known) => vouched(known, asserted, &app.client_id, &audience, call).err(),
                None => Some(
                    "The certificate used to sign the client assertion is not registered on application.",
                ),
            };
            if let Some(words) = refused {
                return Err(denied(401, "invalid_client", 700_027, words));
            }
        } else if app.client_secret.as_deref() != Some(value("client_secret")) {
            let words = "Invalid client secret provided.";
            return Err(denied(401, "invalid_client", 7_000_215, words));
        }
        let client_id = app.client_id.clone();
        let seconds = self.settings.environment.token_seconds;
        self.tallies.made += 1;
        self.touch_tallies();
        let seed = format!("{client_id} {} {}", self.tallies.made, call.now);
        let token = format!("eyJ.{}", hexadecimal(&Sha256::digest(seed.as_bytes())));
        let lifetime = i64::try_from(seconds).unwrap_or(i64::MAX);
        let granted = GrantedToken {
            client_id,
            until: call.now + TimeDelta::seconds(lifetime),
            calls: 0,
            dead: false,
        };
        self.tokens.insert(token.clone(), granted);
        self.touch_token(&token);
        Ok(json!({
            "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token,
        }))
    }

    /// Counts the call to its token. Errors: it has none that is good, or nobody here is behind it.
    pub(super) fn admitted(&mut self, call: &Call) -> Result<(), Answer> {
        let bearer = call.header("authorization").unwrap_or_default();
        let token = bearer
            .strip_prefix("Bearer ")
            .unwrap_or_default()
            .to_owned();
        let Some(granted) = self.tokens.get_mut(&token) else {
            return Err(unauthorized());
        };
        let worn_out = call.hindrance.token_calls;
        if granted.dead
            || granted.until <= call.now
            || worn_out.is_some_and(|max| granted.calls >= max)
        {
            return Err(unauthorized());
        }
        granted.calls += 1;
        let client_id = granted.client_id.clone();
        self.touch_token(&token);
        let is_member = self.settings.app(&client_id).is_some_and(|app| app.member);
        match is_member {
            true => Ok(()),
            false => Err(ODataError::new(
                403,
                "0x80072560",
                "The user is not a member of the organization.",
            )
            .answer()),
        }
    }

    /// Ends the token of a call, or all of them.
    pub(super) fn expire(&mut self, call: Option<&Call>) {
        let bearer = call.map(|call| call.header("authorization").unwrap_or_default());
        let wanted = bearer.map(|bearer| {
            bearer
                .strip_prefix("Bearer ")
                .unwrap_or_default()
                .to_owned()
        });
        let names: Vec<String> = self.tokens.keys().cloned().collect();
        for name in names {
            if wanted.as_ref().is_none_or(|wanted| *wanted == name)
                && let Some(token) = self.tokens.get_mut(&name)
            {
                token.dead = true;
                self.touch_token(&name);
            }
        }
    }
}

/// Errors: an assertion is not signed with the key of this certificate, or is not about this app, here
/// and now. Source: <https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials>.
fn vouched(
    certified: &Certified,
    assertion: &str,
    client_id: &str,
    audience: &str,
    call: &Call,
) -> Result<(), &'static str> {
    let invalid = "Client assertion is not within its valid form.";
    let parts: Vec<&str> = assertion.split('.').collect();
    let [head, claims, signature] = parts.as_slice() else {
        return Err(invalid);
    };
    let read = |part: &str| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    let (head_told, told) = read(head).zip(read(claims)).ok_or(invalid)?;
    let text = |of: &Value, name: &str| {
        let text = of.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    if text(&head_told, "x5t#S256") != certified.thumbprint {
        return Err(
            "The certificate with identifier used to sign the client assertion is not registered on application.",
        );
    }
    let algorithm: &dyn VerificationAlgorithm = match text(&head_told, "alg").as_str() {
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        _ => return Err("Client assertion is signed with an algorithm that is not supported."),
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| invalid)?;
    let signed = format!("{head}.{claims}");
    UnparsedPublicKey::new(algorithm, &certified.key)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| "Client assertion contains an invalid signature.")?;
    let now = call.now.timestamp();
    let instant = |name: &str| told.get(name).and_then(Value::as_i64).unwrap_or_default();
    if !(instant("nbf") <= now && now < instant("exp")) {
        return Err("Client assertion is not within its valid time range.");
    }
    if text(&told, "aud") != audience {
        return Err("Client assertion audience claim does not match Realm issuer.");
    }
    match text(&told, "iss") == client_id && text(&told, "sub") == client_id {
        true => Ok(()),
        false => Err("Client assertion is about another application."),
    }
}

/// What a call without a good token is told: often there is no body.
pub(super) fn unauthorized() -> Answer {
    Answer::new(401).with(
        "WWW-Authenticate",
        "Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize",
    )
}
