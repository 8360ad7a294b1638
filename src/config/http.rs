//! `[http]` of the project file: where requests are answered, and who may make them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use super::document::{Table, Value, shown};
use super::names::named_tables;
use super::secret::{Given, Surroundings};
use crate::domain::caller::{Caller, HttpSettings, Proof, TlsFiles};
use crate::domain::connection::Secret;
use crate::domain::problem::Problem;

/// A project's `[http]`, as far as it can be used.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadHttp {
    /// Absent if the project answers no requests.
    pub(super) settings: Option<HttpSettings>,
    /// Secrets that are not where they should be: for whoever serves to know.
    pub(super) absent: Vec<Problem>,
}

/// Characters of a token or a secret at least: one that is shorter can be guessed.
const SECRET_CHARACTERS_MIN: usize = 16;

/// Reads `[http]`.
pub(super) fn read_http(root: &Table<'_>, surroundings: Surroundings<'_>) -> ReadHttp {
    let mut absent = Vec::new();
    let settings = root
        .get("http")
        .and_then(|value| value.table("`[http]`".to_owned()))
        .and_then(|table| settings(&table, surroundings, &mut absent));
    ReadHttp { settings, absent }
}

fn settings(
    table: &Table<'_>,
    surroundings: Surroundings<'_>,
    absent: &mut Vec<Problem>,
) -> Option<HttpSettings> {
    table.expect_keys(&["listen", "tls", "callers"]);
    let listen = table.require("listen", "write `listen = \"127.0.0.1:8700\"`");
    let address = listen.and_then(address);
    let tls = table.get("tls").map(|value| tls(value, surroundings.root));
    let mut callers = BTreeMap::new();
    for (name, table) in named_tables(table, "callers") {
        if let Some(caller) = caller(name, &table, surroundings, absent) {
            callers.insert(name.to_owned(), caller);
        }
    }
    if table.get("callers").is_none() {
        let hint = "add `[http.callers.NAME]` with `token = { env = \"NAME\" }` and `write_backs`";
        table.mistake(
            "`[http]` has no caller, so that nobody may ask for anything".to_owned(),
            Some(hint.to_owned()),
        );
    }
    let tls = match tls {
        None => None,
        Some(tls) => Some(tls?),
    };
    let (address, listen) = (address?, listen?);
    if !address.ip().is_loopback() && tls.is_none() {
        let message = format!("requests would come to {address} without TLS");
        let hint = "add `tls = { certificate = \"…\", key = \"…\" }`, or listen on 127.0.0.1 only, behind a proxy that speaks TLS";
        listen.mistake(message, Some(hint.to_owned()));
        return None;
    }
    Some(HttpSettings {
        listen: address,
        tls,
        callers,
    })
}

fn address(value: Value<'_>) -> Option<SocketAddr> {
    let text = value.text()?;
    let address = text.parse().ok();
    if address.is_none() {
        let hint = "write `listen = \"127.0.0.1:8700\"`".to_owned();
        let message = format!("{} is not an address with a port", shown(text));
        value.mistake(message, Some(hint));
    }
    address
}

fn tls(value: Value<'_>, root: &Path) -> Option<TlsFiles> {
    let table = value.table("`tls`".to_owned())?;
    table.expect_keys(&["certificate", "key"]);
    let hint = "write `tls = { certificate = \"tls/server.pem\", key = \"tls/server.key\" }`";
    let file = |key: &str| Some(root.join(table.require(key, hint)?.text()?));
    let (certificate, key) = (file("certificate"), file("key"));
    Some(TlsFiles {
        certificate: certificate?,
        key: key?,
    })
}

fn caller(
    name: &str,
    table: &Table<'_>,
    surroundings: Surroundings<'_>,
    absent: &mut Vec<Problem>,
) -> Option<Caller> {
    table.expect_keys(&["token", "secret", "write_backs", "fields", "origins"]);
    let proof = match (table.get("token"), table.get("secret")) {
        (Some(token), None) => secret(token, surroundings, absent).map(Proof::Token),
        (None, Some(signs)) => secret(signs, surroundings, absent).map(Proof::Signature),
        (Some(_), Some(second)) => {
            second.key_mistake("a caller has a `token` or a `secret`, not both", None);
            None
        }
        (None, None) => {
            let hint =
                "add `token = { env = \"NAME\" }`, or `secret = { env = \"NAME\" }` to sign with";
            table.mistake(
                format!("nothing tells caller `{name}` from others"),
                Some(hint.to_owned()),
            );
            None
        }
    };
    let hint = "write `write_backs = [\"JOB.WRITE_BACK\"]`";
    let write_backs = table.require("write_backs", hint).and_then(texts);
    for entry in table.get("write_backs").iter().flat_map(Value::one_or_list) {
        if entry.is_text() && !entry.text().is_some_and(|text| text.contains('.')) {
            let message = "it names no job and write-back".to_owned();
            entry.mistake(message, Some(hint.to_owned()));
        }
    }
    let optional = |key: &str| match table.get(key).map(texts) {
        None => Some(None),
        Some(texts) => Some(Some(texts?)),
    };
    let (fields, origins) = (optional("fields"), optional("origins"));
    Some(Caller {
        name: name.to_owned(),
        proof: proof?,
        write_backs: write_backs?,
        fields: fields?,
        origins: origins?,
    })
}

fn texts(value: Value<'_>) -> Option<Vec<String>> {
    let elements = value.list()?;
    elements
        .into_iter()
        .map(|element| element.text().map(str::to_owned))
        .collect()
}

fn secret(
    value: Value<'_>,
    surroundings: Surroundings<'_>,
    absent: &mut Vec<Problem>,
) -> Option<Secret> {
    match surroundings.given(value)? {
        Given::Elsewhere(text) if text.chars().count() < SECRET_CHARACTERS_MIN => {
            let message = format!(
                "`{}` is shorter than {SECRET_CHARACTERS_MIN} characters",
                value.key
            );
            let hint = "take a random one: `openssl rand -hex 32`";
            absent.push(Problem::mistake(value.location(), message).hint(hint));
            None
        }
        Given::Elsewhere(text) => Some(Secret::new(text)),
        Given::Here(_) => {
            let key = value.key;
            let hint =
                format!("write `{key} = {{ env = \"NAME\" }}` or `{key} = {{ file = \"PATH\" }}`");
            let message = format!("`{key}` stands in the file for everybody to read");
            value.mistake(message, Some(hint));
            None
        }
        Given::Absent(problem) => {
            absent.push(problem);
            None
        }
    }
}
