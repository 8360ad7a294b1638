//! Conforming: pulled values become values of the schema's types, exactly, or their record is
//! rejected at stage `schema`. Column by column, never value by value across columns.

mod native;
#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "tests may"
)]
mod tests;
mod text;

use polars::prelude::{Column, DataFrame, DataType, IntoColumn, IntoSeries, Series, StringChunked};

use super::columnar::{Converted, Fault, all_at_fault, check, nulls_at_fault};
use super::conversion::Misfit;
use super::outcome::{Rejection, Stage};
use super::record::RECORD_POSITION;
use super::schema::{Schema, SchemaColumn, SchemaType};
use super::sieve::{KeyPart, Sieve, key_texts};
use super::value::Kind;

pub(crate) use text::parse_texts;

/// Records that passed a check, and those that did not.
#[derive(Debug)]
pub(crate) struct Sifted {
    pub(crate) records: DataFrame,
    pub(crate) rejections: Vec<Rejection>,
}

/// Makes values of the schema's types out of pulled ones. Shape: `(records, schema columns +
/// RECORD_POSITION)` in, each column text or a native polars type; the same columns out, each in
/// its kind's representation. Record order is kept.
///
/// A text is read as its column's type: integers as a sign and digits; decimals and floats also
/// with a point and an exponent; booleans as `true`, `t`, `yes`, `1` or `false`, `f`, `no`, `0` in
/// any case; dates, times and timestamps as ISO 8601 writes them, a blank for the `T` allowed;
/// UUIDs in any usual form. An empty text is a value of text types and of no other. A native value
/// converts if nothing of it is lost.
pub(crate) fn conform(schema: &Schema, pulled: &DataFrame) -> Sifted {
    let mut sieve = Sieve::new(Stage::Schema);
    let mut columns: Vec<Column> = Vec::with_capacity(pulled.width());
    for (position, column) in schema.columns.iter().enumerate() {
        let is_key = schema.key.contains(&position);
        let given = pulled.column(&column.name).ok();
        let given = given.map(Column::as_materialized_series);
        let converted = match given {
            Some(values) => conform_column(column, is_key, values),
            None => not_pulled(column, pulled.height()),
        };
        sieve.add(&column.name, converted.faults, given);
        columns.push(
            converted
                .values
                .with_name(column.name.as_str().into())
                .into_column(),
        );
    }
    if let Ok(positions) = pulled.column(RECORD_POSITION) {
        columns.push(positions.clone());
    }
    let records =
        DataFrame::new(pulled.height(), columns).expect("a schema's columns have different names");
    let key = if sieve.is_clean() {
        Vec::new()
    } else {
        pulled_key(schema, pulled)
    };
    sieve.sift(records, &key)
}

/// Pulled records as texts, whatever their columns are; a value without a text is NULL.
pub(crate) fn texts_of_pulled(pulled: &DataFrame) -> DataFrame {
    const TEXT: SchemaType = SchemaType::Text {
        characters_max: None,
    };
    let texts = |column: &Column| {
        let values = column.as_materialized_series();
        let texts = match values.str() {
            Ok(_) => values.clone(),
            Err(_) => native::convert_natives(values, TEXT).map_or_else(
                |_| Series::full_null(values.name().clone(), values.len(), &DataType::String),
                |texts| texts.values,
            ),
        };
        texts.with_name(column.name().clone()).into_column()
    };
    let columns = pulled.columns().iter().map(texts).collect();
    DataFrame::new(pulled.height(), columns).expect("columns of one frame stand beside one another")
}

fn conform_column(column: &SchemaColumn, is_key: bool, pulled: &Series) -> Converted {
    let converted = match pulled.str() {
        Ok(texts) => parse_texts(texts, column.column_type),
        Err(_) => native::convert_natives(pulled, column.column_type),
    };
    let mut converted = converted.unwrap_or_else(|misfit| never_fits(column, pulled, &misfit));
    if is_key {
        converted
            .faults
            .extend(nulls_at_fault(pulled, "a match key is never NULL"));
        converted
            .faults
            .extend(empty_keys(column, &converted.values));
    } else if !column.nullable {
        converted
            .faults
            .extend(nulls_at_fault(pulled, "NULL in a NOT NULL column"));
    }
    converted
}

fn empty_keys(column: &SchemaColumn, values: &Series) -> Vec<Fault> {
    match (column.column_type.kind(), values.str()) {
        (Kind::Text, Ok(texts)) => check(texts.iter(), |text| match text {
            "" => Err("a match key is never empty"),
            _ => Ok(()),
        }),
        (_, _) => Vec::new(),
    }
}

/// Rejects every value of a column that holds none of the declared type.
fn never_fits(column: &SchemaColumn, pulled: &Series, misfit: &Misfit) -> Converted {
    let representation = column.column_type.kind().representation();
    let values = Series::full_null(pulled.name().clone(), pulled.len(), &representation);
    Converted {
        values,
        faults: all_at_fault(pulled, &misfit.to_string()),
    }
}

/// Rejects every record for want of a column that the source was asked for and did not give.
fn not_pulled(column: &SchemaColumn, height: usize) -> Converted {
    let representation = column.column_type.kind().representation();
    let values = Series::full_null(column.name.as_str().into(), height, &representation);
    let faults = nulls_at_fault(&values, "the source did not give the column");
    Converted { values, faults }
}

/// The match keys of pulled records as rejections at stage `schema` tell them; `None` where one
/// could not be read.
pub(crate) fn pulled_keys(schema: &Schema, pulled: &DataFrame) -> Vec<Option<String>> {
    key_texts(
        &pulled_key(schema, pulled),
        &(0..pulled.height()).collect::<Vec<_>>(),
    )
}

/// A match key that was typed, as the schema's types spell it. Errors: the first part that is no
/// match key.
pub(crate) fn spelt_key<'a>(
    schema: &'a Schema,
    typed: &[String],
) -> Result<String, (&'a SchemaColumn, String)> {
    let mut key: Vec<KeyPart> = Vec::new();
    for (column, part) in schema.key_columns().zip(typed) {
        let texts: StringChunked = [Some(part.as_str())].into_iter().collect();
        let converted = conform_column(column, true, &texts.into_series());
        match converted.faults.into_iter().next() {
            Some(fault) => return Err((column, fault.reason)),
            None => key.push(Some((converted.values, column.column_type.kind()))),
        }
    }
    Ok(key_texts(&key, &[0]).pop().flatten().unwrap_or_default())
}

/// The match key as it was pulled.
fn pulled_key(schema: &Schema, pulled: &DataFrame) -> Vec<KeyPart> {
    let part = |column: &SchemaColumn| {
        let values = pulled.column(&column.name).ok()?.as_materialized_series();
        match values.str() {
            Ok(_) => Some((values.clone(), Kind::Text)),
            Err(_) => native::natural_key(values),
        }
    };
    schema.key_columns().map(part).collect()
}

/// As messages say it: `an INTEGER`.
fn with_article(schema_type: SchemaType) -> String {
    let article = if schema_type.to_string().starts_with('I') {
        "an"
    } else {
        "a"
    };
    format!("{article} {schema_type}")
}
