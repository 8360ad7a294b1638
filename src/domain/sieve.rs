//! Parts the records that passed a check from those that did not: one rejection per record, however
//! many of its values are at fault.

use std::collections::BTreeMap;

use polars::prelude::{BooleanChunked, DataFrame, IdxSize, NewChunkedArray, PlSmallStr, Series};

use super::columnar::Fault;
use super::conform::Sifted;
use super::conversion::texts_of;
use super::outcome::{FLAWED_VALUE_CHARACTERS_MAX, Flaw, Rejection, Stage};
use super::record::{RECORD_POSITION, key_text};
use super::value::Kind;
use crate::library;

/// Collects the faults of a frame's columns.
#[derive(Debug)]
pub(super) struct Sieve {
    stage: Stage,
    /// By position in the frame.
    records_at_fault: BTreeMap<usize, Vec<Flaw>>,
}

/// One part of the match key, for telling people which record was rejected; `None` if it could not
/// be read.
pub(super) type KeyPart = Option<(Series, Kind)>;

impl Sieve {
    pub(super) fn new(stage: Stage) -> Self {
        Self {
            stage,
            records_at_fault: BTreeMap::new(),
        }
    }

    /// Adds what is wrong with one column, called `column`, which was to be made of the `given`
    /// values; the order of calls is the order of blame.
    pub(super) fn add(&mut self, column: &str, faults: Vec<Fault>, given: Option<&Series>) {
        for Fault { index, reason } in faults {
            let flaws = self.records_at_fault.entry(index).or_default();
            if flaws.iter().all(|flaw| flaw.column != column) {
                flaws.push(Flaw {
                    column: column.to_owned(),
                    value: given.and_then(|values| shown_value(values, index)),
                    reason,
                });
            }
        }
    }

    /// Whether no value is at fault.
    pub(super) fn is_clean(&self) -> bool {
        self.records_at_fault.is_empty()
    }

    /// Parts `records`, whose columns the faults are about.
    pub(super) fn sift(self, records: DataFrame, key: &[KeyPart]) -> Sifted {
        if self.is_clean() {
            return Sifted {
                records,
                rejections: Vec::new(),
            };
        }
        let indexes: Vec<usize> = self.records_at_fault.keys().copied().collect();
        let mask = mask_without(&indexes, records.height());
        let (positions, keys) = (positions(&records, &indexes), key_texts(key, &indexes));
        let rejection = |((record, key), flaws): ((u64, Option<String>), Vec<Flaw>)| {
            let mut flaws = flaws.into_iter();
            let Flaw {
                column,
                value,
                reason,
            } = flaws.next()?;
            Some(Rejection {
                record,
                key,
                stage: self.stage,
                column: Some(column),
                value,
                reason,
                others: flaws.collect(),
            })
        };
        let at_fault = self.records_at_fault.into_values();
        let rejections = positions
            .into_iter()
            .zip(keys)
            .zip(at_fault)
            .filter_map(rejection)
            .collect();
        let records = records
            .filter(&mask)
            .expect("the mask is as long as the frame");
        Sifted {
            records,
            rejections,
        }
    }
}

/// A value as people are shown it; `None` of NULL, and of what has no text: the data-frame library
/// panics over instants and times of day outside the calendar, such as `infinity`.
fn shown_value(values: &Series, index: usize) -> Option<String> {
    let value = values.get(index).ok()?;
    if value.is_null() {
        return None;
    }
    let text = library::guarded(|| value.str_value()).ok()?;
    match text.char_indices().nth(FLAWED_VALUE_CHARACTERS_MAX) {
        Some((end, _)) => Some(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Some(text.into_owned()),
    }
}

fn mask_without(indexes: &[usize], height: usize) -> BooleanChunked {
    let mut passes = vec![true; height];
    for index in indexes {
        if let Some(record_passes) = passes.get_mut(*index) {
            *record_passes = false;
        }
    }
    BooleanChunked::from_slice(PlSmallStr::EMPTY, &passes)
}

/// The records' positions in what was pulled; where a frame has none, their positions in the frame.
fn positions(records: &DataFrame, indexes: &[usize]) -> Vec<u64> {
    let column = records
        .column(RECORD_POSITION)
        .and_then(|column| column.u64());
    let position = |index: &usize| {
        let pulled = column
            .as_ref()
            .ok()
            .and_then(|positions| positions.get(*index));
        pulled.unwrap_or_else(|| u64::try_from(*index).unwrap_or(u64::MAX))
    };
    indexes.iter().map(position).collect()
}

/// The keys of the records at `indexes`, one text each; `None` where a part could not be read or is
/// NULL.
pub(super) fn key_texts(key: &[KeyPart], indexes: &[usize]) -> Vec<Option<String>> {
    let parts: Option<Vec<_>> = key
        .iter()
        .map(|part| part_texts(part.as_ref()?, indexes))
        .collect();
    let Some(parts) = parts else {
        return vec![None; indexes.len()];
    };
    let key_of = |at: usize| {
        let parts: Option<Vec<&str>> = parts
            .iter()
            .map(|texts| texts.get(at)?.as_deref())
            .collect();
        parts.map(|parts| key_text(parts.into_iter()))
    };
    (0..indexes.len()).map(key_of).collect()
}

fn part_texts((values, kind): &(Series, Kind), indexes: &[usize]) -> Option<Vec<Option<String>>> {
    let indexes: Vec<IdxSize> = indexes
        .iter()
        .filter_map(|index| IdxSize::try_from(*index).ok())
        .collect();
    let texts = texts_of(&values.take_slice(&indexes).ok()?, *kind).ok()?;
    Some(texts.iter().map(|text| text.map(str::to_owned)).collect())
}
