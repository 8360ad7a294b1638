//! PostgreSQL (12 or later): connecting, the catalogue, and what its errors mean.

pub(crate) mod catalogue;
pub(crate) mod fault;
mod pool;
mod settings;

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow, PgSslMode};

use self::fault::{Place, connect_error, system_error};
pub(crate) use self::settings::Access;
use super::{ANSWER_GRACE, Dialect, audited, expect_authorities, silence};
use crate::domain::connection::{Connection, ServerSettings, System, Tls};
use crate::domain::error::SystemError;

/// What is being done, for the message of the error that may come of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose<'a> {
    /// In words: `updating`.
    pub(crate) doing: &'a str,
    /// The statements that would give the right to do it.
    pub(crate) grant: &'a str,
    /// Whether values of records are on their way, which the server may refuse.
    pub(crate) carries_records: bool,
}

impl<'a> Purpose<'a> {
    /// Something that needs no particular right and carries no record.
    pub(crate) fn plain(doing: &'a str) -> Self {
        Self {
            doing,
            grant: "",
            carries_records: false,
        }
    }
}

/// One dedicated connection. While a call is under way the connection is out of its place, and it
/// is put back only when the call ended in a known state; so a call that was dropped, timed out or
/// lost its server closes the connection, and every later call is `Unavailable`.
pub(crate) struct Session {
    place: Place,
    /// `None` waits for as long as the server takes.
    deadline: Option<Duration>,
    connection: Option<PgConnection>,
}

impl Session {
    /// Connects within the connection's `connect_timeout` and sets the session's limits and
    /// formats. `idle_max` bounds how long a transaction may lie open between two statements,
    /// should this process be stopped.
    pub(crate) async fn open(
        connection: &Connection,
        idle_max: Duration,
        access: Access,
    ) -> Result<Self, SystemError> {
        let System::Postgres(settings) = &connection.system else {
            return Err(SystemError::NotFound {
                what: format!(
                    "a PostgreSQL server behind `{}`, a connection of kind `{}`,",
                    connection.name,
                    connection.system.kind()
                ),
                hint: None,
            });
        };
        let place = Place::new(&connection.name, settings);
        let limits = &connection.limits;
        // These futures may be dropped: the connection is dropped whole with them.
        let options = connect_options(&connection.name, settings)?;
        let connecting = options.connect();
        let server = within(Some(limits.connect_timeout), CONNECTING, connecting).await;
        let mut server = server.map_err(|error| connect_error(&place, settings, error))?;
        if pool::is_to_be_looked_for(settings) {
            expect_no_pool(&mut server, &place, settings, limits.connect_timeout).await?;
        }
        let pinning = settings::pin(&mut server, limits, idle_max, access);
        let pinned = within(Some(limits.connect_timeout), SETTING_UP, pinning).await;
        pinned.map_err(|error| fault::setting_error(&place, SETTING_UP, error))?;
        let statement_timeout = connection.limits.statement_timeout;
        let deadline =
            (!statement_timeout.is_zero()).then(|| statement_timeout.saturating_add(ANSWER_GRACE));
        Ok(Self {
            place,
            deadline,
            connection: Some(server),
        })
    }

    pub(crate) fn user(&self) -> &str {
        self.place.user()
    }

    /// Carries out one command that takes no values and yields none.
    pub(crate) async fn command(
        &mut self,
        purpose: Purpose<'_>,
        sql: &'static str,
    ) -> Result<(), SystemError> {
        let mut connection = self.take()?;
        let done = self
            .within(purpose.doing, sqlx::raw_sql(sql).execute(&mut connection))
            .await;
        self.settle(connection, purpose, done).map(|_| ())
    }

    /// Carries out one statement; returns how many rows it matched.
    pub(crate) async fn execute(
        &mut self,
        purpose: Purpose<'_>,
        sql: String,
        arguments: PgArguments,
    ) -> Result<u64, SystemError> {
        let mut connection = self.take()?;
        let executing = sqlx::query_with(audited(sql), arguments).execute(&mut connection);
        let done = self.within(purpose.doing, executing).await;
        self.settle(connection, purpose, done)
            .map(|result| result.rows_affected())
    }

    /// Carries out one query; returns all its rows.
    pub(crate) async fn fetch(
        &mut self,
        purpose: Purpose<'_>,
        sql: String,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>, SystemError> {
        let mut connection = self.take()?;
        let fetching = sqlx::query_with(audited(sql), arguments).fetch_all(&mut connection);
        let fetched = self.within(purpose.doing, fetching).await;
        self.settle(connection, purpose, fetched)
    }

    /// Carries out a `COPY … TO STDOUT`; hands over what is copied as it comes. The driver leaves a
    /// connection on which one failed in the middle of its answer, so that it is closed.
    pub(crate) async fn copy_out(
        &mut self,
        purpose: Purpose<'_>,
        sql: &str,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), SystemError> {
        let mut connection = self.take()?;
        let reading = async {
            let mut copied = connection.copy_out_raw(sql).await?;
            while let Some(bytes) = copied.try_next().await? {
                take(&bytes);
            }
            Ok(())
        };
        match self.within(purpose.doing, reading).await {
            Ok(()) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(error) => Err(system_error(&self.place, purpose, error)),
        }
    }

    /// Takes the connection for one call; it comes back through [`Session::settle`].
    /// Errors: `Unavailable`, if an earlier call lost it.
    pub(crate) fn take(&mut self) -> Result<PgConnection, SystemError> {
        self.connection
            .take()
            .ok_or_else(|| SystemError::Unavailable {
                connection: self.place.connection().to_owned(),
                source: "the connection was lost earlier".into(),
            })
    }

    /// Puts the connection back if the call left it in a known state, and says what its error
    /// means.
    pub(crate) fn settle<T>(
        &mut self,
        connection: PgConnection,
        purpose: Purpose<'_>,
        result: Result<T, sqlx::Error>,
    ) -> Result<T, SystemError> {
        if result
            .as_ref()
            .err()
            .is_none_or(fault::leaves_connection_usable)
        {
            self.connection = Some(connection);
        }
        result.map_err(|error| system_error(&self.place, purpose, error))
    }

    /// Waits for `work` until the server must have answered; `doing` says in words what it is.
    pub(crate) async fn within<T>(
        &self,
        doing: &str,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        within(self.deadline, doing, work).await
    }

    /// A row of the catalogue, or a value in it, that is not as it should be.
    pub(crate) fn failed(
        &self,
        doing: &str,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> SystemError {
        SystemError::Failed {
            connection: self.place.connection().to_owned(),
            doing: doing.to_owned(),
            source: cause.into(),
            hint: None,
        }
    }

    /// Something of somebody else's is in the way.
    pub(crate) fn contended(&self, cause: &str) -> SystemError {
        SystemError::Contended {
            connection: self.place.connection().to_owned(),
            source: cause.into(),
        }
    }

    /// Says goodbye to the server. A goodbye that does not reach it changes nothing.
    pub(crate) async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            let parting = sqlx::Connection::close(connection);
            if let Err(error) = within(Some(ANSWER_GRACE), "saying goodbye", parting).await {
                tracing::debug!(connection = %self.place.connection(), error = %error, "could not close politely");
            }
        }
    }
}

/// Looks for a pool that would give each transaction another session, by a second connection.
/// Errors: `Failed`, if there is one; `Unavailable`, if no answer comes.
async fn expect_no_pool(
    server: &mut PgConnection,
    place: &Place,
    settings: &ServerSettings,
    wait_max: Duration,
) -> Result<(), SystemError> {
    const LOOKING: &str = "looking for a pool between here and the server";
    let options = connect_options(place.connection(), settings)?.application_name(pool::LOOKER);
    let second = match within(Some(wait_max), CONNECTING, options.connect()).await {
        Ok(second) => second,
        // A server that has no connection left says so; a pool would let it wait.
        Err(error) => {
            tracing::debug!(connection = %place.connection(), error = %error, "could not look for a pool");
            return Ok(());
        }
    };
    let looked = within(
        Some(wait_max),
        LOOKING,
        pool::mixes_sessions(server, second),
    )
    .await;
    match looked.map_err(|error| system_error(place, Purpose::plain(LOOKING), error))? {
        false => {
            pool::remember(settings);
            Ok(())
        }
        true => Err(SystemError::Failed {
            connection: place.connection().to_owned(),
            doing: CONNECTING.to_owned(),
            source: "a pool in between gives each transaction another session of the server (as PgBouncer does in \
                     transaction mode), so that no setting would stay, and others would get ours"
                .into(),
            hint: Some(format!(
                "let `[connections.{}]` name the server itself, or a pool in session mode",
                place.connection()
            )),
        }),
    }
}

/// What [`Session::open`] does, in words.
const CONNECTING: &str = "connecting";
const SETTING_UP: &str = "setting up the session";

async fn within<T>(
    deadline: Option<Duration>,
    doing: &str,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let Some(deadline) = deadline else {
        return work.await;
    };
    let silent = || {
        sqlx::Error::Io(io::Error::new(
            io::ErrorKind::TimedOut,
            silence(doing, deadline),
        ))
    };
    tokio::time::timeout(deadline, work)
        .await
        .unwrap_or_else(|_| Err(silent()))
}

/// Never printed: its `Debug` shows the password.
/// Errors: the file of certificates cannot be read.
fn connect_options(
    connection: &str,
    settings: &ServerSettings,
) -> Result<PgConnectOptions, SystemError> {
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&settings.host)
        .port(settings.port)
        .username(&settings.user)
        .application_name("writeback")
        .extra_float_digits(3)
        .disable_statement_logging();
    if let Some(password) = &settings.password {
        options = options.password(password.reveal());
    }
    if let Some(database) = &settings.database {
        options = options.database(database);
    }
    if let Some(folder) = &settings.socket {
        return Ok(options.socket(folder).ssl_mode(PgSslMode::Disable));
    }
    Ok(match &settings.tls {
        Tls::Off => options.ssl_mode(PgSslMode::Disable),
        Tls::Verified { ca_file: None } => options.ssl_mode(PgSslMode::VerifyFull),
        Tls::Verified {
            ca_file: Some(file),
        } => {
            expect_authorities(connection, file)?;
            options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(file)
        }
    })
}

/// For a timeout of the server: whole milliseconds, 0 for none, at most what it takes.
/// Source: <https://www.postgresql.org/docs/current/runtime-config-client.html>.
fn milliseconds(duration: Duration) -> String {
    let rounded_up = duration.as_nanos().div_ceil(1_000_000);
    i32::try_from(rounded_up).unwrap_or(i32::MAX).to_string()
}

/// A name, quoted.
pub(crate) fn quote(name: &str) -> String {
    Dialect::Postgres.quote(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::connection::Secret;

    fn settings() -> ServerSettings {
        ServerSettings {
            host: "db.example".to_owned(),
            port: 5433,
            socket: None,
            user: "writer".to_owned(),
            password: Some(Secret::new("canary-7f".to_owned())),
            database: Some("crm".to_owned()),
            tls: Tls::Verified { ca_file: None },
        }
    }

    #[test]
    fn a_socket_needs_no_certificate_and_another_host_does() {
        assert!(matches!(
            connect_options("crm", &settings())
                .expect("no file")
                .get_ssl_mode(),
            PgSslMode::VerifyFull
        ));
        let local = ServerSettings {
            socket: Some("/run/postgresql".into()),
            ..settings()
        };
        assert!(matches!(
            connect_options("crm", &local)
                .expect("no file")
                .get_ssl_mode(),
            PgSslMode::Disable
        ));
    }

    #[test]
    fn timeouts_are_whole_milliseconds_within_what_the_server_takes() {
        assert_eq!(milliseconds(Duration::ZERO), "0");
        assert_eq!(milliseconds(Duration::from_micros(1)), "1");
        assert_eq!(milliseconds(Duration::from_secs(5)), "5000");
        assert_eq!(milliseconds(Duration::MAX), i32::MAX.to_string());
    }
}
