//! What a driver's errors mean. Drivers are careless with their status, so that SQLSTATE comes
//! first, and their own words are always told, without the secrets that they were given.

use std::error::Error as StdError;
use std::time::Duration;

use adbc_core::error::{Error, Status};

use crate::domain::connection::{AdbcDriver, AdbcSettings, Connection, OptionValue};
use crate::domain::error::SystemError;

/// Makes errors of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Failures {
    connection: String,
    driver: AdbcDriver,
    /// What no message may hold.
    secrets: Vec<String>,
}

impl Failures {
    pub(crate) fn of(connection: &Connection, settings: &AdbcSettings) -> Self {
        let secrets = settings
            .options
            .iter()
            .filter_map(|(_, value)| match value {
                OptionValue::Secret(secret) => Some(secret.reveal()),
                OptionValue::Plain(_) => None,
            });
        Self {
            connection: connection.name.clone(),
            driver: settings.driver.clone(),
            secrets: secrets.flat_map(spellings).collect(),
        }
    }

    /// Of a connection to a DuckDB file that has no secrets.
    #[cfg(test)]
    pub(crate) fn of_duckdb(connection: &str) -> Self {
        Self {
            connection: connection.to_owned(),
            driver: AdbcDriver::Named("duckdb".to_owned()),
            secrets: Vec::new(),
        }
    }

    pub(crate) fn connection(&self) -> &str {
        &self.connection
    }

    /// What an error of the driver means.
    pub(crate) fn of_driver(&self, doing: &str, error: &Error) -> SystemError {
        let connection = self.connection.clone();
        let source = self.scrubbed(&error.message).into();
        if is_locked(&error.message) {
            let source = format!(
                "another process has the file open for writing, and only one at a time may; export to Parquet, or pull \
                 from a copy of the file ({source})"
            );
            return SystemError::Contended {
                connection,
                source: source.into(),
            };
        }
        match (class(error).as_deref(), error.status) {
            (Some("53"), _) => SystemError::Exhausted { connection, source },
            (Some("08" | "57"), _) | (_, Status::IO | Status::Timeout) => {
                SystemError::Unavailable { connection, source }
            }
            (Some("28" | "42"), Status::Unauthenticated | Status::Unauthorized)
            | (_, Status::Unauthenticated | Status::Unauthorized) => SystemError::Forbidden {
                connection: connection.clone(),
                source,
                hint: format!(
                    "see which user `[connections.{connection}]` names, and what it may read"
                ),
            },
            _ => SystemError::Failed {
                connection,
                doing: doing.to_owned(),
                source,
                hint: hint(&error.message),
            },
        }
    }

    /// What an error of opening a file means to whoever is to write to it.
    pub(crate) fn of_opening_for_writing(&self, error: &Error) -> SystemError {
        let connection = self.connection.clone();
        let words = self.scrubbed(&error.message);
        if is_locked(&error.message) {
            let source = format!(
                "another process has the file open, and whoever writes to it has it alone: close it there ({words})"
            );
            return SystemError::Contended {
                connection,
                source: source.into(),
            };
        }
        if is_not_allowed(&error.message) {
            return SystemError::Forbidden {
                connection,
                source: words.into(),
                hint: "let the user who runs writeback write the file and the folder it is in"
                    .to_owned(),
            };
        }
        self.of_driver("connecting", error)
    }

    /// A driver that could not be loaded, and the way to get it.
    pub(crate) fn no_driver(&self, error: &Error) -> SystemError {
        let name = match &self.driver {
            AdbcDriver::Named(name) => format!("the ADBC driver `{name}`"),
            AdbcDriver::Profile(name) => format!("the ADBC profile `{name}`"),
        };
        let why = match reason(error) {
            Some(reason) => self.scrubbed(&reason),
            None => self.scrubbed(&error.message),
        };
        let hint = match &self.driver {
            AdbcDriver::Named(name) if !name.contains('/') => format!(
                "`dbc install {name}` (https://docs.columnar.tech/dbc) installs it; or put a manifest `{name}.toml` into \
                 ~/.config/adbc/drivers or a folder of ADBC_DRIVER_PATH; a statically linked build can load none"
            ),
            AdbcDriver::Named(_) => {
                "the path leads to a driver's library or manifest, from the project's folder"
                    .to_owned()
            }
            AdbcDriver::Profile(_) => {
                "profiles are found in ~/.config/adbc/profiles and the folders of ADBC_PROFILE_PATH"
                    .to_owned()
            }
        };
        SystemError::Failed {
            connection: self.connection.clone(),
            doing: format!("loading {name}"),
            source: why.into(),
            hint: Some(hint),
        }
    }

    pub(crate) fn failed(
        &self,
        doing: &str,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> SystemError {
        let source = self.scrubbed(&source.into().to_string()).into();
        SystemError::Failed {
            connection: self.connection.clone(),
            doing: doing.to_owned(),
            source,
            hint: None,
        }
    }

    pub(crate) fn silent(&self, doing: &str, waited: Duration) -> SystemError {
        SystemError::Unavailable {
            connection: self.connection.clone(),
            source: format!(
                "{doing}: no answer within {}",
                humantime::format_duration(waited)
            )
            .into(),
        }
    }

    /// The thread ended without a word: a driver panicked, or there is a defect here.
    pub(crate) fn stopped(&self) -> SystemError {
        let whom = match &self.driver {
            AdbcDriver::Named(name) => format!("asking the driver `{name}`"),
            AdbcDriver::Profile(name) => format!("asking the driver of the profile `{name}`"),
        };
        self.failed(&whom, "it gave up without an answer")
    }

    /// A driver's text in one line, without the secrets it was given, nor a piece of one that it
    /// quotes.
    fn scrubbed(&self, text: &str) -> String {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = self
            .secrets
            .iter()
            .fold(line, |text, secret| text.replace(secret, "***"));
        let is_piece = |quoted: &str| {
            !quoted.is_empty() && self.secrets.iter().any(|secret| secret.contains(quoted))
        };
        line.split_inclusive(['"', '\'', '`'])
            .map(|part| {
                let (text, quote) = part.split_at(part.trim_end_matches(['"', '\'', '`']).len());
                if !quote.is_empty() && is_piece(text) {
                    format!("***{quote}")
                } else {
                    part.to_owned()
                }
            })
            .collect()
    }
}

/// The ways in which a secret may stand in a text: as it is, percent-encoded, and the password
/// within a URI, which is told apart from it. Longest first, so that none leaves a part of another.
fn spellings(secret: &str) -> Vec<String> {
    let encoded =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let escaped = |text: &str| format!("{text:?}").trim_matches('"').to_owned();
    let mut spellings = vec![secret.to_owned(), encoded(secret), escaped(secret)];
    if let Some((user, _)) = secret
        .split_once("://")
        .and_then(|(_, rest)| rest.rsplit_once('@'))
        && let Some((_, password)) = user.split_once(':')
    {
        spellings.push(password.to_owned());
        spellings.extend(percent_decoded(password));
    }
    spellings.retain(|spelling| !spelling.is_empty());
    spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
    spellings.dedup();
    spellings
}

fn percent_decoded(text: &str) -> Option<String> {
    // A key without a value is what a form calls a text alone; a plus sign in it means itself here.
    let pairs = url::form_urlencoded::parse(text.replace('+', "%2B").as_bytes())
        .into_owned()
        .collect::<Vec<_>>();
    match pairs.as_slice() {
        [(name, value)] if value.is_empty() => Some(name.clone()),
        _ => None,
    }
}

/// The class of an error's SQLSTATE, if it has one.
fn class(error: &Error) -> Option<String> {
    let signs: Option<String> = error
        .sqlstate
        .iter()
        .take(2)
        .map(|sign| u8::try_from(*sign).ok().map(char::from))
        .collect();
    signs.filter(|class| class.chars().all(|sign| sign.is_ascii_alphanumeric()) && class != "00")
}

/// Whether DuckDB's file is in another process's hands.
fn is_locked(message: &str) -> bool {
    message.contains("Could not set lock on file")
}

/// Whether the operating system does not let this user write a file.
fn is_not_allowed(message: &str) -> bool {
    message.contains("Permission denied") || message.contains("Read-only file system")
}

/// The next thing to do about what a driver says.
fn hint(message: &str) -> Option<String> {
    if message.contains("Out of Memory Error") {
        let hint = "raise `memory_limit` in the connection's options, such as `memory_limit = \"1GB\"`, or let \
                    the model sort and group less";
        return Some(hint.to_owned());
    }
    let overflows = message.contains("overflow") && message.contains("timestamp");
    overflows.then(|| {
        "select it as `CAST(x AS TIMESTAMP_NTZ(6))`; or write `\"adbc.snowflake.sql.client_option.max_timestamp_precision\" = \
         \"microseconds\"` into the connection's options, if finer digits may be cut"
            .to_owned()
    })
}

/// Why a driver whose manifest was found could not be loaded, of all the places where it was looked
/// for.
fn reason(error: &Error) -> Option<String> {
    let details = error.details.as_ref()?;
    let (_, trace) = details
        .iter()
        .find(|(key, _)| key == "adbc.drivermanager.driver_load_trace")?;
    let trace = String::from_utf8_lossy(trace);
    let telling = |line: &&str| {
        !line.trim().is_empty() && !line.contains("No such file") && !line.contains("not found")
    };
    let lines: Vec<&str> = trace.lines().filter(telling).map(str::trim).collect();
    lines
        .first()
        .map(|line| format!("{}: {line}", error.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(secrets: &[&str]) -> Failures {
        Failures {
            connection: "lake".to_owned(),
            driver: AdbcDriver::Named("flightsql".to_owned()),
            secrets: secrets
                .iter()
                .flat_map(|secret| spellings(secret))
                .collect(),
        }
    }

    #[test]
    fn no_spelling_of_a_secret_is_told() {
        let failures = failures(&["grpc://reader:s3c%40ret+x@host:port/db", "t0k\"en"]);
        for text in [
            "parse \"grpc://reader:s3c%40ret+x@host:port/db\": invalid port",
            "bad password s3c@ret+x",
            "bad password s3c%40ret+x",
            "missing separator in parameter: \"c%40re\"",
            "token t0k\"en, token t0k%22en, token \"t0k\\\"en\"",
        ] {
            let told = failures.scrubbed(text);
            assert!(
                !told.contains("s3c") && !told.contains("t0k") && !told.contains("c%40re"),
                "{told}"
            );
        }
    }

    #[test]
    fn sqlstate_tells_more_than_the_status() {
        let state = |text: &str| {
            let mut sqlstate = [0; 5];
            sqlstate
                .iter_mut()
                .zip(text.bytes())
                .for_each(|(to, from)| *to = from.cast_signed());
            Error {
                sqlstate,
                ..Error::with_message_and_status("no", Status::Internal)
            }
        };
        let sorted = |text: &str| failures(&[]).of_driver("pulling", &state(text));
        assert!(matches!(sorted("08006"), SystemError::Unavailable { .. }));
        assert!(matches!(sorted("57P01"), SystemError::Unavailable { .. }));
        assert!(matches!(sorted("53300"), SystemError::Exhausted { .. }));
        assert!(matches!(sorted("00000"), SystemError::Failed { .. }));
        assert!(matches!(sorted(""), SystemError::Failed { .. }));
    }
}
