//! What was last written back: the segments of several runs, which need not have had the same
//! fields, brought into one form, packed by key, and of each key and field the newest value.

use std::ops::Range;
use std::path::Path;

use polars::prelude::{
    BooleanChunked, Column, DataFrame, DataType, Int64Chunked, IntoColumn, PolarsResult,
    StringChunked,
};

use super::{Traced, Unwritten, VerifyRequest};
use crate::domain::before::unmarked;
use crate::domain::conversion::texts_of;
use crate::domain::field::NullPolicy;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::match_rule::MatchMode;
use crate::domain::object::{Object, ObjectColumn};
use crate::domain::record::key_texts;
use crate::domain::value::Kind;
use crate::ledger::{JournalRun, SentImages};
use crate::package::{Package, PackageWriter, Partition};
use crate::run::cut::RecordBytes;
use crate::run::images::{ImageField, Segment};
use crate::run::journal::JournalError;
use crate::run::newest::{groups, in_order, newest_row, rows};

/// Names a frame's column (`Int64`) with the run that wrote the record. No SQL name holds a NUL.
const RUN: &str = "\0run";

/// Names a frame's column (`Boolean`) that tells of a field's values: whether they can be compared;
/// NULL, the run did not write the field.
fn known_column(field: &str) -> String {
    format!("\0known {field}")
}

/// Names a frame's column (`String`) with a field's values that were sent as the database's own
/// text; NULL elsewhere.
fn own_column(field: &str) -> String {
    format!("\0own {field}")
}

/// Names a frame's column (`Boolean`): whether the run deleted the record's row.
const DELETED: &str = "\0deleted";

/// What runs wrote, met with the object they wrote to.
pub(super) struct Written {
    /// The match key first, in its order, then every field that a run wrote.
    pub(super) layout: Layout,
    key_columns: Vec<String>,
    /// Columns that only earlier runs wrote, and that are no longer there or of another type.
    pub(super) not_compared: Vec<String>,
}

impl Written {
    /// Finds the columns of what runs wrote, oldest first and at least one.
    /// Errors: `ColumnGone` and `ColumnAltered`, about what the newest run wrote.
    pub(super) fn meet(runs: &[Traced<'_>], object: Object) -> Result<Self, JournalError> {
        let mut fields: Vec<LayoutField> = Vec::new();
        let mut not_compared: Vec<String> = Vec::new();
        for (age, traced) in runs.iter().rev().enumerate() {
            let mut images: Vec<&ImageField> = traced.fields.iter().collect();
            images.sort_by_key(|field| field.key.unwrap_or(usize::MAX));
            for image in images {
                let is_met = fields.iter().any(|field| field.column.name == image.name);
                if is_met || not_compared.contains(&image.name) {
                    continue;
                }
                match meet(image, traced.run, &object) {
                    Ok(column) => fields.push(layout_field(image, column)),
                    Err(error) if age == 0 => return Err(error),
                    Err(_) => not_compared.push(image.name.clone()),
                }
            }
        }
        let key: Vec<usize> = (0..fields.iter().filter(|field| field.key).count()).collect();
        let key_columns = fields
            .iter()
            .filter(|field| field.key)
            .map(|field| field.column.name.clone())
            .collect();
        let layout = Layout {
            object,
            mode: MatchMode::UpdateOnly,
            nulls: NullPolicy::Write,
            only_where: Vec::new(),
            fields,
            key,
        };
        Ok(Self {
            layout,
            key_columns,
            not_compared,
        })
    }

    /// The fields that are no part of the key.
    pub(super) fn values(&self) -> impl Iterator<Item = &LayoutField> {
        self.layout.written_fields()
    }

    /// Their positions in the layout.
    pub(super) fn value_positions(&self) -> std::ops::Range<usize> {
        self.key_columns.len()..self.layout.fields.len()
    }

    /// Of the field at a position of the layout.
    pub(super) fn kind(&self, position: usize) -> Option<Kind> {
        self.layout.fields.get(position).map(|field| field.kind)
    }

    /// The layout with one field beside the key, as its kind's values or as the database's own
    /// text.
    pub(super) fn layout_of(&self, position: usize, own_text: bool) -> Layout {
        let keep = |(place, field): (usize, &LayoutField)| match (field.key, place == position) {
            (true, _) => Some(field.clone()),
            (false, true) => Some(LayoutField {
                own_text,
                ..field.clone()
            }),
            (false, false) => None,
        };
        let fields = self
            .layout
            .fields
            .iter()
            .enumerate()
            .filter_map(keep)
            .collect();
        Layout {
            fields,
            ..self.layout.clone()
        }
    }

    /// Packs what the runs wrote, oldest first.
    pub(super) fn pack(
        &self,
        runs: &[Traced<'_>],
        unwritten: &Unwritten,
        folder: &Path,
        request: &VerifyRequest<'_>,
    ) -> Result<Package, JournalError> {
        let mut writer = PackageWriter::create(folder, &self.key_columns)?;
        let mut records = 0;
        let mut sendings = Vec::new();
        for (traced, unwritten) in runs.iter().zip(unwritten) {
            let images = traced.trace.images.iter();
            sendings.extend(images.map(|image| (traced, unwritten, image)));
        }
        // Requests of a day may be older or younger than a run that began after the first of them.
        sendings.sort_by_key(|(_, _, sending)| sending.image);
        for (Traced { run, trace, .. }, unwritten, SentImages { image, segment, .. }) in sendings {
            if request.stop.is_asked() {
                return Err(JournalError::Interrupted);
            }
            let segment = Segment::read(&trace.folder, segment)?;
            let mut frame = self.conform(&segment, run.id.run)?;
            if let Some(unwritten) = unwritten.get(image) {
                let may_be_written: BooleanChunked =
                    unwritten.iter().map(|unwritten| !unwritten).collect();
                frame = frame.filter(&may_be_written)?;
            }
            writer.push(&frame)?;
            records += frame.height() as u64;
            request.progress.pulled(&request.write_back.name, records);
        }
        Ok(writer.finish()?)
    }

    /// A segment's records in the form that all have. Shape: the layout's fields, of each that is
    /// no part of the key two columns more, whether rows were deleted, and the run.
    fn conform(&self, segment: &Segment, run: i64) -> Result<DataFrame, JournalError> {
        let frame = segment.frame()?;
        let mut columns = Vec::new();
        for field in &self.layout.fields {
            let name = field.column.name.as_str();
            let image = segment.fields.iter().find(|image| image.name == name);
            let fitting = image.filter(|image| image.kind == field.kind);
            columns.push(
                match fitting.filter(|image| image.own_text == field.own_text) {
                    Some(image) => segment.column(&frame, "sent", image)?,
                    None => {
                        Column::full_null(name.into(), frame.height(), &field.kind.representation())
                    }
                },
            );
            if !field.key {
                let own = match fitting.filter(|image| image.own_text) {
                    Some(image) => segment.column(&frame, "sent", image)?,
                    None => Column::full_null(name.into(), frame.height(), &DataType::String),
                };
                columns.push(own.with_name(own_column(name).into()));
                let written = image
                    .map(|image| segment.written(&frame, image))
                    .transpose()?;
                columns.push(known(name, written, fitting.is_some(), frame.height()));
            }
        }
        columns.push(
            segment
                .deleted(&frame)?
                .into_column()
                .with_name(DELETED.into()),
        );
        columns.push(Column::new(RUN.into(), vec![run; frame.height()]));
        Ok(DataFrame::new(frame.height(), columns)?)
    }

    /// Of each key and field the newest value.
    pub(super) fn latest(&self, partition: Partition) -> Result<Latest, JournalError> {
        let sorted = in_order(&partition, &self.key_columns)?;
        let keys = key_texts(&sorted, &self.key_columns);
        let deleted = sorted.column(DELETED)?.bool()?.clone();
        // Of a row that was deleted nothing is left to compare.
        let groups: Vec<(usize, usize)> = groups(&keys)
            .into_iter()
            .filter(|(_, last)| deleted.get(*last) != Some(true))
            .collect();
        let last: Vec<usize> = groups.iter().map(|(_, last)| *last).collect();
        let runs = sorted.column(RUN)?.i64()?.clone();
        let mut records = Vec::new();
        let mut values = Vec::new();
        for field in &self.layout.fields {
            let column = sorted.column(&field.column.name)?;
            if field.key {
                records.push(column.take(&rows(&last))?);
                continue;
            }
            let known = sorted
                .column(&known_column(&field.column.name))?
                .bool()?
                .clone();
            let newest = groups
                .iter()
                .map(|group| newest_row(group, &known))
                .collect::<Vec<usize>>();
            let taken = column.take(&rows(&newest))?;
            let own = sorted
                .column(&own_column(&field.column.name))?
                .take(&rows(&newest))?;
            let own = own.str()?.clone();
            let texts = texts_of(taken.as_materialized_series(), field.kind)?;
            let read = texts
                .iter()
                .zip(own.iter())
                .map(|(text, own)| own.map(|exact| unmarked(exact).1).or(text));
            values.push(LatestValues {
                texts: read.collect(),
                own,
                known: newest.iter().map(|row| known.get(*row)).collect(),
                runs: newest.iter().map(|row| runs.get(*row)).collect(),
            });
            records.push(taken);
        }
        Ok(Latest {
            keys: last
                .iter()
                .filter_map(|row| keys.get(*row).cloned())
                .collect(),
            records: DataFrame::new(last.len(), records)?,
            runs: last.iter().map(|row| runs.get(*row)).collect(),
            values,
        })
    }
}

/// The object's column of a field, as long as it takes the values that were sent.
fn meet<'a>(
    image: &ImageField,
    run: &JournalRun,
    object: &'a Object,
) -> Result<&'a ObjectColumn, JournalError> {
    let (column, run) = (image.name.clone(), run.id.run);
    match object
        .columns
        .iter()
        .find(|column| column.name == image.name)
    {
        None => Err(JournalError::ColumnGone {
            column,
            object: object.display_name(),
            run,
        }),
        Some(found) if found.holds.kind() == Some(image.kind) => Ok(found),
        Some(found) => {
            let declared = found.declared.clone();
            Err(JournalError::ColumnAltered {
                column,
                object: object.display_name(),
                declared,
                run,
            })
        }
    }
}

/// A field that is compared whatever it was written for.
fn layout_field(image: &ImageField, column: &ObjectColumn) -> LayoutField {
    LayoutField {
        key: image.key.is_some(),
        ..LayoutField::plain(column.clone(), image.kind)
    }
}

fn known(field: &str, written: Option<BooleanChunked>, fits: bool, records: usize) -> Column {
    let known: BooleanChunked = match written {
        Some(written) => written
            .iter()
            .map(|written| (written == Some(true)).then_some(fits))
            .collect(),
        None => std::iter::repeat_n(None::<bool>, records).collect(),
    };
    known.into_column().with_name(known_column(field).into())
}

/// What was last written of some records, sorted by key, every key once.
pub(super) struct Latest {
    pub(super) keys: Vec<String>,
    /// Shape: `(records, fields)`, as the layout has them.
    pub(super) records: DataFrame,
    /// Record by record: the run that wrote it last.
    runs: Int64Chunked,
    /// Field by field, those of the key left out.
    values: Vec<LatestValues>,
}

struct LatestValues {
    /// As people read them.
    texts: StringChunked,
    /// Those that were sent as the database's own text.
    own: StringChunked,
    /// Whether they can be compared; NULL, no run wrote them.
    known: BooleanChunked,
    /// The runs that wrote them.
    runs: Int64Chunked,
}

impl Latest {
    /// How much there is of each record, in whichever form.
    pub(super) fn bytes(&self) -> PolarsResult<RecordBytes> {
        let own = self.values.iter().enumerate();
        let own = own.map(|(field, values)| {
            values
                .own
                .clone()
                .into_column()
                .with_name(own_column(&field.to_string()).into())
        });
        let columns = self.records.columns().iter().cloned().chain(own).collect();
        Ok(RecordBytes::of(&DataFrame::new(
            self.records.height(),
            columns,
        )?))
    }

    /// Some of the records.
    pub(super) fn slice(&self, range: &Range<usize>) -> Self {
        let (offset, records_max) = (i64::try_from(range.start).unwrap_or(i64::MAX), range.len());
        let values = |values: &LatestValues| LatestValues {
            texts: values.texts.slice(offset, records_max),
            own: values.own.slice(offset, records_max),
            known: values.known.slice(offset, records_max),
            runs: values.runs.slice(offset, records_max),
        };
        Self {
            keys: self
                .keys
                .iter()
                .skip(range.start)
                .take(records_max)
                .cloned()
                .collect(),
            records: self.records.slice(offset, records_max),
            runs: self.runs.slice(offset, records_max),
            values: self.values.iter().map(values).collect(),
        }
    }

    pub(super) fn key(&self, record: usize) -> String {
        self.keys.get(record).cloned().unwrap_or_default()
    }

    pub(super) fn latest_run(&self, record: usize) -> i64 {
        self.runs.get(record).unwrap_or_default()
    }

    /// Whether a field of a record was written, and can be compared.
    pub(super) fn is_known(&self, field: usize, record: usize) -> bool {
        self.values
            .get(field)
            .and_then(|values| values.known.get(record))
            == Some(true)
    }

    /// The value, as people read it; `None` for NULL.
    pub(super) fn text(&self, field: usize, record: usize) -> Option<&str> {
        self.values.get(field)?.texts.get(record)
    }

    /// Whether the value was sent as the database's own text.
    pub(super) fn is_own(&self, field: usize, record: usize) -> bool {
        self.values
            .get(field)
            .is_some_and(|values| values.own.get(record).is_some())
    }

    /// Whether any of the record's values was.
    pub(super) fn has_own(&self, record: usize) -> bool {
        self.values
            .iter()
            .any(|values| values.own.get(record).is_some())
    }

    /// The records at `positions`. Shape: as a batch of `layout`, which has one field beside the
    /// key.
    pub(super) fn taken(
        &self,
        field: usize,
        layout: &Layout,
        positions: &[usize],
    ) -> PolarsResult<DataFrame> {
        let column = |laid: &LayoutField| match (self.values.get(field), laid.own_text) {
            (Some(values), true) => Ok(values
                .own
                .clone()
                .into_column()
                .with_name(laid.column.name.as_str().into())),
            _ => self.records.column(&laid.column.name).cloned(),
        };
        let columns: Vec<Column> = layout
            .fields
            .iter()
            .map(column)
            .collect::<PolarsResult<_>>()?;
        DataFrame::new(self.records.height(), columns)?.take(&rows(positions))
    }

    /// The run that wrote it.
    pub(super) fn run_of(&self, field: usize, record: usize) -> i64 {
        self.values
            .get(field)
            .and_then(|values| values.runs.get(record))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may")]

    use polars::prelude::df;

    use super::*;
    use crate::domain::object::{Holds, ObjectKind, RowLocks, Spelling};

    fn field(name: &str, key: bool) -> LayoutField {
        let column = ObjectColumn::plain(name, "bigint", Holds::Integer { min: 0, max: 9 });
        LayoutField {
            key,
            ..LayoutField::plain(column, Kind::Integer)
        }
    }

    fn written() -> Written {
        let object = Object {
            path: vec!["accounts".to_owned()],
            spelling: Spelling {
                quote: '"',
                account: None,
            },
            kind: ObjectKind::Table,
            columns: Vec::new(),
            unique_keys: Vec::new(),
            indexes: Vec::new(),
            may_enter: true,
            hides_columns: false,
            may_select: true,
            may_select_rows: true,
            locks: RowLocks::Each,
            primary_key: Vec::new(),
            followed: Vec::new(),
            obstacles: Vec::new(),
        };
        let fields = vec![field("id", true), field("a", false), field("b", false)];
        let (mode, nulls) = (MatchMode::UpdateOnly, NullPolicy::Write);
        let layout = Layout {
            object,
            mode,
            nulls,
            only_where: Vec::new(),
            fields,
            key: vec![0],
        };
        Written {
            layout,
            key_columns: vec!["id".to_owned()],
            not_compared: Vec::new(),
        }
    }

    #[test]
    fn of_each_key_and_field_the_newest_value_that_was_written_counts() {
        // Run 3 did not write `a` of 1, and what run 2 wrote into `b` of 1 cannot be compared.
        let records = df!(
            "id" => [1_i64, 1, 1, 2, 3],
            "a" => [Some(10_i64), Some(11), None, Some(20), None],
            "\0known a" => [Some(true), Some(true), None, Some(true), None],
            "\0own a" => [None::<&str>; 5],
            "\0own b" => [None::<&str>; 5],
            DELETED => [false; 5],
            "b" => [Some(5_i64), None, None, None, Some(7)],
            "\0known b" => [Some(true), Some(false), None, Some(true), Some(true)],
            RUN => [1_i64, 2, 3, 1, 2],
        )
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let written = written();
        let mut writer =
            PackageWriter::create(&folder.path().join("written"), &written.key_columns).unwrap();
        for first in 0..5 {
            writer.push(&records.slice(first, 1)).unwrap();
        }
        let latest = written
            .latest(writer.finish().unwrap().load(0).unwrap())
            .unwrap();
        assert_eq!(latest.keys, ["1", "2", "3"]);
        let value = |field, record| {
            let text = latest.text(field, record).map(str::to_owned);
            latest
                .is_known(field, record)
                .then(|| (text, latest.run_of(field, record)))
        };
        assert_eq!(value(0, 0), Some((Some("11".to_owned()), 2)));
        assert_eq!(
            value(1, 0),
            None,
            "what it was before is no longer what was written last"
        );
        assert_eq!(value(0, 1), Some((Some("20".to_owned()), 1)));
        assert_eq!(value(1, 1), Some((None, 1)), "NULL was written");
        assert_eq!(value(0, 2), None);
        assert_eq!(value(1, 2), Some((Some("7".to_owned()), 2)));
        assert_eq!([0, 1, 2].map(|record| latest.latest_run(record)), [3, 1, 2]);
        let rest = latest.slice(&(1..3));
        assert_eq!(
            (
                rest.key(0),
                rest.text(0, 0),
                rest.run_of(1, 1),
                rest.keys.len()
            ),
            ("2".to_owned(), Some("20"), 2, 2)
        );
    }
}
