//! What is wrong with the certificate that a server shows, in words: the TLS library tells it in
//! names of its own.

/// What the library's words mean and what can be done; `None` where they are plain.
pub(crate) fn explained(words: &str) -> Option<(&'static str, &'static str)> {
    let known = [
        (
            "CaUsedAsEndEntity",
            "it shows the certificate of an authority, which vouches for others and proves no server itself",
            "give the server a certificate of its own, signed by that authority, or by itself with \
             `basicConstraints = critical, CA:FALSE` and its host in `subjectAltName`; `ca_file` names who signed it",
        ),
        (
            UNKNOWN_ISSUER,
            "nobody whom this machine trusts has signed its certificate",
            "let `ca_file` name the certificate of the authority that signed it",
        ),
        (
            "UnsupportedCertVersion",
            "its certificate is of version 1, which names no host",
            "give the server a certificate of version 3, with its host in `subjectAltName`",
        ),
    ];
    known
        .into_iter()
        .find(|(word, _, _)| words.contains(word))
        .map(|(_, what, hint)| (what, hint))
}

/// What to do about the certificate of a database server, `usual` where its authority is all that
/// is missing.
pub(crate) fn hint(words: &str, usual: String) -> String {
    let told = explained(words).filter(|_| !words.contains(UNKNOWN_ISSUER));
    told.map_or(usual, |(what, hint)| format!("{what}; {hint}"))
}

const UNKNOWN_ISSUER: &str = "UnknownIssuer";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_library_are_explained_and_its_sentences_are_left() {
        let (what, hint) =
            explained("rustls: invalid peer certificate: CaUsedAsEndEntity").expect("a known name");
        assert!(what.contains("authority") && hint.contains("CA:FALSE"));
        assert!(explained("invalid peer certificate: UnknownIssuer").is_some());
        assert_eq!(
            explained("invalid peer certificate: certificate expired"),
            None
        );
    }
}
