//! JSON web tokens by which a program proves who it is: signed with a private key, of which the host
//! holds the other half.
//! Source: RFC 7515.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RsaEncoding, RsaKeyPair};
use serde_json::Value;
use sha2::{Digest, Sha256};
use ureq::tls::{Certificate, PrivateKey};

use crate::domain::connection::Secret;
use crate::http::LoginError;

/// A token of these claims, signed with a private key in PEM.
/// Errors: the key cannot be used.
pub(super) fn signed(
    head: &Value,
    claims: &Value,
    private_key: &Secret,
    encoding: &'static dyn RsaEncoding,
) -> Result<String, LoginError> {
    let unusable = |why: &str| LoginError::Refused {
        what: format!("`private_key` cannot be used: {why}"),
        hint: "give an RSA key in PEM, as `openssl genrsa 2048` makes one".to_owned(),
    };
    let key = PrivateKey::from_pem(private_key.reveal().as_bytes())
        .map_err(|_| unusable("it is no private key in PEM"))?;
    let pair = RsaKeyPair::from_pkcs8(key.der()).or_else(|_| RsaKeyPair::from_der(key.der()));
    let pair = pair.map_err(|error| unusable(&error.to_string()))?;
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encoded(head), encoded(claims));
    let mut signature = vec![0; pair.public().modulus_len()];
    let random = SystemRandom::new();
    pair.sign(encoding, &random, signed.as_bytes(), &mut signature)
        .map_err(|_| unusable("it does not sign"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// What a certificate in PEM is known by: its SHA-256, as tokens write it.
/// Errors: it is none.
pub(super) fn thumbprint(certificate: &str) -> Result<String, LoginError> {
    let read = Certificate::from_pem(certificate.as_bytes());
    let certificate = read.map_err(|_| LoginError::Refused {
        what: "`certificate` cannot be used: it is no certificate in PEM".to_owned(),
        hint: "give the one that the app holds, as `openssl req -x509` makes one".to_owned(),
    })?;
    Ok(URL_SAFE_NO_PAD.encode(Sha256::digest(certificate.der())))
}
