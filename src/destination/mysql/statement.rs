//! The SQL by which a batch is looked up, updated and inserted. Pure: a layout in, statements out.
//! The batch is the one parameter of each: JSON objects whose members `c0`, `c1`, … are the
//! layout's fields, an absent member NULL.
//!
//! Names in the statements: `o` is the object, `j` the batch, `j.n` a record's position in it from
//! 1.

use crate::database::Dialect;
use crate::database::mysql::catalogue::charset_of;
use crate::destination::ahead::read_fields;
use crate::domain::field::When;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::{Holds, ObjectKind, TextLimit};
use crate::domain::value::Kind;

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Yields `position, rows, differs, old values…` for records that have rows, all as text: a
    /// line for each row, or where nothing but their number is asked of a key that any number may
    /// have, one for all of them.
    LookUp {
        before: bool,
        /// Whether the rows are locked until the transaction ends.
        locks: bool,
    },
    Update,
    Insert,
    /// Yields a line for every row that a record matches.
    Lock,
    Delete,
}

/// The statements for one layout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Statements<'a> {
    layout: &'a Layout,
}

impl<'a> Statements<'a> {
    pub(super) fn of(layout: &'a Layout) -> Self {
        Self { layout }
    }

    /// Positions of the fields whose values a step needs.
    pub(super) fn carried(&self, step: Step) -> Vec<usize> {
        match step {
            Step::LookUp { .. } => self.layout.looked_up(),
            Step::Update | Step::Insert => self.layout.positions(|_| true),
            Step::Lock | Step::Delete => self.layout.positions(|field| field.key),
        }
    }

    pub(super) fn render(&self, step: Step) -> String {
        match step {
            Step::LookUp { before, locks } => self.look_up(before, locks),
            Step::Update => self.update(),
            Step::Insert => self.insert(),
            Step::Lock => format!("SELECT '1' FROM {} FOR UPDATE", self.joined(Step::Lock)),
            Step::Delete => format!("DELETE o FROM {}", self.joined(Step::Delete)),
        }
    }

    fn look_up(&self, before: bool, locks: bool) -> String {
        let (differs, joined) = (self.differs(), self.joined(Step::LookUp { before, locks }));
        if !before && !locks && !self.layout.key_is_unique() {
            return format!(
                "SELECT CAST(j.n AS CHAR), CAST(COUNT(*) AS CHAR), CAST(MAX({differs}) AS CHAR) FROM {joined} \
                 GROUP BY j.n"
            );
        }
        // Old values come from the row itself. Whatever gathers rows puts them into a temporary
        // table first, whose columns are as wide as the server guesses: a DOUBLE's text is cut
        // after 22 characters there.
        let old: String = self
            .fields()
            .filter(|_| before)
            .map(|(_, field)| format!(", {}", old_value(field)))
            .collect();
        let lock = if locks { " FOR UPDATE" } else { "" };
        format!("SELECT CAST(j.n AS CHAR), '1', CAST({differs} AS CHAR){old} FROM {joined}{lock}")
    }

    /// Reads at most so many rows whose key lies between the two parameters, in the order that the
    /// object has them in; `None` unless the object itself lies in the order of the key. Yields the
    /// fields of [`read_fields`].
    pub(super) fn read_between(&self, rows_max: usize) -> Option<String> {
        let fields = read_fields(self.layout)?;
        let mut fields = fields
            .iter()
            .filter_map(|index| self.layout.fields.get(*index));
        let key = fields.next()?;
        if self.layout.object.primary_key.as_slice() != [key.column.name.as_str()] {
            return None;
        }
        let end = match key.kind {
            Kind::Text => collated("?", key),
            Kind::Integer => "CAST(? AS SIGNED)".to_owned(),
            Kind::Decimal
            | Kind::Float32
            | Kind::Float64
            | Kind::Boolean
            | Kind::Date
            | Kind::Time
            | Kind::Timestamp
            | Kind::Instant
            | Kind::Uuid
            | Kind::Json => return None,
        };
        let read: Vec<String> = std::iter::once(key).chain(fields).map(old).collect();
        Some(format!(
            "SELECT {} FROM {} AS o WHERE {} BETWEEN {end} AND {end} LIMIT {rows_max}",
            read.join(", "),
            self.object(),
            old(key)
        ))
    }

    /// Yields `position, rows, id` for records that have rows, all as text: as many lines as there
    /// are rows, at most `most`. Every field of the layout is key.
    pub(super) fn ids(&self, id: &LayoutField, most: usize) -> String {
        let joined = self.joined(Step::Lock);
        format!(
            "SELECT CAST(n AS CHAR), CAST(found AS CHAR), id FROM (SELECT j.n, {} AS id, \
             COUNT(*) OVER (PARTITION BY j.n) AS found, \
             ROW_NUMBER() OVER (PARTITION BY j.n ORDER BY {}) AS place FROM {joined}) AS hits \
             WHERE place <= {most} ORDER BY n, place",
            old_value(id),
            old(id)
        )
    }

    fn update(&self) -> String {
        let fields = self.fields().filter(|(_, field)| !field.key);
        let assignments: Vec<String> = fields
            .map(|(index, field)| format!("{} = {}", old(field), self.effective(index, field)))
            .collect();
        format!(
            "UPDATE {} SET {}",
            self.joined(Step::Update),
            assignments.join(", ")
        )
    }

    fn insert(&self) -> String {
        let columns: Vec<String> = self.fields().map(|(_, field)| quoted(field)).collect();
        let values: Vec<String> = self
            .fields()
            .map(|(index, field)| new(index, field))
            .collect();
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM {}",
            self.object(),
            columns.join(", "),
            values.join(", "),
            self.batch(Step::Insert)
        )
    }

    fn fields(&self) -> impl Iterator<Item = (usize, &'a LayoutField)> {
        self.layout.fields.iter().enumerate()
    }

    fn object(&self) -> String {
        Dialect::Mysql.quote_path(&self.layout.object.path)
    }

    /// The batch met with the object. With an index on the key each record is one lookup;
    /// `STRAIGHT_JOIN` keeps the optimizer, which guesses at the batch's size, from reading the
    /// object instead. Where no index is known of, the optimizer decides, for a view may have one
    /// beneath it. Without one the object is read once a statement, against a temporary table of
    /// the batch that the server indexes itself, and an update locks all it reads.
    fn joined(&self, step: Step) -> String {
        let (object, batch, matches) = (self.object(), self.batch(step), self.matches());
        if self.layout.key_is_indexed() {
            return format!("{batch} STRAIGHT_JOIN {object} AS o ON {matches}");
        }
        let converted = self
            .layout
            .numbered_key()
            .map(|(index, field)| format!(", {} AS k{index}", comparable(index, field)));
        let keys: String = converted.collect();
        // The limit, which no batch reaches, makes the server build the table instead of dissolving
        // it.
        format!(
            "{object} AS o JOIN (SELECT j.*{keys} FROM {batch} LIMIT 1000000000) AS j ON {matches}"
        )
    }

    /// The batch as a table.
    fn batch(&self, step: Step) -> String {
        let carried = self.carried(step);
        let columns: String = carried
            .iter()
            .filter_map(|index| Some((index, self.layout.fields.get(*index)?)))
            .map(|(index, field)| {
                let declared = batch_type(field);
                format!(", c{index} {declared} PATH '$.c{index}' NULL ON EMPTY ERROR ON ERROR")
            })
            .collect();
        format!("JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY{columns})) AS j")
    }

    /// A key is found by the column's own `=`, so that an index serves, and then held against the
    /// bytes: collations take `a` for `A` and `a ` for `a`.
    fn matches(&self) -> String {
        let indexed = self.layout.key_is_indexed();
        let alike = self
            .layout
            .numbered_key()
            .map(|(index, field)| match indexed {
                true => format!("{} = {}", old(field), comparable(index, field)),
                false => format!("{} = j.k{index}", old(field)),
            });
        let textual = self
            .layout
            .numbered_key()
            .filter(|(_, field)| is_text(field));
        let exact =
            textual.map(|(index, field)| format!("{} = {}", old_bytes(field), new_bytes(index)));
        alike.chain(exact).collect::<Vec<_>>().join(" AND ")
    }

    /// Whether writing a record would change its row: any field but stamps and keys.
    fn differs(&self) -> String {
        let compared = self.fields().filter(|(_, field)| field.is_compared());
        let distinct: Vec<String> = compared
            .map(|(index, field)| {
                let mut terms = self.conditions(index, field);
                terms.push(match (is_text(field), is_held_moment(field)) {
                    (true, _) => format!("NOT ({} <=> {})", old_bytes(field), new_bytes(index)),
                    (false, true) => format!(
                        "NOT (CAST({} AS BINARY) <=> {})",
                        old_value(field),
                        new_bytes(index)
                    ),
                    (false, false) => format!("NOT ({} <=> {})", old(field), new(index, field)),
                });
                format!("({})", terms.join(" AND "))
            })
            .collect();
        if distinct.is_empty() {
            "0".to_owned()
        } else {
            format!("({})", distinct.join(" OR "))
        }
    }

    /// What a field holds after an update.
    fn effective(&self, index: usize, field: &LayoutField) -> String {
        let conditions = self.conditions(index, field);
        if conditions.is_empty() {
            return new(index, field);
        }
        // Both branches in one collation, or the server would not know which to take.
        let kept = match is_text(field) {
            true => format!("CONVERT({} USING utf8mb4) COLLATE utf8mb4_bin", old(field)),
            false => old(field),
        };
        format!(
            "IF({}, {}, {kept})",
            conditions.join(" AND "),
            new(index, field)
        )
    }

    /// What must hold for a field to be written.
    fn conditions(&self, index: usize, field: &LayoutField) -> Vec<String> {
        let keeps = self
            .layout
            .keeps_null(field)
            .then(|| format!("j.c{index} IS NOT NULL"));
        let fills = match (field.when, is_text(field)) {
            (When::Always, _) => None,
            (When::IfEmpty, true) => Some(format!("({0} IS NULL OR LENGTH({0}) = 0)", old(field))),
            (When::IfEmpty, false) => Some(format!("{} IS NULL", old(field))),
        };
        keeps.into_iter().chain(fills).collect()
    }
}

/// What a field holds, as text that loses nothing.
fn old_value(field: &LayoutField) -> String {
    match field.column.holds {
        Holds::Text { .. } | Holds::Label(_) | Holds::Labels(_) => {
            format!("CONVERT({} USING utf8mb4)", old(field))
        }
        // As text a FLOAT shows six digits.
        Holds::Float { bits: 32 } => format!("CAST({} + 0E0 AS CHAR)", old(field)),
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
        | Holds::Unsupported => format!("CAST({} AS CHAR)", old(field)),
    }
}

/// Whether a field's values are dates or times as a row held them. A laxer mode lets in some that
/// no calendar has, such as `0000-00-00`: they stay text on their way and are held against the
/// row's own text.
fn is_held_moment(field: &LayoutField) -> bool {
    field.own_text
        && matches!(
            field.column.holds,
            Holds::Date | Holds::Time { .. } | Holds::Timestamp { .. } | Holds::Instant { .. }
        )
}

/// Statements that change a view as records will, to be prepared and never carried out: the
/// catalogue calls a view of two tables one that can be updated, and its columns may be of both.
pub(super) fn trials(layout: &Layout) -> Vec<String> {
    if layout.object.kind == ObjectKind::Table {
        return Vec::new();
    }
    let view = Dialect::Mysql.quote_path(&layout.object.path);
    let mut trials = Vec::new();
    let set: Vec<String> = layout
        .written_fields()
        .map(|field| format!("{0} = {0}", quoted(field)))
        .collect();
    if layout.mode.updates() && !set.is_empty() {
        trials.push(format!("UPDATE {view} SET {} WHERE FALSE", set.join(", ")));
    }
    if layout.mode.inserts() {
        let columns: Vec<String> = layout.fields.iter().map(quoted).collect();
        let values = vec!["?"; columns.len()].join(", ");
        let columns = columns.join(", ");
        trials.push(format!("INSERT INTO {view} ({columns}) VALUES ({values})"));
    }
    trials
}

fn quoted(field: &LayoutField) -> String {
    Dialect::Mysql.quote(&field.column.name)
}

fn old(field: &LayoutField) -> String {
    format!("o.{}", quoted(field))
}

/// MariaDB's JSON is text, and known by its collation; MySQL's is a type of its own that compares
/// by value.
fn is_text(field: &LayoutField) -> bool {
    match field.column.holds {
        Holds::Text { .. } | Holds::Label(_) | Holds::Labels(_) => true,
        Holds::Json => field.column.collation.is_some(),
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
        | Holds::Unsupported => false,
    }
}

fn old_bytes(field: &LayoutField) -> String {
    format!("CAST(CONVERT({} USING utf8mb4) AS BINARY)", old(field))
}

fn new_bytes(index: usize) -> String {
    format!("CAST(j.c{index} AS BINARY)")
}

/// A record's value, of the column's type.
fn new(index: usize, field: &LayoutField) -> String {
    match field.column.holds {
        Holds::Json if !is_text(field) => format!("CAST(j.c{index} AS JSON)"),
        Holds::Uuid => format!("CAST(j.c{index} AS UUID)"),
        Holds::Json
        | Holds::Text { .. }
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
        | Holds::Unsupported => format!("j.c{index}"),
    }
}

/// A record's key value in the column's character set and collation: only then does the column's
/// index serve.
fn comparable(index: usize, field: &LayoutField) -> String {
    match is_text(field) {
        false => new(index, field),
        true => collated(&new(index, field), field),
    }
}

/// A text in the column's character set and collation.
fn collated(text: &str, field: &LayoutField) -> String {
    let collation = field.column.collation.as_deref();
    match collation.filter(|name| is_plain(name)) {
        None => text.to_owned(),
        Some(collation) => match charset_of(collation) {
            "utf8mb4" => format!("{text} COLLATE {collation}"),
            charset => format!("CONVERT({text} USING {charset}) COLLATE {collation}"),
        },
    }
}

/// Names of collations cannot be quoted; the catalogue's consist of these characters.
fn is_plain(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The type a field's values have in the batch: the column's where it is exact, wider where a value
/// that does not fit must fail as it is written rather than as it is read.
fn batch_type(field: &LayoutField) -> String {
    const TEXT: &str = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
    match &field.column.holds {
        Holds::Text {
            limit: Some(TextLimit::Characters(characters)),
            ..
        } if field.key && *characters < KEY_CHARACTERS_MAX => {
            // One more than fits: what is longer must not be cut to a key that exists.
            format!("VARCHAR({}) {TEXT}", characters + 1)
        }
        Holds::Text { .. }
        | Holds::Label(_)
        | Holds::Labels(_)
        | Holds::Json
        | Holds::Unsupported => {
            format!("LONGTEXT {TEXT}")
        }
        _ if is_held_moment(field) => format!("LONGTEXT {TEXT}"),
        Holds::Uuid => format!("VARCHAR(37) {TEXT}"),
        Holds::Integer { max, .. } if *max > i128::from(i64::MAX) => "BIGINT UNSIGNED".to_owned(),
        Holds::Integer { .. } | Holds::Boolean => "BIGINT".to_owned(),
        Holds::Decimal {
            size: Some((precision, scale)),
        } => format!("DECIMAL({precision},{scale})"),
        Holds::Decimal { size: None } => "DECIMAL(65,30)".to_owned(),
        // Rounded as the column rounds, or equal values would seem to differ.
        Holds::DecimalAsFloat { .. } => rounded_float(&field.column.declared),
        Holds::Float { bits: 32 } => "FLOAT".to_owned(),
        Holds::Float { .. } => "DOUBLE".to_owned(),
        Holds::Date => "DATE".to_owned(),
        Holds::Time { .. } => "TIME(6)".to_owned(),
        Holds::Timestamp { .. } | Holds::Instant { .. } => "DATETIME(6)".to_owned(),
    }
}

/// Longest text key that is kept out of a `LONGTEXT`, which no temporary index takes.
const KEY_CHARACTERS_MAX: u64 = 1024;

/// `float(7,2) unsigned` without what follows the parenthesis.
fn rounded_float(declared: &str) -> String {
    let end = declared
        .find(')')
        .map_or(declared.len(), |parenthesis| parenthesis + 1);
    let sized = declared.get(..end).unwrap_or(declared);
    let plain = sized
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"(),".contains(&byte));
    if plain {
        sized.to_owned()
    } else {
        "DOUBLE".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::field::NullPolicy;
    use crate::domain::match_rule::MatchMode;
    use crate::domain::object::{Object, ObjectColumn, ObjectKind, Repertoire, RowLocks, Spelling};

    fn field(name: &str, holds: Holds, collation: Option<&str>) -> LayoutField {
        let kind = holds.kind().unwrap_or(Kind::Text);
        let column = ObjectColumn {
            loosely_compared: collation.is_some(),
            collation: collation.map(str::to_owned),
            ..ObjectColumn::plain(name, "", holds)
        };
        LayoutField::plain(column, kind)
    }

    fn layout(nulls: NullPolicy, indexed: bool, unique: bool) -> Layout {
        let characters = Some(TextLimit::Characters(18));
        let text = |limit| Holds::Text {
            limit,
            repertoire: Repertoire::Latin1,
        };
        let id = LayoutField {
            key: true,
            ..field("id", text(characters), Some("latin1_swedish_ci"))
        };
        let score = field("a`b", Holds::Decimal { size: Some((5, 2)) }, None);
        let risk = LayoutField {
            when: When::IfEmpty,
            ..field("risk", text(None), Some("utf8mb4_bin"))
        };
        let stamp = LayoutField {
            stamp: true,
            ..field("at", Holds::Instant { fraction_digits: 0 }, None)
        };
        let keys = |has: bool| {
            if has {
                vec![vec!["id".to_owned()]]
            } else {
                Vec::new()
            }
        };
        Layout {
            object: Object {
                path: vec!["crm".to_owned(), "accounts".to_owned()],
                spelling: Spelling {
                    quote: '`',
                    account: None,
                },
                kind: ObjectKind::Table,
                columns: Vec::new(),
                unique_keys: keys(unique),
                indexes: keys(indexed),
                may_enter: true,
                hides_columns: false,
                may_select: true,
                may_select_rows: true,
                locks: RowLocks::Each,
                primary_key: Vec::new(),
                followed: Vec::new(),
                obstacles: Vec::new(),
            },
            mode: MatchMode::UpdateOnly,
            only_where: Vec::new(),
            nulls,
            fields: vec![id, score, risk, stamp],
            key: vec![0],
        }
    }

    const ID_MATCHES: &str = "o.`id` = CONVERT(j.c0 USING latin1) COLLATE latin1_swedish_ci \
                              AND CAST(CONVERT(o.`id` USING utf8mb4) AS BINARY) = CAST(j.c0 AS BINARY)";

    #[test]
    fn a_look_up_leaves_stamps_alone_and_compares_texts_by_their_bytes() {
        let layout = layout(NullPolicy::Write, true, true);
        let text = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
        let expected = format!(
            "SELECT CAST(j.n AS CHAR), '1', CAST(((NOT (o.`a``b` <=> j.c1)) OR \
             ((o.`risk` IS NULL OR LENGTH(o.`risk`) = 0) AND \
             NOT (CAST(CONVERT(o.`risk` USING utf8mb4) AS BINARY) <=> CAST(j.c2 AS BINARY)))) AS CHAR) \
             FROM JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY, \
             c0 VARCHAR(19) {text} PATH '$.c0' NULL ON EMPTY ERROR ON ERROR, \
             c1 DECIMAL(5,2) PATH '$.c1' NULL ON EMPTY ERROR ON ERROR, \
             c2 LONGTEXT {text} PATH '$.c2' NULL ON EMPTY ERROR ON ERROR)) AS j \
             STRAIGHT_JOIN `crm`.`accounts` AS o ON {ID_MATCHES}"
        );
        assert_eq!(
            Statements::of(&layout).render(Step::LookUp {
                before: false,
                locks: false
            }),
            expected
        );
    }

    #[test]
    fn a_key_that_may_match_many_rows_is_counted() {
        let layout = layout(NullPolicy::Write, true, false);
        let sql = Statements::of(&layout).render(Step::LookUp {
            before: false,
            locks: false,
        });
        assert!(
            sql.starts_with("SELECT CAST(j.n AS CHAR), CAST(COUNT(*) AS CHAR), CAST(MAX("),
            "{sql}"
        );
        assert!(sql.ends_with(" GROUP BY j.n"), "{sql}");
    }

    #[test]
    fn old_values_are_read_from_the_row_itself_whatever_the_key() {
        for unique in [true, false] {
            for locks in [true, false] {
                let layout = layout(NullPolicy::Write, true, unique);
                let sql = Statements::of(&layout).render(Step::LookUp {
                    before: true,
                    locks,
                });
                assert!(
                    sql.starts_with("SELECT CAST(j.n AS CHAR), '1', CAST(("),
                    "{sql}"
                );
                assert!(sql.contains(", CAST(o.`a``b` AS CHAR), "), "{sql}");
                assert!(!sql.contains("GROUP BY"), "{sql}");
                assert_eq!(sql.ends_with(" FOR UPDATE"), locks, "{sql}");
            }
        }
    }

    #[test]
    fn an_update_writes_stamps_too_and_keeps_what_it_must() {
        let layout = layout(NullPolicy::Keep, true, true);
        let sql = Statements::of(&layout).render(Step::Update);
        let (_, assignments) = sql.split_once(" SET o").expect("assignments");
        assert_eq!(
            assignments,
            ".`a``b` = IF(j.c1 IS NOT NULL, j.c1, o.`a``b`), \
             o.`risk` = IF(j.c2 IS NOT NULL AND (o.`risk` IS NULL OR LENGTH(o.`risk`) = 0), j.c2, \
             CONVERT(o.`risk` USING utf8mb4) COLLATE utf8mb4_bin), \
             o.`at` = IF(j.c3 IS NOT NULL, j.c3, o.`at`)"
        );
    }

    #[test]
    fn without_an_index_the_batch_is_indexed_instead() {
        let layout = layout(NullPolicy::Write, false, false);
        let sql = Statements::of(&layout).render(Step::Update);
        assert!(
            sql.starts_with(
                "UPDATE `crm`.`accounts` AS o JOIN (SELECT j.*, CONVERT(j.c0 USING latin1)"
            ),
            "{sql}"
        );
        assert!(
            sql.contains("LIMIT 1000000000) AS j ON o.`id` = j.k0 AND "),
            "{sql}"
        );
    }

    #[test]
    fn an_insert_names_every_field() {
        let layout = layout(NullPolicy::Keep, true, true);
        let sql = Statements::of(&layout).render(Step::Insert);
        let start = "INSERT INTO `crm`.`accounts` (`id`, `a``b`, `risk`, `at`) SELECT j.c0, j.c1, j.c2, j.c3 FROM JSON_TABLE(?";
        assert!(sql.starts_with(start), "{sql}");
    }

    #[test]
    fn json_and_rounded_floats_meet_values_of_their_own_kind() {
        assert_eq!(new(1, &field("j", Holds::Json, None)), "CAST(j.c1 AS JSON)");
        assert_eq!(
            new(1, &field("j", Holds::Json, Some("utf8mb4_bin"))),
            "j.c1"
        );
        assert_eq!(rounded_float("float(7,2) unsigned"), "float(7,2)");
        assert_eq!(rounded_float("double; drop"), "DOUBLE");
    }
}
