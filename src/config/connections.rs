//! `[connections.NAME]`: from keys or a URL to a connection. What cannot be known yet, such as a
//! password that is not in the environment, is put aside for whoever uses the connection.

mod adbc;
mod files;
mod reader;
mod service;

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use self::reader::{ATTEMPTS_MAX, Reader, WRITERS_MAX};
pub(super) use self::reader::{is_local, timeout};
pub(super) use self::service::{NoteTerms, note_terms};
use super::address::{Address, TlsWord};
use super::document::{Table, Value, each_once, shown};
use super::secret::{Given, Surroundings};
use super::times::timezone;
use crate::domain::connection::{
    Connection, DriverKind, Limits, Secret, ServerSettings, ServiceKind, SqliteSettings, System,
    SystemKind, Tls,
};
use crate::domain::problem::{Problem, did_you_mean, quoted_list};

const SQLITE_KEYS: &[&str] = &[
    "kind",
    "url",
    "file",
    "database",
    "create_from",
    "timezone",
    "connect_timeout",
    "statement_timeout",
    "lock_timeout",
    "attempts_max",
    "writers",
];
const SERVER_KEYS: &[&str] = &[
    "kind",
    "url",
    "host",
    "port",
    "socket",
    "user",
    "password",
    "database",
    "tls",
    "ca_file",
    "timezone",
    "connect_timeout",
    "statement_timeout",
    "lock_timeout",
    "attempts_max",
    "writers",
];

/// Keys that mean something to some kind.
static ALL_KEYS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| each_once(SystemKind::all().map(keys)));

/// Keys that mean something to a kind.
fn keys(kind: SystemKind) -> &'static [&'static str] {
    match kind {
        SystemKind::Files => files::KEYS,
        SystemKind::Sqlite => SQLITE_KEYS,
        SystemKind::Postgres | SystemKind::Mysql => SERVER_KEYS,
        SystemKind::Driver(driver) => adbc::keys(driver),
        SystemKind::Service(service) => service::keys(service),
    }
}

/// A connection as far as it can be had now, and what its users are to be told.
pub(super) struct ReadConnection {
    pub(super) connection: Option<Connection>,
    /// Which web API it leads to, if it leads to one, be it out of reach for now.
    pub(super) service: Option<ServiceKind>,
    pub(super) told_to_users: Vec<Problem>,
}

/// Reads one connection. Mistakes of the file are noted in its document.
pub(super) fn read_connection(
    name: &str,
    table: &Table<'_>,
    surroundings: Surroundings<'_>,
) -> ReadConnection {
    let mut reader = Reader {
        name,
        table,
        surroundings,
        told_to_users: Vec::new(),
    };
    let connection = reader.connection();
    ReadConnection {
        connection,
        service: service::kind_of(table),
        told_to_users: reader.told_to_users,
    }
}

/// What a connection's `url` key came to.
enum UrlKey {
    None,
    Read(Box<Address>),
    /// It has a mistake or is not there; the mistake is noted or put aside.
    Unread,
}

impl<'a> Reader<'a> {
    fn connection(&mut self) -> Option<Connection> {
        let url = self.url();
        let kind = self.kind(&url);
        self.expect_keys(kind);
        self.expect_kind(kind, &url);
        let timezone = self.table.get("timezone").and_then(timezone);
        let limits = match kind {
            Some(SystemKind::Service(_)) => self.service_limits(),
            // A file that DuckDB writes has one writer.
            Some(SystemKind::Driver(DriverKind::Duckdb)) => Limits {
                writers: 1,
                ..self.limits()
            },
            _ => self.limits(),
        };
        let address = match url {
            UrlKey::Unread => {
                self.check_without_url(kind);
                return None;
            }
            UrlKey::None => None,
            UrlKey::Read(address) => Some(*address),
        };
        let system = match kind? {
            SystemKind::Files => System::Files(self.files()?),
            SystemKind::Sqlite => System::Sqlite(self.sqlite(address)?),
            kind @ SystemKind::Postgres => System::Postgres(self.server(kind, address)?),
            kind @ SystemKind::Mysql => System::Mysql(self.server(kind, address)?),
            SystemKind::Driver(driver) => System::Adbc(self.adbc(driver)?),
            SystemKind::Service(service) => System::Service(self.service(service)?),
        };
        Some(Connection {
            name: self.name.to_owned(),
            system,
            timezone,
            limits,
        })
    }

    fn url(&mut self) -> UrlKey {
        let Some(value) = self.table.get("url") else {
            return UrlKey::None;
        };
        let Some(given) = self.surroundings.given(value) else {
            return UrlKey::Unread;
        };
        let (text, here) = match given {
            Given::Here(text) => (text, true),
            Given::Elsewhere(text) => (text, false),
            Given::Absent(problem) => {
                self.told_to_users.push(problem);
                return UrlKey::Unread;
            }
        };
        match Address::parse(&text) {
            Ok(address) => {
                if here && address.password.is_some() {
                    self.warn_of_password(value);
                }
                UrlKey::Read(Box::new(address))
            }
            Err(error) => {
                let problem = Problem::mistake(value.location(), error.message).hint(error.hint);
                if here {
                    self.table.document.note(problem);
                } else {
                    self.told_to_users.push(problem);
                }
                UrlKey::Unread
            }
        }
    }

    fn kind(&self, url: &UrlKey) -> Option<SystemKind> {
        let told = self
            .table
            .get("kind")
            .map(|value| (value, read_kind(value)));
        let of_url = if let UrlKey::Read(address) = url {
            Some(address.kind)
        } else {
            None
        };
        match (told, of_url) {
            (Some((value, Some(kind))), Some(of_url)) if kind != of_url => {
                let message = format!(
                    "`kind` says {} and the url says {}",
                    kind.name(),
                    of_url.name()
                );
                value.mistake(message, Some("leave `kind` out".to_owned()));
                None
            }
            (Some((_, kind)), _) => kind,
            (None, Some(kind)) => Some(kind),
            (None, None) => None,
        }
    }

    fn expect_kind(&self, kind: Option<SystemKind>, url: &UrlKey) {
        let told = kind.is_some() || !matches!(url, UrlKey::None);
        if !told && self.table.lacks("kind") && self.table.lacks("url") {
            let hint = format!(
                "kinds are {}",
                quoted_list(SystemKind::all().map(SystemKind::name))
            );
            self.table.mistake(
                format!("connection `{}` has neither `kind` nor `url`", self.name),
                Some(hint),
            );
        }
    }

    /// Reads what can be read while the url is not there, so that its absence hides no mistake.
    fn check_without_url(&mut self, kind: Option<SystemKind>) {
        if matches!(kind, None | Some(SystemKind::Postgres | SystemKind::Mysql)) {
            let mut address = Address::of(SystemKind::Postgres);
            self.password(&mut address);
            self.tls(&mut address);
        }
    }

    /// Notes keys that are unknown, or that mean nothing to this kind.
    fn expect_keys(&self, kind: Option<SystemKind>) {
        let (known, name) = match kind {
            Some(kind) => (keys(kind), kind.name()),
            None => (ALL_KEYS.as_slice(), ""),
        };
        self.table
            .expect_among(known, &ALL_KEYS, &format!("a connection of kind `{name}`"));
    }

    fn sqlite(&self, address: Option<Address>) -> Option<SqliteSettings> {
        let of_url = address.and_then(|address| address.file);
        let file = match self.path("file", of_url.is_some()) {
            Some(file) => Some(file),
            None if of_url.is_some() => of_url.map(|file| self.surroundings.root.join(file)),
            None => {
                self.table.require("file", "name the database's file");
                None
            }
        };
        let database = self.table.text("database").map(|(_, name)| name.to_owned());
        let create_from = self.path("create_from", false);
        Some(SqliteSettings {
            file: file?,
            database,
            create_from,
        })
    }

    fn server(&mut self, kind: SystemKind, address: Option<Address>) -> Option<ServerSettings> {
        let mut address = address.unwrap_or_else(|| Address::of(kind));
        if let Some(host) = self.part("host", address.host.is_some()) {
            address.host = Some(host);
        }
        if let Some(socket) = self.path("socket", address.socket.is_some()) {
            address.socket = Some(socket);
        }
        if let Some(user) = self.part("user", address.user.is_some()) {
            address.user = Some(user);
        }
        if let Some(database) = self.part("database", address.database.is_some()) {
            address.database = Some(database);
        }
        if let Some(value) = self.once("port", address.port.is_some()) {
            address.port = value
                .integer(1, u32::from(u16::MAX))
                .and_then(|port| u16::try_from(port).ok());
        }
        let password = self.password(&mut address);
        let tls = self.tls(&mut address);
        self.check_parts(kind, &address);
        let port = if kind == SystemKind::Postgres {
            5432
        } else {
            3306
        };
        Some(ServerSettings {
            host: address.host.unwrap_or_else(|| "localhost".to_owned()),
            port: address.port.unwrap_or(port),
            socket: address.socket,
            user: address.user?,
            password: password?,
            database: address.database,
            tls: tls?,
        })
    }

    /// Notes parts that a server cannot do without.
    fn check_parts(&self, kind: SystemKind, address: &Address) {
        let missing = |key: &str, hint: &str| {
            if !self.table.lacks(key) {
                return;
            }
            let url = self
                .table
                .get("url")
                .map(|_| ", nor does its url name one")
                .unwrap_or_default();
            self.table.mistake(
                format!("connection `{}` has no `{key}`{url}", self.name),
                Some(hint.to_owned()),
            );
        };
        match (&address.host, &address.socket) {
            (None, None) => missing(
                "host",
                "write `host = \"db.example.com\"`, or `socket` for a local server",
            ),
            (Some(_), Some(_)) => {
                let message = format!("connection `{}` names both a host and a socket", self.name);
                self.table
                    .mistake(message, Some("keep one of them".to_owned()));
            }
            _ => {}
        }
        if address.user.is_none() {
            missing(
                "user",
                "name the user that writes; least privilege is described in docs/security.md",
            );
        }
        if address.database.is_none() && kind == SystemKind::Postgres {
            missing("database", "PostgreSQL connects to one database: name it");
        }
    }

    /// The password wherever it stands; `None` if it is not there though it should be.
    fn password(&mut self, address: &mut Address) -> Option<Option<Secret>> {
        let Some(value) = self.once("password", address.password.is_some()) else {
            return Some(address.password.take());
        };
        match self.surroundings.given(value)? {
            Given::Here(text) => {
                self.warn_of_password(value);
                Some(Some(Secret::new(text)))
            }
            Given::Elsewhere(text) => Some(Some(Secret::new(text))),
            Given::Absent(problem) => {
                self.told_to_users.push(problem);
                None
            }
        }
    }

    fn warn_of_password(&mut self, value: Value<'_>) {
        self.warn_of_secret(value, "password", "password");
    }

    /// Warns of a secret that everybody reads who reads the file; `what` it is, and the `key` to
    /// write it under.
    fn warn_of_secret(&mut self, value: Value<'_>, what: &str, key: &str) {
        let message = format!(
            "the {what} of connection `{}` stands in this file",
            self.name
        );
        let plain = |text: &str| -> String {
            let sign = |sign: char| {
                if sign.is_ascii_alphanumeric() {
                    sign.to_ascii_uppercase()
                } else {
                    '_'
                }
            };
            text.chars().map(sign).collect()
        };
        let hint = format!(
            "write `{key} = {{ env = \"{}_{}\" }}`",
            plain(self.name),
            plain(what)
        );
        self.told_to_users
            .push(Problem::warning(value.location(), message).hint(hint));
    }

    /// Local servers are spoken to in the clear unless asked otherwise; all others must prove who
    /// they are.
    fn tls(&mut self, address: &mut Address) -> Option<Tls> {
        let value = self.once("tls", address.tls.is_some());
        let word = match value {
            Some(value) => Some(read_tls(value)?),
            None => address.tls,
        };
        let ca_file = match self.path("ca_file", address.ca_file.is_some()) {
            Some(file) => Some(file),
            None => address
                .ca_file
                .take()
                .map(|file| self.surroundings.root.join(file)),
        };
        let local = address.socket.is_some() || address.host.as_deref().is_none_or(is_local);
        match (word, ca_file) {
            (Some(TlsWord::Off), Some(_)) => {
                let message = format!(
                    "connection `{}` has a `ca_file` and turns TLS off",
                    self.name
                );
                self.table
                    .mistake(message, Some("keep one of them".to_owned()));
                None
            }
            (Some(TlsWord::Off), None) => {
                if !local {
                    self.warn_of_plain_text(value);
                }
                Some(Tls::Off)
            }
            (None, None) if local => Some(Tls::Off),
            (_, ca_file) => Some(Tls::Verified { ca_file }),
        }
    }

    fn warn_of_plain_text(&mut self, value: Option<Value<'_>>) {
        let message = format!(
            "connection `{}` speaks to a remote host in plain text",
            self.name
        );
        let location = value
            .or_else(|| self.table.get("url"))
            .map(|value| value.location());
        let hint = "write `tls = \"verified\"`, with `ca_file` for a private authority";
        self.told_to_users
            .push(Problem::warning(location, message).hint(hint));
    }

    /// The value of a key that the url may give as well, but not both.
    fn once(&self, key: &str, in_url: bool) -> Option<Value<'a>> {
        let value = self.table.get(key);
        if let (Some(value), true) = (value, in_url) {
            let message = format!("`{key}` is said twice, here and in the url");
            value.key_mistake(message, Some("keep one of them".to_owned()));
        }
        value
    }

    fn part(&self, key: &str, in_url: bool) -> Option<String> {
        let value = self.once(key, in_url)?;
        let text = value.text()?;
        if text.trim().is_empty() {
            value.mistake(format!("`{key}` is empty"), None);
        }
        Some(text.to_owned())
    }

    fn path(&self, key: &str, in_url: bool) -> Option<PathBuf> {
        self.part(key, in_url)
            .map(|path| self.surroundings.root.join(path))
    }

    fn limits(&self) -> Limits {
        let usual = Limits::default();
        let timeout =
            |key: &str, usual: Duration| self.table.get(key).and_then(timeout).unwrap_or(usual);
        let number =
            |key: &str, max: u32| self.table.get(key).and_then(|value| value.integer(1, max));
        Limits {
            connect_timeout: timeout("connect_timeout", usual.connect_timeout),
            statement_timeout: timeout("statement_timeout", usual.statement_timeout),
            lock_timeout: timeout("lock_timeout", usual.lock_timeout),
            attempts_max: number("attempts_max", ATTEMPTS_MAX).unwrap_or(usual.attempts_max),
            writers: number("writers", WRITERS_MAX)
                .and_then(|writers| usize::try_from(writers).ok())
                .unwrap_or(usual.writers),
        }
    }
}

fn read_kind(value: Value<'_>) -> Option<SystemKind> {
    let word = value.text()?;
    let kind = SystemKind::all().find(|kind| kind.name() == word);
    if kind.is_none() {
        let names = || SystemKind::all().map(SystemKind::name);
        let hint = match word {
            "mariadb" => "write `kind = \"mysql\"`: it serves MariaDB too".to_owned(),
            "postgresql" => "write `kind = \"postgres\"`".to_owned(),
            word => did_you_mean(word, names())
                .unwrap_or_else(|| format!("kinds are {}", quoted_list(names()))),
        };
        value.mistake(
            format!("{} is not a kind of connection", shown(word)),
            Some(hint),
        );
    }
    kind
}

fn read_tls(value: Value<'_>) -> Option<TlsWord> {
    match value.text()? {
        "verified" => Some(TlsWord::Verified),
        "off" => Some(TlsWord::Off),
        word => {
            let hint = "write `\"verified\"` or `\"off\"`".to_owned();
            value.mistake(
                format!("`tls` is {}, which is no way to connect", shown(word)),
                Some(hint),
            );
            None
        }
    }
}

/// Every key that a connection of some kind may have.
#[cfg(test)]
pub(super) fn every_key() -> Vec<&'static str> {
    ALL_KEYS.clone()
}
