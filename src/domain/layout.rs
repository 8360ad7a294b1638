//! How the records of one write-back lie in a batch and where each value goes: a write-back met
//! with its object.

use polars::prelude::Scalar;
use xxhash_rust::xxh3::xxh3_64;

use super::field::{NullPolicy, When};
use super::list::ListMode;
use super::match_rule::MatchMode;
use super::object::{Declaration, Object, ObjectColumn};
use super::value::Kind;

/// One column of a batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LayoutField {
    pub(crate) column: ObjectColumn,
    /// The representation of the batch's values; what `column.holds.kind()` says.
    pub(crate) kind: Kind,
    pub(crate) when: When,
    /// A stamp (cycle, run, time) is written along with other changes and never causes a write of
    /// its own.
    pub(crate) stamp: bool,
    /// Part of the match key: looked up, inserted, never updated.
    pub(crate) key: bool,
    /// The batch's values are the database's own text, as before-images hold it, whatever `kind`
    /// says; the database makes values of the column's type of them.
    pub(crate) own_text: bool,
    /// A value that someone else changed since it was last written back is left alone.
    pub(crate) keeps_foreign: bool,
    /// A request may have written it since the records were pulled, and then it is left alone.
    pub(crate) yields: bool,
    /// A NULL leaves the row what it has, whatever holds for other fields.
    pub(crate) keeps_null: bool,
    /// What becomes of the members that a row holds, if it is a field of several.
    pub(crate) list: ListMode,
    /// Of a stage that only goes forward: whether it is emptied first where it is to go back.
    pub(crate) clears_first: bool,
}

impl LayoutField {
    /// A field that is compared and always written; no stamp, and no part of the match key.
    pub(crate) fn plain(column: ObjectColumn, kind: Kind) -> Self {
        Self {
            column,
            kind,
            when: When::Always,
            stamp: false,
            key: false,
            own_text: false,
            keeps_foreign: false,
            yields: false,
            keeps_null: false,
            list: ListMode::Replace,
            clears_first: false,
        }
    }

    /// Whether another value in it makes a record differ from its row: a key leads to the row, and
    /// a stamp alone never causes a write.
    pub(crate) fn is_compared(&self) -> bool {
        !self.key && !self.stamp
    }
}

/// A condition that was met with its object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Demand {
    /// Part of the match key of whoever looks for rows that fit.
    pub(crate) field: LayoutField,
    /// In the representation of the field's kind; a row fits if it holds one of them.
    pub(crate) values: Vec<Scalar>,
}

/// What every batch of a write-back has in common. Shape of a batch: `(records, fields)`, columns
/// in the order of `fields`, named and spelled as the object's columns, sorted by the match key,
/// every key once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    pub(crate) object: Object,
    pub(crate) mode: MatchMode,
    pub(crate) nulls: NullPolicy,
    pub(crate) fields: Vec<LayoutField>,
    /// Positions in `fields` of the match key, in the key's order.
    pub(crate) key: Vec<usize>,
    /// What a row must hold to be written to.
    pub(crate) only_where: Vec<Demand>,
}

impl Layout {
    /// Of an object, without fields yet.
    pub(crate) fn of_rows(object: Object) -> Self {
        Self {
            object,
            mode: MatchMode::UpdateOnly,
            nulls: NullPolicy::Write,
            fields: Vec::new(),
            key: Vec::new(),
            only_where: Vec::new(),
        }
    }

    /// Whether a NULL leaves a row what it has in a field.
    pub(crate) fn keeps_null(&self, field: &LayoutField) -> bool {
        self.nulls == NullPolicy::Keep || field.keeps_null || field.list.keeps_others()
    }

    /// Tells layouts apart that values are mapped, matched or compared differently for. Rights,
    /// indexes and the object's other columns have no part in it.
    pub(crate) fn fingerprint(&self) -> String {
        let field = |field: &LayoutField| {
            let ObjectColumn {
                name,
                declared,
                holds,
                nullable,
                loosely_compared,
                collation,
                ..
            } = &field.column;
            let LayoutField {
                kind,
                when,
                stamp,
                key,
                own_text,
                keeps_foreign,
                keeps_null,
                list,
                ..
            } = field;
            let told = format!(
                "{:?}",
                (
                    (name, declared, holds, nullable, loosely_compared, collation),
                    kind,
                    when,
                    stamp,
                    key,
                    own_text,
                    keeps_foreign
                )
            );
            // Said only where it holds: a field without it is told as it ever was.
            let told = match keeps_null {
                true => format!("{told} keeps NULL"),
                false => told,
            };
            match list {
                ListMode::Replace => told,
                ListMode::Add | ListMode::Remove => format!("{told} {list:?}"),
            }
        };
        let fields: Vec<String> = self.fields.iter().map(field).collect();
        let told = format!(
            "{:?}",
            (&self.object.path, self.mode, self.nulls, &self.key, fields)
        );
        let told = match self.only_where.as_slice() {
            [] => told,
            demands => {
                let told_demand =
                    |demand: &Demand| format!("{:?}", (&demand.field.column.name, &demand.values));
                let demands: Vec<String> = demands.iter().map(told_demand).collect();
                format!("{told} {demands:?}")
            }
        };
        format!("{:016x}", xxh3_64(told.as_bytes()))
    }

    /// The match key's fields with their positions, in the key's order.
    pub(crate) fn numbered_key(&self) -> impl Iterator<Item = (usize, &LayoutField)> {
        self.key
            .iter()
            .filter_map(|position| Some((*position, self.fields.get(*position)?)))
    }

    pub(crate) fn key_fields(&self) -> impl Iterator<Item = &LayoutField> {
        self.numbered_key().map(|(_, field)| field)
    }

    /// The layout with these fields only, the key's among them, for rows of which it is known
    /// already that they are written to.
    pub(crate) fn narrowed(&self, fields: &[usize]) -> Self {
        let place = |position: &usize| fields.iter().position(|field| field == position);
        Self {
            fields: fields
                .iter()
                .filter_map(|position| self.fields.get(*position).cloned())
                .collect(),
            key: self.key.iter().filter_map(place).collect(),
            only_where: Vec::new(),
            ..self.clone()
        }
    }

    /// Positions of the fields in which someone else's values are kept; none where records only
    /// create rows.
    pub(crate) fn keeping_foreign(&self) -> Vec<usize> {
        self.positions(|field| field.keeps_foreign && self.mode.updates())
    }

    /// Positions of the fields of which somebody else may have the last word: their own values are
    /// kept, or what requests wrote.
    pub(crate) fn keeping(&self) -> Vec<usize> {
        self.positions(|field| (field.keeps_foreign || field.yields) && self.mode.updates())
    }

    /// Positions of the fields that looking records up takes.
    pub(crate) fn looked_up(&self) -> Vec<usize> {
        self.positions(|field| field.key || field.is_compared())
    }

    /// Positions of the fields in which a NULL from the source takes the place of a value.
    pub(crate) fn nullable_by_source(&self) -> Vec<usize> {
        self.positions(|field| {
            let writes_nulls = self.mode.updates() && !self.keeps_null(field);
            writes_nulls && !field.key && field.when == When::Always
        })
    }

    /// Positions of the fields an update can empty for a while: each is alone or with others to be
    /// unique, may be NULL, and is written whatever it holds. Rows that take over what it holds
    /// would be emptied with it, and follow it no more.
    pub(crate) fn emptied(&self) -> Vec<usize> {
        let is_unique = |name: &String| {
            self.object
                .unique_keys
                .iter()
                .any(|columns| columns.contains(name))
        };
        self.positions(|field| {
            let always = field.when == When::Always && !field.keeps_foreign;
            let name = &field.column.name;
            let is_followed = self
                .object
                .followed
                .iter()
                .any(|other| other.eq_ignore_ascii_case(name));
            always && !field.key && field.column.nullable && is_unique(name) && !is_followed
        })
    }

    /// Positions of the fields that are `wanted`.
    pub(crate) fn positions(&self, wanted: impl Fn(&LayoutField) -> bool) -> Vec<usize> {
        let fields = self
            .fields
            .iter()
            .enumerate()
            .filter(|(_, field)| wanted(field));
        fields.map(|(position, _)| position).collect()
    }

    /// Fields that an update writes, stamps included.
    pub(crate) fn written_fields(&self) -> impl Iterator<Item = &LayoutField> {
        self.fields.iter().filter(|field| !field.key)
    }

    /// What a field of a row that holds `before` holds after an update that sends `sent`.
    pub(crate) fn after_update<'a>(
        &self,
        field: &LayoutField,
        before: Option<&'a str>,
        sent: Option<&'a str>,
    ) -> Option<&'a str> {
        if self.is_written(field, before, sent.is_none()) {
            sent
        } else {
            before
        }
    }

    /// Whether an update writes a field of a row that holds `before`; `sends_null` tells whether it
    /// sends NULL to it.
    pub(crate) fn is_written(
        &self,
        field: &LayoutField,
        before: Option<&str>,
        sends_null: bool,
    ) -> bool {
        let keeps_null = self.keeps_null(field) && sends_null;
        let keeps_value =
            field.when == When::IfEmpty && before.is_some_and(|text| !text.is_empty());
        !field.key && !keeps_null && !keeps_value
    }

    /// The first column of the layout that is no longer declared as its records were made to fit,
    /// and how: `column `score` was numeric(5,2) and is numeric(4,1)`.
    pub(crate) fn altered(&self, now: &[Declaration]) -> Option<String> {
        let mut columns = self.fields.iter().map(|field| &field.column);
        columns.find_map(|ObjectColumn { name, declared, .. }| altered_column(name, declared, now))
    }

    /// Whether the object itself guarantees that a key matches at most one row.
    pub(crate) fn key_is_unique(&self) -> bool {
        let is_key = |column: &String| self.key_fields().any(|field| field.column.name == *column);
        self.object
            .unique_keys
            .iter()
            .any(|unique| unique.iter().all(is_key))
    }

    /// Whether an index of the object finds rows by the match key.
    pub(crate) fn key_is_indexed(&self) -> bool {
        let is_key = |column: &String| self.key_fields().any(|field| field.column.name == *column);
        self.object
            .indexes
            .iter()
            .any(|index| index.first().is_some_and(is_key))
    }
}

/// How a column that was `declared` so is no longer.
pub(crate) fn altered_column(name: &str, declared: &str, now: &[Declaration]) -> Option<String> {
    match now.iter().find(|column| column.name == *name) {
        Some(column) if column.declared == *declared => None,
        Some(column) => Some(format!(
            "column `{name}` was {declared} and is {}",
            column.declared
        )),
        None => Some(format!("column `{name}` is gone")),
    }
}
