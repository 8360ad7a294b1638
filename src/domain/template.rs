//! Texts with columns in braces: `Referred by {referrer} on {referred_on | "an unknown day"}.`

use polars::prelude::{PolarsResult, Series, StringChunked};

use super::columnar::{Converted, Fault};
use super::conversion::{Misfit, texts_of};
use super::schema::SchemaType;

/// A text that tells values of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) pieces: Vec<Piece>,
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
        Ok(Self { pieces })
    }

    /// Names of the columns that it tells of, in its order.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Column { name, .. } => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The text of each record. Shape: the columns of [`Template::columns`] in their kinds'
    /// representations, `height` records of each, in; as many texts out.
    pub(crate) fn apply(
        &self,
        inputs: &[(&Series, SchemaType)],
        height: usize,
    ) -> Result<Converted, Misfit> {
        let texts = inputs
            .iter()
            .map(|(values, input)| texts_of(values, input.kind()));
        let texts: Vec<StringChunked> = texts.collect::<PolarsResult<_>>()?;
        let mut faults = Vec::new();
        let mut of_record = |index: usize| match self.text(&texts, index) {
            Ok(text) => Some(text),
            Err(column) => {
                faults.push(Fault {
                    index,
                    reason: format!("`{column}` is empty, and the text has no default for it"),
                });
                None
            }
        };
        let values: StringChunked = (0..height).map(&mut of_record).collect();
        Ok(Converted::kept(values, faults))
    }

    /// Errors: the name of a column that is empty.
    fn text(&self, texts: &[StringChunked], index: usize) -> Result<String, &str> {
        let mut out = String::new();
        let mut values = texts.iter();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Column { name, otherwise } => {
                    let value = values.next().and_then(|values| values.get(index));
                    let value = value.filter(|value| !value.is_empty());
                    out.push_str(value.or(otherwise.as_deref()).ok_or(name.as_str())?);
                }
            }
        }
        Ok(out)
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
    use polars::prelude::NamedFrom;

    use super::*;

    const TEXT: SchemaType = SchemaType::Text {
        characters_max: None,
    };

    fn columns(text: &str) -> Vec<String> {
        let template = Template::parse(text).unwrap();
        template.columns().map(str::to_owned).collect()
    }

    #[test]
    fn a_text_tells_values_in_its_order() {
        let template = Template::parse("{{{who}}} for {job | \"a job}\"} {who}").unwrap();
        assert_eq!(
            columns("{{{who}}} for {job | \"a job}\"} {who}"),
            ["who", "job", "who"]
        );
        let who = Series::new("who".into(), [Some("Ada"), Some("Bo"), Some("")]);
        let job = Series::new("job".into(), [Some(7_i64), None, Some(9)]);
        let whole = SchemaType::Integer { bits: 32 };
        let told = template
            .apply(&[(&who, TEXT), (&job, whole), (&who, TEXT)], 3)
            .unwrap();
        let texts: Vec<Option<&str>> = told.values.str().unwrap().iter().collect();
        assert_eq!(
            texts,
            [Some("{Ada} for 7 Ada"), Some("{Bo} for a job} Bo"), None]
        );
        let reasons: Vec<(usize, &str)> = told
            .faults
            .iter()
            .map(|fault| (fault.index, fault.reason.as_str()))
            .collect();
        assert_eq!(
            reasons,
            [(2, "`who` is empty, and the text has no default for it")]
        );
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
