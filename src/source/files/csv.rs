//! Reads CSV as RFC 4180 has it: commas, a header line, quotes doubled within quotes, LF or CRLF;
//! or in the dialect that its connection announces. An unquoted empty cell is NULL and `""` is an empty string, which is why quotes are looked at
//! here: readers of ready cells no longer know them.

use std::io::Read;
use std::ops::Range;

use super::blocks::{BLOCK_BYTES, Blocks, RECORD_BYTES_MAX};
use super::bytes::Text;
use super::folder::{OpenFile, TableFile};
use super::wanted::{Selection, Wanted};
use crate::domain::error::SystemError;
use crate::domain::files::{CellKind, CsvDialect};
use crate::domain::record::key_text;
use crate::source::Pulled;
use crate::source::text::TextChunk;

/// A CSV file's records, of the wanted columns.
pub(super) struct CsvReader<R> {
    table: TableFile,
    lines: Lines<R>,
    /// Names of the header line, as spelled there.
    header: Vec<String>,
    /// Position in the header of each wanted column.
    wanted: Vec<usize>,
    /// What each wanted column holds.
    written: Vec<CellKind>,
    /// Positions in `wanted` of the match key.
    key: Vec<usize>,
    chunk: TextChunk,
}

impl CsvReader<Text> {
    /// Reads the header line and finds the wanted columns.
    pub(super) fn open(file: &OpenFile, wanted: Wanted<'_>) -> Result<Self, SystemError> {
        Self::new(
            file.table.clone(),
            file.decoded_text()?,
            BLOCK_BYTES,
            wanted,
        )
    }

    /// Goes on with another file of the same table.
    /// Errors: its header line is another one.
    pub(super) fn follow(&mut self, file: &OpenFile) -> Result<(), SystemError> {
        let separator = file.table.dialect.separator;
        let mut lines = Lines::new(file.decoded_text()?, BLOCK_BYTES, separator);
        let header = read_header(&file.table, &mut lines)?;
        if header != self.header {
            let cause = format!(
                "its header line is another one than that of `{}`",
                self.table.name
            );
            let hint = Some("let all files of a table have the same columns".to_owned());
            return Err(file.table.failed_with_hint(cause, hint));
        }
        (self.table, self.lines) = (file.table.clone(), lines);
        Ok(())
    }
}

impl<R: Read> CsvReader<R> {
    pub(super) fn new(
        table: TableFile,
        reader: R,
        block_bytes: usize,
        wanted: Wanted<'_>,
    ) -> Result<Self, SystemError> {
        let mut lines = Lines::new(reader, block_bytes, table.dialect.separator);
        let header = read_header(&table, &mut lines)?;
        let selection = match wanted {
            Wanted::Columns(selection) => selection.clone(),
            Wanted::All => Selection::named(header.clone()),
            Wanted::Mentioned(mentions) => mentions.select(&header),
        };
        let is_known = matches!(wanted, Wanted::Columns(_));
        let wanted = match (
            is_known,
            header.as_slice(),
            other_separator(&table, &header),
        ) {
            // Nobody said which columns there are: then one that is several must not pass for one.
            (false, [_], Some(separator)) => {
                let hint = Some(announce(&table, separator));
                return Err(table.failed_with_hint("its header line has one column only", hint));
            }
            (_, _, other) => table
                .resolve_columns(&selection.names, &header)
                .map_err(|error| suggest_separator(error, &table, other))?,
        };
        let chunk = TextChunk::new(&selection.names);
        Ok(Self {
            table,
            lines,
            header,
            wanted,
            written: selection.written,
            key: selection.key,
            chunk,
        })
    }

    /// Names of the header line.
    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// The next records; `None` after the last.
    pub(super) fn next_chunk(&mut self) -> Result<Option<Pulled>, SystemError> {
        while !self.chunk.is_full() {
            let Some(line) = self
                .lines
                .advance(self.header.len())
                .map_err(|fault| fault.explain(&self.table))?
            else {
                break;
            };
            self.read_record(&line)?;
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

    /// Errors: a quote that is never closed. It may have swallowed any number of records, so that
    /// there is no saying which.
    fn read_record(&mut self, line: &Line) -> Result<(), SystemError> {
        self.chunk.next_stands(&self.table.name, line.number);
        let bytes = self.lines.bytes(line);
        let checked = check(line, self.lines.cells(), bytes, &self.header).and_then(|text| {
            self.check_dialect(text)?;
            Ok(text)
        });
        match checked {
            Ok(text) => {
                let (cells, dialect) = (self.lines.cells(), &*self.table.dialect);
                let wanted = self.wanted.iter().zip(&self.written);
                for (column, (position, written)) in self.chunk.columns().zip(wanted) {
                    match cells.get(*position).map(|cell| cell.value(text, dialect)) {
                        Some(Value::Text(value)) => {
                            let plain = dialect.plain(value, *written);
                            column.append_value(plain.as_deref().unwrap_or(value));
                        }
                        Some(Value::Escaped(value)) => {
                            column.append_value(value.replace("\"\"", "\""))
                        }
                        Some(Value::Null) | None => column.append_null(),
                    }
                }
                self.chunk.end_record(line.length);
            }
            Err(flaw @ Flaw::UnclosedQuote { cell }) => {
                let begin = self.lines.cells().get(cell).map_or(0, |cell| cell.start);
                let opened_on =
                    line.number + count_newlines(bytes.get(..begin).unwrap_or_default());
                let hint = Some("close it, or double it if it is part of the text".to_owned());
                let cause = flaw.explain(&self.table, opened_on, &self.header);
                return Err(self.table.failed_with_hint(cause, hint));
            }
            Err(flaw) => {
                let key = flaw.keeps_key().then(|| self.readable_key(bytes)).flatten();
                let reason = flaw.explain(&self.table, line.number, &self.header);
                let column = flaw.cell().and_then(|cell| self.header.get(cell)).cloned();
                self.chunk.reject(key, column, reason);
            }
        }
        Ok(())
    }

    /// Errors: a value that is written in another dialect.
    fn check_dialect(&self, text: &str) -> Result<(), Flaw> {
        let dialect = &*self.table.dialect;
        for (cell, written) in self.wanted.iter().zip(&self.written) {
            if *written == CellKind::Number
                && let Some(found) = self.lines.cells().get(*cell)
                && let Value::Text(value) = found.value(text, dialect)
                && let Err(why) = dialect.plain(value, *written)
            {
                return Err(Flaw::Dialect { cell: *cell, why });
            }
        }
        Ok(())
    }

    /// The match key of a rejected record whose cells still stand where they belong.
    fn readable_key(&self, bytes: &[u8]) -> Option<String> {
        let part = |position: &usize| {
            let cell = self.lines.cells().get(*self.wanted.get(*position)?)?;
            let text = std::str::from_utf8(bytes.get(cell.start..cell.end)?).ok()?;
            Some(if cell.form == Form::Escaped {
                text.replace("\"\"", "\"")
            } else {
                text.to_owned()
            })
        };
        let parts: Vec<String> = self.key.iter().map(part).collect::<Option<_>>()?;
        (!parts.is_empty()).then(|| key_text(parts.iter().map(String::as_str)))
    }
}

/// Reads the names of the first line.
/// Errors: a file without one, or whose first line is no line of names.
fn read_header<R: Read>(
    table: &TableFile,
    lines: &mut Lines<R>,
) -> Result<Vec<String>, SystemError> {
    let is_utf16 = lines.blocks.skip_byte_order_mark();
    if is_utf16.map_err(|error| table.io_failed(error))? {
        let hint = format!(
            "save it in UTF-8, or write `encoding = \"utf-16\"` for `[connections.{}]`",
            table.connection
        );
        return Err(table.failed_with_hint("it is written in UTF-16", Some(hint)));
    }
    let missing = || {
        let hint = Some("its first line must name the columns".to_owned());
        table.failed_with_hint(format!("`{}` has no header line", table.name), hint)
    };
    let explain = |fault: Fault| fault.explain(table);
    let mut line = lines.advance(0).map_err(explain)?.ok_or_else(missing)?;
    // A spreadsheet's own way to say how the file is separated.
    if let [b's', b'e', b'p', b'=', separator, rest @ ..] = lines.bytes(&line)
        && rest.trim_ascii().is_empty()
    {
        let separator = *separator;
        if separator != table.dialect.separator {
            let cause = "its first line names another separator";
            let hint = Some(announce(table, separator));
            return Err(table.failed_with_hint(cause, hint));
        }
        line = lines.advance(0).map_err(explain)?.ok_or_else(missing)?;
    }
    if ends_with_returns(&line, lines.cells(), lines.bytes(&line)) {
        let hint =
            Some("save the file with line feeds, alone or behind carriage returns".to_owned());
        return Err(table.failed_with_hint("its lines end with carriage returns alone", hint));
    }
    let text = check_text(&line, lines.cells(), lines.bytes(&line)).map_err(|flaw| {
        let hint = match (flaw, table.dialect.is_utf8()) {
            (Flaw::NotUtf8 { .. }, true) => format!(
                "save it in UTF-8, or write `encoding = \"windows-1252\"` for `[connections.{}]`, \
                 as Excel writes it in western Europe",
                table.connection
            ),
            _ => "save the file as CSV in UTF-8, its first line naming the columns".to_owned(),
        };
        table.failed_with_hint(flaw.explain(table, line.number, &[]), Some(hint))
    })?;
    let name = |cell: &Cell| match cell.value(text, &CsvDialect::default()) {
        Value::Text(name) => name.to_owned(),
        Value::Escaped(name) => name.replace("\"\"", "\""),
        Value::Null => String::new(),
    };
    Ok(lines.cells().iter().map(name).collect())
}

/// Whether the first line goes on behind a carriage return that no quote encloses: a name holds
/// none.
fn ends_with_returns(line: &Line, cells: &[Cell], bytes: &[u8]) -> bool {
    let holds_return = |cell: &Cell| {
        bytes
            .get(cell.start..cell.end)
            .unwrap_or_default()
            .contains(&b'\r')
    };
    let is_open = |cell: &Cell| {
        cell.form == Form::Bare || matches!(line.flaw, Some(Flaw::TextAfterQuote { .. }))
    };
    cells.iter().any(|cell| is_open(cell) && holds_return(cell))
}

/// The sign that separates this header's names more often than the one that should.
fn other_separator(table: &TableFile, header: &[String]) -> Option<u8> {
    let announced = table.dialect.separator;
    let line = header.join(&char::from(announced).to_string());
    let separator = CsvDialect::guess(line.as_bytes()).separator;
    let holds = |name: &String| name.contains(char::from(separator));
    (separator != announced && header.iter().any(holds)).then_some(separator)
}

/// How a connection says what separates the cells of its files.
fn announce(table: &TableFile, separator: u8) -> String {
    format!(
        "`{}` seems to be separated by `{}`; write `separator = \"{}\"` for `[connections.{}]`",
        table.name,
        separator.escape_ascii(),
        separator.escape_ascii(),
        table.connection
    )
}

/// Columns that are not there most likely are, between other signs.
fn suggest_separator(error: SystemError, table: &TableFile, other: Option<u8>) -> SystemError {
    match (error, other) {
        (SystemError::NotFound { what, hint: _ }, Some(separator)) => SystemError::NotFound {
            what,
            hint: Some(announce(table, separator)),
        },
        (error, _) => error,
    }
}

/// One physical record: bytes of the file up to and with the end of the line.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// Physical line on which the record begins, from 1.
    number: u64,
    /// Of its first byte within the file.
    offset: u64,
    /// Bytes, end of line included.
    length: usize,
    flaw: Option<Flaw>,
}

/// Cuts a file into records and records into cells.
struct Lines<R> {
    blocks: Blocks<R>,
    cells: Vec<Cell>,
    /// Physical line on which the next record begins, from 1.
    number: u64,
    /// Bytes of the record handed out last, consumed when the next one is asked for.
    pending: usize,
    separator: u8,
}

/// Why a file cannot be read on.
#[derive(Debug)]
enum Fault {
    Io(std::io::Error),
    /// The record that begins on this line is longer than can be held.
    TooLong {
        line: u64,
    },
}

impl Fault {
    fn explain(self, table: &TableFile) -> SystemError {
        match self {
            Self::Io(error) => table.io_failed(error),
            Self::TooLong { line } => table.failed_with_hint(
                format!(
                    "the record that begins on line {line} of `{}` is longer than {} MiB",
                    table.name,
                    RECORD_BYTES_MAX >> 20
                ),
                Some("look for a quote that is never closed".to_owned()),
            ),
        }
    }
}

impl<R: Read> Lines<R> {
    fn new(reader: R, block_bytes: usize, separator: u8) -> Self {
        Self {
            blocks: Blocks::new(reader, block_bytes),
            cells: Vec::new(),
            number: 1,
            pending: 0,
            separator,
        }
    }

    /// The next record; `None` after the last. Lines that hold nothing at all are passed over,
    /// unless a record is one cell wide: there an empty line is a NULL.
    fn advance(&mut self, width: usize) -> Result<Option<Line>, Fault> {
        loop {
            self.blocks.consume(self.pending);
            self.pending = 0;
            let Some(line) = self.scan()? else {
                return Ok(None);
            };
            self.pending = line.length;
            if width == 1 || !self.is_blank() {
                return Ok(Some(line));
            }
        }
    }

    fn bytes(&self, line: &Line) -> &[u8] {
        self.blocks.unread().get(..line.length).unwrap_or_default()
    }

    /// Cells of the record handed out last.
    fn cells(&self) -> &[Cell] {
        &self.cells
    }

    fn is_blank(&self) -> bool {
        matches!(self.cells.as_slice(), [cell] if cell.form == Form::Bare && cell.start == cell.end)
    }

    fn scan(&mut self) -> Result<Option<Line>, Fault> {
        loop {
            let (unread, at_end) = (self.blocks.unread(), self.blocks.at_end());
            if unread.is_empty() && at_end {
                return Ok(None);
            }
            let scanned = scan_record(unread, at_end, self.separator, &mut self.cells);
            // A longer one is refused though it is here already: whether it is depends on where it
            // stands in the file.
            if scanned
                .as_ref()
                .map_or(unread.len(), |scanned| scanned.length)
                > RECORD_BYTES_MAX
            {
                return Err(Fault::TooLong { line: self.number });
            }
            if let Some(Scanned {
                length,
                newlines,
                flaw,
            }) = scanned
            {
                let line = Line {
                    number: self.number,
                    offset: self.blocks.offset(),
                    length,
                    flaw,
                };
                self.number += newlines;
                return Ok(Some(line));
            }
            self.blocks.fill().map_err(Fault::Io)?;
        }
    }
}

/// How a cell is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Bare,
    Quoted,
    /// Quoted, with doubled quotes inside.
    Escaped,
}

/// One cell, as bounds within its record, quotes around it left out.
#[derive(Debug, Clone, Copy)]
struct Cell {
    start: usize,
    end: usize,
    form: Form,
}

/// What a cell holds.
enum Value<'a> {
    Null,
    Text(&'a str),
    /// Text in which every quote stands twice.
    Escaped(&'a str),
}

impl Cell {
    /// The cell's value within its record's text.
    fn value<'a>(&self, record: &'a str, dialect: &CsvDialect) -> Value<'a> {
        let text = record
            .get(self.start..self.end)
            .expect("separators, quotes and line ends bound every cell");
        match self.form {
            Form::Bare if text.is_empty() || dialect.nulls.iter().any(|null| null == text) => {
                Value::Null
            }
            Form::Bare | Form::Quoted => Value::Text(text),
            Form::Escaped => Value::Escaped(text),
        }
    }
}

/// Why a record is none. Cells count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    Width {
        cells: usize,
        wanted: usize,
    },
    NotUtf8 {
        cell: usize,
        /// Of the first byte that is not UTF-8, within the file.
        offset: u64,
    },
    TextAfterQuote {
        cell: usize,
    },
    /// A quote neither opens a cell nor is within quotes: what it is meant for cannot be told.
    StrayQuote {
        cell: usize,
    },
    UnclosedQuote {
        cell: usize,
    },
    /// A value that is written in another dialect; why, in words.
    Dialect {
        cell: usize,
        why: &'static str,
    },
}

impl Flaw {
    fn cell(self) -> Option<usize> {
        match self {
            Self::Width { .. } => None,
            Self::NotUtf8 { cell, .. }
            | Self::TextAfterQuote { cell }
            | Self::StrayQuote { cell }
            | Self::UnclosedQuote { cell }
            | Self::Dialect { cell, .. } => Some(cell),
        }
    }

    /// Whether the other cells still stand in their columns.
    fn keeps_key(self) -> bool {
        matches!(self, Self::NotUtf8 { .. } | Self::Dialect { .. })
    }

    fn explain(self, table: &TableFile, line: u64, header: &[String]) -> String {
        let file = &table.name;
        let place = |cell: usize| match header.get(cell) {
            Some(column) => format!(
                "line {line} of `{file}`, cell {} (`{}`)",
                cell + 1,
                column.escape_debug()
            ),
            None => format!("line {line} of `{file}`, cell {}", cell + 1),
        };
        match self {
            Self::Width { cells, wanted } => {
                format!(
                    "line {line} of `{file}` has {cells} {} where the header has {wanted}",
                    plural(cells)
                )
            }
            Self::NotUtf8 { cell, offset } => match table.dialect.is_utf8() {
                true => format!(
                    "{}: not UTF-8 at byte {offset} of the file; if it is in another encoding, \
                     name that as `encoding` of `[connections.{}]`",
                    place(cell),
                    table.connection
                ),
                false => format!("{}: not {}", place(cell), table.dialect.encoding.name()),
            },
            Self::Dialect { cell, why } => format!("{}: {why}", place(cell)),
            Self::TextAfterQuote { cell } => {
                format!("{}: text follows the closing quote", place(cell))
            }
            Self::StrayQuote { cell } => {
                format!(
                    "{}: a quote stands within a cell that is not quoted",
                    place(cell)
                )
            }
            Self::UnclosedQuote { cell } => {
                format!("{}: the quote that opens here is never closed", place(cell))
            }
        }
    }
}

fn plural(cells: usize) -> &'static str {
    if cells == 1 { "cell" } else { "cells" }
}

/// Checks that a record's bytes are text and that it has as many cells as the header.
fn check<'a>(
    line: &Line,
    cells: &[Cell],
    bytes: &'a [u8],
    header: &[String],
) -> Result<&'a str, Flaw> {
    match line.flaw {
        // A quote out of place may have taken the cells after it: their number says nothing.
        Some(
            flaw @ (Flaw::UnclosedQuote { .. }
            | Flaw::StrayQuote { .. }
            | Flaw::TextAfterQuote { .. }),
        ) => {
            return Err(flaw);
        }
        Some(Flaw::Width { .. } | Flaw::NotUtf8 { .. } | Flaw::Dialect { .. }) | None => {}
    }
    if cells.len() != header.len() {
        return Err(Flaw::Width {
            cells: cells.len(),
            wanted: header.len(),
        });
    }
    check_text(line, cells, bytes)
}

fn check_text<'a>(line: &Line, cells: &[Cell], bytes: &'a [u8]) -> Result<&'a str, Flaw> {
    if let Some(flaw) = line.flaw {
        return Err(flaw);
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let cell = cells
            .iter()
            .take_while(|cell| cell.end <= at)
            .count()
            .min(cells.len().saturating_sub(1));
        Flaw::NotUtf8 {
            cell,
            offset: line.offset + u64::try_from(at).unwrap_or(u64::MAX),
        }
    })
}

struct Scanned {
    /// Bytes, end of line included.
    length: usize,
    newlines: u64,
    flaw: Option<Flaw>,
}

/// Cuts the first record of `bytes` into cells; `None` if more bytes are needed to tell where it
/// ends.
fn scan_record(
    bytes: &[u8],
    at_end: bool,
    separator: u8,
    cells: &mut Vec<Cell>,
) -> Option<Scanned> {
    cells.clear();
    let mut scanned = Scanned {
        length: 0,
        newlines: 0,
        flaw: None,
    };
    loop {
        let start = scanned.length;
        let ended = match bytes.get(start) {
            Some(b'"') => scan_quoted(bytes, start, at_end, separator)?,
            Some(_) | None => scan_bare(bytes, start..start, at_end, separator)?,
        };
        scanned.length = ended.next;
        scanned.newlines += ended.newlines;
        scanned.flaw = scanned.flaw.or(match ended.ending {
            Ending::Clean => None,
            Ending::TextAfterQuote => Some(Flaw::TextAfterQuote { cell: cells.len() }),
            Ending::StrayQuote => Some(Flaw::StrayQuote { cell: cells.len() }),
            Ending::UnclosedQuote => Some(Flaw::UnclosedQuote { cell: cells.len() }),
        });
        cells.push(ended.cell);
        if ended.last {
            return Some(scanned);
        }
    }
}

enum Ending {
    Clean,
    TextAfterQuote,
    StrayQuote,
    UnclosedQuote,
}

struct ScannedCell {
    cell: Cell,
    /// Where the next cell or record begins.
    next: usize,
    /// Whether it ends its record.
    last: bool,
    newlines: u64,
    ending: Ending,
}

/// Scans a cell that begins at the start of `scanned` and has no quotes from its end on.
fn scan_bare(
    bytes: &[u8],
    scanned: Range<usize>,
    at_end: bool,
    separator: u8,
) -> Option<ScannedCell> {
    let Range { start, end: from } = scanned;
    let rest = bytes.get(from..).unwrap_or_default();
    let mut stray_quote = false;
    let stop = rest.iter().position(|byte| {
        stray_quote |= *byte == b'"';
        *byte == separator || *byte == b'\n'
    });
    let end = from + stop.unwrap_or(rest.len());
    let ended_by = bytes.get(end);
    if ended_by.is_none() && !at_end {
        return None;
    }
    let separated = ended_by == Some(&separator);
    let carriage_return = !separated && end > start && bytes.get(end - 1) == Some(&b'\r');
    Some(ScannedCell {
        cell: Cell {
            start,
            end: end - usize::from(carriage_return),
            form: Form::Bare,
        },
        next: end + usize::from(ended_by.is_some()),
        last: !separated,
        newlines: u64::from(ended_by == Some(&b'\n')),
        ending: if stray_quote {
            Ending::StrayQuote
        } else {
            Ending::Clean
        },
    })
}

/// Scans a cell whose opening quote stands at `quote`.
fn scan_quoted(bytes: &[u8], quote: usize, at_end: bool, separator: u8) -> Option<ScannedCell> {
    let start = quote + 1;
    let mut form = Form::Quoted;
    let mut end = start;
    loop {
        let rest = bytes.get(end..).unwrap_or_default();
        let Some(found) = rest.iter().position(|byte| *byte == b'"') else {
            return at_end.then(|| unclosed(bytes, start));
        };
        end += found;
        match bytes.get(end + 1) {
            Some(b'"') => {
                form = Form::Escaped;
                end += 2;
            }
            None if !at_end => return None,
            Some(_) | None => break,
        }
    }
    let newlines = count_newlines(bytes.get(start..end).unwrap_or_default());
    let ended = |next: usize, last: bool, newline: u64| {
        let cell = Cell { start, end, form };
        Some(ScannedCell {
            cell,
            next,
            last,
            newlines: newlines + newline,
            ending: Ending::Clean,
        })
    };
    let after = end + 1;
    match (bytes.get(after), bytes.get(after + 1)) {
        (Some(byte), _) if *byte == separator => ended(after + 1, false, 0),
        (Some(b'\n'), _) => ended(after + 1, true, 1),
        (Some(b'\r'), Some(b'\n')) => ended(after + 2, true, 1),
        (Some(b'\r'), None) if !at_end => None,
        (Some(b'\r'), None) => ended(after + 1, true, 0),
        (None, _) => ended(after, true, 0),
        (Some(_), _) => {
            let rest = scan_bare(bytes, start..after, at_end, separator)?;
            Some(ScannedCell {
                newlines: newlines + rest.newlines,
                ending: Ending::TextAfterQuote,
                ..rest
            })
        }
    }
}

fn unclosed(bytes: &[u8], start: usize) -> ScannedCell {
    ScannedCell {
        cell: Cell {
            start,
            end: bytes.len(),
            form: Form::Quoted,
        },
        next: bytes.len(),
        last: true,
        newlines: count_newlines(bytes.get(start..).unwrap_or_default()),
        ending: Ending::UnclosedQuote,
    }
}

fn count_newlines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may")]
mod tests {
    use polars::prelude::DataFrame;
    use proptest::prelude::*;

    use super::super::folder::Folder;
    use super::*;
    use crate::domain::files::FilesSettings;
    use crate::domain::outcome::Rejection;
    use crate::domain::record::RECORD_POSITION;

    type Cells = Vec<Vec<Option<String>>>;

    fn table() -> TableFile {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t.csv"), "").unwrap();
        let settings = FilesSettings {
            folder: folder.path().to_owned(),
            remote: None,
            dialect: CsvDialect::default(),
            tables: Vec::new(),
        };
        Folder::list("files", &settings)
            .unwrap()
            .find("t")
            .unwrap()
            .clone()
    }

    fn reader(bytes: &[u8], block_bytes: usize) -> Result<CsvReader<&[u8]>, SystemError> {
        CsvReader::new(table(), bytes, block_bytes, Wanted::All)
    }

    fn read(bytes: &[u8], block_bytes: usize) -> (Cells, Vec<Rejection>, Vec<u64>) {
        let mut reader = reader(bytes, block_bytes).unwrap();
        let (mut cells, mut rejections, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(pulled) = reader.next_chunk().unwrap() {
            assert_eq!(
                pulled.read,
                (pulled.records.height() + pulled.rejections.len()) as u64
            );
            rejections.extend(pulled.rejections);
            positions.extend(
                pulled
                    .records
                    .column(RECORD_POSITION)
                    .unwrap()
                    .u64()
                    .unwrap()
                    .iter()
                    .flatten(),
            );
            let columns = pulled.records.columns();
            for record in 0..pulled.records.height() {
                let cell = |column: &polars::prelude::Column| {
                    column.str().unwrap().get(record).map(str::to_owned)
                };
                cells.push(columns[..columns.len() - 1].iter().map(cell).collect());
            }
        }
        (cells, rejections, positions)
    }

    fn some(cells: &[&str]) -> Vec<Option<String>> {
        cells.iter().map(|cell| Some((*cell).to_owned())).collect()
    }

    #[test]
    fn quotes_line_ends_and_the_byte_order_mark_are_understood_at_any_block_size() {
        let bytes = b"\xEF\xBB\xBFid,note\r\n1,\"a,\"\"b\"\"\r\nc\"\r\n2,plain\n\n3,\"x\"\r\n";
        for block_bytes in 1..40 {
            let (cells, rejections, positions) = read(bytes, block_bytes);
            assert_eq!(
                cells,
                [
                    some(&["1", "a,\"b\"\r\nc"]),
                    some(&["2", "plain"]),
                    some(&["3", "x"])
                ]
            );
            assert_eq!((rejections, positions), (vec![], vec![0, 1, 2]));
        }
    }

    #[test]
    fn an_empty_cell_is_null_and_empty_quotes_are_an_empty_string() {
        let (cells, ..) = read(b"a,b,c\n,\"\",x\n", 1 << 20);
        assert_eq!(
            cells,
            [vec![None, Some(String::new()), Some("x".to_owned())]]
        );
    }

    #[test]
    fn an_empty_line_is_a_null_in_a_file_of_one_column() {
        let (cells, ..) = read(b"a\nx\n\ny", 1 << 20);
        assert_eq!(cells, [some(&["x"]), vec![None], some(&["y"])]);
    }

    #[test]
    fn a_malformed_record_is_rejected_and_the_pull_goes_on() {
        let bytes = b"id,note\n1,\"two\nlines\"\n2\n3,a,b\n4,\xFF\n\"5\"x,y\n6,ok\n7,5\" pipe\n";
        for block_bytes in [1, 3, 1 << 20] {
            let (cells, rejections, positions) = read(bytes, block_bytes);
            assert_eq!(cells, [some(&["1", "two\nlines"]), some(&["6", "ok"])]);
            assert_eq!(positions, [0, 5]);
            let reasons: Vec<&str> = rejections
                .iter()
                .map(|rejection| rejection.reason.as_str())
                .collect();
            assert_eq!(
                reasons,
                [
                    "line 4 of `t.csv` has 1 cell where the header has 2",
                    "line 5 of `t.csv` has 3 cells where the header has 2",
                    "line 6 of `t.csv`, cell 2 (`note`): not UTF-8 at byte 32 of the file; \
                     if it is in another encoding, name that as `encoding` of `[connections.files]`",
                    "line 7 of `t.csv`, cell 1 (`id`): text follows the closing quote",
                    "line 9 of `t.csv`, cell 2 (`note`): a quote stands within a cell that is not quoted",
                ]
            );
            assert_eq!(bytes[32], 0xFF);
            let records: Vec<u64> = rejections
                .iter()
                .map(|rejection| rejection.record)
                .collect();
            assert_eq!(records, [1, 2, 3, 4, 6]);
        }
    }

    /// What the first chunk or the header fails with.
    fn fault(bytes: &[u8], block_bytes: usize) -> String {
        let read = reader(bytes, block_bytes).and_then(|mut reader| reader.next_chunk());
        let SystemError::Failed { source, .. } = read.err().unwrap() else {
            panic!("another error")
        };
        source.to_string()
    }

    #[test]
    fn a_quote_that_is_never_closed_is_named_by_the_line_it_opens_on() {
        for block_bytes in [1, 3, 1 << 20] {
            let open =
                "line 4 of `t.csv`, cell 2 (`note`): the quote that opens here is never closed";
            assert_eq!(
                fault(b"id,note\n1,a\n\"2\n3\",\"open\n8,z\n", block_bytes),
                open
            );
            assert_eq!(fault(b"id,note\n1,a\n2,b\n3,\"open", block_bytes), open);
        }
        let header = fault(b"id,\"note\n1,a\n", 8);
        assert_eq!(
            header,
            "line 1 of `t.csv`, cell 2: the quote that opens here is never closed"
        );
    }

    #[test]
    fn lines_that_end_with_carriage_returns_alone_are_told() {
        for bytes in [
            &b"id,note\r1,a\r2,b\r"[..],
            b"\"id\",\"note\"\r\"1\",\"a\"\r",
            b"id\r1\r",
        ] {
            assert_eq!(fault(bytes, 8), "its lines end with carriage returns alone");
        }
        assert_eq!(read(b"id,\"no\rte\"\r\n1,a\r", 8).0, [some(&["1", "a"])]);
    }

    #[test]
    fn a_rejected_record_keeps_its_key_where_the_key_can_be_read() {
        let selection = Selection {
            key: vec![1],
            ..Selection::named(vec!["note".to_owned(), "id".to_owned()])
        };
        let bytes: &[u8] = b"id,note\nA7,\xFF\n\xFF,x\n";
        let mut reader = CsvReader::new(table(), bytes, 8, Wanted::Columns(&selection)).unwrap();
        let rejections = reader.next_chunk().unwrap().unwrap().rejections;
        let keys: Vec<Option<&str>> = rejections
            .iter()
            .map(|rejection| rejection.key.as_deref())
            .collect();
        assert_eq!(keys, [Some("A7"), None]);
    }

    #[test]
    fn a_header_alone_yields_no_record_and_nothing_at_all_is_a_mistake() {
        assert_eq!(read(b"a,b", 4).0, Cells::new());
        assert_eq!(read(b"a,b\r\n", 4).0, Cells::new());
        for bytes in [&b""[..], b"\xEF\xBB\xBF", b"\n"] {
            let Err(SystemError::Failed { source, .. }) = reader(bytes, 4) else {
                panic!("a header was found")
            };
            assert_eq!(source.to_string(), "`t.csv` has no header line");
        }
    }

    #[test]
    fn a_column_that_is_not_there_is_named_with_those_that_are() {
        let selection = Selection {
            key: vec![0],
            ..Selection::named(vec!["ID".to_owned(), "scor".to_owned()])
        };
        let bytes: &[u8] = b"id,score,note\n";
        let error = CsvReader::new(table(), bytes, 8, Wanted::Columns(&selection))
            .err()
            .unwrap();
        assert_eq!(error.to_string(), "column `scor` of `t.csv` does not exist");
        let hint = "did you mean `score`? the columns are `id`, `score`, `note`";
        assert_eq!(error.hint().as_deref(), Some(hint));

        let error = CsvReader::new(table(), &b"id;scor\n"[..], 8, Wanted::Columns(&selection))
            .err()
            .unwrap();
        let hint = "`t.csv` seems to be separated by `;`; write `separator = \";\"` for `[connections.files]`";
        assert_eq!(error.hint().as_deref(), Some(hint));
    }

    #[test]
    fn a_wanted_column_that_occurs_twice_is_a_mistake() {
        let selection = Selection {
            key: vec![0],
            ..Selection::named(vec!["id".to_owned()])
        };
        let twice = CsvReader::new(
            table(),
            &b"id,id\n1,2\n"[..],
            8,
            Wanted::Columns(&selection),
        )
        .err()
        .unwrap();
        let SystemError::Failed { source, .. } = twice else {
            panic!("{twice}")
        };
        assert_eq!(source.to_string(), "there is more than one column `id`");
        let other = Selection {
            key: vec![0],
            ..Selection::named(vec!["note".to_owned()])
        };
        assert!(
            CsvReader::new(
                table(),
                &b"id,id,note\n1,2,x\n"[..],
                8,
                Wanted::Columns(&other)
            )
            .is_ok()
        );
    }

    proptest! {
        #[test]
        fn what_a_writer_wrote_is_read_back_whatever_the_block_size(
            records in prop::collection::vec(prop::collection::vec("[a,\"\r\n é😀]{0,6}", 3), 0..12),
            block_bytes in 1_usize..64,
            crlf in any::<bool>(),
        ) {
            let terminator = if crlf { ::csv::Terminator::CRLF } else { ::csv::Terminator::Any(b'\n') };
            let mut writer = ::csv::WriterBuilder::new()
                .terminator(terminator)
                .quote_style(::csv::QuoteStyle::Necessary)
                .from_writer(Vec::new());
            writer.write_record(["a", "b", "c"]).unwrap();
            for record in &records {
                writer.write_record(record).unwrap();
            }
            let bytes = writer.into_inner().unwrap();
            let (cells, rejections, _) = read(&bytes, block_bytes);
            // The writer leaves an empty cell unquoted, and that is NULL.
            let written = |cell: &String| (!cell.is_empty()).then(|| cell.clone());
            let written: Cells = records.iter().map(|record| record.iter().map(written).collect()).collect();
            prop_assert_eq!(cells, written);
            prop_assert_eq!(rejections, vec![]);
        }

        #[test]
        fn no_bytes_make_the_reader_panic_or_read_differently_by_block_size(
            bytes in prop::collection::vec(prop::sample::select(b"a,\"\r\n\xFF".to_vec()), 0..60),
            block_bytes in 1_usize..16,
        ) {
            let file = [b"a,b\n".as_slice(), &bytes].concat();
            let outcome = |block_bytes: usize| {
                let mut reader = reader(&file, block_bytes).unwrap();
                let read = reader.next_chunk().map_err(|error| format!("{error:?}"));
                read.map(|pulled| pulled.map(|pulled| (pulled.read, pulled.records, pulled.rejections)))
            };
            match (outcome(block_bytes), outcome(1 << 20)) {
                (Ok(small), Ok(large)) => {
                    let told = |pulled: &Option<_>| pulled.as_ref().map(|(read, _, rejections)| (*read, Vec::clone(rejections)));
                    prop_assert_eq!(told(&small), told(&large));
                    let equal = |(small, large): (&DataFrame, &DataFrame)| small.equals_missing(large);
                    let frames = small.as_ref().zip(large.as_ref()).map(|(small, large)| (&small.1, &large.1));
                    prop_assert!(frames.is_none_or(equal));
                }
                (small, large) => prop_assert_eq!(small.err(), large.err()),
            }
        }
    }
}
