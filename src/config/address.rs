//! URLs of connections: `postgres://writer@db.example.com:5432/crm`, `sqlite:crm.db`. Messages name
//! parts of a URL, never their values, since any of them may hold a misplaced password.

use std::path::PathBuf;

use url::{Host, Url};

use crate::domain::connection::{Secret, SystemKind};
use crate::domain::problem::{did_you_mean, quoted_list};

/// The kind that a URL's scheme names; folders have no URL.
fn kind_of_scheme(scheme: &str) -> Option<SystemKind> {
    match scheme {
        "sqlite" => Some(SystemKind::Sqlite),
        "postgres" | "postgresql" => Some(SystemKind::Postgres),
        "mysql" | "mariadb" => Some(SystemKind::Mysql),
        _ => None,
    }
}

/// Whether a connection is to be encrypted, as far as a word tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsWord {
    Off,
    Verified,
}

/// The parts of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) kind: SystemKind,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) socket: Option<PathBuf>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: Option<String>,
    pub(super) file: Option<PathBuf>,
    pub(super) tls: Option<TlsWord>,
    pub(super) ca_file: Option<PathBuf>,
}

/// What is wrong with a URL, without a word of its text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AddressError {
    pub(super) message: String,
    pub(super) hint: String,
}

type Answer<T> = Result<T, AddressError>;

fn wrong<T>(message: impl Into<String>, hint: impl Into<String>) -> Answer<T> {
    Err(AddressError {
        message: message.into(),
        hint: hint.into(),
    })
}

const SCHEMES: [&str; 5] = ["postgres", "postgresql", "mysql", "mariadb", "sqlite"];
const ESCAPE_HINT: &str = "signs such as `@ : / ? #` within a password are written `%40 %3A %2F %3F %23`; \
    better, give the password as `password = { env = \"NAME\" }`";

impl Address {
    /// An address that says nothing but its kind.
    pub(super) fn of(kind: SystemKind) -> Self {
        Self {
            kind,
            host: None,
            port: None,
            socket: None,
            user: None,
            password: None,
            database: None,
            file: None,
            tls: None,
            ca_file: None,
        }
    }

    pub(super) fn parse(text: &str) -> Answer<Self> {
        let text = text.trim();
        let scheme = text
            .split_once(':')
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme
            .as_deref()
            .map(|scheme| (scheme, kind_of_scheme(scheme)))
        {
            Some((_, Some(SystemKind::Sqlite))) => Self::of_file(text),
            Some((_, Some(kind))) => Self::of_server(kind, text),
            Some((scheme, None)) if scheme.chars().all(|letter| letter.is_ascii_alphanumeric()) => {
                let known = || format!("a url begins with one of {}", quoted_list(SCHEMES));
                wrong(
                    "the url's scheme is not one known here",
                    did_you_mean(scheme, SCHEMES).unwrap_or_else(known),
                )
            }
            _ => wrong(
                "the url has no scheme",
                "write `postgres://user@host:5432/database`",
            ),
        }
    }

    fn of_file(text: &str) -> Answer<Self> {
        let path = text.split_once(':').map_or("", |(_, path)| path);
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.contains('?') {
            return wrong(
                "the url of a SQLite file has parameters",
                "write `sqlite:PATH` and nothing after it",
            );
        }
        match decoded(path)? {
            path if path.is_empty() || path == ":memory:" => wrong(
                "the url names no file",
                "write `sqlite:PATH`; a database in memory is gone before it is read",
            ),
            path => Ok(Self {
                file: Some(PathBuf::from(path)),
                ..Self::of(SystemKind::Sqlite)
            }),
        }
    }

    fn of_server(kind: SystemKind, text: &str) -> Answer<Self> {
        let Ok(url) = Url::parse(text) else {
            return wrong("the url cannot be read", ESCAPE_HINT);
        };
        if url.fragment().is_some() {
            return wrong("the url has a part after `#`", ESCAPE_HINT);
        }
        if url.cannot_be_a_base() {
            return wrong(
                "the url has no `//`",
                "write `postgres://user@host:5432/database`",
            );
        }
        let mut address = Self::of(kind);
        address.set_host(&url)?;
        address.port = url.port();
        address.user = Some(decoded(url.username())?).filter(|user| !user.is_empty());
        address.password = url.password().map(decoded).transpose()?.map(Secret::new);
        address.set_database(&url)?;
        for (name, value) in url.query_pairs() {
            address.set_parameter(&name, &value)?;
        }
        Ok(address)
    }

    fn set_host(&mut self, url: &Url) -> Answer<()> {
        let host = match url.host() {
            Some(Host::Domain(name)) => decoded(name)?,
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => String::new(),
        };
        match host {
            host if host.is_empty() => {}
            host if host.starts_with('/') => self.socket = Some(PathBuf::from(host)),
            host => self.host = Some(host),
        }
        Ok(())
    }

    fn set_database(&mut self, url: &Url) -> Answer<()> {
        let path = url.path().trim_start_matches('/');
        if path.contains('/') {
            return wrong(
                "the url's path has several parts",
                "after the host stands the database's name alone",
            );
        }
        self.database = Some(decoded(path)?).filter(|name| !name.is_empty());
        Ok(())
    }

    fn set_parameter(&mut self, name: &str, value: &str) -> Answer<()> {
        match (self.kind, name) {
            (SystemKind::Postgres, "sslmode") | (SystemKind::Mysql, "ssl-mode") => {
                self.tls = Some(tls_word(name, value)?)
            }
            (SystemKind::Postgres, "sslrootcert") | (SystemKind::Mysql, "ssl-ca") => {
                self.ca_file = Some(PathBuf::from(value))
            }
            (SystemKind::Postgres, "host") | (SystemKind::Mysql, "socket")
                if value.starts_with('/') =>
            {
                // The url must name some host; the drivers let the socket win, and so do people who
                // write both.
                self.socket = Some(PathBuf::from(value));
                self.host = None;
            }
            _ => return Err(self.unknown_parameter(name)),
        }
        Ok(())
    }

    fn unknown_parameter(&self, name: &str) -> AddressError {
        let known: &[&str] = if self.kind == SystemKind::Postgres {
            &["sslmode", "sslrootcert", "host"]
        } else if self.kind == SystemKind::Mysql {
            &["ssl-mode", "ssl-ca", "socket"]
        } else {
            &[]
        };
        // A password with an unescaped `?` ends up here, so the name is quoted only if it looks
        // like one.
        let named = name.len() <= 30
            && name
                .chars()
                .all(|sign| sign.is_ascii_lowercase() || "_-".contains(sign));
        let message = match named && !known.contains(&name) {
            true => format!("the url has a parameter `{name}` that is not known here"),
            false => "the url has a parameter that is not known here".to_owned(),
        };
        let list = format!(
            "parameters are {}; other settings are keys of the connection",
            quoted_list(known.iter().copied())
        );
        AddressError {
            message,
            hint: did_you_mean(name, known.iter().copied()).unwrap_or(list),
        }
    }
}

/// Modes that encrypt without verifying are taken for ones that do both; modes that may fall back
/// to plain text are refused.
fn tls_word(name: &str, value: &str) -> Answer<TlsWord> {
    match value.to_ascii_lowercase().replace('-', "_").as_str() {
        "disable" | "disabled" => Ok(TlsWord::Off),
        "require" | "required" | "verify_ca" | "verify_full" | "verify_identity" => {
            Ok(TlsWord::Verified)
        }
        _ => wrong(
            format!("the url's `{name}` is none that says for sure whether to encrypt"),
            "leave it out and write `tls = \"verified\"` or `tls = \"off\"` beside the url",
        ),
    }
}

/// Undoes `%40`.
fn decoded(text: &str) -> Answer<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() {
            after.get(2..).unwrap_or_default()
        } else {
            after
        };
    }
    String::from_utf8(bytes)
        .or_else(|_| wrong("the url has escapes that are not UTF-8 text", ESCAPE_HINT))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Address {
        Address::parse(url).expect("a url")
    }

    #[test]
    fn parts_of_a_url_are_unescaped() {
        let address =
            parsed("postgresql://us%40er:p%3Aw%2F@db.example.com:6543/my%20crm?sslmode=require");
        assert_eq!(address.kind, SystemKind::Postgres);
        assert_eq!(address.host.as_deref(), Some("db.example.com"));
        assert_eq!(address.port, Some(6543));
        assert_eq!(address.user.as_deref(), Some("us@er"));
        assert_eq!(
            address
                .password
                .map(|secret| secret.reveal().to_owned())
                .as_deref(),
            Some("p:w/")
        );
        assert_eq!(address.database.as_deref(), Some("my crm"));
        assert_eq!(address.tls, Some(TlsWord::Verified));
    }

    #[test]
    fn hosts_may_be_sockets_and_addresses() {
        assert_eq!(
            parsed("postgres://u@%2Frun%2Fpg/crm").socket,
            Some(PathBuf::from("/run/pg"))
        );
        assert_eq!(
            parsed("mysql://u@localhost/crm?socket=/run/m.sock").socket,
            Some(PathBuf::from("/run/m.sock"))
        );
        assert_eq!(
            parsed("mariadb://u@[::1]:3307/crm").host.as_deref(),
            Some("::1")
        );
        assert_eq!(
            parsed("sqlite:data/crm%20a.db").file,
            Some(PathBuf::from("data/crm a.db"))
        );
        assert_eq!(
            parsed("sqlite:///var/crm.db").file,
            Some(PathBuf::from("/var/crm.db"))
        );
    }

    #[test]
    fn no_message_holds_any_part_of_the_url() {
        for url in [
            "postgres://u:canary@host:port/db",
            "postgres://u:ca?nary@host/db",
            "postgres://u:can#ary@host/db",
            "postgres://u:p@host/db?canary=canary",
            "postgres://u:p@host/db?sslmode=canary",
            "postgres://u:p@host/db?Canary=1",
            "postgre://u:canary@host/db",
            "canary",
            "postgres:canary",
            "mysql://host/canary/canary",
            "mysql://u:%ffcanary@host/db",
            "sqlite:canary?mode=ro",
        ] {
            let error = Address::parse(url).expect_err(url);
            let told = format!("{} {}", error.message, error.hint);
            let told = told.replace("a parameter `canary`", "a parameter");
            assert!(
                !told.contains("nary") && !told.contains("can#") && !told.contains("ca?"),
                "{url}: {told}"
            );
        }
    }
}
