//! The SQL of lookups, updates and inserts. One text per layout, whatever the batch's size: a batch
//! comes as one list of texts per field, unnested into the rows of `batch (f0, f1, …, ordinal)`;
//! the table is `object`. Every value is bound, every name is the catalogue's own and quoted.
//!
//! A text becomes a value of the column's type by a cast, which in DuckDB is exact for whatever it
//! wrote itself as text, before-images among it. What a cast would round was made to fit the
//! column before.

use crate::database::Dialect;
use crate::domain::field::When;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::Holds;

/// A statement and the positions, in the layout's fields, of the lists that it binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) parameters: Vec<usize>,
}

/// Finds the rows that match each record. Shape of the result: `ordinal` from 0, how many rows,
/// whether any differs as 0 or 1, then what the row holds in every field if `before` is wanted.
/// Records without a match are left out.
pub(super) fn look_up(table: &str, layout: &Layout, before: bool) -> Statement {
    let parameters = layout.looked_up();
    let held = layout.fields.iter().filter(|_| before);
    let held: String = held
        .map(|field| format!(", any_value({})", as_text(field)))
        .collect();
    let sql = format!(
        "SELECT batch.ordinal, count(*), CAST(bool_or({differs}) AS BIGINT){held} \
         FROM {batch} JOIN {table} AS object ON {key} GROUP BY batch.ordinal",
        differs = differs(layout),
        batch = batch(&parameters),
        key = key(layout),
    );
    Statement { sql, parameters }
}

/// Finds the ids of the rows that have a record's whole key. Shape of the result: `ordinal` from 0,
/// how many rows, the id of one of them, as many times as there are rows and at most `most` times.
pub(super) fn ids(table: &str, layout: &Layout, id: &LayoutField, most: usize) -> Statement {
    let parameters = layout.key.clone();
    let sql = format!(
        "SELECT ordinal, found, id FROM (SELECT batch.ordinal AS ordinal, {id} AS id, \
         count(*) OVER (PARTITION BY batch.ordinal) AS found, \
         row_number() OVER (PARTITION BY batch.ordinal ORDER BY {id}) AS place \
         FROM {batch} JOIN {table} AS object ON {key}) AS hits WHERE place <= {most} ORDER BY ordinal, place",
        id = as_text(id),
        batch = batch(&parameters),
        key = key(layout),
    );
    Statement { sql, parameters }
}

/// Counts the rows that the records match.
pub(super) fn count(table: &str, layout: &Layout) -> Statement {
    let parameters = layout.key.clone();
    let sql = format!(
        "SELECT count(*) FROM {batch} JOIN {table} AS object ON {key}",
        batch = batch(&parameters),
        key = key(layout),
    );
    Statement { sql, parameters }
}

/// Updates the rows that match; empty if no field is written. DuckDB deletes and inserts a row of
/// which an indexed column is set, whatever it is set to, and then refuses it where other rows refer
/// to it. So indexed columns have a statement of their own, for the rows in which they change; the
/// first statement of several is for every row.
pub(super) fn updates(table: &str, layout: &Layout) -> Vec<Statement> {
    let is_indexed = |field: &LayoutField| {
        let mut indexes = layout.object.indexes.iter();
        indexes.any(|columns| columns.contains(&field.column.name))
    };
    let written = layout.positions(|field| !field.key);
    let (indexed, plain): (Vec<usize>, Vec<usize>) = written
        .into_iter()
        .partition(|position| layout.fields.get(*position).is_some_and(is_indexed));
    let statement = |fields: &[usize], condition: String| {
        let parameters: Vec<usize> = layout.key.iter().chain(fields).copied().collect();
        let assignments: Vec<String> = numbered(layout)
            .filter(|(position, _)| fields.contains(position))
            .map(|(position, field)| {
                let name = Dialect::Duckdb.quote(&field.column.name);
                format!("{name} = {}", assigned(layout, position, field))
            })
            .collect();
        let sql = format!(
            "UPDATE {table} AS object SET {assignments} FROM {batch} WHERE {key}{condition}",
            assignments = assignments.join(", "),
            batch = batch(&parameters),
            key = key(layout),
        );
        Statement { sql, parameters }
    };
    let changing = || {
        let changes: Vec<String> = numbered(layout)
            .filter(|(position, _)| indexed.contains(position))
            .map(|(position, field)| difference(layout, position, field))
            .collect();
        format!(" AND ({})", changes.join(" OR "))
    };
    match (plain.as_slice(), indexed.as_slice()) {
        ([], []) => Vec::new(),
        (all, []) | ([], all) => vec![statement(all, String::new())],
        (plain, indexed) => vec![
            statement(plain, String::new()),
            statement(indexed, changing()),
        ],
    }
}

/// Inserts a row for each record.
pub(super) fn insert(table: &str, layout: &Layout) -> Statement {
    let parameters = layout.positions(|_| true);
    let names: Vec<String> = layout
        .fields
        .iter()
        .map(|field| Dialect::Duckdb.quote(&field.column.name))
        .collect();
    let values: Vec<String> = numbered(layout)
        .map(|(position, field)| value(position, field))
        .collect();
    let sql = format!(
        "INSERT INTO {table} ({names}) SELECT {values} FROM {batch}",
        names = names.join(", "),
        values = values.join(", "),
        batch = batch(&parameters),
    );
    Statement { sql, parameters }
}

/// Deletes the rows that match.
pub(super) fn delete(table: &str, layout: &Layout) -> Statement {
    let parameters = layout.key.clone();
    let sql = format!(
        "DELETE FROM {table} AS object USING {batch} WHERE {key}",
        batch = batch(&parameters),
        key = key(layout),
    );
    Statement { sql, parameters }
}

fn numbered(layout: &Layout) -> impl Iterator<Item = (usize, &LayoutField)> {
    layout.fields.iter().enumerate()
}

/// The batch as a table of its own: lists of one length, unnested side by side.
fn batch(parameters: &[usize]) -> String {
    let lists = parameters.iter().zip(1..);
    let lists: Vec<String> = lists
        .map(|(position, number)| format!("unnest(${number}::VARCHAR[]) AS f{position}"))
        .collect();
    format!(
        "(SELECT {}, unnest(range(len($1::VARCHAR[]))) AS ordinal) AS batch",
        lists.join(", ")
    )
}

/// How a column compares with a record's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// Text byte by byte, by DuckDB's own comparison.
    Text,
    /// Text byte by byte, where the column's collation takes other bytes for equal.
    Bytes,
    /// What is compared as the text that it shows: labels and documents.
    Shown,
    /// By the type's own equality.
    Value,
}

impl Comparison {
    fn of(field: &LayoutField) -> Self {
        match field.column.holds {
            Holds::Text { .. } if field.column.loosely_compared => Self::Bytes,
            Holds::Text { .. } => Self::Text,
            Holds::Label(_) | Holds::Labels(_) | Holds::Json => Self::Shown,
            Holds::Integer { .. }
            | Holds::Decimal { .. }
            | Holds::DecimalAsFloat { .. }
            | Holds::Float { .. }
            | Holds::Boolean
            | Holds::Date
            | Holds::Time { .. }
            | Holds::Timestamp { .. }
            | Holds::Instant { .. }
            | Holds::Uuid
            | Holds::Unsupported => Self::Value,
        }
    }

    /// What a row and a record hold, to be compared.
    fn sides(self, position: usize, field: &LayoutField) -> (String, String) {
        let record = format!("batch.f{position}");
        match self {
            Self::Text => (column(field), record),
            Self::Bytes => (
                format!("encode({})", column(field)),
                format!("encode({record})"),
            ),
            Self::Shown => (as_text(field), record),
            Self::Value => (column(field), value(position, field)),
        }
    }
}

fn column(field: &LayoutField) -> String {
    format!("object.{}", Dialect::Duckdb.quote(&field.column.name))
}

fn as_text(field: &LayoutField) -> String {
    format!("CAST({} AS VARCHAR)", column(field))
}

/// A record's value, in the column's type.
fn value(position: usize, field: &LayoutField) -> String {
    match field.column.holds {
        // A word becomes a label as it is assigned; no other type has this very list of labels.
        Holds::Text { .. } | Holds::Label(_) | Holds::Labels(_) => format!("batch.f{position}"),
        Holds::Integer { .. }
        | Holds::Decimal { .. }
        | Holds::DecimalAsFloat { .. }
        | Holds::Float { .. }
        | Holds::Boolean
        | Holds::Date
        | Holds::Time { .. }
        | Holds::Timestamp { .. }
        | Holds::Instant { .. }
        | Holds::Uuid
        | Holds::Json
        | Holds::Unsupported => format!("CAST(batch.f{position} AS {})", field.column.declared),
    }
}

/// Whether a row is the record's.
fn key(layout: &Layout) -> String {
    let matches = |(position, field): (usize, &LayoutField)| {
        let (row, record) = Comparison::of(field).sides(position, field);
        let exactly = format!("{row} = {record}");
        match Comparison::of(field) {
            // The column's own comparison finds candidates, by which tables are joined.
            Comparison::Bytes => format!("{} = batch.f{position} AND {exactly}", column(field)),
            Comparison::Text | Comparison::Shown | Comparison::Value => exactly,
        }
    };
    let matches: Vec<String> = layout.numbered_key().map(matches).collect();
    matches.join(" AND ")
}

/// Whether writing the record would change the row.
fn differs(layout: &Layout) -> String {
    let compared = numbered(layout).filter(|(_, field)| field.is_compared());
    let differences: Vec<String> = compared
        .map(|(position, field)| difference(layout, position, field))
        .collect();
    match differences.as_slice() {
        [] => "FALSE".to_owned(),
        differences => differences.join(" OR "),
    }
}

fn difference(layout: &Layout, position: usize, field: &LayoutField) -> String {
    let (row, record) = Comparison::of(field).sides(position, field);
    let mut conditions = vec![format!("{row} IS DISTINCT FROM {record}")];
    if layout.keeps_null(field) {
        conditions.push(format!("batch.f{position} IS NOT NULL"));
    }
    if field.when == When::IfEmpty {
        conditions.push(is_empty(field));
    }
    format!("({})", conditions.join(" AND "))
}

/// Whether a row holds nothing in the field: NULL, or no character.
fn is_empty(field: &LayoutField) -> String {
    let column = column(field);
    match field.column.holds {
        Holds::Text { .. } => format!("({column} IS NULL OR {column} = '')"),
        Holds::Label(_) | Holds::Labels(_) => {
            format!("({column} IS NULL OR {column}::VARCHAR = '')")
        }
        Holds::Integer { .. }
        | Holds::Decimal { .. }
        | Holds::DecimalAsFloat { .. }
        | Holds::Float { .. }
        | Holds::Boolean
        | Holds::Date
        | Holds::Time { .. }
        | Holds::Timestamp { .. }
        | Holds::Instant { .. }
        | Holds::Uuid
        | Holds::Json
        | Holds::Unsupported => format!("{column} IS NULL"),
    }
}

/// What an update leaves in the field.
fn assigned(layout: &Layout, position: usize, field: &LayoutField) -> String {
    let given = value(position, field);
    // A label's text and the label itself are of two types.
    let held = match Comparison::of(field) {
        Comparison::Shown if matches!(field.column.holds, Holds::Label(_)) => as_text(field),
        Comparison::Text | Comparison::Bytes | Comparison::Shown | Comparison::Value => {
            column(field)
        }
    };
    let written = match layout.keeps_null(field) {
        false => given,
        true => format!("COALESCE({given}, {held})"),
    };
    match field.when {
        When::Always => written,
        When::IfEmpty => format!(
            "CASE WHEN {} THEN {written} ELSE {held} END",
            is_empty(field)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::field::NullPolicy;
    use crate::domain::object::{Object, ObjectColumn, ObjectKind, Repertoire, RowLocks, Spelling};

    const TABLE: &str = "\"crm\".\"main\".\"a\"\"b\"";

    fn field(name: &str, declared: &str, holds: Holds) -> LayoutField {
        let kind = holds.kind().expect("a type that can be written");
        LayoutField::plain(ObjectColumn::plain(name, declared, holds), kind)
    }

    fn text(name: &str) -> LayoutField {
        let repertoire = Repertoire::Unicode { nul: true };
        field(
            name,
            "VARCHAR",
            Holds::Text {
                limit: None,
                repertoire,
            },
        )
    }

    fn layout(fields: Vec<LayoutField>) -> Layout {
        let object = Object {
            path: vec!["a\"b".to_owned()],
            spelling: Spelling {
                quote: '"',
                account: None,
            },
            kind: ObjectKind::Table,
            columns: fields.iter().map(|field| field.column.clone()).collect(),
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
        let key = fields.iter().enumerate().filter(|(_, field)| field.key);
        Layout {
            key: key.map(|(position, _)| position).collect(),
            fields,
            ..Layout::of_rows(object)
        }
    }

    fn accounts() -> Layout {
        let key = LayoutField {
            key: true,
            ..text("id")
        };
        let stamp = LayoutField {
            stamp: true,
            ..field("at", "TIMESTAMP", Holds::Timestamp { fraction_digits: 6 })
        };
        let size = Some((5, 2));
        let score = field("score", "DECIMAL(5,2)", Holds::Decimal { size });
        layout(vec![key, score, stamp])
    }

    #[test]
    fn a_lookup_counts_matches_and_compares_all_but_stamps() {
        let statement = look_up(TABLE, &accounts(), false);
        assert_eq!(
            statement.sql,
            format!(
                "SELECT batch.ordinal, count(*), \
                 CAST(bool_or((object.\"score\" IS DISTINCT FROM CAST(batch.f1 AS DECIMAL(5,2)))) AS BIGINT) \
                 FROM (SELECT unnest($1::VARCHAR[]) AS f0, unnest($2::VARCHAR[]) AS f1, \
                 unnest(range(len($1::VARCHAR[]))) AS ordinal) AS batch \
                 JOIN {TABLE} AS object ON object.\"id\" = batch.f0 GROUP BY batch.ordinal"
            )
        );
        assert_eq!(statement.parameters, [0, 1]);
    }

    #[test]
    fn an_update_touches_the_written_fields_only() {
        let [statement] = updates(TABLE, &accounts())
            .try_into()
            .expect("one statement");
        assert!(
            statement.sql.starts_with(&format!(
                "UPDATE {TABLE} AS object SET \"score\" = CAST(batch.f1 AS DECIMAL(5,2)), \
                 \"at\" = CAST(batch.f2 AS TIMESTAMP) FROM (SELECT "
            )),
            "{}",
            statement.sql
        );
        let key = LayoutField {
            key: true,
            ..text("id")
        };
        assert_eq!(updates(TABLE, &layout(vec![key])), []);
    }

    #[test]
    fn an_indexed_column_is_set_where_it_changes_only() {
        let mut layout = accounts();
        layout.object.indexes = vec![vec!["score".to_owned()]];
        let [plain, indexed] = updates(TABLE, &layout).try_into().expect("two statements");
        assert!(
            plain.sql.contains(" SET \"at\" = ") && !plain.sql.contains("score"),
            "{plain:?}"
        );
        assert_eq!(
            (plain.parameters.as_slice(), indexed.parameters.as_slice()),
            (&[0, 2][..], &[0, 1][..])
        );
        let changed = "WHERE object.\"id\" = batch.f0 AND ((object.\"score\" IS DISTINCT FROM CAST(batch.f1 AS DECIMAL(5,2))))";
        assert!(indexed.sql.ends_with(changed), "{indexed:?}");
    }

    #[test]
    fn a_loose_collation_is_held_against_the_bytes() {
        let mut key = text("id");
        key.key = true;
        key.column.loosely_compared = true;
        let sql = look_up(TABLE, &layout(vec![key]), false).sql;
        let matched = "ON object.\"id\" = batch.f0 AND encode(object.\"id\") = encode(batch.f0)";
        assert!(sql.contains(matched), "{sql}");
    }

    #[test]
    fn kept_nulls_and_filled_gaps_compare_as_they_are_written() {
        let key = LayoutField {
            key: true,
            ..text("id")
        };
        let note = LayoutField {
            when: When::IfEmpty,
            ..text("note")
        };
        let stage = field("stage", "ENUM('a')", Holds::Label(vec!["a".to_owned()]));
        let layout = Layout {
            nulls: NullPolicy::Keep,
            ..layout(vec![key, note, stage])
        };
        let empty = "(object.\"note\" IS NULL OR object.\"note\" = '')";
        let sql = look_up(TABLE, &layout, false).sql;
        assert!(
            sql.contains(&format!(
                "(object.\"note\" IS DISTINCT FROM batch.f1 AND batch.f1 IS NOT NULL AND {empty})"
            )),
            "{sql}"
        );
        let [statement] = updates(TABLE, &layout).try_into().expect("one statement");
        let sql = statement.sql;
        assert!(
            sql.contains(&format!(
                "\"note\" = CASE WHEN {empty} THEN COALESCE(batch.f1, object.\"note\") ELSE object.\"note\" END, \
                 \"stage\" = COALESCE(batch.f2, CAST(object.\"stage\" AS VARCHAR))"
            )),
            "{sql}"
        );
    }
}
