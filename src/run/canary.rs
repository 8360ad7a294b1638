//! Canaries within a run: a write-back's first records are pushed, looked at, and the rest follows
//! only if they are well. Which records those are stands in [`crate::domain::canary`]; the ledger
//! remembers that they were well, so that a run that is taken up neither sends a second canary nor
//! goes on past one that nobody looked at.

use std::collections::BTreeSet;
use std::ops::Range;

use polars::prelude::{BooleanChunked, DataFrame, IdxSize};
use tokio::task::block_in_place;
use tracing::info;

use super::PushError;
use super::conflicts::kept;
use super::push::{CanaryRule, Contents, Push, hand_over, load};
use super::reader::Reader;
use crate::destination::AnyDestination;
use crate::destination::seam::{Destination, LookUp, records_at};
use crate::domain::alteration::Cause;
use crate::domain::before::Before;
use crate::domain::canary::Trouble;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::outcome::{Outcome, Rejection, Tally};
use crate::domain::record::{cell_text, key_texts};
use crate::domain::sameness::same;
use crate::fault;
use crate::ledger::{PassedCanary, SentBatch};
use crate::package::Partition;

/// Rows that are looked at again, about: what a trigger or a type does to values it does to most of
/// them.
const READ_BACK_MAX: usize = 100;

impl Push<'_> {
    /// Pushes what goes first and looks at it, unless that was done before. Returns what became of
    /// the records that this process pushed. Errors: `Canary`, if they are not well: nothing more
    /// is to be pushed then.
    pub(super) async fn push_canary(&self) -> Result<Tally, PushError> {
        let Some(rule) = self.assignment.canary else {
            return Ok(Tally::default());
        };
        if self.ledger.canary(self.id).await?.is_some() {
            return Ok(Tally::default());
        }
        let (pushed, sent) = self.send_canary(rule).await?;
        fault::point("a canary written");
        if sent.tally.accounted() == 0 {
            return Ok(pushed);
        }
        let troubles = self.troubles(rule, &sent).await?;
        if !troubles.is_empty() {
            return Err(PushError::Canary {
                write_back: self.assignment.write_back.to_owned(),
                troubles,
                created: sent.tally.inserted > 0,
                keeps_before_images: self.assignment.keeps_before_images,
            });
        }
        let passed = PassedCanary {
            records: sent.tally.accounted(),
            read_back: sent.read_back(),
        };
        self.ledger.pass_canary(self.id, passed).await?;
        info!(write_back = %self.assignment.write_back, run = self.id.run, records = passed.records,
            read_back = passed.read_back, "the canary is well; the rest follows");
        Ok(pushed)
    }

    /// Pushes the canary partition by partition: those it takes nothing of are not loaded.
    async fn send_canary(&self, rule: CanaryRule) -> Result<(Tally, SentCanary), PushError> {
        let shares = rule.canary.shares(&self.package.partition_records());
        let samples_max = READ_BACK_MAX.div_ceil(
            shares
                .iter()
                .filter(|share| share.records > 0)
                .count()
                .max(1),
        );
        let spans = self.span_cutter().await?;
        let (queue, writers) = self.start_writers();
        let mut knowledge = self.knowledge();
        let mut sent = SentCanary::default();
        let mut left = 0;
        for (partition, share) in shares.into_iter().enumerate() {
            let share = share.and(left);
            if share.records == 0 {
                continue;
            }
            let loaded =
                block_in_place(|| load(self.assignment, self.package, partition, self.id.run))?;
            let (ranges, not_taken) =
                share.of(u64::try_from(loaded.records.height()).unwrap_or(u64::MAX));
            left = not_taken;
            let ranges: Vec<Range<u32>> = ranges
                .into_iter()
                .map(|range| narrow(range.start)..narrow(range.end))
                .collect();
            let known = self.known(&mut knowledge, &loaded)?;
            let (batches, mut under_way) = spans.cut(
                partition,
                &loaded,
                self.assignment.contents,
                &ranges,
                &known,
            );
            if !hand_over(&queue, batches).await {
                break;
            }
            under_way.ended().await;
            let batches = self.ledger.outcomes(self.id, narrow(partition)).await?;
            block_in_place(|| {
                sent.add(
                    self.assignment.contents,
                    &loaded,
                    batches,
                    &ranges,
                    samples_max,
                )
            });
        }
        drop(queue);
        let (mut pushed, held_up) = writers.join().await?;
        let (tried, refused) = self.try_again(held_up).await?;
        pushed += tried;
        sent.hold_up(&tried, self.rejections(&refused).await?);
        Ok((pushed, sent))
    }

    /// What is wrong with a canary that was sent.
    async fn troubles(
        &self,
        rule: CanaryRule,
        sent: &SentCanary,
    ) -> Result<Vec<Trouble>, PushError> {
        let mut troubles: Vec<Trouble> = sent.too_many_rejected(rule).into_iter().collect();
        let layout = &**self.assignment.layout;
        let mut reader = Reader::new(
            self.assignment.write_back,
            self.assignment.destination,
            self.stop,
        );
        let left_alone = kept::values(self.ledger, self.id, &self.folder).await?;
        let mut doubts = Vec::new();
        for sample in &sent.samples {
            let held = reader
                .look_up(layout, &sample.records, Before::OfAll)
                .await?;
            for (record, found) in held.found.iter().enumerate() {
                let values = held.before.of(record).filter(|_| found.rows == 1);
                match values {
                    None => doubts.extend(sample.keys.get(record).map(|key| Doubt::Rows {
                        key,
                        rows: found.rows,
                    })),
                    Some(values) => {
                        doubts.extend(sample.altered(layout, record, &values, &left_alone))
                    }
                }
            }
        }
        reader.close().await;
        if !doubts.is_empty() {
            let triggers = self.triggers().await;
            troubles.extend(doubts.into_iter().map(|doubt| doubt.explained(&triggers)));
        }
        Ok(troubles)
    }

    /// The object's triggers. They are asked for to explain what was found, which stands without
    /// them.
    async fn triggers(&self) -> Vec<String> {
        let Ok(mut destination) = AnyDestination::connect(self.assignment.destination).await else {
            return Vec::new();
        };
        let triggers = destination.triggers(&self.assignment.layout.object).await;
        destination.close().await;
        triggers.unwrap_or_default()
    }
}

/// Positions in a package and numbers of its partitions are far below what 32 bits hold.
fn narrow<Wide: TryInto<u32>>(position: Wide) -> u32 {
    position.try_into().unwrap_or(u32::MAX)
}

/// What became of a canary.
#[derive(Default)]
struct SentCanary {
    tally: Tally,
    /// Of those rejected, the first.
    rejection: Option<Rejection>,
    /// One of each partition it was taken from.
    samples: Vec<Sample>,
}

impl SentCanary {
    /// Takes in the committed batches of a partition that begin within the canary's ranges, and
    /// what is to be looked at again of them: records that were written first of all.
    fn add(
        &mut self,
        contents: Contents<'_>,
        loaded: &Partition,
        batches: Vec<SentBatch>,
        within: &[Range<u32>],
        samples_max: usize,
    ) {
        let (mut written, mut unchanged) = (Vec::new(), Vec::new());
        let of_canary =
            |batch: &SentBatch| within.iter().any(|range| range.contains(&batch.span.first));
        for batch in batches.into_iter().filter(of_canary) {
            for (position, outcome) in (IdxSize::from(batch.span.first)..).zip(batch.outcomes) {
                self.tally.count(&outcome);
                match Reached::of(&outcome) {
                    Some(Reached::Unchanged) => unchanged.push((position, Reached::Unchanged)),
                    Some(reached) => written.push((position, reached)),
                    None => {
                        let refused = || outcome.rejection().cloned();
                        self.rejection = self.rejection.take().or_else(refused);
                    }
                }
            }
        }
        let mut chosen = evenly(written, samples_max);
        let room = samples_max - chosen.len();
        chosen.extend(evenly(unchanged, room));
        chosen.sort_by_key(|(position, _)| *position);
        if !chosen.is_empty() {
            self.samples.push(Sample::of(contents, loaded, chosen));
        }
    }

    /// Takes in records that clashed with other rows: those that a later round settled, and those
    /// that count as rejected here, though what follows may yet make room for them.
    fn hold_up(&mut self, settled: &Tally, refused: Vec<Rejection>) {
        self.tally += *settled;
        self.tally.rejected += u64::try_from(refused.len()).unwrap_or(u64::MAX);
        self.rejection = self.rejection.take().or(refused.into_iter().next());
    }

    fn too_many_rejected(&self, CanaryRule { rejected_max, .. }: CanaryRule) -> Option<Trouble> {
        let (records, of) = (self.tally.rejected, self.tally.accounted());
        let too_many = rejected_max.map_or(records > 0, |bound| bound.is_exceeded_by(records, of));
        let example = self.rejection.clone().filter(|_| too_many)?;
        Some(Trouble::Rejected {
            records,
            of,
            bound: rejected_max,
            example,
        })
    }

    fn read_back(&self) -> u64 {
        self.samples
            .iter()
            .map(|sample| u64::try_from(sample.keys.len()).unwrap_or(u64::MAX))
            .sum()
    }
}

/// At most `max` of the values, from the first to the last.
fn evenly<T: Copy>(values: Vec<T>, max: usize) -> Vec<T> {
    if values.len() <= max {
        return values;
    }
    (0..max)
        .filter_map(|index| values.get(index * values.len() / max).copied())
        .collect()
}

/// How a record came to have the row it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    Inserted,
    Updated,
    Unchanged,
}

impl Reached {
    /// How a record came to its row, where there is something to look at again.
    fn of(outcome: &Outcome) -> Option<Self> {
        let ways = [
            (Outcome::Inserted, Self::Inserted),
            (Outcome::Updated, Self::Updated),
            (Outcome::Unchanged, Self::Unchanged),
        ];
        let known = ways.into_iter().find(|(came_to, _)| came_to == outcome);
        known.map(|(_, reached)| reached)
    }
}

/// Records whose rows are looked at again.
struct Sample {
    /// Shape: a batch's, in the layout's order.
    records: DataFrame,
    keys: Vec<String>,
    /// Which fields of each are written, where that was decided before; a column for each field.
    written: Vec<Option<BooleanChunked>>,
    reached: Vec<Reached>,
}

impl Sample {
    /// `chosen` are positions in the partition, ascending.
    fn of(contents: Contents<'_>, loaded: &Partition, chosen: Vec<(IdxSize, Reached)>) -> Self {
        let (positions, reached): (Vec<_>, Vec<_>) = chosen.into_iter().unzip();
        let records = records_at(&loaded.records, &positions);
        Self {
            keys: key_texts(&records, contents.key_columns()),
            records: contents.sent(&records),
            written: contents.written(&records),
            reached,
        }
    }

    /// The fields of a record's row that hold something else than was sent, but for values that
    /// were left alone.
    fn altered<'a>(
        &'a self,
        layout: &'a Layout,
        record: usize,
        held: &[Option<&str>],
        left_alone: &BTreeSet<(String, String)>,
    ) -> Vec<Doubt<'a>> {
        let (Some(key), Some(reached)) = (self.keys.get(record), self.reached.get(record)) else {
            return Vec::new();
        };
        let fields = layout
            .fields
            .iter()
            .zip(self.records.columns())
            .zip(held)
            .enumerate();
        let altered = fields.filter_map(|(position, ((field, column), held))| {
            let sent = cell_text(column, record);
            let to_hold = to_hold(layout, field, *reached, sent.as_deref(), *held);
            let is_left_alone = left_alone.contains(&(key.clone(), field.column.name.clone()));
            let written = self
                .written
                .get(position)
                .and_then(|written| written.as_ref()?.get(record));
            let is_altered =
                !is_left_alone && written != Some(false) && !same(field.kind, to_hold, *held);
            is_altered.then(|| Doubt::Altered {
                key,
                field,
                held: held.map(str::to_owned),
                sent,
            })
        });
        altered.collect()
    }
}

/// What a row that `held` something is to hold in a field. What decides whether a field of a row
/// that was there is written is what stood in it, which nobody knows any more: where that may have
/// been what stands in it now, it is well.
fn to_hold<'a>(
    layout: &Layout,
    field: &LayoutField,
    reached: Reached,
    sent: Option<&'a str>,
    held: Option<&'a str>,
) -> Option<&'a str> {
    match reached {
        Reached::Inserted => sent,
        Reached::Unchanged if field.stamp => held,
        Reached::Updated | Reached::Unchanged => layout.after_update(field, held, sent),
    }
}

/// A row that is not as it was written, before anybody asked why.
enum Doubt<'a> {
    Altered {
        key: &'a str,
        field: &'a LayoutField,
        sent: Option<String>,
        held: Option<String>,
    },
    Rows {
        key: &'a str,
        rows: u64,
    },
}

impl Doubt<'_> {
    fn explained(self, triggers: &[String]) -> Trouble {
        match self {
            Self::Altered {
                key,
                field,
                sent,
                held,
            } => Trouble::Altered {
                cause: Cause::likely(field, sent.as_deref(), held.as_deref(), triggers),
                key: key.to_owned(),
                column: field.column.name.clone(),
                sent,
                held,
            },
            Self::Rows { key, rows } => Trouble::Rows {
                key: key.to_owned(),
                rows,
                cause: Cause::of_triggers(triggers),
            },
        }
    }
}
