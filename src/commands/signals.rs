//! Signals that ask a run to stop. The first is heeded once the batches in hand are written, the
//! second at once: a run that is cut off is taken up like one that was killed.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::CommandError;
use crate::report::output;
use crate::run::stop::Stop;

/// The exit code of a run that could not finish.
const COULD_NOT_FINISH: i32 = 2;

/// Listens to SIGINT and SIGTERM from now on.
pub(super) fn listen(stop: &Stop) -> Result<(), CommandError> {
    let failed = |source| CommandError::Io {
        doing: "listen to signals",
        source,
    };
    let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::spawn(heed(interrupt, terminate, stop.clone()));
    Ok(())
}

/// Waits for SIGINT or SIGTERM.
pub(super) async fn asked_to_stop() -> Result<(), CommandError> {
    let failed = |source| CommandError::Io {
        doing: "listen to signals",
        source,
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    either(&mut interrupt, &mut terminate).await;
    Ok(())
}

/// Told of each SIGHUP from now on.
pub(super) fn hang_ups() -> Result<Arc<Notify>, CommandError> {
    let failed = |source| CommandError::Io {
        doing: "listen to signals",
        source,
    };
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    let told = Arc::new(Notify::new());
    let tell = Arc::clone(&told);
    tokio::spawn(async move {
        while hang_up.recv().await.is_some() {
            tell.notify_one();
        }
    });
    Ok(told)
}

async fn heed(mut interrupt: Signal, mut terminate: Signal, stop: Stop) {
    either(&mut interrupt, &mut terminate).await;
    stop.ask();
    output::tell("stopping once the batches in hand are written; a second signal stops at once\n");
    either(&mut interrupt, &mut terminate).await;
    std::process::exit(COULD_NOT_FINISH);
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
