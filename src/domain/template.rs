//! Texts with columns in braces: `Referred by {referrer} on {referred_on | "an unknown day"}.`

/// A text that tells values of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) pieces: Vec<Piece>,
    /// Whether it is HTML, in which values stand for themselves.
    pub(crate) html: bool,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Column {
        /// As the text names it.
        name: String,
        /// What stands for a value that is NULL or an empty text; `None`: such a record is
        /// rejected.
        otherwise: Option<String>,
    },
}

impl Template {
    /// Reads a text; doubled braces stand for themselves.
    /// Errors: what is wrong with its braces.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else if let Some(after) = from.strip_prefix('{') {
                let (inside, after) = split_brace(after)?;
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(column_piece(inside)?);
                rest = after;
            } else {
                return Err("`}` closes nothing; write `}}` for one".to_owned());
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self {
            pieces,
            html: false,
        })
    }

    /// The same text, which is HTML.
    pub(crate) fn into_html(self) -> Self {
        Self { html: true, ..self }
    }

    /// Names of the columns that it tells of, in its order.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Column { name, .. } => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }
}

/// Splits after the brace that closes what was opened; one in quotes closes nothing.
fn split_brace(text: &str) -> Result<(&str, &str), String> {
    let mut quoted = false;
    for (at, character) in text.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '}' if !quoted => {
                let (inside, after) = text.split_at(at);
                return Ok((inside, after.get(1..).unwrap_or_default()));
            }
            _ => {}
        }
    }
    Err("`{` is not closed; write `{{` for one".to_owned())
}

fn column_piece(inside: &str) -> Result<Piece, String> {
    let (name, otherwise) = match inside.split_once('|') {
        None => (inside, None),
        Some((name, otherwise)) => (name, Some(quoted(otherwise)?)),
    };
    match name.trim() {
        "" => Err("`{}` names no column".to_owned()),
        name => Ok(Piece::Column {
            name: name.to_owned(),
            otherwise,
        }),
    }
}

fn quoted(text: &str) -> Result<String, String> {
    let text = text.trim();
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let inner = inner.filter(|inner| !inner.contains('"'));
    inner.map(str::to_owned).ok_or_else(|| {
        "what stands after `|` is not in quotes: write `{column | \"default\"}`".to_owned()
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    fn columns(text: &str) -> Vec<String> {
        let template = Template::parse(text).unwrap();
        template.columns().map(str::to_owned).collect()
    }

    #[test]
    fn columns_come_in_the_order_of_the_text() {
        let text = "{{{who}}} for {job | \"a job}\"} {who}";
        assert_eq!(columns(text), ["who", "job", "who"]);
    }

    #[test]
    fn braces_that_mean_nothing_are_told() {
        for (text, why) in [
            ("{who", "`{` is not closed; write `{{` for one"),
            ("who}", "`}` closes nothing; write `}}` for one"),
            ("{ }", "`{}` names no column"),
            (
                "{who | you}",
                "what stands after `|` is not in quotes: write `{column | \"default\"}`",
            ),
        ] {
            assert_eq!(Template::parse(text), Err(why.to_owned()));
        }
        assert_eq!(columns(""), [""; 0]);
    }
}
