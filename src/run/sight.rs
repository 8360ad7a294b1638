//! Looking for rows by a key: what a column of theirs holds, such as the id by which others name
//! them. Each key is asked for once, however many records have it.

use std::collections::HashMap;

use polars::prelude::{
    Column, DataFrame, IdxCa, IdxSize, IntoColumn, PlSmallStr, PolarsError, PolarsResult, Series,
};

use crate::destination::seam::LookUp;
use crate::domain::before::Before;
use crate::domain::field::NullPolicy;
use crate::domain::layout::{Demand, Layout, LayoutField};
use crate::domain::match_rule::MatchMode;
use crate::domain::object::{Object, ObjectColumn};
use crate::domain::record::KeyTexts;

/// Where the id of a row stands.
#[derive(Debug, Clone)]
pub(super) enum IdPlace {
    Column(ObjectColumn),
    /// A web API tells it of every row.
    Told,
}

/// How rows are looked for: by a key, for their id.
#[derive(Debug)]
pub(super) struct Sight {
    layout: Layout,
    /// Where the id stands among the fields; `None` where the system tells it beside them.
    id: Option<usize>,
}

/// The rows of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rows {
    None,
    /// With its id, if that could be had.
    One(Option<String>),
    /// There is one, and it is none of those that are looked for.
    Unfit,
    Several(u64),
}

/// Why rows could not be seen.
pub(super) enum Unseen<E> {
    Unasked(E),
    /// The records have not the columns of the key.
    Misshapen(PolarsError),
}

impl<E> From<PolarsError> for Unseen<E> {
    fn from(error: PolarsError) -> Self {
        Self::Misshapen(error)
    }
}

impl Sight {
    pub(super) fn of(object: &Object, key: &[ObjectColumn], id: &IdPlace) -> Self {
        let field = |column: &ObjectColumn, key: bool| {
            let kind = column.holds.kind()?;
            Some(LayoutField {
                key,
                ..LayoutField::plain(column.clone(), kind)
            })
        };
        let mut fields: Vec<LayoutField> = key
            .iter()
            .filter_map(|column| field(column, true))
            .collect();
        let key: Vec<usize> = (0..fields.len()).collect();
        let id = match id {
            IdPlace::Told => None,
            IdPlace::Column(id) => {
                let known = fields.iter().position(|field| field.column.name == id.name);
                known.or_else(|| {
                    fields.push(field(id, false)?);
                    Some(fields.len() - 1)
                })
            }
        };
        Self {
            layout: Layout {
                object: object.clone(),
                // Where what was just made is found otherwise, it is looked for as well.
                mode: MatchMode::CreateOnly,
                nulls: NullPolicy::Write,
                only_where: Vec::new(),
                fields,
                key,
            },
            id,
        }
    }

    /// For rows that hold this.
    pub(super) fn among(mut self, only_where: Vec<Demand>) -> Self {
        self.layout.only_where = only_where;
        self
    }

    /// Looks for the rows of the records at these indexes.
    pub(super) async fn look<By: LookUp>(
        &self,
        by: &mut By,
        records: &DataFrame,
        indexes: &[usize],
    ) -> Result<Vec<(usize, Rows)>, Unseen<By::Error>> {
        let mut seen = Vec::with_capacity(indexes.len());
        let names: Vec<String> = self
            .layout
            .key_fields()
            .map(|field| field.column.name.clone())
            .collect();
        let texts = KeyTexts::of(records, &names)?;
        let (mut asked, mut first): (Vec<IdxSize>, HashMap<String, usize>) = Default::default();
        let mut places = Vec::with_capacity(indexes.len());
        for index in indexes {
            let text = texts.text(*index).unwrap_or_default();
            let place = *first.entry(text).or_insert_with(|| {
                asked.push(IdxSize::try_from(*index).unwrap_or(IdxSize::MAX));
                asked.len() - 1
            });
            places.push((*index, place));
        }
        if asked.is_empty() {
            return Ok(seen);
        }
        let rows = IdxCa::from_vec(PlSmallStr::EMPTY, asked);
        let batch = self.batch(&records.take(&rows)?)?;
        let looked_up = by.look_up(&self.layout, &batch, Before::OfAll).await;
        let looked_up = looked_up.map_err(Unseen::Unasked)?;
        for (index, place) in places {
            let found = looked_up.found.get(place).copied().unwrap_or_default();
            let id = || match self.id {
                Some(field) => looked_up.before.value(place, field).map(str::to_owned),
                None => looked_up.stored.get(&place).map(|row| row.id.0.clone()),
            };
            let rows = match found.rows {
                0 => Rows::None,
                1 if found.is_unfit => Rows::Unfit,
                1 => Rows::One(id()),
                several => Rows::Several(several),
            };
            seen.push((index, rows));
        }
        Ok(seen)
    }

    fn batch(&self, keys: &DataFrame) -> PolarsResult<DataFrame> {
        let column = |field: &LayoutField| match field.key {
            true => keys.column(&field.column.name).cloned(),
            false => Ok(Series::full_null(
                field.column.name.as_str().into(),
                keys.height(),
                &field.kind.representation(),
            )
            .into_column()),
        };
        let columns: PolarsResult<Vec<Column>> = self.layout.fields.iter().map(column).collect();
        DataFrame::new(keys.height(), columns?)
    }
}
