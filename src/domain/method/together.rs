//! Several columns that yield one value.

use polars::prelude::{IntoSeries, PlSmallStr};
use polars::prelude::{PolarsResult, Series, StringChunked};

use crate::domain::conversion::{Misfit, texts_of};
use crate::domain::schema::SchemaType;
use crate::domain::value::Kind;

/// The values of each record as texts, with `with` between them and without those that are empty;
/// NULL where all are.
pub(super) fn joined(inputs: &[(&Series, SchemaType)], with: &str) -> Result<Series, Misfit> {
    let texts = inputs
        .iter()
        .map(|(values, input)| texts_of(values, input.kind()));
    let texts: Vec<StringChunked> = texts.collect::<PolarsResult<_>>()?;
    let height = inputs.first().map_or(0, |(values, _)| values.len());
    let of_record = |index: usize| {
        let filled = texts.iter().filter_map(|text| text.get(index));
        let filled: Vec<&str> = filled.filter(|text| !text.is_empty()).collect();
        (!filled.is_empty()).then(|| filled.join(with))
    };
    let joined: StringChunked = (0..height).map(of_record).collect();
    Ok(joined.with_name(name(inputs)).into_series())
}

/// The first value of each record that is neither NULL nor an empty text.
pub(super) fn first_of(inputs: &[(&Series, SchemaType)]) -> Result<Series, Misfit> {
    let mut inputs = inputs.iter();
    let Some((first, _)) = inputs.next() else {
        return Err(Misfit::Unreadable("it names no column".to_owned()));
    };
    let mut values = (*first).clone();
    for (next, input) in inputs {
        let filled = match input.kind() {
            Kind::Text => {
                let texts = values.str()?;
                texts
                    .iter()
                    .map(|text| text.is_some_and(|text| !text.is_empty()))
                    .collect()
            }
            Kind::Integer
            | Kind::Decimal
            | Kind::Float32
            | Kind::Float64
            | Kind::Boolean
            | Kind::Date
            | Kind::Time
            | Kind::Timestamp
            | Kind::Instant
            | Kind::Uuid
            | Kind::Json => values.is_not_null(),
        };
        values = values.zip_with(&filled, next)?;
    }
    Ok(values)
}

/// The type of the first of several columns; `None` unless one type holds the values of all.
pub(super) fn type_of_first(inputs: &[SchemaType]) -> Option<SchemaType> {
    let first = *inputs.first()?;
    let is_text = |input: &SchemaType| input.kind() == Kind::Text;
    if inputs.iter().all(|input| *input == first) {
        Some(first)
    } else {
        inputs.iter().all(is_text).then_some(SchemaType::Text {
            characters_max: None,
        })
    }
}

fn name(inputs: &[(&Series, SchemaType)]) -> PlSmallStr {
    inputs
        .first()
        .map_or(PlSmallStr::EMPTY, |(values, _)| values.name().clone())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use polars::prelude::NamedFrom;

    use super::*;

    const TEXT: SchemaType = SchemaType::Text {
        characters_max: None,
    };
    const WHOLE: SchemaType = SchemaType::Integer { bits: 32 };

    fn texts(values: &Series) -> Vec<Option<&str>> {
        values.str().unwrap().iter().collect()
    }

    #[test]
    fn values_are_joined_without_those_that_are_empty() {
        let first = Series::new("a".into(), [Some("Ada"), Some(""), None]);
        let middle = Series::new("b".into(), [Some(7_i64), Some(8), None]);
        let last = Series::new("c".into(), [Some("Lovelace"), Some("Curie"), Some("")]);
        let inputs = [(&first, TEXT), (&middle, WHOLE), (&last, TEXT)];
        assert_eq!(
            texts(&joined(&inputs, " ").unwrap()),
            [Some("Ada 7 Lovelace"), Some("8 Curie"), None]
        );
    }

    #[test]
    fn the_first_value_is_the_first_that_is_not_empty() {
        let first = Series::new("a".into(), [Some("1"), Some(""), None, None]);
        let second = Series::new("b".into(), [Some("2"), Some("2"), None, Some("")]);
        let third = Series::new("c".into(), [None, None, Some("3"), None]);
        let inputs = [(&first, TEXT), (&second, TEXT), (&third, TEXT)];
        assert_eq!(
            texts(&first_of(&inputs).unwrap()),
            [Some("1"), Some("2"), Some("3"), None]
        );
        let (whole, other) = (
            Series::new("a".into(), [None, Some(0_i64)]),
            Series::new("b".into(), [Some(5_i64), Some(6)]),
        );
        let numbers = first_of(&[(&whole, WHOLE), (&other, WHOLE)]).unwrap();
        assert_eq!(
            numbers.i64().unwrap().iter().collect::<Vec<_>>(),
            [Some(5), Some(0)]
        );
        assert_eq!(type_of_first(&[TEXT, WHOLE]), None);
        let narrow = SchemaType::Text {
            characters_max: Some(3),
        };
        assert_eq!(type_of_first(&[narrow, TEXT]), Some(TEXT));
        assert_eq!(type_of_first(&[WHOLE, WHOLE]), Some(WHOLE));
    }
}
