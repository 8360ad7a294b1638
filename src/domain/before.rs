//! Before-images: what rows held before records were written into them.
//!
//! A database that keeps values of any type in any column (SQLite) has no text of its own that
//! tells them apart. What a column would not make again of a text is therefore marked: U+0000, a
//! letter for its storage class, a colon, the text.

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

    /// Whether it brings the image of a record with one row, which `differs` or does not.
    pub(crate) fn is_of(self, differs: bool) -> bool {
        match self {
            Self::Unread => false,
            Self::OfDiffering => differs,
            Self::OfAll => true,
        }
    }
}

/// A mark before the text of a value: with it, the text tells the value apart from every other.
pub(crate) fn marked(class: char, text: &str) -> String {
    format!("\0{class}:{text}")
}

/// The storage class that a text is marked with, if it is, and the text without the mark.
pub(crate) fn unmarked(exact: &str) -> (Option<char>, &str) {
    let class = exact
        .strip_prefix('\0')
        .and_then(|rest| rest.chars().next());
    let text = class.and_then(|class| exact.get(1 + class.len_utf8()..)?.strip_prefix(':'));
    match text {
        Some(text) => (class, text),
        None => (None, exact),
    }
}

/// The before-images of a batch's records, every value as the database's own text. Shape: one
/// column per field of the layout, in its order; a row for each record that has an image.
#[derive(Debug, Clone, Default)]
pub(crate) struct BeforeImages {
    /// Record by record of the batch: its row.
    rows: Vec<Option<IdxSize>>,
    columns: Vec<StringChunked>,
}

impl BeforeImages {
    /// What the row of a record held, field by field, as people read it; `None` without an image.
    pub(crate) fn of(&self, record: usize) -> Option<Vec<Option<&str>>> {
        let row = self.row(record)?;
        Some(
            self.columns
                .iter()
                .map(|column| column.get(row).map(|exact| unmarked(exact).1))
                .collect(),
        )
    }

    /// What the row of a record held in one field, as people read it; `None` for NULL and without
    /// an image.
    pub(crate) fn value(&self, record: usize, field: usize) -> Option<&str> {
        self.exact(record, field).map(|exact| unmarked(exact).1)
    }

    /// As [`BeforeImages::value`], marked where that is needed to restore it.
    pub(crate) fn exact(&self, record: usize, field: usize) -> Option<&str> {
        self.columns.get(field)?.get(self.row(record)?)
    }

    /// As those of a batch of `records`, of which these are the images of the records at
    /// `positions`.
    pub(crate) fn spread(self, records: usize, positions: &[IdxSize]) -> Self {
        let mut rows = vec![None; records];
        for (row, position) in self.rows.into_iter().zip(positions) {
            if let Some(place) = usize::try_from(*position)
                .ok()
                .and_then(|position| rows.get_mut(position))
            {
                *place = row;
            }
        }
        Self {
            rows,
            columns: self.columns,
        }
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
        Self {
            rows: vec![None; records],
            next_row: 0,
            columns: (0..fields).map(column).collect(),
        }
    }

    /// Takes the image of a record: one value per field.
    pub(crate) fn push<'a>(
        &mut self,
        record: usize,
        values: impl IntoIterator<Item = Option<&'a str>>,
    ) {
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
        let columns = self
            .columns
            .into_iter()
            .map(StringChunkedBuilder::finish)
            .collect();
        BeforeImages {
            rows: self.rows,
            columns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_told_apart_from_a_text() {
        assert_eq!(unmarked(&marked('i', "5")), (Some('i'), "5"));
        assert_eq!(unmarked(&marked('t', "\0i:5")), (Some('t'), "\0i:5"));
        for text in ["", "i:5", "\0", "\0i", "\0i5"] {
            assert_eq!(unmarked(text), (None, text));
        }
    }
}
