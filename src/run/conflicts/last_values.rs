//! What was last written into the records of a batch.

use polars::prelude::{
    BooleanChunked, ChunkFull, ChunkFullNull, ChunkTake, Column, DataFrame, IdxCa, IdxSize,
    PolarsResult, StringChunked,
};

use crate::domain::before::unmarked;
use crate::domain::conversion::texts_of;
use crate::domain::layout::{Layout, LayoutField};

/// Names a frame's column (`Boolean`) that tells of a field's values: true, they were last written;
/// false, what was is not known; NULL, nothing is said. No SQL name holds a NUL.
pub(super) fn known_column(field: &str) -> String {
    format!("\0known {field}")
}

/// Names a frame's column (`String`) with a field's values that were sent as the database's own
/// text; NULL elsewhere.
pub(super) fn own_column(field: &str) -> String {
    format!("\0own {field}")
}

/// What was last written of some records.
#[derive(Debug, Clone)]
pub(crate) struct LastValues {
    pub(super) fields: Vec<LastField>,
}

/// What was last written into one field of them, record by record.
#[derive(Debug, Clone)]
pub(super) struct LastField {
    /// Position in the layout.
    pub(super) position: usize,
    /// In their kind's representation; NULL where they are the database's own text.
    pub(super) values: Column,
    /// Those that are.
    pub(super) own: StringChunked,
    /// The values as people read them; NULL where they are the database's own text.
    pub(super) texts: StringChunked,
    pub(super) known: BooleanChunked,
}

impl LastValues {
    pub(super) fn of(
        layout: &Layout,
        aligned: Option<&DataFrame>,
        records: usize,
    ) -> PolarsResult<Self> {
        let field = |position: usize| {
            let Some(field) = layout.fields.get(position) else {
                return Ok(None);
            };
            LastField::of(position, field, aligned, records).map(Some)
        };
        let fields: PolarsResult<Vec<_>> =
            layout.keeping_foreign().into_iter().map(field).collect();
        Ok(Self {
            fields: fields?.into_iter().flatten().collect(),
        })
    }

    /// At most `records_max` of the records, from the one at `first` on.
    pub(crate) fn slice(&self, first: i64, records_max: usize) -> Self {
        let slice = |field: &LastField| LastField {
            position: field.position,
            values: field.values.slice(first, records_max),
            own: field.own.slice(first, records_max),
            texts: field.texts.slice(first, records_max),
            known: field.known.slice(first, records_max),
        };
        Self {
            fields: self.fields.iter().map(slice).collect(),
        }
    }

    /// Those of the records at `positions`, which ascend.
    pub(crate) fn at(&self, positions: &[IdxSize]) -> Self {
        let positions = IdxCa::from_vec("".into(), positions.to_vec());
        let expected = "positions are those of records, so every one is in range";
        let at = |field: &LastField| LastField {
            position: field.position,
            values: field.values.take(&positions).expect(expected),
            own: field.own.take(&positions).expect(expected),
            texts: field.texts.take(&positions).expect(expected),
            known: field.known.take(&positions).expect(expected),
        };
        Self {
            fields: self.fields.iter().map(at).collect(),
        }
    }

    /// Whether anything is known of any record.
    pub(crate) fn tells_anything(&self) -> bool {
        self.fields.iter().any(|field| field.known.any())
    }
}

impl LastField {
    pub(super) fn of(
        position: usize,
        field: &LayoutField,
        aligned: Option<&DataFrame>,
        records: usize,
    ) -> PolarsResult<Self> {
        let name = field.column.name.as_str();
        let Some(aligned) = aligned else {
            return Ok(Self {
                position,
                values: Column::full_null(name.into(), records, &field.kind.representation()),
                own: StringChunked::full_null("".into(), records),
                texts: StringChunked::full_null("".into(), records),
                known: BooleanChunked::full("".into(), false, records),
            });
        };
        let values = aligned.column(name)?.clone();
        let known = aligned
            .column(&known_column(name))?
            .bool()?
            .iter()
            .map(|known| known == Some(true));
        Ok(Self {
            position,
            texts: texts_of(values.as_materialized_series(), field.kind)?,
            own: aligned.column(&own_column(name))?.str()?.clone(),
            known: known.collect(),
            values,
        })
    }

    pub(super) fn is_known(&self, record: usize) -> bool {
        self.known.get(record) == Some(true)
    }

    pub(super) fn is_own(&self, record: usize) -> bool {
        self.own.get(record).is_some()
    }

    /// The value as before-images have it, if it can be said without asking the database.
    pub(super) fn exact(&self, record: usize) -> Option<&str> {
        self.own.get(record).or_else(|| self.texts.get(record))
    }

    /// The value as people read it; `None` for NULL.
    pub(super) fn text(&self, record: usize) -> Option<&str> {
        self.own
            .get(record)
            .map(|exact| unmarked(exact).1)
            .or_else(|| self.texts.get(record))
    }
}
