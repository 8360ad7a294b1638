//! The SQL a batch is looked up, updated and inserted with. A statement's text depends on the
//! layout and on one of a few record counts alone, so that SQLite prepares it once and keeps it.
//!
//! Records travel as `incoming`, a table of bound values: `n`, the record's position in the
//! statement, and one column `c0`, `c1`, … per field sent. Fewer records than a statement has room
//! for leave its last ones unbound, which makes them NULL in every field: a key of NULL matches
//! nothing, and none is inserted.
//!
//! Bound values have no affinity of their own. So a comparison gives them the column's, as storing
//! them would, and an index of the column can be used.

use super::packed;
use crate::database::Dialect;
use crate::database::sqlite::declared::{Affinity, affinity};
use crate::database::sqlite::unbound;
use crate::domain::before::Before;
use crate::domain::field::When;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::{Holds, ObjectColumn};

/// Parameters one statement may bind.
/// Source: `SQLITE_MAX_VARIABLE_NUMBER` in <https://www.sqlite.org/limits.html>.
const BIND_PARAMETERS_MAX: usize = 32_766;

/// Records of one statement: measured, more make each slower again, for SQLite keeps them all in
/// memory twice.
const STATEMENT_RECORDS_MAX: usize = 1_024;

/// Steps between the record counts that statements are made for. What is left of a batch takes the
/// next larger one.
const SIZE_STEP: usize = 4;

/// Which fields of a layout a statement sends, by their positions in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) fields: Vec<usize>,
}

impl Sent {
    /// The match key, and what an update would write except stamps: they alone never cause a write.
    pub(super) fn to_look_up(layout: &Layout) -> Self {
        Self {
            fields: layout.looked_up(),
        }
    }

    /// Everything.
    pub(super) fn to_write(layout: &Layout) -> Self {
        Self {
            fields: layout.positions(|_| true),
        }
    }

    /// The match key.
    pub(super) fn to_count(layout: &Layout) -> Self {
        Self {
            fields: layout.positions(|field| field.key),
        }
    }

    /// Most records one statement takes. Without an index every statement visits every row of the
    /// object, so it takes as many records as can be bound.
    pub(super) fn records_max(&self, layout: &Layout) -> usize {
        let bindable = (BIND_PARAMETERS_MAX / self.fields.len().max(1)).max(1);
        if layout.key_is_indexed() {
            bindable.min(STATEMENT_RECORDS_MAX)
        } else {
            bindable
        }
    }

    /// For how many records the statement that takes `records` is made.
    pub(super) fn room_for(&self, layout: &Layout, records: usize) -> usize {
        let records_max = self.records_max(layout);
        let mut room = 1;
        while room < records && room < records_max {
            room *= SIZE_STEP;
        }
        room.min(records_max)
    }

    /// `incoming` as a common table expression with room for `records`.
    fn incoming(&self, records: usize) -> String {
        let columns: String = (0..self.fields.len())
            .map(|column| format!(",c{column}"))
            .collect();
        let places = ",?".repeat(self.fields.len());
        let rows: Vec<String> = (0..records)
            .map(|record| format!("({record}{places})"))
            .collect();
        format!(
            "WITH incoming(n{columns}) AS (VALUES {rows})",
            rows = rows.join(",")
        )
    }

    /// The fields with the names their values go by in `incoming`.
    fn named<'a>(&'a self, layout: &'a Layout) -> impl Iterator<Item = (String, &'a LayoutField)> {
        let named = |(column, position): (usize, &usize)| {
            let field = layout.fields.get(*position)?;
            let incoming = format!("incoming.c{column}");
            Some((
                if field.own_text {
                    unbound(&incoming)
                } else {
                    incoming
                },
                field,
            ))
        };
        self.fields.iter().enumerate().filter_map(named)
    }

    /// Which rows of `t` a record means.
    fn matches(&self, layout: &Layout) -> String {
        self.matches_in(ALIAS, layout)
    }

    /// Which rows of a table a record means. Where the column takes more than the same bytes for
    /// equal, its own comparison finds candidates by the index and the second one looks at the
    /// bytes.
    fn matches_in(&self, table: &str, layout: &Layout) -> String {
        let mut conditions = Vec::new();
        for (incoming, field) in self.named(layout).filter(|(_, field)| field.key) {
            let column = column_in(table, field);
            conditions.push(format!("{column} = {incoming}"));
            if is_text_kept_as_number(&field.column) {
                conditions.push(format!(
                    "CAST({column} AS TEXT) = {incoming} COLLATE BINARY"
                ));
            } else if field.column.loosely_compared {
                conditions.push(format!("{column} = {incoming} COLLATE BINARY"));
            }
        }
        conditions.join(" AND ")
    }
}

/// How a look-up answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// In one value, see [`super::packed`]: for rows come one by one from another thread.
    Packed(Before),
    /// With one row for every match: the record's position in the statement, whether writing it
    /// would change the row, and what the row holds in every field of the layout.
    Rows,
}

/// Finds the rows of each record.
pub(super) fn look_up(
    table: &str,
    layout: &Layout,
    sent: &Sent,
    records: usize,
    answer: Answer,
) -> String {
    let changes: Vec<String> = sent
        .named(layout)
        .filter(|(_, field)| field.is_compared())
        .map(|(incoming, field)| change(&incoming, field, layout.keeps_null(field)))
        .collect();
    let differs = if changes.is_empty() {
        "0".to_owned()
    } else {
        any_of(&changes)
    };
    let found = match answer {
        Answer::Packed(before) => {
            let held = layout.fields.iter();
            let held: Vec<packed::Named> =
                held.map(|field| named(column_of(field), field)).collect();
            packed::all("incoming.n", &differs, &held, before)
        }
        Answer::Rows => {
            let held: String = layout
                .fields
                .iter()
                .map(|field| format!(", {}", column_of(field)))
                .collect();
            format!("incoming.n, {differs}{held}")
        }
    };
    // The word CROSS keeps the order: for each record a search in the index, never for each row a
    // search in the batch.
    format!(
        "{incoming} SELECT {found} FROM incoming CROSS JOIN {table} AS t WHERE {matches}",
        incoming = sent.incoming(records),
        matches = sent.matches(layout)
    )
}

/// Reads at most so many rows in the order of their keys, from the first bound key on, or behind it,
/// up to the second. The answer is packed; each row has the `fields`, the first of which is the key.
pub(super) fn read_between(
    table: &str,
    layout: &Layout,
    fields: &[usize],
    rows_max: usize,
    begins: Begins,
) -> Option<String> {
    let fields: Vec<&LayoutField> = fields
        .iter()
        .filter_map(|position| layout.fields.get(*position))
        .collect();
    let key = column_of(fields.first()?);
    let (read, held): (Vec<String>, Vec<packed::Named>) = fields
        .iter()
        .enumerate()
        .map(|(place, field)| {
            let name = format!("c{place}");
            let read = format!("{} AS {name}", column_of(field));
            (read, named(name, field))
        })
        .unzip();
    let above = match begins {
        Begins::WithKey => ">=",
        Begins::BehindKey => ">",
    };
    Some(format!(
        "SELECT {all} FROM (SELECT {read} FROM {table} AS t WHERE {key} {above} ? AND {key} <= ? \
         ORDER BY {key} LIMIT {rows_max})",
        all = packed::all("0", "0", &held, Before::OfAll),
        read = read.join(", "),
    ))
}

fn named(name: String, field: &LayoutField) -> packed::Named {
    (name, affinity(&field.column.declared, true))
}

/// Which row is the first one that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    WithKey,
    BehindKey,
}

/// Whether one of the conditions holds. A chain of them is as deep to SQLite as it is long, so a
/// wide table's conditions stand in groups. Source: `SQLITE_MAX_EXPR_DEPTH` in
/// <https://www.sqlite.org/limits.html>: 1 000; no table has more than 2 000 columns.
fn any_of(conditions: &[String]) -> String {
    const GROUP_CONDITIONS_MAX: usize = 64;
    if conditions.len() <= GROUP_CONDITIONS_MAX {
        return conditions.join(" OR ");
    }
    let groups: Vec<String> = conditions
        .chunks(GROUP_CONDITIONS_MAX)
        .map(|group| format!("({})", group.join(" OR ")))
        .collect();
    groups.join(" OR ")
}

/// Finds the ids of the rows that have a record's whole key. Columns of the answer: the record's
/// position in the statement, how many rows it has, the id of one of them; as many rows as there
/// are, at most `most` a record.
pub(super) fn ids(
    table: &str,
    layout: &Layout,
    id: &LayoutField,
    sent: &Sent,
    records: usize,
    most: usize,
) -> String {
    format!(
        "{incoming} SELECT n, found, id FROM (SELECT incoming.n AS n, {id} AS id, \
         count(*) OVER (PARTITION BY incoming.n) AS found, \
         row_number() OVER (PARTITION BY incoming.n ORDER BY {id}) AS place \
         FROM incoming CROSS JOIN {table} AS t WHERE {matches}) WHERE place <= {most} ORDER BY n, place",
        incoming = sent.incoming(records),
        id = column_of(id),
        matches = sent.matches(layout)
    )
}

/// Counts the rows that the records match.
pub(super) fn count(table: &str, layout: &Layout, sent: &Sent, records: usize) -> String {
    format!(
        "{incoming} SELECT count(*) FROM incoming CROSS JOIN {table} AS t WHERE {matches}",
        incoming = sent.incoming(records),
        matches = sent.matches(layout)
    )
}

/// What a statement says of constraints that refuse a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnConflict {
    /// Nothing: no constraint says anything else than that the statement fails.
    Unsaid,
    /// That the statement fails, whatever constraints say.
    Abort,
}

impl OnConflict {
    fn clause(self) -> &'static str {
        match self {
            Self::Unsaid => "",
            Self::Abort => "OR ABORT ",
        }
    }
}

/// Writes each record into its row; `None` if the layout has nothing to write.
pub(super) fn update(
    table: &str,
    layout: &Layout,
    sent: &Sent,
    records: usize,
    on_conflict: OnConflict,
) -> Option<String> {
    let assignments: Vec<String> = sent
        .named(layout)
        .filter(|(_, field)| !field.key)
        .map(|(incoming, field)| {
            let column = Dialect::Sqlite.quote(&field.column.name);
            format!(
                "{column} = {}",
                value_to_write(&incoming, field, layout.keeps_null(field))
            )
        })
        .collect();
    (!assignments.is_empty()).then(|| {
        format!(
            "{incoming} UPDATE {or}{table} AS t SET {assignments} FROM incoming WHERE {matches}",
            or = on_conflict.clause(),
            incoming = sent.incoming(records),
            assignments = assignments.join(", "),
            matches = sent.matches(layout)
        )
    })
}

/// Inserts each record.
pub(super) fn insert(
    table: &str,
    layout: &Layout,
    sent: &Sent,
    records: usize,
    on_conflict: OnConflict,
) -> String {
    let columns: Vec<String> = sent
        .named(layout)
        .map(|(_, field)| Dialect::Sqlite.quote(&field.column.name))
        .collect();
    let values: Vec<String> = sent.named(layout).map(|(incoming, _)| incoming).collect();
    let is_record: Vec<String> = sent
        .named(layout)
        .filter(|(_, field)| field.key)
        .map(|(incoming, _)| format!("{incoming} IS NOT NULL"))
        .collect();
    format!(
        "{incoming} INSERT {or}INTO {table} ({columns}) SELECT {values} FROM incoming WHERE {is_record}",
        or = on_conflict.clause(),
        incoming = sent.incoming(records),
        columns = columns.join(", "),
        values = values.join(", "),
        is_record = is_record.join(" AND ")
    )
}

/// Deletes the rows that the records match. What is in the batch is looked for by the index first,
/// and held against the bytes then. A view that is deleted from has no other name in its
/// conditions.
pub(super) fn delete(table: &str, layout: &Layout, sent: &Sent, records: usize) -> String {
    let keys = sent.named(layout).filter(|(_, field)| field.key);
    let (columns, values): (Vec<String>, Vec<String>) = keys
        .map(|(incoming, field)| (column_in(table, field), incoming))
        .unzip();
    format!(
        "{incoming} DELETE FROM {table} WHERE ({columns}) IN (SELECT {values} FROM incoming) \
         AND EXISTS (SELECT 1 FROM incoming WHERE {matches})",
        incoming = sent.incoming(records),
        columns = columns.join(", "),
        values = values.join(", "),
        matches = sent.matches_in(table, layout)
    )
}

/// The name by which statements know the rows of the object.
const ALIAS: &str = "t";

fn column_of(field: &LayoutField) -> String {
    column_in(ALIAS, field)
}

fn column_in(table: &str, field: &LayoutField) -> String {
    format!("{table}.{}", Dialect::Sqlite.quote(&field.column.name))
}

/// Whether the row's value is NULL or the empty text.
fn is_empty(column: &str) -> String {
    format!("({column} IS NULL OR {column} = '' COLLATE BINARY)")
}

/// Whether writing the field would change the row.
fn change(incoming: &str, field: &LayoutField, keeps_null: bool) -> String {
    let column = column_of(field);
    let held = match is_text_kept_as_number(&field.column) && !field.own_text {
        true => format!("CAST({column} AS TEXT)"),
        false => column.clone(),
    };
    let mut conditions = vec![format!("{held} IS NOT {incoming} COLLATE BINARY")];
    if keeps_null {
        conditions.push(format!("{incoming} IS NOT NULL"));
    }
    if field.when == When::IfEmpty {
        conditions.push(is_empty(&column));
    }
    format!("({})", conditions.join(" AND "))
}

/// What an update puts into the field.
fn value_to_write(incoming: &str, field: &LayoutField, keeps_null: bool) -> String {
    let column = column_of(field);
    let value = match keeps_null {
        false => incoming.to_owned(),
        true => format!("ifnull({incoming}, {column})"),
    };
    match field.when {
        When::Always => value,
        When::IfEmpty => format!(
            "CASE WHEN {} THEN {value} ELSE {column} END",
            is_empty(&column)
        ),
    }
}

/// Whether the column turns text that looks like a number into that number, though text is what it
/// is meant to hold: `STRING`, `UUID`, `JSON` and the like have NUMERIC affinity.
pub(crate) fn is_text_kept_as_number(column: &ObjectColumn) -> bool {
    match column.holds {
        Holds::Text { .. } | Holds::Label(_) | Holds::Labels(_) | Holds::Uuid | Holds::Json => {
            // Only a STRICT table's `ANY`, which keeps text as it is, is described as text under
            // this name.
            affinity(&column.declared, true) == Affinity::Numeric
        }
        Holds::Date
        | Holds::Time { .. }
        | Holds::Timestamp { .. }
        | Holds::Instant { .. }
        | Holds::Integer { .. }
        | Holds::Decimal { .. }
        | Holds::DecimalAsFloat { .. }
        | Holds::Float { .. }
        | Holds::Boolean
        | Holds::Unsupported => false,
    }
}
