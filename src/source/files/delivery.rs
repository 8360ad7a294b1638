//! How chunks leave the thread that reads them.

use std::ops::ControlFlow;

use tokio::sync::mpsc;

use crate::domain::error::SystemError;
use crate::library;
use crate::source::Pulled;

/// What the reading thread has to say.
#[derive(Debug)]
pub(super) enum Message {
    /// The files are there, and so are the columns.
    Ready,
    Chunk(Box<Pulled>),
    Failed(Box<SystemError>),
    /// There are no more records.
    End,
}

/// The reading thread's way out.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) sender: mpsc::Sender<Message>,
}

impl Delivery {
    /// Does the reading and says how it ended. Whatever gives up underneath is an error here.
    pub(super) fn carry_out(
        self,
        connection: &str,
        read: impl FnOnce(&Self) -> Result<(), SystemError>,
    ) {
        let last = match library::guarded(|| read(&self))
            .unwrap_or_else(|gave_up| Err(stopped(connection, gave_up)))
        {
            Ok(()) => Message::End,
            Err(error) => Message::Failed(Box::new(error)),
        };
        // Nobody waits any more: then nobody wants to know.
        drop(self.sender.blocking_send(last));
    }

    pub(super) fn send(&self, pulled: Pulled) -> ControlFlow<()> {
        self.send_message(Message::Chunk(Box::new(pulled)))
    }

    pub(super) fn ready(&self) -> ControlFlow<()> {
        self.send_message(Message::Ready)
    }

    pub(super) fn send_message(&self, message: Message) -> ControlFlow<()> {
        match self.sender.blocking_send(message) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// Whether anybody waits for the records.
    pub(super) fn is_awaited(&self) -> bool {
        !self.sender.is_closed()
    }
}

pub(super) fn stopped(
    connection: &str,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> SystemError {
    SystemError::Failed {
        connection: connection.to_owned(),
        doing: "reading files".to_owned(),
        source: cause.into(),
        hint: Some("check that the file is whole".to_owned()),
    }
}
