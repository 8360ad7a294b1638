//! DBML, as database designers write it: tables, their columns and what identifies a record. What
//! else a diagram holds (references, groups, notes) means nothing to a write-back.
//! Source: <https://dbml.dbdiagram.io/docs/>.

use std::collections::HashMap;
use std::iter::Peekable;
use std::vec::IntoIter;

use crate::domain::problem::{Location, Problem};
use crate::domain::schema::Schema;

/// A table of a diagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DbmlTable {
    /// Without its schema.
    pub(crate) name: String,
    pub(crate) columns: Vec<DbmlColumn>,
}

/// A column of a diagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DbmlColumn {
    pub(crate) name: String,
    /// Its type as it is written; of a list of words, a text as long as the longest of them.
    pub(crate) declared: String,
    pub(crate) nullable: bool,
    pub(crate) key: bool,
    unique: bool,
    pub(crate) location: Location,
}

/// Reads the tables of a diagram. `file` is the file as people type it.
/// Errors: the first place that is no DBML.
pub(crate) fn read_dbml(file: &str, text: &str) -> Result<Vec<DbmlTable>, Problem> {
    let tokens = TokenCutter::new(file, text).tokens()?;
    let mut reader = DiagramReader {
        tokens: tokens.into_iter().peekable(),
        end: Location::at(&file.into(), text, text.len()),
        enums: HashMap::new(),
        tables: Vec::new(),
    };
    reader.diagram()?;
    Ok(reader.finish())
}

/// The diagram of schemas, the unique identifier of each marked.
pub(crate) fn write_dbml(schemas: &[Schema]) -> String {
    let tables: Vec<String> = schemas.iter().map(table).collect();
    tables.join("\n")
}

fn table(schema: &Schema) -> String {
    let is_only_key = |position: usize| schema.key == [position];
    let columns = schema.columns.iter().enumerate().map(|(position, column)| {
        let settings = match (is_only_key(position), column.nullable) {
            (true, _) => " [pk]",
            (false, false) => " [not null]",
            (false, true) => "",
        };
        let (name, declared) = (name(&column.name), name_of_type(column.column_type));
        format!("  {name} {declared}{settings}\n")
    });
    let key: Vec<String> = schema
        .key_columns()
        .map(|column| name(&column.name))
        .collect();
    let key = match key.len() {
        1 => String::new(),
        _ => format!("\n  indexes {{\n    ({}) [pk]\n  }}\n", key.join(", ")),
    };
    let note = format!("\n  Note: '{}'\n", schema.file.replace('\'', "\\'"));
    let title: Vec<String> = schema.table.iter().map(|part| name(part)).collect();
    // A designer knows a schema and a table, no database.
    let from = title.len().saturating_sub(2);
    let title = title.get(from..).unwrap_or_default().join(".");
    format!(
        "Table {title} {{\n{}{key}{note}}}\n",
        columns.collect::<String>()
    )
}

fn name_of_type(column_type: crate::domain::schema::SchemaType) -> String {
    let declared = column_type.to_string();
    match declared.contains(' ') {
        true => format!("\"{declared}\""),
        false => declared,
    }
}

/// A name, in double quotes where it needs them.
fn name(text: &str) -> String {
    let plain = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A bare word, a number or a name in double quotes.
    Word(String),
    /// A text in single quotes or backticks.
    Text(String),
    Sign(char),
    LineEnd,
}

impl Token {
    fn is_word(&self, wanted: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(wanted))
    }
}

/// Cuts the text into tokens.
struct TokenCutter<'a> {
    file: std::sync::Arc<str>,
    text: &'a str,
    position: usize,
}

impl<'a> TokenCutter<'a> {
    fn new(file: &str, text: &'a str) -> Self {
        Self {
            file: file.into(),
            text,
            position: 0,
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn tokens(mut self) -> Result<Vec<(Token, Location)>, Problem> {
        let mut tokens = Vec::new();
        while let Some(sign) = self.rest().chars().next() {
            let begin = self.position;
            let token = match sign {
                '\n' => {
                    self.position += 1;
                    Some(Token::LineEnd)
                }
                _ if sign.is_whitespace() || sign == '\u{feff}' => {
                    self.position += sign.len_utf8();
                    None
                }
                '/' if self.rest().starts_with("//") => {
                    self.position += self.rest().find('\n').unwrap_or(self.rest().len());
                    None
                }
                '/' if self.rest().starts_with("/*") => {
                    self.enclosed("/*", "*/")?;
                    None
                }
                '\'' if self.rest().starts_with("'''") => {
                    Some(Token::Text(self.enclosed("'''", "'''")?))
                }
                '\'' => Some(Token::Text(self.enclosed("'", "'")?)),
                '`' => Some(Token::Text(self.enclosed("`", "`")?)),
                '"' => Some(Token::Word(self.enclosed("\"", "\"")?)),
                _ if is_word_sign(sign) => {
                    let rest = self.rest();
                    let end = rest.find(|sign| !is_word_sign(sign)).unwrap_or(rest.len());
                    self.position += end;
                    Some(Token::Word(rest.get(..end).unwrap_or_default().to_owned()))
                }
                _ => {
                    self.position += sign.len_utf8();
                    Some(Token::Sign(sign))
                }
            };
            let location = Location::at(&self.file, self.text, begin);
            tokens.extend(token.map(|token| (token, location)));
        }
        Ok(tokens)
    }

    /// What stands between two marks; a backslash takes the meaning from the sign behind it.
    fn enclosed(&mut self, open: &str, close: &str) -> Result<String, Problem> {
        let begin = self.position;
        self.position += open.len();
        let mut found = String::new();
        loop {
            let rest = self.rest();
            if rest.starts_with(close) {
                self.position += close.len();
                return Ok(found);
            }
            let mut signs = rest.chars();
            let (sign, next) = (signs.next(), signs.next());
            let kept = match (sign, next) {
                (Some('\\'), Some(next)) => {
                    self.position += 1;
                    next
                }
                (Some(sign), _) => sign,
                (None, _) => {
                    let place = Location::at(&self.file, self.text, begin);
                    let message = format!("what `{open}` opens here is never closed");
                    return Err(Problem::mistake(place, message));
                }
            };
            self.position += kept.len_utf8();
            found.push(kept);
        }
    }
}

fn is_word_sign(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

/// Reads tables out of tokens.
struct DiagramReader {
    tokens: Peekable<IntoIter<(Token, Location)>>,
    end: Location,
    /// Characters of the longest word of each list of words, by the list's name.
    enums: HashMap<String, usize>,
    tables: Vec<DbmlTable>,
}

impl DiagramReader {
    fn diagram(&mut self) -> Result<(), Problem> {
        while let Some((token, _)) = self.tokens.next() {
            if token.is_word("table") {
                self.table()?;
            } else if token.is_word("enum") {
                self.words()?;
            } else if token != Token::LineEnd {
                self.skip_element()?;
            }
        }
        Ok(())
    }

    /// The tables, with what is known only at the end.
    fn finish(self) -> Vec<DbmlTable> {
        let (enums, mut tables) = (self.enums, self.tables);
        for table in &mut tables {
            for column in &mut table.columns {
                let last = column.declared.rsplit('.').next().unwrap_or_default();
                if let Some(characters) = enums.get(last) {
                    column.declared = format!("VARCHAR({})", (*characters).max(1));
                }
            }
            // Without a primary key, what is unique identifies a record.
            if !table.columns.iter().any(|column| column.key)
                && let Some(column) = table.columns.iter_mut().find(|column| column.unique)
            {
                column.key = true;
            }
        }
        tables
    }

    fn next(&mut self, wanted: &str) -> Result<(Token, Location), Problem> {
        self.tokens
            .next()
            .ok_or_else(|| expected(self.end.clone(), wanted))
    }

    fn skip_line_ends(&mut self) {
        while self.next_is(&Token::LineEnd) {
            self.tokens.next();
        }
    }

    fn next_is(&mut self, wanted: &Token) -> bool {
        self.tokens.peek().is_some_and(|(token, _)| token == wanted)
    }

    fn word(&mut self, wanted: &str) -> Result<String, Problem> {
        match self.next(wanted)? {
            (Token::Word(word), _) => Ok(word),
            (_, place) => Err(expected(place, wanted)),
        }
    }

    /// A name of which the last part counts.
    fn dotted(&mut self, wanted: &str) -> Result<String, Problem> {
        let mut name = self.word(wanted)?;
        while self.next_is(&Token::Sign('.')) {
            self.tokens.next();
            name = self.word(wanted)?;
        }
        Ok(name)
    }

    /// Everything up to the brace that opens a body.
    fn open(&mut self) -> Result<(), Problem> {
        loop {
            match self.next("`{`")? {
                (Token::Sign('{'), _) => return Ok(()),
                (Token::Sign('}'), place) => return Err(expected(place, "`{`")),
                _ => {}
            }
        }
    }

    /// The rest of a body whose brace was read.
    fn skip_body(&mut self) -> Result<(), Problem> {
        let mut depth = 1;
        while depth > 0 {
            match self.next("`}`")? {
                (Token::Sign('{'), _) => depth += 1,
                (Token::Sign('}'), _) => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// The rest of an element that means nothing here: its line, or its body.
    fn skip_element(&mut self) -> Result<(), Problem> {
        while let Some((token, _)) = self.tokens.next() {
            match token {
                Token::LineEnd => return Ok(()),
                Token::Sign('{') => return self.skip_body(),
                Token::Word(_) | Token::Text(_) | Token::Sign(_) => {}
            }
        }
        Ok(())
    }

    fn words(&mut self) -> Result<(), Problem> {
        let name = self.dotted("the name of a list of words")?;
        self.open()?;
        let mut longest = 0;
        loop {
            match self.next("`}`")? {
                (Token::Sign('}'), _) => break,
                (Token::Word(word), _) => longest = longest.max(word.chars().count()),
                (Token::Sign('['), _) => drop(self.settings()?),
                (Token::Text(_) | Token::Sign(_) | Token::LineEnd, _) => {}
            }
        }
        self.enums.insert(name, longest);
        Ok(())
    }

    fn table(&mut self) -> Result<(), Problem> {
        let mut table = DbmlTable {
            name: self.dotted("the name of a table")?,
            columns: Vec::new(),
        };
        self.open()?;
        loop {
            match self.next("`}`")? {
                (Token::Sign('}'), _) => break,
                (Token::LineEnd, _) => {}
                (Token::Word(word), place) => {
                    let opens = self.next_is(&Token::Sign('{'));
                    let is_note = word.eq_ignore_ascii_case("note");
                    if opens && word.eq_ignore_ascii_case("indexes") {
                        self.indexes(&mut table)?;
                    } else if opens || is_note && self.next_is(&Token::Sign(':')) {
                        self.skip_element()?;
                    } else {
                        let column = self.column(word, place)?;
                        table.columns.push(column);
                    }
                }
                (Token::Sign('~'), place) => {
                    let message = "a partial table is not read";
                    let hint = "write its columns into the table itself";
                    return Err(Problem::mistake(place, message).hint(hint));
                }
                (Token::Text(_) | Token::Sign(_), place) => {
                    return Err(expected(place, "a column"));
                }
            }
        }
        self.tables.push(table);
        Ok(())
    }

    fn column(&mut self, name: String, location: Location) -> Result<DbmlColumn, Problem> {
        let mut declared = String::new();
        let mut settings = Vec::new();
        loop {
            match self.tokens.peek() {
                None | Some((Token::LineEnd | Token::Sign('}'), _)) => break,
                Some((Token::Sign('['), _)) => {
                    self.tokens.next();
                    settings = self.settings()?;
                }
                Some(_) => {
                    let (token, place) = self.next("a type")?;
                    match token {
                        Token::Word(word) => {
                            if declared.ends_with(char::is_alphanumeric) {
                                declared.push(' ');
                            }
                            declared += &word;
                        }
                        Token::Sign(sign) => declared.push(sign),
                        Token::Text(_) | Token::LineEnd => return Err(expected(place, "a type")),
                    }
                }
            }
        }
        if declared.is_empty() {
            return Err(expected(location, "a column's name and its type"));
        }
        let says = |wanted: &str| settings.iter().any(|setting| setting == wanted);
        let key = says("pk") || says("primary key");
        Ok(DbmlColumn {
            name,
            declared,
            nullable: !key && !says("not null"),
            key,
            unique: says("unique"),
            location,
        })
    }

    /// Settings up to the closing bracket, in lower case; their values are left out.
    fn settings(&mut self) -> Result<Vec<String>, Problem> {
        let (mut settings, mut words, mut is_value) = (Vec::new(), Vec::new(), false);
        loop {
            let (token, _) = self.next("`]`")?;
            match token {
                Token::Sign(sign @ (',' | ']')) => {
                    settings.push(std::mem::take(&mut words).join(" "));
                    is_value = false;
                    if sign == ']' {
                        return Ok(settings);
                    }
                }
                Token::Sign(':') => is_value = true,
                Token::Word(word) if !is_value => words.push(word.to_lowercase()),
                Token::Word(_) | Token::Text(_) | Token::Sign(_) | Token::LineEnd => {}
            }
        }
    }

    /// Marks what an index of several columns identifies.
    fn indexes(&mut self, table: &mut DbmlTable) -> Result<(), Problem> {
        self.open()?;
        let mut columns = Vec::new();
        loop {
            let (token, place) = self.next("`}`")?;
            match token {
                Token::Sign('}') => return Ok(()),
                Token::Word(word) => columns.push(word),
                Token::Sign('[') => {
                    let settings = self.settings()?;
                    let says = |wanted: &str| settings.iter().any(|setting| setting == wanted);
                    for name in columns.drain(..) {
                        let mut found = table.columns.iter_mut();
                        let Some(column) = found.find(|column| column.name == name) else {
                            let message =
                                format!("`{}` is no column of table `{}`", name, table.name);
                            return Err(Problem::mistake(place, message));
                        };
                        if says("pk") {
                            (column.key, column.nullable) = (true, false);
                        }
                    }
                    self.skip_line_ends();
                }
                Token::LineEnd => columns.clear(),
                Token::Text(_) | Token::Sign(_) => {}
            }
        }
    }
}

fn expected(place: Location, wanted: &str) -> Problem {
    Problem::mistake(
        place,
        format!("this is not DBML: {wanted} is expected here"),
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;
    use crate::config::schema::parse_schema;

    fn shape(text: &str) -> Vec<String> {
        let tables = read_dbml("x.dbml", text).unwrap();
        let column = |column: &DbmlColumn| {
            let null = if column.nullable { "" } else { " NOT NULL" };
            let key = if column.key { " KEY" } else { "" };
            format!("{} {}{null}{key}", column.name, column.declared)
        };
        let table = |table: &DbmlTable| {
            let columns: Vec<String> = table.columns.iter().map(column).collect();
            format!("{}: {}", table.name, columns.join(", "))
        };
        tables.iter().map(table).collect()
    }

    #[test]
    fn a_designer_s_diagram_is_read() {
        let text = "// a diagram\nProject crm { database_type: 'PostgreSQL' }\n\
            Enum public.risk { low\n  \"very high\" [note: 'x']\n }\n\
            Table public.health_score as H [headercolor: #fff] {\n\
              account_id varchar(18) [pk, note: 'not null, [ ]'] // key\n\
              \"Health Score\" decimal(5, 2) [not null, default: 0.5]\n\
              risk risk [ref: > other.id]\n  scored_at \"timestamp with time zone\"\n\
              Note: '''three\nlines'''\n}\n\
            Ref: H.account_id > accounts.id\n\
            Table plain {\n a int\n b int [unique]\n\n indexes { (a) [name: 'i'] }\n}\n\
            Table two { region char(2)\n id bigint\n score real\n indexes {\n (region, id) [pk]\n score\n }\n}\n";
        assert_eq!(
            shape(text),
            [
                "health_score: account_id varchar(18) NOT NULL KEY, Health Score decimal(5,2) NOT NULL, \
                 risk VARCHAR(9), scored_at timestamp with time zone",
                "plain: a int, b int KEY",
                "two: region char(2) NOT NULL KEY, id bigint NOT NULL KEY, score real",
            ]
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        for columns in [
            "account_id VARCHAR(18) PRIMARY KEY, \"a \"\"b\"\" \\\" DECIMAL(5,2) NOT NULL, at TIMESTAMP WITH TIME ZONE",
            "region CHAR(2), id BIGINT, score DOUBLE PRECISION, PRIMARY KEY (region, id)",
        ] {
            let text = format!("CREATE TABLE dashboard.\"scores of 2026\" ({columns})");
            let (schema, _) = parse_schema("sql/it's.sql", &text).unwrap();
            let tables = read_dbml("x.dbml", &write_dbml(std::slice::from_ref(&schema))).unwrap();
            let [table] = tables.as_slice() else {
                panic!("{tables:?}")
            };
            assert_eq!(table.name, "scores of 2026");
            for (position, (column, read)) in schema.columns.iter().zip(&table.columns).enumerate()
            {
                let is_key = schema.key.contains(&position);
                assert_eq!(column.name, read.name);
                assert_eq!(column.column_type.to_string(), read.declared);
                assert_eq!(
                    (column.nullable && !is_key, is_key),
                    (read.nullable, read.key)
                );
            }
        }
    }

    #[test]
    fn what_is_no_dbml_is_told_with_its_place() {
        for (text, place, told) in [
            (
                "Table a {\n  x\n}",
                "x.dbml:2:3",
                "a column's name and its type",
            ),
            ("Table a {\n  x int", "x.dbml:2:8", "`}` is expected"),
            (
                "Table a { x int\n Note: 'b }",
                "x.dbml:2:8",
                "is never closed",
            ),
            ("Table { x int }", "x.dbml:1:7", "the name of a table"),
        ] {
            let problem = read_dbml("x.dbml", text).unwrap_err();
            let shown = problem.location.as_ref().unwrap().to_string();
            assert_eq!(
                (shown.as_str(), true),
                (place, problem.message.contains(told)),
                "{problem:?}"
            );
        }
    }
}
