//! A connection that is asked what references mean, as often as it may help.

use std::time::Duration;

use polars::prelude::{DataFrame, Series};
use tracing::warn;

use crate::destination::AnyDestination;
use crate::destination::seam::{Destination, LookUp, LookedUp};
use crate::domain::before::Before;
use crate::domain::connection::Connection;
use crate::domain::error::{SystemError, chain};
use crate::domain::layout::Layout;
use crate::domain::referral::{Referents, Referral};
use crate::run::retry;

/// Values that are asked for at once: what a URL and a statement have room for.
pub(super) const VALUES_MAX: usize = 200;

/// Values of one reference of which it is remembered what they find. Beyond that all are forgotten
/// and asked for anew, so that memory stays flat where nearly every record has a value of its own.
pub(super) const REMEMBERED_MAX: usize = 100_000;

/// Asks the destination of one write-back.
pub(super) struct Asker<'a> {
    write_back: &'a str,
    connection: &'a Connection,
    /// Absent before the first question, and after the connection broke.
    destination: Option<AnyDestination>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(write_back: &'a str, connection: &'a Connection) -> Self {
        Self {
            write_back,
            connection,
            destination: None,
        }
    }

    /// Asks through a connection that is there already.
    pub(super) fn take_over(&mut self, destination: Option<AnyDestination>) {
        self.destination = destination;
    }

    /// The connection, for others to use.
    pub(super) fn into_destination(self) -> Option<AnyDestination> {
        self.destination
    }

    /// As [`Destination::refer`].
    pub(super) async fn refer(
        &mut self,
        referral: &Referral,
        values: &Series,
    ) -> Result<Vec<Referents>, SystemError> {
        let mut delays = retry::delays(self.connection.limits.attempts_max);
        loop {
            let asked = async {
                let destination = self.connected().await?;
                destination.refer(referral, values).await
            };
            match asked.await {
                Ok(found) => return Ok(found),
                Err(error) => self.wait(&mut delays, error).await?,
            }
        }
    }

    async fn connected(&mut self) -> Result<&mut AnyDestination, SystemError> {
        let destination = match self.destination.take() {
            Some(destination) => destination,
            None => AnyDestination::connect(self.connection).await?,
        };
        Ok(self.destination.insert(destination))
    }

    /// Waits for the next try, which comes through a connection of its own.
    /// Errors: there is none, or it would be of no use.
    async fn wait(
        &mut self,
        delays: &mut (impl Iterator<Item = Duration> + Send),
        error: SystemError,
    ) -> Result<(), SystemError> {
        self.destination = None;
        let Some(delay) = delays.next().filter(|_| error.is_transient()) else {
            return Err(error);
        };
        warn!(write_back = %self.write_back, error = %chain(&error).join(": "), ?delay,
            "looking up references again");
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// That records could not be read, which no other try mends.
    pub(super) fn unreadable(
        &self,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> SystemError {
        SystemError::Failed {
            connection: self.connection.name.clone(),
            doing: "reading references".to_owned(),
            source: error.into(),
            hint: None,
        }
    }

    pub(super) async fn close(self) {
        if let Some(destination) = self.destination {
            destination.close().await;
        }
    }
}

impl LookUp for Asker<'_> {
    type Error = SystemError;

    async fn look_up(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        let mut delays = retry::delays(self.connection.limits.attempts_max);
        loop {
            let asked = async {
                let destination = self.connected().await?;
                destination.look_up(layout, batch, before).await
            };
            match asked.await {
                Ok(looked_up) => return Ok(looked_up),
                Err(error) => self.wait(&mut delays, error).await?,
            }
        }
    }
}
