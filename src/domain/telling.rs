//! Telling: the texts of templates, made of what records hold.

use polars::prelude::{PolarsResult, Series, StringChunked};

use super::columnar::{Converted, Fault};
use super::conversion::{Misfit, texts_of};
use super::schema::SchemaType;
use super::template::{Piece, Template};

impl Template {
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
                    let value = value.or(otherwise.as_deref()).ok_or(name.as_str())?;
                    match self.html {
                        true => push_escaped(&mut out, value),
                        false => out.push_str(value),
                    }
                }
            }
        }
        Ok(out)
    }
}

/// Adds a value as HTML shows it: signs of HTML stand for themselves, and lines stay lines.
fn push_escaped(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push_str("<br>"),
            '\r' => {}
            other => out.push(other),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use polars::prelude::NamedFrom;

    use super::*;

    const TEXT: SchemaType = SchemaType::Text {
        characters_max: None,
    };

    #[test]
    fn a_text_tells_values_in_its_order() {
        let template = Template::parse("{{{who}}} for {job | \"a job}\"} {who}").unwrap();
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
}
