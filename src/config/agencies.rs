//! Agencies: one job for many customers. `schedules/JOB.toml` is the base, and each file of
//! `schedules/JOB/` says what differs for one of them. What a file says is laid over the base:
//! tables merge key by key, values and lists replace, and `"off"` takes a field out. Write-backs
//! and their steps are addressed by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

use super::document::{Document, Laid, Table, Value, read_text, shown};
use super::names::{PLAIN_NAME_HINT, PROJECT_FILE, SCHEDULES_FOLDER, is_plain_name};
use crate::domain::job::{Agencies, Creation, Job, RecordsOf, WriteBack};
use crate::domain::object::{NamePart, resolve_name};
use crate::domain::problem::{Location, Problem, did_you_mean, quoted_list};
use crate::domain::schema::{Schema, SchemaType};

/// The keys of an agency's file.
const KEYS: [&str; 5] = ["agency", "connections", "cadence", "alerts", "write_back"];

/// What of a write-back is the base's to say: it decides which records there are.
const WRITE_BACK_FIXED: [&str; 4] = ["name", "schema", "source", "questions"];

const STEP_FIXED: [&str; 1] = ["name"];

/// A job's name in its parts: the base's, and the agency's if it is one.
pub(super) fn parts(job: &str) -> (&str, Option<&str>) {
    match job.split_once('/') {
        Some((base, agency)) => (base, Some(agency)),
        None => (job, None),
    }
}

/// The name of the job of an agency.
pub(crate) fn job_of(base: &str, agency: &str) -> String {
    format!("{base}/{agency}")
}

/// How a connection is called that an agency has for itself. No plain name holds these marks.
pub(super) fn own_connection(connection: &str, base: &str, agency: &str) -> String {
    format!("{connection}@{base}:{agency}")
}

/// Whether a connection is one that an agency has for itself.
pub(super) fn is_own_connection(name: &str) -> bool {
    name.contains('@')
}

/// Names of the agencies of a job, sorted: those of their files. None if the base is no base.
pub(super) fn names(root: &Path, base: &str) -> Vec<String> {
    match is_base(root, base) {
        true => files(root, base),
        false => Vec::new(),
    }
}

/// Every agency there is, with its base.
pub(super) fn all(root: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(root.join(SCHEDULES_FOLDER));
    let folders = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok());
    let of_base = |base: String| {
        let names = names(root, &base).into_iter();
        names
            .map(|agency| (base.clone(), agency))
            .collect::<Vec<_>>()
    };
    let mut all: Vec<(String, String)> = folders.flat_map(of_base).collect();
    all.sort();
    all
}

/// Names of the files in a job's folder, without their extension.
fn files(root: &Path, base: &str) -> Vec<String> {
    let entries = fs::read_dir(root.join(SCHEDULES_FOLDER).join(base));
    let files = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = files
        .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
        .filter(|name| !name.is_empty() && !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// Whether a job's file has `[agencies]`, be it otherwise in order or not.
fn is_base(root: &Path, base: &str) -> bool {
    let file = format!("{SCHEDULES_FOLDER}/{base}.toml");
    let text = read_text(&root.join(&file), &file).unwrap_or_default();
    let (table, _) = DeTable::parse_recoverable(&text);
    table.get_ref().contains_key("agencies")
}

/// The file of a new agency of a base, by its name beside `writeback.toml`, and what it says: how the
/// agency is called, and, for somebody to fill in, what it may have for itself.
/// Errors: it cannot be called so.
pub(crate) fn new_agency(
    base: &Job,
    name: &str,
    called: Option<&str>,
) -> Result<(String, String), Problem> {
    if !is_plain_name(name) || name.contains('.') {
        let message = format!("{} cannot be an agency's name", shown(name));
        return Err(Problem::mistake(None, message).hint(PLAIN_NAME_HINT));
    }
    let known = base.agencies.as_ref();
    let clash = known.is_some_and(|known| known.names.iter().any(|other| other == name));
    if clash {
        let message = format!("there is an agency `{name}` already");
        let hint = format!("change `{SCHEDULES_FOLDER}/{}/{name}.toml`", base.name);
        return Err(Problem::mistake(None, message).hint(hint));
    }
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut text = format!(
        "# What differs of {SCHEDULES_FOLDER}/{base}.toml for this agency; all else is as there.\n\
         # `writeback show {base} --agency {name}` tells every setting with its file and line.\n\
         agency = {}\n",
        quoted(called.unwrap_or(name)),
        base = base.name,
    );
    let destinations = base.write_backs.iter().map(|one| one.destination.as_str());
    for destination in destinations.collect::<BTreeSet<_>>() {
        text += &format!(
            "\n# An account of its own; until then it writes into the base's.\n\
             # [connections.{destination}]\n# account = \"…\"\n# auth    = {{ flow = \"…\" }}\n"
        );
    }
    for write_back in &base.write_backs {
        text += &switches_of(write_back);
    }
    let file = format!("{SCHEDULES_FOLDER}/{}/{name}.toml", base.name);
    Ok((file, text))
}

/// What an agency may say of a write-back, as lines to be filled in.
fn switches_of(write_back: &WriteBack) -> String {
    let name = &write_back.name;
    let creation = write_back.creation.as_ref();
    let is_note = creation.is_some_and(Creation::makes_notes);
    let step = creation.filter(|_| !is_note);
    let step = step.and_then(|creation| name.strip_prefix(&creation.of)?.strip_prefix('.'));
    let of = creation.map_or(name.as_str(), |creation| creation.of.as_str());
    match step {
        Some(step) => format!(
            "\n# [write_back.{of}.steps.{step}.fields]\n\
             # FIELD = {{ string = \"…\" }}     # or a column, a question, a method; \"off\" leaves it out\n"
        ),
        None if is_note => format!(
            "\n# [write_back.{name}]\n# enabled     = {}\n# note.action = \"…\"       # the code of its own list\n",
            !write_back.enabled
        ),
        None => format!(
            "\n# [write_back.{name}]\n# enabled = {}\n# fields.FIELD = {{ string = \"…\" }}\n",
            !write_back.enabled
        ),
    }
}

/// What `[agencies]` of a base says.
pub(super) struct Said<'a> {
    table: Table<'a>,
    /// The schema column that tells whose a record is.
    column: Option<Value<'a>>,
}

impl<'a> Said<'a> {
    pub(super) fn of(root: &Table<'a>) -> Option<Self> {
        let table = root.get("agencies")?.table("`[agencies]`".to_owned())?;
        table.expect_keys(&["column"]);
        let column = table.get("column");
        Some(Self { table, column })
    }

    /// The column by its name in a schema, which must have it as a text.
    pub(super) fn column_in(&self, schema: &Schema) -> Option<usize> {
        let value = self.column?;
        let name = value.text()?;
        let names = || schema.columns.iter().map(|column| column.name.as_str());
        let wanted = NamePart {
            text: name.to_owned(),
            quoted: false,
        };
        let found = resolve_name(&wanted, names()).ok();
        let Some(position) = found.and_then(|name| schema.position(name)) else {
            let hint = did_you_mean(name, names())
                .unwrap_or_else(|| format!("columns are {}", quoted_list(names())));
            let message = format!("schema `{}` has no column {}", schema.file, shown(name));
            value.mistake(message, Some(hint));
            return None;
        };
        let column = schema.columns.get(position)?;
        if !matches!(column.column_type, SchemaType::Text { .. }) {
            let message = format!(
                "`{}` is {}, and an agency's name is a text",
                column.name, column.column_type
            );
            value.mistake(message, Some(format!("declare it TEXT in {}", schema.file)));
            return None;
        }
        Some(position)
    }

    /// Says that there is no agency.
    pub(super) fn expect_some(&self, agencies: &[String], base: &str) {
        if agencies.is_empty() {
            let message = format!("job `{base}` has `[agencies]` and no agency");
            let hint = format!(
                "add a file for each: {SCHEDULES_FOLDER}/{base}/NAME.toml, which may be empty"
            );
            self.table.mistake(message, Some(hint));
        }
    }
}

/// Which agency a job is of, as far as files tell.
pub(super) struct Whose<'a> {
    pub(super) base: &'a str,
    /// Absent of the base itself.
    pub(super) agency: Option<&'a str>,
    /// Every agency of the base: the file's name, and what records call it.
    pub(super) all: BTreeMap<String, String>,
}

impl<'a> Whose<'a> {
    pub(super) fn of(root: &Path, job: &'a str) -> Self {
        let (base, agency) = parts(job);
        let called = |name: String| {
            let file = format!("{SCHEDULES_FOLDER}/{base}/{name}.toml");
            let text = read_text(&root.join(&file), &file).unwrap_or_default();
            let (table, _) = DeTable::parse_recoverable(&text);
            let value = table.get_ref().get("agency").map(Spanned::get_ref);
            let called = value.and_then(|value| value.as_str()).unwrap_or(&name);
            let called = called.to_owned();
            (name, called)
        };
        Self {
            base,
            agency,
            all: names(root, base).into_iter().map(called).collect(),
        }
    }

    /// What the records of the job's agency call it.
    pub(super) fn called(&self) -> Option<&str> {
        self.all.get(self.agency?).map(String::as_str)
    }

    /// What a base's job knows of its agencies.
    pub(super) fn agencies(&self) -> Agencies {
        Agencies {
            names: self.all.keys().cloned().collect(),
        }
    }

    /// Which records of a schema the job takes, by the column at this position.
    pub(super) fn records_of(&self, schema: &Schema, column: Option<usize>) -> RecordsOf {
        let column = column.and_then(|column| schema.columns.get(column));
        let Some(column) = column.map(|column| column.name.clone()) else {
            return match self.agency {
                Some(_) => RecordsOf::All,
                None => RecordsOf::None,
            };
        };
        match self.called() {
            Some(agency) => RecordsOf::Agency {
                column,
                agency: agency.to_owned(),
            },
            None => RecordsOf::Strangers {
                column,
                agencies: self.all.values().cloned().collect(),
                folder: format!("{SCHEDULES_FOLDER}/{}/", self.base),
            },
        }
    }

    /// Notes what is wrong with the file's name and with what it calls its agency.
    pub(super) fn check(&self, document: &Document<'_>, agency: Option<Value<'_>>) {
        let Some(name) = self.agency else {
            return;
        };
        let location = || agency.map_or_else(|| document.over_location(), |value| value.location());
        if !is_plain_name(name) {
            let message = format!("{} cannot be an agency's name", shown(name));
            document.note(Problem::mistake(location(), message).hint(PLAIN_NAME_HINT));
        }
        let Some(called) = self.called() else {
            return;
        };
        let twin = self
            .all
            .iter()
            .find(|(other, its)| *other != name && *its == called);
        if let Some((other, _)) = twin {
            let message = format!(
                "{} is the agency of {SCHEDULES_FOLDER}/{}/{other}.toml, too",
                shown(called),
                self.base
            );
            let hint = "an agency's records are written once: keep one of the two files";
            document.note(Problem::mistake(location(), message).hint(hint));
        }
    }
}

/// An agency's file laid over the base of its job. What it may not say is noted.
pub(super) fn laid_over<'a>(
    document: &Document<'_>,
    base: DeTable<'a>,
    over: DeTable<'a>,
) -> DeTable<'a> {
    let laying = Laying { document };
    let over = over.into_iter().filter(|(key, _)| {
        let known = KEYS.contains(&key.get_ref().as_ref());
        if !known {
            let hint = did_you_mean(key.get_ref(), KEYS);
            let hint =
                hint.unwrap_or_else(|| format!("known keys: {}", quoted_list(KEYS.into_iter())));
            let message = format!("`{}` is not a key of an agency's file", key.get_ref());
            laying.mistake(key.span().start, message, hint);
        }
        known && key.get_ref() != "connections"
    });
    laying.tables(base, over.collect(), Within::Job)
}

/// The connections that an agency's file has for itself, laid over the project's. Others are left
/// out.
pub(super) fn own_connections<'a>(
    document: &Document<'_>,
    project: DeTable<'a>,
    over: DeTable<'a>,
) -> Option<DeTable<'a>> {
    let (key, over) = over
        .into_iter()
        .find(|(key, _)| key.get_ref() == "connections")?;
    let offset = key.span().start;
    let laying = Laying { document };
    let DeValue::Table(over) = over.into_inner() else {
        let hint = format!("write `[connections.NAME]` as in {PROJECT_FILE}");
        laying.mistake(offset, "`connections` is not a table".to_owned(), hint);
        return None;
    };
    let theirs = project
        .into_iter()
        .find(|(key, _)| key.get_ref() == "connections")
        .map(|(_, value)| value.into_inner());
    let theirs = match theirs {
        Some(DeValue::Table(theirs)) => theirs,
        _ => DeTable::new(),
    };
    let named: BTreeSet<String> = over
        .keys()
        .map(|name| name.get_ref().as_ref().to_owned())
        .collect();
    let theirs = theirs
        .into_iter()
        .filter(|(name, _)| named.contains(name.get_ref().as_ref()))
        .collect();
    let merged = laying.tables(theirs, over, Within::Table);
    let mut root = DeTable::new();
    root.insert(key, Spanned::new(offset..offset, DeValue::Table(merged)));
    Some(root)
}

/// What the tables that are merged mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    /// The whole file.
    Job,
    WriteBack,
    Step,
    /// Fields: each is one value, and may be taken out.
    Fields,
    Table,
}

struct Laying<'d, 't> {
    document: &'d Document<'t>,
}

impl Laying<'_, '_> {
    fn mistake(&self, offset: usize, message: String, hint: impl Into<String>) {
        let location = self.document.location(offset);
        self.document
            .note(Problem::mistake(location, message).hint(hint.into()));
    }

    fn tables<'a>(&self, base: DeTable<'a>, over: DeTable<'a>, within: Within) -> DeTable<'a> {
        let mut over = over;
        let mut merged = DeTable::new();
        for (key, value) in base {
            match over.remove_entry(key.get_ref().as_ref()) {
                None => drop(merged.insert(key, value)),
                Some((_, off)) if within == Within::Fields && is_off(&off) => {}
                Some((new_key, new)) => {
                    let (key, value) = self.values((key, value), (new_key, new), within);
                    merged.insert(key, value);
                }
            }
        }
        for (key, value) in over {
            if within == Within::Fields && is_off(&value) {
                let fields = || merged.iter().map(|(key, _)| key.get_ref().as_ref());
                let hint = did_you_mean(key.get_ref(), fields())
                    .unwrap_or_else(|| format!("its fields are {}", quoted_list(fields())));
                let message = format!("there is no field `{}` to take out", key.get_ref());
                self.mistake(key.span().start, message, hint);
            } else if matches!(within, Within::Job | Within::WriteBack)
                && is_named_list(&key)
                && value.get_ref().is_table()
            {
                let message = format!("the base has no `{}` that could be changed", key.get_ref());
                self.mistake(
                    key.span().start,
                    message,
                    "an agency changes what the base has",
                );
            } else {
                merged.insert(key, value);
            }
        }
        merged
    }

    fn values<'a>(&self, base: Entry<'a>, over: Entry<'a>, within: Within) -> Entry<'a> {
        let span = base.1.span();
        let (key, over_key) = (base.0, over.0);
        let named = match within {
            Within::Job if key.get_ref() == "write_back" => Some(Within::WriteBack),
            Within::WriteBack if key.get_ref() == "steps" => Some(Within::Step),
            Within::Job | Within::WriteBack | Within::Step | Within::Fields | Within::Table => None,
        };
        let over_span = over.1.span();
        match (base.1.into_inner(), over.1.into_inner(), named) {
            (DeValue::Array(elements), DeValue::Table(over), Some(each)) => {
                let elements = self.named(elements, over, each);
                (key, Spanned::new(span, DeValue::Array(elements)))
            }
            (base, _, Some(_)) => {
                let message = format!("`{}` is not addressed by name", key.get_ref());
                let hint = format!("write `[{}.NAME]`", key.get_ref());
                self.mistake(over_key.span().start, message, hint);
                (key, Spanned::new(span, base))
            }
            (DeValue::Table(base), DeValue::Table(over), None)
                if within != Within::Fields && !(is_place(&base) && is_place(&over)) =>
            {
                let inner = match (within, key.get_ref().as_ref()) {
                    (Within::WriteBack | Within::Step, "fields") => Within::Fields,
                    _ => Within::Table,
                };
                let merged = self.tables(base, over, inner);
                (key, Spanned::new(span, DeValue::Table(merged)))
            }
            (_, over, None) => (over_key, Spanned::new(over_span, over)),
        }
    }

    /// Lays tables over the elements of a list that have their names.
    fn named<'a>(&self, base: DeArray<'a>, over: DeTable<'a>, each: Within) -> DeArray<'a> {
        let mut over = over;
        let mut merged = DeArray::new();
        let (what, fixed): (&str, &[&str]) = match each {
            Within::Step => ("step", &STEP_FIXED),
            Within::Job | Within::WriteBack | Within::Fields | Within::Table => {
                ("write-back", &WRITE_BACK_FIXED)
            }
        };
        let mut names = Vec::new();
        for element in base {
            let name = name_of(&element).map(str::to_owned);
            names.extend(name.clone());
            let Some((_, laid)) = name.and_then(|name| over.remove_entry(name.as_str())) else {
                merged.push(element);
                continue;
            };
            let span = element.span();
            match (element.into_inner(), laid.into_inner()) {
                (DeValue::Table(element), DeValue::Table(laid)) => {
                    let laid = self.without(laid, fixed, what);
                    let element = self.tables(element, laid, each);
                    merged.push(Spanned::new(span, DeValue::Table(element)));
                }
                (element, _) => merged.push(Spanned::new(span, element)),
            }
        }
        for (key, _) in over {
            let message = format!("the base has no {what} {}", shown(key.get_ref()));
            let known = || names.iter().map(String::as_str);
            let hint = did_you_mean(key.get_ref(), known())
                .unwrap_or_else(|| format!("its {what}s are {}", quoted_list(known())));
            self.mistake(key.span().start, message, hint);
        }
        merged
    }

    /// A table without what is the base's to say.
    fn without<'a>(&self, laid: DeTable<'a>, fixed: &[&str], what: &str) -> DeTable<'a> {
        let allowed = |(key, _): &Entry<'a>| {
            let is_fixed = fixed.contains(&key.get_ref().as_ref());
            if is_fixed {
                let message = format!(
                    "an agency cannot change the `{}` of a {what}",
                    key.get_ref()
                );
                let hint = "it is the base's to say, for all agencies alike";
                self.mistake(key.span().start, message, hint);
            }
            !is_fixed
        };
        laid.into_iter().filter(allowed).collect()
    }
}

type Entry<'a> = (Spanned<DeString<'a>>, Spanned<DeValue<'a>>);

fn is_off(value: &Spanned<DeValue<'_>>) -> bool {
    value.get_ref().as_str() == Some("off")
}

fn is_named_list(key: &Spanned<DeString<'_>>) -> bool {
    matches!(key.get_ref().as_ref(), "write_back" | "steps")
}

/// Whether a table says where a secret is: it replaces, and never merges.
fn is_place(table: &DeTable<'_>) -> bool {
    table.contains_key("env") || (table.contains_key("file") && table.len() == 1)
}

fn name_of<'v>(element: &'v Spanned<DeValue<'_>>) -> Option<&'v str> {
    let table = element.get_ref().as_table()?;
    table.get("name")?.get_ref().as_str()
}

/// One value of a job's or a connection's settings, as `writeback show` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SettingLine {
    /// The keys that lead to it: `write_back.note.fields.action`.
    pub(crate) path: String,
    /// As the file has it; a secret is `***`.
    pub(crate) value: String,
    pub(crate) location: Location,
    /// Whether the agency's file says it.
    pub(crate) changed: bool,
}

/// Keys whose values nobody is shown.
const SECRETS: [&str; 7] = [
    "password",
    "client_secret",
    "secret",
    "token",
    "refresh_token",
    "private_key",
    "url",
];

/// Every value of a table, in the file's order.
pub(super) fn settings(table: &Table<'_>, path: &str, over: Option<&str>) -> Vec<SettingLine> {
    let mut settings = Vec::new();
    for value in table.entries() {
        let path = match path {
            "" => value.key.to_owned(),
            path => format!("{path}.{}", value.key),
        };
        gather(value, path, over, &mut settings);
    }
    settings
}

/// Adds the fields that an agency's file takes out, each behind those that are left.
pub(super) fn tell_taken_out(
    settings: &mut Vec<SettingLine>,
    document: &Document<'_>,
    over: &DeTable<'_>,
) {
    for (name, write_back) in tables_of(over, "write_back") {
        let path = format!("write_back.{name}");
        let steps = tables_of(write_back, "steps");
        let steps = steps.map(|(step, table)| (format!("{path}.steps.{step}"), table));
        for (path, table) in steps.chain(std::iter::once((path.clone(), write_back))) {
            let fields = format!("{path}.fields.");
            for (key, value) in fields_of(table).filter(|(_, value)| is_off(value)) {
                let line = SettingLine {
                    path: format!("{fields}{}", key.get_ref()),
                    value: "\"off\"".to_owned(),
                    location: document.location(value.span().start),
                    changed: true,
                };
                let last = settings
                    .iter()
                    .rposition(|line| line.path.starts_with(&fields));
                settings.insert(last.map_or(settings.len(), |last| last + 1), line);
            }
        }
    }
}

/// The tables of a table of tables, with their names.
fn tables_of<'t, 'a>(
    table: &'t DeTable<'a>,
    key: &str,
) -> impl Iterator<Item = (&'t str, &'t DeTable<'a>)> {
    let tables = table.get(key).and_then(|value| value.get_ref().as_table());
    tables
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.get_ref().as_ref(), value.get_ref().as_table()?)))
}

fn fields_of<'t, 'a>(
    table: &'t DeTable<'a>,
) -> impl Iterator<Item = (&'t Spanned<DeString<'a>>, &'t Spanned<DeValue<'a>>)> {
    let fields = table.get("fields");
    let fields = fields.and_then(|value| value.get_ref().as_table());
    fields.into_iter().flatten()
}

fn gather(value: Value<'_>, path: String, over: Option<&str>, into: &mut Vec<SettingLine>) {
    let elements = value.list_of_tables();
    if !elements.is_empty() {
        for (number, element) in (1..).zip(elements) {
            let table = element.table(String::new());
            let name = table
                .as_ref()
                .and_then(|table| table.get("name")?.plain_text());
            let path = format!("{path}.{}", name.unwrap_or_else(|| number.to_string()));
            into.extend(table.iter().flat_map(|table| settings(table, &path, over)));
        }
        return;
    }
    if value.is_table_of_its_own() {
        let table = value.table(String::new());
        into.extend(table.iter().flat_map(|table| settings(table, &path, over)));
        return;
    }
    let location = value.location();
    let hidden = SECRETS.contains(&value.key) && value.is_text();
    into.push(SettingLine {
        path,
        value: if hidden {
            "\"***\"".to_owned()
        } else {
            value.plain()
        },
        changed: over == Some(location.file.as_ref()),
        location,
    });
}

/// An agency's file, if the job is one's.
/// Errors: it cannot be read.
pub(super) fn read_over(
    root: &Path,
    base_text: &str,
    base: &str,
    agency: &str,
) -> Result<Laid, Problem> {
    let file = format!("{SCHEDULES_FOLDER}/{base}/{agency}.toml");
    let text = read_text(&root.join(&file), &file).map_err(|error| {
        error.problem_or(&file, || {
            let message =
                format!("there is no agency `{agency}` of job `{base}`: {file} does not exist");
            let known = names(root, base);
            let names = || known.iter().map(String::as_str);
            let hint = did_you_mean(agency, names()).or_else(|| {
                (!known.is_empty()).then(|| format!("its agencies are {}", quoted_list(names())))
            });
            Problem::mistake(None, message).hint_if(hint)
        })
    })?;
    Ok(Laid::over(base_text, &file, &text))
}
