//! Names of objects as people write them: `"CRM"."ACCOUNTS"`.

use super::object::{NamePart, ObjectName};

/// Parses `"CRM"."ACCOUNTS"`: one to three parts between dots, each in double quotes, in backticks
/// or bare. Errors: what is wrong with it.
pub(crate) fn parse_object_name(text: &str) -> Result<ObjectName, String> {
    const PARTS_MAX: usize = 3;
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, after) = parse_part(rest)?;
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next.trim_start(),
            None if after.is_empty() => break,
            None => return Err("something other than a dot follows a quoted part".to_owned()),
        }
    }
    match parts.len() {
        1..=PARTS_MAX => Ok(ObjectName { parts }),
        count => Err(format!(
            "it has {count} parts, and no database knows more than {PARTS_MAX}"
        )),
    }
}

/// One part of a name, and what follows it with leading spaces dropped.
pub(crate) fn parse_part(text: &str) -> Result<(NamePart, &str), String> {
    match text.chars().next() {
        Some(quote @ ('"' | '`')) => {
            let (name, after) = parse_quoted(text.get(1..).unwrap_or_default(), quote)?;
            Ok((checked_part(&name, true)?, after.trim_start()))
        }
        _ => {
            let (name, after) = text.split_at(text.find('.').unwrap_or(text.len()));
            let name = name.trim();
            if name.contains(['"', '`']) || name.contains(char::is_whitespace) {
                return Err("a part with spaces or quotes in it stands in double quotes".to_owned());
            }
            Ok((checked_part(name, false)?, after))
        }
    }
}

/// The name up to the closing quote, doubled quotes undone, and what follows.
fn parse_quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once(quote).ok_or("a quote is not closed")?;
        name.push_str(before);
        match after.strip_prefix(quote) {
            Some(next) => {
                name.push(quote);
                rest = next;
            }
            None => return Ok((name, after)),
        }
    }
}

pub(crate) fn checked_part(name: &str, quoted: bool) -> Result<NamePart, String> {
    match name {
        "" => Err("a part is empty".to_owned()),
        _ if name.contains(char::is_control) => Err("it holds a control character".to_owned()),
        _ => Ok(NamePart {
            text: name.to_owned(),
            quoted,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Result<Vec<(String, bool)>, String> {
        let name = parse_object_name(text)?;
        Ok(name
            .parts
            .into_iter()
            .map(|part| (part.text, part.quoted))
            .collect())
    }

    #[test]
    fn a_table_has_one_to_three_parts_quoted_or_not() {
        assert_eq!(parts("accounts"), Ok(vec![("accounts".to_owned(), false)]));
        let two = vec![("CRM".to_owned(), true), ("ACCOUNTS".to_owned(), true)];
        assert_eq!(parts("\"CRM\".\"ACCOUNTS\""), Ok(two.clone()));
        assert_eq!(parts(" \"CRM\" . `ACCOUNTS` "), Ok(two));
        let odd = vec![
            ("a.b".to_owned(), true),
            ("say \"hi\"".to_owned(), true),
            ("c".to_owned(), false),
        ];
        assert_eq!(parts("\"a.b\".\"say \"\"hi\"\"\".c"), Ok(odd));
    }

    #[test]
    fn a_table_that_is_no_name_is_told_why() {
        assert_eq!(parts("").expect_err("no name"), "a part is empty");
        assert_eq!(parts("a.").expect_err("no name"), "a part is empty");
        assert_eq!(parts("\"a").expect_err("no name"), "a quote is not closed");
        assert_eq!(
            parts("\"a\"b").expect_err("no name"),
            "something other than a dot follows a quoted part"
        );
        assert_eq!(
            parts("my table").expect_err("no name"),
            "a part with spaces or quotes in it stands in double quotes"
        );
        assert_eq!(
            parts("a.b.c.d").expect_err("no name"),
            "it has 4 parts, and no database knows more than 3"
        );
        assert_eq!(
            parts("\"a\u{0}\"").expect_err("no name"),
            "it holds a control character"
        );
    }
}
