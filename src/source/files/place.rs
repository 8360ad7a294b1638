//! Where a model is wrong: what polars' SQL and the parser say, with file, line and column.

use std::ops::ControlFlow;

use polars::prelude::PolarsError;
use sqlparser::ast::{Expr, Function, Statement, Visit, Visitor, WindowSpec, WindowType};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::ParserError;
use sqlparser::tokenizer::{Location as TokenLocation, Token, Tokenizer, TokenizerError};

use crate::domain::error::SystemError;
use crate::domain::problem::{Location, PlacedCause};
use crate::domain::schema::Schema;

/// What errors of a model name.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) connection: String,
    /// "the model of `sql/x.sql`".
    pub(super) model: String,
    sql: String,
    /// Where the model begins in its file.
    begins: Option<Location>,
}

/// A mistake and the word of the model that it is about, where there is one.
struct Mistake {
    at: Option<TokenLocation>,
    cause: String,
    hint: String,
}

impl Place {
    pub(super) fn of(connection: &str, schema: &Schema, sql: &str) -> Self {
        Self {
            connection: connection.to_owned(),
            model: format!("the model of `{}`", schema.file),
            sql: sql.to_owned(),
            begins: schema.model_location.clone(),
        }
    }

    pub(super) fn failed(
        &self,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
        hint: &str,
    ) -> SystemError {
        SystemError::Failed {
            connection: self.connection.clone(),
            doing: self.model.clone(),
            source: cause.into(),
            hint: Some(hint.to_owned()),
        }
    }

    fn refused(&self, mistake: Mistake) -> SystemError {
        let Mistake { at, cause, hint } = mistake;
        match &self.begins {
            Some(begins) => {
                let location = at.map_or_else(|| begins.clone(), |at| within(begins, at));
                let message = cause;
                self.failed(PlacedCause { location, message }, &hint)
            }
            None => self.failed(cause, &hint),
        }
    }

    /// A model that is no SQL.
    pub(super) fn parser_failed(&self, error: ParserError) -> SystemError {
        let hint = "write one SELECT, as polars' SQL has it";
        let message = match error {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
            ParserError::RecursionLimitExceeded => "it is nested too deeply".to_owned(),
        };
        let (cause, at) = match message.rsplit_once(" at Line: ") {
            Some((cause, place)) => (cause.to_owned(), read_place(place)),
            None => (message, None),
        };
        let hint = hint.to_owned();
        self.refused(Mistake { at, cause, hint })
    }

    pub(super) fn tokenizer_failed(&self, error: TokenizerError) -> SystemError {
        self.refused(Mistake {
            at: Some(error.location),
            cause: error.message,
            hint: "write one SELECT, as polars' SQL has it".to_owned(),
        })
    }

    /// What polars says, without the values of records that it likes to show, at the word it is
    /// about.
    pub(super) fn polars_failed(&self, error: &PolarsError) -> SystemError {
        let hint = "over files a model is written in polars' SQL; a column of CSV and NDJSON that the schema does not name \
                    is text until CAST, and a number is compared with a number, not with a text";
        let cause = without_values(&error.to_string());
        let at = quoted_word(&cause).and_then(|word| self.find(word));
        let hint = hint.to_owned();
        self.refused(Mistake { at, cause, hint })
    }

    /// Where a word stands first.
    fn find(&self, wanted: &str) -> Option<TokenLocation> {
        let tokens = Tokenizer::new(&GenericDialect, &self.sql).tokenize_with_location();
        let mut tokens = tokens.ok()?.into_iter();
        let found = tokens.find(|token| {
            let Token::Word(word) = &token.token else {
                return false;
            };
            word.value.eq_ignore_ascii_case(wanted)
        });
        found.map(|token| token.span.start)
    }

    /// Refuses functions that polars' SQL does not have or understands by half, and says what to
    /// write instead.
    pub(super) fn check_windows(&self, statements: &[Statement]) -> Result<(), SystemError> {
        for statement in statements {
            if let ControlFlow::Break(mistake) = statement.visit(&mut Windows) {
                return Err(self.refused(mistake));
            }
        }
        Ok(())
    }
}

/// A place in the file of which a part begins at `begins`.
fn within(begins: &Location, at: TokenLocation) -> Location {
    let number = |number: u64| usize::try_from(number).unwrap_or(1).max(1);
    let (line, column) = (number(at.line), number(at.column));
    Location {
        file: begins.file.clone(),
        line: begins.line + line - 1,
        column: if line == 1 {
            begins.column + column - 1
        } else {
            column
        },
    }
}

/// Reads `3, Column: 14`.
fn read_place(text: &str) -> Option<TokenLocation> {
    let (line, column) = text.split_once(", Column: ")?;
    Some(TokenLocation {
        line: line.parse().ok()?,
        column: column.trim().parse().ok()?,
    })
}

/// The first word of a message that stands in quotes.
fn quoted_word(message: &str) -> Option<&str> {
    let open = message.find(['"', '\'', '`'])?;
    let quote = message.get(open..)?.chars().next()?;
    let rest = message.get(open + 1..)?;
    rest.get(..rest.find(quote)?)
}

/// A message of polars up to where it lists values.
fn without_values(message: &str) -> String {
    let end = [": [", ": \"", ": '"]
        .iter()
        .filter_map(|opening| message.find(opening))
        .min();
    let kept = message
        .get(..end.unwrap_or(message.len()))
        .unwrap_or(message)
        .trim_end();
    // What introduced the list would now introduce nothing.
    kept.trim_end_matches("; valid columns").to_owned()
}

/// Looks at every function that is taken over a window.
struct Windows;

impl Visitor for Windows {
    type Break = Mistake;

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Mistake> {
        let Expr::Function(function) = expression else {
            return ControlFlow::Continue(());
        };
        let Some(window) = &function.over else {
            return ControlFlow::Continue(());
        };
        let spec = if let WindowType::WindowSpec(spec) = window {
            Some(spec)
        } else {
            None
        };
        match mistake_of(function, spec) {
            Some(mistake) => ControlFlow::Break(mistake),
            None => ControlFlow::Continue(()),
        }
    }
}

fn mistake_of(function: &Function, spec: Option<&WindowSpec>) -> Option<Mistake> {
    let name = function.name.to_string().to_uppercase();
    let parts = function.name.0.first();
    let at = parts.and_then(|part| part.as_ident().map(|name| name.span.start));
    let hint = match name.as_str() {
        "RANK" => rank_hint(spec),
        "DENSE_RANK" => {
            "number the distinct values in a `WITH`, by `ROW_NUMBER()`, and join them".to_owned()
        }
        "PERCENT_RANK" | "CUME_DIST" | "NTILE" => {
            "calculate it from `ROW_NUMBER() OVER (…)` and `COUNT(*) OVER (…)`".to_owned()
        }
        "NTH_VALUE" => {
            "filter by `ROW_NUMBER() OVER (…)` in an inner SELECT, and join it".to_owned()
        }
        _ => {
            let descending = |spec: &WindowSpec| {
                let mut order = spec.order_by.iter();
                let first = order.next().map(|by| by.options.asc == Some(false));
                order.any(|by| Some(by.options.asc == Some(false)) != first)
            };
            return spec.is_some_and(descending).then(|| Mistake {
                at,
                cause: format!(
                    "{name} is ordered in two directions, which models over files are not"
                ),
                hint: "order by all in one direction; `-score` turns that of a number".to_owned(),
            });
        }
    };
    Some(Mistake {
        at,
        cause: format!("{name} is no function of models over files"),
        hint,
    })
}

/// How to rank by numbering: records that are equal share the lowest of their numbers.
fn rank_hint(spec: Option<&WindowSpec>) -> String {
    let Some(spec) = spec else {
        return "number records with `ROW_NUMBER() OVER (…)` instead".to_owned();
    };
    let partition = spec.partition_by.iter().map(ToString::to_string);
    let order = spec.order_by.iter().map(|by| by.expr.to_string());
    let equal: Vec<String> = partition.chain(order).collect();
    format!(
        "write `ROW_NUMBER() OVER ({spec}) AS position` in an inner SELECT, and \
         `MIN(position) OVER (PARTITION BY {})` in the outer one",
        equal.join(", ")
    )
}
