//! Whole columns made out of whole columns, while the values at fault are set aside.

use polars::prelude::{
    ChunkedArray, ChunkedBuilder, IntoSeries, PlSmallStr, PolarsNumericType,
    PrimitiveChunkedBuilder, Series, StringChunked, StringChunkedBuilder,
};

/// A value that its column cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Position of the record in the frame.
    pub(crate) index: usize,
    /// What is wrong with the value, never the value itself.
    pub(crate) reason: String,
}

/// A column made out of another.
#[derive(Debug, Clone)]
pub(crate) struct Converted {
    /// One value per record; whatever stands where a fault is, is not to be used.
    pub(crate) values: Series,
    /// One per value at most.
    pub(crate) faults: Vec<Fault>,
}

impl Converted {
    pub(crate) fn without_faults(values: impl IntoSeries) -> Self {
        Self {
            values: values.into_series(),
            faults: Vec::new(),
        }
    }

    /// A column that stays as it is, but for the values at fault.
    pub(crate) fn kept(values: impl IntoSeries, faults: Vec<Fault>) -> Self {
        Self {
            values: values.into_series(),
            faults,
        }
    }
}

/// Checks every value that is not NULL.
pub(crate) fn check<V, R: Into<String>>(
    values: impl Iterator<Item = Option<V>>,
    mut check: impl FnMut(V) -> Result<(), R>,
) -> Vec<Fault> {
    let fault = |(index, value): (usize, Option<V>)| {
        let reason = check(value?).err()?.into();
        Some(Fault { index, reason })
    };
    values.enumerate().filter_map(fault).collect()
}

/// Makes a number (or a moment, which is one) out of every value that is not NULL.
pub(crate) fn numbers<T: PolarsNumericType, V, R: Into<String>>(
    name: &PlSmallStr,
    values: impl Iterator<Item = Option<V>>,
    mut convert: impl FnMut(V) -> Result<T::Native, R>,
) -> (ChunkedArray<T>, Vec<Fault>) {
    let mut numbers = PrimitiveChunkedBuilder::<T>::new(name.clone(), values.size_hint().0);
    let mut faults = Vec::new();
    for (index, value) in values.enumerate() {
        match value.map(&mut convert) {
            Some(Ok(number)) => numbers.append_value(number),
            None => numbers.append_null(),
            Some(Err(reason)) => {
                numbers.append_null();
                faults.push(Fault {
                    index,
                    reason: reason.into(),
                });
            }
        }
    }
    (numbers.finish(), faults)
}

/// Writes a text for every value that is not NULL, into a buffer that is empty each time.
pub(crate) fn texts<V, R: Into<String>>(
    name: &PlSmallStr,
    values: impl Iterator<Item = Option<V>>,
    mut write: impl FnMut(V, &mut String) -> Result<(), R>,
) -> (StringChunked, Vec<Fault>) {
    let mut texts = StringChunkedBuilder::new(name.clone(), values.size_hint().0);
    let mut faults = Vec::new();
    let mut text = String::new();
    for (index, value) in values.enumerate() {
        text.clear();
        match value.map(|value| write(value, &mut text)) {
            Some(Ok(())) => texts.append_value(&text),
            None => texts.append_null(),
            Some(Err(reason)) => {
                texts.append_null();
                faults.push(Fault {
                    index,
                    reason: reason.into(),
                });
            }
        }
    }
    (texts.finish(), faults)
}

/// Sets every value that is not NULL aside, all for one reason.
pub(crate) fn all_at_fault(values: &Series, reason: &str) -> Vec<Fault> {
    let present = values.is_not_null();
    let faults = present
        .iter()
        .enumerate()
        .filter(|(_, present)| *present == Some(true));
    faults
        .map(|(index, _)| Fault {
            index,
            reason: reason.to_owned(),
        })
        .collect()
}

/// Sets every NULL aside.
pub(crate) fn nulls_at_fault(values: &Series, reason: &str) -> Vec<Fault> {
    if values.null_count() == 0 {
        return Vec::new();
    }
    let null = values.is_null();
    let faults = null
        .iter()
        .enumerate()
        .filter(|(_, null)| *null == Some(true));
    faults
        .map(|(index, _)| Fault {
            index,
            reason: reason.to_owned(),
        })
        .collect()
}
