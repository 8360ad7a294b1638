//! What PostgreSQL's errors mean: whether waiting can help, whether records are to blame, who must
//! do what.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::{Purpose, quote};
use crate::database::no_tls_hint;
use crate::domain::certificate;
use crate::domain::connection::{ServerSettings, Tls};
use crate::domain::error::SystemError;

/// Where a session is, in the words of its error messages.
#[derive(Debug, Clone)]
pub(super) struct Place {
    connection: String,
    user: String,
}

impl Place {
    pub(super) fn new(connection: &str, settings: &ServerSettings) -> Self {
        Self {
            connection: connection.to_owned(),
            user: settings.user.clone(),
        }
    }

    pub(super) fn connection(&self) -> &str {
        &self.connection
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }
}

/// What an error of the server means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Unavailable,
    ReadOnly,
    Exhausted,
    Contended,
    /// One or more records are what the server will not take.
    Refused,
    Forbidden,
    Failed,
}

impl Fault {
    /// Judges a SQLSTATE and the server's routine that raised it, whose name no translation alters.
    ///
    /// A read-only server (25006) may not stay so: it is a standby in the middle of a failover or a
    /// database under maintenance, and a later connection may well be let write. A statement that
    /// took too long (57014) is `Contended`: the load it met may be gone. Only one that carries no
    /// records, such as a model, will take as long again. Source:
    /// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    fn of(code: &str, routine: Option<&str>) -> Self {
        match (code, routine) {
            ("57014" | "55P03" | "55006", _) => Self::Contended,
            ("25006", _) => Self::ReadOnly,
            ("25P03" | "25P04" | "55P02", _) => Self::Unavailable,
            // `RAISE` in a trigger may choose any code.
            (_, Some("exec_stmt_raise"))
                if !matches!(code.get(..2), Some("08" | "40" | "53" | "57")) =>
            {
                Self::Refused
            }
            // A row-level security policy judges a record, a missing privilege does not.
            ("42501", Some("ExecWithCheckOptions")) => Self::Refused,
            ("42501", _) => Self::Forbidden,
            // A value too long for an index; 54001 and the like are about statements.
            ("54000", _) => Self::Refused,
            // What the driver was asked to send made no sense, however often it is sent.
            ("08P01", _) => Self::Failed,
            _ => Self::of_class(code.get(..2).unwrap_or_default()),
        }
    }

    fn of_class(class: &str) -> Self {
        match class {
            "08" | "57" => Self::Unavailable,
            "53" => Self::Exhausted,
            "40" => Self::Contended,
            // Data, constraints and check options; what a trigger's own code ran into.
            "09" | "21" | "22" | "23" | "27" | "38" | "39" | "44" | "P0" => Self::Refused,
            _ => Self::Failed,
        }
    }
}

/// SQLSTATEs about other rows: a foreign key, a unique index, an exclusion constraint.
const CLASHES: [&str; 3] = ["23503", "23505", "23P01"];

/// The server's own words. Its DETAIL stays out: it quotes values.
#[derive(Debug)]
struct ServerWords {
    message: String,
    code: String,
}

impl fmt::Display for ServerWords {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (SQLSTATE {})", self.message, self.code)
    }
}

impl StdError for ServerWords {}

/// Whether a lock that somebody else holds was waited for in vain.
pub(crate) fn is_lock_timeout(cause: &(dyn StdError + Send + Sync + 'static)) -> bool {
    cause
        .downcast_ref::<ServerWords>()
        .is_some_and(|words| words.code == "55P03")
}

/// Whether the connection can be used after `error`: the server answered, and did not end the
/// session.
pub(super) fn leaves_connection_usable(error: &sqlx::Error) -> bool {
    of_server(error)
        .is_some_and(|error| !matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// Says what an error of a statement means.
pub(super) fn system_error(place: &Place, purpose: Purpose<'_>, error: sqlx::Error) -> SystemError {
    let connection = place.connection.clone();
    let Some(server) = of_server(&error) else {
        return SystemError::Unavailable {
            connection,
            source: cause(error),
        };
    };
    match Fault::of(server.code(), server.routine()) {
        Fault::Unavailable => SystemError::Unavailable {
            connection,
            source: cause(error),
        },
        Fault::ReadOnly => SystemError::ReadOnly {
            connection,
            source: cause(error),
        },
        Fault::Exhausted => SystemError::Exhausted {
            connection,
            source: cause(error),
        },
        Fault::Contended if server.code() == "57014" && !purpose.carries_records => {
            SystemError::Failed {
                doing: purpose.doing.to_owned(),
                hint: Some(format!(
                    "`statement_timeout` of `[connections.{connection}]` bounds every statement"
                )),
                connection,
                source: cause(error),
            }
        }
        Fault::Contended => SystemError::Contended {
            connection,
            source: cause(error),
        },
        Fault::Refused if purpose.carries_records => SystemError::Refused {
            message: server.message().to_owned(),
            column: server.column().map(str::to_owned),
            clashes: CLASHES.contains(&server.code()),
        },
        Fault::Forbidden if !purpose.grant.is_empty() => SystemError::Forbidden {
            connection,
            hint: purpose.grant.to_owned(),
            source: cause(error),
        },
        Fault::Refused | Fault::Forbidden | Fault::Failed => SystemError::Failed {
            connection,
            doing: purpose.doing.to_owned(),
            hint: server.hint().map(str::to_owned),
            source: cause(error),
        },
    }
}

/// Says what an error of connecting means.
pub(super) fn connect_error(
    place: &Place,
    settings: &ServerSettings,
    error: sqlx::Error,
) -> SystemError {
    let connection = place.connection.clone();
    match connect_hint(place, settings, &error) {
        ConnectHint::Free => SystemError::Exhausted {
            connection,
            source: cause(error),
        },
        ConnectHint::Wait => SystemError::Unavailable {
            connection,
            source: cause(error),
        },
        ConnectHint::Grant(hint) => SystemError::Forbidden {
            connection,
            hint,
            source: cause(error),
        },
        ConnectHint::Change(hint) => SystemError::Failed {
            connection,
            doing: "connecting".to_owned(),
            hint,
            source: cause(error),
        },
    }
}

/// Says what an error of setting the session up means.
pub(super) fn setting_error(place: &Place, doing: &str, error: sqlx::Error) -> SystemError {
    let is_denied = of_server(&error).is_some_and(|server| server.code() == "42501");
    match is_denied {
        // The server names the setting.
        true => SystemError::Failed {
            connection: place.connection.clone(),
            doing: doing.to_owned(),
            hint: Some(format!(
                "have an administrator take it back where it was set: `ALTER ROLE {} RESET …`, or that of the database",
                quote(&place.user)
            )),
            source: cause(error),
        },
        false => system_error(place, Purpose::plain(doing), error),
    }
}

enum ConnectHint {
    /// Waiting may help.
    Wait,
    /// Waiting may help, or asking for less.
    Free,
    Grant(String),
    /// Settings must change.
    Change(Option<String>),
}

fn connect_hint(place: &Place, settings: &ServerSettings, error: &sqlx::Error) -> ConnectHint {
    let name = &place.connection;
    if let Some(server) = of_server(error) {
        let database = settings.database.as_deref().unwrap_or(&settings.user);
        return match server.code() {
            "28P01" => ConnectHint::Change(Some(format!(
                "check `user` and `password` of `[connections.{name}]`"
            ))),
            "28000" => ConnectHint::Change(Some(admission_hint(name, settings))),
            "3D000" => {
                ConnectHint::Change(Some(format!("check `database` of `[connections.{name}]`")))
            }
            "42501" => ConnectHint::Grant(format!(
                "grant connect on database {} to {}",
                quote(database),
                quote(&settings.user)
            )),
            code => match Fault::of(code, server.routine()) {
                Fault::Unavailable | Fault::ReadOnly | Fault::Contended => ConnectHint::Wait,
                Fault::Exhausted => ConnectHint::Free,
                Fault::Refused | Fault::Forbidden | Fault::Failed => {
                    ConnectHint::Change(server.hint().map(str::to_owned))
                }
            },
        };
    }
    let certificate = || {
        ConnectHint::Change(Some(certificate::hint(
            &error.to_string(),
            tls_hint(name, &settings.tls),
        )))
    };
    let io_kind = if let sqlx::Error::Io(error) = error {
        Some(error.kind())
    } else {
        None
    };
    // How a certificate that does not convince is reported.
    if io_kind == Some(io::ErrorKind::InvalidData) {
        return certificate();
    }
    if let sqlx::Error::Tls(error) = error {
        // The driver's words for a server that answers the request for TLS with no.
        return match error.to_string().contains("does not support TLS") {
            true => ConnectHint::Change(Some(no_tls_hint(name))),
            false => certificate(),
        };
    }
    if matches!(error, sqlx::Error::Configuration(_)) {
        ConnectHint::Change(None)
    } else {
        ConnectHint::Wait
    }
}

/// The server says in its own language only whether it is the lack of encryption that it minds.
fn admission_hint(name: &str, settings: &ServerSettings) -> String {
    let user = &settings.user;
    match settings.tls == Tls::Off && settings.socket.is_none() {
        true => format!(
            "write `tls = \"verified\"` under `[connections.{name}]` if the server asks for encryption; else its \
             pg_hba.conf must let `{user}` in from this host"
        ),
        false => {
            format!(
                "the server's pg_hba.conf must let `{user}` in from this host, or `[connections.{name}]` must say otherwise"
            )
        }
    }
}

fn tls_hint(name: &str, tls: &Tls) -> String {
    match tls {
        Tls::Verified {
            ca_file: Some(file),
        } => {
            format!(
                "the server must prove to be `host` of `[connections.{name}]`, with a certificate signed by `{}`",
                file.display()
            )
        }
        Tls::Verified { ca_file: None } | Tls::Off => {
            format!(
                "let `ca_file` of `[connections.{name}]` name the authority that signed the server's certificate"
            )
        }
    }
}

fn of_server(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref())
}

/// The error without the driver's wrapping.
fn cause(error: sqlx::Error) -> Box<dyn StdError + Send + Sync> {
    if let Some(server) = of_server(&error) {
        return Box::new(ServerWords {
            message: server.message().to_owned(),
            code: server.code().to_owned(),
        });
    }
    if let sqlx::Error::Io(error) = error {
        Box::new(error)
    } else {
        Box::new(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for code in ["08006", "57P01", "57P03", "25P03"] {
            assert_eq!(Fault::of(code, None), Fault::Unavailable, "{code}");
        }
        for code in ["53300", "53100", "53200"] {
            assert_eq!(Fault::of(code, None), Fault::Exhausted, "{code}");
        }
        assert_eq!(Fault::of("25006", None), Fault::ReadOnly);
        for code in ["40001", "40P01", "55P03", "57014"] {
            assert_eq!(Fault::of(code, None), Fault::Contended, "{code}");
        }
        for code in [
            "08P01", "42703", "42P01", "428C9", "0A000", "54001", "XX000", "", "4",
        ] {
            assert_eq!(Fault::of(code, None), Fault::Failed, "{code}");
        }
    }

    #[test]
    fn what_records_are_to_blame_for_is_refused() {
        for code in ["22003", "23505", "23502", "44000", "P0001", "54000"] {
            assert_eq!(Fault::of(code, None), Fault::Refused, "{code}");
        }
    }

    #[test]
    fn a_trigger_that_raises_refuses_whatever_code_it_chose() {
        assert_eq!(Fault::of("45000", Some("exec_stmt_raise")), Fault::Refused);
        assert_eq!(Fault::of("42501", Some("exec_stmt_raise")), Fault::Refused);
        assert_eq!(
            Fault::of("40001", Some("exec_stmt_raise")),
            Fault::Contended
        );
    }

    #[test]
    fn a_policy_refuses_and_a_missing_privilege_forbids() {
        assert_eq!(
            Fault::of("42501", Some("ExecWithCheckOptions")),
            Fault::Refused
        );
        assert_eq!(Fault::of("42501", Some("aclcheck_error")), Fault::Forbidden);
    }

    #[test]
    fn a_broken_connection_is_not_used_again() {
        let error = sqlx::Error::Io(io::ErrorKind::ConnectionReset.into());
        assert!(!leaves_connection_usable(&error));
        let place = Place {
            connection: "crm".to_owned(),
            user: "writer".to_owned(),
        };
        assert!(system_error(&place, Purpose::plain("committing"), error).is_transient());
    }
}
