//! One record's identity: its position in what was pulled, and its match key as people read and
//! type it.

use std::collections::BTreeMap;

use polars::prelude::{
    ChunkApply, Column, DataFrame, DataType, IntoColumn, IntoSeries, PolarsResult, StringChunked,
    polars_err,
};

use super::conversion::texts_of;
use super::outcome::{RejectReason, Rejection, Stage};
use super::value::Kind;

/// Name of the frame column (`UInt64`) that carries a record's position in what was pulled. No SQL
/// name holds a NUL, so it cannot meet a user's column.
pub(crate) const RECORD_POSITION: &str = "\0record";

/// Name of the frame column (text) that carries a record's match key in the source, where it is no
/// field.
pub(crate) const RECORD_KEY: &str = "\0key";

/// A match key as people read and type it: its parts as one line of CSV, so that `EU,17` and
/// `"a,b"` are told apart.
pub(crate) fn key_text<'a>(parts: impl Iterator<Item = &'a str> + Clone) -> String {
    if parts.clone().all(is_plain) {
        let mut text = String::new();
        for part in parts {
            let comma = if text.is_empty() { "" } else { "," };
            text.extend([comma, part]);
        }
        return text;
    }
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::Any(b'\n'))
        .from_writer(Vec::new());
    // Writing to memory cannot fail, and UTF-8 in is UTF-8 out.
    let written = writer
        .write_record(parts)
        .ok()
        .and_then(|()| writer.into_inner().ok());
    let text = written
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_default();
    text.trim_end_matches('\n').to_owned()
}

/// Whether a line of CSV writes this text as it is: most keys are plain, and asking is far cheaper
/// than writing.
fn is_plain(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// The parts of a key as [`key_text`] writes it; `None` if it is not one line of CSV.
pub(crate) fn key_parts(text: &str) -> Option<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut records = reader.records();
    let first = records.next()?.ok()?;
    records
        .next()
        .is_none()
        .then(|| first.iter().map(str::to_owned).collect())
}

/// The match keys of a frame's records, which are in their kinds' representations.
pub(crate) struct KeyTexts {
    parts: Vec<StringChunked>,
}

impl KeyTexts {
    pub(crate) fn of(records: &DataFrame, key_columns: &[String]) -> PolarsResult<Self> {
        let parts = key_columns
            .iter()
            .map(|name| column_texts(records.column(name)?));
        Ok(Self {
            parts: parts.collect::<PolarsResult<_>>()?,
        })
    }

    /// The key of the record at `index`, as [`key_text`] writes it; `None` if a part of it is NULL
    /// or out of range.
    pub(crate) fn text(&self, index: usize) -> Option<String> {
        let parts = self.parts.iter().map(|part| part.get(index));
        parts
            .clone()
            .all(|part| part.is_some())
            .then(|| key_text(parts.flatten()))
    }

    /// The keys of the first `record_count` records, NULL where there is none. Most are one plain
    /// text, which stays where it is.
    pub(crate) fn column(&self, record_count: usize) -> StringChunked {
        match self.parts.as_slice() {
            [only] if only.len() == record_count && only.iter().flatten().all(is_plain) => {
                only.clone()
            }
            _ => (0..record_count).map(|index| self.text(index)).collect(),
        }
    }

    /// The key of the first `record_count` records; an empty text where there is none.
    pub(crate) fn texts(&self, record_count: usize) -> Vec<String> {
        (0..record_count)
            .map(|index| self.text(index).unwrap_or_default())
            .collect()
    }
}

/// Who the records of a frame are: their positions in the pull and their match keys.
pub(crate) struct Identities {
    positions: Vec<u64>,
    keys: KeyTexts,
}

impl Identities {
    /// Of a frame with `RECORD_POSITION` and the key columns in their kinds' representations.
    pub(crate) fn of(records: &DataFrame, key_columns: &[String]) -> PolarsResult<Self> {
        let positions = records
            .column(RECORD_POSITION)?
            .u64()?
            .into_no_null_iter()
            .collect();
        Ok(Self {
            positions,
            keys: KeyTexts::of(records, key_columns)?,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.positions.len()
    }

    pub(crate) fn positions(&self) -> &[u64] {
        &self.positions
    }

    /// The key of every record, as [`key_text`] writes it.
    pub(crate) fn keys(&self) -> StringChunked {
        self.keys.column(self.positions.len())
    }

    /// The key of the record at `index`, as [`key_text`] writes it.
    pub(crate) fn key(&self, index: usize) -> Option<String> {
        self.keys.text(index)
    }

    /// The rejection of the record at `index`, which is one of the frame's.
    pub(crate) fn reject(
        &self,
        index: usize,
        stage: Stage,
        column: Option<String>,
        reason: String,
    ) -> Rejection {
        let record = *self
            .positions
            .get(index)
            .expect("only records of the frame are rejected");
        Rejection {
            record,
            key: self.keys.text(index),
            stage,
            column,
            value: None,
            reason,
            others: Vec::new(),
        }
    }

    /// The rejections of a frame's records, for their keys occur several times: nobody knows which
    /// one is meant.
    pub(crate) fn reject_duplicates(
        records: &DataFrame,
        key_columns: &[String],
    ) -> PolarsResult<Vec<Rejection>> {
        let identities = Self::of(records, key_columns)?;
        // Keys are compared as numbers, where both zeros are one.
        let counted = Self::of(&with_one_zero(records, key_columns)?, key_columns)?;
        let keys: Vec<Option<String>> =
            (0..counted.len()).map(|index| counted.key(index)).collect();
        let mut occurrences: BTreeMap<&Option<String>, u64> = BTreeMap::new();
        for key in &keys {
            *occurrences.entry(key).or_default() += 1;
        }
        let reject = |(index, key)| {
            let occurs = occurrences.get(key).copied().unwrap_or_default();
            identities.reject(
                index,
                Stage::Match,
                None,
                RejectReason::DuplicateKey { occurs }.to_string(),
            )
        };
        Ok(keys.iter().enumerate().map(reject).collect())
    }
}

/// Records whose floats among the key columns have no zero below zero.
fn with_one_zero(records: &DataFrame, key_columns: &[String]) -> PolarsResult<DataFrame> {
    let mut records = records.clone();
    for name in key_columns {
        let column = records.column(name)?;
        if column.dtype().is_float() {
            let floats = column
                .cast(&DataType::Float64)?
                .f64()?
                .apply_values(|float| float + 0.0);
            records.with_column(floats.into_series().into_column())?;
        }
    }
    Ok(records)
}

/// The match keys of a frame's records, one text each.
pub(crate) fn key_texts(records: &DataFrame, key_columns: &[String]) -> Vec<String> {
    let keys = KeyTexts::of(records, key_columns);
    keys.expect("the frame has its key columns in their representations")
        .texts(records.height())
}

/// Bytes that any value takes, about; a text takes its own beside them.
const VALUE_BYTES: u64 = 8;

/// How many bytes each record of a frame has, about. The same records have the same, in whatever
/// frame they stand.
pub(crate) fn record_bytes(records: &DataFrame) -> Vec<u64> {
    let values = VALUE_BYTES * u64::try_from(records.width()).unwrap_or(u64::MAX);
    let mut bytes = vec![values; records.height()];
    for texts in records
        .columns()
        .iter()
        .filter_map(|column| column.str().ok())
    {
        for (bytes, text) in bytes.iter_mut().zip(texts.iter()) {
            *bytes += text.map_or(0, |text| u64::try_from(text.len()).unwrap_or(u64::MAX));
        }
    }
    bytes
}

/// One cell of a frame in its kind's representation, as people read it; `None` for NULL.
pub(crate) fn cell_text(column: &Column, record: usize) -> Option<String> {
    let cell = column.slice(i64::try_from(record).ok()?, 1);
    column_texts(&cell).ok()?.get(0).map(str::to_owned)
}

/// A column in its kind's representation as people read it. An instant reads as its wall clock in
/// UTC.
pub(crate) fn column_texts(column: &Column) -> PolarsResult<StringChunked> {
    let kind = Kind::of_representation(column.dtype());
    let kind = kind.ok_or_else(
        || polars_err!(SchemaMismatch: "no kind of value is held as {}", column.dtype()),
    )?;
    texts_of(column.as_materialized_series(), kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_being_written_and_read() {
        for parts in [
            vec!["A1"],
            vec!["EU", "17"],
            vec!["a,b", "say \"hi\""],
            vec!["", "x"],
        ] {
            let text = key_text(parts.iter().copied());
            assert_eq!(key_parts(&text).expect("a line of CSV"), parts);
        }
    }

    #[test]
    fn several_lines_or_none_are_no_key() {
        for text in ["A1\nA2", "A1\n\nA2\n", ""] {
            assert_eq!(key_parts(text), None, "{text:?}");
        }
        assert_eq!(key_parts("\"A1\nA2\""), Some(vec!["A1\nA2".to_owned()]));
    }
}
