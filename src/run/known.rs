//! What is known of a package's records before they are looked up: what was last written of them,
//! where fields keep other people's values, and which are not looked up at all, for they equal what
//! was last delivered, or their rows were read ahead.

use std::sync::Arc;

use polars::prelude::{DataFrame, IdxSize};
use tokio::task::block_in_place;

use crate::domain::layout::Layout;
use crate::run::conflicts::last_written::{LastWritten, LastWrittenBeside};
use crate::run::conflicts::{LastValues, LastWrittenError};
use crate::run::prefilter::Unchanged;
use crate::run::settled::{LookedUpOnly, Settled};
use crate::run::snapshot::{AsWritten, Snapshot, SnapshotBeside};

/// Goes through what is known, partition by partition.
pub(crate) struct Knowledge<'a> {
    last_written: Option<LastWrittenBeside<'a>>,
    snapshot: Option<SnapshotBeside<'a>>,
}

/// What is known of one partition's records.
#[derive(Default)]
pub(crate) struct PartitionKnowledge {
    /// Absent if no field keeps someone else's values.
    pub(crate) last: Option<LastValues>,
    /// Absent where nothing is compared with what was last delivered.
    pub(crate) as_written: Option<Arc<AsWritten>>,
    /// Absent if no row was read ahead, or none holds its record's values.
    pub(crate) unchanged: Option<Arc<Unchanged>>,
}

impl PartitionKnowledge {
    /// Whether all records are looked up.
    pub(crate) fn settles_nothing(&self) -> bool {
        self.as_written.is_none() && self.unchanged.is_none()
    }

    /// Whether the record at `index` is not looked up.
    pub(crate) fn is_settled(&self, index: usize) -> bool {
        let as_written = self.as_written.as_deref();
        as_written.is_some_and(|known| known.is_at(index)) || is_at(&self.unchanged, index)
    }

    /// Which of the records from the one at `first` on are looked up, if they are not all. Of those
    /// that were sent before, rows that hold what was sent tell nothing.
    pub(super) fn looked_up(
        &self,
        first: usize,
        records: usize,
        were_sent: bool,
    ) -> Option<LookedUpOnly> {
        if let Some(as_written) = &self.as_written {
            return Some(LookedUpOnly {
                positions: as_written.others(first, records),
                others: Settled::AsWritten,
            });
        }
        let unchanged = self.unchanged.as_ref().filter(|_| !were_sent)?;
        let within = unchanged.iter().skip(first).take(records).zip(0..);
        let others = within.filter(|(is_unchanged, _)| !**is_unchanged);
        Some(LookedUpOnly {
            positions: others.map(|(_, position)| position).collect(),
            others: Settled::Unchanged,
        })
    }

    /// Positions of all records of a partition that are looked up.
    pub(crate) fn others(&self, records: usize) -> Vec<IdxSize> {
        let is_other = |position: &IdxSize| {
            !usize::try_from(*position).is_ok_and(|index| self.is_settled(index))
        };
        (0..IdxSize::try_from(records).unwrap_or(IdxSize::MAX))
            .filter(is_other)
            .collect()
    }
}

fn is_at(unchanged: &Option<Arc<Unchanged>>, index: usize) -> bool {
    let unchanged = unchanged.as_ref();
    unchanged.is_some_and(|unchanged| unchanged.get(index) == Some(&true))
}

impl<'a> Knowledge<'a> {
    pub(crate) fn of(
        last_written: Option<&'a LastWritten>,
        snapshot: Option<&'a Snapshot>,
    ) -> Self {
        Self {
            last_written: last_written.map(LastWritten::beside),
            snapshot: snapshot.map(Snapshot::beside),
        }
    }

    /// Of a partition's records, which are `complete` as batches have them. From call to call
    /// partitions ascend.
    pub(crate) fn of_partition(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        complete: &DataFrame,
    ) -> Result<PartitionKnowledge, LastWrittenError> {
        block_in_place(|| {
            let last = self.last_written.as_mut();
            let last = last.map(|beside| beside.values(layout, records));
            let snapshot = self.snapshot.as_mut();
            let as_written =
                snapshot.and_then(|beside| beside.as_written(layout, records, complete));
            Ok(PartitionKnowledge {
                last: last.transpose()?,
                as_written: as_written.map(Arc::new),
                unchanged: None,
            })
        })
    }
}
