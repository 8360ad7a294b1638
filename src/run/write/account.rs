//! The before-images of one batch that is sent in requests: of each record that is written, or may
//! be, the one that counts.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::{DataFrame, IdxCa, IdxSize, PolarsResult};

use crate::run::images::RECORD;

/// Before-images in the form of segments, each record's once.
#[derive(Default)]
pub(crate) struct ImagesAccount {
    /// Shape: as segments of before-images.
    frames: Vec<DataFrame>,
    /// By record.
    images: BTreeMap<usize, Image>,
    /// Of records that were sent and are taken not to be written: what is recalled if they are.
    spare: BTreeMap<usize, Image>,
    /// Records that were sent, and of which no image tells whether they were written.
    lost: BTreeSet<usize>,
}

/// Where a record's before-image stands.
#[derive(Debug, Clone, Copy)]
struct Image {
    frame: usize,
    row: IdxSize,
    /// Whether it is not known that the record was written: its row changed, and that is all.
    is_doubtful: bool,
}

impl ImagesAccount {
    /// Takes in a segment. A record that has an image keeps it: the first one counts.
    pub(crate) fn add(&mut self, segment: DataFrame) {
        let frame = self.frames.len();
        let records = segment.column(RECORD).and_then(|records| records.u32());
        let records = records.into_iter().flat_map(|records| records.iter());
        for (record, row) in records.zip(0..) {
            let record = record.and_then(|record| usize::try_from(record).ok());
            if let Some(record) = record {
                self.images.entry(record).or_insert(Image {
                    frame,
                    row,
                    is_doubtful: false,
                });
            }
        }
        self.frames.push(segment);
    }

    /// A record was not written after all.
    pub(crate) fn forget(&mut self, record: usize) {
        if let Some(image) = self.images.remove(&record) {
            self.spare.insert(record, image);
        }
    }

    /// A record counts as written that was taken not to be.
    pub(crate) fn recall(&mut self, record: usize) {
        if let Some(image) = self.spare.remove(&record) {
            self.images.entry(record).or_insert(image);
            self.doubt(record);
        }
    }

    /// A record's row changed since, so that it counts as written.
    pub(crate) fn doubt(&mut self, record: usize) {
        if let Some(image) = self.images.get_mut(&record) {
            image.is_doubtful = true;
        }
    }

    pub(crate) fn has(&self, record: usize) -> bool {
        self.images.contains_key(&record)
    }

    /// No image tells whether a record was written that was sent.
    pub(crate) fn lose(&mut self, record: usize) {
        self.lost.insert(record);
    }

    pub(crate) fn is_lost(&self, record: usize) -> bool {
        self.lost.contains(&record)
    }

    /// The images of these records. Shape: a segment's; `None` if there is none.
    pub(crate) fn of(&self, records: &[usize]) -> PolarsResult<Option<DataFrame>> {
        self.gathered(records.iter().filter_map(|record| self.images.get(record)))
    }

    /// The images of records that are known to be written or are about to be, and of those that may
    /// be. Shape: a segment's, each; `None` if there is none.
    pub(crate) fn split(&self) -> PolarsResult<(Option<DataFrame>, Option<DataFrame>)> {
        let images = |doubtful| {
            let images = self.images.values();
            self.gathered(images.filter(move |image| image.is_doubtful == doubtful))
        };
        Ok((images(false)?, images(true)?))
    }

    fn gathered<'a>(
        &self,
        images: impl Iterator<Item = &'a Image>,
    ) -> PolarsResult<Option<DataFrame>> {
        let mut rows: BTreeMap<usize, Vec<IdxSize>> = BTreeMap::new();
        for image in images {
            rows.entry(image.frame).or_default().push(image.row);
        }
        let mut gathered: Option<DataFrame> = None;
        for (frame, rows) in rows {
            let Some(frame) = self.frames.get(frame) else {
                continue;
            };
            let taken = frame.take(&IdxCa::from_vec("".into(), rows))?;
            gathered = Some(match gathered {
                Some(gathered) => gathered.vstack(&taken)?,
                None => taken,
            });
        }
        Ok(gathered)
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;

    use super::*;

    fn segment(records: &[u32], held: &[&str]) -> DataFrame {
        df!(RECORD => records, "before score" => held).expect("a frame")
    }

    fn held(frame: Option<DataFrame>) -> Vec<String> {
        let frame = frame.expect("there are images");
        let held = frame.column("before score").expect("a column");
        let held = held.str().expect("texts").iter();
        held.map(|text| text.unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn the_first_image_of_a_record_counts_until_it_is_known_not_to_be_written() {
        let mut account = ImagesAccount::default();
        account.add(segment(&[0, 1], &["a0", "a1"]));
        account.add(segment(&[1, 2], &["b1", "b2"]));
        assert_eq!(
            held(account.of(&[0, 1, 2]).expect("rows")),
            ["a0", "a1", "b2"]
        );
        account.forget(1);
        account.add(segment(&[1], &["c1"]));
        assert_eq!(held(account.of(&[1]).expect("rows")), ["c1"]);
    }

    #[test]
    fn images_in_doubt_stand_apart() {
        let mut account = ImagesAccount::default();
        account.add(segment(&[0, 1], &["a0", "a1"]));
        account.doubt(1);
        let (known, doubtful) = account.split().expect("rows");
        assert_eq!(
            (held(known), held(doubtful)),
            (vec!["a0".to_owned()], vec!["a1".to_owned()])
        );
        account.forget(0);
        assert!(account.split().expect("rows").0.is_none());
        account.recall(0);
        let (known, doubtful) = account.split().expect("rows");
        assert!(known.is_none());
        assert_eq!(held(doubtful), ["a0", "a1"]);
    }
}
