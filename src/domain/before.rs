//! Before-images: what rows held before records were written into them.

use polars::prelude::{IdxSize, StringChunked, StringChunkedBuilder};

/// Whose before-images a look-up brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    Unread,
    /// Of rows that writing would change.
    OfDiffering,
    OfAll,
}

impl Before {
    pub(crate) fn is_read(self) -> bool {
        self != Self::Unread
    }
}

/// The before-images of a batch's records, every value as the database's own text.
/// Shape: one column per field of the layout, in its order; a row for each record that has an image.
#[derive(Debug, Clone, Default)]
pub(crate) struct BeforeImages {
    /// Record by record of the batch: its row.
    rows: Vec<Option<IdxSize>>,
    columns: Vec<StringChunked>,
}

impl BeforeImages {
    /// What the row of a record held, field by field; `None` without an image.
    pub(crate) fn of(&self, record: usize) -> Option<Vec<Option<&str>>> {
        let row = self.row(record)?;
        Some(self.columns.iter().map(|column| column.get(row)).collect())
    }

    /// What the row of a record held in one field; `None` for NULL and without an image.
    pub(crate) fn value(&self, record: usize, field: usize) -> Option<&str> {
        self.columns.get(field)?.get(self.row(record)?)
    }

    fn row(&self, record: usize) -> Option<usize> {
        usize::try_from(self.rows.get(record).copied()??).ok()
    }
}

/// Gathers before-images in whatever order a database yields them.
pub(crate) struct BeforeImagesBuilder {
    rows: Vec<Option<IdxSize>>,
    next_row: IdxSize,
    columns: Vec<StringChunkedBuilder>,
}

impl BeforeImagesBuilder {
    pub(crate) fn new(records: usize, fields: usize) -> Self {
        let column = |_| StringChunkedBuilder::new("".into(), 0);
        Self { rows: vec![None; records], next_row: 0, columns: (0..fields).map(column).collect() }
    }

    /// Takes the image of a record: one value per field.
    pub(crate) fn push<'a>(&mut self, record: usize, values: impl IntoIterator<Item = Option<&'a str>>) {
        let mut values = values.into_iter();
        for column in &mut self.columns {
            column.append_option(values.next().flatten());
        }
        if let Some(row) = self.rows.get_mut(record) {
            *row = Some(self.next_row);
        }
        self.next_row += 1;
    }

    /// Gives a record's image up: several rows are its, and nobody can say which of them is meant.
    pub(crate) fn forget(&mut self, record: usize) {
        if let Some(row) = self.rows.get_mut(record) {
            *row = None;
        }
    }

    pub(crate) fn finish(self) -> BeforeImages {
        let columns = self.columns.into_iter().map(StringChunkedBuilder::finish).collect();
        BeforeImages { rows: self.rows, columns }
    }
}
