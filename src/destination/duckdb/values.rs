//! A batch as the one record of lists that a statement binds: every value as the text that DuckDB
//! makes the very value of.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{Array as _, ArrayRef, RecordBatch, StringArray};
use arrow_schema::{ArrowError, Field, Schema};
use polars::prelude::{DataFrame, PolarsError, StringChunked};

use crate::domain::conversion::texts_of;
use crate::domain::layout::Layout;

/// Why a batch cannot be bound: an error of this program, but for one that is too large.
#[derive(Debug, thiserror::Error)]
pub(super) enum BindError {
    #[error("the batch has no column {0} as its layout wants it")]
    Shape(usize),
    #[error("the batch has not the values that its layout wants")]
    Values(#[from] PolarsError),
    #[error("the batch cannot be handed to the driver")]
    Arrow(#[from] ArrowError),
    #[error("more text than one statement carries")]
    TooMuch,
}

/// Bytes of text one statement carries at most: the driver copies them several times. A batch of
/// larger documents is refused, and so halved until it fits.
const TEXT_BYTES_MAX: usize = 256 << 20;

/// One list for each field at `positions`, in their order.
pub(super) fn lists(
    layout: &Layout,
    batch: &DataFrame,
    positions: &[usize],
) -> Result<RecordBatch, BindError> {
    let mut bytes = 0_usize;
    let column = |position: &usize| -> Result<ArrayRef, BindError> {
        let shape = || BindError::Shape(*position);
        let field = layout.fields.get(*position).ok_or_else(shape)?;
        let column = batch.columns().get(*position).ok_or_else(shape)?;
        let values = column.as_materialized_series();
        let texts = match field.own_text {
            true => values.str()?.clone(),
            false => texts_of(values, field.kind)?,
        };
        bytes = bytes.saturating_add(texts.iter().flatten().map(str::len).sum());
        match bytes <= TEXT_BYTES_MAX {
            true => Ok(Arc::new(list(&texts))),
            false => Err(BindError::TooMuch),
        }
    };
    let columns: Vec<ArrayRef> = positions.iter().map(column).collect::<Result<_, _>>()?;
    record(columns)
}

fn list(texts: &StringChunked) -> arrow_array::ListArray {
    let mut list = ListBuilder::new(StringBuilder::new());
    for text in texts.iter() {
        list.values().append_option(text);
    }
    list.append(true);
    list.finish()
}

/// One text for each parameter.
pub(super) fn texts(values: &[&str]) -> Result<RecordBatch, BindError> {
    let columns = values
        .iter()
        .map(|value| -> ArrayRef { Arc::new(StringArray::from(vec![*value])) });
    record(columns.collect())
}

fn record(columns: Vec<ArrayRef>) -> Result<RecordBatch, BindError> {
    let field = |(number, column): (usize, &ArrayRef)| {
        Field::new(number.to_string(), column.data_type().clone(), true)
    };
    let fields: Vec<Field> = columns.iter().enumerate().map(field).collect();
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}
