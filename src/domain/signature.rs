//! The signature that goes along with a body over HTTP: alerts carry one, and requests may.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::printable::hexadecimal;

/// `v1=` and the hexadecimal HMAC-SHA256 of `TIMESTAMP.BODY`.
pub(crate) fn signature(secret: &[u8], timestamp: &str, body: &[u8]) -> String {
    let bytes = keyed(secret, timestamp, body).finalize().into_bytes();
    format!("v1={}", hexadecimal(&bytes))
}

/// Whether a signature is of this body and timestamp. Takes as long for a wrong one as for a right
/// one.
pub(crate) fn is_signed(secret: &[u8], timestamp: &str, body: &[u8], told: &str) -> bool {
    let bytes = told.strip_prefix("v1=").and_then(bytes_of);
    bytes.is_some_and(|bytes| keyed(secret, timestamp, body).verify_slice(&bytes).is_ok())
}

fn keyed(secret: &[u8], timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    for part in [timestamp.as_bytes(), b".", body] {
        hmac.update(part);
    }
    hmac
}

/// The bytes that hexadecimal digits tell; `None` if they are none.
fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<char> = digits.chars().collect();
    let byte = |pair: &[char]| {
        let value = |digit: &char| digit.to_digit(16);
        let [high, low] = pair else { return None };
        u8::try_from(value(high)? * 16 + value(low)?).ok()
    };
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by `printf '1790000000.{"id":"a"}' | openssl dgst -sha256 -hmac canary`.
    const KNOWN: &str = "v1=5c33917d9db09a1e55f63a5d23c96fb0cb300dad78826af835e9269a0e969a3f";

    #[test]
    fn a_signature_is_what_other_programs_compute() {
        let body = br#"{"id":"a"}"#;
        assert_eq!(signature(b"canary", "1790000000", body), KNOWN);
        assert!(is_signed(b"canary", "1790000000", body, KNOWN));
    }

    #[test]
    fn another_body_time_secret_or_text_is_not_signed() {
        let body = br#"{"id":"a"}"#;
        assert!(!is_signed(b"canary", "1790000001", body, KNOWN));
        assert!(!is_signed(b"canarz", "1790000000", body, KNOWN));
        assert!(!is_signed(b"canary", "1790000000", b"{}", KNOWN));
        for told in ["", "v1=", "v1=5", "v1=zz", KNOWN.trim_start_matches("v1=")] {
            assert!(!is_signed(b"canary", "1790000000", body, told), "{told}");
        }
    }
}
