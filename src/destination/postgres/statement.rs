//! The SQL of lookups, updates and inserts. One text per layout, whatever the batch's size, so that
//! it is prepared once: a batch comes as one array per field, `unnest`ed into the rows of `batch
//! (f0, f1, …, ordinal)`; the table is `object`. Every value is bound, every name is the
//! catalogue's own and quoted.

use crate::database::Dialect;
use crate::database::postgres::quote;
use crate::domain::before::Before;
use crate::domain::field::When;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::Holds;
use crate::domain::value::Kind;

/// Where a statement looks for the rows of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Everywhere,
    /// Between the batch's lowest and highest key, which it binds after the arrays. The key is one
    /// field, and the index has the order of the package. The planner then knows how many rows lie
    /// there, and reads them in a row where that costs less than a search for each record: half of
    /// a look-up's time where most rows have a record.
    Bounded,
}

/// A statement and what it binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sql: String,
    /// Positions in the layout's fields, in the order of `$1`, `$2`, ….
    pub(super) parameters: Vec<usize>,
}

/// Finds the rows that match each record. Shape of the result: one row as [`update_differing`] has
/// it, without the number of rows updated and with the old texts of every field. Where the
/// catalogue does not vouch that a key is unique, it is [`look_up_ambiguous`].
pub(super) fn look_up(layout: &Layout, before: Before, reach: Reach) -> Statement {
    if !layout.key_is_unique() {
        return look_up_ambiguous(layout, before, reach);
    }
    let parameters = layout.looked_up();
    let held: Vec<(usize, &LayoutField)> = numbered(layout).filter(|_| before.is_read()).collect();
    // What is asked of a row several times is worth keeping; else the server need not keep rows.
    let kept = if before.is_read() {
        " MATERIALIZED"
    } else {
        ""
    };
    let sql = format!(
        "WITH found AS{kept} ({found}) SELECT {ORDINALS}{images} FROM found",
        found = found(layout, &parameters, &["batch.ordinal"], &held, reach),
        images = images(&held, before),
    );
    Statement { sql, parameters }
}

/// Finds the rows that match each record, where a key may match a million of them: they are counted
/// by the server. Shape of the result: `ordinal` from 1, how many rows, whether any differs, then
/// the least old text of every field if `before` is read. Records without a match are left out.
fn look_up_ambiguous(layout: &Layout, before: Before, reach: Reach) -> Statement {
    let parameters = layout.looked_up();
    let held = layout.fields.iter().filter(|_| before.is_read());
    let sql = format!(
        "SELECT batch.ordinal, count(*), bool_or({differs}){held} FROM {batch} JOIN {object} AS object ON {key}{bounds} \
         GROUP BY batch.ordinal",
        differs = differs(layout),
        held = held
            .map(|field| format!(", min({}::text COLLATE \"C\")", column(field)))
            .collect::<String>(),
        batch = batch(layout, &parameters),
        object = object(layout),
        key = key(layout),
        bounds = bounds(layout, reach, parameters.len()),
    );
    Statement { sql, parameters }
}

/// The ordinals of the records found, negative where the row does not differ.
const ORDINALS: &str = "array_agg(CASE WHEN differs THEN ordinal ELSE -ordinal END)";

/// The records that have a row: `also`, whether the two differ, and what the row holds in the
/// `held` fields.
fn found(
    layout: &Layout,
    parameters: &[usize],
    also: &[&str],
    held: &[(usize, &LayoutField)],
    reach: Reach,
) -> String {
    let held = held
        .iter()
        .map(|(position, field)| format!(", {} AS b{position}", column(field)));
    format!(
        "SELECT {also}, {differs} AS differs{held} FROM {batch} JOIN {object} AS object ON {key}{bounds}",
        also = also.join(", "),
        differs = differs(layout),
        held = held.collect::<String>(),
        batch = batch(layout, parameters),
        object = object(layout),
        key = key(layout),
        bounds = bounds(layout, reach, parameters.len()),
    )
}

/// The old texts of the `held` fields, of the records whose before-images are wanted.
fn images(held: &[(usize, &LayoutField)], before: Before) -> String {
    let wanted = if before == Before::OfAll {
        ""
    } else {
        " FILTER (WHERE differs)"
    };
    held.iter()
        .map(|(position, _)| format!(", array_agg(b{position}::text){wanted}"))
        .collect()
}

/// Copies at most so many rows whose key lies between two, in the order that the object has them
/// in. Shape of the result: the `fields`, the first of which is the key, in the binary format. Rows
/// that another order would have between the two are not among them. Nothing is bound, for the
/// server takes no values with this statement.
pub(super) fn copy_between(
    layout: &Layout,
    fields: &[usize],
    (low, high): (&str, &str),
    rows_max: usize,
) -> Option<String> {
    let key = layout.fields.get(*fields.first()?)?;
    let end = |text: &str| {
        let value = format!(
            "{}::{}",
            literal(text),
            array_type(key).trim_end_matches("[]")
        );
        match Comparison::of(key).cast() {
            Some(cast) => format!("{value}::{cast}"),
            None => value,
        }
    };
    let read = fields
        .iter()
        .filter_map(|position| layout.fields.get(*position));
    Some(format!(
        "COPY (SELECT {read} FROM {object} AS object WHERE {key} BETWEEN {low} AND {high} LIMIT {rows_max}) \
         TO STDOUT (FORMAT binary)",
        read = read.map(sent_plainly).collect::<Vec<_>>().join(", "),
        object = object(layout),
        key = column(key),
        low = end(low),
        high = end(high),
    ))
}

/// A text as the server reads it, whatever it takes a backslash for.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A column so that what the server sends of it can be compared byte by byte: types of text other
/// than the plain ones, and those that people read as text, by the text that they are shown as.
fn sent_plainly(field: &LayoutField) -> String {
    let column = column(field);
    match (Comparison::of(field), &field.column.holds) {
        (Comparison::Bytes { cast: None }, _) => column,
        (Comparison::Bytes { .. } | Comparison::Padded | Comparison::Document, _)
        | (Comparison::Value { .. }, Holds::Uuid | Holds::Json) => format!("{column}::text"),
        (
            Comparison::Value { .. },
            Holds::Text { .. }
            | Holds::Label(_)
            | Holds::Labels(_)
            | Holds::Integer { .. }
            | Holds::Decimal { .. }
            | Holds::DecimalAsFloat { .. }
            | Holds::Float { .. }
            | Holds::Boolean
            | Holds::Date
            | Holds::Time { .. }
            | Holds::Timestamp { .. }
            | Holds::Instant { .. }
            | Holds::Unsupported,
        ) => column,
    }
}

/// Finds the ids of the rows that have a record's whole key. Shape of the result: `ordinal` from 1,
/// how many rows, the id of one of them, as many times as there are rows and at most `most` times.
pub(super) fn ids(layout: &Layout, id: &LayoutField, most: usize) -> Statement {
    let parameters = layout.key.clone();
    let sql = format!(
        "SELECT ordinal, found, id FROM (SELECT batch.ordinal, {id}::text AS id, \
         count(*) OVER (PARTITION BY batch.ordinal) AS found, \
         row_number() OVER (PARTITION BY batch.ordinal ORDER BY {id}::text COLLATE \"C\") AS place \
         FROM {batch} JOIN {object} AS object ON {key}) AS hits WHERE place <= {most} ORDER BY ordinal, place",
        id = column(id),
        batch = batch(layout, &parameters),
        object = object(layout),
        key = key(layout),
    );
    Statement { sql, parameters }
}

/// Updates the rows that match; `None` if no field is written.
pub(super) fn update(layout: &Layout) -> Option<Statement> {
    let parameters = layout.positions(|_| true);
    let sql = format!(
        "UPDATE {object} AS object SET {assignments} FROM {batch} WHERE {key}",
        object = object(layout),
        assignments = assignments(layout)?,
        batch = batch(layout, &parameters),
        key = key(layout),
    );
    Some(Statement { sql, parameters })
}

/// Looks records up and updates those that differ; `None` if no field is written. For a table whose
/// key the catalogue calls unique. Shape of the result: one row; the ordinals of the records found,
/// negative where the row does not differ; if `before` is read, one array for each written field,
/// the old texts of those whose before-images are wanted, in the order of their ordinals in the
/// first array; how many rows were updated.
///
/// A row is updated in the version that was looked up, or not at all: somebody else's change in
/// between leaves fewer rows updated than differ.
pub(super) fn update_differing(layout: &Layout, before: Before, reach: Reach) -> Option<Statement> {
    let parameters = layout.positions(|_| true);
    let held: Vec<(usize, &LayoutField)> = numbered(layout)
        .filter(|(_, field)| before.is_read() && !field.key)
        .collect();
    let version = [
        "batch.*",
        "object.tableoid AS part",
        "object.ctid AS version",
    ];
    let sql = format!(
        "WITH found AS MATERIALIZED ({found}), \
         updated AS (UPDATE {object} AS object SET {assignments} FROM found AS batch \
         WHERE {key} AND object.ctid = batch.version AND object.tableoid = batch.part AND batch.differs RETURNING 1) \
         SELECT {ORDINALS}{images}, (SELECT count(*) FROM updated) FROM found",
        found = found(layout, &parameters, &version, &held, reach),
        object = object(layout),
        assignments = assignments(layout)?,
        key = key(layout),
        images = images(&held, before),
    );
    Some(Statement { sql, parameters })
}

/// What an update sets; `None` if that is nothing.
fn assignments(layout: &Layout) -> Option<String> {
    let assignments: Vec<String> = numbered(layout)
        .filter(|(_, field)| !field.key)
        .map(|(position, field)| {
            format!(
                "{} = {}",
                quote(&field.column.name),
                assigned(layout, position, field)
            )
        })
        .collect();
    (!assignments.is_empty()).then(|| assignments.join(", "))
}

/// Inserts a row for each record.
pub(super) fn insert(layout: &Layout) -> Statement {
    let parameters = layout.positions(|_| true);
    let names: Vec<String> = layout
        .fields
        .iter()
        .map(|field| quote(&field.column.name))
        .collect();
    let values: Vec<String> = numbered(layout)
        .map(|(position, field)| value(position, field))
        .collect();
    let sql = format!(
        "INSERT INTO {object} ({names}) SELECT {values} FROM {batch}",
        object = object(layout),
        names = names.join(", "),
        values = values.join(", "),
        batch = batch(layout, &parameters),
    );
    Statement { sql, parameters }
}

/// Locks the rows that match against everybody who would change them, and nobody who refers to
/// them.
pub(super) fn lock(layout: &Layout) -> Statement {
    let parameters = layout.key.clone();
    let sql = format!(
        "SELECT 1 FROM {batch} JOIN {object} AS object ON {key} FOR NO KEY UPDATE OF object",
        batch = batch(layout, &parameters),
        object = object(layout),
        key = key(layout),
    );
    Statement { sql, parameters }
}

/// Locks all that stands behind a view against everybody who would change it. Readers are let in.
/// Source: <https://www.postgresql.org/docs/current/sql-lock.html>: "all relations appearing in the
/// view definition query are also locked recursively".
pub(super) fn lock_all(layout: &Layout) -> String {
    format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", object(layout))
}

/// Deletes the rows that match.
pub(super) fn delete(layout: &Layout) -> Statement {
    let parameters = layout.key.clone();
    let sql = format!(
        "DELETE FROM {object} AS object USING {batch} WHERE {key}",
        object = object(layout),
        batch = batch(layout, &parameters),
        key = key(layout),
    );
    Statement { sql, parameters }
}

/// The statements that give `user` the right to look records up, and to change fields if `writes`
/// says how.
pub(super) fn grant(layout: &Layout, user: &str, writes: Option<&str>) -> String {
    let names = |fields: Vec<&LayoutField>| {
        fields
            .iter()
            .map(|field| quote(&field.column.name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let written = |word: &str| match word {
        "update" => format!(", update ({})", names(layout.written_fields().collect())),
        // A right to the whole row.
        "delete" => ", delete".to_owned(),
        _ => format!(", {word} ({})", names(layout.fields.iter().collect())),
    };
    let schema = layout
        .object
        .path
        .iter()
        .rev()
        .nth(1)
        .map(|schema| quote(schema))
        .unwrap_or_default();
    let user = quote(user);
    let object = object(layout);
    let all = names(layout.fields.iter().collect());
    let writes = writes.map(written).unwrap_or_default();
    format!(
        "grant usage on schema {schema} to {user}; grant select ({all}){writes} on {object} to {user}"
    )
}

fn numbered(layout: &Layout) -> impl Iterator<Item = (usize, &LayoutField)> {
    layout.fields.iter().enumerate()
}

fn object(layout: &Layout) -> String {
    Dialect::Postgres.quote_path(&layout.object.path)
}

/// The batch as a table of its own.
fn batch(layout: &Layout, parameters: &[usize]) -> String {
    let fields = parameters
        .iter()
        .filter_map(|position| layout.fields.get(*position));
    let arrays: Vec<String> = fields
        .enumerate()
        .map(|(index, field)| format!("${}::{}", index + 1, array_type(field)))
        .collect();
    let names: Vec<String> = parameters
        .iter()
        .map(|position| format!("f{position}"))
        .collect();
    format!(
        "unnest({}) WITH ORDINALITY AS batch ({}, ordinal)",
        arrays.join(", "),
        names.join(", ")
    )
}

fn array_type(field: &LayoutField) -> &'static str {
    if field.own_text {
        "text[]"
    } else {
        array_of(field.kind)
    }
}

fn array_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Uuid | Kind::Json => "text[]",
        Kind::Decimal => "numeric[]",
        Kind::Integer => "int8[]",
        Kind::Float32 => "float4[]",
        Kind::Float64 => "float8[]",
        Kind::Boolean => "bool[]",
        Kind::Date => "date[]",
        Kind::Time => "time[]",
        Kind::Timestamp => "timestamp[]",
        Kind::Instant => "timestamptz[]",
    }
}

/// How a column compares and which type its values are cast to. Never a type with a length or a
/// scale: an explicit cast to one of those cuts and rounds in silence, where an assignment refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Comparison {
    /// Text byte by byte; `cast` for types other than `text` and `varchar`.
    Bytes { cast: Option<String> },
    /// `char(n)`: byte by byte, without the blanks it is padded with.
    Padded,
    /// `json`, which has no equality: the text as it is kept.
    Document,
    /// By the type's own equality.
    Value { cast: Option<String> },
}

impl Comparison {
    fn of(field: &LayoutField) -> Self {
        let declared = field.column.declared.as_str();
        let same = || Some(declared.to_owned());
        match &field.column.holds {
            Holds::Text { .. }
                if declared == "bpchar"
                    || declared == "character"
                    || declared.starts_with("character(") =>
            {
                Self::Padded
            }
            Holds::Text { .. }
                if declared == "text" || declared.starts_with("character varying") =>
            {
                Self::Bytes { cast: None }
            }
            Holds::Text { .. } | Holds::Label(_) | Holds::Labels(_) => Self::Bytes { cast: same() },
            Holds::Json if declared == "json" => Self::Document,
            Holds::Json => Self::Value { cast: same() },
            Holds::Uuid => Self::Value {
                cast: Some("uuid".to_owned()),
            },
            Holds::Integer { .. }
            | Holds::Decimal { .. }
            | Holds::DecimalAsFloat { .. }
            | Holds::Float { .. }
            | Holds::Boolean
            | Holds::Date
            | Holds::Time { .. }
            | Holds::Timestamp { .. }
            | Holds::Instant { .. }
            | Holds::Unsupported => Self::Value { cast: None },
        }
    }

    /// The type values are cast to.
    fn cast(&self) -> Option<&str> {
        match self {
            Self::Bytes { cast } | Self::Value { cast } => cast.as_deref(),
            Self::Padded => Some("bpchar"),
            Self::Document => Some("json"),
        }
    }
}

fn column(field: &LayoutField) -> String {
    format!("object.{}", quote(&field.column.name))
}

/// A record's value, in the column's type.
fn value(position: usize, field: &LayoutField) -> String {
    match Comparison::of(field).cast() {
        Some(cast) => format!("batch.f{position}::{cast}"),
        None if field.own_text => format!(
            "batch.f{position}::{}",
            array_of(field.kind).trim_end_matches("[]")
        ),
        None => format!("batch.f{position}"),
    }
}

/// Whether a row is the record's. The type's own `=` finds it by the index; where that takes
/// different bytes for equal, the bytes are compared as well.
fn key(layout: &Layout) -> String {
    let matches = |(position, field): (usize, &LayoutField)| {
        let column = column(field);
        let exactly = format!("{column}::text COLLATE \"C\" = batch.f{position}");
        let equals = format!("{column} = {}", value(position, field));
        match (Comparison::of(field), field.column.loosely_compared) {
            (Comparison::Document, _) => exactly,
            (Comparison::Bytes { .. } | Comparison::Padded | Comparison::Value { .. }, true) => {
                format!("{equals} AND {exactly}")
            }
            (Comparison::Bytes { .. } | Comparison::Padded | Comparison::Value { .. }, false) => {
                equals
            }
        }
    };
    layout
        .numbered_key()
        .map(matches)
        .collect::<Vec<_>>()
        .join(" AND ")
}

/// That a row lies between the parameters after the first `arrays`.
fn bounds(layout: &Layout, reach: Reach, arrays: usize) -> String {
    let Some((_, field)) = layout
        .numbered_key()
        .next()
        .filter(|_| reach == Reach::Bounded)
    else {
        return String::new();
    };
    let cast = if field.kind == Kind::Uuid {
        "text::uuid"
    } else {
        array_of(field.kind).trim_end_matches("[]")
    };
    format!(
        " AND {} BETWEEN ${}::{cast} AND ${}::{cast}",
        column(field),
        arrays + 1,
        arrays + 2
    )
}

/// Whether writing the record would change the row.
fn differs(layout: &Layout) -> String {
    let compared = numbered(layout).filter(|(_, field)| field.is_compared());
    let differences: Vec<String> = compared
        .map(|(position, field)| difference(layout, position, field))
        .collect();
    match differences.as_slice() {
        [] => "FALSE".to_owned(),
        differences => format!("({})", differences.join(" OR ")),
    }
}

fn difference(layout: &Layout, position: usize, field: &LayoutField) -> String {
    let column = column(field);
    let distinct = match Comparison::of(field) {
        Comparison::Bytes { .. } | Comparison::Document => {
            format!("{column}::text COLLATE \"C\" IS DISTINCT FROM batch.f{position}")
        }
        Comparison::Padded => {
            format!("{column}::text COLLATE \"C\" IS DISTINCT FROM batch.f{position}::bpchar::text")
        }
        Comparison::Value { .. } => format!("{column} IS DISTINCT FROM {}", value(position, field)),
    };
    let kept = layout
        .keeps_null(field)
        .then(|| format!("batch.f{position} IS NOT NULL"));
    let filled = (field.when == When::IfEmpty).then(|| empty(field));
    let conditions: Vec<String> = kept.into_iter().chain(filled).chain([distinct]).collect();
    match conditions.as_slice() {
        [distinct] => distinct.clone(),
        conditions => format!("({})", conditions.join(" AND ")),
    }
}

/// Whether a row holds nothing in the field: NULL, or no character.
fn empty(field: &LayoutField) -> String {
    let column = column(field);
    match field.column.holds {
        Holds::Text { .. } | Holds::Label(_) | Holds::Labels(_) => {
            format!("({column} IS NULL OR {column}::text = '')")
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
    let column = column(field);
    let given = value(position, field);
    let written = match layout.keeps_null(field) {
        false => given,
        true => format!("COALESCE({given}, {column})"),
    };
    match field.when {
        When::Always => written,
        When::IfEmpty => format!(
            "CASE WHEN {} THEN {written} ELSE {column} END",
            empty(field)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::field::NullPolicy;
    use crate::domain::match_rule::MatchMode;
    use crate::domain::object::{Object, ObjectColumn, ObjectKind, Repertoire, RowLocks, Spelling};

    fn field(name: &str, declared: &str, holds: Holds) -> LayoutField {
        let kind = holds.kind().expect("a type that can be written");
        let loosely_compared = declared == "citext" || declared.starts_with("character(");
        let column = ObjectColumn {
            loosely_compared,
            ..ObjectColumn::plain(name, declared, holds)
        };
        LayoutField::plain(column, kind)
    }

    fn text(name: &str, declared: &str) -> LayoutField {
        field(
            name,
            declared,
            Holds::Text {
                limit: None,
                repertoire: Repertoire::Unicode { nul: false },
            },
        )
    }

    fn key_field(field: LayoutField) -> LayoutField {
        LayoutField { key: true, ..field }
    }

    fn layout(fields: Vec<LayoutField>, unique: bool) -> Layout {
        let keys = fields.iter().enumerate().filter(|(_, field)| field.key);
        let (key, names): (Vec<usize>, Vec<String>) = keys
            .map(|(position, field)| (position, field.column.name.clone()))
            .unzip();
        let object = Object {
            path: vec!["CRM".to_owned(), "a\"b".to_owned()],
            spelling: Spelling {
                quote: '"',
                account: None,
            },
            kind: ObjectKind::Table,
            columns: fields.iter().map(|field| field.column.clone()).collect(),
            unique_keys: if unique { vec![names] } else { Vec::new() },
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
        Layout {
            object,
            mode: MatchMode::UpdateOnly,
            nulls: NullPolicy::Write,
            only_where: Vec::new(),
            fields,
            key,
        }
    }

    fn accounts(unique: bool) -> Layout {
        let score = field(
            "score",
            "numeric(5,2)",
            Holds::Decimal { size: Some((5, 2)) },
        );
        let stamp = LayoutField {
            stamp: true,
            ..field("at", "timestamp", Holds::Timestamp { fraction_digits: 6 })
        };
        layout(
            vec![key_field(text("id", "character varying(18)")), score, stamp],
            unique,
        )
    }

    #[test]
    fn a_lookup_counts_matches_and_compares_all_but_stamps() {
        assert_eq!(
            look_up(&accounts(true), Before::Unread, Reach::Everywhere).sql,
            "WITH found AS (SELECT batch.ordinal, (object.\"score\" IS DISTINCT FROM batch.f1) AS differs \
             FROM unnest($1::text[], $2::numeric[]) WITH ORDINALITY AS batch (f0, f1, ordinal) \
             JOIN \"CRM\".\"a\"\"b\" AS object ON object.\"id\" = batch.f0) \
             SELECT array_agg(CASE WHEN differs THEN ordinal ELSE -ordinal END) FROM found"
        );
    }

    #[test]
    fn rows_between_two_keys_are_read_by_the_index_of_the_key() {
        let mut fields = vec![key_field(text("id", "character(5)"))];
        fields.push(text("note", "text"));
        fields.push(field("facts", "jsonb", Holds::Json));
        fields.push(field("score", "numeric", Holds::Decimal { size: None }));
        let layout = layout(fields, true);
        let statement = copy_between(&layout, &[0, 1, 2, 3], ("a", r"it's \"), 200);
        assert_eq!(
            statement.expect("a key"),
            "COPY (SELECT object.\"id\"::text, object.\"note\", object.\"facts\"::text, object.\"score\" \
             FROM \"CRM\".\"a\"\"b\" AS object WHERE object.\"id\" BETWEEN E'a'::text::bpchar \
             AND E'it''s \\\\'::text::bpchar LIMIT 200) TO STDOUT (FORMAT binary)"
        );
    }

    #[test]
    fn a_key_nobody_vouches_for_is_counted_by_the_server() {
        let statement = look_up(&accounts(false), Before::OfAll, Reach::Everywhere);
        assert!(
            statement
                .sql
                .starts_with("SELECT batch.ordinal, count(*), bool_or("),
            "{}",
            statement.sql
        );
        assert!(
            statement
                .sql
                .contains("min(object.\"at\"::text COLLATE \"C\")"),
            "{}",
            statement.sql
        );
        assert!(
            statement.sql.ends_with(" GROUP BY batch.ordinal"),
            "{}",
            statement.sql
        );
    }

    #[test]
    fn an_update_touches_the_written_fields_only() {
        let statement = update(&accounts(true)).expect("fields to write");
        assert_eq!(
            statement.sql,
            "UPDATE \"CRM\".\"a\"\"b\" AS object SET \"score\" = batch.f1, \"at\" = batch.f2 \
             FROM unnest($1::text[], $2::numeric[], $3::timestamp[]) WITH ORDINALITY AS batch (f0, f1, f2, ordinal) \
             WHERE object.\"id\" = batch.f0"
        );
        assert_eq!(statement.parameters, [0, 1, 2]);
        assert_eq!(
            update(&layout(vec![key_field(text("id", "text"))], true)),
            None
        );
    }

    #[test]
    fn an_insert_names_every_field() {
        assert_eq!(
            insert(&accounts(true)).sql,
            "INSERT INTO \"CRM\".\"a\"\"b\" (\"id\", \"score\", \"at\") SELECT batch.f0, batch.f1, batch.f2 \
             FROM unnest($1::text[], $2::numeric[], $3::timestamp[]) WITH ORDINALITY AS batch (f0, f1, f2, ordinal)"
        );
    }

    #[test]
    fn kept_nulls_and_filled_gaps_compare_as_they_are_written() {
        let mut fields = vec![key_field(text("id", "text")), text("note", "text")];
        fields.extend(fields.get(1).cloned().map(|field| LayoutField {
            when: When::IfEmpty,
            ..field
        }));
        let layout = Layout {
            nulls: NullPolicy::Keep,
            ..layout(fields, true)
        };
        let sql = look_up(&layout, Before::Unread, Reach::Everywhere).sql;
        let distinct = |field: &str| {
            format!("object.\"note\"::text COLLATE \"C\" IS DISTINCT FROM batch.{field}")
        };
        let empty = "(object.\"note\" IS NULL OR object.\"note\"::text = '')";
        assert!(
            sql.contains(&format!("((batch.f1 IS NOT NULL AND {})", distinct("f1"))),
            "{sql}"
        );
        assert!(
            sql.contains(&format!(
                "OR (batch.f2 IS NOT NULL AND {empty} AND {}))",
                distinct("f2")
            )),
            "{sql}"
        );
        let sql = update(&layout).expect("fields to write").sql;
        assert!(
            sql.contains("\"note\" = COALESCE(batch.f1, object.\"note\")"),
            "{sql}"
        );
        let filled = format!(
            "CASE WHEN {empty} THEN COALESCE(batch.f2, object.\"note\") ELSE object.\"note\" END"
        );
        assert!(sql.contains(&filled), "{sql}");
    }

    #[test]
    fn loose_keys_are_matched_by_their_bytes_as_well() {
        for (declared, cast) in [("citext", "citext"), ("character(5)", "bpchar")] {
            let sql = look_up(
                &layout(vec![key_field(text("id", declared))], true),
                Before::Unread,
                Reach::Everywhere,
            )
            .sql;
            let matched = format!(
                "ON object.\"id\" = batch.f0::{cast} AND object.\"id\"::text COLLATE \"C\" = batch.f0"
            );
            assert!(sql.contains(&matched), "{sql}");
        }
    }

    #[test]
    fn casts_never_carry_a_length_or_a_scale() {
        let fields = vec![
            key_field(text("id", "character varying(18)")),
            text("code", "character(5)"),
            field(
                "score",
                "numeric(5,2)",
                Holds::Decimal { size: Some((5, 2)) },
            ),
            field(
                "at",
                "timestamp(3) without time zone",
                Holds::Timestamp { fraction_digits: 3 },
            ),
            field("stage", "crm.stage", Holds::Label(vec!["new".to_owned()])),
            field("facts", "json", Holds::Json),
        ];
        let sql = insert(&layout(fields, true)).sql;
        let expected = "SELECT batch.f0, batch.f1::bpchar, batch.f2, batch.f3, batch.f4::crm.stage, batch.f5::json";
        assert!(sql.contains(expected), "{sql}");
    }

    #[test]
    fn the_rights_asked_for_are_the_least_that_do() {
        assert_eq!(
            grant(&accounts(true), "writer", Some("update")),
            "grant usage on schema \"CRM\" to \"writer\"; grant select (\"id\", \"score\", \"at\"), update (\"score\", \"at\") \
             on \"CRM\".\"a\"\"b\" to \"writer\""
        );
    }
}
