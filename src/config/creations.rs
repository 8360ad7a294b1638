//! `[[write_back.steps]]` and `[write_back.note]`: what makes rows of which each is there once.

use super::connections::{NoteTerms, note_terms};
use super::document::{Table, Value, shown};
use super::fields::{Excused, StepFields, read_fields, read_values};
use super::names::{PLAIN_NAME_HINT, is_plain_name, parse_column_name};
use super::words::{table_name, word};
use super::write_back::{Common, Own};
use crate::domain::compare::Compare;
use crate::domain::connection::ServiceKind;
use crate::domain::dependent::ReadBack;
use crate::domain::field::{Field, FieldValue, NoteMarker, OnConflict, When};
use crate::domain::job::{About, Creation, WriteBack};
use crate::domain::match_rule::MatchMode;
use crate::domain::method::{Method, MethodCall, Setting};
use crate::domain::object::{NamePart, ObjectName};
use crate::domain::problem::{Problem, did_you_mean, quoted_list};
use crate::domain::schema::Schema;
use crate::domain::template::Template;

/// The keys of a write-back that its steps have for themselves.
const STEPS_OWN: [&str; 4] = ["table", "fields", "matching", "canary"];

pub(super) const STEP_KEYS: &[&str] = &["name", "table", "matching", "exists_by", "id", "fields"];

/// Reads the steps of a write-back, those without a mistake. Each becomes a write-back of its own.
pub(super) fn read_steps(
    common: &Common,
    table: &Table<'_>,
    steps: Value<'_>,
    _job: &str,
) -> Vec<WriteBack> {
    for value in STEPS_OWN.into_iter().filter_map(|key| table.get(key)) {
        let message = format!("`{}` means nothing beside `steps`", value.key);
        value.key_mistake(message, Some("each step says it for itself".to_owned()));
    }
    let elements = steps.list().unwrap_or_default();
    if elements.is_empty() {
        let hint = "write `[[write_back.steps]]` for each object that is made".to_owned();
        steps.mistake("the write-back has no step", Some(hint));
    }
    let mut earlier: Vec<String> = Vec::new();
    let mut read = Vec::new();
    for element in elements {
        let Some(step) = element.table("a step".to_owned()) else {
            continue;
        };
        let name = step_name(&step, &earlier);
        read.extend(read_step(common, &step, name.as_deref(), &earlier));
        earlier.extend(name);
    }
    if let Some(schema) = &common.schema {
        check_unused(common, table, schema, &read);
    }
    read
}

fn step_name(step: &Table<'_>, earlier: &[String]) -> Option<String> {
    let (value, name) = step.require_text("name", "name the step, once in the write-back")?;
    if !is_plain_name(name) || name.contains('.') {
        let message = format!("{} cannot be a step's name", shown(name));
        value.mistake(message, Some(PLAIN_NAME_HINT.to_owned()));
        return None;
    }
    if earlier.iter().any(|taken| taken == name) {
        let message = format!("there are two steps `{name}`");
        value.mistake(message, Some("give each its own name".to_owned()));
        return None;
    }
    Some(name.to_owned())
}

fn read_step(
    common: &Common,
    step: &Table<'_>,
    name: Option<&str>,
    earlier: &[String],
) -> Option<WriteBack> {
    step.expect_keys(STEP_KEYS);
    if let Some(matching) = step.get("matching") {
        let words = [("create_only", MatchMode::CreateOnly)];
        word(matching, &words);
    }
    let table = step
        .require("table", "name the object that it makes")
        .and_then(table_name);
    let excused = Excused {
        questions: common.questions.as_ref().map(|(_, asking)| asking),
        step: Some(StepFields {
            of: common.name.as_deref().unwrap_or_default(),
            earlier,
        }),
        ..Excused::default()
    };
    let mode = MatchMode::CreateOnly;
    let fields = read_fields(step, common.schema.as_ref(), Some(mode), excused);
    for field in fields.iter().flatten().filter(|field| field.real_time) {
        let message = format!(
            "`{}` is a step's, and requests write to rows that are there",
            field.column.text
        );
        let mistake = Problem::mistake(field.location.clone(), message);
        step.document.note(mistake.hint("leave `realtime` out"));
    }
    for field in fields.iter().flatten() {
        if let Some(way) = &field.way {
            let message = format!("`{}` is of another row than the step makes", way.name);
            let hint = "write it in a write-back that updates rows";
            step.document
                .note(Problem::mistake(field.location.clone(), message).hint(hint));
        }
    }
    let hint = "name the fields that tell a row from every other: `exists_by = [\"externalID\"]`";
    let exists_by = step
        .require("exists_by", hint)
        .and_then(|value| read_groups(value, step, fields.as_deref()?));
    let id = step.get("id").map(column_name);
    let (of, name) = (common.name.as_deref()?, name?);
    common.with(Own {
        name: StepFields::write_back(of, name),
        table: table?,
        mode,
        fields: fields?,
        canary: None,
        compare: Compare::default(),
        only_where: Vec::new(),
        read_back: ReadBack::default(),
        creation: Some(Creation {
            of: of.to_owned(),
            exists_by: exists_by?,
            id: match id {
                Some(id) => Some(id?),
                None => None,
            },
            about: None,
        }),
    })
}

/// `["externalID", ["candidate", "jobOrder"]]`: positions of fields, group by group.
fn read_groups(value: Value<'_>, step: &Table<'_>, fields: &[Field]) -> Option<Vec<Vec<usize>>> {
    let groups = value.list()?;
    if groups.is_empty() {
        let hint = "without it the same row would be made again and again".to_owned();
        value.mistake("`exists_by` names no field", Some(hint));
        return None;
    }
    let group = |group: &Value<'_>| {
        let names = group.one_or_list();
        if names.is_empty() {
            group.mistake("a group of `exists_by` names no field", None);
            return None;
        }
        names
            .iter()
            .map(|name| field_named(*name, step, fields))
            .collect()
    };
    let groups: Vec<Option<Vec<usize>>> = groups.iter().map(group).collect();
    groups.into_iter().collect()
}

/// The position of the field of this name.
pub(super) fn field_named(value: Value<'_>, step: &Table<'_>, fields: &[Field]) -> Option<usize> {
    let name = value.text()?;
    let position = fields.iter().position(|field| field.column.text == name);
    let all = step.get("fields").filter(Value::is_table);
    let all = all.and_then(|all| all.table(String::new()));
    // What is wrong with a field that could not be read is told already.
    let is_there = all.is_some_and(|all| all.get(name).is_some());
    if position.is_none() && !is_there {
        let names = || fields.iter().map(|field| field.column.text.as_str());
        let hint = did_you_mean(name, names())
            .unwrap_or_else(|| format!("its fields are {}", quoted_list(names())));
        value.mistake(format!("there is no field {}", shown(name)), Some(hint));
    }
    position
}

/// Every schema column goes somewhere in some step, or is ignored.
fn check_unused(common: &Common, table: &Table<'_>, schema: &Schema, steps: &[WriteBack]) {
    let ignored = table.get("ignore").and_then(|value| value.list());
    let ignored: Vec<String> = ignored
        .unwrap_or_default()
        .iter()
        .filter_map(Value::plain_text)
        .collect();
    let fields = steps.iter().flat_map(|step| &step.fields);
    let used: Vec<usize> = fields
        .flat_map(|field| field.value.columns().iter().copied())
        .collect();
    let is_agencys = |position: usize| common.agency_column == Some(position);
    let is_whole = table.get("steps").and_then(|steps| steps.list());
    if is_whole.is_none_or(|all| all.len() != steps.len()) {
        // What a broken step takes is not known.
        return;
    }
    for (position, column) in schema.columns.iter().enumerate() {
        let goes = used.contains(&position)
            || is_agencys(position)
            || schema.key.contains(&position)
            || ignored.contains(&column.name);
        if !goes && !common.of_agency {
            let message = format!("schema column `{}` goes nowhere", column.name);
            let hint = "give it a field in a step, or name it in `ignore`".to_owned();
            table.mistake(message, Some(hint));
        }
    }
}

pub(super) const NOTE_KEYS: &[&str] = &[
    "text", "table", "columns", "id", "action", "author", "linked", "repeat",
];

const NOTE_COLUMNS: &[&str] = &["about", "text", "marker", "action", "author"];

/// Where the parts of a note go: into columns that are named, and otherwise into those that a web
/// API has for them.
struct Places<'a> {
    named: Option<Table<'a>>,
    own: Option<OwnNotes>,
}

/// What a web API has notes in.
struct OwnNotes {
    terms: &'static NoteTerms,
    about: String,
}

impl OwnNotes {
    /// Of notes about records of an object.
    fn of(service: ServiceKind, object: &str) -> Self {
        let terms = note_terms(service);
        Self {
            terms,
            about: (terms.about)(object),
        }
    }

    fn table(&self) -> ObjectName {
        ObjectName {
            parts: vec![NamePart {
                text: self.terms.table.to_owned(),
                quoted: true,
            }],
        }
    }

    fn column(&self, part: &str) -> Option<&str> {
        match part {
            "about" => Some(&self.about),
            "text" => Some(self.terms.text),
            "marker" => self.terms.marker,
            "action" => self.terms.action,
            "author" => Some(self.terms.author),
            _ => None,
        }
    }
}

impl<'a> Places<'a> {
    /// Those that a note names, and those of the web API that it goes to, which it may do without
    /// naming.
    fn of(common: &Common, about: &ObjectName, note: &Table<'a>) -> Option<Self> {
        let object = about.parts.last().map_or("", |part| part.text.as_str());
        let own = common.service.map(|service| OwnNotes::of(service, object));
        let own = own.filter(|own| {
            let table = note.get("table").filter(Value::is_text);
            table.is_none_or(|table| table.text() == Some(own.terms.table))
        });
        let lacking = match &own {
            None => "name its columns: `columns = { about = \"…\", text = \"…\", marker = \"…\" }`",
            Some(own) if own.terms.marker.is_none() => {
                "name the field by which a note is found again, best one that no two share: `columns = { marker = \"…\" }`"
            }
            Some(_) => "",
        };
        let columns = match lacking {
            "" => note.get("columns"),
            lacking => Some(note.require("columns", lacking)?),
        };
        let named = match columns {
            Some(columns) => Some(columns.table("`note.columns`".to_owned())?),
            None => None,
        };
        if let Some(named) = &named {
            named.expect_keys(NOTE_COLUMNS);
        }
        Some(Self { named, own })
    }

    /// The field that a part goes to, said at a place of the note if nothing names a column.
    fn field(&self, part: &str, at: Value<'_>, value: FieldValue) -> Option<Field> {
        let named = self.named.as_ref().and_then(|columns| columns.get(part));
        match (named, self.own_column(part)) {
            (Some(column), _) => field(column, value),
            (None, Some(column)) => field_of(at, column, value),
            (None, None) => None,
        }
    }

    /// As [`Places::field`], of a part that the note may do without.
    fn part(&self, said: Value<'_>, value: FieldValue) -> Option<Field> {
        let is_placed = |part| {
            let named = self.named.as_ref();
            named.is_some_and(|columns| columns.get(part).is_some())
                || self.own_column(part).is_some()
        };
        if !is_placed(said.key) {
            let message = format!("`note.columns` names no column for `{}`", said.key);
            let hint = format!("add `{} = \"COLUMN\"` to it", said.key);
            said.key_mistake(message, Some(hint));
        }
        self.field(said.key, said, value)
    }

    fn own_column(&self, part: &str) -> Option<&str> {
        self.own.as_ref()?.column(part)
    }

    /// Notes the parts that no column is named for.
    fn require_columns(&self) {
        let Some(named) = &self.named else {
            return;
        };
        for (part, what) in [
            ("about", "the id of the record"),
            ("text", "the text"),
            ("marker", "what tells it from every other note"),
        ] {
            if self.own_column(part).is_none() {
                named.require(part, &format!("name the column that holds {what}"));
            }
        }
    }
}

/// Reads a write-back that adds notes.
pub(super) fn read_note(
    common: &Common,
    table: &Table<'_>,
    note: Value<'_>,
    job: &str,
) -> Option<WriteBack> {
    for key in ["matching", "canary"] {
        if let Some(value) = table.get(key) {
            let message = format!("`{key}` means nothing beside `note`");
            value.key_mistake(
                message,
                Some("a note is added once, and never changed".to_owned()),
            );
        }
    }
    let about = table
        .require("table", "name the object whose records the notes are about")
        .and_then(table_name);
    let key = read_key(common, table);
    let note = note.table("`note`".to_owned())?;
    note.expect_keys(NOTE_KEYS);
    let places = about.as_ref();
    let places = places.and_then(|(about, _)| Places::of(common, about, &note));
    let own = places.as_ref().and_then(|places| places.own.as_ref());
    let object = match (note.get("table"), own) {
        (None, Some(own)) => Some((own.table(), note.location())),
        (_, _) => note
            .require(
                "table",
                "name the table in which a note is a row: `table = \"notes\"`",
            )
            .and_then(table_name),
    };
    let fields = read_note_fields(common, &note, &places?, job);
    let id = note.get("id").map(column_name);
    let (name, (about, about_location), fields) = (common.name.as_deref()?, about?, fields?);
    let marker = fields
        .iter()
        .position(|field| matches!(field.value, FieldValue::Marker(_)))?;
    common.with(Own {
        name: name.to_owned(),
        table: object?,
        mode: MatchMode::CreateOnly,
        fields,
        canary: None,
        compare: Compare::default(),
        only_where: Vec::new(),
        read_back: ReadBack::default(),
        creation: Some(Creation {
            of: name.to_owned(),
            exists_by: vec![vec![marker]],
            id: None,
            about: Some(About {
                table: about,
                table_location: about_location,
                fields: key?,
                id: match id {
                    Some(id) => Some(id?),
                    None => None,
                },
            }),
        }),
    })
}

/// What the record of a note is found by.
fn read_key(common: &Common, table: &Table<'_>) -> Option<Vec<Field>> {
    let hint =
        "name what its record is found by: `[write_back.fields]` with `COLUMN = \"schema_column\"`";
    let value = table.require("fields", hint)?;
    let entries = value.table("`fields`".to_owned())?;
    let read = read_values(entries.entries(), common.schema.as_ref());
    if entries.entries().next().is_none() {
        entries.mistake(
            "a note's record is found by nothing".to_owned(),
            Some(hint.to_owned()),
        );
        return None;
    }
    let whole = read.len() == entries.entries().count();
    let fields = read
        .into_iter()
        .filter_map(|(entry, value)| field_of(entry, entry.key, value));
    let fields: Vec<Field> = fields.collect();
    whole.then_some(fields)
}

fn read_note_fields(
    common: &Common,
    note: &Table<'_>,
    places: &Places<'_>,
    job: &str,
) -> Option<Vec<Field>> {
    let text = note.require("text", "write what it says, with columns in braces");
    let told = text.and_then(|text| read_template(common, text));
    let repeats = note.get("repeat").map_or(Some(false), |value| {
        word(value, &[("never", false), ("when_changed", true)])
    });
    let further = further_fields(common, note, places);
    let mut fields = Vec::new();
    places.require_columns();
    let (template, positions) = told?;
    let own = places.own.as_ref();
    let template = match own.is_some_and(|own| own.terms.html) {
        true => template.into_html(),
        false => template,
    };
    fields.extend(places.field("about", text?, FieldValue::About));
    let marker = NoteMarker {
        salt: format!("{job}/{}", common.name.as_deref().unwrap_or_default()),
        columns: marker_columns(common, &positions, repeats?)?,
        keys: common.schema.as_ref()?.key.len(),
        text: repeats?.then(|| template.clone()),
    };
    fields.extend(places.field("marker", text?, FieldValue::Marker(marker)));
    let told = FieldValue::Text {
        template,
        columns: positions,
    };
    fields.extend(places.field("text", text?, told));
    let further = further?;
    let stamp = own.and_then(|own| own.terms.at);
    let is_given = |at: &str| further.iter().any(|field| field.column.text == at);
    if let Some(at) = stamp.filter(|at| !is_given(at)) {
        let begun = FieldValue::Method(MethodCall {
            method: Method::RunStartedAt,
            columns: Vec::new(),
            setting: Setting::default(),
        });
        fields.extend(field_of(text?, at, begun));
    }
    fields.extend(further);
    Some(fields)
}

/// The action, the author, and what else a note names; `None` after a mistake.
fn further_fields(common: &Common, note: &Table<'_>, places: &Places<'_>) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    if let Some(action) = note.get("action") {
        let value = FieldValue::String(action.text()?.to_owned());
        fields.push(places.part(action, value)?);
    }
    if let Some(author) = note.get("author") {
        let read = read_values(std::iter::once(author), common.schema.as_ref());
        let (_, value) = read.into_iter().next()?;
        fields.push(places.part(author, value)?);
    }
    if let Some(linked) = note.get("linked") {
        let linked = linked.table("`note.linked`".to_owned())?;
        let read = read_values(linked.entries(), common.schema.as_ref());
        if read.len() < linked.entries().count() {
            return None;
        }
        for (entry, value) in read {
            fields.push(field_of(entry, entry.key, value)?);
        }
    }
    Some(fields)
}

/// The key columns, and then those of the text if it counts.
fn marker_columns(common: &Common, text: &[usize], text_counts: bool) -> Option<Vec<usize>> {
    let mut columns = common.schema.as_ref()?.key.clone();
    if text_counts {
        columns.extend(text);
    }
    Some(columns)
}

/// A field whose column a value names.
fn field(at: Value<'_>, value: FieldValue) -> Option<Field> {
    field_of(at, at.text()?, value)
}

fn field_of(at: Value<'_>, column: &str, value: FieldValue) -> Option<Field> {
    Some(Field {
        path: Vec::new(),
        way: None,
        reference: None,
        list: None,
        column: named(at, column)?,
        value,
        when: When::Always,
        on_conflict: OnConflict::Overwrite,
        real_time: false,
        clears_first: false,
        location: at.key_location(),
    })
}

fn column_name(value: Value<'_>) -> Option<NamePart> {
    named(value, value.text()?)
}

fn named(at: Value<'_>, column: &str) -> Option<NamePart> {
    let name = parse_column_name(column);
    name.map_err(|why| {
        let message = format!("`{}` is not a column's name: {why}", column.escape_debug());
        at.mistake(message, None);
    })
    .ok()
}

fn read_template(common: &Common, text: Value<'_>) -> Option<(Template, Vec<usize>)> {
    let template = Template::parse(text.text()?);
    let template = template
        .map_err(|why| {
            let hint = "columns stand in braces, with a default if they may be empty: `{column | \"default\"}`";
            text.mistake(why, Some(hint.to_owned()));
        })
        .ok()?;
    let schema = common.schema.as_ref()?;
    let position = |name: &str| {
        let position = schema.position(name);
        if position.is_none() {
            let names = || schema.columns.iter().map(|column| column.name.as_str());
            let hint = did_you_mean(name, names())
                .unwrap_or_else(|| format!("columns are {}", quoted_list(names())));
            let message = format!("schema `{}` has no column {}", schema.file, shown(name));
            text.mistake(message, Some(hint));
        }
        position
    };
    let positions: Vec<Option<usize>> = template.columns().map(position).collect();
    let positions = positions.into_iter().collect::<Option<Vec<usize>>>()?;
    Some((template, positions))
}
