//! One file of a project as text, and its TOML walked key by key. Every mistake is noted with its
//! place and the walk goes on, so that one mistake hides no other. Knows what TOML is, not what any
//! key means.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::domain::problem::{Location, Problem, did_you_mean, nearest, quoted_list};
use crate::user_file;

/// Bytes a file of a project may have. People write these files by hand; one that is larger is some
/// other file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How messages about broken syntax begin.
pub(super) const NOT_TOML: &str = "this is not TOML";

/// Why a file's text cannot be had.
#[derive(Debug)]
pub(super) enum ReadError {
    Missing,
    TooLarge,
    /// The place of the first byte that is not UTF-8.
    NotText(Location),
    Io(io::Error),
}

impl ReadError {
    /// The mistake, told by `missing` if the file is not there.
    pub(super) fn problem_or(self, file: &str, missing: impl FnOnce() -> Problem) -> Problem {
        if let Self::Missing = self {
            missing()
        } else {
            self.problem(file, None)
        }
    }

    /// The mistake, told at `location` unless the error has a better place of its own.
    pub(super) fn problem(self, file: &str, location: Option<Location>) -> Problem {
        match self {
            Self::Missing => Problem::mistake(location, format!("`{file}` does not exist")),
            Self::TooLarge => Problem::mistake(
                location,
                format!("`{file}` is larger than {FILE_BYTES_MAX} bytes"),
            )
            .hint("name a file that people write by hand"),
            Self::NotText(place) => Problem::mistake(place, format!("`{file}` is not UTF-8 text"))
                .hint("save the file as UTF-8 in your editor"),
            Self::Io(error) => {
                Problem::mistake(location, format!("could not read `{file}`: {error}"))
            }
        }
    }
}

/// Reads a text file; a byte order mark is dropped. `name` is the file as people type it.
pub(super) fn read_text(path: &Path, name: &str) -> Result<String, ReadError> {
    let known = [
        (io::ErrorKind::NotFound, ReadError::Missing),
        (io::ErrorKind::FileTooLarge, ReadError::TooLarge),
    ];
    let bytes = user_file::read(path, FILE_BYTES_MAX).map_err(|error| {
        let known = known.into_iter().find(|(kind, _)| *kind == error.kind());
        known.map_or(ReadError::Io(error), |(_, known)| known)
    })?;
    decode(bytes, name)
}

fn decode(bytes: Vec<u8>, name: &str) -> Result<String, ReadError> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let readable = error
            .as_bytes()
            .get(..error.utf8_error().valid_up_to())
            .unwrap_or_default();
        let readable = String::from_utf8_lossy(readable);
        ReadError::NotText(Location::at(&Arc::from(name), &readable, readable.len()))
    })?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}

/// The text of a file that is laid over another. Its bytes count as if they stood after the
/// other's, so that one number tells a place in either.
#[derive(Debug)]
pub(super) struct Laid {
    pub(super) file: Arc<str>,
    /// The text, after as many blanks as the other file has bytes, and one.
    padded: String,
    /// Where the text begins.
    start: usize,
}

impl Laid {
    /// Over a file with this text.
    pub(super) fn over(base: &str, file: &str, text: &str) -> Self {
        let start = base.len() + 1;
        Self {
            file: Arc::from(file),
            padded: " ".repeat(start) + text,
            start,
        }
    }

    /// As the file has it.
    pub(super) fn text(&self) -> &str {
        self.padded.get(self.start..).unwrap_or_default()
    }
}

/// The text of a TOML file, with that of another laid over it if there is one, and the problems
/// found in them so far.
#[derive(Debug)]
pub(super) struct Document<'a> {
    pub(super) file: Arc<str>,
    text: &'a str,
    laid: Option<&'a Laid>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Document<'a> {
    pub(super) fn new(file: &str, text: &'a str) -> Self {
        Self::with(file, text, None)
    }

    /// With another file laid over it.
    pub(super) fn with(file: &str, text: &'a str, laid: Option<&'a Laid>) -> Self {
        Self {
            file: Arc::from(file),
            text,
            laid,
            problems: RefCell::new(Vec::new()),
        }
    }

    /// Parses the text. Errors of syntax are noted, all of them, and then nothing else is looked
    /// at: what follows a broken line would only tell of the same cause again.
    pub(super) fn parse(&self) -> Option<Spanned<DeTable<'a>>> {
        self.parse_text(self.text)
    }

    /// Parses what is laid over the text, as [`Document::parse`] does; an empty table if nothing
    /// is.
    pub(super) fn parse_laid(&self) -> Option<DeTable<'a>> {
        match self.laid {
            Some(laid) => self.parse_text(&laid.padded).map(Spanned::into_inner),
            None => Some(DeTable::new()),
        }
    }

    fn parse_text(&self, text: &'a str) -> Option<Spanned<DeTable<'a>>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            let hint = error
                .message()
                .contains("boolean")
                .then_some("strings stand in quotes");
            let message = format!("{NOT_TOML}: {}", error.message());
            self.note(Problem::mistake(self.location(offset), message).hint_if(hint));
        }
        errors.is_empty().then_some(table)
    }

    pub(super) fn location(&self, offset: usize) -> Location {
        let within = self
            .laid
            .and_then(|laid| Some((laid, offset.checked_sub(laid.start)?)));
        match within {
            Some((laid, offset)) => Location::at(&laid.file, laid.text(), offset),
            None => Location::at(&self.file, self.text, offset),
        }
    }

    /// The first line of what is laid over the text, or of the text itself.
    pub(super) fn over_location(&self) -> Location {
        self.location(self.laid.map_or(0, |laid| laid.start))
    }

    fn begins_with(&self, offset: usize, mark: char) -> bool {
        let text = self.laid.filter(|laid| offset >= laid.start);
        let text = text.map_or(self.text, |laid| &laid.padded);
        text.get(offset..)
            .is_some_and(|text| text.starts_with(mark))
    }

    /// Notes a problem, once: what several tables share is read for each.
    pub(super) fn note(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// A table of a document.
#[derive(Debug, Clone)]
pub(super) struct Table<'a> {
    pub(super) document: &'a Document<'a>,
    entries: &'a DeTable<'a>,
    /// What it is laid over: keys that it does not have are those of that one, but for some.
    beneath: Option<(&'a DeTable<'a>, &'static [&'static str])>,
    /// Where it begins: what is missing from it is told here.
    offset: usize,
    /// As messages call it: "`[connections.crm]`".
    name: String,
    /// Keys it may have, once [`Table::expect_keys`] told them.
    known: Cell<&'static [&'static str]>,
}

impl<'a> Table<'a> {
    /// The whole document as a table.
    pub(super) fn root(document: &'a Document<'a>, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self {
            document,
            entries: table.get_ref(),
            beneath: None,
            offset: 0,
            name: format!("`{}`", document.file),
            known: Cell::new(&[]),
        }
    }

    pub(super) fn location(&self) -> Location {
        self.document.location(self.offset)
    }

    /// The table laid over another: where it lacks a key, that of the other one counts, unless it is
    /// `withheld`. It may have `known` keys; those of both were looked through before.
    pub(super) fn over(
        self,
        beneath: &Self,
        withheld: &'static [&'static str],
        known: &'static [&'static str],
    ) -> Self {
        self.known.set(known);
        Self {
            beneath: Some((beneath.entries, withheld)),
            ..self
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Value<'a>> {
        let (document, own) = (self.document, self.entries);
        let beneath = self
            .beneath
            .into_iter()
            .flat_map(move |(beneath, withheld)| {
                beneath.iter().filter(move |(key, _)| {
                    let key: &str = key.get_ref().as_ref();
                    let is_own = own.iter().any(|(other, _)| other.get_ref().as_ref() == key);
                    !is_own && !withheld.contains(&key)
                })
            });
        own.iter().chain(beneath).map(move |(key, value)| Value {
            document,
            key: key.get_ref().as_ref(),
            key_offset: key.span().start,
            element: false,
            value,
        })
    }

    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        self.entries().find(|value| value.key == key)
    }

    /// The value of a key that must be there.
    pub(super) fn require(&self, key: &str, hint: &str) -> Option<Value<'a>> {
        if self.lacks(key) {
            self.mistake(
                format!("{} has no `{key}`", self.name),
                Some(hint.to_owned()),
            );
        }
        self.get(key)
    }

    /// Whether a key is not there, not even misspelt: that is told as an unknown key already.
    pub(super) fn lacks(&self, key: &str) -> bool {
        let known = self.known.get();
        let misspelt = |value: &Value<'_>| {
            !known.contains(&value.key)
                && nearest(value.key, known.iter().copied()).is_some_and(|meant| meant == key)
        };
        self.get(key).is_none() && !self.entries().any(|value| misspelt(&value))
    }

    /// Notes every key that is not among `known`.
    pub(super) fn expect_keys(&self, known: &'static [&'static str]) {
        self.expect_among(known, known, &self.name);
    }

    /// Notes every key that is not among `known`; those among `all` mean something, but not to
    /// `what`.
    pub(super) fn expect_among(&self, known: &'static [&'static str], all: &[&str], what: &str) {
        self.known.set(known);
        for value in self.entries().filter(|value| !known.contains(&value.key)) {
            let list = || format!("known keys: {}", quoted_list(known.iter().copied()));
            if all.contains(&value.key) {
                value.key_mistake(
                    format!("`{}` means nothing to {what}", value.key),
                    Some(list()),
                );
            } else {
                let hint = did_you_mean(value.key, known.iter().copied()).unwrap_or_else(list);
                value.key_mistake(
                    format!("`{}` is not a key of {}", value.key, self.name),
                    Some(hint),
                );
            }
        }
    }

    /// Notes a mistake of the table as a whole.
    pub(super) fn mistake(&self, message: String, hint: Option<String>) {
        self.document
            .note(Problem::mistake(self.location(), message).hint_if(hint));
    }

    pub(super) fn text(&self, key: &str) -> Option<(Value<'a>, &'a str)> {
        self.get(key).and_then(|value| Some((value, value.text()?)))
    }

    pub(super) fn require_text(&self, key: &str, hint: &str) -> Option<(Value<'a>, &'a str)> {
        self.require(key, hint)
            .and_then(|value| Some((value, value.text()?)))
    }
}

/// The keys of several lists, each once, in the order in which they first stand there.
pub(super) fn each_once(lists: impl Iterator<Item = &'static [&'static str]>) -> Vec<&'static str> {
    let mut keys = Vec::new();
    for key in lists.flatten() {
        if !keys.contains(key) {
            keys.push(*key);
        }
    }
    keys
}

/// A key and its value, or an element of a list under the list's key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    document: &'a Document<'a>,
    pub(super) key: &'a str,
    key_offset: usize,
    /// Whether it is an element of the key's list.
    element: bool,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    pub(super) fn location(&self) -> Location {
        self.document.location(self.value.span().start)
    }

    pub(super) fn key_location(&self) -> Location {
        self.document.location(self.key_offset)
    }

    /// Notes a mistake at the value.
    pub(super) fn mistake(&self, message: impl Into<String>, hint: Option<String>) {
        self.document
            .note(Problem::mistake(self.location(), message).hint_if(hint));
    }

    /// Notes a mistake at the key.
    pub(super) fn key_mistake(&self, message: impl Into<String>, hint: Option<String>) {
        self.document
            .note(Problem::mistake(self.key_location(), message).hint_if(hint));
    }

    /// Notes at the value what deserves a look.
    pub(super) fn warning(&self, message: impl Into<String>, hint: Option<String>) {
        self.document
            .note(Problem::warning(self.location(), message).hint_if(hint));
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.expect(self.value.get_ref().as_str(), "a string")
    }

    /// A whole number within the bounds.
    pub(super) fn integer(&self, min: u32, max: u32) -> Option<u32> {
        let integer = self.expect(self.value.get_ref().as_integer(), "a whole number")?;
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.mistake(
                format!("`{}` is not a whole number from {min} to {max}", self.key),
                None,
            );
        }
        number
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        self.expect(self.value.get_ref().as_bool(), "true or false")
    }

    /// A date and a time as they are written, bare or in a string.
    pub(super) fn datetime_or_text(&self) -> Option<String> {
        let value = self.value.get_ref();
        let datetime = value.as_datetime().map(ToString::to_string);
        self.expect(
            datetime.or_else(|| value.as_str().map(str::to_owned)),
            "a date and time",
        )
    }

    /// A number as it is written, or the text of a string.
    pub(super) fn number_or_text(&self) -> Option<String> {
        let value = self.value.get_ref();
        let integer = value.as_integer().map(|integer| integer.to_string());
        let float = || value.as_float().map(|float| float.as_str().to_owned());
        let text = || value.as_str().map(str::to_owned);
        self.expect(integer.or_else(float).or_else(text), "a number")
    }

    /// A number or a truth as it is written.
    pub(super) fn number_or_boolean(&self) -> Option<String> {
        let value = self.value.get_ref();
        let integer = value.as_integer().map(|integer| integer.to_string());
        let float = || value.as_float().map(|float| float.as_str().to_owned());
        let boolean = || value.as_bool().map(|boolean| boolean.to_string());
        self.expect(
            integer.or_else(float).or_else(boolean),
            "a string, a number, true or false",
        )
    }

    /// The value alone, however it is laid out in the file: two that mean the same have the same
    /// text.
    pub(super) fn plain(&self) -> String {
        plain(self.value.get_ref())
    }

    /// A table; `name` is what messages call it.
    pub(super) fn table(&self, name: String) -> Option<Table<'a>> {
        let entries = self.expect(self.value.get_ref().as_table(), "a table")?;
        let offset = self.table_offset();
        Some(Table {
            document: self.document,
            entries,
            beneath: None,
            offset,
            name,
            known: Cell::new(&[]),
        })
    }

    /// Elements of a list.
    pub(super) fn list(&self) -> Option<Vec<Value<'a>>> {
        let elements = self.expect(self.value.get_ref().as_array(), "a list")?;
        Some(
            elements
                .iter()
                .map(|value| Value {
                    value,
                    element: true,
                    ..*self
                })
                .collect(),
        )
    }

    /// The text, if it is one.
    pub(super) fn plain_text(&self) -> Option<String> {
        self.value.get_ref().as_str().map(str::to_owned)
    }

    /// Elements of a list of tables; none of anything else.
    pub(super) fn list_of_tables(&self) -> Vec<Value<'a>> {
        match self.value.get_ref().as_array() {
            Some(elements) if elements.iter().all(|element| element.get_ref().is_table()) => {
                self.list().unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// Whether it is a table that is not written between braces in one value.
    pub(super) fn is_table_of_its_own(&self) -> bool {
        self.is_table() && !self.document.begins_with(self.value.span().start, '{')
    }

    /// Elements of a list, or the value alone if it is none.
    pub(super) fn one_or_list(&self) -> Vec<Value<'a>> {
        match self.value.get_ref().is_array() {
            true => self.list().unwrap_or_default(),
            false => vec![*self],
        }
    }

    /// Inline tables begin at their brace, others at their header; a table that only dotted keys
    /// make has no place of its own and takes its key's.
    fn table_offset(&self) -> usize {
        match self.value.span() {
            span if span.is_empty() => self.key_offset,
            span => span.start,
        }
    }

    fn expect<T>(&self, found: Option<T>, wanted: &str) -> Option<T> {
        if found.is_none() {
            let name = if self.element {
                format!("an entry of `{}`", self.key)
            } else {
                format!("`{}`", self.key)
            };
            let hint = (wanted == "a string").then(|| "strings stand in quotes".to_owned());
            self.mistake(
                format!(
                    "{name} is {}, not {wanted}",
                    type_name(self.value.get_ref())
                ),
                hint,
            );
        }
        found
    }
}

fn plain(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::Float(float) => float.to_string(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Datetime(datetime) => datetime.to_string(),
        DeValue::Array(elements) => {
            let elements: Vec<String> = elements
                .iter()
                .map(|element| plain(element.get_ref()))
                .collect();
            format!("[{}]", elements.join(", "))
        }
        DeValue::Table(entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| format!("{:?} = {}", key.get_ref(), plain(value.get_ref())));
            let mut entries: Vec<String> = entries.collect();
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A word from a file as messages quote it. What looks like a URL is cut after its scheme: a
/// password may follow.
pub(super) fn shown(word: &str) -> String {
    const SHOWN_CHARACTERS_MAX: usize = 60;
    if let Some((scheme, _)) = word.split_once("://") {
        return format!("`{scheme}://…`");
    }
    match word.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("`{}…`", word.get(..end).unwrap_or_default()),
        None => format!("`{word}`"),
    }
}
