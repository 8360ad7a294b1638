//! Rounds: records that were refused for what other rows hold are tried again when everything else
//! is written. Values are handed on within a write-back, one row takes what another one gave up,
//! and then it is a matter of order who is refused; the order is the match key's, and partitions
//! and writers know nothing of one another.
//!
//! A record that waits for its round stands nowhere in the ledger, as if it had not been sent:
//! whoever takes up a run that was killed finds it so, and refuses it anew.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinSet, block_in_place};
use tracing::info;

use super::PushError;
use super::batch::Batch;
use super::known::PartitionKnowledge;
use super::outcomes::{self, PushedPartition};
use super::push::{Push, identities, load};
use super::writer::together::Together;
use super::writer::{HeldUp, Writer};
use crate::domain::outcome::{Rejection, Stage, Tally};
use crate::package::Partition;

/// Attempts that rounds may make for each record that waits for them, and beyond that for all
/// together: a round goes through all of them, and where each hands on to the next the order may be
/// such that it frees but a few.
const ATTEMPTS_PER_RECORD: usize = 32;
const ATTEMPTS_MORE: usize = 10_000;

/// Records that are written in one transaction at most: they lie anywhere, and their partitions in
/// memory with them.
const TOGETHER_MAX: usize = 1_000;

/// How often records are left out: each time those that wait for the ones left out before.
const TOGETHER_ATTEMPTS_MAX: usize = 16;

impl Push<'_> {
    /// Tries records again, each alone, as long as a round writes any of them. Returns what became
    /// of those that were settled, and those that are refused still.
    pub(super) async fn try_again(
        &self,
        waiting: Vec<HeldUp>,
    ) -> Result<(Tally, Vec<HeldUp>), PushError> {
        if waiting.is_empty() {
            return Ok((Tally::default(), waiting));
        }
        let mut writer = Writer::new(Arc::new(self.writer_context()));
        let waiting = self.rounds(&mut writer, waiting).await;
        let (tally, _) = writer.close().await;
        waiting.map(|waiting| (tally, waiting))
    }

    async fn rounds(
        &self,
        writer: &mut Writer,
        mut waiting: Vec<HeldUp>,
    ) -> Result<Vec<HeldUp>, PushError> {
        let mut attempts_left = waiting
            .len()
            .saturating_mul(ATTEMPTS_PER_RECORD)
            .saturating_add(ATTEMPTS_MORE);
        waiting.sort_by_key(|held_up| held_up.span);
        loop {
            let count = waiting.len();
            // Down and up again: a chain that runs along the keys, whichever way, takes one round.
            waiting.reverse();
            for of_partition in in_partitions(&waiting) {
                for batch in self.singles(of_partition).await? {
                    writer.deliver(batch).await?;
                }
            }
            waiting = writer.take_held_up();
            info!(write_back = %self.assignment.write_back, run = self.id.run, tried = count, refused = waiting.len(),
                "tried records again that clashed with other rows");
            attempts_left = attempts_left.saturating_sub(count);
            if waiting.len() == count {
                waiting = self.together(writer, waiting).await?;
            }
            if waiting.is_empty() || waiting.len() == count || attempts_left == 0 {
                return Ok(waiting);
            }
        }
    }

    /// Writes in one transaction what can be written so: of records that hand values round none can
    /// be the first. Those that cannot be written even with all others are left out, and then those
    /// that they keep from being written.
    async fn together(
        &self,
        writer: &mut Writer,
        mut waiting: Vec<HeldUp>,
    ) -> Result<Vec<HeldUp>, PushError> {
        if waiting.len() > TOGETHER_MAX || self.assignment.last_written.is_some() {
            return Ok(waiting);
        }
        let mut batches = Vec::new();
        for of_partition in in_partitions(&waiting) {
            batches.extend(self.singles(of_partition).await?);
        }
        let mut left_out = Vec::new();
        for _ in 0..TOGETHER_ATTEMPTS_MAX {
            if batches.len() < 2 {
                break;
            }
            match writer.deliver_together(&batches).await? {
                Together::Committed => {
                    left_out.sort_by_key(|held_up: &HeldUp| held_up.span);
                    return Ok(left_out);
                }
                Together::Refused { at } if at.is_empty() => break,
                Together::Refused { at } => {
                    for position in at.into_iter().rev() {
                        drop(batches.remove(position));
                        left_out.push(waiting.remove(position));
                    }
                }
            }
        }
        waiting.extend(left_out);
        waiting.sort_by_key(|held_up| held_up.span);
        Ok(waiting)
    }

    /// What it would be to reject these records now.
    pub(super) async fn rejections(&self, refused: &[HeldUp]) -> Result<Vec<Rejection>, PushError> {
        let mut rejections = Vec::new();
        for of_partition in in_partitions(refused) {
            for (
                batch,
                HeldUp {
                    message, column, ..
                },
            ) in self.singles(of_partition).await?.iter().zip(of_partition)
            {
                rejections.push(batch.reject(
                    0,
                    Stage::Destination,
                    column.clone(),
                    message.clone(),
                ));
            }
        }
        Ok(rejections)
    }

    /// Rejects the records that no round could write. Returns what was counted so.
    pub(super) async fn give_up(&self, refused: Vec<HeldUp>) -> Result<Tally, PushError> {
        if refused.is_empty() {
            return Ok(Tally::default());
        }
        let mut writer = Writer::new(Arc::new(self.writer_context()));
        for of_partition in in_partitions(&refused) {
            for (
                batch,
                HeldUp {
                    message, column, ..
                },
            ) in self.singles(of_partition).await?.iter().zip(of_partition)
            {
                writer
                    .reject(batch, message.clone(), column.clone())
                    .await?;
            }
        }
        Ok(writer.close().await.0)
    }

    /// The records of one partition as batches of one, in the same order.
    async fn singles(&self, held_up: &[HeldUp]) -> Result<Vec<Batch>, PushError> {
        let Some(first) = held_up.first() else {
            return Ok(Vec::new());
        };
        let partition = usize::try_from(first.span.partition).unwrap_or(usize::MAX);
        let loaded = self.load(partition)?;
        // They were looked up before, and were refused.
        let known = PartitionKnowledge {
            as_written: None,
            ..self.known(&mut self.knowledge(), &loaded)?
        };
        let range =
            |held_up: &HeldUp| held_up.span.first..held_up.span.first + held_up.span.records;
        let ranges: Vec<Range<u32>> = held_up.iter().map(range).collect();
        let cutter = self.span_cutter().await?;
        Ok(cutter
            .cut(
                partition,
                &loaded,
                self.assignment.contents,
                &ranges,
                &known,
            )
            .0)
    }

    fn load(&self, partition: usize) -> Result<Partition, PushError> {
        block_in_place(|| load(self.assignment, self.package, partition, self.id.run))
    }

    /// Writes `outcomes.parquet` of records all of which are settled.
    pub(super) async fn report(&self) -> Result<(), PushError> {
        let (sender, partitions) = mpsc::channel(1);
        let mut report = JoinSet::new();
        report.spawn(outcomes::write(
            self.folder.join("outcomes.parquet"),
            self.ledger.clone(),
            self.id,
            partitions,
        ));
        let mut knowledge = self.knowledge();
        for (partition, number) in (0..self.package.partition_count()).zip(0..) {
            let loaded = self.load(partition)?;
            let known = self.known(&mut knowledge, &loaded)?;
            let identities = Arc::new(identities(self.assignment.contents, &loaded.records));
            // One that failed says why when it is waited for.
            drop(
                sender
                    .send(PushedPartition::new(number, identities, known.as_written).0)
                    .await,
            );
        }
        drop(sender);
        while let Some(written) = report.join_next().await {
            written??;
        }
        Ok(())
    }
}

fn in_partitions(records: &[HeldUp]) -> impl Iterator<Item = &[HeldUp]> {
    records.chunk_by(|left, right| left.span.partition == right.span.partition)
}
