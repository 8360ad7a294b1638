//! Methods: the named functions a field's value may come from. Pure; `writeback methods` prints
//! this registry.

mod names;
mod phone;
mod together;

use chrono::{DateTime, Utc};
use polars::prelude::{
    IntoSeries, NamedFrom, PolarsResult, Series, StringChunked, StringChunkedBuilder, TimeUnit,
};
use strum::{EnumCount, VariantArray};

pub(crate) use self::phone::{PhoneRule, Unreadable, region};
use super::columnar::{self, Converted};
use super::conversion::{Misfit, decimal_texts, texts_of};
use super::cycle::Cycle;
use super::decimal::{Decimal, NotDecimal};
use super::schema::{DecimalSize, SchemaType};
use super::value::Kind;

/// A named function that yields a field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, VariantArray)]
pub(crate) enum Method {
    CycleCompletedAt,
    CycleId,
    RunStartedAt,
    RunId,
    JobName,
    Trim,
    Lower,
    Upper,
    PercentOfOne,
    PartOfOne,
    Label,
    Join,
    FirstOf,
    GivenName,
    FamilyName,
    Phone,
}

/// What a method works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing of a record: it yields one value for the whole run, a stamp.
    Nothing,
    Column,
    /// Several columns, each of which may go to another field, too.
    Columns,
}

/// A method as a field calls it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MethodCall {
    pub(crate) method: Method,
    /// Positions of the schema columns it works on, as many as [`Method::takes`] says.
    pub(crate) columns: Vec<usize>,
    pub(crate) setting: Setting,
}

/// What else a field tells a method.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Setting {
    #[default]
    Nothing,
    /// For [`Method::Label`]: rising bounds, the last one open.
    Labels(Vec<Label>),
    /// For [`Method::Join`]: what stands between two values.
    With(String),
    /// For [`Method::Phone`].
    Phone(PhoneRule),
}

/// What kind of setting a method takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, VariantArray)]
pub(crate) enum SettingKind {
    Nothing,
    Labels,
    With,
    Phone,
}

impl SettingKind {
    pub(crate) const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    /// Its keys in a field.
    pub(crate) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Nothing => &[],
            Self::Labels => &["labels"],
            Self::With => &["with"],
            Self::Phone => &["region", "unreadable"],
        }
    }
}

/// What methods may know about a run.
#[derive(Debug, Clone)]
pub(crate) struct RunFacts {
    pub(crate) run: i64,
    pub(crate) job: String,
    pub(crate) cycle: Cycle,
    pub(crate) started_at: DateTime<Utc>,
}

/// One line of a label method: `{ below = 40, label = "at risk" }`, the last `{ label = "healthy"
/// }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    /// A decimal number as written; `None` takes whatever no earlier bound took.
    pub(crate) below: Option<String>,
    pub(crate) label: String,
}

impl Method {
    pub(crate) const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    /// As job files write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CycleCompletedAt => "cycle_completed_at",
            Self::CycleId => "cycle_id",
            Self::RunStartedAt => "run_started_at",
            Self::RunId => "run_id",
            Self::JobName => "job_name",
            Self::Trim => "trim",
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::PercentOfOne => "percent_of_one",
            Self::PartOfOne => "part_of_one",
            Self::Label => "label",
            Self::Join => "join",
            Self::FirstOf => "first_of",
            Self::GivenName => "given_name",
            Self::FamilyName => "family_name",
            Self::Phone => "phone",
        }
    }

    /// What it is for, in one sentence.
    pub(crate) fn purpose(self) -> &'static str {
        match self {
            Self::CycleCompletedAt => {
                "Tells when the dashboard's cycle was completed whose values a row holds."
            }
            Self::CycleId => "Tells which cycle of the dashboard a row's values come from.",
            Self::RunStartedAt => "Tells when the run was started that last changed a row.",
            Self::RunId => "Tells the number of the run that last changed a row.",
            Self::JobName => "Tells the name of the job that last changed a row.",
            Self::Trim => "Takes the white space off both ends of a text.",
            Self::Lower => "Writes a text in lower case.",
            Self::Upper => "Writes a text in upper case.",
            Self::PercentOfOne => {
                "Writes a part of one as a percentage, moving the point by two digits."
            }
            Self::PartOfOne => {
                "Writes a percentage as a part of one, moving the point by two digits."
            }
            Self::Label => {
                "Names the range that a number lies in: the first whose bound the number is below."
            }
            Self::Join => {
                "Puts the values of several columns into one text, without those that are empty."
            }
            Self::FirstOf => "Takes the first of several columns that is not empty.",
            Self::GivenName => {
                "Takes the given names out of a full name: all but its last word, or what follows its comma."
            }
            Self::FamilyName => {
                "Takes the family name out of a full name: its last word, or what stands before its comma."
            }
            Self::Phone => {
                "Writes a phone number in the international form; of one that is none, the record is rejected."
            }
        }
    }

    /// A line of a job file, and what it yields.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::CycleCompletedAt => {
                r#"SCORED_AT = { method = "cycle_completed_at" } -> 2026-11-16 06:00:00"#
            }
            Self::CycleId => r#"CYCLE = { method = "cycle_id" } -> 2026-W47"#,
            Self::RunStartedAt => {
                r#"WRITTEN_AT = { method = "run_started_at" } -> 2026-11-16 06:30:02"#
            }
            Self::RunId => r#"RUN = { method = "run_id" } -> 4182"#,
            Self::JobName => r#"WRITTEN_BY = { method = "job_name" } -> weekly"#,
            Self::Trim => {
                r#"OWNER = { method = "trim", column = "owner" } -> "  Ada " becomes "Ada""#
            }
            Self::Lower => {
                r#"EMAIL = { method = "lower", column = "email" } -> "Ada@Example.com" becomes "ada@example.com""#
            }
            Self::Upper => {
                r#"COUNTRY = { method = "upper", column = "country" } -> "de" becomes "DE""#
            }
            Self::PercentOfOne => {
                r#"RENEWAL_PERCENT = { method = "percent_of_one", column = "renewal_likelihood" } -> 0.875 becomes 87.5"#
            }
            Self::PartOfOne => {
                r#"RENEWAL_LIKELIHOOD = { method = "part_of_one", column = "renewal_percent" } -> 87.5 becomes 0.875"#
            }
            Self::Label => {
                r#"TIER = { method = "label", column = "health_score", labels = [{ below = 40, label = "at risk" }, { label = "healthy" }] } -> 12.5 becomes "at risk""#
            }
            Self::Join => {
                r#"NAME = { method = "join", columns = ["first_name", "last_name"], with = " " } -> "Ada" and "Lovelace" become "Ada Lovelace""#
            }
            Self::FirstOf => {
                r#"PHONE = { method = "first_of", columns = ["mobile", "phone"] } -> "" and "+49 30 123456" become "+49 30 123456""#
            }
            Self::GivenName => {
                r#"FIRST_NAME = { method = "given_name", column = "full_name" } -> "Lovelace, Ada" becomes "Ada""#
            }
            Self::FamilyName => {
                r#"LAST_NAME = { method = "family_name", column = "full_name" } -> "Ada King Lovelace" becomes "Lovelace""#
            }
            Self::Phone => {
                r#"PHONE = { method = "phone", column = "phone", region = "US" } -> "(212) 736-5000" becomes "+12127365000""#
            }
        }
    }

    /// What it works on.
    pub(crate) fn takes(self) -> Takes {
        match self {
            Self::CycleCompletedAt
            | Self::CycleId
            | Self::RunStartedAt
            | Self::RunId
            | Self::JobName => Takes::Nothing,
            Self::Trim
            | Self::Lower
            | Self::Upper
            | Self::PercentOfOne
            | Self::PartOfOne
            | Self::Label
            | Self::GivenName
            | Self::FamilyName
            | Self::Phone => Takes::Column,
            Self::Join | Self::FirstOf => Takes::Columns,
        }
    }

    /// Whether it works on values of a record; the others yield one value for the whole run and are
    /// stamps.
    pub(crate) fn takes_column(self) -> bool {
        self.takes() != Takes::Nothing
    }

    /// Whether a column that it works on may go to other fields, too: it yields only a part of
    /// it, or more than it.
    pub(crate) fn shares_columns(self) -> bool {
        match self {
            Self::GivenName | Self::FamilyName | Self::Join | Self::FirstOf => true,
            Self::CycleCompletedAt
            | Self::CycleId
            | Self::RunStartedAt
            | Self::RunId
            | Self::JobName
            | Self::Trim
            | Self::Lower
            | Self::Upper
            | Self::PercentOfOne
            | Self::PartOfOne
            | Self::Label
            | Self::Phone => false,
        }
    }

    /// The type it yields from columns of these types.
    /// Errors: which types it takes, if not these.
    pub(crate) fn result_type(self, inputs: &[SchemaType]) -> Result<SchemaType, String> {
        let any_text = SchemaType::Text {
            characters_max: None,
        };
        let input = inputs.first().copied();
        match self {
            Self::CycleCompletedAt | Self::RunStartedAt => Ok(SchemaType::TimestampWithZone),
            Self::CycleId | Self::JobName | Self::Join => Ok(any_text),
            Self::RunId => Ok(SchemaType::Integer { bits: 64 }),
            Self::Trim | Self::GivenName | Self::FamilyName => self.text_type(input),
            // Some characters become two in the other case.
            Self::Lower | Self::Upper | Self::Phone => self.text_type(input).map(|_| any_text),
            Self::PercentOfOne | Self::PartOfOne => self.shifted_type(input),
            Self::Label => match input.map(SchemaType::kind) {
                Some(Kind::Integer | Kind::Decimal | Kind::Float32 | Kind::Float64) => Ok(any_text),
                _ => Err(self.refuse("numbers")),
            },
            Self::FirstOf => {
                together::type_of_first(inputs).ok_or_else(|| self.refuse("columns of one type"))
            }
        }
    }

    /// What it yields for the whole run, alone in its column; `None` if it takes columns.
    pub(crate) fn stamp(self, facts: &RunFacts) -> Option<Series> {
        let name = self.name().into();
        let instant = |moment: DateTime<Utc>| {
            let micros = Series::new(self.name().into(), [moment.timestamp_micros()]);
            let micros = micros.i64().ok()?.clone();
            Some(
                micros
                    .into_datetime(TimeUnit::Microseconds, None)
                    .into_series(),
            )
        };
        match self {
            Self::CycleCompletedAt => instant(facts.cycle.completed_at),
            Self::RunStartedAt => instant(facts.started_at),
            Self::CycleId => Some(Series::new(name, [facts.cycle.id.as_str()])),
            Self::JobName => Some(Series::new(name, [facts.job.as_str()])),
            Self::RunId => Some(Series::new(name, [facts.run])),
            Self::Trim
            | Self::Lower
            | Self::Upper
            | Self::PercentOfOne
            | Self::PartOfOne
            | Self::Label
            | Self::Join
            | Self::FirstOf
            | Self::GivenName
            | Self::FamilyName
            | Self::Phone => None,
        }
    }

    /// Which setting a field may give it.
    pub(crate) fn setting(self) -> SettingKind {
        match self {
            Self::Label => SettingKind::Labels,
            Self::Join => SettingKind::With,
            Self::Phone => SettingKind::Phone,
            Self::CycleCompletedAt
            | Self::CycleId
            | Self::RunStartedAt
            | Self::RunId
            | Self::JobName
            | Self::Trim
            | Self::Lower
            | Self::Upper
            | Self::PercentOfOne
            | Self::PartOfOne
            | Self::FirstOf
            | Self::GivenName
            | Self::FamilyName => SettingKind::Nothing,
        }
    }

    fn text_type(self, input: Option<SchemaType>) -> Result<SchemaType, String> {
        match input {
            Some(text @ SchemaType::Text { .. }) => Ok(text),
            _ => Err(self.refuse("text")),
        }
    }

    /// The type of a number whose point has moved.
    fn shifted_type(self, input: Option<SchemaType>) -> Result<SchemaType, String> {
        let shifted = |precision: u16, scale: u16| {
            let size = if self == Self::PartOfOne {
                point_moved_left(precision, scale)
            } else {
                point_moved_right(precision, scale)
            };
            Ok(SchemaType::Decimal { size: Some(size) })
        };
        match input {
            Some(SchemaType::Integer { bits: 16 }) => shifted(5, 0),
            Some(SchemaType::Integer { bits: 32 }) => shifted(10, 0),
            Some(SchemaType::Integer { .. }) => shifted(19, 0),
            Some(SchemaType::Decimal { size: Some(size) }) => shifted(size.precision, size.scale),
            Some(SchemaType::Decimal { size: None }) => Ok(SchemaType::Decimal { size: None }),
            Some(SchemaType::Float { .. }) => Err(format!(
                "{}: a float moved by two digits is not exact",
                self.refuse("DECIMAL and whole numbers")
            )),
            _ => Err(self.refuse("DECIMAL and whole numbers")),
        }
    }

    fn refuse(self, what: &str) -> String {
        format!("method `{}` takes {what}", self.name())
    }
}

/// The size of a number whose point has moved by two digits to the left.
fn point_moved_left(precision: u16, scale: u16) -> DecimalSize {
    let scale = scale.saturating_add(2);
    DecimalSize {
        precision: precision.max(scale),
        scale,
    }
}

/// The size of a number whose point has moved by two digits to the right.
fn point_moved_right(precision: u16, scale: u16) -> DecimalSize {
    let whole_digits = precision.saturating_sub(scale).saturating_add(2);
    let scale = scale.saturating_sub(2);
    DecimalSize {
        precision: whole_digits.saturating_add(scale),
        scale,
    }
}

impl MethodCall {
    /// Works on conformed columns, each with its type. NULL stays NULL, and so does a number that
    /// no label's range takes. Shape: values in their kinds' representations in; as many of
    /// [`Method::result_type`] out. Errors: the method does not take such columns, or a label's
    /// bound is no number.
    pub(crate) fn apply(&self, inputs: &[(&Series, SchemaType)]) -> Result<Converted, Misfit> {
        let Some((values, input)) = inputs.first().copied() else {
            return Err(self.takes_none());
        };
        let rewritten = match self.method {
            Method::Trim => rewritten(values.str()?, |text, out| out.push_str(text.trim())),
            Method::Lower => rewritten(values.str()?, write_lower),
            Method::Upper => rewritten(values.str()?, write_upper),
            Method::PercentOfOne => shifted(values, input, 2, self.method)?,
            Method::PartOfOne => shifted(values, input, -2, self.method)?,
            Method::Label => self.labels_of(values, input)?,
            Method::Join => {
                let texts = inputs
                    .iter()
                    .map(|(values, input)| texts_of(values, input.kind()));
                let texts: Vec<StringChunked> = texts.collect::<PolarsResult<_>>()?;
                together::joined(values.name(), &texts, self.setting.with())
            }
            Method::FirstOf => together::first_of(inputs)?,
            Method::GivenName => names::parts(values.str()?, names::given),
            Method::FamilyName => names::parts(values.str()?, names::family),
            Method::Phone => return Ok(phone::normalised(values.str()?, self.setting.phone())),
            Method::CycleCompletedAt
            | Method::CycleId
            | Method::RunStartedAt
            | Method::RunId
            | Method::JobName => return Err(self.takes_none()),
        };
        Ok(Converted::without_faults(rewritten))
    }

    fn takes_none(&self) -> Misfit {
        Misfit::Unreadable(format!("method `{}` takes no column", self.method.name()))
    }

    /// Floats are compared by the shortest decimal number that reads back the same, the one that
    /// people see.
    fn labels_of(&self, values: &Series, input: SchemaType) -> Result<Series, Misfit> {
        let bounds = self
            .setting
            .labels()
            .iter()
            .map(|label| Ok((label.bound()?, label.label.as_str())));
        let bounds: Vec<(Option<Decimal<'_>>, &str)> = bounds.collect::<Result<_, Misfit>>()?;
        let label_of = |number: &str| {
            let number = Decimal::parse(number).ok()?;
            bounds
                .iter()
                .find(|(bound, _)| bound.is_none_or(|bound| number < bound))
                .map(|(_, label)| *label)
        };
        let (numbers, _) = decimal_texts(values, input)?;
        let mut labels = StringChunkedBuilder::new(values.name().clone(), values.len());
        for number in numbers.iter() {
            labels.append_option(number.and_then(label_of));
        }
        Ok(labels.finish().into_series())
    }
}

impl Setting {
    /// Labels, if it is that.
    pub(crate) fn labels(&self) -> &[Label] {
        match self {
            Self::Labels(labels) => labels,
            Self::Nothing | Self::With(_) | Self::Phone(_) => &[],
        }
    }

    fn with(&self) -> &str {
        match self {
            Self::With(with) => with,
            Self::Nothing | Self::Labels(_) | Self::Phone(_) => "",
        }
    }

    fn phone(&self) -> PhoneRule {
        match self {
            Self::Phone(rule) => *rule,
            Self::Nothing | Self::Labels(_) | Self::With(_) => PhoneRule::default(),
        }
    }
}

impl Label {
    fn bound(&self) -> Result<Option<Decimal<'_>>, Misfit> {
        let not_number = |_| {
            Misfit::Unreadable(format!(
                "the bound of label `{}` is not a number",
                self.label
            ))
        };
        self.below
            .as_deref()
            .map(Decimal::parse)
            .transpose()
            .map_err(not_number)
    }
}

fn rewritten(texts: &StringChunked, write: impl Fn(&str, &mut String)) -> Series {
    let write = |text: &str, out: &mut String| -> Result<(), String> {
        write(text, out);
        Ok(())
    };
    columnar::texts(texts.name(), texts.iter(), write)
        .0
        .into_series()
}

fn write_lower(text: &str, out: &mut String) {
    if text.is_ascii() {
        out.push_str(text);
        out.make_ascii_lowercase();
    } else {
        out.push_str(&text.to_lowercase());
    }
}

fn write_upper(text: &str, out: &mut String) {
    if text.is_ascii() {
        out.push_str(text);
        out.make_ascii_uppercase();
    } else {
        out.push_str(&text.to_uppercase());
    }
}

/// Numbers whose point is moved by `digits`, to the right if positive: exact, whatever their size.
fn shifted(
    values: &Series,
    input: SchemaType,
    digits: i64,
    method: Method,
) -> Result<Series, Misfit> {
    let result_type = method.result_type(&[input]).map_err(Misfit::Unreadable)?;
    let scale = if let SchemaType::Decimal { size: Some(size) } = result_type {
        Some(size.scale)
    } else {
        None
    };
    let (numbers, _) = decimal_texts(values, input)?;
    let write = |number: &str, out: &mut String| -> Result<(), NotDecimal> {
        Decimal::parse(number)?.shifted(digits).write(scale, out);
        Ok(())
    };
    let (moved, _) = columnar::texts(values.name(), numbers.iter(), write);
    Ok(moved.into_series())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use polars::prelude::NamedFrom;

    use super::*;
    use crate::domain::conform::parse_texts;

    const TEXT: SchemaType = SchemaType::Text {
        characters_max: Some(5),
    };
    const DECIMAL_5_2: SchemaType = SchemaType::Decimal {
        size: Some(DecimalSize {
            precision: 5,
            scale: 2,
        }),
    };
    const DECIMAL_5_4: SchemaType = SchemaType::Decimal {
        size: Some(DecimalSize {
            precision: 5,
            scale: 4,
        }),
    };
    const DOUBLE: SchemaType = SchemaType::Float { bits: 64 };

    fn call(method: Method) -> MethodCall {
        MethodCall {
            method,
            columns: vec![0],
            setting: Setting::Nothing,
        }
    }

    fn applied(
        call: &MethodCall,
        input: SchemaType,
        texts: &[Option<&str>],
    ) -> Vec<Option<String>> {
        let texts = Series::new("value".into(), texts);
        let values = parse_texts(texts.str().unwrap(), input).unwrap().values;
        let yielded = call.apply(&[(&values, input)]).unwrap().values;
        let kind = call.method.result_type(&[input]).unwrap().kind();
        texts_of(&yielded, kind)
            .unwrap()
            .iter()
            .map(|text| text.map(str::to_owned))
            .collect()
    }

    fn texts<const N: usize>(texts: [&str; N]) -> Vec<Option<String>> {
        texts
            .into_iter()
            .map(|text| Some(text.to_owned()))
            .collect()
    }

    #[test]
    fn every_method_is_found_by_its_name() {
        let names: std::collections::HashSet<&str> =
            Method::ALL.iter().map(|method| method.name()).collect();
        assert_eq!(names.len(), Method::ALL.len());
        for method in Method::ALL {
            assert!(
                method
                    .example()
                    .contains(&format!("method = \"{}\"", method.name()))
            );
            assert!(method.purpose().ends_with('.'));
            let takes = match method.takes() {
                Takes::Nothing => "",
                Takes::Column => "column = ",
                Takes::Columns => "columns = ",
            };
            assert!(method.example().contains(takes));
            assert_eq!(method.takes_column(), method.example().contains("column"));
        }
    }

    #[test]
    fn texts_are_trimmed_and_change_case() {
        let trimmed = applied(
            &call(Method::Trim),
            TEXT,
            &[Some(" \u{a0}a b\u{2003}\n"), Some("  "), None],
        );
        assert_eq!(trimmed, [Some("a b".to_owned()), Some(String::new()), None]);
        assert_eq!(
            applied(&call(Method::Lower), TEXT, &[Some("ADA"), Some("ÄÖ")]),
            texts(["ada", "äö"])
        );
        assert_eq!(
            applied(&call(Method::Upper), TEXT, &[Some("ada"), Some("groß")]),
            texts(["ADA", "GROSS"])
        );
        assert_eq!(Method::Trim.result_type(&[TEXT]), Ok(TEXT));
        assert_eq!(
            Method::Upper.result_type(&[DOUBLE]),
            Err("method `upper` takes text".to_owned())
        );
    }

    #[test]
    fn a_part_of_one_becomes_a_percentage_exactly() {
        let percent = call(Method::PercentOfOne);
        assert_eq!(
            applied(&percent, DECIMAL_5_4, &[Some("0.8313"), Some("-0.0001")]),
            texts(["83.13", "-0.01"])
        );
        assert_eq!(
            applied(&percent, SchemaType::Integer { bits: 16 }, &[Some("1")]),
            texts(["100"])
        );
        assert_eq!(
            applied(
                &percent,
                SchemaType::Decimal { size: None },
                &[Some("100"), Some("1e-9")]
            ),
            texts(["10000", "0.0000001"])
        );
        assert_eq!(
            Method::PercentOfOne.result_type(&[DECIMAL_5_4]),
            Ok(DECIMAL_5_2)
        );
        let reason = "method `percent_of_one` takes DECIMAL and whole numbers: a float moved by two digits is not exact";
        assert_eq!(
            Method::PercentOfOne.result_type(&[DOUBLE]),
            Err(reason.to_owned())
        );
        assert_eq!(
            Method::PercentOfOne.result_type(&[TEXT]),
            Err("method `percent_of_one` takes DECIMAL and whole numbers".to_owned())
        );
    }

    #[test]
    fn a_percentage_becomes_a_part_of_one_exactly() {
        let part = call(Method::PartOfOne);
        assert_eq!(
            applied(&part, DECIMAL_5_2, &[Some("87.5"), Some("-0.01")]),
            texts(["0.8750", "-0.0001"])
        );
        assert_eq!(
            applied(&part, SchemaType::Integer { bits: 16 }, &[Some("7")]),
            texts(["0.07"])
        );
        assert_eq!(
            Method::PartOfOne.result_type(&[DECIMAL_5_2]),
            Ok(DECIMAL_5_4)
        );
    }

    #[test]
    fn a_label_is_the_first_whose_bound_is_above() {
        let label = |below: Option<&str>, label: &str| Label {
            below: below.map(str::to_owned),
            label: label.to_owned(),
        };
        let labels = vec![
            label(Some("0.3"), "low"),
            label(Some("40"), "at risk"),
            label(None, "healthy"),
        ];
        let call = MethodCall {
            method: Method::Label,
            columns: vec![0],
            setting: Setting::Labels(labels),
        };
        let expected = vec![
            Some("low".to_owned()),
            Some("at risk".to_owned()),
            Some("healthy".to_owned()),
            None,
        ];
        let numbers = [Some("0.29"), Some("0.30"), Some("40"), None];
        for input in [
            DECIMAL_5_2,
            SchemaType::Decimal { size: None },
            SchemaType::Float { bits: 32 },
            DOUBLE,
        ] {
            assert_eq!(applied(&call, input, &numbers), expected, "{input}");
        }
        let integers = applied(
            &call,
            SchemaType::Integer { bits: 16 },
            &[Some("-5"), Some("39"), Some("40")],
        );
        assert_eq!(integers, texts(["low", "at risk", "healthy"]));
    }
}
