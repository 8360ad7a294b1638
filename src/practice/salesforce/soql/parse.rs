//! From words to a query.

use super::lex::{Placed, Token, tokens};
use super::{
    Condition, DateRange, Function, Group, Literal, Name, Operator, Order, Query, QueryError,
    Selected,
};
use crate::practice::salesforce::value::{read_date, read_moment};

/// Characters of a query. Source: <https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_limits.htm>.
const CHARACTERS_MAX: usize = 100_000;

/// Depth of conditions in one another; deeper ones are never meant.
const DEPTH_MAX: usize = 100;

/// Reads a query.
pub(in super::super) fn parse(text: &str) -> Result<Query, QueryError> {
    if text.chars().count() > CHARACTERS_MAX {
        return Err(QueryError {
            code: "QUERY_TOO_COMPLICATED",
            message: format!("SOQL statements cannot be longer than {CHARACTERS_MAX} characters."),
        });
    }
    let mut parser = Parser::new(text)?;
    let query = parser.query()?;
    parser.end()?;
    Ok(query)
}

/// Reads what may stand after `WHERE`, alone.
pub(in super::super) fn parse_condition(text: &str) -> Result<Condition, QueryError> {
    let mut parser = Parser::new(text)?;
    let condition = parser.condition()?;
    parser.end()?;
    Ok(condition)
}

struct Parser {
    tokens: Vec<Placed>,
    next: usize,
    depth: usize,
}

type Parsed<T> = Result<T, QueryError>;

impl Parser {
    fn new(text: &str) -> Parsed<Self> {
        Ok(Self {
            tokens: tokens(text)?,
            next: 0,
            depth: 0,
        })
    }

    fn query(&mut self) -> Parsed<Query> {
        self.expect_word("SELECT")?;
        let select = self.separated(Self::selected)?;
        self.expect_word("FROM")?;
        let from = self.name()?;
        self.alias();
        if self.takes("USING") {
            self.expect_word("SCOPE")?;
            self.word()?;
        }
        let condition = self.takes("WHERE").then(|| self.condition()).transpose()?;
        if self.takes("WITH") {
            self.word()?;
        }
        let group_by = match self.takes("GROUP") {
            true => {
                self.expect_word("BY")?;
                self.separated(Self::name)?
            }
            false => Vec::new(),
        };
        let having = self.takes("HAVING").then(|| self.condition()).transpose()?;
        let order = match self.takes("ORDER") {
            true => {
                self.expect_word("BY")?;
                self.separated(Self::order)?
            }
            false => Vec::new(),
        };
        let limit = self.takes("LIMIT").then(|| self.count()).transpose()?;
        let offset = self.takes("OFFSET").then(|| self.count()).transpose()?;
        let all_rows = self.takes("ALL");
        if all_rows {
            self.expect_word("ROWS")?;
        }
        while self.takes("FOR") {
            self.word()?;
        }
        Ok(Query {
            select,
            from,
            condition,
            group_by,
            having,
            order,
            limit,
            offset: offset.unwrap_or_default(),
            all_rows,
        })
    }

    fn selected(&mut self) -> Parsed<Selected> {
        if self.is_sign("(") {
            self.next += 1;
            let query = self.query()?;
            self.expect_sign(")")?;
            return Ok(Selected::Children(Box::new(query)));
        }
        let name = self.name()?;
        if !self.takes_sign("(") {
            return Ok(Selected::Field(name));
        }
        let function = name.text().to_ascii_uppercase();
        if function == "COUNT" && self.takes_sign(")") {
            return Ok(Selected::Count);
        }
        let of = self.name()?;
        self.expect_sign(")")?;
        let aggregate = match function.as_str() {
            "FIELDS" => return fields_of(&of),
            // What they yield here is the field itself.
            "TOLABEL" | "FORMAT" | "CONVERTCURRENCY" => return Ok(Selected::Field(of)),
            "COUNT" => Function::Count,
            "COUNT_DISTINCT" => Function::CountDistinct,
            "MIN" => Function::Min,
            "MAX" => Function::Max,
            "SUM" => Function::Sum,
            "AVG" => Function::Avg,
            _ => return Err(QueryError::malformed("unexpected token: '('")),
        };
        let alias = self.alias();
        Ok(Selected::Aggregate {
            function: aggregate,
            of,
            alias,
        })
    }

    /// A name that follows another one without a comma.
    fn alias(&mut self) -> Option<String> {
        const CLAUSES: [&str; 12] = [
            "FROM", "WHERE", "WITH", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "ALL", "FOR",
            "USING", "UPDATE",
        ];
        let alias = match self.peek() {
            Some(Token::Word(word))
                if !CLAUSES
                    .iter()
                    .any(|clause| word.eq_ignore_ascii_case(clause)) =>
            {
                word.clone()
            }
            _ => return None,
        };
        self.next += 1;
        Some(alias)
    }

    fn condition(&mut self) -> Parsed<Condition> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(QueryError {
                code: "QUERY_TOO_COMPLICATED",
                message: "Query is either selecting too many fields or the filter conditions are too complicated.".to_owned(),
            });
        }
        let condition = self.any();
        self.depth -= 1;
        condition
    }

    fn any(&mut self) -> Parsed<Condition> {
        let first = self.negation()?;
        for (word, other) in [("AND", "OR"), ("OR", "AND")] {
            if !self.is_word(word) {
                continue;
            }
            let mut all = vec![first];
            while self.takes(word) {
                all.push(self.negation()?);
            }
            // The two are never mixed without brackets.
            if self.is_word(other) {
                return Err(self.unexpected());
            }
            return Ok(match word {
                "AND" => Condition::And(all),
                _ => Condition::Or(all),
            });
        }
        Ok(first)
    }

    fn negation(&mut self) -> Parsed<Condition> {
        if self.takes("NOT") {
            return Ok(Condition::Not(Box::new(self.single()?)));
        }
        self.single()
    }

    fn single(&mut self) -> Parsed<Condition> {
        if self.takes_sign("(") {
            let condition = self.condition()?;
            self.expect_sign(")")?;
            return Ok(condition);
        }
        let field = self.name()?;
        if self.takes("NOT") {
            self.expect_word("IN")?;
            return self.among(field, true);
        }
        if self.takes("IN") {
            return self.among(field, false);
        }
        for (word, negated) in [("INCLUDES", false), ("EXCLUDES", true)] {
            if self.takes(word) {
                let values = self.list()?;
                return Ok(Condition::Holds {
                    field,
                    negated,
                    values,
                });
            }
        }
        let operator = self.operator()?;
        let value = self.literal()?;
        Ok(Condition::Compare {
            field,
            operator,
            value,
        })
    }

    fn among(&mut self, field: Name, negated: bool) -> Parsed<Condition> {
        let is_query = matches!(
            self.tokens.get(self.next + 1).map(|placed| &placed.token),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("SELECT")
        );
        if self.is_sign("(") && is_query {
            self.next += 1;
            let query = Box::new(self.query()?);
            self.expect_sign(")")?;
            return Ok(Condition::AmongFound {
                field,
                negated,
                query,
            });
        }
        let values = self.list()?;
        Ok(Condition::Among {
            field,
            negated,
            values,
        })
    }

    fn list(&mut self) -> Parsed<Vec<Literal>> {
        self.expect_sign("(")?;
        let values = self.separated(Self::literal)?;
        self.expect_sign(")")?;
        Ok(values)
    }

    fn operator(&mut self) -> Parsed<Operator> {
        if self.takes("LIKE") {
            return Ok(Operator::Like);
        }
        let known = [
            ("=", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<>", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        for (sign, operator) in known {
            if self.takes_sign(sign) {
                return Ok(operator);
            }
        }
        Err(self.unexpected())
    }

    fn literal(&mut self) -> Parsed<Literal> {
        let literal = match self.peek() {
            Some(Token::Text(text)) => Some(Literal::Text(text.clone())),
            Some(Token::Word(word)) => bare_literal(word),
            Some(Token::Sign(_)) | None => None,
        };
        let literal = literal.ok_or_else(|| self.unexpected())?;
        self.next += 1;
        Ok(literal)
    }

    fn order(&mut self) -> Parsed<Order> {
        let field = self.name()?;
        let descending = self.takes("DESC");
        if !descending {
            self.takes("ASC");
        }
        // Without a word the empty ones come first, whichever way.
        let mut nulls_last = false;
        if self.takes("NULLS") {
            nulls_last = self.takes("LAST");
            if !nulls_last {
                self.expect_word("FIRST")?;
            }
        }
        Ok(Order {
            field,
            descending,
            nulls_last,
        })
    }

    fn name(&mut self) -> Parsed<Name> {
        let placed = self.tokens.get(self.next).cloned();
        let Some(Placed {
            token: Token::Word(word),
            at,
        }) = placed
        else {
            return Err(self.unexpected());
        };
        let parts: Vec<String> = word.split('.').map(str::to_owned).collect();
        let is_name = |part: &String| {
            part.starts_with(|sign: char| sign.is_ascii_alphabetic())
                && part
                    .chars()
                    .all(|sign| sign.is_ascii_alphanumeric() || sign == '_')
        };
        if !parts.iter().all(is_name) {
            return Err(self.unexpected());
        }
        self.next += 1;
        Ok(Name { parts, at })
    }

    fn count(&mut self) -> Parsed<usize> {
        let word = self.word()?;
        word.parse()
            .map_err(|_| QueryError::malformed(format!("unexpected token: '{word}'")))
    }

    fn word(&mut self) -> Parsed<String> {
        let word = match self.peek() {
            Some(Token::Word(word)) => word.clone(),
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(word)
    }

    fn separated<T>(&mut self, mut one: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut all = vec![one(self)?];
        while self.takes_sign(",") {
            all.push(one(self)?);
        }
        Ok(all)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|placed| &placed.token)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word))
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(next)) if *next == sign)
    }

    fn takes(&mut self, word: &str) -> bool {
        let is = self.is_word(word);
        self.next += usize::from(is);
        is
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let is = self.is_sign(sign);
        self.next += usize::from(is);
        is
    }

    fn expect_word(&mut self, word: &str) -> Parsed<()> {
        match self.takes(word) {
            true => Ok(()),
            false => Err(self.unexpected()),
        }
    }

    fn expect_sign(&mut self, sign: &str) -> Parsed<()> {
        match self.takes_sign(sign) {
            true => Ok(()),
            false => Err(self.unexpected()),
        }
    }

    fn end(&self) -> Parsed<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected()),
        }
    }

    fn unexpected(&self) -> QueryError {
        let text = match self.peek() {
            Some(Token::Word(word)) => word.clone(),
            Some(Token::Text(text)) => text.clone(),
            Some(Token::Sign(sign)) => (*sign).to_owned(),
            None => "<EOF>".to_owned(),
        };
        QueryError::malformed(format!("unexpected token: '{text}'"))
    }
}

fn fields_of(group: &Name) -> Parsed<Selected> {
    let group = match group.text().to_ascii_uppercase().as_str() {
        "ALL" => Group::All,
        "STANDARD" => Group::Standard,
        "CUSTOM" => Group::Custom,
        other => {
            return Err(QueryError::malformed(format!(
                "unexpected token: '{other}'"
            )));
        }
    };
    Ok(Selected::Fields(group))
}

fn bare_literal(word: &str) -> Option<Literal> {
    match word.to_ascii_lowercase().as_str() {
        "null" => return Some(Literal::Null),
        "true" => return Some(Literal::Boolean(true)),
        "false" => return Some(Literal::Boolean(false)),
        _ => {}
    }
    if let Some(range) = DateRange::named(word) {
        return Some(Literal::Range(range));
    }
    if !word.starts_with(|sign: char| sign.is_ascii_digit() || matches!(sign, '-' | '+' | '.')) {
        return None;
    }
    if let Ok(number) = word.parse::<f64>() {
        return Some(Literal::Number(number, word.to_owned()));
    }
    if word.len() == 10 && read_date(word).is_some() {
        return Some(Literal::Date(word.to_owned()));
    }
    // A moment without a zone is none in a query.
    let zone = word.get(19..).unwrap_or_default();
    zone.contains(['Z', 'z', '+', '-'])
        .then(|| read_moment(word).map(Literal::Moment))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        let query =
            parse(r"SELECT Id FROM Account WHERE Ext__c IN ('E1','O\'Brien','a\\b','l\n2')");
        let Some(Condition::Among { values, .. }) = query.expect("a query").condition else {
            unreachable!("an IN");
        };
        let texts = ["E1", "O'Brien", "a\\b", "l\n2"].map(|text| Literal::Text(text.to_owned()));
        assert_eq!(values, texts);
    }

    #[test]
    fn what_is_no_query_is_malformed() {
        for text in [
            "",
            "SELECT FROM Account",
            "SELECT Id Account",
            "SELECT Id FROM Account WHERE",
            "SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'",
            "SELECT Id FROM Account WHERE Name = 'O'Brien'",
            "SELECT Id FROM Account WHERE Name = 'open",
            r"SELECT Id FROM Account WHERE Name = '\q'",
            "SELECT Id FROM Account WHERE Name IN ()",
            "SELECT Id FROM Account WHERE Name = a",
            "SELECT Id FROM Account; DROP",
            "SELECT Id, FROM Account",
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.code, "MALFORMED_QUERY", "{text}");
        }
    }

    #[test]
    fn literals_are_told_apart() {
        let literal = |text: &str| {
            let query = parse(&format!("SELECT Id FROM A WHERE F = {text}")).expect(text);
            let Some(Condition::Compare { value, .. }) = query.condition else {
                unreachable!("a comparison");
            };
            value
        };
        assert_eq!(literal("null"), Literal::Null);
        assert_eq!(literal("TRUE"), Literal::Boolean(true));
        assert_eq!(literal("-1.5"), Literal::Number(-1.5, "-1.5".to_owned()));
        assert_eq!(
            literal("2026-01-31"),
            Literal::Date("2026-01-31".to_owned())
        );
        assert!(matches!(
            literal("2026-01-31T10:00:00.000+0100"),
            Literal::Moment(_)
        ));
        assert!(matches!(literal("LAST_N_DAYS:30"), Literal::Range(_)));
    }
}
