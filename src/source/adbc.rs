//! Reads through an ADBC driver: DuckDB, Snowflake, BigQuery, Trino and whatever else has one. A
//! driver is a shared library that blocks its caller, so that each pull has a thread of its own,
//! which hands over chunks; a model goes to the database word by word, as one statement, which is
//! one snapshot in all of them.
//!
//! Source: <https://arrow.apache.org/adbc/current/format/specification.html>.

mod bridge;
mod reading;

use std::sync::Arc;
use std::time::Duration;

use adbc_core::CancelHandle;
use tokio::sync::{mpsc, oneshot};

use self::reading::Described;
use super::{Pulled, TableDescription};
use crate::database::adbc::AdbcClient;
use crate::database::adbc::fault::Failures;
use crate::database::tables::ListedColumn;
use crate::domain::connection::{AdbcSettings, Connection};
use crate::domain::error::SystemError;
use crate::domain::object::ObjectName;
use crate::domain::schema::Schema;
use crate::library;

/// Chunks that may wait for whoever takes them: one is worked on while the next is read.
const CHUNKS_WAITING_MAX: usize = 1;

/// One pull.
pub(crate) struct AdbcSource {
    failures: Failures,
    /// Longest wait for one chunk; the driver is then told to give up.
    statement_timeout: Duration,
    /// The driver's name and version, as it says itself.
    driver: Option<String>,
    cancel: Arc<dyn CancelHandle>,
    /// Sent once, for the statement to begin: until then it was only looked at.
    begin: Option<oneshot::Sender<()>>,
    /// `None` when there are no more; a channel that ends without it was not read to its end.
    chunks: mpsc::Receiver<Result<Option<Pulled>, SystemError>>,
}

impl AdbcSource {
    /// Connects and has the statement looked at, as far as the driver can do that without running
    /// it.
    pub(super) async fn open(
        connection: &Connection,
        settings: &AdbcSettings,
        schema: &Schema,
    ) -> Result<Self, SystemError> {
        let (begin, may_begin) = oneshot::channel();
        let (sender, chunks) = mpsc::channel(CHUNKS_WAITING_MAX);
        let schema = schema.clone();
        let described = on_a_thread(connection, settings, move |asked, described| {
            reading::pull(asked, &schema, described, may_begin, &sender);
        });
        let Described { driver, cancel, .. } = described.await?;
        let statement_timeout = connection.limits.statement_timeout;
        let failures = Failures::of(connection, settings);
        Ok(Self {
            failures,
            statement_timeout,
            driver,
            cancel: Arc::from(cancel),
            begin: Some(begin),
            chunks,
        })
    }

    /// As the driver calls itself, with its version.
    pub(super) fn driver(&self) -> Option<&str> {
        self.driver.as_deref()
    }

    pub(super) async fn next_chunk(&mut self) -> Result<Option<Pulled>, SystemError> {
        if let Some(begin) = self.begin.take() {
            // A thread that is gone has said why, or is about to end the channel.
            begin.send(()).ok();
        }
        match tokio::time::timeout(self.statement_timeout, self.chunks.recv()).await {
            Ok(chunk) => chunk.unwrap_or_else(|| Err(self.failures.stopped())),
            Err(_) => {
                self.give_up();
                Err(self
                    .failures
                    .silent("pulling records", self.statement_timeout))
            }
        }
    }

    /// Has the driver give up what it is at. It may need a connection of its own for that, so that
    /// nobody waits for it.
    fn give_up(&mut self) {
        let cancel = Arc::clone(&self.cancel);
        let cancelling = move || {
            if let Err(error) = cancel.try_cancel() {
                tracing::debug!(status = ?error.status, "a driver could not be told to give up");
            }
        };
        // Without a thread the statement ends with its connection.
        drop(
            std::thread::Builder::new()
                .name("adbc-cancel".to_owned())
                .spawn(cancelling),
        );
    }
}

/// A pull that is dropped leaves nothing at work on the server.
impl Drop for AdbcSource {
    fn drop(&mut self) {
        if !self.chunks.is_closed() {
            self.chunks.close();
            self.give_up();
        }
    }
}

/// Describes a table, to start a schema file from. Which columns are its key or never NULL, drivers
/// do not tell; DuckDB does where it is asked.
pub(super) async fn describe_table(
    connection: &Connection,
    settings: &AdbcSettings,
    name: &ObjectName,
) -> Result<TableDescription, SystemError> {
    let parts = name.parts.iter().map(|part| part.text.clone());
    let parts: Vec<String> = parts.collect();
    let described = on_a_thread(connection, settings, move |asked, described| {
        reading::describe(asked, &parts, described)
    });
    let table = described.await?.table;
    table.ok_or_else(|| Failures::of(connection, settings).stopped())
}

/// The columns of all tables and views of a DuckDB file, table by table.
pub(super) async fn list_columns(
    connection: &Connection,
    settings: &AdbcSettings,
) -> Result<Vec<ListedColumn>, SystemError> {
    let described = on_a_thread(connection, settings, reading::list_columns);
    Ok(described.await?.listed)
}

/// Runs `work` on a thread of its own and waits, no longer than the connection's limits allow, for
/// what it describes.
async fn on_a_thread(
    connection: &Connection,
    settings: &AdbcSettings,
    work: impl FnOnce(&AdbcClient, reading::Sender) + Send + 'static,
) -> Result<Described, SystemError> {
    let failures = Failures::of(connection, settings);
    let asked = AdbcClient {
        settings: settings.clone(),
        failures: failures.clone(),
    };
    let (connected, is_connected) = oneshot::channel();
    let (described, is_described) = oneshot::channel();
    let sender = reading::Sender {
        connected: Some(connected),
        described: Some(described),
    };
    let spawned = std::thread::Builder::new()
        .name("adbc".to_owned())
        // What gives up in there takes its senders along, and so ends as an error out here.
        .spawn(move || drop(library::guarded(|| work(&asked, sender))));
    spawned.map_err(|error| failures.failed("starting a thread", error))?;
    let limits = &connection.limits;
    answer(
        &failures,
        is_connected,
        "connecting",
        limits.connect_timeout,
    )
    .await?;
    answer(
        &failures,
        is_described,
        "looking at the statement",
        limits.statement_timeout,
    )
    .await
}

async fn answer<T>(
    failures: &Failures,
    stage: oneshot::Receiver<Result<T, SystemError>>,
    doing: &str,
    wait_max: Duration,
) -> Result<T, SystemError> {
    let answer = tokio::time::timeout(wait_max, stage)
        .await
        .map_err(|_| failures.silent(doing, wait_max))?;
    answer.unwrap_or_else(|_| Err(failures.stopped()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    struct Nothing;

    impl CancelHandle for Nothing {
        fn try_cancel(&self) -> adbc_core::error::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_thread_that_is_gone_is_never_the_end_of_the_records() {
        for ends in [true, false] {
            let (sender, chunks) = mpsc::channel(1);
            let mut source = AdbcSource {
                failures: Failures::of_duckdb("lake"),
                statement_timeout: Duration::from_secs(60),
                driver: None,
                cancel: Arc::new(Nothing),
                begin: None,
                chunks,
            };
            let reading = move || {
                assert!(ends, "the driver gives up");
                drop(sender.blocking_send(Ok(None)));
            };
            std::thread::spawn(move || drop(library::guarded(reading)))
                .join()
                .unwrap();
            match source.next_chunk().await {
                Ok(chunk) => assert!(ends && chunk.is_none()),
                Err(error) => {
                    let told = error.to_string();
                    assert!(!ends && told.contains("the driver `duckdb`"), "{told}");
                }
            }
        }
    }
}
