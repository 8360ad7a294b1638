//! Mapping: conformed columns become fields of the destination's object, converted exactly, or
//! their record is rejected at stage `mapping`.

mod plan;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may")]
mod tests;

pub(crate) use super::method::RunFacts;
pub(crate) use plan::literal_value;

use std::collections::BTreeSet;

use polars::prelude::{
    Column, DataFrame, DataType, IntoColumn, IntoSeries, PolarsResult, Scalar, Series,
    StringChunked,
};

use super::columnar::{Converted, Fault, nulls_at_fault};
use super::conform::Sifted;
use super::conversion::{Fraction, Holder, Misfit, convert};
use super::field::{NoteMarker, Unanswered};
use super::job::WriteBack;
use super::layout::Layout;
use super::list::listed;
use super::method::MethodCall;
use super::moment::Zones;
use super::object::{Holds, Object, ObjectColumn};
use super::outcome::Stage;
use super::problem::Problem;
use super::record::{RECORD_KEY, RECORD_POSITION};
use super::referral::{Referrals, ValuesSeen};
use super::schema::SchemaType;
use super::sieve::{KeyPart, Sieve, key_texts};
use super::template::Template;
use super::value::Kind;

/// Stands for the number of a run that has not begun; runs are numbered from 1.
pub(crate) const NO_RUN: i64 = 0;

/// Turns conformed records into fields.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// In the layout's order.
    routes: Vec<Route>,
    zones: Zones,
    /// Schema columns of the match key and how their values are represented.
    source_key: Vec<(String, Kind)>,
    key_columns: Vec<String>,
    /// What the record of a note is found by, under the names of [`about_column`].
    about: Vec<Varying>,
}

/// How one field comes by its values.
#[derive(Debug)]
enum Route {
    /// By record.
    Varying(Box<Varying>),
    /// One value for the whole run, for the column of this name.
    Constant { column: String, value: Scalar },
    /// By record, once rows are found or made that it names: see [`Mapping::fill`].
    Later { column: ObjectColumn, names: Named },
}

impl Route {
    /// The same, to a field that is of the match key or is not.
    fn of_key(mut self, is_key: bool) -> Self {
        if let Self::Varying(varying) = &mut self {
            varying.rejects_blanks = is_key && varying.column.drops_blanks;
        }
        self
    }
}

/// The row that a field names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Named {
    /// That which the write-back of this name made of the record, or found.
    OfStep(String),
    /// That which a note is about.
    About,
}

impl Named {
    /// `(made by step candidate)`
    fn told(&self) -> String {
        match self {
            Self::OfStep(step) => {
                let short = step
                    .rsplit_once('.')
                    .map_or(step.as_str(), |(_, step)| step);
                format!("(made by step {short})")
            }
            Self::About => "(made by a step before)".to_owned(),
        }
    }
}

/// A column's name as people know it.
fn shown_column(name: &str) -> &str {
    name.strip_prefix(ABOUT).unwrap_or(name)
}

/// What the names of columns begin with that are no fields.
const ABOUT: &str = "\0about ";

/// The name of a column of records that is no field: what the record of a note is found by.
pub(crate) fn about_column(name: &str) -> String {
    format!("{ABOUT}{name}")
}

/// A field whose value varies by record.
#[derive(Debug)]
struct Varying {
    /// Names of the schema columns that it is made of, with their types.
    sources: Vec<(String, SchemaType)>,
    making: Making,
    /// Of the values to convert: what is made of the schema columns.
    from: SchemaType,
    /// What stands between members, where a text names several.
    separator: Option<String>,
    /// Values of the column's list by what people see of them.
    labels: ValuesSeen,
    column: ObjectColumn,
    /// What values are made to fit: the column, or else that of another object, in which the value
    /// is looked up before it is written.
    fits: ObjectColumn,
    /// Why a record that brings none is rejected, if it is.
    rejects_null: Option<&'static str>,
    /// Whether it is of the match key and its column drops the blanks at a text's end: a row made
    /// of such a key is never found by it.
    rejects_blanks: bool,
}

/// How a value is made of schema columns.
#[derive(Debug)]
enum Making {
    /// It is the column's.
    Column,
    Method(MethodCall),
    Text(Template),
    Marker(NoteMarker),
    Answer(Unanswered),
}

impl Mapping {
    /// Meets a write-back with the object it writes to. Errors: every mistake and, when there is a
    /// mistake, every warning: unknown or doubled columns, types that cannot fit, columns that
    /// cannot be written, rights that are missing, NOT NULL columns an insert leaves out. Warnings
    /// alone come back beside the layout.
    pub(crate) fn plan(
        write_back: &WriteBack,
        object: &Object,
        about: Option<&Object>,
        referrals: &Referrals,
        zones: Zones,
        facts: &RunFacts,
    ) -> Result<(Layout, Self, Vec<Problem>), Vec<Problem>> {
        plan::Planner::new(write_back, object, about, referrals, zones, facts).plan()
    }

    /// What is wrong with a write-back beside the fields at these positions, whose references lead
    /// nowhere, and what follows from these.
    pub(crate) fn mistakes_beside(
        unmet: &BTreeSet<usize>,
        write_back: &WriteBack,
        object: &Object,
        referrals: &Referrals,
        zones: Zones,
        facts: &RunFacts,
    ) -> Vec<Problem> {
        let planner = plan::Planner::new(write_back, object, None, referrals, zones, facts);
        planner.beside(unmet).plan().err().unwrap_or_default()
    }

    /// The rows that fields name: what [`Mapping::fill`] is to be given.
    pub(crate) fn named(&self) -> Vec<&Named> {
        let named = self.routes.iter().filter_map(|route| match route {
            Route::Later { names, .. } => Some(names),
            Route::Varying(_) | Route::Constant { .. } => None,
        });
        named.collect()
    }

    /// What to tell of a column that names a row, where this is to be made first.
    pub(crate) fn told_later(&self, column: &str) -> Option<String> {
        self.routes.iter().find_map(|route| match route {
            Route::Later { column: own, names } => (own.name == column).then(|| names.told()),
            Route::Varying(_) | Route::Constant { .. } => None,
        })
    }

    /// Ids of rows as a column of the object holds them.
    /// Errors: the column never holds an id, or one of these does not fit.
    pub(crate) fn ids(&self, column: &ObjectColumn, ids: &StringChunked) -> Result<Series, Misfit> {
        let converted = plan::id_values(column, ids, self.zones)?;
        match converted.faults.into_iter().next() {
            Some(fault) => Err(Misfit::Unreadable(fault.reason)),
            None => Ok(converted.values),
        }
    }

    /// Adds the fields that name rows, by the ids of these as each field's column spells them: one
    /// text per record. Shape: what [`Mapping::apply`] yields in; the same with these fields out.
    /// Faults are those of ids that a field cannot hold. Errors: no id ever fits.
    pub(crate) fn fill(
        &self,
        records: &DataFrame,
        id_of: impl Fn(&Named, &ObjectColumn) -> StringChunked,
    ) -> Result<(DataFrame, Vec<(String, Fault)>), Misfit> {
        let mut columns = records.columns().to_vec();
        let mut faults = Vec::new();
        for route in &self.routes {
            let Route::Later { column, names } = route else {
                continue;
            };
            let ids = id_of(names, column);
            let converted = plan::id_values(column, &ids, self.zones)?;
            let named = converted.faults.into_iter();
            faults.extend(named.map(|fault| (column.name.clone(), fault)));
            let values = converted.values.with_name(column.name.as_str().into());
            columns.push(values.into_column());
        }
        Ok((DataFrame::new(records.height(), columns)?, faults))
    }

    /// Names of the columns that hold the match key in what [`Mapping::apply`] yields, in the key's
    /// order.
    pub(crate) fn key_columns(&self) -> &[String] {
        &self.key_columns
    }

    /// Renames columns to fields and converts their values; those of references to what the field
    /// holds that they are looked up in, see [`super::referral::settle`]. Shape: `(records, schema columns +
    /// RECORD_POSITION)` in; `(records, fields that vary by record + RECORD_POSITION)` out. Record
    /// order is kept.
    pub(crate) fn apply(&self, conformed: &DataFrame) -> Sifted {
        let mut sieve = Sieve::new(Stage::Mapping);
        let mut columns: Vec<Column> = Vec::with_capacity(self.routes.len() + 1);
        for varying in self.varying().chain(&self.about) {
            let converted = varying.values(conformed, self.zones);
            sieve.add(
                shown_column(&varying.column.name),
                converted.faults,
                varying.given(conformed),
            );
            columns.push(
                converted
                    .values
                    .with_name(varying.column.name.as_str().into())
                    .into_column(),
            );
        }
        if let Ok(positions) = conformed.column(RECORD_POSITION) {
            columns.push(positions.clone());
        }
        if self.key_columns == [RECORD_KEY] {
            let keys: StringChunked = self.source_keys(conformed).into_iter().collect();
            columns.push(keys.with_name(RECORD_KEY.into()).into_column());
        }
        let records = DataFrame::new(conformed.height(), columns)
            .expect("a plan uses every destination column once");
        let key = if sieve.is_clean() {
            Vec::new()
        } else {
            self.source_key(conformed)
        };
        sieve.sift(records, &key)
    }

    /// The match keys of conformed records as rejections at stage `mapping` tell them.
    pub(crate) fn source_keys(&self, conformed: &DataFrame) -> Vec<Option<String>> {
        key_texts(
            &self.source_key(conformed),
            &(0..conformed.height()).collect::<Vec<_>>(),
        )
    }

    /// Schema columns that fields read.
    pub(crate) fn source_columns(&self) -> impl Iterator<Item = &str> {
        let all = self.varying().chain(&self.about);
        let sources = all.flat_map(|varying| &varying.sources);
        sources.map(|(name, _)| name.as_str())
    }

    /// Adds the fields that hold one value for the whole run (strings and stamps) and puts all in
    /// the layout's order. Shape: `(records, fields that vary by record [+ RECORD_POSITION])` in,
    /// `(records, fields)` out. Panics if [`Mapping::accepts`] would not have the records.
    pub(crate) fn complete(&self, records: &DataFrame) -> DataFrame {
        let column = |route: &Route| match route {
            Route::Varying(varying) => records.column(&varying.column.name).cloned(),
            Route::Later { column, .. } => records.column(&column.name).cloned(),
            Route::Constant { column, value } => Ok(Column::new_scalar(
                column.as_str().into(),
                value.clone(),
                records.height(),
            )),
        };
        let columns: Result<Vec<Column>, _> = self.routes.iter().map(column).collect();
        let completed = columns.and_then(|columns| DataFrame::new(records.height(), columns));
        completed.expect("the records are what `apply` yields")
    }

    /// Whether records have the columns that [`Mapping::apply`] yields, each in its representation.
    /// Records that were packaged before somebody altered the object may not.
    pub(crate) fn accepts(&self, records: &DataFrame) -> bool {
        self.varying().all(|Varying { column, .. }| {
            let representation = column.holds.kind().map(Kind::representation);
            records
                .column(&column.name)
                .is_ok_and(|values| Some(values.dtype()) == representation.as_ref())
        })
    }

    /// Between which zones of time values are converted.
    pub(crate) fn zones(&self) -> Zones {
        self.zones
    }

    fn varying(&self) -> impl Iterator<Item = &Varying> {
        self.routes.iter().filter_map(|route| match route {
            Route::Varying(varying) => Some(varying.as_ref()),
            Route::Constant { .. } | Route::Later { .. } => None,
        })
    }

    fn source_key(&self, conformed: &DataFrame) -> Vec<KeyPart> {
        let part = |(name, kind): &(String, Kind)| {
            let values = conformed.column(name).ok()?.as_materialized_series();
            Some((values.clone(), *kind))
        };
        self.source_key.iter().map(part).collect()
    }
}

/// Answers as a field takes them: an empty text answers nothing.
fn answers(given: &StringChunked, unanswered: &Unanswered) -> Converted {
    let given = given
        .iter()
        .map(|answer| answer.filter(|answer| !answer.is_empty()));
    let instead = match unanswered {
        Unanswered::Text(text) => Some(text.as_str()),
        Unanswered::Skip | Unanswered::Empty | Unanswered::Reject => None,
    };
    let values: StringChunked = given.map(|answer| answer.or(instead)).collect();
    let values = values.into_series();
    let faults = match unanswered {
        Unanswered::Reject => nulls_at_fault(&values, "the question is not answered"),
        Unanswered::Skip | Unanswered::Empty | Unanswered::Text(_) => Vec::new(),
    };
    Converted::kept(values, faults)
}

/// Texts that end in a blank, which a column that is `declared` so does not keep.
fn blanks_at_fault(values: &Series, declared: &str) -> Vec<Fault> {
    let texts = values.str().into_iter().flat_map(|texts| texts.iter());
    let blank = texts
        .enumerate()
        .filter(|(_, text)| text.is_some_and(|text| text.ends_with(' ')));
    let fault = |(index, _)| Fault {
        index,
        reason: format!("ends in a blank, which {declared} does not keep"),
    };
    blank.map(fault).collect()
}

impl Varying {
    /// The field's values, out of the conformed columns.
    fn values(&self, conformed: &DataFrame, zones: Zones) -> Converted {
        let converted = self.converted(conformed, zones);
        let mut converted = converted.unwrap_or_else(|misfit| self.never_fits(conformed, &misfit));
        if let Some(why) = self.rejects_null {
            converted
                .faults
                .extend(nulls_at_fault(&converted.values, why));
        }
        if self.rejects_blanks {
            converted
                .faults
                .extend(blanks_at_fault(&converted.values, &self.column.declared));
        }
        converted
    }

    fn converted(&self, conformed: &DataFrame, zones: Zones) -> Result<Converted, Misfit> {
        let values = |(name, input): &(String, SchemaType)| {
            let values = conformed.column(name)?.as_materialized_series();
            Ok((values, *input))
        };
        let inputs: Vec<(&Series, SchemaType)> = self
            .sources
            .iter()
            .map(values)
            .collect::<PolarsResult<_>>()?;
        self.convert(&inputs, conformed.height(), zones)
    }

    /// The values that it is made of, where these are one column's.
    fn given<'a>(&self, conformed: &'a DataFrame) -> Option<&'a Series> {
        let [(name, _)] = self.sources.as_slice() else {
            return None;
        };
        let given = conformed.column(name).ok()?;
        Some(given.as_materialized_series())
    }

    /// Makes a value of `height` records' columns and converts what that yields.
    /// Errors: if no value of the sources' types ever fits.
    fn convert(
        &self,
        inputs: &[(&Series, SchemaType)],
        height: usize,
        zones: Zones,
    ) -> Result<Converted, Misfit> {
        let ObjectColumn {
            holds, declared, ..
        } = &self.fits;
        let holder = Holder {
            holds,
            declared,
            zones,
            fraction: Fraction::Exact,
        };
        let made = match (&self.making, inputs) {
            (Making::Column, [(values, _)]) => match &self.separator {
                Some(_) => Converted::kept((*values).clone(), Vec::new()),
                None => return convert(&self.spelled(values)?, self.from, holder),
            },
            (Making::Column, _) => {
                let why = "a column's value is made of one column".to_owned();
                return Err(Misfit::Unreadable(why));
            }
            (Making::Method(call), _) => call.apply(inputs)?,
            (Making::Text(template), _) => template.apply(inputs, height)?,
            (Making::Marker(marker), _) => {
                // Where it is the row's own id, it is read as one.
                let markers = marker.apply(inputs, height)?;
                return plan::id_values(&self.fits, markers.values.str()?, zones);
            }
            (Making::Answer(unanswered), [(values, _)]) => answers(values.str()?, unanswered),
            (Making::Answer(_), _) => {
                let why = "an answer is one column's".to_owned();
                return Err(Misfit::Unreadable(why));
            }
        };
        let (values, mut faults) = (made.values, made.faults);
        let values = match &self.separator {
            Some(separator) => {
                let listed = listed(values.str()?, separator);
                faults.extend(listed.faults);
                listed.values
            }
            None => values,
        };
        let mut converted = convert(&self.spelled(&values)?, self.from, holder)?;
        converted.faults.extend(faults);
        Ok(converted)
    }

    /// The texts with values in the place of what people see of them, member by member where they
    /// name several.
    fn spelled(&self, values: &Series) -> PolarsResult<Series> {
        if self.labels.is_empty() || *values.dtype() != DataType::String {
            return Ok(values.clone());
        }
        let value = |label: &str| -> String {
            let value = self.labels.get(label.trim());
            value.map_or(label, String::as_str).to_owned()
        };
        let is_several = matches!(self.fits.holds, Holds::Labels(_));
        let spelled = |text: &str| match is_several {
            true => text.split(';').map(value).collect::<Vec<_>>().join(";"),
            false => value(text),
        };
        let texts = values.str()?.iter();
        let texts: StringChunked = texts.map(|text| text.map(spelled)).collect();
        Ok(texts.with_name(values.name().clone()).into_series())
    }

    /// As [`Varying::convert`], of no record at all.
    fn convert_nothing(&self, zones: Zones) -> Result<Converted, Misfit> {
        let empty = self.sources.iter().map(|(name, input)| {
            let representation = input.kind().representation();
            Series::new_empty(name.as_str().into(), &representation)
        });
        let empty: Vec<Series> = empty.collect();
        let types = self.sources.iter().map(|(_, input)| *input);
        let inputs: Vec<(&Series, SchemaType)> = empty.iter().zip(types).collect();
        self.convert(&inputs, 0, zones)
    }

    /// What a plan would have found already, were the records what they are said to be.
    fn never_fits(&self, conformed: &DataFrame, misfit: &Misfit) -> Converted {
        let representation = self
            .fits
            .holds
            .kind()
            .unwrap_or(Kind::Text)
            .representation();
        let values = Series::full_null(
            self.column.name.as_str().into(),
            conformed.height(),
            &representation,
        );
        let faults = nulls_at_fault(&values, &misfit.to_string());
        Converted { values, faults }
    }
}
