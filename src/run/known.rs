//! What is known of a package's records before they are looked up: what was last written of them,
//! where fields keep other people's values, and which equal what was last delivered.

use std::sync::Arc;

use polars::prelude::DataFrame;
use tokio::task::block_in_place;

use crate::domain::layout::Layout;
use crate::run::conflicts::last_written::{
    LastValues, LastWritten, LastWrittenBeside, LastWrittenError,
};
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
    /// Absent if all records are looked up.
    pub(crate) as_written: Option<Arc<AsWritten>>,
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
            })
        })
    }
}
