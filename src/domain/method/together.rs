//! Several columns that yield one value.

use polars::prelude::{IntoSeries, PlSmallStr, PolarsResult, Series, StringChunked};

use crate::domain::schema::SchemaType;
use crate::domain::value::Kind;

/// The texts of each record, with `with` between them and without those that are empty; NULL where
/// all are. Shape: texts of as many records in each.
pub(super) fn joined(name: &PlSmallStr, texts: &[StringChunked], with: &str) -> Series {
    let height = texts.first().map_or(0, StringChunked::len);
    let of_record = |index: usize| {
        let filled = texts.iter().filter_map(|text| text.get(index));
        let filled: Vec<&str> = filled.filter(|text| !text.is_empty()).collect();
        (!filled.is_empty()).then(|| filled.join(with))
    };
    let joined: StringChunked = (0..height).map(of_record).collect();
    joined.with_name(name.clone()).into_series()
}

/// The first value of each record that is neither NULL nor an empty text.
pub(super) fn first_of(inputs: &[(&Series, SchemaType)]) -> PolarsResult<Series> {
    let Some(((first, _), inputs)) = inputs.split_first() else {
        return Ok(Series::default());
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
        let texts = [
            [Some("Ada"), Some(""), None],
            [Some("7"), Some("8"), None],
            [Some("Lovelace"), Some("Curie"), Some("")],
        ];
        let texts = texts.map(|texts| texts.into_iter().collect::<StringChunked>());
        let joined = joined(&"name".into(), &texts, " ");
        assert_eq!(
            self::texts(&joined),
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
