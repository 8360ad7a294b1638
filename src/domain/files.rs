//! Files that hold tables: what their names say, and how CSV is written where it departs from
//! RFC 4180. Reads no file.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{Datelike, NaiveDate};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use strum::{EnumCount, VariantArray};
use url::Url;

use super::schema::SchemaType;
use super::secret::OptionValue;

/// How a file holds its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileFormat {
    Csv,
    Ndjson,
    Parquet,
}

/// What is around a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// What the name of a file says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileName<'a> {
    /// Without its extensions.
    pub(crate) table: &'a str,
    pub(crate) format: FileFormat,
    pub(crate) compression: Compression,
}

/// Extensions of files that are read, as messages list them.
pub(crate) const EXTENSIONS: &str = ".csv, .parquet, .ndjson or .jsonl";

impl<'a> FileName<'a> {
    /// Reads `scores.csv` or `scores.ndjson.gz`; `None` for files of other kinds.
    pub(crate) fn parse(name: &'a str) -> Option<Self> {
        Self::with(name, |extension| match extension {
            "csv" => Some(FileFormat::Csv),
            "ndjson" | "jsonl" => Some(FileFormat::Ndjson),
            "parquet" => Some(FileFormat::Parquet),
            _ => None,
        })
    }

    /// As an engine names its part files: it calls newline-delimited JSON by the extension of JSON.
    pub(crate) fn parse_part(name: &'a str) -> Option<Self> {
        Self::parse(name).or_else(|| {
            Self::with(name, |extension| {
                (extension == "json").then_some(FileFormat::Ndjson)
            })
        })
    }

    /// As a pattern names files: whoever writes one says which files are meant, so that a table of
    /// text may have the extension of text.
    pub(crate) fn parse_pattern(name: &'a str) -> Option<Self> {
        Self::parse_part(name).or_else(|| {
            Self::with(name, |extension| {
                ["tsv", "txt"]
                    .contains(&extension)
                    .then_some(FileFormat::Csv)
            })
        })
    }

    fn with(name: &'a str, format_of: impl Fn(&str) -> Option<FileFormat>) -> Option<Self> {
        let (stem, extension) = name.rsplit_once('.')?;
        let compression = match extension.to_ascii_lowercase().as_str() {
            "gz" => Compression::Gzip,
            "zst" => Compression::Zstd,
            _ => Compression::None,
        };
        let (table, extension) = match compression {
            Compression::None => (stem, extension),
            Compression::Gzip | Compression::Zstd => stem.rsplit_once('.')?,
        };
        let format = format_of(&extension.to_ascii_lowercase())?;
        // Parquet compresses its pages, and is read from its end.
        let is_readable = compression == Compression::None || format != FileFormat::Parquet;
        is_readable.then_some(Self {
            table,
            format,
            compression,
        })
    }
}

/// A folder of files.
#[derive(Debug, Clone)]
pub(crate) struct FilesSettings {
    /// Of a folder that lies elsewhere: where its files are kept once they are fetched.
    pub(crate) folder: PathBuf,
    /// Where the folder lies, if it is not on this machine.
    pub(crate) remote: Option<RemoteFolder>,
    pub(crate) dialect: CsvDialect,
    /// Tables that a pattern of names makes, by their names.
    pub(crate) tables: Vec<(String, FilePattern)>,
}

/// A folder that others keep, whose files are fetched before they are read.
#[derive(Debug, Clone)]
pub(crate) struct RemoteFolder {
    pub(crate) store: FileStore,
    /// It holds nothing that nobody may read.
    pub(crate) url: Url,
    /// Names and values as the store knows them.
    pub(crate) options: Vec<(String, OptionValue)>,
    /// Who may vouch for hosts, instead of those whom this machine trusts.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
}

/// Who keeps a folder that is not on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileStore {
    S3,
    Google,
    Azure,
    /// A web server. It lists no folders.
    Web,
}

impl FileStore {
    /// By the scheme of a URL.
    pub(crate) fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme {
            "s3" => Some(Self::S3),
            "gs" => Some(Self::Google),
            "az" => Some(Self::Azure),
            "https" | "http" => Some(Self::Web),
            _ => None,
        }
    }
}

/// The files that make a table together, by a pattern of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilePattern {
    pattern: glob::Pattern,
    pub(crate) format: FileFormat,
    pub(crate) take: Take,
}

/// Which of the files that a pattern matches are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    All,
    /// The last by name: of names that hold a date, the newest.
    Last,
}

impl FilePattern {
    /// Reads `scores-*.csv`. Errors: why it is no pattern of names, in words.
    pub(crate) fn parse(text: &str, take: Take) -> Result<Self, String> {
        if text.contains(['/', '\\', '\0']) {
            return Err("a pattern is of names within the folder, never a path".to_owned());
        }
        let Some(FileName { format, .. }) = FileName::parse_pattern(text) else {
            return Err(format!(
                "a pattern ends in {EXTENSIONS}, or one of them and .gz"
            ));
        };
        let pattern = glob::Pattern::new(text).map_err(|error| error.msg.to_owned())?;
        Ok(Self {
            pattern,
            format,
            take,
        })
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        // What begins with a dot is an engine's own, as a shell has it.
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        self.pattern.matches_with(name, options)
    }

    pub(crate) fn text(&self) -> &str {
        self.pattern.as_str()
    }

    /// Whether it is the name of one file.
    pub(crate) fn is_name(&self) -> bool {
        !self.text().contains(['*', '?', '['])
    }
}

/// Files whose names differ by a date alone, as exports of several days do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatedFiles {
    /// What is called like them all: their name without the date and what sets it off.
    pub(crate) table: String,
    /// Their names, with a `?` for each digit of the date.
    pub(crate) pattern: String,
}

/// Signs that set a date off within a name.
const DATE_FRAME: [char; 4] = ['-', '_', '.', ' '];

impl DatedFiles {
    /// Reads `scores_2026-11-29.csv`. `None` without a date that begins with its year: where another
    /// part stands first, the last of the names is not the newest.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let stem = FileName::parse(name)?.table;
        if name.starts_with('.') || stem.contains(['*', '?', '[', ']']) {
            return None;
        }
        let (start, end) = date_within(stem)?;
        let (before, date) = (stem.get(..start)?, stem.get(start..end)?);
        let (after, rest) = (stem.get(end..)?, name.get(stem.len()..)?);
        let parts = [
            before.trim_matches(DATE_FRAME),
            after.trim_matches(DATE_FRAME),
        ];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let table = parts.join("_");
        let signs = date.replace(|sign: char| sign.is_ascii_digit(), "?");
        (!table.is_empty()).then(|| Self {
            table,
            pattern: format!("{before}{signs}{after}{rest}"),
        })
    }
}

/// Where the first date of a text begins and ends, with the time of day behind it.
fn date_within(text: &str) -> Option<(usize, usize)> {
    let digit = |sign: &char| sign.is_ascii_digit();
    let mut before = None;
    for (start, sign) in text.char_indices() {
        let begins = sign.is_ascii_digit() && !before.is_some_and(|sign: char| digit(&sign));
        before = Some(sign);
        let length = begins.then(|| date_length(text.get(start..)?)).flatten();
        if let Some(length) = length {
            let date_end = start + length;
            return Some((start, date_end + time_length(text.get(date_end..)?)));
        }
    }
    None
}

/// Bytes of the date that a text begins with, if it does: of a day, a week or a month.
fn date_length(text: &str) -> Option<usize> {
    /// Its length, what makes a day of it, and how the day is then written.
    const FORMS: [(usize, &str, &str); 8] = [
        (10, "", "%Y-%m-%d"),
        (10, "", "%Y_%m_%d"),
        (10, "", "%Y.%m.%d"),
        (8, "", "%Y%m%d"),
        (8, "-1", "%G-W%V-%u"),
        (7, "-1", "%GW%V-%u"),
        (7, "-01", "%Y-%m-%d"),
        (7, "_01", "%Y_%m_%d"),
    ];
    let form = FORMS.into_iter().find(|(length, ending, form)| {
        let goes_on = text.get(*length..).unwrap_or_default();
        let day = text.get(..*length).map(|date| format!("{date}{ending}"));
        let day = day.and_then(|day| NaiveDate::parse_from_str(&day, form).ok());
        day.is_some_and(|day| (1970..2100).contains(&day.year()))
            && !goes_on.starts_with(|sign: char| sign.is_ascii_digit())
    });
    form.map(|(length, ..)| length)
}

/// Bytes of the time of day, or the number of a delivery, that follows a date.
fn time_length(text: &str) -> usize {
    let mut length = 0;
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        let sets_off = matches!(sign, 'T' | '_' | '-' | '.' | ' ')
            && signs.peek().is_some_and(char::is_ascii_digit);
        let ends = sign == 'Z' && length > 0;
        if !(sets_off || ends || sign.is_ascii_digit()) {
            break;
        }
        length += sign.len_utf8();
    }
    length
}

/// How CSV is written. By default as RFC 4180 has it: commas, in UTF-8, numbers with points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CsvDialect {
    pub(crate) separator: u8,
    pub(crate) marks: NumberMarks,
    pub(crate) dates: DateOrder,
    pub(crate) encoding: &'static Encoding,
    /// Unquoted cells that mean NULL, as the empty one does.
    pub(crate) nulls: Vec<String>,
}

impl Default for CsvDialect {
    fn default() -> Self {
        Self {
            separator: b',',
            marks: NumberMarks::POINT,
            dates: DateOrder::Year,
            encoding: UTF_8,
            nulls: Vec::new(),
        }
    }
}

/// What a column holds, as far as dialects write it differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CellKind {
    AsIs,
    Number,
    /// A date, or a date and a time.
    Date,
}

impl CellKind {
    pub(crate) fn of(column_type: SchemaType) -> Self {
        match column_type {
            SchemaType::Integer { .. } | SchemaType::Decimal { .. } | SchemaType::Float { .. } => {
                Self::Number
            }
            SchemaType::Date | SchemaType::Timestamp | SchemaType::TimestampWithZone => Self::Date,
            SchemaType::Text { .. }
            | SchemaType::Boolean
            | SchemaType::Time
            | SchemaType::Uuid
            | SchemaType::Json => Self::AsIs,
        }
    }
}

/// Signs that stand between cells, the usual one first.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

impl CsvDialect {
    /// The encoding of this name, as in `windows-1252`.
    pub(crate) fn encoding(label: &str) -> Option<&'static Encoding> {
        // The byte order mark tells which of the two it is.
        if label.eq_ignore_ascii_case("utf-16") {
            return Some(UTF_16LE);
        }
        Encoding::for_label(label.as_bytes())
    }

    pub(crate) fn is_utf8(&self) -> bool {
        self.encoding == UTF_8
    }

    /// How a file that begins with `head` seems to be written.
    pub(crate) fn guess(head: &[u8]) -> Self {
        let encoding = guess_encoding(head);
        let (text, ..) = encoding.decode(head);
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let announced = first
            .strip_prefix("sep=")
            .and_then(|rest| rest.bytes().next());
        let header = match announced {
            Some(_) => lines.next().unwrap_or_default(),
            None => first,
        };
        let separator = announced.unwrap_or_else(|| guess_separator(header));
        let cells = lines.flat_map(|line| {
            line.split(char::from(separator))
                .map(|cell| cell.trim_matches('"'))
        });
        Self {
            separator,
            marks: NumberMarks::guess(cells.clone()),
            dates: DateOrder::guess(cells),
            encoding,
            nulls: Vec::new(),
        }
    }

    /// A value as SQL writes it. What is none in any dialect is left as it is, to be judged as all
    /// values are. Errors: why the dialect is another one, in words.
    pub(crate) fn plain<'a>(
        &self,
        text: &'a str,
        written: CellKind,
    ) -> Result<Cow<'a, str>, &'static str> {
        match written {
            CellKind::AsIs => Ok(Cow::Borrowed(text)),
            CellKind::Number => self.marks.plain(text),
            CellKind::Date => Ok(self.dates.plain(text)),
        }
    }
}

/// What is no UTF-8 is most likely from a spreadsheet of western Europe or America.
fn guess_encoding(head: &[u8]) -> &'static Encoding {
    match head {
        [0xFF, 0xFE, ..] => return UTF_16LE,
        [0xFE, 0xFF, ..] => return UTF_16BE,
        _ => {}
    }
    // A character that the end of the head cuts is none the less one.
    match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_some() => WINDOWS_1252,
        Ok(_) | Err(_) => UTF_8,
    }
}

/// The sign that stands most often in a header outside quotes.
fn guess_separator(header: &str) -> u8 {
    let open: String = header.split('"').step_by(2).collect();
    let count = |separator: u8| open.bytes().filter(|byte| *byte == separator).count();
    let mut found = SEPARATORS[0];
    for separator in SEPARATORS {
        if count(separator) > count(found) {
            found = separator;
        }
    }
    found
}

/// The marks within a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NumberMarks {
    pub(crate) decimal: char,
    /// Between groups of three digits.
    pub(crate) thousands: Option<char>,
}

impl NumberMarks {
    /// As SQL writes numbers.
    pub(crate) const POINT: Self = Self {
        decimal: '.',
        thousands: None,
    };

    /// A number as SQL writes it. What is no number in either way is left as it is, to be judged
    /// as all values are. Errors: why the marks are not these, in words.
    pub(crate) fn plain(self, text: &str) -> Result<Cow<'_, str>, &'static str> {
        if self == Self::POINT {
            return match has_decimal_comma(text) {
                true => Err(UNANNOUNCED_COMMA),
                false => Ok(Cow::Borrowed(text)),
            };
        }
        let (whole, fraction) = match text.split_once(self.decimal) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let whole = self.without_thousands(whole)?;
        let foreign = |part: &str| part.contains(['.', ',']);
        if foreign(&whole) || fraction.is_some_and(foreign) {
            return Err("its marks are not those of `decimal` and `thousands`");
        }
        Ok(match fraction {
            Some(fraction) => Cow::Owned(format!("{whole}.{fraction}")),
            None => whole,
        })
    }

    fn without_thousands(self, whole: &str) -> Result<Cow<'_, str>, &'static str> {
        let Some(thousands) = self.thousands.filter(|mark| whole.contains(*mark)) else {
            return Ok(Cow::Borrowed(whole));
        };
        let mut groups = whole.trim_start_matches(['-', '+']).split(thousands);
        let first = groups.next().unwrap_or_default();
        let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
        let is_grouped = (1..=3).contains(&first.len())
            && digits(first)
            && groups.all(|group| group.len() == 3 && digits(group));
        match is_grouped {
            true => Ok(Cow::Owned(whole.replace(thousands, ""))),
            false => Err("its digits do not stand in groups of three"),
        }
    }

    /// The marks that the numbers among `cells` have.
    fn guess<'a>(cells: impl Iterator<Item = &'a str>) -> Self {
        const GERMAN: NumberMarks = NumberMarks {
            decimal: ',',
            thousands: Some('.'),
        };
        let (mut commas, mut points, mut grouped) = (0, 0, false);
        for cell in cells {
            let is_number = |text: &str| text.contains('.') && text.parse::<f64>().is_ok();
            let german = GERMAN.plain(cell).ok().filter(|text| is_number(text));
            if german.is_some() && cell.contains(',') {
                commas += 1;
                grouped |= cell.contains('.');
            } else if is_number(cell) {
                points += 1;
            }
        }
        match commas > points {
            true => Self {
                decimal: ',',
                thousands: grouped.then_some('.'),
            },
            false => Self::POINT,
        }
    }
}

/// Which part of a date stands first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, VariantArray)]
pub(crate) enum DateOrder {
    /// As SQL writes dates.
    Year,
    /// `30.11.2026`, or with slashes or hyphens.
    Day,
    /// `11/30/2026`, or with points or hyphens.
    Month,
}

impl DateOrder {
    pub(crate) const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    /// As `dates = "…"` names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Year => "year_first",
            Self::Day => "day_first",
            Self::Month => "month_first",
        }
    }

    /// A date, or a date and a time, as SQL writes it.
    fn plain(self, text: &str) -> Cow<'_, str> {
        let Some((first, second, year, time)) = short_date(text) else {
            return Cow::Borrowed(text);
        };
        let (day, month) = match self {
            Self::Year => return Cow::Borrowed(text),
            Self::Day => (first, second),
            Self::Month => (second, first),
        };
        // An hour of one digit has its blank before it.
        let is_short = time.as_bytes().get(2) == Some(&b':');
        let time = match is_short {
            true => format!(" 0{}", time.trim_start()),
            false => time.to_owned(),
        };
        Cow::Owned(format!("{year}-{month:0>2}-{day:0>2}{time}"))
    }

    /// The order that the dates among `cells` have; points stand between days first only.
    fn guess<'a>(cells: impl Iterator<Item = &'a str>) -> Self {
        let mut found = Self::Year;
        for cell in cells {
            let Some((first, second, ..)) = short_date(cell) else {
                continue;
            };
            let beyond_months = |part: &str| part.parse::<u8>().is_ok_and(|number| number > 12);
            if beyond_months(first) || cell.contains('.') {
                return Self::Day;
            }
            if beyond_months(second) {
                found = Self::Month;
            }
        }
        found
    }
}

/// The first two parts, the year, and what follows a date that begins with day or month.
fn short_date(text: &str) -> Option<(&str, &str, &str, &str)> {
    let end = text.find([' ', 'T']).unwrap_or(text.len());
    let (date, time) = text.split_at(end);
    let mark = date.chars().find(|sign| ['.', '/', '-'].contains(sign))?;
    let mut parts = date.split(mark);
    let (first, second, year) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = |part: &str| (1..=2).contains(&part.len()) && digits(part);
    let is_date = is_short(first) && is_short(second) && year.len() == 4 && digits(year);
    (is_date && parts.next().is_none()).then_some((first, second, year, time))
}

/// What is wrong with a number whose decimal mark is a comma, where nobody said so.
pub(crate) const UNANNOUNCED_COMMA: &str = "its comma means nothing here; write `decimal = \",\"` or `thousands = \",\"` where the connection is";

/// `87,5`, and nothing that groups digits in threes could mean.
fn has_decimal_comma(text: &str) -> bool {
    let Some((whole, fraction)) = text.split_once(',') else {
        return false;
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole.strip_prefix(['-', '+']).unwrap_or(whole)) && digits(fraction)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    const GERMAN: NumberMarks = NumberMarks {
        decimal: ',',
        thousands: Some('.'),
    };

    #[test]
    fn files_of_several_days_are_known_by_a_date_that_begins_with_its_year() {
        let dated = |name| DatedFiles::parse(name).map(|dated| (dated.table, dated.pattern));
        for (name, table, pattern) in [
            ("scores_2026-11-29.csv", "scores", "scores_????-??-??.csv"),
            ("scores-20261129.csv.gz", "scores", "scores-????????.csv.gz"),
            (
                "2026.11.29 Größen.parquet",
                "Größen",
                "????.??.?? Größen.parquet",
            ),
            (
                "a_2026-11-29T06-30-00Z_eu.csv",
                "a_eu",
                "a_????-??-??T??-??-??Z_eu.csv",
            ),
            ("a_20261129_2.ndjson", "a", "a_????????_?.ndjson"),
            ("a_2026-W46.csv", "a", "a_????-W??.csv"),
            ("a_2026W46.csv", "a", "a_????W??.csv"),
            ("a_2026-11.csv", "a", "a_????-??.csv"),
            ("v2_2026_11_29.csv", "v2", "v2_????_??_??.csv"),
        ] {
            assert_eq!(dated(name), Some((table.to_owned(), pattern.to_owned())));
        }
        for name in [
            "scores.csv",
            "scores_2026.csv",
            "scores_29.11.2026.csv",
            "scores_2026-13-29.csv",
            "scores_120261129.csv",
            "2026-11-29.csv",
            "sco[r]es_2026-11-29.csv",
            "scores_2026-11-29.xlsx",
        ] {
            assert_eq!(dated(name), None, "{name}");
        }
    }

    #[test]
    fn a_number_is_read_by_its_marks_or_not_at_all() {
        let plain = |marks: NumberMarks, text| marks.plain(text).map(Cow::into_owned).ok();
        for (text, meant) in [
            ("87,5", Some("87.5")),
            ("-1.234.567,50", Some("-1234567.50")),
            ("1.234", Some("1234")),
            ("12", Some("12")),
            (",5", Some(".5")),
            ("n/a", Some("n/a")),
            ("1.5", None),
            ("1234.567", None),
            ("1.234,567,8", None),
            ("1,234.5", None),
        ] {
            assert_eq!(plain(GERMAN, text).as_deref(), meant, "{text}");
        }
        let bare = NumberMarks {
            decimal: ',',
            thousands: None,
        };
        assert_eq!(plain(bare, "1.234"), None);
        assert_eq!(NumberMarks::POINT.plain("87,5"), Err(UNANNOUNCED_COMMA));
        assert_eq!(plain(NumberMarks::POINT, "87.5").as_deref(), Some("87.5"));
    }

    #[test]
    fn a_file_tells_how_it_is_written() {
        let german = CsvDialect::guess(
            b"Kundennr;Wert;Ort;am\r\n00042;1.087,5;K\xF6ln;30.11.2026\r\n7;12;Ulm;\r\n",
        );
        assert_eq!(
            german,
            CsvDialect {
                separator: b';',
                marks: GERMAN,
                dates: DateOrder::Day,
                encoding: WINDOWS_1252,
                nulls: Vec::new()
            }
        );
        let plain = "id,\"a;b;c\",score\n1,x,\"1,234\"\n2,ü,1.5\n";
        assert_eq!(CsvDialect::guess(plain.as_bytes()), CsvDialect::default());
        assert_eq!(CsvDialect::guess(b"sep=|\nid;a;b|c\n").separator, b'|');
        assert_eq!(
            CsvDialect::guess(b"\xFF\xFEi\0d\0\t\0a\0\n\0").separator,
            b'\t'
        );
        // A character cut by the end of what was looked at.
        assert!(CsvDialect::guess(b"id,\xC3").is_utf8());
    }

    #[test]
    fn a_date_is_read_in_its_order() {
        for (order, text, meant) in [
            (DateOrder::Day, "1.12.2026", "2026-12-01"),
            (DateOrder::Day, "30/11/2026 6:05", "2026-11-30 06:05"),
            (DateOrder::Day, "30.11.2026 16:05:09", "2026-11-30 16:05:09"),
            (DateOrder::Month, "11/30/2026", "2026-11-30"),
            (DateOrder::Day, "2026-11-30", "2026-11-30"),
            (DateOrder::Day, "30.11.26", "30.11.26"),
            (DateOrder::Year, "30.11.2026", "30.11.2026"),
        ] {
            assert_eq!(order.plain(text), meant, "{text}");
        }
        let guess = |cell| DateOrder::guess(std::iter::once(cell));
        assert_eq!(guess("11/30/2026"), DateOrder::Month);
        assert_eq!(guess("30/11/2026"), DateOrder::Day);
        // Nobody can tell.
        assert_eq!(guess("11/10/2026"), DateOrder::Year);
    }

    #[test]
    fn names_tell_table_format_and_compression() {
        let told = |name| {
            FileName::parse(name).map(|found| (found.table, found.format, found.compression))
        };
        let csv = FileFormat::Csv;
        assert_eq!(told("a.b.csv"), Some(("a.b", csv, Compression::None)));
        assert_eq!(told("a.CSV.gz"), Some(("a", csv, Compression::Gzip)));
        assert_eq!(told("a.csv.zst"), Some(("a", csv, Compression::Zstd)));
        for other in ["a.gz", "a.parquet.gz", "a.txt", "csv"] {
            assert_eq!(told(other), None, "{other}");
        }
    }

    #[test]
    fn a_pattern_is_of_names() {
        let pattern = FilePattern::parse("scores-*.csv.gz", Take::Last).unwrap();
        assert!(pattern.matches("scores-2026-11-30.csv.gz"));
        assert!(!pattern.matches("scores-2026-11-30.csv"));
        assert!(
            !FilePattern::parse("*.csv", Take::All)
                .unwrap()
                .matches(".a.csv")
        );
        for wrong in ["../x-*.csv", "scores-*", "[a.csv"] {
            assert!(FilePattern::parse(wrong, Take::All).is_err(), "{wrong}");
        }
    }
}
