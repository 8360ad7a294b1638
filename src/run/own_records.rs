//! Whose records: of a source that many agencies share, a job takes those of its own.

use polars::prelude::{BooleanChunked, Column, DataFrame, NewChunkedArray, PlSmallStr};

use crate::domain::conform::{pulled_keys, texts_of_pulled};
use crate::domain::job::{RecordsOf, WriteBack};
use crate::domain::outcome::{Rejection, Stage};
use crate::domain::record::RECORD_POSITION;
use crate::source::Pulled;

/// The records of a chunk that a write-back takes. Those of no agency come back as rejections.
pub(super) fn own_records(write_back: &WriteBack, pulled: Pulled) -> Pulled {
    match &write_back.records_of {
        RecordsOf::All => pulled,
        RecordsOf::None => Pulled {
            read: 0,
            records: pulled.records.clear(),
            rejections: Vec::new(),
            places: pulled.places,
        },
        RecordsOf::Agency { column, agency } => {
            let named = named(&pulled.records, column);
            let records = those(&pulled.records, &named, |name| name == Some(agency));
            Pulled {
                read: u64::try_from(records.height()).unwrap_or(u64::MAX),
                records,
                // Nobody knows whose they are; the base tells of them.
                rejections: Vec::new(),
                places: pulled.places,
            }
        }
        RecordsOf::Strangers {
            column,
            agencies,
            folder,
        } => {
            let named = named(&pulled.records, column);
            let is_strange = |name: Option<&str>| {
                name.is_none_or(|name| agencies.iter().all(|agency| agency != name))
            };
            let strangers = those(&pulled.records, &named, is_strange);
            let names = named.iter().filter(|name| is_strange(name.as_deref()));
            let keys = pulled_keys(&write_back.schema, &strangers);
            let told = positions(&strangers).into_iter().zip(keys).zip(names);
            let strange = told.map(|((record, key), name)| Rejection {
                record,
                key,
                stage: Stage::Schema,
                column: Some(column.clone()),
                value: name.clone(),
                reason: reason(name.as_deref(), folder),
                others: Vec::new(),
            });
            let mut rejections = pulled.rejections;
            rejections.extend(strange);
            Pulled {
                read: u64::try_from(rejections.len()).unwrap_or(u64::MAX),
                records: pulled.records.clear(),
                rejections,
                places: pulled.places,
            }
        }
    }
}

fn reason(name: Option<&str>, folder: &str) -> String {
    match name {
        Some(name) if !name.is_empty() => {
            format!("no file of {folder} is of this agency")
        }
        _ => "names no agency".to_owned(),
    }
}

/// What each record names in a column.
fn named(records: &DataFrame, column: &str) -> Vec<Option<String>> {
    let only = records.select([column]).map(|only| texts_of_pulled(&only));
    let texts = only.ok().and_then(|only| only.column(column).cloned().ok());
    let texts = texts.as_ref().and_then(|texts| texts.str().ok());
    match texts {
        Some(texts) => texts.iter().map(|text| text.map(str::to_owned)).collect(),
        None => vec![None; records.height()],
    }
}

fn those(
    records: &DataFrame,
    named: &[Option<String>],
    wanted: impl Fn(Option<&str>) -> bool,
) -> DataFrame {
    let passes: Vec<bool> = named.iter().map(|name| wanted(name.as_deref())).collect();
    let mask = BooleanChunked::from_slice(PlSmallStr::EMPTY, &passes);
    records
        .filter(&mask)
        .expect("the mask is as long as the frame")
}

fn positions(records: &DataFrame) -> Vec<u64> {
    let positions = records.column(RECORD_POSITION).and_then(Column::u64);
    positions.map_or_else(
        |_| Vec::new(),
        |positions| positions.iter().map(Option::unwrap_or_default).collect(),
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use polars::prelude::df;

    use super::*;

    fn chosen(wanted: impl Fn(Option<&str>) -> bool) -> Vec<u64> {
        let records = df!(
            "agency" => [Some("North"), Some("South"), None, Some("")],
            RECORD_POSITION => [4_u64, 5, 6, 7],
        )
        .unwrap();
        positions(&those(&records, &named(&records, "agency"), wanted))
    }

    #[test]
    fn records_are_chosen_by_what_they_name_to_the_letter() {
        assert_eq!(chosen(|name| name == Some("North")), [4]);
        assert_eq!(chosen(|name| name == Some("north")), [0_u64; 0]);
        assert_eq!(
            chosen(|name| name.is_none_or(|name| name != "North")),
            [5, 6, 7]
        );
    }
}
