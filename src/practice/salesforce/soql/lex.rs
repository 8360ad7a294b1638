//! The words of a query.

use super::QueryError;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name, a keyword, a date or a number: whatever is written without quotes.
    Word(String),
    Text(String),
    /// A punctuation mark or an operator.
    Sign(&'static str),
}

/// A token and where it begins, in characters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) at: usize,
}

const SIGNS: [&str; 12] = [
    "<=", ">=", "!=", "<>", "=", "<", ">", "(", ")", ",", ":", "*",
];

/// Errors: a text that does not end, an escape that is none, a sign that is not known.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, QueryError> {
    let signs: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = signs.get(at).copied() {
        if first.is_whitespace() {
            at += 1;
            continue;
        }
        let (token, end) = match first {
            '\'' => quoted(&signs, at)?,
            first if is_word(first) => word(&signs, at),
            first => sign(&signs, at).ok_or_else(|| {
                QueryError::malformed(format!(
                    "line 1:{at} no viable alternative at character '{first}'"
                ))
            })?,
        };
        tokens.push(Placed { token, at });
        at = end;
    }
    Ok(tokens)
}

fn is_word(sign: char) -> bool {
    sign.is_alphanumeric() || matches!(sign, '_' | '.' | '-' | '+')
}

/// Names, and dates with their colons: `2026-01-31T10:00:00Z`, `LAST_N_DAYS:30`.
fn word(signs: &[char], from: usize) -> (Token, usize) {
    let mut end = from;
    let mut text = String::new();
    while let Some(sign) = signs.get(end).copied() {
        let goes_on = sign == ':'
            && signs.get(end + 1).is_some_and(char::is_ascii_digit)
            && takes_colon(&text);
        if !is_word(sign) && !goes_on {
            break;
        }
        text.push(sign);
        end += 1;
    }
    (Token::Word(text), end)
}

fn takes_colon(text: &str) -> bool {
    let is_moment = text.starts_with(|sign: char| sign.is_ascii_digit());
    is_moment || text.to_ascii_uppercase().contains("_N_")
}

fn sign(signs: &[char], at: usize) -> Option<(Token, usize)> {
    SIGNS.into_iter().find_map(|known| {
        let fits = known
            .chars()
            .zip(at..)
            .all(|(sign, at)| signs.get(at) == Some(&sign));
        fits.then(|| (Token::Sign(known), at + known.len()))
    })
}

fn quoted(signs: &[char], from: usize) -> Result<(Token, usize), QueryError> {
    let mut text = String::new();
    let mut at = from + 1;
    loop {
        match (signs.get(at), signs.get(at + 1)) {
            (Some('\''), _) => return Ok((Token::Text(text), at + 1)),
            (Some('\\'), Some(escaped)) => {
                at += 2;
                match escaped {
                    'n' | 'N' => text.push('\n'),
                    'r' | 'R' => text.push('\r'),
                    't' | 'T' => text.push('\t'),
                    'b' | 'B' => text.push('\u{8}'),
                    'f' | 'F' => text.push('\u{c}'),
                    '\'' | '"' | '\\' => text.push(*escaped),
                    // Only a pattern tells them from wildcards.
                    '%' | '_' => text.extend(['\\', *escaped]),
                    'u' => {
                        let digits: String = signs.iter().skip(at).take(4).collect();
                        let code = u32::from_str_radix(&digits, 16)
                            .ok()
                            .and_then(char::from_u32);
                        text.push(code.ok_or_else(|| illegal(escaped))?);
                        at += 4;
                    }
                    escaped => return Err(illegal(escaped)),
                }
            }
            (Some(sign), _) => {
                text.push(*sign);
                at += 1;
            }
            (None, _) => {
                return Err(QueryError::malformed(format!(
                    "line 1:{} mismatched character '<EOF>' expecting '''",
                    signs.len()
                )));
            }
        }
    }
}

fn illegal(escaped: &char) -> QueryError {
    QueryError::malformed(format!(
        "Invalid string literal: illegal character sequence '\\{escaped}' in string literal"
    ))
}
