//! How large the parts of a package are, in memory and on disk.

/// How much is held in memory at once, and how large the pieces on disk are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Records of a partition, about: cut by a sample of the keys, some come out larger.
    pub(super) partition_records: u64,
    /// Bytes of a partition's values, about.
    pub(super) partition_bytes: u64,
    /// Records gathered before they are sorted and spooled.
    pub(super) segment_records: usize,
    /// Bytes in memory of the records gathered.
    pub(super) segment_bytes: usize,
    /// Bytes in memory of the segments that stay there.
    pub(super) kept_bytes: usize,
    /// Keys remembered while records are pulled.
    pub(super) sample_keys_max: usize,
}

impl Bounds {
    /// How much of a partition a record of so many bytes takes: as many bytes, or its share of the
    /// records that one may have.
    pub(super) fn weight(&self, bytes: u64) -> u64 {
        bytes.max(self.partition_bytes / self.partition_records.max(1))
    }
}

/// A partition is in memory about four times while it is loaded (its file, parsed, gathered,
/// sorted), and two may be at once: 8 MiB keep that well below half of the 256 MiB a run may use,
/// however wide the records are. Before that nothing else is in
/// memory, so that segments of 64 MiB, which are a million narrow records, need not go to disk twice. 100 000 records keep the outcomes beside them small too. Segments
/// are large enough that their slices, one for each partition, stay worth writing. The sample's 65
/// 536 keys are hundreds for each partition of ten million records, so that few partitions come out
/// a tenth too large.
pub(super) const BOUNDS: Bounds = Bounds {
    partition_records: 100_000,
    partition_bytes: 8 << 20,
    segment_records: 65_536,
    segment_bytes: 8 << 20,
    kept_bytes: 64 << 20,
    sample_keys_max: 65_536,
};
