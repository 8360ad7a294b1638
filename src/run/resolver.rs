//! Which rows the values of references mean: looked up as records are pulled, so that what goes into
//! the package, and is judged, previewed, kept and taken back from there on, is the id that was
//! found.

use std::collections::{BTreeSet, HashMap};

use polars::prelude::{DataFrame, IdxCa, IdxSize, PolarsResult};

use crate::destination::AnyDestination;
use crate::domain::conform::Sifted;
use crate::domain::error::SystemError;
use crate::domain::parking::LeftAlone;
use crate::domain::referral::{KnownReferents, Referents, Referrals, settle, value_texts};
use crate::run::asker::{Asker, REMEMBERED_MAX, VALUES_MAX};
use crate::run::plan::Plan;
use crate::run::walker::{Sharing, Walked, Walker};

/// Looks up what the references of one write-back's records mean, and remembers it.
pub(super) struct Resolver<'a> {
    plan: &'a Plan,
    referrals: &'a Referrals,
    asker: Asker<'a>,
    /// By the field's position, and then by the value's text.
    known: HashMap<usize, HashMap<String, Referents>>,
    /// Absent where records are written to rows of their own.
    walker: Option<Walker<'a>>,
}

/// Records whose references are ids, and what became of the others.
pub(super) struct Resolved {
    pub(super) sifted: Sifted,
    pub(super) left_alone: Vec<LeftAlone>,
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
            asker: Asker::new(&plan.write_back.name, &plan.destination),
            known: HashMap::new(),
            walker: Walker::of(plan),
        }
    }

    /// Puts ids in the place of values, and leads records to their rows; those of which a value
    /// means no row, or several, are rejected.
    pub(super) async fn resolve(&mut self, sifted: Sifted) -> Result<Resolved, SystemError> {
        let Sifted {
            records,
            mut rejections,
        } = self.refer(sifted).await?;
        let Some(walker) = &mut self.walker else {
            let sifted = Sifted {
                records,
                rejections,
            };
            return Ok(Resolved {
                sifted,
                left_alone: Vec::new(),
            });
        };
        let Walked {
            records,
            rejections: lost,
            left_alone,
        } = walker.walk(&mut self.asker, &records).await?;
        rejections.extend(lost);
        let sifted = Sifted {
            records,
            rejections,
        };
        Ok(Resolved { sifted, left_alone })
    }

    /// By how many rows those are shared that records were led to, where a way leads there.
    pub(super) fn sharing(&self) -> Option<Sharing> {
        self.walker.as_ref().and_then(Walker::sharing)
    }

    async fn refer(&mut self, sifted: Sifted) -> Result<Sifted, SystemError> {
        let referrals = &self.referrals.by_field;
        if referrals.is_empty() {
            return Ok(sifted);
        }
        let Sifted {
            records,
            mut rejections,
        } = sifted;
        for (position, referral) in referrals {
            let texts = value_texts(&records, referral);
            let texts = texts.map_err(|error| self.asker.unreadable(error))?;
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
                let values = values.map_err(|error| self.asker.unreadable(error))?;
                let found = self.asker.refer(referral, &values).await?;
                let known = self.known.entry(*position).or_default();
                let texts = asked.iter().map(|(text, _)| (*text).to_owned());
                known.extend(texts.zip(found));
            }
        }
        let settled = self.settled(&records);
        let settled = settled.map_err(|error| self.asker.unreadable(error))?;
        rejections.extend(settled.rejections);
        Ok(Sifted {
            records: settled.records,
            rejections,
        })
    }

    /// Asks over a connection that is open already.
    pub(super) fn take_over(&mut self, destination: Option<AnyDestination>) {
        self.asker.take_over(destination);
    }

    /// The connection, if it can be used again.
    pub(super) fn into_destination(self) -> Option<AnyDestination> {
        self.asker.into_destination()
    }

    pub(super) async fn close(self) {
        self.asker.close().await;
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
}
