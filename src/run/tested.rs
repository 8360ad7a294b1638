//! A test that stays: its one record is written as requests are, as a part of the day's run, so that
//! history tells of it and an undo takes it back.

use std::sync::Arc;

use chrono::{NaiveTime, Utc};
use polars::prelude::{Column, DataFrame};
use xxhash_rust::xxh3::xxh3_128;

use super::batch::{Batch, RequestTerms};
use super::conflicts::LastValues;
use super::outcomes::PushedPartition;
use super::plan::Plan;
use super::push::error::PushError;
use super::real_time::writer_context;
use super::stop::Stop;
use super::write::judge::Decided;
use super::writer::Writer;
use crate::config::Project;
use crate::domain::outcome::{Outcome, Rejection, Stage};
use crate::domain::record::{Identities, RECORD_POSITION};
use crate::ledger::{
    DayRun, Ledger, LedgerError, MayBeParked, NewRecordRequest, RequestBegun, RequestEnd,
    RequestPlace,
};

/// Who asks for what a test writes, as history tells it.
const CALLER: &str = "writeback test";

/// Where it is accounted for what a test writes.
#[derive(Clone, Copy)]
pub(crate) struct TestAccount<'a> {
    pub(crate) project: &'a Project,
    pub(crate) ledger: &'a Ledger,
    pub(crate) job: &'a str,
}

/// What became of a record.
pub(super) enum Tested {
    Decided(Box<Decided>),
    /// The destination refuses it.
    Refused(Rejection),
}

/// A record and what it is written with.
#[derive(Clone, Copy)]
pub(super) struct TestedRecord<'a> {
    pub(super) plan: &'a Plan,
    pub(super) key: &'a str,
    /// Shape: a batch's, of one record.
    pub(super) record: &'a DataFrame,
    pub(super) last: Option<&'a LastValues>,
}

impl TestedRecord<'_> {
    fn batch(&self, place: RequestPlace) -> Batch {
        let mut identified = self.record.clone();
        let key_columns = self.plan.mapping.key_columns();
        let position = Column::new(RECORD_POSITION.into(), [u64::from(place.sequence)]);
        // What is made of a record may be without the key that the record is known by.
        let absent = key_columns
            .iter()
            .filter(|name| self.record.column(name).is_err());
        let keys = absent.map(|name| Column::new(name.into(), [self.key]));
        let identities = keys
            .chain([position])
            .try_for_each(|column| identified.with_column(column).map(drop))
            .and_then(|()| Identities::of(&identified, key_columns))
            .expect("one record has one position and the columns of its key");
        let identities = Arc::new(identities);
        let (_, under_way) = PushedPartition::new(place.sequence, Arc::clone(&identities), None);
        Batch {
            span: place.span(),
            records: self.record.clone(),
            identities,
            under_way,
            sent: None,
            looked_up: None,
            last_written: self.last.cloned().map(Box::new),
            request: Some(Box::new(RequestTerms {
                expected: None,
                is_test: true,
            })),
        }
    }
}

impl TestAccount<'_> {
    /// Writes a record, as a run does. Returns what became of it, and the id that an undo takes.
    /// Errors: whatever keeps it from being written, or from being known to be.
    pub(super) async fn write(
        &self,
        tested: TestedRecord<'_>,
    ) -> Result<(Tested, String), PushError> {
        let (place, id) = self.begin(tested).await?;
        let worked = self.deliver(tested, place).await;
        let is_counted = match &worked {
            Ok(_) => true,
            // What was sent stays open, for an undo to find out about.
            Err(_) if self.ledger.sent_of_request(place).await?.is_some() => {
                return worked.map(|tested| (tested, id));
            }
            Err(_) => false,
        };
        let end = RequestEnd::counted("{}".to_owned(), is_counted);
        self.ledger.end_record_request(place, &end).await?;
        worked.map(|tested| (tested, id))
    }

    async fn begin(
        &self,
        TestedRecord { plan, key, .. }: TestedRecord<'_>,
    ) -> Result<(RequestPlace, String), LedgerError> {
        let now = Utc::now();
        let today = now.date_naive();
        let told = format!("{} {} {key} {now:?}", self.job, plan.name());
        let id = format!("{:032x}", xxh3_128(told.as_bytes()));
        let fields: Vec<String> = plan
            .layout
            .written_fields()
            .map(|field| field.column.name.clone())
            .collect();
        let new = NewRecordRequest {
            id: &id,
            caller: CALLER,
            idempotency_key: None,
            digest: &id,
            job: self.job,
            write_back: plan.name(),
            record: key,
            // That was seen as it was looked for in the source.
            may_be_parked: MayBeParked::As([key; 2]),
            fields: &fields,
            origin: None,
            actor: None,
            asked_at: now,
            accepted: None,
        };
        let day_run = DayRun {
            day: &today.to_string(),
            begins_at: today.and_time(NaiveTime::MIN).and_utc(),
            mapped_for: &plan.mapped_for(),
        };
        let begun = self.ledger.begin_record_request(&new, &day_run).await?;
        let place = match begun {
            RequestBegun::New(place) => place,
            RequestBegun::Known(known) => known.place,
        };
        Ok((place, id))
    }

    async fn deliver(
        &self,
        tested: TestedRecord<'_>,
        place: RequestPlace,
    ) -> Result<Tested, PushError> {
        let plan = tested.plan;
        let layout = Arc::clone(&plan.layout);
        let (project, ledger) = (self.project, self.ledger);
        let context = writer_context(
            plan,
            project,
            (ledger, self.job),
            &layout,
            place,
            &Stop::new(),
        );
        let mut writer = Writer::new(Arc::new(context));
        writer.deliver(tested.batch(place)).await?;
        for held_up in writer.take_held_up() {
            let batch = tested.batch(place);
            writer
                .reject(&batch, held_up.message, held_up.column)
                .await?;
        }
        let decided = writer.decided.take();
        writer.close().await;
        let batches = ledger.outcomes(place.id(), place.sequence).await?;
        let outcome = batches.into_iter().flat_map(|batch| batch.outcomes).next();
        Ok(match (outcome, decided) {
            (Some(Outcome::Rejected(rejection)), _) if rejection.stage == Stage::Destination => {
                Tested::Refused(*rejection)
            }
            (Some(Outcome::Rejected(rejection)), None) => Tested::Refused(*rejection),
            (_, Some(decided)) => Tested::Decided(Box::new(decided)),
            (_, None) => Tested::Decided(Box::new(Decided::nothing(1))),
        })
    }
}
