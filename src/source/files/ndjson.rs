//! Reads newline-delimited JSON: one object a line. Values are taken as the text that stands in the
//! file, so that numbers keep every digit; the schema judges them later.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::Read;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::blocks::{BLOCK_BYTES, Blocks, RECORD_BYTES_MAX};
use super::bytes::Text;
use super::folder::{OpenFile, TableFile, list_names};
use super::wanted::Selection;
use crate::domain::error::SystemError;
use crate::domain::problem::did_you_mean;
use crate::domain::record::key_text;
use crate::source::Pulled;
use crate::source::text::TextChunk;

/// Different keys of one file. More of them are data used as keys, which no schema can name.
const KEYS_MAX: usize = 65_536;

/// An NDJSON file's records, of the wanted columns; then those of the files that follow it.
pub(super) struct NdjsonReader<R> {
    table: TableFile,
    blocks: Blocks<R>,
    keys: Keys,
    names: Vec<String>,
    /// Positions in `names` of the match key.
    key: Vec<usize>,
    chunk: TextChunk,
    /// Physical line that comes next, from 1.
    number: u64,
    records: u64,
}

impl NdjsonReader<Text> {
    pub(super) fn open(file: &OpenFile, selection: &Selection) -> Result<Self, SystemError> {
        Self::new(file.table.clone(), file.text()?, BLOCK_BYTES, selection)
    }

    /// Goes on with another file of the same table.
    pub(super) fn follow(&mut self, file: &OpenFile) -> Result<(), SystemError> {
        self.blocks = Blocks::new(file.text()?, BLOCK_BYTES);
        skip_byte_order_mark(&file.table, &mut self.blocks)?;
        (self.table, self.number) = (file.table.clone(), 1);
        Ok(())
    }
}

fn skip_byte_order_mark<R: Read>(
    table: &TableFile,
    blocks: &mut Blocks<R>,
) -> Result<(), SystemError> {
    match blocks.skip_byte_order_mark() {
        Ok(false) => Ok(()),
        Ok(true) => Err(table.failed("it is written in UTF-16; save it in UTF-8")),
        Err(error) => Err(table.io_failed(error)),
    }
}

impl<R: Read> NdjsonReader<R> {
    pub(super) fn new(
        table: TableFile,
        reader: R,
        block_bytes: usize,
        selection: &Selection,
    ) -> Result<Self, SystemError> {
        let mut blocks = Blocks::new(reader, block_bytes);
        skip_byte_order_mark(&table, &mut blocks)?;
        let Selection { names, key, .. } = selection.clone();
        let (keys, chunk) = (Keys::new(&names), TextChunk::new(&names));
        Ok(Self {
            table,
            blocks,
            keys,
            names,
            key,
            chunk,
            number: 1,
            records: 0,
        })
    }

    /// The keys met so far, in the order in which they were met.
    pub(super) fn keys(&self) -> Vec<String> {
        self.keys.names()
    }

    /// Names of the columns read.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The next records; `None` after the last of this file.
    pub(super) fn next_chunk(&mut self) -> Result<Option<Pulled>, SystemError> {
        while !self.chunk.is_full() {
            let Some(length) = self.next_line()? else {
                break;
            };
            self.read_line(length)?;
            self.blocks.consume(length);
            self.number += 1;
        }
        match self.chunk.is_empty() {
            true => Ok(None),
            false => self
                .chunk
                .take()
                .map(Some)
                .map_err(|error| self.table.failed(error)),
        }
    }

    /// Bytes of the next line, its end included; `None` after the last.
    fn next_line(&mut self) -> Result<Option<usize>, SystemError> {
        let mut searched = 0;
        loop {
            let unread = self.blocks.unread();
            let fresh = unread.get(searched..).unwrap_or_default();
            let newline = fresh.iter().position(|byte| *byte == b'\n');
            let length = newline.map_or(unread.len(), |newline| searched + newline + 1);
            // A longer one is refused though it is here already: whether it is depends on where it
            // stands in the file.
            if length > RECORD_BYTES_MAX {
                let Self { table, number, .. } = self;
                let longest = RECORD_BYTES_MAX >> 20;
                let cause = format!(
                    "line {number} of `{}` is longer than {longest} MiB",
                    table.name
                );
                let hint = Some("write one JSON object a line, not one array".to_owned());
                return Err(table.failed_with_hint(cause, hint));
            }
            if newline.is_some() || self.blocks.at_end() {
                return Ok((length > 0).then_some(length));
            }
            searched = length;
            self.blocks
                .fill()
                .map_err(|error| self.table.io_failed(error))?;
        }
    }

    fn read_line(&mut self, length: usize) -> Result<(), SystemError> {
        let bytes = self.blocks.unread().get(..length).unwrap_or_default();
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        self.chunk.next_stands(&self.table.name, self.number);
        let place = format!("line {} of `{}`", self.number, self.table.name);
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let offset =
                    self.blocks.offset() + u64::try_from(error.valid_up_to()).unwrap_or(u64::MAX);
                self.chunk.reject(
                    None,
                    None,
                    format!("{place}: not UTF-8 at byte {offset} of the file"),
                );
                return Ok(());
            }
        };
        let text = text.trim_ascii_end();
        self.keys.begin_record();
        let mut marked = None;
        let mut read = read_object(text, &mut self.keys);
        if read.is_err() {
            if text.contains('\r') && without_returns(text) {
                let hint = Some(
                    "save the file with line feeds, alone or behind carriage returns".to_owned(),
                );
                return Err(self
                    .table
                    .failed_with_hint("its lines end with carriage returns alone", hint));
            }
            if let Some(text) = marked.insert(mark_non_numbers(text)) {
                self.keys.begin_record();
                read = read_object(text, &mut self.keys);
            }
        }
        match read {
            Ok(values) if let Some((position, word)) = non_number(&values) => {
                let key = readable_key(&self.key, &values);
                let reason = format!("{place}: {word} is not a number that can be written");
                self.chunk
                    .reject(key, self.names.get(position).cloned(), reason);
            }
            Ok(values) => {
                for (column, value) in self.chunk.columns().zip(values) {
                    column.append_option(value);
                }
                self.chunk.end_record(length);
                self.records += 1;
            }
            Err(Flaw { column, reason }) => {
                let column_name = column
                    .and_then(|position| self.names.get(position))
                    .cloned();
                self.chunk
                    .reject(None, column_name, format!("{place}{reason}"));
            }
        }
        match self.keys.len() > KEYS_MAX {
            true => Err(self.table.failed(format!(
                "its objects have more than {KEYS_MAX} different keys"
            ))),
            false => Ok(()),
        }
    }

    /// Whether each wanted column stands in a record: a file has no header to ask sooner.
    /// Errors: `NotFound` with the keys there are.
    pub(super) fn check_columns(&self) -> Result<(), SystemError> {
        let unseen = self
            .names
            .iter()
            .zip(&self.keys.found)
            .find(|(_, found)| !**found)
            .map(|(name, _)| name);
        match unseen {
            Some(name) if self.records > 0 => {
                let there = self.keys.names();
                let listed = list_names(there.iter().map(String::as_str));
                let meant = did_you_mean(
                    name,
                    there.iter().map(String::as_str).filter(|key| key != name),
                );
                Err(SystemError::NotFound {
                    what: format!(
                        "column `{name}` of `{}`, in any of its records,",
                        self.table.name
                    ),
                    hint: Some(meant.unwrap_or_else(|| format!("the keys are {listed}"))),
                })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Numbers that JSON does not have and many write all the same.
const NON_NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// What such a number is replaced by before it is looked for: no text begins so.
const MARK: &str = "\\u0000";

/// The text with a string in the place of each such number; `None` if there is none.
fn mark_non_numbers(text: &str) -> Option<String> {
    let (mut marked, mut rest) = (String::with_capacity(text.len() + 16), text);
    let (mut quoted, mut found) = (false, false);
    while let Some(first) = rest.chars().next() {
        let word = NON_NUMBERS
            .iter()
            .find(|word| !quoted && rest.starts_with(**word));
        let length = match (word, first) {
            (Some(word), _) => {
                found = true;
                marked.extend(["\"", MARK, word, "\""]);
                rest = rest.get(word.len()..).unwrap_or_default();
                continue;
            }
            (None, '\\') if quoted => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            (None, '"') => {
                quoted = !quoted;
                1
            }
            (None, other) => other.len_utf8(),
        };
        let (taken, others) = rest.split_at_checked(length).unwrap_or((rest, ""));
        marked.push_str(taken);
        rest = others;
    }
    found.then_some(marked)
}

/// The first such number among the wanted values: their position and the word.
fn non_number(values: &[Option<Cow<'_, str>>]) -> Option<(usize, &'static str)> {
    values.iter().enumerate().find_map(|(position, value)| {
        let text = value.as_deref()?;
        let holds = |word: &&&str| {
            text.strip_prefix('\0') == Some(**word) || text.contains(&format!("{MARK}{word}\""))
        };
        NON_NUMBERS.iter().find(holds).map(|word| (position, *word))
    })
}

/// The match key among the wanted values.
fn readable_key(key: &[usize], values: &[Option<Cow<'_, str>>]) -> Option<String> {
    let parts: Vec<&str> = key
        .iter()
        .map(|position| values.get(*position)?.as_deref())
        .collect::<Option<_>>()?;
    (!parts.is_empty()).then(|| key_text(parts.into_iter()))
}

/// Whether there are several objects, one behind each carriage return.
fn without_returns(text: &str) -> bool {
    let mut lines = text.split('\r').filter(|line| !line.trim().is_empty());
    let is_object = |line: &str| {
        serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok() && line.trim().starts_with('{')
    };
    text.split('\r')
        .filter(|line| !line.trim().is_empty())
        .count()
        > 1
        && lines.all(is_object)
}

/// Why a line is no record. The reason begins with what continues "line 3 of `x.ndjson`".
struct Flaw {
    /// Position of the wanted column at fault.
    column: Option<usize>,
    reason: String,
}

/// The values of the wanted columns in one object, in their order.
fn read_object<'a>(text: &'a str, keys: &mut Keys) -> Result<Vec<Option<Cow<'a, str>>>, Flaw> {
    if !text.trim_start().starts_with('{') {
        return Err(Flaw {
            column: None,
            reason: " is not a JSON object".to_owned(),
        });
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let values = (&mut deserializer)
        .deserialize_map(ObjectVisitor { keys })
        .and_then(|values| deserializer.end().map(|()| values))
        .map_err(|error| Flaw {
            column: None,
            reason: explain(&error),
        })?;
    let value = |(position, raw): (usize, Option<&'a str>)| {
        raw.map_or(Ok(None), value_text).map_err(|error| Flaw {
            column: Some(position),
            reason: format!(": {}", without_place(&error)),
        })
    };
    values.into_iter().enumerate().map(value).collect()
}

/// The parser's own words never hold a value, only what it looked for.
fn explain(error: &serde_json::Error) -> String {
    format!(", column {}: {}", error.column(), without_place(error))
}

fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message
        .rfind(" at line ")
        .and_then(|place| message.get(..place))
        .unwrap_or(&message)
        .to_owned()
}

/// The text of a value: a string's content, `None` for null, everything else as it stands in the
/// file.
fn value_text(raw: &str) -> serde_json::Result<Option<Cow<'_, str>>> {
    let content = raw
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match content {
        Some(content) if !content.contains('\\') => Ok(Some(Cow::Borrowed(content))),
        Some(_) => serde_json::from_str::<String>(raw).map(|text| Some(Cow::Owned(text))),
        None if raw == "null" => Ok(None),
        // A lone surrogate within an array or object is found only by reading the strings.
        None if raw.contains("\\u") => {
            serde_json::from_str::<serde_json::Value>(raw).map(|_| Some(Cow::Borrowed(raw)))
        }
        None => Ok(Some(Cow::Borrowed(raw))),
    }
}

/// The keys met so far and which wanted column each fills.
struct Keys {
    positions: HashMap<String, usize>,
    keys: Vec<Key>,
    /// Wanted columns by their exact and by their folded names.
    exact: HashMap<String, usize>,
    folded: HashMap<String, Vec<usize>>,
    /// Whether each wanted column was met in any record.
    found: Vec<bool>,
    /// Number of the record at hand, from 1.
    record: u64,
}

struct Key {
    name: String,
    /// The wanted column of just this name.
    exact: Option<usize>,
    /// Wanted columns that differ from it only in case.
    alike: Vec<usize>,
    /// The record it was last met in.
    met_in: u64,
}

impl Keys {
    fn new(names: &[String]) -> Self {
        let exact = names
            .iter()
            .enumerate()
            .map(|(position, name)| (name.clone(), position))
            .collect();
        let mut folded: HashMap<String, Vec<usize>> = HashMap::new();
        for (position, name) in names.iter().enumerate() {
            folded
                .entry(name.to_lowercase())
                .or_default()
                .push(position);
        }
        let found = vec![false; names.len()];
        Self {
            positions: HashMap::new(),
            keys: Vec::new(),
            exact,
            folded,
            found,
            record: 0,
        }
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    /// In the order in which they were met.
    fn names(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.name.clone()).collect()
    }

    fn begin_record(&mut self) {
        self.record += 1;
    }

    /// Notes that the record at hand has this key; returns its position, or `None` if it has it
    /// twice.
    fn meet(&mut self, name: &str) -> Option<usize> {
        let position = match self.positions.get(name) {
            Some(position) => *position,
            None => self.add(name),
        };
        let key = self.keys.get_mut(position)?;
        let again = key.met_in == self.record;
        key.met_in = self.record;
        (!again).then_some(position)
    }

    fn add(&mut self, name: &str) -> usize {
        let position = self.keys.len();
        let exact = self.exact.get(name).copied();
        let alike = self
            .folded
            .get(&name.to_lowercase())
            .cloned()
            .unwrap_or_default();
        let alike = if exact.is_some() { Vec::new() } else { alike };
        self.keys.push(Key {
            name: name.to_owned(),
            exact,
            alike,
            met_in: 0,
        });
        self.positions.insert(name.to_owned(), position);
        position
    }
}

/// Takes an object's values as raw text.
/// Shape: one value per wanted column.
struct ObjectVisitor<'k> {
    keys: &'k mut Keys,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    type Value = Vec<Option<&'de str>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let keys = self.keys;
        let mut values: Vec<Option<&'de str>> = vec![None; keys.found.len()];
        let mut alike: Vec<(usize, &'de str)> = Vec::new();
        let mut exact = vec![false; keys.found.len()];
        while let Some(position) = map.next_key_seed(KeySeed { keys: &mut *keys })? {
            let raw = map.next_value::<&'de RawValue>()?.get();
            let Some(key) = keys.keys.get(position) else {
                continue;
            };
            if let Some(column) = key.exact {
                set(&mut values, column, Some(raw));
                set(&mut exact, column, true);
            }
            alike.extend(key.alike.iter().map(|column| (*column, raw)));
        }
        for (column, raw) in alike {
            // A key that differs in case counts only where no key has the very name.
            match (exact.get(column), values.get_mut(column)) {
                (Some(false), Some(value @ None)) => *value = Some(raw),
                (Some(false), Some(Some(_))) => {
                    return Err(A::Error::custom(
                        "two keys differ from a column's name only in case",
                    ));
                }
                _ => {}
            }
        }
        for (found, value) in keys.found.iter_mut().zip(&values) {
            *found |= value.is_some();
        }
        Ok(values)
    }
}

fn set<T>(slots: &mut [T], position: usize, value: T) {
    if let Some(slot) = slots.get_mut(position) {
        *slot = value;
    }
}

/// Reads a key without copying it.
struct KeySeed<'k> {
    keys: &'k mut Keys,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = usize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        self.keys
            .meet(name)
            .ok_or_else(|| E::custom("a key occurs twice in one object"))
    }
}
