//! Conditions of `query`, in the part of JPQL that Bullhorn takes.
//! Source: <https://bullhorn.github.io/rest-api-docs/#get-query>.

use std::cmp::Ordering;

use super::expression::{Comparison, Condition, Operand};

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(f64),
    Sign(&'static str),
}

const SIGNS: [&str; 9] = ["<>", "<=", ">=", "=", "<", ">", "(", ")", ","];

/// Reads what stands after `where`.
pub(super) fn parse_where(text: &str) -> Result<Condition, String> {
    let tokens = tokens(text)?;
    let mut reader = Reader { tokens, place: 0 };
    let condition = reader.any()?;
    match reader.next() {
        None => Ok(condition),
        Some(token) => Err(format!("unexpected token: {token:?}")),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut left = text.trim_start();
    while !left.is_empty() {
        let (token, length) =
            if let Some(sign) = SIGNS.into_iter().find(|sign| left.starts_with(sign)) {
                (Token::Sign(sign), sign.len())
            } else if left.starts_with('\'') {
                text_token(left)?
            } else {
                let ends = |sign: char| sign.is_whitespace() || "=<>(),'".contains(sign);
                let length = left.find(ends).unwrap_or(left.len());
                let word = left.get(..length).unwrap_or_default();
                let token = match word.parse::<f64>() {
                    Ok(number) => Token::Number(number),
                    Err(_) => Token::Word(word.to_owned()),
                };
                (token, length.max(1))
            };
        tokens.push(token);
        left = left.get(length..).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

/// A text in single quotes, a doubled one of which stands for itself; how long it is as written.
fn text_token(left: &str) -> Result<(Token, usize), String> {
    let mut text = String::new();
    let mut signs = left.char_indices().skip(1).peekable();
    while let Some((place, sign)) = signs.next() {
        match (sign, signs.peek()) {
            ('\'', Some((_, '\''))) => {
                signs.next();
                text.push('\'');
            }
            ('\'', _) => return Ok((Token::Text(text), place + 1)),
            (sign, _) => text.push(sign),
        }
    }
    Err("a text does not end".to_owned())
}

struct Reader {
    tokens: Vec<Token>,
    place: usize,
}

impl Reader {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.place).cloned();
        self.place += 1;
        token
    }

    /// Takes a word, whatever its case, if it comes next.
    fn takes(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.place), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word));
        self.place += usize::from(found);
        found
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.place), Some(Token::Sign(next)) if *next == sign);
        self.place += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<Condition, String> {
        let mut conditions = vec![self.all()?];
        while self.takes("or") {
            conditions.push(self.all()?);
        }
        Ok(Condition::Any(conditions))
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut conditions = vec![self.one()?];
        while self.takes("and") {
            conditions.push(self.one()?);
        }
        Ok(Condition::All(conditions))
    }

    fn one(&mut self) -> Result<Condition, String> {
        if self.takes("not") {
            return Ok(Condition::Not(Box::new(self.one()?)));
        }
        if self.takes_sign("(") {
            let inner = self.any()?;
            return match self.takes_sign(")") {
                true => Ok(inner),
                false => Err("`)` is missing".to_owned()),
            };
        }
        let Some(Token::Word(property)) = self.next() else {
            return Err("a property is missing".to_owned());
        };
        let (comparison, negated) = self.comparison()?;
        let condition = Condition::Compared {
            property,
            comparison,
        };
        Ok(match negated {
            true => Condition::Not(Box::new(condition)),
            false => condition,
        })
    }

    fn comparison(&mut self) -> Result<(Comparison, bool), String> {
        if self.takes("is") {
            let negated = self.takes("not");
            return match self.takes("null") {
                true => Ok((Comparison::IsNull, negated)),
                false => Err("`NULL` is missing".to_owned()),
            };
        }
        let negated = self.takes("not");
        if self.takes("in") {
            return Ok((Comparison::Among(self.list()?), negated));
        }
        if self.takes("like") {
            return match self.next() {
                Some(Token::Text(pattern)) => Ok((Comparison::Like(pattern), negated)),
                _ => Err("a pattern is missing".to_owned()),
            };
        }
        let Some(Token::Sign(sign)) = self.next() else {
            return Err("a comparison is missing".to_owned());
        };
        let operand = self.operand()?;
        let comparison = match sign {
            "=" => Comparison::Is(Ordering::Equal, operand),
            "<>" => Comparison::IsNot(operand),
            "<" => Comparison::Is(Ordering::Less, operand),
            ">" => Comparison::Is(Ordering::Greater, operand),
            "<=" => Comparison::AtMost(operand),
            ">=" => Comparison::AtLeast(operand),
            sign => return Err(format!("`{sign}` is no comparison")),
        };
        Ok((comparison, negated))
    }

    fn list(&mut self) -> Result<Vec<Operand>, String> {
        if !self.takes_sign("(") {
            return Err("`(` is missing".to_owned());
        }
        let mut operands = vec![self.operand()?];
        while self.takes_sign(",") {
            operands.push(self.operand()?);
        }
        match self.takes_sign(")") {
            true => Ok(operands),
            false => Err("`)` is missing".to_owned()),
        }
    }

    fn operand(&mut self) -> Result<Operand, String> {
        match self.next() {
            Some(Token::Text(text)) => Ok(Operand::Text(text)),
            Some(Token::Number(number)) => Ok(Operand::Number(number)),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("true") => {
                Ok(Operand::Boolean(true))
            }
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("false") => {
                Ok(Operand::Boolean(false))
            }
            token => Err(format!("a value is missing: {token:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn conditions_are_read_as_they_bind() {
        let record = json!({ "id": 7, "status": "New Lead", "name": "O'Hara", "isDeleted": false });
        let value = |name: &str| record.get(name).cloned().unwrap_or(Value::Null);
        let holds = |text: &str| parse_where(text).expect(text).holds(&value);
        for text in [
            "id = 7 AND isDeleted = false",
            "id IN (1,7) AND (status='x' OR name='O''Hara')",
            "status LIKE 'New%' and source IS NULL",
            "NOT id > 7 AND id >= 7",
            "status <> 'Old'",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in [
            "id = 8",
            "source IS NOT NULL",
            "id NOT IN (7)",
            "isDeleted=true",
        ] {
            assert!(!holds(text), "{text}");
        }
        for text in ["id =", "id IN ()", "name = 'x", "id = 7 id", "= 7"] {
            assert!(parse_where(text).is_err(), "{text}");
        }
    }
}
