//! A table as Dataverse describes it, made into what every destination's object is.
//! Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/webapi/query-metadata-web-api>.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::change::Change;
use crate::domain::connection::ServiceKind;
use crate::domain::object::{
    Holds, Object, ObjectColumn, ObjectKind, Obstacle, Repertoire, RowLocks, Spelling, TextLimit,
};
use crate::domain::referral::{ReferenceColumn, ReferenceTarget};

/// A table, as far as it is made use of; `writeback describe` saves the same, whole.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TableDescription {
    pub(super) logical_name: String,
    pub(super) entity_set_name: String,
    pub(super) primary_id_attribute: String,
    #[serde(default)]
    table_type: Option<String>,
    #[serde(default)]
    is_optimistic_concurrency_enabled: bool,
    #[serde(default)]
    privileges: Vec<Privilege>,
    #[serde(default)]
    attributes: Vec<Attribute>,
    #[serde(default)]
    keys: Vec<EntityKey>,
    #[serde(default)]
    many_to_one_relationships: Vec<Relationship>,
    #[serde(default)]
    many_to_many_relationships: Vec<ManyToMany>,
    /// Bulk messages that it takes.
    #[serde(default)]
    messages: Vec<String>,
    /// Names of the privileges that the user holds, if it tells them.
    #[serde(skip)]
    pub(super) held: Option<Vec<String>>,
    /// What column security grants the user, by the columns' names.
    #[serde(skip)]
    pub(super) granted: BTreeMap<String, Granted>,
    /// Set names of the tables that lookups lead to.
    #[serde(default)]
    pub(super) target_sets: BTreeMap<String, String>,
    /// Names of the columns that hold the ids of those tables' rows.
    #[serde(skip)]
    pub(super) target_ids: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Privilege {
    privilege_type: String,
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Attribute {
    pub(super) logical_name: String,
    #[serde(default)]
    attribute_type: Option<String>,
    #[serde(default)]
    attribute_type_name: Option<Named>,
    #[serde(default)]
    attribute_of: Option<String>,
    #[serde(default)]
    is_valid_for_create: bool,
    #[serde(default)]
    is_valid_for_update: bool,
    #[serde(default)]
    is_valid_for_read: bool,
    #[serde(default)]
    is_secured: bool,
    #[serde(default)]
    source_type: Option<i64>,
    #[serde(default)]
    auto_number_format: Option<String>,
    #[serde(default)]
    required_level: Option<Named>,
    #[serde(default)]
    max_length: Option<u64>,
    #[serde(default)]
    min_value: Option<f64>,
    #[serde(default)]
    max_value: Option<f64>,
    #[serde(default)]
    precision: Option<u16>,
    #[serde(default)]
    date_time_behavior: Option<Named>,
    #[serde(default)]
    option_set: Option<OptionSet>,
    #[serde(default)]
    global_option_set: Option<OptionSet>,
    #[serde(default)]
    targets: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    value: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OptionSet {
    #[serde(default)]
    options: Vec<OptionValue>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OptionValue {
    value: i64,
    #[serde(default)]
    label: Option<OptionLabel>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OptionLabel {
    user_localized_label: Option<LocalizedLabel>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LocalizedLabel {
    label: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EntityKey {
    #[serde(default)]
    key_attributes: Vec<String>,
    #[serde(default)]
    entity_key_index_status: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Relationship {
    pub(super) referencing_attribute: String,
    pub(super) referencing_entity_navigation_property_name: String,
    pub(super) referenced_entity: String,
    /// The column of the other table whose value the lookup holds.
    #[serde(default)]
    referenced_attribute: Option<String>,
}

/// A relationship of many to many, as both of its tables tell it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManyToMany {
    entity1_logical_name: String,
    #[serde(default)]
    entity1_navigation_property_name: Option<String>,
    entity2_logical_name: String,
    #[serde(default)]
    entity2_navigation_property_name: Option<String>,
}

/// What column security grants the user of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Granted {
    pub(super) reads: bool,
    pub(super) updates: bool,
    pub(super) creates: bool,
}

/// What a column's values are, where it makes a difference to how they are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    Plain,
    Choice,
    Choices,
    Lookup,
    /// Rows of another table, many to many.
    Members,
}

impl TableDescription {
    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes
            .iter()
            .find(|attribute| attribute.logical_name == name)
    }

    /// Whether a write can be refused where the row's ETag is another one.
    pub(super) fn guards(&self) -> bool {
        self.is_optimistic_concurrency_enabled
    }

    pub(super) fn takes(&self, message: &str) -> bool {
        self.messages.iter().any(|known| known == message)
    }

    pub(super) fn is_elastic(&self) -> bool {
        self.table_type.as_deref() == Some("Elastic")
    }

    /// The relationship by which a lookup leads to a table; to the only one, if none is named.
    pub(super) fn relationship(&self, column: &str, target: Option<&str>) -> Option<&Relationship> {
        let mut all = self.many_to_one_relationships.iter().filter(|known| {
            known.referencing_attribute == column
                && target.is_none_or(|target| known.referenced_entity == target)
        });
        let first = all.next();
        match target {
            Some(_) => first,
            None => first.filter(|_| all.next().is_none()),
        }
    }

    /// Whether column security stands before some of its columns.
    pub(super) fn has_secured(&self) -> bool {
        self.attributes.iter().any(|attribute| attribute.is_secured)
    }

    /// Any of the relationships of a lookup: through each of them it can be emptied.
    pub(super) fn any_relationship(&self, column: &str) -> Option<&Relationship> {
        let mut all = self.many_to_one_relationships.iter();
        all.find(|known| known.referencing_attribute == column)
    }

    /// Names under which a row shows rows that it lists, many to many, with the table of each. A
    /// relationship of the table with itself has two of them, one for either way.
    pub(super) fn lists(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.many_to_many_relationships.iter();
        all.flat_map(move |list| {
            let one = (
                &list.entity1_logical_name,
                list.entity1_navigation_property_name.as_deref(),
            );
            let other = (
                &list.entity2_logical_name,
                list.entity2_navigation_property_name.as_deref(),
            );
            // One name for both ways would not say which is meant.
            let tells = one != other;
            let sides = [(one, other), (other, one)].into_iter();
            let own = sides.filter(move |((own, _), _)| tells && **own == self.logical_name);
            own.filter_map(|((_, name), (target, _))| Some((name?, target.as_str())))
        })
    }

    /// The tables that lookups and lists lead to.
    pub(super) fn targets(&self) -> Vec<&str> {
        let lookups = self.many_to_one_relationships.iter();
        let mut names: Vec<&str> = lookups
            .map(|known| known.referenced_entity.as_str())
            .chain(self.lists().map(|(_, target)| target))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The lookups, and the tables that each may lead to.
    pub(super) fn references(&self) -> Vec<ReferenceColumn> {
        let shown = self.attributes.iter().filter(|one| one.is_shown());
        let lookups = shown.filter(|attribute| attribute.nature() == Nature::Lookup);
        let reference = |attribute: &Attribute| {
            let column = attribute.logical_name.as_str();
            let all = self.many_to_one_relationships.iter();
            let own: Vec<&Relationship> = all
                .filter(|known| known.referencing_attribute == column)
                .collect();
            let targets = own.iter().filter_map(|known| {
                Some(ReferenceTarget {
                    path: vec![known.referenced_entity.clone()],
                    column: known.referenced_attribute.clone()?,
                })
            });
            let navigation = match own.as_slice() {
                [only] => Some(only.referencing_entity_navigation_property_name.clone()),
                [..] => None,
            };
            ReferenceColumn {
                column: column.to_owned(),
                relationship: navigation.filter(|name| name != column),
                targets: targets.collect(),
            }
        };
        lookups.map(reference).collect()
    }

    /// The table, as the run sees it.
    pub(super) fn object(&self) -> Object {
        let columns = self
            .attributes
            .iter()
            .filter(|attribute| attribute.is_shown());
        let mut columns: Vec<ObjectColumn> =
            columns.map(|attribute| self.column(attribute)).collect();
        let active = self
            .keys
            .iter()
            .filter(|key| key.entity_key_index_status.as_deref() == Some("Active"));
        let keys = active.map(|key| key.key_attributes.clone());
        let indexes: Vec<Vec<String>> = columns
            .iter()
            .map(|column| vec![column.name.clone()])
            .collect();
        let is_other = |(name, _): &(&str, &str)| self.attribute(name).is_none();
        let lists = self.lists().filter(is_other);
        columns.extend(lists.map(|(name, target)| list_column(name, target)));
        let may_select = self.may("Read");
        Object {
            path: vec![self.logical_name.clone()],
            spelling: Spelling {
                quote: '"',
                account: None,
            },
            kind: ObjectKind::Records(ServiceKind::Dataverse),
            unique_keys: std::iter::once(vec![self.primary_id_attribute.clone()])
                .chain(keys)
                .collect(),
            // Whatever can be filtered by is found without reading every row one by one.
            indexes,
            may_enter: true,
            hides_columns: true,
            may_select,
            may_select_rows: may_select,
            locks: RowLocks::Each,
            primary_key: vec![self.primary_id_attribute.clone()],
            followed: Vec::new(),
            obstacles: self.obstacles(),
            columns,
        }
    }

    /// Whether the user holds the privilege of a kind; that it does, where nothing is told.
    fn may(&self, kind: &str) -> bool {
        let wanted = self
            .privileges
            .iter()
            .find(|privilege| privilege.privilege_type == kind);
        match (wanted, &self.held) {
            (Some(wanted), Some(held)) => held.contains(&wanted.name),
            (None, _) | (_, None) => true,
        }
    }

    /// Whether the user is known not to hold a privilege.
    pub(super) fn lacks(&self, privilege: &str) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| !held.iter().any(|held| held == privilege))
    }

    fn obstacles(&self) -> Vec<Obstacle> {
        let kinds = [
            (Change::Update, "Write", "may not be updated by this user"),
            (Change::Insert, "Create", "may not be created by this user"),
        ];
        let mut obstacles: Vec<Obstacle> = kinds
            .into_iter()
            .filter(|(_, kind, _)| !self.may(kind))
            .map(|(change, kind, why)| Obstacle {
                against: vec![change],
                why: why.to_owned(),
                hint: format!(
                    "let a security role of the application user hold {kind} on `{}`",
                    self.logical_name
                ),
            })
            .collect();
        if self.is_elastic() {
            obstacles.push(Obstacle::to_all(
                "is an elastic table: an upsert wipes what is not sent there, a row needs its partition to be \
                 updated, and own writes are read late"
                    .to_owned(),
                "write to a standard table".to_owned(),
            ));
        }
        obstacles
    }

    fn column(&self, attribute: &Attribute) -> ObjectColumn {
        let is_id = attribute.logical_name == self.primary_id_attribute;
        let granted = self.granted.get(&attribute.logical_name);
        let holds = attribute.holds();
        let is_number = attribute.auto_number_format.as_deref();
        let is_number = is_number.is_some_and(|format| !format.is_empty());
        let is_required = attribute
            .required_level
            .as_ref()
            .is_some_and(|level| level.value == "SystemRequired");
        ObjectColumn {
            name: attribute.logical_name.clone(),
            declared: attribute.declared(),
            loosely_compared: matches!(holds, Holds::Text { .. } | Holds::Label(_)),
            holds,
            nullable: !is_required && !is_id,
            // Those that are required and filled by the system: its own, and a new row's id.
            has_default: is_id
                || is_number
                || !attribute.is_valid_for_create
                || attribute.is_filled(),
            generated: attribute.source_type.is_some_and(|source| source > 0),
            // A secured column that may not be read is told as empty.
            may_select: attribute.is_valid_for_read && attribute.lets(granted, |to| to.reads),
            may_update: attribute.is_valid_for_update
                && !is_id
                && attribute.lets(granted, |to| to.updates),
            may_insert: attribute.is_valid_for_create && attribute.lets(granted, |to| to.creates),
            collation: None,
            drops_blanks: false,
            is_set: attribute.nature() == Nature::Choices,
        }
    }
}

/// What a row lists, as a column of its own.
fn list_column(name: &str, target: &str) -> ObjectColumn {
    let holds = Holds::Text {
        limit: None,
        repertoire: Repertoire::Unicode { nul: false },
    };
    ObjectColumn {
        has_default: true,
        drops_blanks: false,
        is_set: true,
        ..ObjectColumn::plain(name, &format!("many_to_many({target})"), holds)
    }
}

impl Attribute {
    /// Whether it is a column of its own, and none that only tells of another.
    fn is_shown(&self) -> bool {
        self.attribute_of.is_none()
    }

    /// Whether column security lets the user do something with it.
    fn lets(&self, granted: Option<&Granted>, wanted: fn(&Granted) -> bool) -> bool {
        !self.is_secured || granted.is_some_and(wanted)
    }

    /// Whether the system fills it where a new row leaves it out, though it is required.
    fn is_filled(&self) -> bool {
        matches!(
            self.kind(),
            "State" | "Status" | "Owner" | "Boolean" | "EntityName" | "Money"
        )
    }

    fn kind(&self) -> &str {
        self.attribute_type.as_deref().unwrap_or_default()
    }

    fn kind_name(&self) -> &str {
        let name = self.attribute_type_name.as_ref();
        name.map_or("", |name| name.value.as_str())
    }

    pub(super) fn nature(&self) -> Nature {
        match (self.kind(), self.kind_name()) {
            ("Picklist" | "State" | "Status", _) => Nature::Choice,
            (_, "MultiSelectPicklistType") => Nature::Choices,
            ("Lookup" | "Customer" | "Owner", _) => Nature::Lookup,
            _ => Nature::Plain,
        }
    }

    /// Numbers and labels of its choices; a label that stands for several numbers is left out.
    pub(super) fn choices(&self) -> Vec<(String, String)> {
        let sets = [&self.option_set, &self.global_option_set];
        let mut sets = sets.into_iter().flatten();
        let options = sets.find(|set| !set.options.is_empty());
        let options = options
            .map(|set| set.options.as_slice())
            .unwrap_or_default();
        let label = |option: &OptionValue| -> Option<String> {
            let label = option.label.as_ref()?.user_localized_label.as_ref()?;
            label.label.clone().filter(|label| !label.is_empty())
        };
        // They are told in a row, with these signs between them.
        let is_plain = |label: &String| !label.contains([';', '=']);
        let numbered = options.iter().map(|option| {
            let number = option.value.to_string();
            let label = label(option).filter(is_plain).filter(|wanted| {
                let same = options
                    .iter()
                    .filter(|other| label(other).as_ref() == Some(wanted));
                same.count() == 1
            });
            (number.clone(), label.unwrap_or(number))
        });
        numbered.collect()
    }

    pub(super) fn leads_to(&self) -> &[String] {
        self.targets.as_deref().unwrap_or_default()
    }

    /// Its type as people of the platform would write it: `string(80)`, `lookup(contact)`. Of
    /// several choices it holds all there are, for values are compared by it.
    fn declared(&self) -> String {
        let kind = self.kind().to_lowercase();
        match (self.nature(), self.max_length, self.precision) {
            (Nature::Choice, _, _) => "choice".to_owned(),
            (Nature::Members, _, _) => "many_to_many".to_owned(),
            (Nature::Choices, _, _) => {
                let choices = self.choices().into_iter();
                let told = choices.map(|(number, label)| format!("{number}={label}"));
                format!("choices({})", told.collect::<Vec<_>>().join("; "))
            }
            (Nature::Lookup, _, _) => format!("lookup({})", self.leads_to().join(", ")),
            (Nature::Plain, Some(length), _) => format!("{kind}({length})"),
            (Nature::Plain, None, Some(digits)) => format!("{kind}({digits})"),
            (Nature::Plain, None, None) => kind,
        }
    }

    fn holds(&self) -> Holds {
        let text = |characters: Option<u64>| Holds::Text {
            limit: characters.map(TextLimit::Characters),
            repertoire: Repertoire::Unicode { nul: false },
        };
        match self.nature() {
            Nature::Choice => {
                return Holds::Label(
                    self.choices()
                        .into_iter()
                        .flat_map(|(number, label)| [label, number])
                        .collect(),
                );
            }
            Nature::Choices | Nature::Members => return text(None),
            Nature::Lookup => {
                return match self.leads_to() {
                    [_] => Holds::Uuid,
                    _ => text(None),
                };
            }
            Nature::Plain => {}
        }
        match self.kind() {
            "Uniqueidentifier" => Holds::Uuid,
            "String" | "Memo" => text(self.max_length),
            "Boolean" => Holds::Boolean,
            "Integer" => Holds::Integer {
                min: whole(self.min_value).unwrap_or(i128::from(i32::MIN)),
                max: whole(self.max_value).unwrap_or(i128::from(i32::MAX)),
            },
            "BigInt" => Holds::Integer {
                min: i128::from(i64::MIN),
                max: i128::from(i64::MAX),
            },
            "Decimal" | "Money" => Holds::Decimal {
                size: self
                    .precision
                    .map(|digits| (self.whole_digits() + digits, digits)),
            },
            "Double" => Holds::DecimalAsFloat {
                size: self
                    .precision
                    .map(|digits| (self.whole_digits() + digits, digits)),
            },
            "DateTime" => self.moment(),
            _ => Holds::Unsupported,
        }
    }

    fn moment(&self) -> Holds {
        let behaviour = self.date_time_behavior.as_ref();
        match behaviour.map(|behaviour| behaviour.value.as_str()) {
            Some("DateOnly") => Holds::Date,
            Some("TimeZoneIndependent") => Holds::Timestamp { fraction_digits: 0 },
            Some(_) | None => Holds::Instant { fraction_digits: 0 },
        }
    }

    /// Digits before the point of the largest number that it takes.
    fn whole_digits(&self) -> u16 {
        let largest = whole(self.max_value).unwrap_or(100_000_000_000);
        let smallest = whole(self.min_value).unwrap_or(-100_000_000_000);
        let most = largest.unsigned_abs().max(smallest.unsigned_abs());
        u16::try_from(most.to_string().len()).unwrap_or(u16::MAX)
    }
}

/// A bound without its fraction.
fn whole(bound: Option<f64>) -> Option<i128> {
    let text = format!("{:.0}", bound?.trunc());
    text.parse().ok()
}
