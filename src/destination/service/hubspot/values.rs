//! Values on their way to HubSpot and back. All of them travel as texts; an empty one is none.
//! Source: <https://developers.hubspot.com/docs/api-reference/crm-properties-v3/guide>.

use super::super::values::{boolean, instant, members, micros, plain, stored};
use crate::domain::decimal::Decimal;
use crate::domain::layout::LayoutField;
use crate::domain::object::ObjectColumn;
use crate::domain::sameness::same;
use crate::domain::value::Kind;

/// A property's type, where it makes a difference to its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// Kept in lower case.
    Email,
    /// Members with semicolons between; their order does not count.
    Members,
    Other,
}

impl Nature {
    fn of(column: &ObjectColumn) -> Self {
        match (column.name.as_str(), column.declared.as_str()) {
            (_, "enumeration(checkbox)") => Self::Members,
            (_, declared) if declared.starts_with("association(") => Self::Members,
            ("email", _) => Self::Email,
            _ => Self::Other,
        }
    }
}

fn kind_of(field: &LayoutField) -> Kind {
    field.column.holds.kind().unwrap_or(field.kind)
}

/// What was read of a property: an empty text is none.
pub(super) fn held(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// Whether a property that holds `held` would hold the same after `sent` was written into it.
pub(super) fn same_after_storing(
    field: &LayoutField,
    sent: Option<&str>,
    held: Option<&str>,
) -> bool {
    let kind = kind_of(field);
    let (sent, held) = (stored(kind, sent), stored(kind, held));
    let (Some(sent), Some(held)) = (&sent, &held) else {
        return sent.is_none() && held.is_none();
    };
    if sent == held {
        return true;
    }
    match (Nature::of(&field.column), kind) {
        (Nature::Email, _) => sent.to_lowercase() == held.to_lowercase(),
        (Nature::Members, _) => members(sent) == members(held),
        (Nature::Other, Kind::Instant) => {
            let milliseconds = |text| moment(text).map(|micros| micros.div_euclid(1_000));
            milliseconds(sent).is_some_and(|sent| Some(sent) == milliseconds(held))
        }
        (Nature::Other, Kind::Date) => {
            let day = |text: &str| moment(text).map(|micros| micros.div_euclid(MICROS_PER_DAY));
            same(kind, Some(sent), Some(held))
                || day(held).is_some_and(|held| Some(held) == day(&format!("{sent}T00:00:00Z")))
        }
        (Nature::Other, Kind::Integer | Kind::Float32 | Kind::Float64) => {
            same(Kind::Decimal, Some(sent), Some(held)) || same(kind, Some(sent), Some(held))
        }
        (Nature::Other, kind) => same(kind, Some(sent), Some(held)),
    }
}

const MICROS_PER_DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// Microseconds since 1970 of an instant, be it told in milliseconds since then.
fn moment(text: &str) -> Option<i64> {
    let milliseconds = || text.parse::<i64>().ok()?.checked_mul(1_000);
    micros(text).or_else(milliseconds)
}

/// The form in which two keys are the same text if one finds the other's record.
pub(super) fn key_form(field: &LayoutField, part: &str) -> String {
    let text = wire(field, Some(part));
    match Nature::of(&field.column) {
        Nature::Email => text.to_lowercase(),
        Nature::Members | Nature::Other => text,
    }
}

/// A value as it is sent, and as it is asked for.
pub(super) fn wire(field: &LayoutField, value: Option<&str>) -> String {
    let kind = kind_of(field);
    let Some(value) = stored(kind, value) else {
        return String::new();
    };
    match kind {
        Kind::Integer | Kind::Decimal | Kind::Float32 | Kind::Float64 => {
            Decimal::parse(&value).map_or_else(|_| value.to_string(), plain)
        }
        Kind::Boolean => boolean(&value).to_owned(),
        Kind::Instant | Kind::Timestamp => instant(&value).into_owned(),
        // A semicolon at the beginning would add to what is there.
        Kind::Text if Nature::of(&field.column) == Nature::Members => {
            let members: Vec<&str> = members(&value).into_iter().collect();
            members.join(";")
        }
        Kind::Text | Kind::Date | Kind::Time | Kind::Uuid | Kind::Json => value.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::object::{Holds, Repertoire};

    fn text(name: &str, declared: &str) -> LayoutField {
        let holds = Holds::Text {
            limit: None,
            repertoire: Repertoire::Unicode { nul: false },
        };
        LayoutField::plain(ObjectColumn::plain(name, declared, holds), Kind::Text)
    }

    fn of(holds: Holds, kind: Kind) -> LayoutField {
        LayoutField::plain(ObjectColumn::plain("x", "x", holds), kind)
    }

    #[test]
    fn what_hubspot_makes_of_a_value_is_the_same_value() {
        let email = text("email", "string");
        assert!(same_after_storing(
            &email,
            Some("Ada@X.io "),
            Some("ada@x.io")
        ));
        let plain = text("note", "string");
        assert!(same_after_storing(&plain, Some("  "), None));
        assert!(same_after_storing(&plain, None, Some("")));
        assert!(!same_after_storing(&plain, Some("Ada"), Some("ada")));
        let members = text("interests", "enumeration(checkbox)");
        assert!(same_after_storing(&members, Some("a;b"), Some("b; a")));
        assert!(!same_after_storing(&members, Some("a"), Some("b;a")));
        let number = of(Holds::Decimal { size: None }, Kind::Decimal);
        assert!(same_after_storing(&number, Some("17.50"), Some("17.5")));
        assert!(same_after_storing(&number, Some("1000000"), Some("1.0E6")));
        let date = of(Holds::Date, Kind::Date);
        assert!(same_after_storing(
            &date,
            Some("2026-01-31"),
            Some("1769817600000")
        ));
        assert!(!same_after_storing(
            &date,
            Some("2026-01-31"),
            Some("2026-02-01")
        ));
        let instant = of(Holds::Instant { fraction_digits: 3 }, Kind::Instant);
        let held = Some("2026-01-31T10:00:00.123Z");
        assert!(same_after_storing(
            &instant,
            Some("2026-01-31 10:00:00.123456+00:00"),
            held
        ));
    }

    #[test]
    fn a_set_of_members_never_begins_with_a_semicolon() {
        let members = text("interests", "enumeration(checkbox)");
        assert_eq!(wire(&members, Some(";b;a")), "a;b");
        assert_eq!(wire(&members, None), "");
    }
}
