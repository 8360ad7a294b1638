//! Public keys that signed log-ins are checked with, out of files in PEM.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// A certificate, as far as it is made use of.
#[derive(Debug, Clone)]
pub(super) struct Certified {
    /// Its key: RSA, as PKCS #1 has it.
    pub(super) key: Vec<u8>,
    /// Its SHA-256, as tokens write it.
    pub(super) thumbprint: String,
}

/// The RSA key of a PEM file (`PUBLIC KEY`), as PKCS #1 has it.
pub(super) fn public_key(file: &Path) -> Result<Vec<u8>, String> {
    let path = file.display();
    let der = der_of(file)?;
    let key = within_sequence(&der).and_then(rsa_key);
    key.ok_or_else(|| format!("`{path}` is no public key: `openssl rsa -in KEY -pubout` makes one"))
}

/// The certificate of a PEM file (`CERTIFICATE`).
pub(super) fn certificate(file: &Path) -> Result<Certified, String> {
    let path = file.display();
    let der = der_of(file)?;
    let key = certified_key(&der).ok_or_else(|| {
        format!("`{path}` is no certificate of an RSA key: `openssl req -x509` makes one")
    })?;
    Ok(Certified {
        key,
        thumbprint: URL_SAFE_NO_PAD.encode(Sha256::digest(&der)),
    })
}

fn der_of(file: &Path) -> Result<Vec<u8>, String> {
    let path = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("`{path}`: {error}"))?;
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    STANDARD
        .decode(lines.map(str::trim).collect::<String>())
        .map_err(|error| format!("`{path}`: {error}"))
}

/// What the bit string of a SubjectPublicKeyInfo holds: RFC 5280, section 4.1.
fn rsa_key(info: &[u8]) -> Option<Vec<u8>> {
    let (_, algorithm, rest) = element(info)?;
    let (tag, bits, _) = element(rest)?;
    let is_rsa = !algorithm.is_empty() && tag == 3;
    is_rsa.then(|| bits.get(1..).map(<[u8]>::to_vec)).flatten()
}

/// Behind its version a certificate holds serial number, algorithm, issuer, validity, subject, and
/// then the key: RFC 5280, section 4.1.
fn certified_key(der: &[u8]) -> Option<Vec<u8>> {
    let told = within_sequence(within_sequence(der)?)?;
    let (tag, _, behind) = element(told)?;
    let mut rest = if tag == 0xa0 { behind } else { told };
    for _ in 0..5 {
        (_, _, rest) = element(rest)?;
    }
    rsa_key(within_sequence(rest)?)
}

fn within_sequence(der: &[u8]) -> Option<&[u8]> {
    let (tag, content, _) = element(der)?;
    (tag == 0x30).then_some(content)
}

/// The first element of DER: its tag, what it holds, and what comes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0x80..=0xff => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits.iter().fold(0_usize, |length, digit| {
                length
                    .saturating_mul(256)
                    .saturating_add(usize::from(*digit))
            });
            (length, rest)
        }
        short => (usize::from(*short), rest),
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}
