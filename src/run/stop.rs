//! Asking a run to stop: it finishes the batches in hand and leaves the rest to the next run.

use std::sync::Arc;

use tokio::sync::watch;

/// A wish to stop, shared by whoever may utter it and all who must heed it.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    asked: Arc<watch::Sender<bool>>,
}

impl Stop {
    /// Nobody has asked yet.
    pub(crate) fn new() -> Self {
        Self {
            asked: Arc::new(watch::Sender::new(false)),
        }
    }

    pub(crate) fn ask(&self) {
        self.asked.send_replace(true);
    }

    pub(crate) fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Waits until somebody asks.
    pub(crate) async fn asked(&self) {
        // The sender lives as long as `self`, so waiting ends only because somebody asked.
        drop(self.asked.subscribe().wait_for(|asked| *asked).await);
    }
}
