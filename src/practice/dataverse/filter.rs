//! `$filter`: read into a tree, and judged of what a row holds. Texts are compared without case, as
//! Dataverse does. Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/webapi/query/filter-rows>.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::Value;

use super::errors::ODataError;

/// How deep a filter may be nested.
const DEPTH_MAX: usize = 200;

/// What rows are wanted.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Compared {
        column: String,
        operator: Operator,
        value: Value,
    },
    /// `contains`, `startswith`, `endswith`.
    Part {
        column: String,
        place: Place,
        text: String,
    },
    /// `Microsoft.Dynamics.CRM.In`: forms of the values.
    In {
        column: String,
        values: BTreeSet<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Anywhere,
    Start,
    End,
}

impl Filter {
    /// Names of the columns that it looks at.
    pub(super) fn columns(&self) -> Vec<&str> {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(Self::columns).collect(),
            Self::Not(part) => part.columns(),
            Self::Compared { column, .. } | Self::Part { column, .. } | Self::In { column, .. } => {
                vec![column]
            }
        }
    }

    /// A column that holds one of these forms in each row that is wanted; `None` if nothing so
    /// simple can be said.
    pub(super) fn confined(&self) -> Option<(&str, BTreeSet<String>)> {
        match self {
            Self::In { column, values } => Some((column, values.clone())),
            // Numbers are compared as such, and several forms may be one number.
            Self::Compared {
                column,
                operator: Operator::Eq,
                value: value @ Value::String(_),
            } => Some((column, BTreeSet::from([form(value)]))),
            Self::And(parts) => parts.iter().find_map(Self::confined),
            Self::Or(parts) => {
                let mut parts = parts.iter().map(Self::confined);
                let (column, mut forms) = parts.next()??;
                for part in parts {
                    let (other, others) = part?;
                    if other != column {
                        return None;
                    }
                    forms.extend(others);
                }
                Some((column, forms))
            }
            Self::Not(_) | Self::Compared { .. } | Self::Part { .. } => None,
        }
    }

    /// Whether a row is wanted, of which `value` tells what a column holds.
    pub(super) fn holds(&self, value: &dyn Fn(&str) -> Value) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.holds(value)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(value)),
            Self::Not(part) => !part.holds(value),
            Self::Compared {
                column,
                operator,
                value: wanted,
            } => operator.holds(&value(column), wanted),
            Self::Part {
                column,
                place,
                text,
            } => {
                let held = form(&value(column));
                match place {
                    Place::Anywhere => held.contains(text),
                    Place::Start => held.starts_with(text),
                    Place::End => held.ends_with(text),
                }
            }
            Self::In { column, values } => {
                let held = value(column);
                !held.is_null() && values.contains(&form(&held))
            }
        }
    }
}

impl Operator {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "eq" => Self::Eq,
            "ne" => Self::Ne,
            "gt" => Self::Gt,
            "ge" => Self::Ge,
            "lt" => Self::Lt,
            "le" => Self::Le,
            _ => return None,
        })
    }

    fn holds(self, held: &Value, wanted: &Value) -> bool {
        if held.is_null() || wanted.is_null() {
            let same = held.is_null() && wanted.is_null();
            return match self {
                Self::Eq => same,
                Self::Ne => !same,
                Self::Gt | Self::Ge | Self::Lt | Self::Le => false,
            };
        }
        let order = compare(held, wanted);
        match self {
            Self::Eq => order == Ordering::Equal,
            Self::Ne => order != Ordering::Equal,
            Self::Gt => order == Ordering::Greater,
            Self::Ge => order != Ordering::Less,
            Self::Lt => order == Ordering::Less,
            Self::Le => order != Ordering::Greater,
        }
    }
}

/// The order of two values: of numbers as numbers, of all else as texts without case.
pub(super) fn compare(left: &Value, right: &Value) -> Ordering {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left.partial_cmp(&right).unwrap_or(Ordering::Equal),
        _ => form(left).cmp(&form(right)),
    }
}

/// The form in which two values are the same text if Dataverse holds them for the same.
pub(super) fn form(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim_end().to_lowercase(),
        Value::Null => String::new(),
        Value::Number(number) => match number.as_f64() {
            Some(number) => number.to_string(),
            None => number.to_string(),
        },
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A part of a filter's text.
#[derive(Debug, Clone, PartialEq)]
enum Word {
    Text(String),
    /// A name, a number, a GUID, a date, a keyword.
    Bare(String),
    Sign(char),
}

/// Reads a filter. `parameters` are those of the URL, of which aliases such as `@p1` are looked up.
pub(super) fn parse_filter(
    text: &str,
    parameters: &[(String, String)],
) -> Result<Filter, ODataError> {
    let words = words(text)?;
    let mut parser = Parser {
        words,
        place: 0,
        parameters,
    };
    let filter = parser.any(0)?;
    match parser.next() {
        None => Ok(filter),
        Some(word) => Err(syntax(&format!("unexpected {word:?}"))),
    }
}

fn syntax(what: &str) -> ODataError {
    ODataError::new(
        400,
        "0x80060888",
        format!("Syntax error in the query's filter: {what}."),
    )
}

fn words(text: &str) -> Result<Vec<Word>, ODataError> {
    let mut words = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' | '\r' => {}
            '\'' => {
                let mut quoted = String::new();
                loop {
                    match letters.next() {
                        Some('\'') if letters.peek() == Some(&'\'') => {
                            letters.next();
                            quoted.push('\'');
                        }
                        Some('\'') => break,
                        Some(letter) => quoted.push(letter),
                        None => return Err(syntax("there is an unterminated string literal")),
                    }
                }
                words.push(Word::Text(quoted));
            }
            '(' | ')' | ',' | '=' | '[' | ']' => words.push(Word::Sign(letter)),
            letter => {
                let mut bare = String::from(letter);
                while let Some(next) =
                    letters.next_if(|next| !next.is_whitespace() && !"(),=[]'".contains(*next))
                {
                    bare.push(next);
                }
                words.push(Word::Bare(bare));
            }
        }
    }
    Ok(words)
}

/// A literal as JSON would write it.
fn literal(word: &Word) -> Result<Value, ODataError> {
    match word {
        Word::Text(text) => Ok(Value::String(text.clone())),
        Word::Bare(bare) => Ok(match bare.as_str() {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            bare => match serde_json::from_str::<serde_json::Number>(bare) {
                Ok(number) => Value::Number(number),
                // A GUID or a date.
                Err(_) => Value::String(bare.to_owned()),
            },
        }),
        Word::Sign(sign) => Err(syntax(&format!("unexpected `{sign}`"))),
    }
}

struct Parser<'a> {
    words: Vec<Word>,
    place: usize,
    parameters: &'a [(String, String)],
}

impl Parser<'_> {
    fn next(&mut self) -> Option<Word> {
        let word = self.words.get(self.place).cloned();
        self.place += 1;
        word
    }

    fn peek(&self) -> Option<&Word> {
        self.words.get(self.place)
    }

    fn takes(&mut self, keyword: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Word::Bare(bare)) if bare == keyword);
        self.place += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, sign: char) -> Result<(), ODataError> {
        match self.next() {
            Some(Word::Sign(found)) if found == sign => Ok(()),
            other => Err(syntax(&format!("`{sign}` was expected, not {other:?}"))),
        }
    }

    fn any(&mut self, depth: usize) -> Result<Filter, ODataError> {
        if depth > DEPTH_MAX {
            return Err(syntax("it is nested too deep"));
        }
        let mut parts = vec![self.all(depth)?];
        while self.takes("or") {
            parts.push(self.all(depth)?);
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Filter::Or(parts),
        })
    }

    fn all(&mut self, depth: usize) -> Result<Filter, ODataError> {
        let mut parts = vec![self.one(depth)?];
        while self.takes("and") {
            parts.push(self.one(depth)?);
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Filter::And(parts),
        })
    }

    fn one(&mut self, depth: usize) -> Result<Filter, ODataError> {
        if self.takes("not") {
            return Ok(Filter::Not(Box::new(self.one(depth + 1)?)));
        }
        match self.next() {
            Some(Word::Sign('(')) => {
                let filter = self.any(depth + 1)?;
                self.expect(')')?;
                Ok(filter)
            }
            Some(Word::Bare(name)) if self.peek() == Some(&Word::Sign('(')) => self.call(&name),
            Some(Word::Bare(column)) => self.compared(column),
            other => Err(syntax(&format!("unexpected {other:?}"))),
        }
    }

    fn compared(&mut self, column: String) -> Result<Filter, ODataError> {
        let operator = match self.next() {
            Some(Word::Bare(name)) => Operator::named(&name),
            Some(Word::Text(_) | Word::Sign(_)) | None => None,
        };
        let operator = operator.ok_or_else(|| syntax("a comparison was expected"))?;
        let word = self.next().ok_or_else(|| syntax("a value was expected"))?;
        let value = match &word {
            Word::Bare(alias) if alias.starts_with('@') => self.alias_value(alias)?,
            Word::Bare(_) | Word::Text(_) | Word::Sign(_) => literal(&word)?,
        };
        Ok(Filter::Compared {
            column,
            operator,
            value,
        })
    }

    fn call(&mut self, name: &str) -> Result<Filter, ODataError> {
        self.expect('(')?;
        let place = match name {
            "contains" => Place::Anywhere,
            "startswith" => Place::Start,
            "endswith" => Place::End,
            "Microsoft.Dynamics.CRM.In" => return self.list(),
            _ => return Err(syntax(&format!("unknown function '{name}'"))),
        };
        let (Some(Word::Bare(column)), Ok(()), Some(Word::Text(text)), Ok(())) =
            (self.next(), self.expect(','), self.next(), self.expect(')'))
        else {
            return Err(syntax(&format!("'{name}' takes a column and a text")));
        };
        Ok(Filter::Part {
            column,
            place,
            text: form(&Value::String(text)),
        })
    }

    /// `PropertyName=…,PropertyValues=…)`, in either order, with aliases or without.
    fn list(&mut self) -> Result<Filter, ODataError> {
        let (mut column, mut values) = (None, None);
        loop {
            let Some(Word::Bare(name)) = self.next() else {
                return Err(syntax("a parameter was expected"));
            };
            self.expect('=')?;
            let value = self.argument()?;
            match name.as_str() {
                "PropertyName" => column = value.as_str().map(str::to_owned),
                "PropertyValues" => values = value.as_array().cloned(),
                name => return Err(syntax(&format!("unknown parameter '{name}'"))),
            }
            match self.next() {
                Some(Word::Sign(',')) => {}
                Some(Word::Sign(')')) => break,
                other => return Err(syntax(&format!("unexpected {other:?}"))),
            }
        }
        match (column, values) {
            (Some(column), Some(values)) => Ok(Filter::In {
                column,
                values: values.iter().map(form).collect(),
            }),
            _ => Err(syntax("'In' takes a name and a list of values")),
        }
    }

    fn argument(&mut self) -> Result<Value, ODataError> {
        match self.next() {
            Some(Word::Bare(alias)) if alias.starts_with('@') => self.alias_value(&alias),
            Some(Word::Sign('[')) => {
                let mut values = Vec::new();
                loop {
                    match self.next() {
                        Some(Word::Sign(']')) => return Ok(Value::Array(values)),
                        Some(Word::Sign(',')) => {}
                        // As a filter has them, or as JSON does.
                        Some(Word::Bare(bare)) if bare.starts_with('"') => {
                            values.push(Value::String(bare.trim_matches('"').to_owned()));
                        }
                        Some(word) => values.push(literal(&word)?),
                        None => return Err(syntax("a list has no end")),
                    }
                }
            }
            Some(word) => literal(&word),
            None => Err(syntax("a value was expected")),
        }
    }

    fn alias_value(&self, alias: &str) -> Result<Value, ODataError> {
        let found = self.parameters.iter().find(|(name, _)| name == alias);
        let (_, text) = found.ok_or_else(|| syntax(&format!("'{alias}' is not given")))?;
        let mut parser = Parser {
            words: words(text)?,
            place: 0,
            parameters: &[],
        };
        parser.argument()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(filter: &str, parameters: &[(&str, &str)]) -> bool {
        let parameters: Vec<(String, String)> = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let row = json!({ "name": "O'Brien", "score": 12.5, "risk": 1, "empty": null, "on": "2026-01-31T10:00:00Z" });
        let value = |column: &str| row.get(column).cloned().unwrap_or_default();
        parse_filter(filter, &parameters)
            .expect("a filter")
            .holds(&value)
    }

    #[test]
    fn filters_hold_as_they_do_there() {
        for filter in [
            "name eq 'o''BRIEN'",
            "score gt 12 and score le 12.5",
            "not (risk eq 2) and (empty eq null or risk eq 7)",
            "startswith(name,'o''b') or contains(name,'x')",
            "on ge 2026-01-31T10:00:00Z",
            "Microsoft.Dynamics.CRM.In(PropertyName='risk',PropertyValues=['1','3'])",
        ] {
            assert!(holds(filter, &[]), "{filter}");
        }
        assert!(!holds("name ne 'o''brien' or empty gt 3", &[]));
        let parameters = [("@p1", "'name'"), ("@p2", "['A,)','O''Brien']")];
        let list = "Microsoft.Dynamics.CRM.In(PropertyName=@p1,PropertyValues=@p2)";
        assert!(holds(list, &parameters));
    }

    /// Whatever a filter lets through holds what the filter is confined to.
    #[test]
    fn a_confined_filter_leaves_no_row_out() {
        let values = [
            json!("a"),
            json!("A "),
            json!("b"),
            json!(1),
            json!("1"),
            json!(null),
        ];
        let confined = [
            ("name eq 'a'", Some(1)),
            ("risk eq 1 and name eq 'a'", Some(1)),
            (
                "name eq 'A' or (name eq 'b ' and risk eq 1) or name eq 'a'",
                Some(2),
            ),
            (
                "Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=['a','1'])",
                Some(2),
            ),
            ("name eq 1", None),
            ("name eq null", None),
            ("name eq 'a' or risk eq 1", None),
            ("name eq 'a' or name ne 'b'", None),
            ("not (name eq 'a')", None),
        ];
        for (text, forms) in confined {
            let filter = parse_filter(text, &[]).expect("a filter");
            let found = filter.confined();
            assert_eq!(
                found.as_ref().map(|(_, forms)| forms.len()),
                forms,
                "{text}"
            );
            for (name, risk) in values
                .iter()
                .flat_map(|name| values.iter().map(move |risk| (name, risk)))
            {
                let row = json!({ "name": name, "risk": risk });
                let value = |column: &str| row.get(column).cloned().unwrap_or_default();
                if let Some((column, forms)) = &found
                    && filter.holds(&value)
                {
                    assert!(forms.contains(&form(&value(column))), "{text}: {row}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_filter_is_said() {
        for wrong in [
            "name eq",
            "name = 'x'",
            "name eq 'x",
            "(a eq 1",
            "f(a,'x')",
            "a eq @p",
        ] {
            assert!(parse_filter(wrong, &[]).is_err(), "{wrong}");
        }
    }
}
