//! What is asked for, made fit for the object: texts become values of the schema's types, then
//! fields, by the very functions that a run's records pass through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use polars::prelude::{Column, DataFrame, IntoColumn, NamedFrom, Series, StringChunked};

use super::Post;
use crate::domain::conform::{Sifted, conform};
use crate::domain::field::{NullPolicy, When};
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::list::ListMode;
use crate::domain::mapping::Mapping;
use crate::domain::match_key::ToldBy;
use crate::domain::outcome::Rejection;
use crate::domain::record::{Identities, RECORD_POSITION, key_texts};
use crate::domain::referral::Referrals;
use crate::domain::schema::Schema;
use crate::run::plan::PlanError;
use crate::run::push::error::PushError;
use crate::run::resolver::Resolver;
use crate::run::write::terms::ExpectedRow;

/// What a caller asks for, by columns of the schema. `None` is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Of every column of the unique identifier.
    pub(crate) key: BTreeMap<String, String>,
    pub(crate) values: BTreeMap<String, Option<String>>,
    /// Only of columns that stand in `values` as well.
    pub(crate) expected: BTreeMap<String, Option<String>>,
}

/// A record that may be written.
#[derive(Debug)]
pub(crate) struct Mapped {
    /// By columns of the schema, as the caller told it.
    pub(super) key: BTreeMap<String, String>,
    pub(super) layout: Arc<Layout>,
    /// Shape: a batch's, of one record.
    pub(super) records: DataFrame,
    /// The match key, as people read it.
    pub(crate) record: String,
    /// The same as the source spells it.
    source_record: Option<String>,
    pub(super) key_columns: Vec<String>,
    pub(super) expected: Option<Arc<ExpectedRow>>,
    /// Its references, which bring values until they are resolved.
    referrals: Referrals,
    /// Those of what is expected.
    expected_referrals: Referrals,
    /// The fields that it writes.
    pub(crate) fields: Vec<String>,
}

/// Why a request is no record that may be written.
#[derive(Debug)]
pub(crate) enum Unfit {
    Rejected(Box<Rejection>),
    /// The write-back itself does not fit its object any more.
    Plan(PlanError),
}

/// Why the references of a record are no ids.
#[derive(Debug)]
pub(crate) enum Unresolved {
    Rejected(Box<Rejection>),
    /// They could not be looked up.
    Failed(PushError),
}

impl From<PlanError> for Unfit {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl Mapped {
    /// The texts that tell the record.
    pub(crate) fn told_by(&self) -> ToldBy<'_> {
        ToldBy {
            pulled: None,
            source: self.source_record.as_deref(),
            destination: Some(&self.record),
        }
    }

    /// Who the record is, as its day run knows it.
    pub(super) fn identities(&self, sequence: u32) -> Identities {
        let mut records = self.records.clone();
        let position = Column::new(RECORD_POSITION.into(), [u64::from(sequence)]);
        let identities = records
            .with_column(position)
            .and_then(|records| Identities::of(records, &self.key_columns));
        identities.expect("one record has one position and the columns of its key")
    }
}

impl Post {
    /// Makes what is asked for fit the object.
    /// Errors: `Rejected` at stage schema or mapping; `Plan`.
    pub(crate) fn map(&self, asked: &Asked) -> Result<Mapped, Unfit> {
        let Fitted {
            layout,
            records,
            key_columns,
            referrals,
            source_record,
        } = self.fit(&asked.key, &asked.values)?;
        let (expected, expected_referrals) = match asked.expected.is_empty() {
            true => (None, Referrals::default()),
            false => {
                let fitted = self.fit(&asked.key, &asked.expected)?;
                let referrals = fitted.referrals.clone();
                (Some(Arc::new(as_expected(fitted))), referrals)
            }
        };
        let written = layout.written_fields();
        Ok(Mapped {
            key: asked.key.clone(),
            record: key_texts(&records, &key_columns).concat(),
            source_record,
            fields: written.map(|field| field.column.name.clone()).collect(),
            layout,
            records,
            key_columns,
            expected,
            referrals,
            expected_referrals,
        })
    }

    /// Looks up the rows that the references of a record mean, and puts their ids in the place of
    /// the values that find them.
    pub(crate) async fn resolve(&self, mapped: Mapped) -> Result<Mapped, Unresolved> {
        let records = self.resolved(mapped.records, &mapped.referrals).await?;
        let expected = match mapped.expected {
            None => None,
            Some(expected) => {
                let record = expected.record.clone();
                Some(Arc::new(ExpectedRow {
                    layout: expected.layout.clone(),
                    record: self.resolved(record, &mapped.expected_referrals).await?,
                }))
            }
        };
        Ok(Mapped {
            records,
            expected,
            ..mapped
        })
    }

    async fn resolved(
        &self,
        records: DataFrame,
        referrals: &Referrals,
    ) -> Result<DataFrame, Unresolved> {
        if referrals.by_field.is_empty() {
            return Ok(records);
        }
        let mut resolver = Resolver::of_some(&self.plan, referrals);
        let mut tools = self.take_idle();
        resolver.take_over(tools.destination.take());
        let positioned = Column::new(RECORD_POSITION.into(), [0_u64]);
        let mut records = records;
        let names = records.get_column_names_owned();
        records
            .with_column(positioned)
            .expect("one record has one position");
        let sifted = Sifted {
            records,
            rejections: Vec::new(),
        };
        let resolved = resolver.resolve(sifted).await;
        tools.destination = resolver.into_destination();
        self.give_back(tools);
        let resolved = resolved.map_err(|source| Unresolved::Failed(self.failed(source)))?;
        match passed(resolved.sifted) {
            Ok(records) => Ok(records.select(names).expect("it has all its columns")),
            Err(rejection) => Err(Unresolved::Rejected(rejection)),
        }
    }

    fn fit(
        &self,
        key: &BTreeMap<String, String>,
        values: &BTreeMap<String, Option<String>>,
    ) -> Result<Fitted, Unfit> {
        let schema = &self.plan.write_back.schema;
        let is_given = |name: &String| key.contains_key(name) || values.contains_key(name);
        let given: BTreeSet<usize> = (0..)
            .zip(&schema.columns)
            .filter(|(_, column)| is_given(&column.name))
            .map(|(position, _)| position)
            .collect();
        let shape = self.shape(given)?;
        let Shape {
            layout,
            mapping,
            referrals,
            narrow,
        } = &*shape;
        let text = |name: &String| match key.get(name) {
            Some(text) => Some(text.as_str()),
            None => values.get(name)?.as_deref(),
        };
        let column = |name: &String| {
            let texts: StringChunked = [text(name)].into_iter().collect();
            texts.with_name(name.as_str().into()).into_column()
        };
        let names = narrow.columns.iter().map(|column| &column.name);
        let mut columns: Vec<Column> = names.map(column).collect();
        columns.push(Series::new(RECORD_POSITION.into(), [0_u64]).into_column());
        let given = DataFrame::new(1, columns).expect("a schema's columns have different names");
        let conformed = passed(conform(narrow, &given)).map_err(Unfit::Rejected)?;
        let records = passed(mapping.apply(&conformed)).map_err(Unfit::Rejected)?;
        Ok(Fitted {
            layout: Arc::clone(layout),
            records: mapping.complete(&records),
            key_columns: mapping.key_columns().to_vec(),
            referrals: referrals.clone(),
            source_record: mapping.source_keys(&conformed).pop().flatten(),
        })
    }

    /// What requests that give these columns have in common; made for the first of them.
    fn shape(&self, given: BTreeSet<usize>) -> Result<Arc<Shape>, PlanError> {
        let lock = || self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = lock().get(&given) {
            return Ok(Arc::clone(shape));
        }
        let (layout, mapping, referrals) = self.plan.of_columns(&given)?;
        let shape = Arc::new(Shape {
            layout: Arc::new(layout),
            mapping,
            referrals,
            narrow: narrowed(&self.plan.write_back.schema, &given),
        });
        let mut shapes = lock();
        if shapes.len() >= SHAPES_MAX {
            shapes.clear();
        }
        shapes.insert(given, Arc::clone(&shape));
        Ok(shape)
    }
}

/// Shapes that are kept of a write-back: callers mostly change the same few columns. Each takes a
/// few kilobytes.
const SHAPES_MAX: usize = 64;

/// What requests that give the same columns are mapped with.
pub(super) struct Shape {
    layout: Arc<Layout>,
    mapping: Mapping,
    referrals: Referrals,
    /// The schema with these of its columns.
    narrow: Schema,
}

/// One record as a batch has it.
struct Fitted {
    layout: Arc<Layout>,
    records: DataFrame,
    key_columns: Vec<String>,
    referrals: Referrals,
    source_record: Option<String>,
}

/// What a row is to hold, whatever the job's rules for writing it.
fn as_expected(fitted: Fitted) -> ExpectedRow {
    let plain = |field: LayoutField| LayoutField {
        when: When::Always,
        list: ListMode::Replace,
        ..field
    };
    let fields = fitted.layout.fields.iter().cloned().map(plain).collect();
    ExpectedRow {
        layout: Layout {
            nulls: NullPolicy::Write,
            fields,
            ..Layout::clone(&fitted.layout)
        },
        record: fitted.records,
    }
}

/// The one record, if it passed.
fn passed(sifted: Sifted) -> Result<DataFrame, Box<Rejection>> {
    match sifted.rejections.into_iter().next() {
        Some(rejection) => Err(Box::new(rejection)),
        None => Ok(sifted.records),
    }
}

/// The schema with these of its columns, its unique identifier's among them.
fn narrowed(schema: &Schema, given: &BTreeSet<usize>) -> Schema {
    let place = |position: &usize| given.iter().position(|column| column == position);
    let columns = given
        .iter()
        .filter_map(|position| schema.columns.get(*position));
    Schema {
        columns: columns.cloned().collect(),
        key: schema.key.iter().filter_map(place).collect(),
        ..schema.clone()
    }
}
