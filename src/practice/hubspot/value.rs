//! What becomes of a value that is written into a property.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};

use super::errors::Wrong;
use super::object::Property;

/// Characters of a text.
const TEXT_CHARACTERS_MAX: usize = 65_536;

/// Which rules a call is held to: those of the versions before dates, or newer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    Old,
    Dated,
}

/// A value as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) text: String,
    /// Whether it is another one than was sent, which is to be said.
    pub(super) normalized: bool,
}

/// What is stored of a text that is not empty. `held` is what the property holds; `owners` are ids
/// of owners.
pub(super) fn taken(
    property: &Property,
    text: &str,
    held: Option<&str>,
    age: Age,
    owners: &[String],
) -> Result<Taken, Wrong> {
    let wrong = |code, message: String| Wrong {
        property: property.name.clone(),
        code,
        message,
    };
    let plain = |text: &str| Taken {
        text: text.to_owned(),
        normalized: false,
    };
    match property.type_name.as_str() {
        "number" => match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(plain(text.trim())),
            _ => Err(wrong(
                "INVALID_LONG",
                format!("{text} was not a valid long."),
            )),
        },
        "bool" => match text {
            "true" | "false" => Ok(plain(text)),
            _ => Err(wrong(
                "INVALID_OPTION",
                format!("{text} was not one of the allowed options: [true, false]"),
            )),
        },
        "date" => date(text, age).map_err(|message| wrong("INVALID_DATE", message)),
        "datetime" => match moment(text) {
            Some(moment) => Ok(plain(&moment.to_rfc3339_opts(SecondsFormat::Millis, true))),
            None => Err(wrong(
                "INVALID_DATE",
                format!("{text} was not a valid date."),
            )),
        },
        "enumeration" => enumeration(property, text, held, owners)
            .map(|text| plain(&text))
            .map_err(|message| wrong("INVALID_OPTION", message)),
        _ if text.chars().count() > TEXT_CHARACTERS_MAX => Err(wrong(
            "PROPERTY_VALUE_TOO_LONG",
            format!("Property value was too long: the maximum is {TEXT_CHARACTERS_MAX} characters"),
        )),
        _ if property.name == "email" => match is_address(text.trim()) {
            true => Ok(plain(&text.trim().to_lowercase())),
            false => Err(wrong(
                "INVALID_EMAIL",
                format!("Email address {text} is invalid"),
            )),
        },
        _ => Ok(plain(text.trim())),
    }
}

fn is_address(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !host.contains('@') && !text.contains(' ')
    })
}

fn enumeration(
    property: &Property,
    text: &str,
    held: Option<&str>,
    owners: &[String],
) -> Result<String, String> {
    let is_option = |option: &str| match property.owner {
        true => owners.iter().any(|owner| owner == option),
        false => property.external_options || property.options.iter().any(|known| known == option),
    };
    let refused = |option: &str| {
        format!(
            "{option} was not one of the allowed options: [{}]",
            property.options.join(", ")
        )
    };
    if property.field_type != "checkbox" {
        return match is_option(text) {
            true => Ok(text.to_owned()),
            false => Err(refused(text)),
        };
    }
    // A leading semicolon adds to what is there.
    let before = held.filter(|_| text.starts_with(';')).unwrap_or_default();
    let mut members: Vec<&str> = Vec::new();
    for member in before.split(';').chain(text.split(';')) {
        if !member.is_empty() && !members.contains(&member) {
            members.push(member);
        }
    }
    match members.iter().find(|member| !is_option(member)) {
        Some(member) => Err(refused(member)),
        None => Ok(members.join(";")),
    }
}

/// Days are kept as such; a time of day is refused by old versions and dropped by newer ones.
fn date(text: &str, age: Age) -> Result<Taken, String> {
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(Taken {
            text: date.to_string(),
            normalized: false,
        });
    }
    let moment = moment(text).ok_or_else(|| format!("{text} was not a valid date."))?;
    let is_midnight = moment.timestamp_millis().rem_euclid(86_400_000) == 0;
    if !is_midnight && age == Age::Old {
        return Err(format!(
            "{text} is at {} UTC, not midnight!",
            moment.format("%-H:%M:%S%.3f")
        ));
    }
    Ok(Taken {
        text: moment.date_naive().to_string(),
        normalized: !is_midnight,
    })
}

/// Reads milliseconds since 1970, or an instant in ISO 8601.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let milliseconds = || DateTime::from_timestamp_millis(text.parse().ok()?);
    let iso = || Some(DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc));
    milliseconds().or_else(iso)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn property(type_name: &str, field_type: &str, options: &[&str]) -> Property {
        Property {
            name: "x".to_owned(),
            type_name: type_name.to_owned(),
            field_type: field_type.to_owned(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            external_options: false,
            owner: false,
            unique: false,
            read_only: false,
        }
    }

    #[test]
    fn a_time_of_day_is_refused_by_old_versions_and_dropped_by_newer_ones() {
        let of = |text, age| taken(&property("date", "date", &[]), text, None, age, &[]);
        let message = of("1570233600600", Age::Old).expect_err("refused").message;
        assert_eq!(
            message,
            "1570233600600 is at 0:00:00.600 UTC, not midnight!"
        );
        let kept = of("1570248633600", Age::Dated).expect("taken");
        assert_eq!((kept.text.as_str(), kept.normalized), ("2019-10-05", true));
        let whole = of("1769817600000", Age::Old).expect("taken");
        assert_eq!(
            (whole.text.as_str(), whole.normalized),
            ("2026-01-31", false)
        );
    }

    #[test]
    fn a_leading_semicolon_adds_to_a_set() {
        let set = property("enumeration", "checkbox", &["a", "b", "d"]);
        let of = |text| taken(&set, text, Some("a;b"), Age::Dated, &[]);
        assert_eq!(of(";d").expect("taken").text, "a;b;d");
        assert_eq!(of("d").expect("taken").text, "d");
        let message = of("c").expect_err("refused").message;
        assert_eq!(message, "c was not one of the allowed options: [a, b, d]");
    }
}
