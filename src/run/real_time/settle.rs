//! Finding out what became of a request that was sent and is not known to be written: its row is
//! asked, as a run that is taken up does, and where somebody of ours wrote it since, what it held
//! before that. Nothing is sent.

use tracing::warn;

use super::{Post, Settled};
use crate::destination::seam::{Destination, Transact};
use crate::destination::service::AnyService;
use crate::destination::{AnyDatabase, AnyDestination};
use crate::domain::error::{SystemError, chain};
use crate::ledger::{RequestPlace, SentImages};
use crate::run::doubt::{self, FirstImages, Verdict, claim};
use crate::run::images;
use crate::run::journal_table::JournalTable;
use crate::run::place::run_folder;
use crate::run::push::error::PushError;
use crate::run::record_writes::{RecordOf, was_written};
use crate::run::stop::Stop;

impl Post {
    /// Settles a request about a record whose batch was sent.
    /// Errors: the destination cannot be asked now.
    pub(crate) async fn settle(
        &self,
        place: RequestPlace,
        record: &str,
    ) -> Result<Settled, PushError> {
        if self.ledger.sent_of_request(place).await? == Some(true) {
            return Ok(Settled::Written);
        }
        let sendings = self.ledger.images_of(place.id(), place.span()).await?;
        // Without a before-image nothing was to be written: what is known is all there is.
        let settled = match sendings.is_empty() {
            true => Settled::Written,
            false => match self.plan.destination.system.service() {
                Some(_) => self.settle_by_look((place, record), &sendings).await?,
                None => self.settle_by_marker((place, record), sendings).await?,
            },
        };
        let (ledger, id, span) = (&self.ledger, place.id(), place.span());
        match settled {
            Settled::Written => {
                let keeps = self.plan.write_back.before_images_kept.is_some();
                ledger.record_committed(id, span, 0.0, keeps).await?;
            }
            Settled::NotWritten => ledger.forget_sent(id, span).await?,
        }
        Ok(settled)
    }

    pub(super) fn failed(&self, source: SystemError) -> PushError {
        PushError::Push {
            write_back: self.write_back().to_owned(),
            connection: self.destination().to_owned(),
            source: Box::new(source),
        }
    }

    /// A database is asked about the transaction first, then about the row.
    async fn settle_by_marker(
        &self,
        (place, record): (RequestPlace, &str),
        sendings: Vec<SentImages>,
    ) -> Result<Settled, PushError> {
        let failed = |source| self.failed(source);
        let connected = AnyDatabase::connect(&self.plan.destination).await;
        let mut database = connected.map_err(failed)?;
        database.begin().await.map_err(failed)?;
        let claim = claim(place.id(), &self.plan.object().path, place.span());
        database.claim(claim).await.map_err(failed)?;
        let context = self.context(&self.plan.layout, place, &Stop::new());
        let witness = context.journal.as_ref().map(JournalTable::witness);
        let verdict = doubt::verdict(&mut database, witness.as_ref(), sendings).await;
        let Verdict {
            is_committed,
            unknown,
            ..
        } = verdict.map_err(failed)?;
        let settled = match (is_committed, unknown.as_slice()) {
            (true, _) => Settled::Written,
            (false, []) => Settled::NotWritten,
            (false, unknown) => {
                let mut destination = AnyDestination::Database(database);
                self.look(&mut destination, (place, record), unknown)
                    .await?
            }
        };
        Ok(settled)
    }

    async fn settle_by_look(
        &self,
        about: (RequestPlace, &str),
        sendings: &[SentImages],
    ) -> Result<Settled, PushError> {
        let connected = AnyService::connect(&self.plan.destination).await;
        let service = connected.map_err(|source| self.failed(source))?;
        let mut destination = AnyDestination::Service(service);
        self.look(&mut destination, about, sendings).await
    }

    /// A row that still holds its first before-image was not written. Where a run or another request
    /// wrote it since, what it held before that counts.
    async fn look(
        &self,
        destination: &mut AnyDestination,
        (place, record): (RequestPlace, &str),
        sendings: &[SentImages],
    ) -> Result<Settled, PushError> {
        let folder = run_folder(&self.project, place.run).join(self.write_back());
        let folder = images::folder_in(&folder);
        let Some(first) = sendings.first() else {
            return Ok(Settled::NotWritten);
        };
        let read = || FirstImages::read(&folder, &first.segment, self.plan.object());
        let images = tokio::task::block_in_place(read)?;
        let found = images.still_to_do(destination).await;
        let still_to_do = found.map_err(|source| self.failed(source))?;
        // Who writes the row from now on tells in the ledger first; so the ledger is asked last.
        let of = RecordOf {
            job: &self.job,
            write_back: self.write_back(),
            record,
        };
        let (project, ledger) = (&self.project, &self.ledger);
        let later = match was_written(project, ledger, of, (&folder, sendings)).await {
            Ok(later) => later,
            Err(error) => {
                // The row alone decides, as where nobody wrote it since.
                let error = chain(&error).join(": ");
                warn!(
                    run = place.run,
                    error, "what wrote a row since cannot be read"
                );
                None
            }
        };
        Ok(match later.unwrap_or(!still_to_do.contains(&true)) {
            true => Settled::Written,
            false => Settled::NotWritten,
        })
    }
}
