//! `kind = "files"`: the folder, here or elsewhere, how its CSV files are written, and tables that a
//! pattern of names makes.

use std::time::Duration;

use url::Url;

use super::reader::{Reader, is_local, timeout};
use crate::config::document::{Table, Value, shown};
use crate::domain::connection::Limits;
use crate::domain::files::{
    CsvDialect, DateOrder, FilePattern, FileStore, FilesSettings, NumberMarks, RemoteFolder, Take,
};
use crate::domain::problem::quoted_list;

pub(super) const KEYS: &[&str] = &[
    "kind",
    "folder",
    "options",
    "ca_file",
    "connect_timeout",
    "request_timeout",
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

/// Keys that mean something for a folder that is not on this machine.
const REMOTE_KEYS: [&str; 4] = ["options", "ca_file", "connect_timeout", "request_timeout"];

/// How long a piece of a file is waited for where nobody says otherwise.
const REQUEST_TIMEOUT_USUAL: Duration = Duration::from_secs(60);

impl Reader<'_> {
    /// The folder's settings; mistakes are noted.
    pub(super) fn files(&mut self) -> Option<FilesSettings> {
        let folder = self.table.require_text(
            "folder",
            "name the folder that holds the exported files, here or at `s3://`, `gs://`, `az://` or `https://`",
        );
        let dialect = dialect(self.table);
        let tables = match self.table.get("tables") {
            Some(value) => patterns(value),
            None => Some(Vec::new()),
        };
        let (value, folder) = folder?;
        let remote = match folder.contains("://") {
            true => Some(self.remote(value, folder)?),
            false => {
                self.expect_no_remote_keys();
                None
            }
        };
        let (dialect, tables) = (dialect?, tables?);
        if let Some(remote) = &remote {
            expect_names(value, remote, &tables)?;
        }
        let root = self.surroundings.root;
        Some(FilesSettings {
            folder: match remote {
                Some(_) => root.join(".writeback/files").join(self.name),
                None => root.join(folder),
            },
            remote,
            dialect,
            tables,
        })
    }

    fn expect_no_remote_keys(&self) {
        for value in REMOTE_KEYS.iter().filter_map(|key| self.table.get(key)) {
            let message = format!("`{}` means nothing for a folder on this machine", value.key);
            value.key_mistake(message, Some("leave it out".to_owned()));
        }
    }

    fn remote(&mut self, value: Value<'_>, folder: &str) -> Option<RemoteFolder> {
        let (store, url) = address(value, folder)?;
        let mut options = Vec::new();
        let complete = self.own_options(&mut options);
        let wait = |key: &str, usual: Duration| match self.table.get(key) {
            Some(value) => timeout(value),
            None => Some(usual),
        };
        let usual = Limits::default();
        let connect_timeout = wait("connect_timeout", usual.connect_timeout);
        let request_timeout = wait("request_timeout", REQUEST_TIMEOUT_USUAL);
        let ca_file = self.table.text("ca_file");
        let ca_file = ca_file.map(|(_, file)| self.surroundings.root.join(file));
        complete.then_some(RemoteFolder {
            store,
            url,
            options,
            ca_file,
            connect_timeout: connect_timeout?,
            request_timeout: request_timeout?,
        })
    }
}

/// The URL of a folder, with nothing in it but where the folder is.
fn address(value: Value<'_>, folder: &str) -> Option<(FileStore, Url)> {
    let mistake = |message: String, hint: &str| -> Option<(FileStore, Url)> {
        value.mistake(message, Some(hint.to_owned()));
        None
    };
    let schemes = "folders elsewhere begin with `s3://`, `gs://`, `az://` or `https://`";
    let Ok(url) = Url::parse(folder) else {
        return mistake(format!("{} is not a URL", shown(folder)), schemes);
    };
    let Some(store) = FileStore::of_scheme(url.scheme()) else {
        let message = format!("folders are not read from `{}://`", url.scheme());
        return mistake(message, schemes);
    };
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return mistake(format!("{} names no place", shown(folder)), schemes);
    };
    // Whatever may be secret never stands here, where messages would quote it.
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        let hint = "write a secret as `{ env = \"NAME\" }` under `[connections.NAME.options]`";
        return mistake("the folder's URL holds more than a place".to_owned(), hint);
    }
    if url.scheme() == "http" && !is_local(host.trim_matches(['[', ']'])) {
        let hint = "write `https://`; only this machine is spoken to in the clear";
        return mistake(
            format!("{} would be read in the clear", shown(folder)),
            hint,
        );
    }
    Some((store, url))
}

/// Notes that a web server lists no files, where nobody names them.
fn expect_names(
    value: Value<'_>,
    remote: &RemoteFolder,
    tables: &[(String, FilePattern)],
) -> Option<()> {
    let is_web = remote.store == FileStore::Web;
    let is_named = match tables {
        [] => !remote.url.path().ends_with('/'),
        tables => tables.iter().all(|(_, pattern)| pattern.is_name()),
    };
    if is_web && !is_named {
        let message = "a web server does not list its files".to_owned();
        let hint = "name a file, `folder = \"https://HOST/scores.csv\"`, or each one under \
                    `tables`, `tables = { scores = \"scores.csv\" }`";
        value.mistake(message, Some(hint.to_owned()));
        return None;
    }
    Some(())
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
