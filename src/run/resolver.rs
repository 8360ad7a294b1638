//! Which rows the values of references mean: looked up as records are pulled, so that what goes into
//! the package, and is judged, previewed, kept and taken back from there on, is the id that was
//! found.

use std::collections::{BTreeSet, HashMap};

use polars::prelude::{DataFrame, IdxCa, IdxSize, PolarsError, PolarsResult, Series};
use tracing::warn;

use crate::destination::AnyDestination;
use crate::destination::seam::Destination;
use crate::domain::conform::Sifted;
use crate::domain::error::{SystemError, chain};
use crate::domain::referral::{
    KnownReferents, Referents, Referral, Referrals, settle, value_texts,
};
use crate::run::plan::Plan;
use crate::run::retry;

/// Values that are asked for at once: what a URL and a statement have room for.
const VALUES_MAX: usize = 200;

/// Values of one reference of which it is remembered what they find. Beyond that all are forgotten
/// and asked for anew, so that memory stays flat where nearly every record has a value of its own.
const REMEMBERED_MAX: usize = 100_000;

/// Looks up what the references of one write-back's records mean, and remembers it.
pub(super) struct Resolver<'a> {
    plan: &'a Plan,
    referrals: &'a Referrals,
    /// Absent before the first value, and after a connection broke.
    destination: Option<AnyDestination>,
    /// By the field's position, and then by the value's text.
    known: HashMap<usize, HashMap<String, Referents>>,
}

impl<'a> Resolver<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        Self::of_some(plan, &plan.referrals)
    }

    /// For records that have some of the write-back's fields, and so some of its references.
    pub(super) fn of_some(plan: &'a Plan, referrals: &'a Referrals) -> Self {
        Self {
            plan,
            referrals,
            destination: None,
            known: HashMap::new(),
        }
    }

    /// Puts ids in the place of values; records of which one means no row, or several, are
    /// rejected.
    pub(super) async fn resolve(&mut self, sifted: Sifted) -> Result<Sifted, SystemError> {
        let referrals = &self.referrals.by_field;
        if referrals.is_empty() {
            return Ok(sifted);
        }
        let Sifted {
            records,
            mut rejections,
        } = sifted;
        for (position, referral) in referrals {
            let texts = value_texts(&records, referral).map_err(|error| self.unreadable(error))?;
            let mut first: HashMap<&str, IdxSize> = HashMap::new();
            for (text, index) in texts.iter().zip(0..) {
                if let Some(text) = text {
                    first.entry(text).or_insert(index);
                }
            }
            let known = self.known.entry(*position).or_default();
            if known.len() > REMEMBERED_MAX {
                known.clear();
            }
            let wanted: BTreeSet<(&str, IdxSize)> = first
                .into_iter()
                .filter(|(text, _)| !known.contains_key(*text))
                .collect();
            let wanted: Vec<(&str, IdxSize)> = wanted.into_iter().collect();
            for asked in wanted.chunks(VALUES_MAX) {
                let indexes = asked.iter().map(|(_, index)| *index).collect();
                let column = records.column(&referral.column.name);
                let values = column.and_then(|column| {
                    let indexes = IdxCa::from_vec("".into(), indexes);
                    column.as_materialized_series().take(&indexes)
                });
                let values = values.map_err(|error| self.unreadable(error))?;
                let found = self.refer(referral, &values).await?;
                let known = self.known.entry(*position).or_default();
                let texts = asked.iter().map(|(text, _)| (*text).to_owned());
                known.extend(texts.zip(found));
            }
        }
        let settled = self.settled(&records);
        let settled = settled.map_err(|error| self.unreadable(error))?;
        rejections.extend(settled.rejections);
        Ok(Sifted {
            records: settled.records,
            rejections,
        })
    }

    /// Asks over a connection that is open already.
    pub(super) fn take_over(&mut self, destination: Option<AnyDestination>) {
        self.destination = destination;
    }

    /// The connection, if it can be used again.
    pub(super) fn into_destination(self) -> Option<AnyDestination> {
        self.destination
    }

    pub(super) async fn close(self) {
        if let Some(destination) = self.destination {
            destination.close().await;
        }
    }

    fn settled(&self, records: &DataFrame) -> PolarsResult<Sifted> {
        let nothing = HashMap::new();
        let known = |(position, referral)| KnownReferents {
            referral,
            found: self.known.get(position).unwrap_or(&nothing),
        };
        let known: Vec<KnownReferents<'_>> = self.referrals.by_field.iter().map(known).collect();
        let mapping = &self.plan.mapping;
        settle(records, mapping.key_columns(), &known, mapping.zones())
    }

    /// Asks as often as it may help.
    async fn refer(
        &mut self,
        referral: &Referral,
        values: &Series,
    ) -> Result<Vec<Referents>, SystemError> {
        let connection = &self.plan.destination;
        let mut delays = retry::delays(connection.limits.attempts_max);
        loop {
            let mut destination = match self.destination.take() {
                Some(destination) => destination,
                None => AnyDestination::connect(connection).await?,
            };
            let error = match destination.refer(referral, values).await {
                Ok(found) => {
                    self.destination = Some(destination);
                    return Ok(found);
                }
                Err(error) => error,
            };
            let Some(delay) = delays.next().filter(|_| error.is_transient()) else {
                return Err(error);
            };
            warn!(write_back = %self.plan.write_back.name, error = %chain(&error).join(": "), ?delay,
                "looking up references again");
            tokio::time::sleep(delay).await;
        }
    }

    fn unreadable(&self, error: PolarsError) -> SystemError {
        SystemError::Failed {
            connection: self.plan.destination.name.clone(),
            doing: "reading references".to_owned(),
            source: error.into(),
            hint: None,
        }
    }
}
