//! Looking records up in a web API and comparing them with what it holds. Databases compare by
//! themselves; here the rule is applied to what was found, with the API's word on which values it
//! holds for the same.

use std::collections::{BTreeMap, HashMap};

use polars::prelude::{DataFrame, IntoColumn, PolarsError, Series, StringChunked};

use super::values::members;
use crate::destination::seam::{Lists, LookUp, LookedUp, LookedUpBuilder, RowId, Stored};
use crate::domain::before::Before;
use crate::domain::error::SystemError;
use crate::domain::layout::{Demand, Layout, LayoutField};
use crate::domain::list::merged;
use crate::domain::record::{cell_text, column_texts};
use crate::domain::referral::{CANDIDATES_MAX, Referents, Referral};

/// A record that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) stored: Stored,
    /// What it holds in each field of the layout, in the system's own text.
    pub(super) values: Vec<Option<String>>,
}

/// What of an API looking up takes.
pub(super) trait Find {
    /// The name of the connection, for errors.
    fn connection(&self) -> &str;

    /// Finds the records that have one of these keys, part by part in the order of the layout's
    /// key. What is not found is not there; more than was asked for may be.
    async fn find(
        &mut self,
        layout: &Layout,
        keys: &[Vec<String>],
    ) -> Result<Vec<Hit>, SystemError>;

    /// The form in which two parts of a key are the same text if one finds the other's record.
    fn key_form(field: &LayoutField, part: &str) -> String;

    /// As [`Find::key_form`], of a value by which a reference finds its record: several may mean
    /// one.
    fn reference_form(field: &LayoutField, value: &str) -> String {
        Self::key_form(field, value)
    }

    /// Whether a field that holds `held` would hold the same after `sent` was written into it.
    fn same_after_storing(field: &LayoutField, sent: Option<&str>, held: Option<&str>) -> bool;

    /// What a field of several members holds after members were added or taken out.
    fn merged(field: &LayoutField, sent: &str, held: &str) -> String {
        let members = |text| Vec::from_iter(members(text));
        merged(field.list, &members(held), &members(sent)).join(";")
    }
}

/// The records of a batch as texts, field by field.
pub(super) struct Texts {
    columns: Vec<StringChunked>,
}

impl Texts {
    /// Errors: a column is in no kind's representation.
    pub(super) fn of(
        connection: &str,
        layout: &Layout,
        batch: &DataFrame,
    ) -> Result<Self, SystemError> {
        let failed = |source| unreadable(connection, source);
        let columns = layout.fields.iter().map(|field| {
            let column = batch.column(&field.column.name).map_err(failed)?;
            column_texts(column).map_err(failed)
        });
        Ok(Self {
            columns: columns.collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn value(&self, record: usize, field: usize) -> Option<&str> {
        self.columns.get(field)?.get(record)
    }

    /// The key of a record, part by part; `None` if a part of it is NULL.
    fn key(&self, layout: &Layout, record: usize) -> Option<Vec<String>> {
        let parts = layout
            .key
            .iter()
            .map(|field| self.value(record, *field).map(str::to_owned));
        parts.collect()
    }
}

impl<F: Find> LookUp for F {
    type Error = SystemError;

    async fn look_up(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        let texts = Texts::of(self.connection(), layout, batch)?;
        let keys: Vec<Option<Vec<String>>> = (0..batch.height())
            .map(|record| texts.key(layout, record))
            .collect();
        let wanted: Vec<Vec<String>> = keys.iter().flatten().cloned().collect();
        let asked = with_demands(layout);
        let hits = match wanted.is_empty() {
            true => Vec::new(),
            false => self.find(&asked, &wanted).await?,
        };
        let found = Joined::of::<F>(layout, &keys, &hits);
        Ok(found.answer::<F>(layout, batch, &texts, before))
    }
}

/// The layout with what rows must hold to be written to behind its own fields.
fn with_demands(layout: &Layout) -> Layout {
    let demanded = layout.only_where.iter().map(|demand| LayoutField {
        key: false,
        ..demand.field.clone()
    });
    Layout {
        fields: layout.fields.iter().cloned().chain(demanded).collect(),
        ..layout.clone()
    }
}

/// Whether what was found holds, from the field at `first` on, what is demanded of it.
fn fits<F: Find>(demands: &[Demand], hit: &Hit, first: usize) -> bool {
    let mut demands = demands.iter().zip(first..);
    demands.all(|(demand, place)| {
        let held = hit.values.get(place).and_then(Option::as_deref);
        let mut values = demand.values.iter();
        values.any(|value| {
            let value = value.clone().into_column("".into());
            let value = cell_text(&value, 0);
            F::same_after_storing(&demand.field, value.as_deref(), held)
        })
    })
}

/// As [`crate::destination::seam::Destination::refer`].
pub(super) async fn refer<F: Find>(
    api: &mut F,
    referral: &Referral,
    values: &Series,
) -> Result<Vec<Referents>, SystemError> {
    let own = Layout {
        fields: vec![referral.value.clone(), referral.id.clone()],
        key: vec![0],
        only_where: referral.only_where.clone(),
        ..referral.layout()
    };
    let texts = column_texts(&values.clone().into_column());
    let texts = texts.map_err(|error| unreadable(api.connection(), error))?;
    let keys: Vec<Option<Vec<String>>> = texts
        .iter()
        .map(|text| Some(vec![text?.to_owned()]))
        .collect();
    let wanted: Vec<Vec<String>> = keys.iter().flatten().cloned().collect();
    let mut hits = match wanted.is_empty() {
        true => Vec::new(),
        false => api.find(&with_demands(&own), &wanted).await?,
    };
    hits.retain(|hit| fits::<F>(&own.only_where, hit, own.fields.len()));
    let joined = Joined::by_form(&own, &keys, &hits, F::reference_form);
    let referents = |hits: &Vec<&Hit>| {
        let ids = hits
            .iter()
            .filter_map(|hit| hit.values.get(1).cloned().flatten());
        Referents {
            rows: u64::try_from(hits.len()).unwrap_or(u64::MAX),
            ids: ids.take(CANDIDATES_MAX).collect(),
        }
    };
    Ok(joined.hits.iter().map(referents).collect())
}

fn unreadable(connection: &str, source: PolarsError) -> SystemError {
    SystemError::Failed {
        connection: connection.to_owned(),
        doing: "reading a batch".to_owned(),
        source: source.into(),
        hint: None,
    }
}

/// Records of a batch with the hits that are theirs.
struct Joined<'a> {
    hits: Vec<Vec<&'a Hit>>,
}

impl<'a> Joined<'a> {
    fn of<F: Find>(layout: &Layout, keys: &[Option<Vec<String>>], hits: &'a [Hit]) -> Self {
        Self::by_form(layout, keys, hits, F::key_form).without_shared()
    }

    /// Whoever asks by several keys may mean one record by all of them.
    fn by_form(
        layout: &Layout,
        keys: &[Option<Vec<String>>],
        hits: &'a [Hit],
        form_of: fn(&LayoutField, &str) -> String,
    ) -> Self {
        let mut by_key: HashMap<Vec<String>, Vec<&Hit>> = HashMap::new();
        for hit in hits {
            if let Some(key) = key_of(layout, hit, form_of) {
                let same = by_key.entry(key).or_default();
                // A record that was changed between two pages may stand on both.
                if same.iter().all(|other| other.stored.id != hit.stored.id) {
                    same.push(hit);
                }
            }
        }
        let of = |key: &Option<Vec<String>>| {
            let form = form(layout, key.as_ref()?.iter().map(String::as_str), form_of);
            by_key.get(&form).cloned()
        };
        let hits = keys.iter().map(|key| of(key).unwrap_or_default()).collect();
        Self { hits }
    }

    /// Takes a record's hit away where another record of the batch has the same one: which of the
    /// two is meant is not to be guessed.
    fn without_shared(mut self) -> Self {
        let mut records: BTreeMap<&RowId, u64> = BTreeMap::new();
        for hit in self.hits.iter().flatten() {
            *records.entry(&hit.stored.id).or_default() += 1;
        }
        for hits in &mut self.hits {
            if let [only] = hits.as_slice()
                && records
                    .get(&only.stored.id)
                    .is_some_and(|records| *records > 1)
            {
                let only = *only;
                hits.push(only);
            }
        }
        self
    }

    fn answer<F: Find>(
        self,
        layout: &Layout,
        batch: &DataFrame,
        texts: &Texts,
        before: Before,
    ) -> LookedUp {
        let mut answer = LookedUpBuilder::new(layout, batch);
        let mut stored = BTreeMap::new();
        let mut candidates = BTreeMap::new();
        let mut lists = BTreeMap::new();
        for (record, hits) in self.hits.iter().enumerate() {
            let Some(found) = answer.found.get_mut(record) else {
                continue;
            };
            found.rows = u64::try_from(hits.len()).unwrap_or(u64::MAX);
            match hits.as_slice() {
                [] => {}
                [hit] => {
                    found.is_unfit = !fits::<F>(&layout.only_where, hit, layout.fields.len());
                    let merged = lists_of::<F>(layout, texts, record, hit);
                    let differs = differs::<F>(layout, texts, (record, &merged), hit);
                    found.differs = !found.is_unfit && differs;
                    if !merged.is_empty() {
                        lists.insert(record, merged);
                    }
                    stored.insert(record, hit.stored.clone());
                    if before.is_of(found.differs) {
                        let own = hit.values.iter().take(layout.fields.len());
                        let values = own.map(Option::as_deref);
                        answer.before.push(record, values);
                    }
                }
                several => {
                    let ids = several.iter().map(|hit| hit.stored.id.clone());
                    candidates.insert(record, ids.take(CANDIDATES_MAX).collect());
                }
            }
        }
        LookedUp {
            stored,
            candidates,
            lists,
            ..answer.finish()
        }
    }
}

fn key_of(
    layout: &Layout,
    hit: &Hit,
    form_of: fn(&LayoutField, &str) -> String,
) -> Option<Vec<String>> {
    let parts = layout
        .key
        .iter()
        .map(|field| hit.values.get(*field)?.as_deref());
    let parts: Vec<&str> = parts.collect::<Option<_>>()?;
    Some(form(layout, parts.into_iter(), form_of))
}

fn form<'a>(
    layout: &Layout,
    parts: impl Iterator<Item = &'a str>,
    form_of: fn(&LayoutField, &str) -> String,
) -> Vec<String> {
    let fields = layout.key_fields();
    fields
        .zip(parts)
        .map(|(field, part)| form_of(field, part))
        .collect()
}

/// Whether writing a record would change what was found: in a field that is compared, with its
/// `when` and the policy on NULLs applied.
fn differs<F: Find>(
    layout: &Layout,
    texts: &Texts,
    (record, lists): (usize, &Lists),
    hit: &Hit,
) -> bool {
    layout.fields.iter().enumerate().any(|(place, field)| {
        let given = texts.value(record, place);
        let held = hit.values.get(place).and_then(Option::as_deref);
        let sent = lists.get(&place).map_or(given, Option::as_deref);
        field.is_compared()
            && layout.is_written(field, held, given.is_none())
            && !F::same_after_storing(field, sent, held)
    })
}

/// What the fields hold that members are added to or taken out of; of a record that names none,
/// nothing.
fn lists_of<F: Find>(layout: &Layout, texts: &Texts, record: usize, hit: &Hit) -> Lists {
    let fields = layout.fields.iter().enumerate();
    let lists = fields.filter(|(_, field)| field.list.keeps_others());
    let merged = lists.filter_map(|(place, field)| {
        let sent = texts.value(record, place)?;
        let held = hit.values.get(place).and_then(Option::as_deref);
        let merged = F::merged(field, sent, held.unwrap_or_default());
        let merged = Some(merged).filter(|merged| !merged.is_empty());
        Some(
            match F::same_after_storing(field, merged.as_deref(), held) {
                true => (place, held.map(str::to_owned)),
                false => (place, merged),
            },
        )
    });
    merged.collect()
}
