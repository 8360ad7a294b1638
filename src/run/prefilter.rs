//! Reads the destination's rows ahead of the look-ups of a run, so that records that are unchanged
//! need none. When that is sound and when it pays stands in [`crate::domain::prefilter`]. It writes
//! nothing and keeps nothing from its end: where rows cannot be read, records are looked up.

use std::sync::{Arc, Mutex, PoisonError};

use polars::prelude::DataFrame;
use tracing::debug;

use crate::destination::AnyDatabase;
use crate::destination::seam::{Destination, LookUp, Transact};
use crate::domain::connection::Connection;
use crate::domain::error::{SystemError, chain};
use crate::domain::layout::Layout;
use crate::domain::prefilter::{self, Worth};

/// Partitions that are read at once: a server works on one while the rows of another are compared.
pub(super) const PARTITIONS_MAX: usize = 2;

/// Which records of a partition are unchanged for sure.
pub(crate) type Unchanged = Vec<bool>;

/// Whether and when rows are read ahead for a write-back's package; what it was worth so far.
pub(crate) struct Prefilter {
    layout: Arc<Layout>,
    worth: Mutex<Worth>,
}

impl Prefilter {
    /// Of a package of so many records; `None` where rows are not to be read ahead.
    pub(crate) fn of(layout: &Arc<Layout>, records: u64) -> Option<Self> {
        let is_wanted = records >= records_min() && prefilter::is_possible(layout);
        is_wanted.then(|| Self {
            layout: Arc::clone(layout),
            worth: Mutex::default(),
        })
    }

    /// Which of a partition's records are unchanged, which are as batches have them; `None` if
    /// nobody asked, or nothing is known.
    pub(crate) async fn ask<By: LookUp>(
        &self,
        by: &mut By,
        records: &DataFrame,
    ) -> Result<Option<Arc<Unchanged>>, By::Error> {
        if records.height() == 0 || !self.worth(Worth::takes_next) {
            return Ok(None);
        }
        if let Some(probe) = self.worth(|worth| worth.probe(records.height()))
            && !self.pays(by, &records.head(Some(probe))).await?.0
        {
            return Ok(None);
        }
        let (_, unchanged) = self.pays(by, records).await?;
        Ok(unchanged.map(Arc::new))
    }

    /// Whether reading the rows of these records paid, and which of them are unchanged, if any are.
    async fn pays<By: LookUp>(
        &self,
        by: &mut By,
        records: &DataFrame,
    ) -> Result<(bool, Option<Unchanged>), By::Error> {
        let rows_max = prefilter::rows_max(records.height());
        let unchanged = by.surely_unchanged(&self.layout, records, rows_max).await?;
        let known = unchanged.iter().flatten();
        let count = known.filter(|is_unchanged| **is_unchanged).count();
        let pays = self.worth(|worth| worth.learn(records.height(), count));
        Ok((pays, unchanged.filter(|_| count > 0)))
    }

    fn worth<T>(&self, ask: impl FnOnce(&mut Worth) -> T) -> T {
        ask(&mut self.worth.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Records of a package from which on rows are read ahead.
#[cfg(not(debug_assertions))]
fn records_min() -> u64 {
    prefilter::RECORDS_MIN
}

/// As ever, unless the tests ask for it with few records, or for none of it.
#[cfg(debug_assertions)]
fn records_min() -> u64 {
    let wanted = std::env::var("WRITEBACK_AHEAD_FROM").ok();
    let wanted = wanted.and_then(|wanted| wanted.parse().ok());
    wanted.unwrap_or(prefilter::RECORDS_MIN)
}

/// The connections that rows are read ahead through while others write.
pub(super) struct ReadingAhead {
    connection: Connection,
    prefilter: Prefilter,
    lines: [tokio::sync::Mutex<Line>; PARTITIONS_MAX],
}

enum Line {
    Unused,
    Open(Box<AnyDatabase>),
    /// It broke, it cannot tell anything, or a writer needs its place.
    Over,
}

impl ReadingAhead {
    pub(super) fn of(connection: &Connection, prefilter: Prefilter) -> Arc<Self> {
        let lines = std::array::from_fn(|_| tokio::sync::Mutex::new(Line::Unused));
        Arc::new(Self {
            connection: connection.clone(),
            prefilter,
            lines,
        })
    }

    /// Which of a partition's records are unchanged, as [`Prefilter::ask`].
    pub(super) async fn unchanged(
        &self,
        partition: usize,
        records: &DataFrame,
    ) -> Option<Arc<Unchanged>> {
        let mut line = self.lines.get(partition % PARTITIONS_MAX)?.lock().await;
        let database = match std::mem::replace(&mut *line, Line::Over) {
            Line::Over => return None,
            Line::Open(database) => Ok(database),
            Line::Unused => open(&self.connection).await.map(Box::new),
        };
        let asked = async {
            let mut database = database?;
            let unchanged = self.prefilter.ask(&mut *database, records).await?;
            Ok::<_, SystemError>((database, unchanged))
        };
        match asked.await {
            Ok((database, unchanged)) => {
                *line = Line::Open(database);
                unchanged
            }
            Err(error) => {
                debug!(connection = %self.connection.name, error = %chain(&error).join(": "), "no rows are read ahead");
                None
            }
        }
    }

    /// Closes its connections for good; `false` if it had none. A server may have no other left for
    /// those who write.
    pub(super) async fn end(&self) -> bool {
        let mut had_any = false;
        for line in &self.lines {
            if let Line::Open(database) = std::mem::replace(&mut *line.lock().await, Line::Over) {
                had_any = true;
                database.close().await;
            }
        }
        had_any
    }
}

/// A transaction that does nothing has a file keep a write-ahead log, if it can: then its readers
/// and its writers do not wait for one another.
async fn open(connection: &Connection) -> Result<AnyDatabase, SystemError> {
    let mut database = AnyDatabase::connect(connection).await?;
    database.begin().await?;
    database.rollback().await?;
    Ok(database)
}
