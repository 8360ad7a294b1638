//! `[write_back.fields]` and `ignore`, met with the schema: every schema column goes to exactly one
//! place, and the unique identifier goes there as it is.

use std::cell::RefCell;

use super::document::{Table, Value, shown};
use super::labels::read_labels;
use super::names::{parse_column_name, parse_field_of_object, parse_path};
use super::ways::{own_name, read_way, way_of};
use super::words::word;
use crate::domain::condition::Condition;
use crate::domain::connection::ServiceKind;
use crate::domain::field::{Field, FieldValue, OnConflict, Unanswered, When};
use crate::domain::list::{List, ListMode};
use crate::domain::match_rule::MatchMode;
use crate::domain::method::{
    Label, Method, MethodCall, PhoneRule, Setting, SettingKind, Takes, Unreadable, region,
};
use crate::domain::object::{NamePart, ObjectName, resolve_name};
use crate::domain::problem::{Location, Problem, did_you_mean, nearest, quoted_list};
use crate::domain::real_time;
use crate::domain::reference::{FieldWay, NotFound, Reference};
use crate::domain::schema::Schema;
use crate::domain::template::Template;

pub(super) const FIELD_KEYS: &[&str] = &[
    "column",
    "columns",
    "string",
    "text",
    "id_of",
    "question",
    "unanswered",
    "method",
    "labels",
    "with",
    "region",
    "unreadable",
    "when",
    "on_conflict",
    "realtime",
    "refers_to",
    "only_where",
    "not_found",
    "reference",
    "shared_max",
    "list",
    "separator",
    "backwards",
];

/// Those that only a reference has.
const REFERENCE_KEYS: [&str; 4] = ["only_where", "not_found", "reference", "shared_max"];
const TEXT_HINT: &str =
    "columns stand in braces, with a default if they may be empty: `{column | \"default\"}`";
const FIELD_HINT: &str =
    "write a schema column's name, `{ string = \"…\" }` or `{ method = \"…\" }`";

/// Reads the fields of a write-back, those without a mistake; `None` if there are none at all.
/// Without a schema, which then has mistakes of its own, only their form is checked.
pub(super) fn read_fields(
    write_back: &Table<'_>,
    schema: Option<&Schema>,
    mode: Option<MatchMode>,
    excused: Excused<'_>,
) -> Option<Vec<Field>> {
    let mut reader = Reader {
        schema,
        uses: Vec::new(),
        excused: excused.column.into_iter().collect(),
        unused: excused.unused,
        step: excused.step,
        needs_key: !excused.key,
        questions: excused.questions,
        keeps_nulls: excused.keeps_nulls
            || excused.step.is_some()
            || mode.is_some_and(|mode| !mode.updates()),
    };
    let value = write_back.require(
        "fields",
        "add `[write_back.fields]` with `DESTINATION_COLUMN = \"schema_column\"`",
    );
    let table = value.and_then(|value| value.table("`fields`".to_owned()));
    let mut fields = Vec::new();
    for entry in table.iter().flat_map(Table::entries) {
        fields.extend(reader.field(entry));
    }
    for column in write_back
        .get("ignore")
        .and_then(|value| value.list())
        .unwrap_or_default()
    {
        reader.ignore(column);
    }
    let table = table?;
    if let Some(schema) = schema {
        reader.check_uses(schema, &table);
        if excused.step.is_none() && !excused.key {
            check_writes_something(schema, mode, &fields, &table);
        }
    }
    Some(fields)
}

/// What a field's right side says.
struct FieldRead {
    value: FieldValue,
    when: When,
    on_conflict: OnConflict,
    real_time: bool,
    way: Option<FieldWay>,
    clears_first: bool,
    reference: Option<Reference>,
    list: Option<List>,
}

/// Reads what a field of several members takes; `Some(None)` if it says nothing.
fn read_list(
    table: &Table<'_>,
    on_conflict: Option<OnConflict>,
    is_reference: bool,
) -> Option<Option<List>> {
    let words = [
        ("replace", ListMode::Replace),
        ("add", ListMode::Add),
        ("remove", ListMode::Remove),
    ];
    let Some(value) = table.get("list") else {
        if let Some(stray) = table.get("separator") {
            let hint = "add `list = \"replace\"`, `\"add\"` or `\"remove\"`".to_owned();
            stray.key_mistake("`separator` belongs to a `list`", Some(hint));
            return None;
        }
        return Some(None);
    };
    let separator = match table.get("separator") {
        None => Some(";"),
        Some(value) => value.text().filter(|text| {
            let is_there = !text.trim().is_empty();
            if !is_there {
                let hint = "write `separator = \",\"`, or leave it out for `;`".to_owned();
                value.mistake("`separator` is blank", Some(hint));
            }
            is_there
        }),
    };
    let mode = word(value, &words);
    if let (Some(stray), Some(_)) = (table.get("separator"), table.get("string")) {
        let hint = "write `;` between the members of the string".to_owned();
        stray.key_mistake("`separator` is of what the source tells", Some(hint));
        return None;
    }
    if is_reference {
        let hint = "a reference leads to one row; leave `list` out".to_owned();
        value.key_mistake("`list` is of no reference", Some(hint));
        return None;
    }
    let keeps_others = mode.is_some_and(ListMode::keeps_others);
    if let (true, Some(OnConflict::Keep), Some(conflict)) =
        (keeps_others, on_conflict, table.get("on_conflict"))
    {
        let hint = "leave `on_conflict` out: members that others set stay as they are".to_owned();
        conflict.key_mistake(
            "`on_conflict = \"keep\"` says nothing about a `list`",
            Some(hint),
        );
        return None;
    }
    Some(Some(List {
        mode: mode?,
        separator: separator?.to_owned(),
    }))
}

/// What a field says of the row that it names; `Some(None)` if it says nothing. That the field's
/// own name is a path is known only where it is met with its object.
fn read_reference(table: &Table<'_>, field: &str) -> Option<Option<Reference>> {
    let refers_to = table.get("refers_to");
    let is_path = !parse_path(field).is_empty();
    let words = [
        ("reject", NotFound::Reject),
        ("keep", NotFound::Keep),
        ("null", NotFound::Null),
    ];
    let not_found = table
        .get("not_found")
        .map_or(Some(NotFound::Reject), |value| word(value, &words));
    let only_where = table
        .get("only_where")
        .map_or(Some(Vec::new()), read_conditions);
    let stray = REFERENCE_KEYS.iter().find_map(|key| table.get(key));
    if let (Some(stray), None, false) = (stray, refers_to, is_path) {
        let message = format!("`{}` belongs to a reference", stray.key);
        let hint =
            "add `refers_to = \"Object.Field\"`, or name the field by its path: `\"Owner.Email\"`";
        stray.key_mistake(message, Some(hint.to_owned()));
        return None;
    }
    let named = match refers_to {
        None => None,
        Some(value) => {
            let (object, field) = field_of_object(value)?;
            Some((object, field, value.location()))
        }
    };
    let (not_found, only_where) = (not_found?, only_where?);
    let is_one = named.is_some() || stray.is_some();
    Some(is_one.then_some(Reference {
        refers_to: named,
        only_where,
        not_found,
    }))
}

fn field_of_object(value: Value<'_>) -> Option<(ObjectName, NamePart)> {
    let text = value.text()?;
    match parse_field_of_object(text) {
        Ok(named) => Some(named),
        Err(why) => {
            let message = format!("`refers_to` is {}: {why}", shown(text));
            let hint =
                "write `refers_to = \"User.Email\"`: an object, and the field that holds the value";
            value.mistake(message, Some(hint.to_owned()));
            None
        }
    }
}

/// Reads an `only_where`: columns with the values of which rows hold one.
pub(super) fn read_conditions(value: Value<'_>) -> Option<Vec<Condition>> {
    let table = value.table("`only_where`".to_owned())?;
    let conditions: Option<Vec<Condition>> = table.entries().map(read_condition).collect();
    if conditions.as_ref().is_some_and(Vec::is_empty) {
        value.mistake(
            "`only_where` names no column",
            Some("write `only_where = { Type = \"Customer\" }`, or leave it out".to_owned()),
        );
        return None;
    }
    conditions
}

fn read_condition(entry: Value<'_>) -> Option<Condition> {
    let column = parse_column_name(entry.key);
    if let Err(why) = &column {
        let message = format!(
            "`{}` is not a column's name: {why}",
            entry.key.escape_debug()
        );
        entry.key_mistake(message, None);
    }
    let text = |value: &Value<'_>| match value.is_text() {
        true => value.text().map(str::to_owned),
        false => value.number_or_boolean(),
    };
    let values: Option<Vec<String>> = entry.one_or_list().iter().map(text).collect();
    let values = values?;
    if values.is_empty() {
        let hint = "write `Type = [\"Customer\", \"Partner\"]`";
        entry.mistake(
            format!("`{}` of `only_where` names no value", entry.key),
            Some(hint.to_owned()),
        );
        return None;
    }
    Some(Condition {
        column: column.ok()?,
        values,
        location: entry.key_location(),
    })
}

/// Schema columns that may go nowhere.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Excused<'a> {
    /// The one that tells whose a record is.
    pub(super) column: Option<usize>,
    /// All but the key: an agency took fields out, and what the base forgot is told of the base.
    pub(super) unused: bool,
    /// The write-back's questions, of which fields may take the answers.
    pub(super) questions: Option<&'a Asking>,
    /// Whether a NULL of the source leaves a row's value as it is.
    pub(super) keeps_nulls: bool,
    /// All, for the fields are those of a step, which takes what it needs.
    pub(super) step: Option<StepFields<'a>>,
    /// The key, for rows are found by other fields.
    pub(super) key: bool,
}

/// The ids of questions that fields take, in the order in which they are met.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// How many columns the schema has: answers stand after them.
    pub(super) columns: usize,
    pub(super) asked: RefCell<Vec<(String, Location)>>,
}

impl Asking {
    /// The position of a question's answers among the columns of records.
    fn position(&self, question: &str, location: Location) -> usize {
        let mut asked = self.asked.borrow_mut();
        let known = asked.iter().position(|(known, _)| known == question);
        let place = known.unwrap_or_else(|| {
            asked.push((question.to_owned(), location));
            asked.len() - 1
        });
        self.columns + place
    }
}

/// A step that fields are of.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepFields<'a> {
    /// The write-back's name.
    pub(super) of: &'a str,
    /// Names of the steps before it.
    pub(super) earlier: &'a [String],
}

impl StepFields<'_> {
    /// The name of the write-back that another step of the same is.
    pub(super) fn write_back(of: &str, step: &str) -> String {
        format!("{of}.{step}")
    }
}

/// Reads values that are written as fields have them, but stand elsewhere: those without a mistake,
/// with the keys they stand under.
pub(super) fn read_values<'a>(
    values: impl Iterator<Item = Value<'a>>,
    schema: Option<&Schema>,
) -> Vec<(Value<'a>, FieldValue)> {
    let mut reader = Reader {
        schema,
        uses: Vec::new(),
        excused: Vec::new(),
        unused: true,
        step: None,
        needs_key: false,
        questions: None,
        keeps_nulls: false,
    };
    values
        .filter_map(|value| Some((value, reader.standing(value)?)))
        .collect()
}

/// A place that a schema column goes to.
#[derive(Debug, Clone)]
struct Use {
    /// Position of the schema column.
    column: usize,
    how: How,
    /// The field's name.
    field: String,
    location: Location,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Directly,
    /// With a `when`.
    Conditionally,
    ThroughMethod,
    /// Beside whatever else the column goes to.
    Shared,
    /// As a row of another object.
    ThroughReference,
    Ignored,
}

struct Reader<'a> {
    schema: Option<&'a Schema>,
    uses: Vec<Use>,
    /// Columns that a mistake elsewhere explains: that they go nowhere is not told again.
    excused: Vec<usize>,
    /// Whether columns may go nowhere.
    unused: bool,
    step: Option<StepFields<'a>>,
    /// Whether records are matched on the schema's key.
    needs_key: bool,
    questions: Option<&'a Asking>,
    /// Whether a NULL leaves a row's value as it is.
    keeps_nulls: bool,
}

impl Reader<'_> {
    fn field(&mut self, entry: Value<'_>) -> Option<Field> {
        let column = match parse_column_name(entry.key) {
            Ok(column) => Some(column),
            Err(why) => {
                let message = format!(
                    "`{}` is not a column's name: {why}",
                    entry.key.escape_debug()
                );
                entry.key_mistake(message, None);
                None
            }
        };
        let read = self.value(entry);
        if read.is_none() {
            self.excuse_mentioned(entry);
        }
        let FieldRead {
            value,
            when,
            on_conflict,
            real_time,
            way,
            clears_first,
            reference,
            list,
        } = read?;
        let (column, path) = match &way {
            None => (column?, parse_path(entry.key)),
            Some(way) => own_name(entry.key, way)?,
        };
        Some(Field {
            column,
            path,
            way,
            value,
            when,
            on_conflict,
            real_time,
            clears_first,
            reference,
            list,
            location: entry.key_location(),
        })
    }

    fn value(&mut self, entry: Value<'_>) -> Option<FieldRead> {
        if entry.is_text() {
            let way = way_of(entry.key);
            let how = match way {
                None => How::Directly,
                Some(_) => How::ThroughReference,
            };
            let column = self.use_column(entry, entry.key, how)?;
            return Some(FieldRead {
                value: FieldValue::Column(column),
                when: When::Always,
                on_conflict: OnConflict::Overwrite,
                real_time: false,
                way,
                clears_first: false,
                reference: None,
                list: None,
            });
        }
        if !entry.is_table() {
            entry.mistake(
                format!("field `{}` names no value", entry.key),
                Some(FIELD_HINT.to_owned()),
            );
            return None;
        }
        let table = entry.table(format!("field `{}`", entry.key))?;
        table.expect_keys(FIELD_KEYS);
        let whens = [("always", When::Always), ("if_empty", When::IfEmpty)];
        let when = table
            .get("when")
            .map_or(Some(When::Always), |value| word(value, &whens));
        let words = [
            ("overwrite", OnConflict::Overwrite),
            ("keep", OnConflict::Keep),
        ];
        let on_conflict = table
            .get("on_conflict")
            .map_or(Some(OnConflict::Overwrite), |value| word(value, &words));
        let real_time = table
            .get("realtime")
            .map_or(Some(false), |value| value.boolean());
        let backwards = [("reject", false), ("clear_first", true)];
        let clears_first = table
            .get("backwards")
            .map_or(Some(false), |value| word(value, &backwards));
        let led = read_reference(&table, entry.key)
            .and_then(|reference| read_way(&table, entry.key, reference));
        let is_reference = matches!(&led, Some((_, Some(_))));
        let list = read_list(&table, on_conflict, is_reference);
        let value = self.inline_value(&table, entry.key, when);
        let (way, reference) = led?;
        Some(FieldRead {
            value: value?,
            when: when?,
            on_conflict: on_conflict?,
            real_time: real_time?,
            clears_first: clears_first?,
            way,
            reference,
            list: list?,
        })
    }

    fn inline_value(
        &mut self,
        table: &Table<'_>,
        field: &str,
        when: Option<When>,
    ) -> Option<FieldValue> {
        if let (Some(labels), None) = (table.get("labels"), table.get("method")) {
            let hint = "add `method = \"label\"`".to_owned();
            labels.key_mistake("`labels` belongs to the method `label`", Some(hint));
        }
        if let Some(step) = table.get("id_of") {
            return self.id_of(table, step);
        }
        if let Some(question) = table.get("question") {
            return self.answer(table, question);
        }
        if let Some(unanswered) = table.get("unanswered") {
            let hint = "add `question = \"ID\"`".to_owned();
            unanswered.key_mistake("`unanswered` belongs to a question", Some(hint));
        }
        if let (Some(columns), None) = (table.get("columns"), table.get("method")) {
            let hint = "add `method = \"join\"` or `method = \"first_of\"`".to_owned();
            columns.key_mistake("`columns` belongs to a method", Some(hint));
            return None;
        }
        match (
            table.get("method"),
            table.get("string").or(table.get("text")),
            table.get("column"),
        ) {
            (Some(method), None, column) => self
                .method(table, field, method, column)
                .map(FieldValue::Method),
            (None, Some(string), None) if table.get("string").is_some() => string
                .text()
                .map(|text| FieldValue::String(text.to_owned())),
            (None, Some(text), None) => self.text(text, field),
            (None, None, Some(column)) => {
                let is_of_another = table.get("refers_to").or(table.get("reference")).is_some();
                let how = if is_of_another || way_of(field).is_some() {
                    How::ThroughReference
                } else if when == Some(When::IfEmpty) {
                    How::Conditionally
                } else {
                    How::Directly
                };
                self.use_column(column, field, how).map(FieldValue::Column)
            }
            (None, None, None)
                if !["method", "string", "text", "column"]
                    .iter()
                    .all(|key| table.lacks(key)) =>
            {
                None
            }
            (None, None, None) => {
                table.mistake(
                    format!("field `{field}` names no value"),
                    Some(FIELD_HINT.to_owned()),
                );
                None
            }
            _ => {
                table.mistake(
                    format!("field `{field}` names more than one value"),
                    Some(FIELD_HINT.to_owned()),
                );
                None
            }
        }
    }

    /// The answer to a question.
    fn answer(&self, table: &Table<'_>, value: Value<'_>) -> Option<FieldValue> {
        let question = value.text()?;
        let others = ["column", "columns", "string", "text", "method", "id_of"];
        if let Some(other) = others.into_iter().find_map(|key| table.get(key)) {
            other.key_mistake("a field names one value", Some(FIELD_HINT.to_owned()));
            return None;
        }
        let Some(questions) = self.questions else {
            let hint = "name the file of their schema: `questions = \"sql/NAME.sql\"`".to_owned();
            value.mistake("the write-back has no questions", Some(hint));
            return None;
        };
        let unanswered = match table.get("unanswered") {
            None => {
                let hint = "write `unanswered = \"skip\"`, `\"empty\"`, `\"reject\"` or `{ string = \"…\" }`";
                let message = format!(
                    "question {} does not say what becomes of a record that answers it not",
                    shown(question)
                );
                value.mistake(message, Some(hint.to_owned()));
                return None;
            }
            Some(value) if value.is_table() => {
                let table = value.table("`unanswered`".to_owned())?;
                table.expect_keys(&["string"]);
                let (_, text) = table.require_text("string", "write `{ string = \"…\" }`")?;
                Unanswered::Text(text.to_owned())
            }
            Some(value) => match value.text()? {
                "skip" => Unanswered::Skip,
                "empty" => Unanswered::Empty,
                _ => word(value, &[("skip", ()), ("empty", ()), ("reject", ())])
                    .map(|()| Unanswered::Reject)?,
            },
        };
        if unanswered == Unanswered::Skip && !self.keeps_nulls {
            let hint =
                "set `nulls = \"keep\"` on the write-back, or write `unanswered = \"empty\"`";
            let message =
                "`unanswered = \"skip\"` would take a row's value away: NULLs are written";
            value.mistake(message, Some(hint.to_owned()));
            return None;
        }
        Some(FieldValue::Answer {
            column: questions.position(question, value.location()),
            unanswered,
        })
    }

    /// The id of the row of an earlier step.
    fn id_of(&self, table: &Table<'_>, value: Value<'_>) -> Option<FieldValue> {
        let name = value.text()?;
        let others = ["column", "columns", "string", "text", "method"];
        if let Some(other) = others.into_iter().find_map(|key| table.get(key)) {
            other.key_mistake("a field names one value", Some(FIELD_HINT.to_owned()));
            return None;
        }
        let earlier = self.step.map_or(&[][..], |step| step.earlier);
        match self
            .step
            .filter(|_| earlier.iter().any(|step| step == name))
        {
            Some(step) => Some(FieldValue::IdOf(StepFields::write_back(step.of, name))),
            None => {
                let names = || earlier.iter().map(String::as_str);
                let hint = did_you_mean(name, names()).unwrap_or_else(|| match earlier {
                    [] => "`id_of` names a step before this one".to_owned(),
                    _ => format!("steps before this one are {}", quoted_list(names())),
                });
                value.mistake(
                    format!("there is no earlier step {}", shown(name)),
                    Some(hint),
                );
                None
            }
        }
    }

    /// A text with columns in braces.
    fn text(&mut self, value: Value<'_>, field: &str) -> Option<FieldValue> {
        let template = Template::parse(value.text()?);
        let template = template
            .map_err(|why| value.mistake(why, Some(TEXT_HINT.to_owned())))
            .ok()?;
        let columns: Vec<Option<usize>> = template
            .columns()
            .map(|name| self.use_named(value, name, field, How::Shared))
            .collect();
        let columns = columns.into_iter().collect::<Option<Vec<usize>>>()?;
        Some(FieldValue::Text { template, columns })
    }

    fn method(
        &mut self,
        table: &Table<'_>,
        field: &str,
        value: Value<'_>,
        column: Option<Value<'_>>,
    ) -> Option<MethodCall> {
        let method = known_method(value);
        let how = match method.is_some_and(Method::shares_columns) {
            true => How::Shared,
            false => How::ThroughMethod,
        };
        let position = column.map(|column| self.use_column(column, field, how));
        let method = method?;
        let setting = setting_of(method, table, value);
        let columns = match method.takes() {
            Takes::Nothing | Takes::Column => self.column_of(method, table, column, position)?,
            Takes::Columns => self.columns_of(method, table, column, field)?,
        };
        Some(MethodCall {
            method,
            columns,
            setting: setting?,
        })
    }

    /// The column of a method that takes one or none.
    fn column_of(
        &self,
        method: Method,
        table: &Table<'_>,
        column: Option<Value<'_>>,
        position: Option<Option<usize>>,
    ) -> Option<Vec<usize>> {
        if let Some(columns) = table.get("columns") {
            let hint = method
                .takes_column()
                .then(|| "write `column = \"schema_column\"`".to_owned());
            let message = format!("method `{}` takes no `columns`", method.name());
            columns.key_mistake(message, hint);
            return None;
        }
        match (method.takes_column(), column) {
            (true, None) => {
                let hint = "write `column = \"schema_column\"`".to_owned();
                table.mistake(
                    format!("method `{}` needs a `column`", method.name()),
                    Some(hint),
                );
                None
            }
            (false, Some(column)) => {
                column.key_mistake(format!("method `{}` takes no column", method.name()), None);
                Some(Vec::new())
            }
            (true, Some(column)) => {
                let position = position.flatten();
                self.check_type(method, column, position)?;
                Some(vec![position?])
            }
            (false, None) => Some(Vec::new()),
        }
    }

    /// The columns of a method that takes several.
    fn columns_of(
        &mut self,
        method: Method,
        table: &Table<'_>,
        column: Option<Value<'_>>,
        field: &str,
    ) -> Option<Vec<usize>> {
        let hint = || Some("write `columns = [\"first\", \"second\"]`".to_owned());
        if let Some(column) = column {
            let message = format!("method `{}` takes several columns", method.name());
            column.key_mistake(message, hint());
            return None;
        }
        let Some(value) = table.get("columns") else {
            table.mistake(
                format!("method `{}` needs `columns`", method.name()),
                hint(),
            );
            return None;
        };
        let elements = value.list()?;
        if elements.len() < 2 {
            let message = format!("method `{}` takes two columns or more", method.name());
            value.mistake(message, hint());
            return None;
        }
        let positions: Vec<Option<usize>> = elements
            .iter()
            .map(|element| self.use_column(*element, field, How::Shared))
            .collect();
        let positions = positions.into_iter().collect::<Option<Vec<usize>>>()?;
        let types = positions
            .iter()
            .filter_map(|position| Some(self.schema?.columns.get(*position)?.column_type));
        if let Err(why) = method.result_type(&types.collect::<Vec<_>>()) {
            value.mistake(why, None);
            return None;
        }
        Some(positions)
    }

    /// Notes a column whose type the method does not take.
    fn check_type(&self, method: Method, value: Value<'_>, position: Option<usize>) -> Option<()> {
        let column = self
            .schema
            .zip(position)
            .and_then(|(schema, position)| schema.columns.get(position));
        let Some(column) = column else {
            return Some(());
        };
        let why = method.result_type(&[column.column_type]).err();
        if let Some(why) = &why {
            let message = format!(
                "`{}` is {}, which method `{}` does not take",
                column.name,
                column.column_type,
                method.name()
            );
            value.mistake(message, Some(why.clone()));
        }
        why.is_none().then_some(())
    }

    fn ignore(&mut self, value: Value<'_>) {
        self.use_column(value, "ignore", How::Ignored);
    }

    /// The position of the schema column that a value names, noted as used.
    fn use_column(&mut self, value: Value<'_>, field: &str, how: How) -> Option<usize> {
        self.use_named(value, value.text()?, field, how)
    }

    /// The position of the schema column of this name, which stands in a value, noted as used.
    fn use_named(&mut self, value: Value<'_>, name: &str, field: &str, how: How) -> Option<usize> {
        let schema = self.schema?;
        let names = || schema.columns.iter().map(|column| column.name.as_str());
        let wanted = NamePart {
            text: name.to_owned(),
            quoted: false,
        };
        let Ok(found) = resolve_name(&wanted, names()) else {
            let hint = did_you_mean(name, names())
                .unwrap_or_else(|| format!("columns are {}", quoted_list(names())));
            value.mistake(
                format!("schema `{}` has no column {}", schema.file, shown(name)),
                Some(hint),
            );
            self.excused
                .extend(nearest(name, names()).and_then(|meant| schema.position(meant)));
            return None;
        };
        let column = schema.position(found)?;
        self.uses.push(Use {
            column,
            how,
            field: field.to_owned(),
            location: value.location(),
        });
        Some(column)
    }

    /// A value that is written as fields have it, but stands elsewhere.
    fn standing(&mut self, value: Value<'_>) -> Option<FieldValue> {
        self.value(value).map(|read| read.value)
    }

    /// A field that could not be read may still mention a column.
    fn excuse_mentioned(&mut self, entry: Value<'_>) {
        let table = entry
            .is_table()
            .then(|| entry.table(String::new()))
            .flatten();
        let texts = table
            .iter()
            .flat_map(Table::entries)
            .filter(Value::is_text)
            .filter_map(|value| value.text());
        let mentioned =
            texts.filter_map(|text| self.schema.and_then(|schema| schema.position(text)));
        self.excused.extend(mentioned.collect::<Vec<_>>());
    }

    fn check_uses(&self, schema: &Schema, fields: &Table<'_>) {
        for (position, column) in schema.columns.iter().enumerate() {
            let of_column = self.uses.iter().filter(|usage| usage.column == position);
            let (shared, uses): (Vec<&Use>, Vec<&Use>) =
                of_column.partition(|usage| usage.how == How::Shared);
            let tells = schema.key.contains(&position);
            let key = tells && self.needs_key;
            match uses.as_slice() {
                [] if self.step.is_some() || self.excused.contains(&position) => {}
                // People know the record by it.
                [] if tells && !key => {}
                [] if !key && (self.unused || !shared.is_empty()) => {}
                [] if key => {
                    let message = format!("the unique identifier `{}` goes nowhere", column.name);
                    let hint = "give it a field: it is what records are matched on".to_owned();
                    fields.mistake(message, Some(hint));
                }
                [] => {
                    let message = format!("schema column `{}` goes nowhere", column.name);
                    fields.mistake(
                        message,
                        Some("give it a field or name it in `ignore`".to_owned()),
                    );
                }
                [first, more @ ..] => {
                    more.iter()
                        .for_each(|usage| report_second_use(&column.name, first, usage, fields));
                    if key && self.step.is_none() {
                        report_key_use(&column.name, first, fields);
                    }
                }
            }
        }
    }
}

fn report_second_use(column: &str, first: &Use, second: &Use, fields: &Table<'_>) {
    let place = |usage: &Use| match usage.how {
        How::Ignored => "`ignore`".to_owned(),
        How::Directly
        | How::Conditionally
        | How::ThroughMethod
        | How::ThroughReference
        | How::Shared => {
            format!("field `{}`", usage.field)
        }
    };
    let message = match (first.how, second.how) {
        (How::Ignored, How::Ignored) => format!("schema column `{column}` is ignored twice"),
        _ => format!(
            "schema column `{column}` goes to {} and to {}",
            place(first),
            place(second)
        ),
    };
    let hint = format!(
        "a column goes to one place; the first is in line {}",
        first.location.line
    );
    let problem = Problem::mistake(second.location.clone(), message).hint(hint);
    fields.document.note(problem);
}

fn report_key_use(column: &str, usage: &Use, fields: &Table<'_>) {
    let (message, hint) = match usage.how {
        How::Directly | How::Shared => return,
        How::Conditionally => (
            "has a `when`",
            "leave `when` out: records are matched on it",
        ),
        How::ThroughMethod => (
            "goes through a method",
            "name the column itself: records are matched on it",
        ),
        How::ThroughReference => (
            "is looked up in another object",
            "leave `refers_to` out: records are matched on it",
        ),
        How::Ignored => (
            "is ignored",
            "give it a field: it is what records are matched on",
        ),
    };
    let message = format!("the unique identifier `{column}` {message}");
    let problem = Problem::mistake(usage.location.clone(), message).hint(hint);
    fields.document.note(problem);
}

fn check_writes_something(
    schema: &Schema,
    mode: Option<MatchMode>,
    fields: &[Field],
    table: &Table<'_>,
) {
    let is_key = |field: &Field| matches!(&field.value, FieldValue::Column(column) if schema.key.contains(column));
    let all_keys =
        !fields.is_empty() && fields.len() == table.entries().count() && fields.iter().all(is_key);
    if all_keys && mode == Some(MatchMode::UpdateOnly) {
        let hint = "add the fields to update".to_owned();
        table.mistake(
            "the write-back has no field but its key, so it would write nothing".to_owned(),
            Some(hint),
        );
    }
}

/// Says where keeping what someone else changed can have no effect, or no means.
pub(super) fn check_conflicts(
    write_back: &Table<'_>,
    schema: Option<&Schema>,
    mode: MatchMode,
    keeps_before_images: bool,
    fields: &[Field],
) {
    let note = |field: &Field, told: (String, &str)| {
        write_back
            .document
            .note(Problem::mistake(field.location.clone(), told.0).hint(told.1));
    };
    for field in fields
        .iter()
        .filter(|field| field.on_conflict == OnConflict::Keep)
    {
        let name = &field.column.text;
        match &field.value {
            FieldValue::Column(column)
                if schema.is_some_and(|schema| schema.key.contains(column)) =>
            {
                let message =
                    format!("the unique identifier `{name}` has `on_conflict = \"keep\"`");
                note(
                    field,
                    (
                        message,
                        "leave `on_conflict` out: records are matched on it, and it is never updated",
                    ),
                );
            }
            FieldValue::Method(call) if !call.method.takes_column() => {
                let message = format!("the stamp `{name}` has `on_conflict = \"keep\"`");
                note(
                    field,
                    (
                        message,
                        "leave `on_conflict` out: a stamp tells of the write it goes along with",
                    ),
                );
            }
            FieldValue::Column(_)
            | FieldValue::Method(_)
            | FieldValue::String(_)
            | FieldValue::Text { .. }
            | FieldValue::Answer { .. }
            | FieldValue::IdOf(_)
            | FieldValue::About
            | FieldValue::Marker(_)
                if !keeps_before_images =>
            {
                let message = format!(
                    "`{name}` has `on_conflict = \"keep\"` and `keep_before_images` is `false`"
                );
                note(
                    field,
                    (
                        message,
                        "keep them: what was last written back is known from before-images alone",
                    ),
                );
            }
            FieldValue::Column(_)
            | FieldValue::Method(_)
            | FieldValue::String(_)
            | FieldValue::Text { .. }
            | FieldValue::Answer { .. }
            | FieldValue::IdOf(_)
            | FieldValue::About
            | FieldValue::Marker(_)
                if !mode.updates() =>
            {
                let message = format!(
                    "`on_conflict = \"keep\"` of `{name}` has no effect with `matching = \"{}\"`",
                    mode.name()
                );
                let warning = Problem::warning(field.location.clone(), message);
                write_back
                    .document
                    .note(warning.hint("leave it out: no row is ever updated"));
            }
            FieldValue::Column(_)
            | FieldValue::Method(_)
            | FieldValue::String(_)
            | FieldValue::Text { .. }
            | FieldValue::Answer { .. }
            | FieldValue::IdOf(_)
            | FieldValue::About
            | FieldValue::Marker(_) => {}
        }
    }
}

/// Notes fields that are switched to real time and cannot be.
pub(super) fn check_real_time(
    write_back: &Table<'_>,
    key: &[usize],
    mode: MatchMode,
    fields: &[Field],
) {
    for field in fields.iter().filter(|field| field.real_time) {
        if let Some(why) = real_time::obstacle(field, key, mode) {
            let name = &field.column.text;
            let message = format!("`{name}` cannot be written in real time: {}", why.words());
            let mistake = Problem::mistake(field.location.clone(), message);
            write_back.document.note(mistake.hint(why.hint()));
        }
    }
}

/// The field of HubSpot that only goes forward.
/// Source: <https://developers.hubspot.com/docs/api-reference/crm-properties-v3/guide>.
const FORWARD_ONLY: &str = "lifecyclestage";

/// Notes fields that are emptied before they go back, and go anywhere as they are.
pub(super) fn check_backwards(
    write_back: &Table<'_>,
    service: Option<ServiceKind>,
    fields: &[Field],
) {
    let only_goes_forward =
        |field: &Field| service == Some(ServiceKind::HubSpot) && field.column.text == FORWARD_ONLY;
    let strays = fields
        .iter()
        .filter(|field| field.clears_first && !only_goes_forward(field));
    for field in strays {
        let name = &field.column.text;
        let message = format!("`backwards` of `{name}` means nothing: it goes back as it is");
        let hint = format!("leave it out; it is for `{FORWARD_ONLY}` of HubSpot");
        let mistake = Problem::mistake(field.location.clone(), message);
        write_back.document.note(mistake.hint(hint));
    }
}

fn known_method(value: Value<'_>) -> Option<Method> {
    let name = value.text()?;
    let method = Method::ALL.into_iter().find(|method| method.name() == name);
    if method.is_none() {
        let names = || Method::ALL.into_iter().map(Method::name);
        let hint = did_you_mean(name, names())
            .unwrap_or_else(|| "`writeback methods` lists them".to_owned());
        value.mistake(format!("there is no method {}", shown(name)), Some(hint));
    }
    method
}

/// What else a field tells its method.
fn setting_of(method: Method, table: &Table<'_>, at: Value<'_>) -> Option<Setting> {
    let kind = method.setting();
    let others = SettingKind::ALL.into_iter().filter(|other| *other != kind);
    let foreign = others.flat_map(SettingKind::keys);
    let foreign: Vec<Value<'_>> = foreign.filter_map(|key| table.get(key)).collect();
    for value in &foreign {
        let message = format!("method `{}` takes no `{}`", method.name(), value.key);
        value.key_mistake(message, None);
    }
    if !foreign.is_empty() {
        return None;
    }
    match kind {
        SettingKind::Nothing => Some(Setting::Nothing),
        SettingKind::Labels => labels_of(table, at).map(Setting::Labels),
        SettingKind::Phone => phone_rule(table).map(Setting::Phone),
        SettingKind::With => match table.get("with") {
            Some(with) => with.text().map(|with| Setting::With(with.to_owned())),
            None => Some(Setting::Nothing),
        },
    }
}

/// The labels of a method `label`.
fn labels_of(table: &Table<'_>, at: Value<'_>) -> Option<Vec<Label>> {
    let Some(labels) = table.get("labels") else {
        let hint =
            "write `labels = [{ below = 40, label = \"low\" }, { label = \"high\" }]`".to_owned();
        at.mistake("method `label` needs `labels`", Some(hint));
        return None;
    };
    read_labels(labels)
}

/// How a method `phone` reads numbers.
fn phone_rule(table: &Table<'_>) -> Option<PhoneRule> {
    let words = [
        ("reject", Unreadable::Reject),
        ("keep", Unreadable::Keep),
        ("empty", Unreadable::Empty),
    ];
    let unreadable = table
        .get("unreadable")
        .map_or(Some(Unreadable::default()), |value| word(value, &words));
    let region = match table.get("region") {
        None => Some(None),
        Some(value) => known_region(value).map(Some),
    };
    Some(PhoneRule {
        region: region?,
        unreadable: unreadable?,
    })
}

fn known_region(value: Value<'_>) -> Option<phonenumber::country::Id> {
    let letters = value.text()?;
    let known = region(letters);
    if known.is_none() {
        let hint = "write the two letters of a country, such as \"US\" or \"DE\"".to_owned();
        value.mistake(format!("there is no region {}", shown(letters)), Some(hint));
    }
    known
}
