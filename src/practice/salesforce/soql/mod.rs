//! SOQL: what a query says. Source: "Salesforce Object Query Language (SOQL)" of the SOQL and SOSL
//! reference. What cannot be read is told in the words of Salesforce.

mod dates;
mod lex;
mod parse;

pub(super) use dates::{DateRange, midnight};
pub(super) use parse::{parse, parse_condition};

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Query {
    pub(super) select: Vec<Selected>,
    pub(super) from: Name,
    pub(super) condition: Option<Condition>,
    pub(super) group_by: Vec<Name>,
    pub(super) having: Option<Condition>,
    pub(super) order: Vec<Order>,
    pub(super) limit: Option<usize>,
    pub(super) offset: usize,
    /// Deleted ones too: `ALL ROWS`.
    pub(super) all_rows: bool,
}

/// A name of one or more parts, and where it stands in the text (in characters, from 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) parts: Vec<String>,
    pub(super) at: usize,
}

impl Name {
    pub(super) fn last(&self) -> &str {
        self.parts.last().map_or("", String::as_str)
    }

    pub(super) fn text(&self) -> String {
        self.parts.join(".")
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Selected {
    Field(Name),
    /// `COUNT()`.
    Count,
    Aggregate {
        function: Function,
        of: Name,
        alias: Option<String>,
    },
    /// `FIELDS(ALL)`, `FIELDS(STANDARD)`, `FIELDS(CUSTOM)`.
    Fields(Group),
    /// Records of a relationship to many.
    Children(Box<Query>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    All,
    Standard,
    Custom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Count,
    CountDistinct,
    Min,
    Max,
    Sum,
    Avg,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare {
        field: Name,
        operator: Operator,
        value: Literal,
    },
    /// `IN` and `NOT IN`.
    Among {
        field: Name,
        negated: bool,
        values: Vec<Literal>,
    },
    /// `IN (SELECT …)` and `NOT IN (SELECT …)`.
    AmongFound {
        field: Name,
        negated: bool,
        query: Box<Query>,
    },
    /// `INCLUDES` and `EXCLUDES`: each value is a set of choices, all of which must be there.
    Holds {
        field: Name,
        negated: bool,
        values: Vec<Literal>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
}

/// A value as a query writes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Boolean(bool),
    Text(String),
    /// With its text.
    Number(f64, String),
    /// `YYYY-MM-DD`.
    Date(String),
    /// Milliseconds since 1970.
    Moment(i64),
    /// `TODAY`, `LAST_N_DAYS:30` and the like.
    Range(DateRange),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) field: Name,
    pub(super) descending: bool,
    pub(super) nulls_last: bool,
}

/// Why a query cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueryError {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl QueryError {
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self {
            code: "MALFORMED_QUERY",
            message: message.into(),
        }
    }

    /// With the line of the text, and a mark under the place that is meant.
    pub(super) fn at(text: &str, at: usize, code: &'static str, what: &str) -> Self {
        let before: String = text.chars().take(at).collect();
        let row = before.matches('\n').count() + 1;
        let column = before
            .chars()
            .rev()
            .take_while(|sign| *sign != '\n')
            .count()
            + 1;
        // Salesforce shows a window of the text and not all of it.
        let from = at.saturating_sub(30);
        let window: String = text
            .chars()
            .skip(from)
            .take(60)
            .map(|sign| if sign == '\n' { ' ' } else { sign })
            .collect();
        let mark = " ".repeat(at - from);
        Self {
            code,
            message: format!("\n{window}\n{mark}^\nERROR at Row:{row}:Column:{column}\n{what}"),
        }
    }
}
