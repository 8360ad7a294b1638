//! A package's records beside others of the same match key, a frame at a time.

use std::cmp::Ordering;

use polars::prelude::{DataFrame, IdxCa, IdxSize, PolarsResult};

use super::Package;
use super::error::PackageError;
use super::key::Keys;

/// Goes through a package, whose keys each occur once, in the order of keys.
pub(crate) struct Beside<'a> {
    package: &'a Package,
    next_partition: usize,
    loaded: Option<Loaded>,
}

struct Loaded {
    records: DataFrame,
    keys: Keys,
    /// Position of the first record that no key was held against yet.
    next: usize,
}

impl<'a> Beside<'a> {
    pub(super) fn new(package: &'a Package) -> Self {
        Self {
            package,
            next_partition: 0,
            loaded: None,
        }
    }

    /// The package's record for each of these, which are sorted by key, each key once. From call to
    /// call keys ascend. Shape: `(records, the package's columns)`, all NULL where it has none;
    /// `None` if it has none for any. Errors: as [`Package::load`]; `Damaged`, if the keys cannot
    /// be told.
    pub(crate) fn records(
        &mut self,
        records: &DataFrame,
    ) -> Result<Option<DataFrame>, PackageError> {
        let failed = |error| PackageError::frame("read", &self.package.folder, error);
        let wanted = Keys::of(records, &self.package.manifest.key_columns).map_err(failed)?;
        let mut places: Vec<Option<IdxSize>> = vec![None; records.height()];
        let mut parts: Option<DataFrame> = None;
        let mut met = 0;
        let mut at = 0;
        while at < records.height() && self.load_next()? {
            let Some(loaded) = &mut self.loaded else {
                break;
            };
            let mut found = Vec::new();
            while at < records.height() && loaded.next < loaded.records.height() {
                match loaded.keys.at(loaded.next).cmp(&wanted.at(at)) {
                    Ordering::Less => loaded.next += 1,
                    Ordering::Greater => at += 1,
                    Ordering::Equal => {
                        found.extend(IdxSize::try_from(loaded.next));
                        places
                            .get_mut(at)
                            .into_iter()
                            .for_each(|place| *place = Some(met));
                        met += 1;
                        at += 1;
                        loaded.next += 1;
                    }
                }
            }
            let taken = loaded.records.take(&IdxCa::from_vec("".into(), found));
            parts = Some(
                joined(parts, taken)
                    .map_err(|error| PackageError::frame("read", &self.package.folder, error))?,
            );
        }
        let aligned = parts
            .filter(|_| met > 0)
            .map(|parts| parts.take(&places.into_iter().collect::<IdxCa>()));
        aligned
            .transpose()
            .map_err(|error| PackageError::frame("read", &self.package.folder, error))
    }

    /// Sees that a record is loaded that no key was held against; `false` if there is none left.
    fn load_next(&mut self) -> Result<bool, PackageError> {
        while self
            .loaded
            .as_ref()
            .is_none_or(|loaded| loaded.next >= loaded.records.height())
        {
            if self.next_partition >= self.package.partition_count() {
                return Ok(false);
            }
            let records = self.package.load(self.next_partition)?.records;
            let keys = Keys::of(&records, &self.package.manifest.key_columns);
            let keys =
                keys.map_err(|error| PackageError::frame("read", &self.package.folder, error))?;
            self.next_partition += 1;
            self.loaded = Some(Loaded {
                records,
                keys,
                next: 0,
            });
        }
        Ok(true)
    }
}

fn joined(parts: Option<DataFrame>, taken: PolarsResult<DataFrame>) -> PolarsResult<DataFrame> {
    match parts {
        Some(parts) => parts.vstack(&taken?),
        None => taken,
    }
}
