//! Schema SQL: one `CREATE TABLE` and, optionally, the model. The `CREATE TABLE` is parsed; the
//! model is in the source's own dialect and stays as it is written.

use std::sync::Arc;

use sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, Expr, Ident, ObjectNamePart, PrimaryKeyConstraint,
    Spanned, Statement, TableConstraint,
};
use sqlparser::dialect::{Dialect, GenericDialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location as Place, Token, TokenWithSpan, Tokenizer};

use super::schema_types::schema_type;
use crate::domain::problem::{Location, Problem, did_you_mean};
use crate::domain::schema::{Schema, SchemaColumn, SchemaType};

/// Brackets within brackets that a `CREATE TABLE` may have; the parser goes one call deeper with
/// each.
const NESTING_MAX: usize = 40;

/// Reads a schema file's text. Errors: every mistake and, when there is a mistake, every warning.
/// Warnings alone come back beside the schema.
pub(super) fn parse_schema(file: &str, text: &str) -> Result<(Schema, Vec<Problem>), Vec<Problem>> {
    let file = SchemaFile {
        name: Arc::from(file),
        text,
    };
    let (tokens, after) = file.first_statement()?;
    let table = file.parse_table(tokens)?;
    let mut reading = Reading {
        file: &file,
        problems: Vec::new(),
    };
    let (columns, key) = reading.columns(&table);
    let name = reading.table_name(&table);
    let model = reading.model(after);
    let problems = reading.problems;
    match (name, key) {
        (Some(table), Some(key)) if !super::has_mistake(&problems) => Ok((
            Schema {
                table,
                columns,
                key,
                model_location: model.as_ref().map(|(_, location)| location.clone()),
                model: model.map(|(sql, _)| sql),
                file: file.name,
            },
            problems,
        )),
        _ => Err(problems),
    }
}

/// Dialects that a `CREATE TABLE` is tried in; the first one's complaint is what people get to
/// read.
fn dialects() -> [Box<dyn Dialect>; 4] {
    [
        Box::new(GenericDialect),
        Box::new(PostgreSqlDialect {}),
        Box::new(MySqlDialect {}),
        Box::new(SQLiteDialect {}),
    ]
}

struct SchemaFile<'a> {
    name: Arc<str>,
    text: &'a str,
}

impl SchemaFile<'_> {
    fn start(&self) -> Location {
        Location {
            file: Arc::clone(&self.name),
            line: 1,
            column: 1,
        }
    }

    fn location(&self, place: Place) -> Location {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).max(1);
        Location {
            file: Arc::clone(&self.name),
            line: count(place.line),
            column: count(place.column),
        }
    }

    /// Tokens of the first statement, and the byte at which what follows it begins.
    /// Errors: there is none, or it is not a `CREATE TABLE`.
    fn first_statement(&self) -> Result<(Vec<TokenWithSpan>, usize), Vec<Problem>> {
        let mut tokens = Vec::new();
        let failure = Tokenizer::new(&GenericDialect, self.text)
            .tokenize_with_location_into_buf(&mut tokens)
            .err();
        let end = tokens
            .iter()
            .position(|token| token.token == Token::SemiColon);
        if let (Some(error), None) = (failure, end) {
            let message = format!("this is not SQL: {}", lower_first(&error.message));
            return Err(vec![Problem::mistake(
                self.location(error.location),
                message,
            )]);
        }
        let after = match end.and_then(|end| tokens.get(end)) {
            Some(semicolon) => offset_of(self.text, semicolon.span.end),
            None => self.text.len(),
        };
        tokens.truncate(end.unwrap_or(tokens.len()));
        self.expect_create_table(&tokens)?;
        Ok((tokens, after))
    }

    fn expect_create_table(&self, tokens: &[TokenWithSpan]) -> Result<(), Vec<Problem>> {
        let keywords = || tokens.iter().filter_map(keyword);
        let first = tokens.iter().find(|token| !is_space(token));
        let creates = first.and_then(keyword) == Some(Keyword::CREATE);
        if !creates
            || !keywords()
                .take(CREATE_TABLE_WORDS_MAX)
                .any(|word| word == Keyword::TABLE)
        {
            let location =
                first.map_or_else(|| self.start(), |token| self.location(token.span.start));
            let problem = Problem::mistake(location, "a schema begins with `CREATE TABLE`")
                .hint("`writeback schema CONNECTION TABLE` prints one to start from");
            return Err(vec![problem]);
        }
        match deepest(tokens) {
            ..=NESTING_MAX => Ok(()),
            _ => Err(vec![Problem::mistake(
                self.start(),
                "the `CREATE TABLE` nests its brackets too deeply",
            )]),
        }
    }

    fn parse_table(&self, tokens: Vec<TokenWithSpan>) -> Result<CreateTable, Vec<Problem>> {
        let mut complaint = None;
        for dialect in dialects() {
            match parse_statement(dialect.as_ref(), tokens.clone()) {
                Ok(Statement::CreateTable(table)) => return Ok(table),
                Ok(_) => complaint = complaint.or(Some("this is not a `CREATE TABLE`".to_owned())),
                Err(error) => complaint = complaint.or(Some(parser_message(error))),
            }
        }
        Err(vec![self.syntax_problem(&complaint.unwrap_or_default())])
    }

    /// The parser tells the place at the end of its message.
    fn syntax_problem(&self, complaint: &str) -> Problem {
        let (message, place) = match complaint.rsplit_once(" at Line: ") {
            Some((message, place)) => (message, parse_place(place)),
            None => (complaint, None),
        };
        let location = match place {
            Some(place) => self.location(place),
            None if message.ends_with("found: EOF") => {
                Location::at(&self.name, self.text, self.text.trim_end().len())
            }
            None => self.start(),
        };
        let message = message.replace("found: EOF", "found: the end");
        Problem::mistake(
            location,
            format!(
                "this is not a `CREATE TABLE` in standard SQL: {}",
                lower_first(&message)
            ),
        )
    }
}

/// Words that may stand before and with `CREATE … TABLE`: `OR REPLACE GLOBAL TEMPORARY`.
const CREATE_TABLE_WORDS_MAX: usize = 6;

fn parse_statement(
    dialect: &dyn Dialect,
    tokens: Vec<TokenWithSpan>,
) -> Result<Statement, ParserError> {
    let mut parser = Parser::new(dialect).with_tokens_with_locations(tokens);
    let statement = parser.parse_statement()?;
    parser.expect_token(&Token::EOF)?;
    Ok(statement)
}

fn parser_message(error: ParserError) -> String {
    match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => "it nests its brackets too deeply".to_owned(),
    }
}

/// `3, Column: 14`.
fn parse_place(text: &str) -> Option<Place> {
    let (line, column) = text.split_once(", Column: ")?;
    Some(Place {
        line: line.parse().ok()?,
        column: column.parse().ok()?,
    })
}

fn keyword(token: &TokenWithSpan) -> Option<Keyword> {
    if let Token::Word(word) = &token.token {
        Some(word.keyword)
    } else {
        None
    }
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

/// How deeply brackets are nested at most.
fn deepest(tokens: &[TokenWithSpan]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    for token in tokens {
        if matches!(
            token.token,
            Token::LParen | Token::Lt | Token::LBracket | Token::LBrace
        ) {
            depth += 1;
        } else if matches!(
            token.token,
            Token::RParen | Token::Gt | Token::RBracket | Token::RBrace
        ) {
            depth = depth.saturating_sub(1);
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The byte at which a place stands; the end of the text for a place beyond it.
fn offset_of(text: &str, place: Place) -> usize {
    let (mut line, mut column) = (1, 1);
    for (offset, character) in text.char_indices() {
        if (line, column) >= (place.line, place.column) {
            return offset;
        }
        if character == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    text.len()
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(characters).collect()
    })
}

/// A `CREATE TABLE` being read, and what was found wrong with it.
struct Reading<'a> {
    file: &'a SchemaFile<'a>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn mistake(&mut self, location: Location, message: String, hint: Option<&str>) {
        self.problems
            .push(Problem::mistake(location, message).hint_if(hint));
    }

    fn ignored(&mut self, location: Location, clause: &str) {
        let message = format!("`{clause}` says nothing to a write-back and is ignored");
        self.problems.push(Problem::warning(location, message));
    }

    fn place(&self, name: &Ident) -> Location {
        self.file.location(name.span.start)
    }

    fn table_name(&mut self, table: &CreateTable) -> Option<Vec<String>> {
        const PARTS_MAX: usize = 3;
        let parts = table.name.0.iter().map(ObjectNamePart::as_ident);
        let parts: Option<Vec<String>> = parts
            .map(|part| part.map(|name| name.value.clone()))
            .collect();
        let parts = parts.filter(|parts| (1..=PARTS_MAX).contains(&parts.len()));
        if parts.is_none() {
            let message = format!(
                "`{}` is not a table's name of one to three parts",
                table.name
            );
            self.mistake(self.file.start(), message, None);
        }
        parts
    }

    /// The columns and the positions of the unique identifier's parts among them.
    fn columns(&mut self, table: &CreateTable) -> (Vec<SchemaColumn>, Option<Vec<usize>>) {
        if table.columns.is_empty()
            || table.query.is_some()
            || table.like.is_some()
            || table.clone.is_some()
        {
            let hint = "list the columns with their types; a model follows after a `;`";
            self.mistake(
                self.file.start(),
                "the `CREATE TABLE` does not list its columns alone".to_owned(),
                Some(hint),
            );
            return (Vec::new(), None);
        }
        self.report_doubled(&table.columns);
        let mut columns: Vec<SchemaColumn> = table
            .columns
            .iter()
            .map(|column| self.column(column))
            .collect();
        let key = self.key(table, &columns);
        for position in key.iter().flatten() {
            if let Some(column) = columns.get_mut(*position) {
                column.nullable = false;
                self.check_key_type(column);
            }
        }
        (columns, key)
    }

    fn report_doubled(&mut self, columns: &[ColumnDef]) {
        for (index, column) in columns.iter().enumerate() {
            let before = columns
                .iter()
                .take(index)
                .find(|other| same_name(&column.name, &other.name));
            if let Some(other) = before {
                let first = self.place(&other.name);
                let message = format!("column `{}` stands here twice", column.name.value);
                let hint = format!("the first stands in line {}", first.line);
                self.mistake(self.place(&column.name), message, Some(&hint));
            }
        }
    }

    fn column(&mut self, column: &ColumnDef) -> SchemaColumn {
        let location = self.place(&column.name);
        let name = column.name.value.clone();
        if name.is_empty() || name.contains(char::is_control) {
            let message = "a column's name is empty or holds a control character".to_owned();
            self.mistake(location.clone(), message, None);
        }
        let column_type = schema_type(&column.data_type).unwrap_or_else(|refusal| {
            let message = format!("column `{name}`: {}", refusal.message);
            self.mistake(location.clone(), message, Some(&refusal.hint));
            // Only stands in until the mistake is reported: a schema with a mistake is never used.
            SchemaType::Text {
                characters_max: None,
            }
        });
        let nullable = self.options(column, &location);
        SchemaColumn {
            name,
            column_type,
            nullable,
            location,
        }
    }

    /// Whether the column may be NULL; options that mean nothing here are noted.
    fn options(&mut self, column: &ColumnDef, location: &Location) -> bool {
        let options = || column.options.iter().map(|option| &option.option);
        let not_null = options().any(|option| matches!(option, ColumnOption::NotNull));
        if not_null && options().any(|option| matches!(option, ColumnOption::Null)) {
            self.mistake(
                location.clone(),
                format!("column `{}` is both NULL and NOT NULL", column.name.value),
                None,
            );
        }
        for option in options().filter(|option| !is_understood(option)) {
            self.ignored(location.clone(), &clause_name(&option.to_string()));
        }
        !not_null
    }

    /// The positions of the unique identifier's parts, wherever it is declared.
    fn key(&mut self, table: &CreateTable, columns: &[SchemaColumn]) -> Option<Vec<usize>> {
        let mut keys: Vec<(Location, Option<Vec<usize>>)> = Vec::new();
        for (position, column) in table.columns.iter().enumerate() {
            if column
                .options
                .iter()
                .any(|option| matches!(option.option, ColumnOption::PrimaryKey(_)))
            {
                keys.push((self.place(&column.name), Some(vec![position])));
            }
        }
        for constraint in &table.constraints {
            let location = self.file.location(constraint.span().start);
            match constraint_key(constraint) {
                Some(key) => keys.push((location, self.constraint_columns(key, columns))),
                None => self.ignored(location, &clause_name(&constraint.to_string())),
            }
        }
        if let Some((second, _)) = keys.get(1) {
            let hint = "an identifier of several columns is written once: `PRIMARY KEY (a, b)`";
            self.mistake(
                second.clone(),
                "the schema has more than one `PRIMARY KEY`".to_owned(),
                Some(hint),
            );
        } else if keys.is_empty() {
            let hint = "write `PRIMARY KEY` after the column that identifies a record";
            let location =
                table_location(table).map_or_else(|| self.file.start(), |name| self.place(name));
            self.mistake(
                location,
                "the schema has no `PRIMARY KEY`".to_owned(),
                Some(hint),
            );
        }
        keys.into_iter().next().and_then(|(_, key)| key)
    }

    fn constraint_columns(
        &mut self,
        key: &PrimaryKeyConstraint,
        columns: &[SchemaColumn],
    ) -> Option<Vec<usize>> {
        let names = key.columns.iter().map(|part| &part.column.expr);
        let positions: Vec<Option<usize>> = names
            .map(|name| self.constraint_column(name, columns))
            .collect();
        let positions: Vec<usize> = positions.into_iter().collect::<Option<_>>()?;
        let doubled = positions.iter().enumerate().find(|(index, position)| {
            positions
                .iter()
                .take(*index)
                .any(|other| other == *position)
        });
        if let Some(column) = doubled.and_then(|(_, position)| columns.get(*position)) {
            let message = format!("`PRIMARY KEY` names column `{}` twice", column.name);
            self.mistake(column.location.clone(), message, None);
        }
        (!positions.is_empty()).then_some(positions)
    }

    fn constraint_column(&mut self, expression: &Expr, columns: &[SchemaColumn]) -> Option<usize> {
        let Expr::Identifier(name) = expression else {
            let message = format!("`PRIMARY KEY` names `{expression}`, which is not a column");
            self.mistake(self.file.location(expression.span().start), message, None);
            return None;
        };
        let exact = columns.iter().position(|column| column.name == name.value);
        let folded = || {
            columns
                .iter()
                .position(|column| column.name.to_lowercase() == name.value.to_lowercase())
        };
        let position = exact.or_else(|| folded().filter(|_| name.quote_style.is_none()));
        if position.is_none() {
            let hint = did_you_mean(
                &name.value,
                columns.iter().map(|column| column.name.as_str()),
            );
            let message = format!(
                "`PRIMARY KEY` names `{}`, which is not a column of the schema",
                name.value
            );
            self.mistake(self.place(name), message, hint.as_deref());
        }
        position
    }

    fn check_key_type(&mut self, column: &SchemaColumn) {
        if column.column_type == SchemaType::Json {
            let message = format!(
                "column `{}` identifies a record and cannot be JSON",
                column.name
            );
            self.mistake(
                column.location.clone(),
                message,
                Some("choose a column of text or numbers"),
            );
        }
        if matches!(column.column_type, SchemaType::Float { .. }) {
            let message = format!(
                "column `{}` identifies a record and is a float",
                column.name
            );
            let hint = "floats seldom equal one another exactly; declare it as `DECIMAL` or `BIGINT` if it is one";
            self.problems
                .push(Problem::warning(column.location.clone(), message).hint(hint));
        }
    }

    /// The query in `text[after..]`, as it is written, without comments around it and without its
    /// semicolon, and where it begins.
    fn model(&mut self, after: usize) -> Option<(String, Location)> {
        let text = self.file.text.get(after..).unwrap_or_default();
        let cuts: Vec<Cut> = dialects()
            .iter()
            .filter_map(|dialect| cut(dialect.as_ref(), text))
            .collect();
        let chosen = cuts
            .iter()
            .find(|cut| cut.second.is_none())
            .or(cuts.first());
        let (start, end, second) = match chosen {
            Some(Cut { start, end, second }) => (*start, *end, *second),
            // No dialect known here tells its quotes apart; the source will.
            None => (
                text.find(|character: char| !character.is_whitespace())?,
                text.len(),
                None,
            ),
        };
        let model = text
            .get(start..end)?
            .trim_end_matches(|character: char| character == ';' || character.is_whitespace());
        if model.is_empty() {
            return None;
        }
        let location =
            |offset: usize| Location::at(&self.file.name, self.file.text, after + offset);
        if let Some(second) = second {
            let hint = "a schema is one `CREATE TABLE` and at most one query";
            self.mistake(
                location(second),
                "there is a statement too many".to_owned(),
                Some(hint),
            );
        } else if !is_query(model) {
            let hint = "what follows the `CREATE TABLE` is the model: one query";
            self.mistake(
                location(start),
                "a model begins with `SELECT` or `WITH`".to_owned(),
                Some(hint),
            );
        }
        let begins = location(start);
        Some((model.to_owned(), begins))
    }
}

/// Where the first statement of a text stands, and where a second one begins, in bytes.
struct Cut {
    start: usize,
    end: usize,
    second: Option<usize>,
}

/// Cuts the first statement out; `None` if the text is not made of the dialect's tokens.
fn cut(dialect: &dyn Dialect, text: &str) -> Option<Cut> {
    let tokens = Tokenizer::new(dialect, text)
        .tokenize_with_location()
        .ok()?;
    let mut words = tokens
        .iter()
        .filter(|token| !is_space(token))
        .skip_while(|token| token.token == Token::SemiColon);
    let Some(first) = words.next() else {
        return Some(Cut {
            start: text.len(),
            end: text.len(),
            second: None,
        });
    };
    let last = words
        .by_ref()
        .take_while(|token| token.token != Token::SemiColon)
        .last()
        .unwrap_or(first);
    let second = words.find(|token| token.token != Token::SemiColon);
    Some(Cut {
        start: offset_of(text, first.span.start),
        end: offset_of(text, last.span.end),
        second: second.map(|token| offset_of(text, token.span.start)),
    })
}

fn is_query(model: &str) -> bool {
    let end = model
        .find(|character: char| !character.is_ascii_alphabetic())
        .unwrap_or(model.len());
    let word = model.get(..end).unwrap_or_default();
    word.eq_ignore_ascii_case("select") || word.eq_ignore_ascii_case("with")
}

fn constraint_key(constraint: &TableConstraint) -> Option<&PrimaryKeyConstraint> {
    if let TableConstraint::PrimaryKey(key) = constraint {
        Some(key)
    } else {
        None
    }
}

fn table_location(table: &CreateTable) -> Option<&Ident> {
    table.name.0.last().and_then(ObjectNamePart::as_ident)
}

/// Names that differ only in case are the same column to most databases, unless both are quoted.
fn same_name(left: &Ident, right: &Ident) -> bool {
    match left.quote_style.is_some() && right.quote_style.is_some() {
        true => left.value == right.value,
        false => left.value.to_lowercase() == right.value.to_lowercase(),
    }
}

/// Options that a schema uses, or that only describe.
fn is_understood(option: &ColumnOption) -> bool {
    matches!(
        option,
        ColumnOption::Null
            | ColumnOption::NotNull
            | ColumnOption::PrimaryKey(_)
            | ColumnOption::Comment(_)
            | ColumnOption::Collation(_)
            | ColumnOption::CharacterSet(_)
    )
}

/// The leading words of a clause: `DEFAULT`, `FOREIGN KEY`.
fn clause_name(clause: &str) -> String {
    let plain = |word: &&str| {
        word.chars()
            .all(|character| character.is_ascii_uppercase() || character == '_')
    };
    let words: Vec<&str> = clause.split([' ', '(']).take_while(plain).take(2).collect();
    match words.is_empty() {
        true => "CONSTRAINT".to_owned(),
        false => words.join(" ").trim().to_owned(),
    }
}
