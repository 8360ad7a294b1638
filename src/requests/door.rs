//! Who asks: a caller proves itself by its token, or signs what it sends.

use axum::http::{HeaderMap, Method, StatusCode, Uri};
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};

use super::answer::Refused;
use crate::domain::caller::{Caller, HttpSettings, NotAllowed, Proof};
use crate::domain::signature::is_signed;

/// How far the time of a signature may be from this machine's: clocks differ, and what was overheard
/// is soon of no use.
const SIGNATURE_AGE_MAX: TimeDelta = TimeDelta::minutes(5);

/// Where a signature stands, and its time.
pub(super) const SIGNATURE_HEADER: &str = "X-Writeback-Signature";
pub(super) const TIMESTAMP_HEADER: &str = "X-Writeback-Timestamp";

/// What is signed of a request: `METHOD ADDRESS`, a line end, and the body.
pub(super) fn signed_bytes(method: &Method, uri: &Uri, body: &[u8]) -> Vec<u8> {
    let address = uri.path_and_query().map_or("/", |address| address.as_str());
    let mut bytes = format!("{method} {address}\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The caller that a request comes from. Errors: 401, whatever the reason.
pub(super) fn caller<'a>(
    settings: &'a HttpSettings,
    headers: &HeaderMap,
    signed: &[u8],
    now: DateTime<Utc>,
) -> Result<&'a Caller, Refused> {
    let told = Told::of(headers, now);
    let proves = |caller: &&Caller| match &caller.proof {
        Proof::Token(secret) => told.is_token(secret.reveal()),
        Proof::Signature(secret) => told.signature.is_some_and(|(timestamp, signature)| {
            is_signed(secret.reveal().as_bytes(), timestamp, signed, signature)
        }),
    };
    settings.callers.values().find(proves).ok_or_else(unknown)
}

/// Whether a request may be a caller's as far as its head tells: a body is read of nobody else's.
/// Errors: 401, as [`caller`].
pub(super) fn expect_possible(
    settings: &HttpSettings,
    headers: &HeaderMap,
    now: DateTime<Utc>,
) -> Result<(), Refused> {
    let told = Told::of(headers, now);
    let may_prove = |caller: &Caller| match &caller.proof {
        Proof::Token(secret) => told.is_token(secret.reveal()),
        Proof::Signature(_) => told.signature.is_some(),
    };
    let is_possible = settings.callers.values().any(may_prove);
    is_possible.then_some(()).ok_or_else(unknown)
}

fn unknown() -> Refused {
    let hint = "send `Authorization: Bearer …` with the token of a caller of `[http]`, or sign the request";
    Refused::new(StatusCode::UNAUTHORIZED, "nobody knows who asks").hint(hint)
}

/// What a request's head tells of who asks.
struct Told<'a> {
    token: Option<&'a str>,
    /// Of now: its time, and the signature.
    signature: Option<(&'a str, &'a str)>,
}

impl<'a> Told<'a> {
    fn of(headers: &'a HeaderMap, now: DateTime<Utc>) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let timestamp = text(TIMESTAMP_HEADER).filter(|timestamp| is_fresh(timestamp, now));
        Self {
            token: text("authorization").and_then(bearer),
            signature: timestamp.zip(text(SIGNATURE_HEADER)),
        }
    }

    fn is_token(&self, known: &str) -> bool {
        self.token.is_some_and(|token| is_same(token, known))
    }
}

/// The token behind the name of its scheme, which is spelt in any case (RFC 9110).
fn bearer(credentials: &str) -> Option<&str> {
    let (scheme, token) = credentials.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim_start_matches(' '))
}

/// Digests are compared: how far they agree tells nothing of the tokens.
fn is_same(told: &str, known: &str) -> bool {
    Sha256::digest(told) == Sha256::digest(known)
}

fn is_fresh(timestamp: &str, now: DateTime<Utc>) -> bool {
    let told = timestamp.parse().ok();
    let told = told.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    told.is_some_and(|told| (now - told).abs() <= SIGNATURE_AGE_MAX)
}

/// What a caller may not do, as it is told.
pub(super) fn forbidden(not_allowed: NotAllowed, caller: &Caller) -> Refused {
    let name = &caller.name;
    let refused = |title: String| Refused::new(StatusCode::FORBIDDEN, title);
    match not_allowed {
        NotAllowed::WriteBack => refused(format!("caller `{name}` may not use this write-back"))
            .hint(format!(
                "name it in `write_backs` of `[http.callers.{name}]`"
            )),
        NotAllowed::Field(column) => refused(format!("caller `{name}` may not write `{column}`"))
            .hint(format!("name it in `fields` of `[http.callers.{name}]`"))
            .column(&column),
        NotAllowed::Origin(origin) => {
            let told = origin.map_or("without an `origin`".to_owned(), |_| {
                "from this `origin`".to_owned()
            });
            refused(format!("caller `{name}` may not write {told}")).hint(format!(
                "`origins` of `[http.callers.{name}]` lists those that may be"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::connection::Secret;
    use crate::domain::signature::signature;

    fn settings() -> HttpSettings {
        let caller = |name: &str, proof| Caller {
            name: name.to_owned(),
            proof,
            write_backs: Vec::new(),
            fields: None,
            origins: None,
        };
        let secret = |text: &str| Secret::new(text.to_owned());
        let callers = [
            caller("bearer", Proof::Token(secret("token of the bearer"))),
            caller("signer", Proof::Signature(secret("secret of the signer"))),
        ];
        HttpSettings {
            listen: ([127, 0, 0, 1], 0).into(),
            tls: None,
            callers: BTreeMap::from(callers.map(|caller| (caller.name.clone(), caller))),
        }
    }

    fn known(headers: &[(&'static str, &str)], body: &[u8]) -> Option<String> {
        let now = DateTime::from_timestamp(1_790_000_000, 0).expect("an instant");
        let map = headers.iter().map(|(name, value)| {
            let name = name.parse().expect("a name");
            (name, value.parse().expect("a value"))
        });
        let (settings, map) = (settings(), map.collect());
        let found = caller(&settings, &map, body, now);
        let found = found.ok().map(|one| one.name.clone());
        let is_possible = expect_possible(&settings, &map, now).is_ok();
        assert!(is_possible || found.is_none(), "{headers:?}");
        found
    }

    #[test]
    fn a_caller_is_known_by_its_token_or_its_fresh_signature_and_by_nothing_else() {
        for scheme in ["Bearer", "bearer", "BEARER", "Bearer "] {
            let told = format!("{scheme} token of the bearer");
            let right = known(&[("authorization", &told)], b"");
            assert_eq!(right.as_deref(), Some("bearer"), "{told}");
        }
        for wrong in [
            "Bearer token of the beare",
            "token of the bearer",
            "Bearer secret of the signer",
            "Basic token of the bearer",
        ] {
            assert_eq!(known(&[("authorization", wrong)], b""), None);
        }
        let signed = |timestamp: &str, body: &[u8]| {
            let told = signature(b"secret of the signer", timestamp, body);
            known(
                &[
                    ("x-writeback-timestamp", timestamp),
                    ("x-writeback-signature", &told),
                ],
                b"body",
            )
        };
        assert_eq!(signed("1790000000", b"body").as_deref(), Some("signer"));
        assert_eq!(signed("1790000299", b"body").as_deref(), Some("signer"));
        assert_eq!(signed("1790000000", b"another"), None);
        assert_eq!(signed("1790000301", b"body"), None);
        assert_eq!(signed("1789999699", b"body"), None);
        assert_eq!(signed("soon", b"body"), None);
    }
}
