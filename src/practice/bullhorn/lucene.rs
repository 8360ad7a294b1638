//! Queries of `search`, in the syntax of Lucene. What is malformed matches everything, as there; a
//! value of several words without quotes finds nothing.
//! Source: <https://lucene.apache.org/core/2_9_4/queryparsersyntax.html>.

use super::expression::{Comparison, Condition, Phrases};

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A word, without its escapes; whether it stood in quotes.
    Word {
        text: String,
        quoted: bool,
    },
    Colon,
    Open,
    Close,
    /// `[a TO b]`, whole.
    Range(String),
    And,
    Or,
    Not,
    Must,
}

/// Reads a query.
pub(super) fn parse_query(text: &str) -> Condition {
    let whole = || {
        let tokens = tokens(text)?;
        let mut reader = Reader { tokens, place: 0 };
        let condition = reader.clauses(None)?;
        reader.next().is_none().then_some(condition)
    };
    whole().unwrap_or(Condition::Anything)
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        let token = match sign {
            sign if sign.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            ':' => Token::Colon,
            '+' => Token::Must,
            '-' | '!' => Token::Not,
            '"' => {
                let mut word = String::new();
                loop {
                    match signs.next()? {
                        '"' => break,
                        '\\' => word.push(signs.next()?),
                        sign => word.push(sign),
                    }
                }
                Token::Word {
                    text: word,
                    quoted: true,
                }
            }
            '[' | '{' => {
                let mut range = String::new();
                loop {
                    match signs.next()? {
                        ']' | '}' => break,
                        sign => range.push(sign),
                    }
                }
                Token::Range(range)
            }
            sign => {
                let mut word = String::new();
                let mut next = Some(sign);
                while let Some(sign) = next {
                    word.push(if sign == '\\' { signs.next()? } else { sign });
                    let goes_on = |sign: &char| {
                        !sign.is_whitespace() && !matches!(sign, '(' | ')' | ':' | '"' | '[' | '{')
                    };
                    next = signs.next_if(goes_on);
                }
                match word.as_str() {
                    "AND" | "&&" => Token::And,
                    "OR" | "||" => Token::Or,
                    "NOT" => Token::Not,
                    _ => Token::Word {
                        text: word,
                        quoted: false,
                    },
                }
            }
        };
        tokens.push(token);
    }
    Some(tokens)
}

struct Reader {
    tokens: Vec<Token>,
    place: usize,
}

impl Reader {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.place)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.place).cloned();
        self.place += 1;
        token
    }

    /// Clauses to the end or to a closing parenthesis; `field` is that of a list of values.
    fn clauses(&mut self, field: Option<&str>) -> Option<Condition> {
        let mut any: Vec<Condition> = Vec::new();
        let mut all: Vec<Condition> = Vec::new();
        let mut joined = false;
        let mut bare: Vec<String> = Vec::new();
        loop {
            match self.peek() {
                None | Some(Token::Close) => break,
                Some(Token::And) => {
                    self.next();
                    joined = true;
                    continue;
                }
                Some(Token::Or) => {
                    self.next();
                    any.push(Condition::All(std::mem::take(&mut all)));
                    joined = true;
                    continue;
                }
                Some(_) => {}
            }
            if let (
                Some(_),
                Some(Token::Word {
                    quoted: false,
                    text,
                }),
            ) = (field, self.peek())
            {
                bare.push(text.clone());
            }
            let clause = self.clause(field)?;
            // Two side by side: the one or the other.
            if !joined && !all.is_empty() {
                any.push(Condition::All(std::mem::take(&mut all)));
            }
            joined = false;
            all.push(clause);
        }
        if !all.is_empty() {
            any.push(Condition::All(all));
        }
        match any.is_empty() {
            true => None,
            // Several words without quotes are no value that a record has.
            false if bare.len() > 1 => Some(Condition::Nothing),
            false => Some(Condition::Any(any)),
        }
    }

    /// Takes phrases in quotes and the parenthesis that closes them, if nothing else stands there.
    fn phrases(&mut self) -> Option<Phrases> {
        let mut phrases = Phrases::default();
        for place in self.place.. {
            match self.tokens.get(place)? {
                Token::Word { text, quoted: true } => phrases.add(text),
                Token::Close => {
                    self.place = place + 1;
                    return Some(phrases);
                }
                Token::Word { quoted: false, .. }
                | Token::Colon
                | Token::Open
                | Token::Range(_)
                | Token::And
                | Token::Or
                | Token::Not
                | Token::Must => return None,
            }
        }
        None
    }

    fn clause(&mut self, field: Option<&str>) -> Option<Condition> {
        match self.next()? {
            Token::Not => Some(Condition::Not(Box::new(self.clause(field)?))),
            Token::Must => self.clause(field),
            Token::Open => {
                if let Some(phrases) = self.phrases().filter(|_| field.is_some()) {
                    return Some(has_phrase(field?, phrases));
                }
                let inner = self.clauses(field)?;
                (self.next() == Some(Token::Close)).then_some(inner)
            }
            Token::Word {
                text,
                quoted: false,
            } if field.is_none() => {
                if self.next() != Some(Token::Colon) {
                    return None;
                }
                self.clause(Some(&text))
            }
            Token::Word { text, .. } => {
                let mut phrases = Phrases::default();
                phrases.add(&text);
                Some(has_phrase(field?, phrases))
            }
            Token::Range(range) => {
                let (from, to) = range.split_once(" TO ")?;
                let end = |text: &str| (text.trim() != "*").then(|| text.trim().to_owned());
                Some(Condition::Compared {
                    property: field?.to_owned(),
                    comparison: Comparison::Within(end(from), end(to)),
                })
            }
            Token::Colon | Token::Close | Token::And | Token::Or => None,
        }
    }
}

fn has_phrase(property: &str, phrases: Phrases) -> Condition {
    Condition::Compared {
        property: property.to_owned(),
        comparison: Comparison::HasPhrase(phrases),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn finds(query: &str) -> bool {
        let record =
            json!({ "externalID": "E-1", "name": "Ada Lovelace", "isDeleted": false, "id": 7 });
        parse_query(query).holds(&|name| record.get(name).cloned().unwrap_or(Value::Null))
    }

    #[test]
    fn values_are_found_in_quotes_and_what_is_malformed_finds_everything() {
        for query in [
            r#"externalID:("E-9" "E-1")"#,
            r#"name:"Ada Lovelace" AND isDeleted:0"#,
            "name:Ada*",
            "id:[5 TO 9]",
            "NOT name:Bob",
            r#"externalID:("E-1"#,
            "nonsense",
        ] {
            assert!(finds(query), "{query}");
        }
        for query in [
            r#"externalID:("E-9" "E-2")"#,
            "name:(Ada Lovelace)",
            r#"name:"Ada Lovelace" AND isDeleted:1"#,
            "id:[8 TO *]",
        ] {
            assert!(!finds(query), "{query}");
        }
    }
}
