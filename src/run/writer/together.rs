//! Records that clash with one another: two rows swap values, or several hand them round. None of
//! them can be written alone, so they are written in one transaction. Constraints that can wait for
//! its end do, and what is to be unique is emptied first where the column may be NULL.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use polars::prelude::{Column, DataFrame};
use tracing::{debug, warn};

use super::{AttemptError, Sending, Share, Writer, WriterContext};
use crate::destination::AnyDatabase;
use crate::destination::seam::Transact;
use crate::domain::before::Before;
use crate::domain::change::Change;
use crate::domain::error::{SystemError, chain};
use crate::domain::field::NullPolicy;
use crate::domain::layout::Layout;
use crate::domain::layout::LayoutField;
use crate::domain::match_rule::Decision;
use crate::fault;
use crate::ledger::Earlier;
use crate::run::batch::Batch;
use crate::run::doubt::claim;
use crate::run::reached::{Hold, Write};
use crate::run::swap::shaped;
use crate::run::write::judge::Decided;
use crate::run::write::terms::Terms;
use crate::run::write::transaction::{Differing, Manner, Task};
use crate::run::{PushError, retry};

/// How they are looked up.
const MANNER: Manner = Manner {
    before: Before::OfDiffering,
    expected: Differing::Many,
    hold: Hold::Locked,
};

/// What came of records that were to be written together.
pub(in crate::run) enum Together {
    Committed,
    /// None of them is written.
    Refused {
        /// Positions of those that cannot be written even with the others, ascending, where that is
        /// known.
        at: Vec<usize>,
    },
}

impl Writer {
    /// Writes batches of one in one transaction and records their outcomes, or does neither.
    pub(in crate::run) async fn deliver_together(
        &mut self,
        batches: &[Batch],
    ) -> Result<Together, PushError> {
        let mut delays = retry::delays(self.context.connection.limits.attempts_max);
        let mut attempts = 1;
        loop {
            let mut sent: Vec<Option<Sending>> = batches.iter().map(|_| None).collect();
            let mut at = Vec::new();
            let error = match self
                .attempt_together(batches, &mut sent, attempts, &mut at)
                .await
            {
                Ok(()) => {
                    batches.iter().for_each(|batch| self.tell(batch));
                    return Ok(Together::Committed);
                }
                Err(AttemptError::Run(error)) => return Err(error),
                Err(AttemptError::System(error)) => error,
            };
            self.recover(&error).await;
            if matches!(
                error,
                SystemError::Refused { .. } | SystemError::Missed { .. }
            ) {
                for (batch, _) in batches.iter().zip(&sent).filter(|(_, sent)| sent.is_some()) {
                    self.context
                        .ledger
                        .forget_sent(self.context.id, batch.span)
                        .await?;
                }
                return Ok(Together::Refused { at });
            }
            // Once they are recorded as sent they are in doubt, each for itself: whoever takes the
            // run up looks into that.
            let is_sent = sent.iter().any(Option::is_some);
            let Some(delay) = delays.next().filter(|_| error.is_transient() && !is_sent) else {
                return Err(self.failed(error));
            };
            let cause = chain(&error).join(": ");
            warn!(write_back = %self.context.write_back, attempt = attempts, ?delay, error = %cause,
                "trying records again that are written together");
            self.wait(delay).await?;
            attempts += 1;
        }
    }

    /// One attempt. `at` takes the positions of the batches that are refused.
    async fn attempt_together(
        &mut self,
        batches: &[Batch],
        sent: &mut [Option<Sending>],
        attempts: u32,
        at: &mut Vec<usize>,
    ) -> Result<(), AttemptError> {
        let begun = Instant::now();
        let context = Arc::clone(&self.context);
        let task = context.task();
        let destination = self.connected().await?;
        destination.begin().await?;
        destination.defer_constraints().await?;
        let (mut judged, mut reserved_before) = (Vec::new(), Vec::new());
        for batch in batches {
            destination
                .claim(claim(context.id, &context.layout.object.path, batch.span))
                .await?;
            let reserved = context.reserved(batch).await?;
            let task = Task {
                terms: Terms {
                    reserved: reserved.as_ref(),
                    expected: None,
                },
                ..task
            };
            let mut decided = task.locked(destination, &batch.records, MANNER).await?;
            task.yield_to_requests(destination, &batch.records, &mut decided)
                .await?;
            reserved_before.push(reserved);
            judged.push(decided);
        }
        for (position, (batch, decided)) in batches.iter().zip(&judged).enumerate() {
            destination.set_savepoint().await?;
            let emptied = context.empty(destination, batch, decided).await;
            set_apart(destination, emptied, position, at).await?;
        }
        fault::point("values emptied");
        for (position, (batch, decided)) in batches.iter().zip(&judged).enumerate() {
            destination.set_savepoint().await?;
            let applied = task
                .carry_out(destination, &batch.records, decided, None, Hold::Locked)
                .await;
            set_apart(destination, applied, position, at).await?;
        }
        if !at.is_empty() {
            at.sort_unstable();
            at.dedup();
            return Err(refused().into());
        }
        for (batch, before) in batches.iter().zip(&reserved_before) {
            if context.reserved(batch).await? != *before {
                return Err(overtaken(&context).into());
            }
        }
        let mut prepared = Vec::new();
        for ((batch, decided), sent) in batches.iter().zip(judged).zip(sent) {
            prepared.push(
                self.prepare(
                    batch,
                    decided,
                    sent,
                    attempts,
                    &Share::All,
                    Earlier::default(),
                )
                .await?,
            );
        }
        self.connected().await?.commit().await?;
        fault::point("a batch committed");
        debug!(write_back = %self.context.write_back, records = batches.len(), "wrote records together");
        for (batch, prepared) in batches.iter().zip(prepared) {
            self.settle(batch, prepared, begun.elapsed()).await?;
        }
        Ok(())
    }
}

/// Goes back before what was refused and notes whose it was, so that one attempt finds all that
/// stand in the way.
async fn set_apart(
    destination: &mut AnyDatabase,
    done: Result<(), SystemError>,
    position: usize,
    at: &mut Vec<usize>,
) -> Result<(), SystemError> {
    match done {
        Err(SystemError::Refused { .. } | SystemError::Missed { .. }) => {
            at.push(position);
            destination.return_to_savepoint().await
        }
        done => done,
    }
}

fn overtaken(context: &WriterContext) -> SystemError {
    SystemError::Contended {
        connection: context.connection.name.clone(),
        source: "a request wrote one of the records meanwhile".into(),
    }
}

fn refused() -> SystemError {
    SystemError::Refused {
        message: "some records clash with others".to_owned(),
        column: None,
        clashes: true,
    }
}

impl WriterContext {
    /// Empties what a record's row holds that is to be unique and is written in a moment.
    async fn empty(
        &self,
        database: &mut AnyDatabase,
        batch: &Batch,
        decided: &Decided,
    ) -> Result<(), SystemError> {
        if decided.decisions != [Decision::Update] {
            return Ok(());
        }
        let Self {
            connection, layout, ..
        } = self;
        let effect = self.effect(batch, decided)?;
        let columns = effect.sent().columns();
        let emptied: Vec<usize> = layout
            .emptied()
            .into_iter()
            .filter(|position| effect.is_taken(0, *position))
            .collect();
        if emptied.is_empty() {
            return Ok(());
        }
        let mut fields = layout.positions(|field| field.key);
        fields.extend(&emptied);
        fields.sort_unstable();
        let value = |position: &usize| {
            let values = columns.get(*position)?;
            let none = || Column::full_null(values.name().clone(), values.len(), values.dtype());
            Some(if emptied.contains(position) {
                none()
            } else {
                values.clone()
            })
        };
        let none = DataFrame::new(
            batch.records.height(),
            fields.iter().filter_map(value).collect(),
        );
        let narrow = layout.narrowed(&fields);
        let emptied = narrow.fields.iter().cloned().map(|field| LayoutField {
            keeps_null: false,
            ..field
        });
        let narrow = Layout {
            nulls: NullPolicy::Write,
            fields: emptied.collect(),
            ..narrow
        };
        let write = Write {
            change: Change::Update,
            layout: Cow::Owned(narrow),
            records: shaped(connection, none)?,
            hold: Hold::Locked,
        };
        write.carry_out(database, connection).await
    }
}
