//! What depends on what a request writes: fields that are read back once a reference was pointed
//! elsewhere (`read_back`), and columns of the source that take them at once (`mirror`).

use polars::prelude::{Column, DataFrame, IntoColumn, Series, StringChunked};

use super::columnar::Converted;
use super::conform::parse_texts;
use super::conversion::{Fraction, Holder, Misfit, convert};
use super::layout::Layout;
use super::moment::Zones;
use super::object::{NamePart, ObjectColumn};
use super::problem::Location;
use super::schema::SchemaType;

/// A field that is read back, as a job file names it: a column of the object, or a path over a
/// reference of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedField {
    /// As it is written, and answered.
    pub(crate) text: String,
    pub(crate) column: NamePart,
    /// The parts of the path that it may be; none of a plain name.
    pub(crate) path: Vec<NamePart>,
    pub(crate) location: Location,
}

/// A column of the source's table that takes what is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MirroredColumn {
    pub(crate) column: NamePart,
    /// Text of the field whose value it takes.
    pub(crate) field: String,
    pub(crate) location: Location,
}

/// What a write-back reads back and mirrors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ReadBack {
    /// Those of the mirror among them; each once.
    pub(crate) fields: Vec<NamedField>,
    pub(crate) mirror: Vec<MirroredColumn>,
}

/// Fields that are read of one row: of the row that was written, or of one that it refers to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dependents {
    /// The column that leads to the row; `None`: it is the row itself.
    pub(crate) reference: Option<ObjectColumn>,
    /// The row's id is the key where a reference leads to it; otherwise there is no key.
    pub(crate) layout: Layout,
    /// As what a field is answered, and its position in the layout.
    pub(crate) named: Vec<(String, usize)>,
}

/// Texts, as one system writes the values of `from`, as values of another column.
/// Errors: if none of them ever fits.
pub(crate) fn retyped(
    texts: &StringChunked,
    from: &ObjectColumn,
    to: &ObjectColumn,
    zones: Zones,
) -> Result<Converted, Misfit> {
    let from = from.holds.schema_type().unwrap_or(SchemaType::Text {
        characters_max: None,
    });
    let read = parse_texts(texts, from)?;
    let holder = Holder {
        holds: &to.holds,
        declared: &to.declared,
        zones,
        fraction: Fraction::Exact,
    };
    let mut converted = convert(&read.values, from, holder)?;
    converted.faults.extend(read.faults);
    Ok(converted)
}

/// Why no value of `from` is one of `to`; `None` if some may be.
pub(crate) fn misfit(from: &ObjectColumn, to: &ObjectColumn, zones: Zones) -> Option<Misfit> {
    let none = StringChunked::from_iter(std::iter::empty::<Option<&str>>());
    retyped(&none, from, to, zones).err()
}

/// One record of a layout of which only these values are known, NULL in all other fields.
pub(crate) fn record_of(layout: &Layout, known: &[Column]) -> DataFrame {
    let column = |name: &str| known.iter().find(|column| column.name().as_str() == name);
    let columns = layout.fields.iter().map(|field| {
        let name = field.column.name.as_str();
        let nothing = || Series::full_null(name.into(), 1, &field.kind.representation());
        column(name)
            .cloned()
            .unwrap_or_else(|| nothing().into_column())
    });
    DataFrame::new(1, columns.collect()).expect("a layout's fields have different names")
}

/// The object and the id that a web API's reference names where it may lead to several objects:
/// `systemuser(ID)`; the id alone elsewhere.
pub(crate) fn referred(text: &str) -> (Option<&str>, &str) {
    let parts = text.split_once('(');
    let parts = parts.and_then(|(object, rest)| Some((object, rest.strip_suffix(')')?)));
    match parts {
        Some((object, id)) => (Some(object), id),
        None => (None, text),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;
    use crate::domain::object::{Holds, Repertoire};

    fn column(holds: Holds) -> ObjectColumn {
        ObjectColumn::plain("x", "x", holds)
    }

    fn text() -> ObjectColumn {
        column(Holds::Text {
            limit: None,
            repertoire: Repertoire::Unicode { nul: false },
        })
    }

    fn number() -> ObjectColumn {
        column(Holds::Integer { min: 0, max: 99 })
    }

    #[test]
    fn a_value_of_one_system_becomes_one_of_the_other_or_is_at_fault() {
        let texts = StringChunked::from_iter([Some("7"), None, Some("700")]);
        let zones = Zones::default();
        let as_text = retyped(&texts, &number(), &text(), zones).unwrap();
        assert!(as_text.faults.is_empty(), "{:?}", as_text.faults);
        let as_number = retyped(&texts, &number(), &number(), zones).unwrap();
        let at_fault: Vec<usize> = as_number.faults.iter().map(|fault| fault.index).collect();
        assert_eq!(at_fault, [2]);
        assert!(misfit(&number(), &text(), zones).is_none());
        assert!(misfit(&number(), &column(Holds::Date), zones).is_some());
    }

    #[test]
    fn a_reference_tells_its_object_only_where_it_is_written_so() {
        assert_eq!(referred("systemuser(1-2)"), (Some("systemuser"), "1-2"));
        assert_eq!(referred("005000000000U01"), (None, "005000000000U01"));
        assert_eq!(referred("a(b"), (None, "a(b"));
    }
}
