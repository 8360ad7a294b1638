//! A connection that records are looked up through, outside of any transaction; one that breaks is
//! made again, a bounded number of times.

use polars::prelude::DataFrame;
use tracing::{debug, warn};

use crate::destination::AnyDestination;
use crate::destination::seam::{Destination, LookUp, LookedUp};
use crate::destination::service::AnyService;
use crate::destination::service::seam::{Reply, Service, ServiceWrite};
use crate::domain::before::Before;
use crate::domain::connection::Connection;
use crate::domain::error::{SystemError, chain};
use crate::domain::layout::Layout;
use crate::run::retry;
use crate::run::stop::Stop;

/// Why records could not be looked up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("could not look records of `{write_back}` up in `{connection}`")]
    Failed {
        write_back: String,
        connection: String,
        source: Box<SystemError>,
    },
    #[error("it was asked to stop")]
    Interrupted,
}

impl ReadError {
    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Failed { source, .. } => source.hint(),
            Self::Interrupted => None,
        }
    }
}

/// Looks a write-back's records up.
pub(crate) struct Reader<'a> {
    write_back: &'a str,
    connection: &'a Connection,
    /// Absent before the first look and after it broke.
    destination: Option<AnyDestination>,
    stop: &'a Stop,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(write_back: &'a str, connection: &'a Connection, stop: &'a Stop) -> Self {
        Self {
            write_back,
            connection,
            destination: None,
            stop,
        }
    }

    async fn attempt(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        let mut destination = match self.destination.take() {
            Some(destination) => destination,
            None => AnyDestination::connect(self.connection).await?,
        };
        let looked_up = destination.look_up(layout, batch, before).await?;
        self.destination = Some(destination);
        Ok(looked_up)
    }

    /// The web API that was asked last, if it is one.
    pub(crate) fn service(&self) -> Option<&AnyService> {
        match &self.destination {
            Some(AnyDestination::Service(service)) => Some(service),
            Some(AnyDestination::Database(_)) | None => None,
        }
    }

    /// Which of these writes a web API would refuse before they are sent; of a database nothing is
    /// known before. Shape: one a write.
    pub(crate) async fn refused_unsent(
        &self,
        layout: &Layout,
        records: &DataFrame,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Option<Reply>>, ReadError> {
        let Some(service) = self.service() else {
            return Ok(vec![None; writes.len()]);
        };
        let refused = service.refused_unsent(layout, records, writes).await;
        refused.map_err(|source| ReadError::Failed {
            write_back: self.write_back.to_owned(),
            connection: self.connection.name.clone(),
            source: Box::new(source),
        })
    }

    pub(crate) async fn close(self) {
        if let Some(destination) = self.destination {
            destination.close().await;
        }
    }
}

impl LookUp for Reader<'_> {
    type Error = ReadError;

    async fn look_up(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, ReadError> {
        let mut delays = retry::delays(self.connection.limits.attempts_max);
        loop {
            if self.stop.is_asked() {
                return Err(ReadError::Interrupted);
            }
            let error = match self.attempt(layout, batch, before).await {
                Ok(looked_up) => return Ok(looked_up),
                Err(error) => error,
            };
            self.destination = None;
            let Some(delay) = delays.next().filter(|_| error.is_transient()) else {
                return Err(ReadError::Failed {
                    write_back: self.write_back.to_owned(),
                    connection: self.connection.name.clone(),
                    source: Box::new(error),
                });
            };
            let cause = chain(&error).join(": ");
            warn!(write_back = %self.write_back, ?delay, error = %cause, "looking records up again");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.stop.asked() => {}
            }
        }
    }

    /// Not tried again where it fails: a look-up is, and tells what is the matter.
    async fn surely_unchanged(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        rows_max: usize,
    ) -> Result<Option<Vec<bool>>, ReadError> {
        if self.stop.is_asked() {
            return Err(ReadError::Interrupted);
        }
        let destination = match self.destination.take() {
            Some(destination) => Ok(destination),
            None => AnyDestination::connect(self.connection).await,
        };
        let asked = async {
            let mut destination = destination?;
            let unchanged = destination
                .surely_unchanged(layout, records, rows_max)
                .await?;
            Ok::<_, SystemError>((destination, unchanged))
        };
        match asked.await {
            Ok((destination, unchanged)) => {
                self.destination = Some(destination);
                Ok(unchanged)
            }
            Err(error) => {
                debug!(write_back = %self.write_back, error = %chain(&error).join(": "), "no rows are read ahead");
                Ok(None)
            }
        }
    }
}
