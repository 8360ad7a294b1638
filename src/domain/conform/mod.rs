//! Conforming: pulled values become values of the schema's types, exactly, or their record is rejected at stage
//! `schema`. Column by column, never value by value across columns.

use polars::prelude::DataFrame;

use super::outcome::Rejection;
use super::schema::Schema;

/// Records that passed a check, and those that did not.
#[derive(Debug)]
pub(crate) struct Sifted {
    pub(crate) records: DataFrame,
    pub(crate) rejections: Vec<Rejection>,
}

/// Makes values of the schema's types out of pulled ones.
/// Shape: `(records, schema columns + RECORD_POSITION)` in, each column text or a native polars type; the same columns
/// out, each in its kind's representation. Record order is kept.
pub(crate) fn conform(_schema: &Schema, _pulled: &DataFrame) -> Sifted {
    unimplemented!()
}
