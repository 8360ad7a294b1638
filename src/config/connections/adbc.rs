//! Connections through ADBC drivers: `adbc` for any driver, `duckdb` and `snowflake` for two of
//! them by their own words. What a driver calls its options is known here; which values keep its
//! answers exact, the source knows.

use std::path::{Component, Path, PathBuf};

use super::super::document::shown;
use super::super::secret::Given;
use super::reader::Reader;
use crate::domain::connection::{AdbcDriver, AdbcSettings, DriverKind, OptionValue, Secret};
use crate::domain::problem::quoted_list;

const ADBC_KEYS: &[&str] = &[
    "kind",
    "driver",
    "profile",
    "uri",
    "user",
    "password",
    "options",
    "timezone",
    "connect_timeout",
    "statement_timeout",
];
const DUCKDB_KEYS: &[&str] = &[
    "kind",
    "driver",
    "file",
    "create_from",
    "options",
    "timezone",
    "connect_timeout",
    "statement_timeout",
    "lock_timeout",
    "attempts_max",
];
const SNOWFLAKE_KEYS: &[&str] = &[
    "kind",
    "driver",
    "account",
    "user",
    "auth",
    "password",
    "private_key",
    "token",
    "warehouse",
    "role",
    "database",
    "schema",
    "options",
    "timezone",
    "connect_timeout",
    "statement_timeout",
];

/// Keys of a connection that goes through a driver.
pub(super) fn keys(kind: DriverKind) -> &'static [&'static str] {
    match kind {
        DriverKind::Adbc => ADBC_KEYS,
        DriverKind::Duckdb => DUCKDB_KEYS,
        DriverKind::Snowflake => SNOWFLAKE_KEYS,
    }
}

/// Snowflake's ways to log in, with the key that holds the secret and the driver's names for both.
/// Source: <https://arrow.apache.org/adbc/current/driver/snowflake.html>.
const SNOWFLAKE_LOGINS: [(&str, &str, &str, &str); 4] = [
    ("password", "password", "auth_snowflake", "password"),
    (
        "key_pair",
        "private_key",
        "auth_jwt",
        "adbc.snowflake.sql.client_option.jwt_private_key_pkcs8_value",
    ),
    (
        "pat",
        "token",
        "auth_pat",
        "adbc.snowflake.sql.client_option.auth_token",
    ),
    (
        "oauth",
        "token",
        "auth_oauth",
        "adbc.snowflake.sql.client_option.auth_token",
    ),
];

/// The options of a driver as they are gathered; incomplete where something was a mistake or is not
/// there.
struct Options {
    given: Vec<(String, OptionValue)>,
    complete: bool,
    /// The database's file, if it is one.
    file: Option<PathBuf>,
}

impl Options {
    fn plain(&mut self, name: &str, value: impl Into<String>) {
        self.given
            .push((name.to_owned(), OptionValue::Plain(value.into())));
    }
}

impl Reader<'_> {
    /// A connection through a driver.
    pub(super) fn adbc(&mut self, kind: DriverKind) -> Option<AdbcSettings> {
        let mut options = Options {
            given: Vec::new(),
            complete: true,
            file: None,
        };
        let driver = match kind {
            DriverKind::Adbc => self.any_driver(&mut options),
            DriverKind::Duckdb => self.duckdb(&mut options),
            DriverKind::Snowflake => self.snowflake(&mut options),
        };
        options.complete &= self.own_options(&mut options.given);
        let schema = self
            .table
            .text("schema")
            .map(|(_, schema)| schema.to_owned());
        let create_from = self.path("create_from", false);
        let settings = AdbcSettings {
            kind,
            driver: driver?,
            options: options.given,
            schema,
            create_from: options.file.as_ref().and(create_from),
            file: options.file,
            is_written_meanwhile: false,
        };
        options.complete.then_some(settings)
    }

    fn any_driver(&mut self, options: &mut Options) -> Option<AdbcDriver> {
        let driver = self.driver();
        let profile = self
            .table
            .text("profile")
            .map(|(_, name)| AdbcDriver::Profile(name.to_owned()));
        self.secret_option("uri", "uri", options);
        if let Some((_, user)) = self.table.text("user") {
            options.plain("username", user);
        }
        self.secret_option("password", "password", options);
        match (driver, profile) {
            (Some(_), Some(_)) => {
                let message = format!(
                    "connection `{}` names both a driver and a profile",
                    self.name
                );
                self.table.mistake(
                    message,
                    Some("keep one of them: a profile names its driver".to_owned()),
                );
                None
            }
            (None, None) => {
                self.table.require(
                    "driver",
                    "name the ADBC driver, as `dbc install NAME` names it: `driver = \"trino\"`",
                );
                None
            }
            (driver, profile) => driver.or(profile),
        }
    }

    fn duckdb(&mut self, options: &mut Options) -> Option<AdbcDriver> {
        let (value, file) = self.table.require_text(
            "file",
            "name the database's file, or `md:NAME` for MotherDuck",
        )?;
        if file.starts_with("md:") {
            options.plain("path", file);
        } else if file.is_empty() || file.starts_with(':') {
            value.mistake(
                format!("{} is not a file", shown(file)),
                Some("name the database's file".to_owned()),
            );
            options.complete = false;
        } else {
            let file = self.absolute(file);
            options.plain("path", file.as_str());
            options.plain("access_mode", "READ_ONLY");
            options.file = Some(PathBuf::from(file));
        }
        Some(
            self.driver()
                .unwrap_or_else(|| AdbcDriver::Named("duckdb".to_owned())),
        )
    }

    fn snowflake(&mut self, options: &mut Options) -> Option<AdbcDriver> {
        let required = [
            (
                "account",
                "adbc.snowflake.sql.account",
                "name the account, `account = \"ORGANIZATION-ACCOUNT\"`",
            ),
            (
                "user",
                "username",
                "name the user that reads; it needs SELECT and a warehouse",
            ),
        ];
        for (key, option, hint) in required {
            match self.table.require_text(key, hint) {
                Some((_, text)) => options.plain(option, text),
                None => options.complete = false,
            }
        }
        let named = [
            ("warehouse", "adbc.snowflake.sql.warehouse"),
            ("role", "adbc.snowflake.sql.role"),
            ("database", "adbc.snowflake.sql.db"),
            ("schema", "adbc.snowflake.sql.schema"),
        ];
        for (key, option) in named {
            if let Some((_, text)) = self.table.text(key) {
                options.plain(option, text);
            }
        }
        self.snowflake_login(options);
        Some(
            self.driver()
                .unwrap_or_else(|| AdbcDriver::Named("snowflake".to_owned())),
        )
    }

    /// Notes a secret without which nobody is let in, and two of which one would be in vain.
    fn snowflake_login(&mut self, options: &mut Options) {
        let present: Vec<&str> = ["password", "private_key", "token"]
            .into_iter()
            .filter(|key| self.table.get(key).is_some())
            .collect();
        let auth = match self.table.text("auth") {
            None if self.table.get("auth").is_some() => return options.complete = false,
            None => None,
            Some((value, word)) => match SNOWFLAKE_LOGINS.iter().find(|(name, ..)| *name == word) {
                Some(login) => Some(login),
                None => {
                    let words = quoted_list(SNOWFLAKE_LOGINS.map(|(name, ..)| name));
                    value.mistake(
                        format!("`auth` is {}, which is not known", shown(word)),
                        Some(format!("write one of {words}")),
                    );
                    return options.complete = false;
                }
            },
        };
        let by_key = |key: &str| {
            SNOWFLAKE_LOGINS
                .iter()
                .find(|(_, wanted, ..)| *wanted == key)
        };
        let login = match (auth, present.as_slice()) {
            (Some(login), [key]) if *key == login.1 => Some(login),
            (None, [key]) => by_key(key),
            _ => None,
        };
        let Some((_, key, auth_type, option)) = login else {
            let what = match (auth, present.as_slice()) {
                (Some((auth, key, ..)), _) => {
                    format!("`auth = \"{auth}\"` goes with `{key}` and no other secret")
                }
                (None, []) => format!("connection `{}` has no way to log in", self.name),
                (None, _) => format!("connection `{}` has several ways to log in", self.name),
            };
            let hint =
                "write one of `password`, `private_key` and `token`, each as `{ env = \"NAME\" }`";
            self.table.mistake(what, Some(hint.to_owned()));
            return options.complete = false;
        };
        options.plain("adbc.snowflake.sql.auth_type", *auth_type);
        self.secret_option(key, option, options);
    }

    /// The driver that a connection names; a path is one of the project's.
    fn driver(&self) -> Option<AdbcDriver> {
        let (_, name) = self.table.text("driver")?;
        let is_path = Path::new(name)
            .components()
            .filter(|part| *part != Component::CurDir)
            .count()
            > 1;
        let is_file = is_path || Path::new(name).extension().is_some();
        Some(AdbcDriver::Named(if is_file {
            self.absolute(name)
        } else {
            name.to_owned()
        }))
    }

    fn absolute(&self, file: &str) -> String {
        let path = self.surroundings.root.join(file);
        std::path::absolute(&path)
            .unwrap_or(path)
            .to_string_lossy()
            .into_owned()
    }

    /// An option whose value nobody may read, as a key of the connection gives it.
    fn secret_option(&mut self, key: &str, option: &str, options: &mut Options) {
        let Some(value) = self.table.get(key) else {
            return;
        };
        match self.surroundings.given(value) {
            Some(Given::Here(text)) => {
                if key != "uri" || holds_password(&text) {
                    self.warn_of_secret(value, &key.replace('_', " "), key);
                }
                options
                    .given
                    .push((option.to_owned(), OptionValue::Secret(Secret::new(text))));
            }
            Some(Given::Elsewhere(text)) => {
                options
                    .given
                    .push((option.to_owned(), OptionValue::Secret(Secret::new(text))));
            }
            Some(Given::Absent(problem)) => {
                self.told_to_users.push(problem);
                options.complete = false;
            }
            None => options.complete = false,
        }
    }
}

/// Whether a URI holds a password, as far as it can be read as one.
fn holds_password(uri: &str) -> bool {
    url::Url::parse(uri).map_or(uri.contains('@'), |url| url.password().is_some())
}
