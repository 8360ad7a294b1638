//! Batches in doubt within a run, and after it: what their markers say, and of which records the
//! rows are still as they were before. The rule stands in [`crate::domain::doubt`].

use std::collections::BTreeMap;
use std::path::Path;

use polars::prelude::{BooleanChunked, Column, DataFrame, IdxSize};
use tracing::warn;

use super::images::{ImageError, Segment};
use super::journal_table::JournalWitness;
use crate::destination::AnyDatabase;
use crate::destination::seam::{Claim, Destination, LookUp, Transact, records_at};
use crate::domain::before::Before;
use crate::domain::connection::{Connection, System};
use crate::domain::doubt::{Fate, Marker, SentWrite};
use crate::domain::error::{SystemError, chain};
use crate::domain::field::NullPolicy;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::match_rule::MatchMode;
use crate::domain::object::Object;
use crate::ledger::{BatchSpan, Commit, ImageSegment, SentImages, WriteBackId};
use crate::run::retry;

/// Another sending of the same batch may be under way: its connection broke, or its process was
/// killed, while it committed. Whatever is written of a batch whose commit is unknown has the span
/// it was sent with.
pub(super) fn claim(id: WriteBackId, object: &[String], span: BatchSpan) -> Claim {
    Claim::of(&format!("{id:?} {object:?} {span:?}"))
}

/// What the destination says of a batch in doubt.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// One of its sendings was committed, and with it all of the batch.
    pub(super) is_committed: bool,
    /// Sendings that were rolled back.
    pub(super) rolled_back: Vec<i64>,
    /// Those of which it cannot tell.
    pub(super) unknown: Vec<SentImages>,
}

/// Asks what became of a batch's sendings, within the open transaction that has claimed it.
pub(super) async fn verdict(
    destination: &mut AnyDatabase,
    journal: Option<&JournalWitness<'_>>,
    sendings: Vec<SentImages>,
) -> Result<Verdict, SystemError> {
    let mut verdict = Verdict::default();
    for sending in sendings.into_iter().rev() {
        match fate(destination, journal, sending.marker.as_ref()).await? {
            Fate::Committed => verdict.is_committed = true,
            Fate::RolledBack => verdict.rolled_back.push(sending.image),
            Fate::Unknown => verdict.unknown.push(sending),
        }
    }
    verdict.unknown.reverse();
    Ok(verdict)
}

async fn fate(
    destination: &mut AnyDatabase,
    journal: Option<&JournalWitness<'_>>,
    marker: Option<&Marker>,
) -> Result<Fate, SystemError> {
    let Some(Marker {
        transaction,
        journal: mark,
    }) = marker
    else {
        return Ok(Fate::Unknown);
    };
    if let Some(transaction) = transaction {
        let fate = destination.fate_of(transaction).await?;
        if fate != Fate::Unknown {
            return Ok(fate);
        }
    }
    // A row that is not there may have been removed since.
    match (journal, mark) {
        (Some(journal), Some(mark)) if journal.has(destination, mark).await? => Ok(Fate::Committed),
        _ => Ok(Fate::Unknown),
    }
}

/// What a write-back of a run sent, without what the destination says was rolled back: of batches
/// that it says were committed, the commit is known. Waits until no sending of a batch in doubt is
/// under way, and may end one: no other process is to be at work on the job.
pub(super) async fn settled(
    connection: &Connection,
    journal: Option<&JournalWitness<'_>>,
    id: WriteBackId,
    object: &[String],
    sendings: Vec<SentImages>,
) -> Result<Vec<SentImages>, SystemError> {
    let is_service = matches!(connection.system, System::Service(_));
    let is_known = |sending: &SentImages| sending.commit != Commit::InDoubt;
    // A web API has nothing to ask: its rows are looked at.
    if is_service || sendings.iter().all(is_known) {
        return Ok(sendings);
    }
    let mut delays = retry::delays(connection.limits.attempts_max);
    loop {
        let error = match settled_at_once(connection, journal, id, object, &sendings).await {
            Ok(settled) => return Ok(settled),
            Err(error) => error,
        };
        let Some(delay) = delays.next().filter(|_| error.is_transient()) else {
            return Err(error);
        };
        let cause = chain(&error).join(": ");
        warn!(run = id.run, ?delay, error = %cause, "asking again what became of batches in doubt");
        tokio::time::sleep(delay).await;
    }
}

async fn settled_at_once(
    connection: &Connection,
    journal: Option<&JournalWitness<'_>>,
    id: WriteBackId,
    object: &[String],
    sendings: &[SentImages],
) -> Result<Vec<SentImages>, SystemError> {
    let mut destination = AnyDatabase::connect(connection).await?;
    let mut settled = Vec::new();
    for batch in sendings.chunk_by(|left, right| left.span == right.span) {
        match batch
            .iter()
            .any(|sending| sending.commit == Commit::InDoubt)
        {
            false => settled.extend_from_slice(batch),
            true => {
                settled.extend(settled_batch(&mut destination, journal, id, object, batch).await?)
            }
        }
    }
    destination.close().await;
    Ok(settled)
}

async fn settled_batch(
    destination: &mut AnyDatabase,
    journal: Option<&JournalWitness<'_>>,
    id: WriteBackId,
    object: &[String],
    batch: &[SentImages],
) -> Result<Vec<SentImages>, SystemError> {
    let is_file = destination.is_file();
    let span = batch.first().map(|sending| sending.span);
    // A commit into a file ends with the process that makes it.
    if let (false, Some(span)) = (is_file, span) {
        destination.begin().await?;
        destination.claim(claim(id, object, span)).await?;
    }
    let verdict = verdict(destination, journal, batch.to_vec()).await?;
    if !is_file {
        destination.rollback().await?;
    }
    let stands = |sending: &&SentImages| !verdict.rolled_back.contains(&sending.image);
    let known = |sending: &SentImages| {
        let is_unknown = verdict
            .unknown
            .iter()
            .any(|unknown| unknown.image == sending.image);
        let commit = match (verdict.is_committed, is_unknown) {
            (true, false) => Commit::Known,
            (true, true) => Commit::Doubtful,
            (false, _) => Commit::InDoubt,
        };
        SentImages {
            commit,
            ..sending.clone()
        }
    };
    Ok(batch.iter().filter(stands).map(known).collect())
}

/// The before-images of a sending in doubt, ready to be held against the rows as they are now.
pub(super) struct FirstImages {
    /// The match key and, as the database's own text, what rows held.
    layout: Layout,
    /// Shape: as a batch of the layout.
    records: DataFrame,
    /// Their positions in the batch that was sent.
    pub(super) positions: Vec<usize>,
    writes: Vec<SentWrite>,
    /// Records by what was to be done to them, and in which fields of the layout.
    groups: BTreeMap<(SentWrite, Vec<usize>), Vec<IdxSize>>,
}

impl FirstImages {
    /// Reads a segment of the before-images in `folder`, as far as the object still has its
    /// columns.
    pub(super) fn read(
        folder: &Path,
        segment: &ImageSegment,
        object: &Object,
    ) -> Result<Self, ImageError> {
        Self::of(&Segment::read(folder, segment)?, object)
    }

    pub(super) fn of(segment: &Segment, object: &Object) -> Result<Self, ImageError> {
        let frame = segment.frame()?;
        let damaged = |error: polars::error::PolarsError| segment.damaged(error.to_string());
        let (created, deleted) = (segment.created(&frame)?, segment.deleted(&frame)?);
        let write = |(created, deleted): (Option<bool>, Option<bool>)| match (created, deleted) {
            (Some(true), _) => SentWrite::Create,
            (_, Some(true)) => SentWrite::Delete,
            (_, _) => SentWrite::Update,
        };
        let writes: Vec<SentWrite> = created.iter().zip(deleted.iter()).map(write).collect();
        let (mut fields, mut masks) = (Vec::new(), Vec::new());
        let mut columns: Vec<Column> = Vec::new();
        for image in &segment.fields {
            let column = object
                .columns
                .iter()
                .find(|column| column.name == image.name);
            let Some(column) = column else { continue };
            let (key, own_text) = (image.key.is_some(), image.key.is_none() || image.own_text);
            fields.push((
                image.key,
                LayoutField {
                    key,
                    own_text,
                    ..LayoutField::plain(column.clone(), image.kind)
                },
            ));
            columns.push(segment.column(&frame, if key { "sent" } else { "before" }, image)?);
            masks.push(if key {
                None
            } else {
                Some(segment.written(&frame, image)?)
            });
        }
        let mut key: Vec<(usize, usize)> = fields
            .iter()
            .enumerate()
            .filter_map(|(position, (key, _))| Some(((*key)?, position)))
            .collect();
        key.sort_unstable();
        let layout = Layout {
            object: object.clone(),
            mode: MatchMode::UpdateOnly,
            nulls: NullPolicy::Write,
            only_where: Vec::new(),
            fields: fields.into_iter().map(|(_, field)| field).collect(),
            key: key.into_iter().map(|(_, position)| position).collect(),
        };
        let records = DataFrame::new(frame.height(), columns).map_err(damaged)?;
        let positions = frame
            .column(super::images::RECORD)
            .and_then(|records| records.u32().cloned());
        let positions = positions.map_err(damaged)?;
        let positions = positions
            .iter()
            .flatten()
            .map(|position| usize::try_from(position).unwrap_or(usize::MAX))
            .collect();
        let groups = groups(&writes, &masks);
        Ok(Self {
            layout,
            records,
            positions,
            writes,
            groups,
        })
    }

    /// Locks the rows that were to be updated or deleted, until the open transaction ends. To lock
    /// others would ask for more rights than making them takes.
    pub(super) async fn lock(&self, destination: &mut AnyDatabase) -> Result<(), SystemError> {
        let were_there = self
            .writes
            .iter()
            .zip(0..)
            .filter(|(write, _)| **write != SentWrite::Create);
        let were_there: Vec<IdxSize> = were_there.map(|(_, record)| record).collect();
        match were_there.is_empty() {
            true => Ok(()),
            false => {
                destination
                    .lock(&self.layout, &records_at(&self.records, &were_there))
                    .await
            }
        }
    }

    /// For each of its records whether it was not written, as its row is as it was before.
    pub(super) async fn still_to_do<By: LookUp>(
        &self,
        by: &mut By,
    ) -> Result<Vec<bool>, By::Error> {
        let mut still_to_do = vec![false; self.writes.len()];
        for ((write, fields), records) in &self.groups {
            let layout = self.layout.narrowed(fields);
            let columns = fields
                .iter()
                .filter_map(|position| self.records.columns().get(*position).cloned());
            let all = DataFrame::new(self.records.height(), columns.collect());
            let all = all.expect("columns of one frame stand beside one another");
            let found = by
                .look_up(&layout, &records_at(&all, records), Before::Unread)
                .await?
                .found;
            for (record, found) in records.iter().zip(found) {
                let place = usize::try_from(*record)
                    .ok()
                    .and_then(|record| still_to_do.get_mut(record));
                if let Some(place) = place {
                    *place = write.is_still_to_do(found.rows, !found.differs);
                }
            }
        }
        Ok(still_to_do)
    }
}

/// Records by what was to be done to them, and in which fields; `masks` say of each field that is
/// no part of the key which records it was written of.
fn groups(
    writes: &[SentWrite],
    masks: &[Option<BooleanChunked>],
) -> BTreeMap<(SentWrite, Vec<usize>), Vec<IdxSize>> {
    let mut groups: BTreeMap<(SentWrite, Vec<usize>), Vec<IdxSize>> = BTreeMap::new();
    for ((record, write), position) in writes.iter().enumerate().zip(0..) {
        let is_written = |(field, mask): (usize, &Option<BooleanChunked>)| {
            mask.as_ref()
                .is_none_or(|mask| mask.get(record) == Some(true))
                .then_some(field)
        };
        let fields = masks.iter().enumerate().filter_map(is_written).collect();
        groups.entry((*write, fields)).or_default().push(position);
    }
    groups
}
