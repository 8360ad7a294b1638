//! What a day's requests wrote, as one image for each record: what its fields held before the first
//! of them, and what the last of them sent. Each request wrote some fields of one record.

use std::collections::HashMap;

use polars::prelude::{
    BooleanChunked, ChunkFull, Column, DataFrame, DataType, IdxCa, IdxSize, IntoColumn,
    PolarsResult,
};

use crate::domain::layout::{Layout, LayoutField};
use crate::domain::record::KeyTexts;
use crate::run::images::{CREATED, IN_DOUBT, before_column, sent_column, written_column};

/// Images in the order in which they were written become one for each record. Shape: the columns of
/// before-images with every field of the layout, `RECORD` left out.
pub(super) fn folded(
    frames: &[DataFrame],
    layout: &Layout,
    key_columns: &[String],
) -> PolarsResult<Option<DataFrame>> {
    let mut all: Option<DataFrame> = None;
    for frame in frames {
        let whole = whole(frame, layout)?;
        all = Some(match all {
            Some(all) => all.vstack(&whole)?,
            None => whole,
        });
    }
    let Some(mut all) = all else { return Ok(None) };
    all.rechunk_mut();
    let records = records_of(&all, key_columns)?;
    let first = |rows: &Vec<usize>| rows.first().copied();
    let created = all.column(CREATED)?.bool()?.clone();
    let in_doubt = all.column(IN_DOUBT)?.bool()?.clone();
    let is = |flags: &BooleanChunked, row: usize| flags.get(row) == Some(true);
    let is_created = records
        .iter()
        .map(|rows| first(rows).is_some_and(|row| is(&created, row)));
    let is_in_doubt = records
        .iter()
        .map(|rows| rows.iter().any(|row| is(&in_doubt, *row)));
    let mut columns = vec![
        is_created
            .collect::<BooleanChunked>()
            .with_name(CREATED.into())
            .into_column(),
        is_in_doubt
            .collect::<BooleanChunked>()
            .with_name(IN_DOUBT.into())
            .into_column(),
    ];
    for field in &layout.fields {
        let name = &field.column.name;
        let sent = all.column(&sent_column(name))?;
        if field.key {
            columns.push(sent.take(&indices(records.iter().map(first)))?);
            continue;
        }
        let written = all.column(&written_column(name))?.bool()?.clone();
        let writing = |rows: &Vec<usize>| -> Vec<usize> {
            let is_written = |row: &&usize| is(&written, **row);
            rows.iter().filter(is_written).copied().collect()
        };
        let writings: Vec<Vec<usize>> = records.iter().map(writing).collect();
        let last = indices(writings.iter().map(|rows| rows.last().copied()));
        let earliest = indices(writings.iter().map(first));
        let is_written: BooleanChunked = writings.iter().map(|rows| !rows.is_empty()).collect();
        columns.push(sent.take(&last)?);
        columns.push(all.column(&before_column(name))?.take(&earliest)?);
        columns.push(
            is_written
                .with_name(written_column(name).into())
                .into_column(),
        );
    }
    DataFrame::new(records.len(), columns).map(Some)
}

/// Rows of each record, in order.
fn records_of(all: &DataFrame, key_columns: &[String]) -> PolarsResult<Vec<Vec<usize>>> {
    let keys = KeyTexts::of(all, key_columns)?;
    let mut places: HashMap<Option<String>, usize> = HashMap::new();
    let mut records: Vec<Vec<usize>> = Vec::new();
    for row in 0..all.height() {
        let place = *places.entry(keys.text(row)).or_insert(records.len());
        match records.get_mut(place) {
            Some(rows) => rows.push(row),
            None => records.push(vec![row]),
        }
    }
    Ok(records)
}

fn indices(rows: impl Iterator<Item = Option<usize>>) -> IdxCa {
    rows.map(|row| IdxSize::try_from(row?).ok()).collect()
}

/// A frame with every field of the layout: one that its request did not write is not written.
fn whole(frame: &DataFrame, layout: &Layout) -> PolarsResult<DataFrame> {
    let height = frame.height();
    let flags = |value| BooleanChunked::full("".into(), value, height);
    let mut columns = vec![
        frame.column(CREATED)?.clone(),
        frame.column(IN_DOUBT)?.clone(),
    ];
    for field in &layout.fields {
        let name = &field.column.name;
        let is_there = frame.column(&sent_column(name)).is_ok();
        columns.push(match frame.column(&sent_column(name)) {
            Ok(sent) => sent.clone(),
            Err(_) => Column::full_null(sent_column(name).into(), height, &representation(field)),
        });
        if field.key {
            continue;
        }
        columns.push(match frame.column(&before_column(name)) {
            Ok(before) => before.clone(),
            Err(_) => Column::full_null(before_column(name).into(), height, &DataType::String),
        });
        let created = frame.column(CREATED)?.bool()?;
        let written = match frame.column(&written_column(name)) {
            Ok(written) => written.bool()? | created,
            Err(_) => flags(is_there),
        };
        columns.push(written.with_name(written_column(name).into()).into_column());
    }
    DataFrame::new(height, columns)
}

fn representation(field: &LayoutField) -> DataType {
    match field.own_text {
        true => DataType::String,
        false => field.kind.representation(),
    }
}
