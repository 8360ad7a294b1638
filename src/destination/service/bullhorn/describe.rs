//! An entity as `meta` describes it, made into what every destination's object is. What `meta` says of
//! requirements is how that corporation's forms are filled in, which the API does not insist on; so it
//! is left to the API to refuse.
//! Source: <https://bullhorn.github.io/rest-api-docs/#meta>.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::Value;

use crate::domain::change::Change;
use crate::domain::connection::ServiceKind;
use crate::domain::object::{
    Holds, Object, ObjectColumn, ObjectKind, Obstacle, Repertoire, RowLocks, Spelling, TextLimit,
};
use crate::domain::referral::{ReferenceColumn, ReferenceTarget, ValuesSeen};

/// `maxLength` of a text that has no end.
const LENGTH_ENDLESS: u64 = 2_147_483_647;

/// Properties without which no record is made, whatever `meta` says.
/// Source: <https://bullhorn.github.io/rest-api-docs/entityref.html>.
const NEEDED: [(&str, &[&str]); 2] = [
    (
        "JobSubmission",
        &["candidate", "jobOrder", "status", "dateWebResponse"],
    ),
    ("Note", &["action", "comments", "personReference"]),
];

/// The entity of countries, of which addresses hold ids. Source:
/// <https://bullhorn.github.io/rest-api-docs/entityref.html#country>.
const COUNTRY: &str = "Country";

/// The answer of `meta`, as far as it is made use of.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Described {
    pub(super) entity: String,
    pub(super) fields: Vec<Field>,
    /// What the user may do with it; `None` if that is not told.
    #[serde(skip)]
    pub(super) entitlements: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Field {
    pub(super) name: String,
    #[serde(rename = "type")]
    field_type: String,
    #[serde(default)]
    data_type: String,
    #[serde(default)]
    data_specialization: String,
    #[serde(default)]
    max_length: u64,
    #[serde(default)]
    multi_value: bool,
    #[serde(default)]
    options: Vec<Choice>,
    associated_entity: Option<Associated>,
    /// The parts of an address.
    #[serde(default)]
    fields: Vec<Field>,
    /// What its list is of, where that is told elsewhere.
    #[serde(default)]
    options_type: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Choice {
    value: Value,
    /// What people see, where that is told.
    label: Option<String>,
}

impl Choice {
    fn text(&self) -> String {
        match self.value.as_str() {
            Some(text) => text.to_owned(),
            None => self.value.to_string(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Associated {
    #[serde(default)]
    entity: String,
}

impl Described {
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// Lets a field have these values only.
    pub(super) fn restrict(&mut self, name: &str, values: &[String]) {
        let field = self.fields.iter_mut().find(|field| field.name == name);
        if let Some(field) = field.filter(|_| !values.is_empty()) {
            let told = std::mem::take(&mut field.options);
            let label = |value: &String| {
                let told = told.iter().find(|choice| choice.text() == *value)?;
                told.label.clone()
            };
            let values = values.iter().map(|value| Choice {
                value: value.as_str().into(),
                label: label(value),
            });
            field.options = values.collect();
        }
    }

    /// The values of a field by what people see of them; what is seen of several values, or is a
    /// value itself, stands for none.
    pub(super) fn values_seen(&self, name: &str) -> ValuesSeen {
        let field = self.fields.iter().find(|field| field.name == name);
        let options = field.map_or(&[][..], |field| &field.options);
        let values = field.map(Field::choices).unwrap_or_default();
        let mut seen: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for choice in options {
            let label = choice.label.as_deref().unwrap_or_default();
            seen.entry(label).or_default().push(choice.text());
        }
        let told = seen.into_iter().filter_map(|(label, mut values_of)| {
            let only = values_of.pop().filter(|_| values_of.is_empty())?;
            let is_free = !label.is_empty() && !values.iter().any(|value| value == label);
            is_free.then(|| (label.to_owned(), only))
        });
        told.collect()
    }

    /// The object, as the run sees it; days are those of the corporation's zone.
    pub(super) fn object(&self, timezone: Option<Tz>) -> Object {
        let needed = NEEDED.iter().find(|(entity, _)| *entity == self.entity);
        let needed = needed.map_or(&[][..], |(_, needed)| needed);
        let columns = |field: &Field| {
            let is_needed = needed.contains(&field.name.as_str());
            let whole = field.column(timezone, is_needed);
            std::iter::once(whole)
                .chain(field.parts(timezone))
                .collect()
        };
        let is_found_by = |field: &&Field| matches!(field.field_type.as_str(), "SCALAR" | "TO_ONE");
        let found_by = self.fields.iter().filter(is_found_by);
        let found_by = found_by.map(|field| vec![field.name.clone()]);
        let id = || vec!["id".to_owned()];
        Object {
            path: vec![self.entity.clone()],
            spelling: Spelling {
                quote: '"',
                account: None,
            },
            kind: ObjectKind::Records(ServiceKind::Bullhorn),
            columns: self.fields.iter().flat_map::<Vec<_>, _>(columns).collect(),
            unique_keys: vec![id()],
            indexes: std::iter::once(id()).chain(found_by).collect(),
            may_enter: true,
            hides_columns: true,
            may_select: self.may("READ"),
            may_select_rows: self.may("READ"),
            locks: RowLocks::Each,
            primary_key: id(),
            followed: Vec::new(),
            obstacles: self.obstacles(),
        }
    }

    /// The names of the parts of an address; `None` if a field is none.
    pub(super) fn parts_of(&self, name: &str) -> Option<Vec<&str>> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        let parts = field.fields.iter().map(|part| part.name.as_str());
        field.is_address().then(|| parts.collect())
    }

    /// The fields that name one record of another entity, the countries of addresses among them; the
    /// relationship goes by the field's name.
    pub(super) fn references(&self) -> Vec<ReferenceColumn> {
        let reference = |column: String, entity: &str| ReferenceColumn {
            column,
            relationship: None,
            targets: vec![ReferenceTarget {
                path: vec![entity.to_owned()],
                column: "id".to_owned(),
            }],
        };
        let to_one = self.fields.iter();
        let to_one = to_one.filter(|field| field.field_type == "TO_ONE");
        let to_one = to_one.filter_map(|field| {
            let associated = field.associated_entity.as_ref()?;
            Some(reference(field.name.clone(), &associated.entity))
        });
        let addresses = self.fields.iter().filter(|field| field.is_address());
        let countries = addresses.flat_map(|address| {
            let parts = address.fields.iter();
            let countries = parts.filter(|part| part.options_type == COUNTRY);
            countries.map(|part| reference(format!("{}.{}", address.name, part.name), COUNTRY))
        });
        to_one.chain(countries).collect()
    }

    /// Whether the user may, in some form: `UPDATE_DEPARTMENT` is one of `UPDATE`.
    fn may(&self, entitlement: &str) -> bool {
        let is_such = |held: &String| held.starts_with(entitlement);
        let held = self.entitlements.as_ref();
        held.is_none_or(|held| held.iter().any(is_such))
    }

    fn obstacles(&self) -> Vec<Obstacle> {
        let changes = [
            (Change::Update, "UPDATE", "may not be updated by this user"),
            (Change::Insert, "CREATE", "may not be created by this user"),
            (Change::Delete, "DELETE", "may not be deleted by this user"),
        ];
        let missing = changes
            .into_iter()
            .filter(|(_, entitlement, _)| !self.may(entitlement));
        let obstacle = |(change, entitlement, why): (Change, &str, &str)| Obstacle {
            against: vec![change],
            why: why.to_owned(),
            hint: format!(
                "have an admin give the user's type the entitlement {entitlement} of {}",
                self.entity
            ),
        };
        missing.map(obstacle).collect()
    }
}

impl Field {
    fn column(&self, timezone: Option<Tz>, is_needed: bool) -> ObjectColumn {
        let is_id = self.field_type == "ID";
        ObjectColumn {
            name: self.name.clone(),
            declared: self.declared(timezone),
            loosely_compared: false,
            holds: self.holds(timezone),
            nullable: !is_needed && !is_id,
            has_default: !is_needed,
            generated: false,
            may_select: true,
            may_update: !is_id,
            may_insert: !is_id,
            collation: None,
            drops_blanks: false,
            is_set: false,
        }
    }

    fn is_address(&self) -> bool {
        self.field_type == "COMPOSITE"
    }

    /// The columns that the parts of an address are: `address.city`.
    fn parts(&self, timezone: Option<Tz>) -> Vec<ObjectColumn> {
        let parts = self.fields.iter().filter(|_| self.is_address());
        let column = |part: &Self| ObjectColumn {
            name: format!("{}.{}", self.name, part.name),
            ..part.column(timezone, false)
        };
        parts.map(column).collect()
    }

    /// Its type, as [`Nature::of`] reads it.
    fn declared(&self, timezone: Option<Tz>) -> String {
        let associated = self.associated_entity.as_ref();
        let target = associated.map_or("", |associated| associated.entity.as_str());
        match (self.field_type.as_str(), self.data_type.as_str()) {
            ("ID", _) => "ID".to_owned(),
            ("TO_ONE", _) => format!("to-one({target})"),
            ("TO_MANY", _) => format!("to-many({target})"),
            ("COMPOSITE", data_type) => format!("composite({data_type})"),
            (_, "String") if self.multi_value => format!("values({})", self.max_length),
            (_, "String") => format!("String({})", self.max_length),
            (_, "Timestamp") if self.is_date() => match timezone {
                Some(zone) => format!("Date({zone})"),
                None => "Date, which needs `timezone` in the connection".to_owned(),
            },
            (_, data_type) => data_type.to_owned(),
        }
    }

    fn is_date(&self) -> bool {
        self.data_specialization == "DATE"
    }

    fn holds(&self, timezone: Option<Tz>) -> Holds {
        let text = |length: u64| Holds::Text {
            limit: (1..LENGTH_ENDLESS)
                .contains(&length)
                .then_some(TextLimit::Characters(length)),
            repertoire: Repertoire::Unicode { nul: false },
        };
        let id = Holds::Integer {
            min: 1,
            max: i128::from(i64::MAX),
        };
        match (self.field_type.as_str(), self.data_type.as_str()) {
            ("ID" | "TO_ONE", _) => id,
            ("TO_MANY", _) => text(0),
            ("SCALAR", "String") if !self.options.is_empty() && !self.multi_value => {
                Holds::Label(self.choices())
            }
            ("SCALAR", "String") if !self.options.is_empty() => Holds::Labels(self.choices()),
            ("SCALAR", "String") => text(self.max_length),
            ("SCALAR", "Integer") => Holds::Integer {
                min: i128::from(i32::MIN),
                max: i128::from(i32::MAX),
            },
            ("SCALAR", "Double") => Holds::Float { bits: 64 },
            ("SCALAR", "BigDecimal") => Holds::Decimal { size: None },
            ("SCALAR", "Boolean") => Holds::Boolean,
            ("SCALAR", "Timestamp") => match (self.is_date(), timezone) {
                (false, _) => Holds::Instant { fraction_digits: 3 },
                (true, Some(_)) => Holds::Date,
                (true, None) => Holds::Unsupported,
            },
            _ => Holds::Unsupported,
        }
    }

    fn choices(&self) -> Vec<String> {
        self.options.iter().map(Choice::text).collect()
    }
}

/// The address and its part that a column is, if it is the part of one.
pub(super) fn part_of(column: &str) -> Option<(&str, &str)> {
    column.split_once('.')
}

/// What a field is, where it makes a difference to how it is asked for, sent and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    Id,
    /// A reference, whose text is an id.
    ToOne,
    /// A list of references, whose text is ids with semicolons between.
    ToMany,
    /// Several texts, with semicolons between.
    Values,
    /// Milliseconds since 1970.
    Instant,
    /// The same, of midnight in the corporation's zone.
    Date(Tz),
    Other,
}

impl Nature {
    /// As [`ObjectColumn::declared`] says.
    pub(super) fn of(column: &ObjectColumn) -> Self {
        let declared = column.declared.as_str();
        let zone = declared
            .strip_prefix("Date(")
            .and_then(|rest| rest.strip_suffix(')'));
        if let Some(zone) = zone.and_then(|zone| zone.parse().ok()) {
            return Self::Date(zone);
        }
        match declared.split('(').next().unwrap_or_default() {
            "ID" => Self::Id,
            "to-one" => Self::ToOne,
            "to-many" => Self::ToMany,
            "values" => Self::Values,
            "Timestamp" => Self::Instant,
            _ => Self::Other,
        }
    }
}

/// How the records of an entity are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FoundBy {
    /// By `search`, whose index lags behind.
    Search,
    /// By `query`, as they are.
    Query,
    /// By what links them to other records; `search` finds none in some corporations.
    NoteLinks,
}

impl FoundBy {
    /// Entities that `search` finds and `query` may refuse.
    const SEARCHED: [&str; 7] = [
        "Candidate",
        "ClientContact",
        "JobOrder",
        "Lead",
        "Opportunity",
        "Placement",
        "Task",
    ];

    pub(super) fn of(entity: &str) -> Self {
        match entity {
            "Note" => Self::NoteLinks,
            entity if Self::SEARCHED.contains(&entity) => Self::Search,
            _ => Self::Query,
        }
    }
}
