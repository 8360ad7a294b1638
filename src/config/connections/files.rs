//! `kind = "files"`: the folder, how its CSV files are written, and tables that a pattern of names
//! makes.

use crate::config::document::{Table, Value, shown};
use crate::domain::files::{CsvDialect, DateOrder, FilePattern, FilesSettings, NumberMarks, Take};
use crate::domain::problem::quoted_list;

pub(super) const KEYS: &[&str] = &[
    "kind",
    "folder",
    "timezone",
    "separator",
    "decimal",
    "thousands",
    "dates",
    "encoding",
    "nulls",
    "tables",
];

/// More words for NULL than this are no longer words for NULL.
const NULLS_MAX: usize = 100;

/// Signs that group digits: in London, Berlin, Zürich, and twice in Paris.
const THOUSANDS: [char; 7] = [',', '.', '\'', '’', ' ', '\u{a0}', '\u{202f}'];

/// The folder's settings; mistakes are noted. `folder` is given as the project has it.
pub(super) fn settings(table: &Table<'_>, folder: std::path::PathBuf) -> Option<FilesSettings> {
    let dialect = dialect(table);
    let tables = match table.get("tables") {
        Some(value) => patterns(value)?,
        None => Vec::new(),
    };
    Some(FilesSettings {
        folder,
        dialect: dialect?,
        tables,
    })
}

fn dialect(table: &Table<'_>) -> Option<CsvDialect> {
    let usual = CsvDialect::default();
    let separator = or_usual(table, "separator", usual.separator, separator);
    let decimal = or_usual(table, "decimal", usual.marks.decimal, |value| {
        mark(value, &['.', ','])
    });
    let thousands = or_usual(table, "thousands", None, |value| {
        mark(value, &THOUSANDS).map(Some)
    });
    let dates = or_usual(table, "dates", usual.dates, dates);
    let encoding = or_usual(table, "encoding", usual.encoding, encoding);
    let nulls = or_usual(table, "nulls", Vec::new(), nulls);
    let (decimal, thousands) = (decimal?, thousands?);
    if thousands == Some(decimal) {
        let value = table.get("thousands").or_else(|| table.get("decimal"))?;
        value.mistake("`decimal` and `thousands` are the same sign", None);
        return None;
    }
    Some(CsvDialect {
        separator: separator?,
        marks: NumberMarks { decimal, thousands },
        dates: dates?,
        encoding: encoding?,
        nulls: nulls?,
    })
}

/// What a key says, or what is usual without it; `None` after a mistake.
fn or_usual<T>(
    table: &Table<'_>,
    key: &str,
    usual: T,
    read: impl FnOnce(Value<'_>) -> Option<T>,
) -> Option<T> {
    match table.get(key) {
        Some(value) => read(value),
        None => Some(usual),
    }
}

fn separator(value: Value<'_>) -> Option<u8> {
    let text = value.text()?;
    match text.as_bytes() {
        [byte]
            if byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\"\r\n.".contains(byte) =>
        {
            Some(*byte)
        }
        _ => {
            let message = format!("{} cannot separate cells", shown(text));
            let hint = "write one sign: `\",\"`, `\";\"`, `\"|\"`, or `\"\\t\"` for a tab";
            value.mistake(message, Some(hint.to_owned()));
            None
        }
    }
}

fn mark(value: Value<'_>, known: &[char]) -> Option<char> {
    let text = value.text()?;
    let mut signs = text.chars();
    match (signs.next(), signs.next()) {
        (Some(sign), None) if known.contains(&sign) => Some(sign),
        _ => {
            let known: Vec<String> = known.iter().map(|sign| format!("{sign:?}")).collect();
            let message = format!("{} is no mark within numbers", shown(text));
            value.mistake(message, Some(format!("write one of {}", known.join(" "))));
            None
        }
    }
}

fn dates(value: Value<'_>) -> Option<DateOrder> {
    let text = value.text()?;
    let order = DateOrder::ALL
        .into_iter()
        .find(|order| order.name() == text);
    if order.is_none() {
        let hint = format!(
            "write one of {}",
            quoted_list(DateOrder::ALL.map(DateOrder::name))
        );
        value.mistake(format!("{} is no order of dates", shown(text)), Some(hint));
    }
    order
}

fn encoding(value: Value<'_>) -> Option<&'static encoding_rs::Encoding> {
    let text = value.text()?;
    let encoding = CsvDialect::encoding(text);
    if encoding.is_none() {
        let hint = "write `\"utf-8\"`, `\"windows-1252\"` for Excel in western Europe, \
                    `\"utf-16\"`, or another name of <https://encoding.spec.whatwg.org>";
        value.mistake(
            format!("{} is no encoding known here", shown(text)),
            Some(hint.to_owned()),
        );
    }
    encoding
}

fn nulls(value: Value<'_>) -> Option<Vec<String>> {
    let words = value.one_or_list();
    if words.len() > NULLS_MAX {
        value.mistake(format!("`nulls` has more than {NULLS_MAX} words"), None);
        return None;
    }
    let words = words.iter().map(|word| word.text().map(str::to_owned));
    words.collect()
}

fn patterns(value: Value<'_>) -> Option<Vec<(String, FilePattern)>> {
    let table = value.table("`tables`".to_owned())?;
    let patterns = table
        .entries()
        .map(|value| Some((value.key.to_owned(), pattern(value)?)));
    // All are read, so that one mistake hides no other.
    let patterns: Vec<Option<_>> = patterns.collect();
    patterns.into_iter().collect()
}

/// `"scores-*.csv"`, or `{ files = "scores-*.csv", take = "last" }`.
fn pattern(value: Value<'_>) -> Option<FilePattern> {
    let (value, take) = match value.is_table() {
        false => (value, Take::All),
        true => {
            let table = value.table(format!("table `{}`", value.key))?;
            table.expect_keys(&["files", "take"]);
            let take = or_usual(&table, "take", Take::All, take);
            let files = table.require("files", "write `files = \"scores-*.csv\"`");
            (files?, take?)
        }
    };
    let text = value.text()?;
    let pattern = FilePattern::parse(text, take);
    pattern
        .map_err(|why| {
            let hint = "write a pattern such as `\"scores-*.csv\"`".to_owned();
            value.mistake(format!("{}: {why}", shown(text)), Some(hint));
        })
        .ok()
}

fn take(value: Value<'_>) -> Option<Take> {
    match value.text()? {
        "all" => Some(Take::All),
        "last" => Some(Take::Last),
        word => {
            let hint = "write `\"all\"`, or `\"last\"` for the last by name".to_owned();
            value.mistake(format!("{} is neither", shown(word)), Some(hint));
            None
        }
    }
}
