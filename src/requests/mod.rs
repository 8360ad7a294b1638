//! Requests: callers change single records at once, over HTTP, and are told what became of it. The
//! process that serves answers them, with the mapping, the ledger and the account of its runs.

mod answer;
mod body;
mod desk;
mod door;
mod routes;
mod several;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use self::desk::Desk;
pub(crate) use self::desk::ServedFiles;
use self::tls::{EncryptedDoor, TlsError};
use crate::domain::caller::HttpSettings;
use crate::doorkeeper::{ConnectionLimits, Doorkeeper, ListenError};
use crate::ledger::{Ledger, LedgerError};
use crate::run::stop::Stop;

/// A thousand may ask at once, each over a connection of its own that it may keep.
const LIMITS: ConnectionLimits = ConnectionLimits {
    connections_max: 2_048,
    duration_max: Duration::from_secs(300),
    bytes_max: 16 * 1024 * 1024,
};

/// Why requests cannot be answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestsError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl RequestsError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Listen(error) => error.hint(),
            Self::Tls(_) => Some(
                "name PEM files: the certificate with those that vouch for it, and its private key"
                    .to_owned(),
            ),
            Self::Ledger(error) => error.hint(),
        }
    }
}

/// Requests being answered.
pub(crate) struct Answering {
    desk: Arc<Desk>,
    serving: JoinHandle<()>,
}

impl Answering {
    /// Waits until what is under way has ended, or the time is over.
    pub(crate) async fn finish(self, grace: Duration) {
        let end = tokio::time::Instant::now() + grace;
        self.desk.finish(grace).await;
        // Connections that say nothing more are let go.
        drop(tokio::time::timeout_at(end, self.serving).await);
    }
}

/// Answers requests, in the background, until `stop` is asked for. What an earlier process left is
/// brought to an end.
pub(crate) async fn answer(
    settings: &HttpSettings,
    ledger: Ledger,
    files: watch::Receiver<ServedFiles>,
    stop: Stop,
) -> Result<Answering, RequestsError> {
    warn_of_unknown(settings, &files.borrow());
    let (door, address) = Doorkeeper::bind(settings.listen, LIMITS).await?;
    let desk = Arc::new(Desk::new(ledger, files, stop.clone()));
    desk.take_up().await?;
    let routes = routes::routes(Arc::clone(&desk), settings.clone());
    let serving = match &settings.tls {
        None => {
            let serving = axum::serve(door, routes);
            let serving = serving.with_graceful_shutdown(async move { stop.asked().await });
            tokio::spawn(async move { drop(serving.await) })
        }
        Some(files) => {
            let serving = axum::serve(EncryptedDoor::new(door, files)?, routes);
            let serving = serving.with_graceful_shutdown(async move { stop.asked().await });
            tokio::spawn(async move { drop(serving.await) })
        }
    };
    info!(url = %url(settings, address), "answering requests");
    Ok(Answering { desk, serving })
}

/// A caller may name what is not there yet: it is said, and no more.
fn warn_of_unknown(settings: &HttpSettings, files: &ServedFiles) {
    let is_there = |wanted: &String| {
        files.jobs.iter().any(|(job, checked)| {
            let mut write_backs = checked.job.write_backs.iter();
            write_backs.any(|write_back| {
                let name = |name: &String| *wanted == format!("{job}.{name}");
                name(&write_back.name) || write_back.common_name.as_ref().is_some_and(name)
            })
        })
    };
    for caller in settings.callers.values() {
        for wanted in caller.write_backs.iter().filter(|wanted| !is_there(wanted)) {
            warn!(
                caller = caller.name,
                write_back = wanted,
                "a caller may write what is not there"
            );
        }
    }
}

fn url(settings: &HttpSettings, address: SocketAddr) -> String {
    match settings.tls {
        None => format!("http://{address}"),
        Some(_) => format!("https://{address}"),
    }
}
