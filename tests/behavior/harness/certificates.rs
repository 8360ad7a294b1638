//! Certificates for servers that speak TLS: a private authority, and one of its certificates for
//! `localhost`.

use std::path::Path;
use std::process::Command;

/// The authority's certificate, in the folder given to [`make`].
pub(crate) const CA_FILE: &str = "ca.pem";

/// Makes `ca.pem`, `server.pem` and `server.key` in a folder. The server's certificate names
/// `localhost` and nothing else: to `127.0.0.1` it proves nothing. Panics: with openssl's own
/// words, if it refuses.
pub(crate) fn make(folder: &Path) {
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").expect("a file");
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ];
    let authority = [
        "req",
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=Test Authority",
        "-keyout",
        "ca.key",
        "-out",
        CA_FILE,
    ];
    openssl(folder, &[&authority[..], &key].concat());
    let request = [
        "req",
        "-subj",
        "/CN=localhost",
        "-keyout",
        "server.key",
        "-out",
        "request.pem",
    ];
    openssl(folder, &[&request[..], &key].concat());
    let signing = [
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        "request.pem",
        "-extfile",
        "names",
        "-out",
        "server.pem",
    ];
    openssl(
        folder,
        &[
            &signing[..],
            &["-CA", CA_FILE, "-CAkey", "ca.key", "-CAcreateserial"],
        ]
        .concat(),
    );
}

pub(crate) fn openssl(folder: &Path, arguments: &[&str]) {
    let made = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output();
    let made = made.expect("`openssl` is installed");
    assert!(
        made.status.success(),
        "openssl {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&made.stderr)
    );
}
