//! The order of match keys: how partitions are cut, sorted and searched. Text goes by its bytes,
//! numbers and times by their size, NULL before all; several columns go one after the other.

use polars::prelude::{
    BooleanChunked, ChunkCompareEq, ChunkCompareIneq, ChunkFull, Column, DataFrame, DataType,
    Float64Chunked, IdxCa, IdxSize, Int64Chunked, PolarsResult, Series, SortMultipleOptions,
    StringChunked, polars_bail,
};

/// One part of a key. The order of this enum is the order in which polars sorts the column it comes
/// from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyPart {
    Null,
    /// A whole number, a time in its unit, a truth, or a float turned into a whole number of the
    /// same order.
    Number(i64),
    Text(String),
}

/// A record's match key.
pub(super) type Key = Vec<KeyPart>;

/// The key columns of a frame, for looking at single records.
pub(super) struct Keys {
    columns: Vec<KeyColumn>,
}

enum KeyColumn {
    Number(Int64Chunked),
    Float(Float64Chunked),
    Text(StringChunked),
}

impl Keys {
    /// Errors: a column is missing, or of a type that cannot be part of a key.
    pub(super) fn of(records: &DataFrame, key_columns: &[String]) -> PolarsResult<Self> {
        let columns = key_columns
            .iter()
            .map(|name| KeyColumn::of(records.column(name)?))
            .collect::<PolarsResult<_>>()?;
        Ok(Self { columns })
    }

    pub(super) fn at(&self, index: usize) -> Key {
        self.columns
            .iter()
            .map(|column| column.part(index))
            .collect()
    }

    /// How many of the `records`, which are sorted by key, stand before `key`.
    pub(super) fn before(&self, records: usize, key: &Key) -> usize {
        let (mut low, mut high) = (0, records);
        while low < high {
            let middle = low.midpoint(high);
            match self.at(middle) < *key {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }
}

impl KeyColumn {
    fn of(column: &Column) -> PolarsResult<Self> {
        let series = column.as_materialized_series();
        let data_type = series.dtype();
        Ok(match data_type {
            text if text.is_string() => Self::Text(series.str()?.clone()),
            float if float.is_float() => {
                Self::Float(series.strict_cast(&DataType::Float64)?.f64()?.clone())
            }
            whole if whole.is_integer() || whole.is_bool() || whole.is_temporal() => {
                Self::Number(numbers(series)?)
            }
            other => {
                polars_bail!(InvalidOperation: "column `{}` of type {other} cannot be part of a key", series.name())
            }
        })
    }

    fn part(&self, index: usize) -> KeyPart {
        match self {
            Self::Number(numbers) => numbers.get(index).map_or(KeyPart::Null, KeyPart::Number),
            Self::Float(floats) => floats
                .get(index)
                .map_or(KeyPart::Null, |float| KeyPart::Number(ordered(float))),
            Self::Text(texts) => texts
                .get(index)
                .map_or(KeyPart::Null, |text| KeyPart::Text(text.to_owned())),
        }
    }
}

fn numbers(series: &Series) -> PolarsResult<Int64Chunked> {
    Ok(series
        .to_physical_repr()
        .strict_cast(&DataType::Int64)?
        .i64()?
        .clone())
}

/// A whole number of the same order: polars takes both zeros for one, and every NaN for the largest
/// float.
fn ordered(float: f64) -> i64 {
    if float.is_nan() {
        return i64::MAX;
    }
    let bits = (float + 0.0).to_bits().cast_signed();
    bits ^ (bits >> 63).cast_unsigned().wrapping_shr(1).cast_signed()
}

/// Sorts records by key; those of equal keys keep their order. Many sources hand records out in
/// that order, and then nothing is moved.
pub(super) fn sorted_by_key(
    records: &DataFrame,
    key_columns: &[String],
) -> PolarsResult<DataFrame> {
    if ascends(records, key_columns, true)? {
        let mut records = records.clone();
        records.rechunk_mut();
        return Ok(records);
    }
    if let [only] = key_columns
        && let Ok(texts) = records.column(only)?.str()
        && texts.null_count() == 0
    {
        return records.take(&IdxCa::from_vec("".into(), text_order(texts)));
    }
    records.sort(
        key_columns,
        SortMultipleOptions::default().with_maintain_order(true),
    )
}

/// So many records mostly tell that a source has no order.
const FIRST_RECORDS: usize = 1_000;

/// Whether records stand in the order of their keys already, each key once unless it `may_repeat`.
/// Where keys have NULLs, nobody looks.
pub(super) fn ascends(
    records: &DataFrame,
    key_columns: &[String],
    may_repeat: bool,
) -> PolarsResult<bool> {
    let first = records.head(Some(FIRST_RECORDS));
    Ok(all_ascend(&first, key_columns, may_repeat)?
        && all_ascend(records, key_columns, may_repeat)?)
}

fn all_ascend(records: &DataFrame, key_columns: &[String], may_repeat: bool) -> PolarsResult<bool> {
    let pairs = records.height().saturating_sub(1);
    let mut ascend = BooleanChunked::full("ascend".into(), may_repeat, pairs);
    for name in key_columns.iter().rev() {
        let column = records.column(name)?;
        if column.null_count() > 0 {
            return Ok(false);
        }
        let (this, next) = (column.slice(0, pairs), column.slice(1, pairs));
        ascend = &this.lt(&next)? | &(&this.equal(&next)? & &ascend);
    }
    Ok(ascend.all())
}

/// Positions of texts in the order of their bytes; those of equal texts ascend. Keys mostly begin
/// alike and differ within a few characters: these are compared as one number, which is several
/// times as fast as comparing the texts.
fn text_order(texts: &StringChunked) -> Vec<IdxSize> {
    let texts: Vec<&[u8]> = texts.iter().flatten().map(str::as_bytes).collect();
    let shared = shared_length(&texts);
    let mut order: Vec<(u64, &[u8], IdxSize)> = texts
        .iter()
        .zip(0..)
        .map(|(text, position)| (number_at(text, shared), *text, position))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, _, position)| position).collect()
}

/// How many bytes all texts begin with.
fn shared_length(texts: &[&[u8]]) -> usize {
    let Some((first, others)) = texts.split_first() else {
        return 0;
    };
    others.iter().fold(first.len(), |shared, text| {
        let alike = first
            .iter()
            .zip(text.iter())
            .take(shared)
            .take_while(|(left, right)| left == right);
        alike.count()
    })
}

/// Eight bytes from `start` on as a number of the same order; texts that are shorter come before
/// those they begin.
fn number_at(text: &[u8], start: usize) -> u64 {
    let mut number = [0; 8];
    for (digit, byte) in number.iter_mut().zip(text.get(start..).unwrap_or_default()) {
        *digit = *byte;
    }
    u64::from_be_bytes(number)
}

/// For each of the records, which are sorted by key: whether no other has its key.
pub(super) fn unique_keys(
    sorted: &DataFrame,
    key_columns: &[String],
) -> PolarsResult<BooleanChunked> {
    let pairs = sorted.height().saturating_sub(1);
    let mut differs = BooleanChunked::full("differs".into(), false, pairs);
    for name in key_columns {
        let column = sorted.column(name)?;
        let (this, next) = (column.slice(0, pairs), column.slice(1, pairs));
        differs = &differs | &this.not_equal_missing(&next)?;
    }
    let mut differs_before = true;
    let ends = differs
        .iter()
        .map(|differs| differs.unwrap_or(true))
        .chain([true]);
    let unique = ends
        .take(sorted.height())
        .map(|differs| std::mem::replace(&mut differs_before, differs) && differs);
    Ok(unique.collect())
}

#[cfg(test)]
mod tests {
    use polars::prelude::{NamedFrom, df};

    use super::*;

    #[test]
    fn the_order_of_parts_is_the_order_polars_sorts_by() {
        let frame = df!(
            "text" => [Some("é"), Some("z"), None, Some(""), Some("Z"), Some("z")],
            "float" => [Some(-0.0), Some(f64::NAN), Some(f64::INFINITY), None, Some(-1.5), Some(0.0)],
            "whole" => [Some(i64::MIN), Some(-1), None, Some(i64::MAX), Some(0), Some(7)],
            "truth" => [Some(true), None, Some(false), Some(true), Some(false), None],
        )
        .expect("a frame");
        for name in ["text", "float", "whole", "truth"] {
            let key_columns = [name.to_owned()];
            let sorted = sorted_by_key(&frame, &key_columns).expect("sorted");
            let keys = Keys::of(&sorted, &key_columns).expect("keys");
            let parts: Vec<Key> = (0..sorted.height()).map(|index| keys.at(index)).collect();
            assert!(parts.is_sorted(), "{name}: {parts:?}");
        }
    }

    #[test]
    fn texts_of_any_length_are_sorted_as_polars_sorts_them() {
        let texts = [
            "ab",
            "ab\0",
            "a",
            "",
            "abc",
            "ab",
            "é",
            "abcdefghij",
            "abcdefgh",
            "abcdefghi",
            "abcdefgh\0",
            "z",
        ];
        for prefix in ["", "001Hs0000000"] {
            for length in 0..=texts.len() {
                let keys: Vec<String> = texts
                    .iter()
                    .take(length)
                    .map(|text| format!("{prefix}{text}"))
                    .collect();
                let frame = df!("key" => keys, "place" => (0..length as u64).collect::<Vec<_>>())
                    .expect("a frame");
                let options = SortMultipleOptions::default().with_maintain_order(true);
                let expected = frame.sort(["key"], options).expect("sorted");
                assert_eq!(
                    sorted_by_key(&frame, &["key".to_owned()]).expect("sorted"),
                    expected
                );
            }
        }
    }

    #[test]
    fn records_that_come_in_order_are_what_sorting_them_makes() {
        let ascending: [Column; 4] = [
            Series::new("key".into(), ["a", "a", "b", "é"]).into(),
            Series::new("key".into(), [-1_i64, 0, 0, 7]).into(),
            Series::new("key".into(), [-0.0, 0.0, 1.5, f64::NAN]).into(),
            Series::new("key".into(), [false, false, true, true]).into(),
        ];
        let key_columns = ["key".to_owned()];
        for key in ascending {
            let places = Series::new("place".into(), [0_i64, 1, 2, 3]);
            let frame = DataFrame::new(4, vec![key, places.into()]).expect("a frame");
            let ascends = |frame: &DataFrame, may_repeat| ascends(frame, &key_columns, may_repeat);
            assert!(ascends(&frame, true).expect("comparable"));
            assert!(!ascends(&frame, false).expect("comparable"));
            assert!(ascends(&frame.slice(1, 1), false).expect("comparable"));
            assert!(ascends(&frame.clear(), false).expect("comparable"));
            assert!(!ascends(&frame.reverse(), true).expect("comparable"));
            assert_eq!(sorted_by_key(&frame, &key_columns).expect("sorted"), frame);
        }
    }

    #[test]
    fn several_columns_ascend_one_after_the_other() {
        let key_columns = ["region".to_owned(), "id".to_owned()];
        let ascends = |regions: [Option<&str>; 3], ids: [i64; 3], may_repeat| {
            let frame = df!("region" => regions, "id" => ids).expect("a frame");
            ascends(&frame, &key_columns, may_repeat).expect("comparable")
        };
        let regions = [Some("EU"), Some("EU"), Some("US")];
        assert!(ascends(regions, [1, 2, 0], false));
        assert!(!ascends(regions, [1, 1, 0], false));
        assert!(ascends(regions, [1, 1, 0], true));
        assert!(!ascends(regions, [2, 1, 3], true));
        assert!(!ascends(
            [Some("US"), Some("EU"), Some("US")],
            [1, 2, 3],
            true
        ));
        assert!(!ascends([None, Some("EU"), Some("US")], [1, 2, 3], true));
    }

    #[test]
    fn a_key_that_stands_twice_is_not_unique() {
        let key_columns = ["region".to_owned(), "id".to_owned()];
        let frame =
            df!("region" => ["EU", "EU", "EU", "US"], "id" => [1_i64, 2, 2, 2]).expect("a frame");
        let unique = unique_keys(&frame, &key_columns).expect("keys");
        assert_eq!(
            unique.iter().flatten().collect::<Vec<_>>(),
            [true, false, false, true]
        );
        assert_eq!(
            unique_keys(&frame.clear(), &key_columns)
                .expect("keys")
                .len(),
            0
        );
    }

    #[test]
    fn a_list_is_no_key() {
        let list = Column::new("list".into(), [Series::new("".into(), [1_i64])]);
        let frame = DataFrame::new(1, vec![list]).expect("a frame");
        assert!(Keys::of(&frame, &["list".to_owned()]).is_err());
    }
}
