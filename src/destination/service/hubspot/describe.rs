//! An object as HubSpot describes it, made into what every destination's object is.
//! Source: <https://developers.hubspot.com/docs/api-reference/crm-schemas-v3/guide>.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::connection::ServiceKind;
use crate::domain::object::{
    Holds, Object, ObjectColumn, ObjectKind, Obstacle, Repertoire, RowLocks, Spelling, TextLimit,
};
use crate::domain::referral::{ReferenceColumn, ReferenceTarget};

/// Characters of a text.
/// Source: <https://developers.hubspot.com/docs/api-reference/crm-properties-v3/guide>.
const TEXT_CHARACTERS_MAX: u64 = 65_536;

/// The property that is the record's id.
pub(super) const ID: &str = "hs_object_id";

/// The property that lists records which were merged into this one.
pub(super) const MERGED_IDS: &str = "hs_merged_object_ids";

/// Objects of every portal: their ids, the names that are written for them, and what a new one
/// cannot do without.
/// Source: <https://developers.hubspot.com/docs/api-reference/crm-objects-v3/guide>.
pub(super) const STANDARD_OBJECTS: [(&str, &str, &[&str]); 6] = [
    ("0-1", "contacts", &[]),
    ("0-2", "companies", &[]),
    ("0-3", "deals", &["dealname", "dealstage", "pipeline"]),
    (
        "0-5",
        "tickets",
        &["subject", "hs_pipeline_stage", "hs_pipeline"],
    ),
    ("0-27", "tasks", &["hs_timestamp"]),
    ("0-46", "notes", &["hs_timestamp"]),
];

const CONTACTS: &str = "0-1";

/// Objects whose records others belong to, and what stands before their names in a field that says
/// so.
const ASSOCIATED_OBJECTS: [&str; 4] = ["contacts", "companies", "deals", "tickets"];
pub(super) const ASSOCIATED: &str = "associated_";

/// What one record is to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AssociationType {
    pub(super) category: String,
    pub(super) id: u64,
}

impl AssociationType {
    /// As requests write it.
    pub(super) fn spec(&self) -> Value {
        json!({ "associationCategory": self.category, "associationTypeId": self.id })
    }

    /// Whether an answer tells of this one.
    pub(super) fn is(&self, told: &Value) -> bool {
        let category = told.get("category").and_then(Value::as_str);
        told.get("typeId").and_then(Value::as_u64) == Some(self.id)
            && category.is_none_or(|category| category == self.category)
    }
}

/// The types by which records of an object are associated with others, by the names of these.
pub(super) type AssociationTypes = BTreeMap<String, AssociationType>;

/// The object that a field associates with; `None` of a property.
pub(super) fn associated(column: &ObjectColumn) -> Option<&str> {
    let declared = column.declared.strip_prefix("association(")?;
    declared.strip_suffix(')')?.split(", ").next()
}

/// What its records are to the others, where a field is about a label alone.
pub(super) fn labelled(column: &ObjectColumn) -> Option<AssociationType> {
    let declared = column.declared.strip_prefix("association(")?;
    let (_, kind) = declared.strip_suffix(')')?.split_once(", ")?;
    let (category, id) = kind.split_once(' ')?;
    Some(AssociationType {
        category: category.to_owned(),
        id: id.parse().ok()?,
    })
}

/// `associated_contacts/Decision maker`: the records of another object that have this label.
pub(super) fn labelled_column(to: &str, label: &str, kind: &AssociationType) -> ObjectColumn {
    let AssociationType { category, id } = kind;
    let declared = format!("association({to}, {category} {id})");
    association_column(format!("{ASSOCIATED}{to}/{label}"), &declared)
}

/// Ids of records with semicolons between.
fn association_column(name: String, declared: &str) -> ObjectColumn {
    let holds = Holds::Text {
        limit: None,
        repertoire: Repertoire::Unicode { nul: false },
    };
    ObjectColumn {
        has_default: true,
        drops_blanks: false,
        is_set: true,
        ..ObjectColumn::plain(&name, declared, holds)
    }
}

/// The schema of an object, as far as it is made use of.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Schema {
    object_type_id: String,
    name: String,
    fully_qualified_name: Option<String>,
    labels: Option<Labels>,
    #[serde(default)]
    required_properties: Vec<String>,
    #[serde(default)]
    properties: Vec<Property>,
}

#[derive(Debug, Clone, Deserialize)]
struct Labels {
    singular: Option<String>,
    plural: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Property {
    name: String,
    #[serde(rename = "type")]
    property_type: String,
    #[serde(default)]
    field_type: String,
    #[serde(default)]
    options: Vec<PropertyOption>,
    #[serde(default)]
    external_options: bool,
    #[serde(default)]
    has_unique_value: bool,
    #[serde(default)]
    calculated: bool,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    modification_metadata: Modification,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Modification {
    #[serde(default)]
    read_only_value: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PropertyOption {
    value: String,
    #[serde(default)]
    display_order: i64,
}

impl Schema {
    /// As it is named in paths: that of every portal in the words of the documentation, one of the
    /// portal's own by its full name.
    pub(super) fn path_name(&self) -> &str {
        let standard = STANDARD_OBJECTS
            .iter()
            .find(|(id, _, _)| *id == self.object_type_id);
        match (standard, &self.fully_qualified_name) {
            (Some((_, name, _)), _) => name,
            (None, Some(name)) => name,
            (None, None) => &self.name,
        }
    }

    /// Whether people see it under this name.
    pub(super) fn is_labelled(&self, name: &str) -> bool {
        let labels = self.labels.as_ref();
        labels.is_some_and(|labels| {
            let labels = [&labels.singular, &labels.plural];
            labels.into_iter().flatten().any(|label| label == name)
        })
    }

    /// The object, as the run sees it.
    pub(super) fn object(&self) -> Object {
        let properties = || self.properties.iter().filter(|property| !property.archived);
        let named = |wanted: &dyn Fn(&Property) -> bool| -> Vec<Vec<String>> {
            let wanted = properties().filter(|property| wanted(property));
            wanted.map(|property| vec![property.name.clone()]).collect()
        };
        Object {
            path: vec![self.path_name().to_owned()],
            spelling: Spelling {
                quote: '"',
                account: None,
            },
            kind: ObjectKind::Records(ServiceKind::HubSpot),
            columns: properties()
                .map(|property| self.column(property))
                .chain(self.associations())
                .collect(),
            unique_keys: named(&|property| self.is_unique(property)),
            // Whatever there is can be searched for.
            indexes: named(&|property| property.holds() != Holds::Unsupported)
                .into_iter()
                .chain(self.associations().map(|column| vec![column.name]))
                .collect(),
            may_enter: true,
            hides_columns: true,
            may_select: true,
            may_select_rows: true,
            locks: RowLocks::Each,
            primary_key: vec![ID.to_owned()],
            followed: Vec::new(),
            obstacles: Vec::new(),
        }
    }

    /// Fields that hold the ids of the records that this one belongs to, but where the portal has a
    /// property of that name.
    fn associations(&self) -> impl Iterator<Item = ObjectColumn> {
        let others = ASSOCIATED_OBJECTS.into_iter();
        let others = others.filter(|other| *other != self.path_name());
        let columns = others.map(|other| {
            let declared = format!("association({other})");
            association_column(format!("{ASSOCIATED}{other}"), &declared)
        });
        columns.filter(|column| {
            let mut properties = self.properties.iter();
            !properties.any(|property| property.name == column.name)
        })
    }

    /// Whether no two records have the same there. Contacts share no e-mail address, which their
    /// description does not tell.
    fn is_unique(&self, property: &Property) -> bool {
        let is_email = self.object_type_id == CONTACTS && property.name == "email";
        property.has_unique_value || property.name == ID || is_email
    }

    fn is_required(&self, name: &str) -> bool {
        let standard = STANDARD_OBJECTS
            .iter()
            .find(|(id, _, _)| *id == self.object_type_id);
        let usual = standard.is_some_and(|(_, _, required)| required.contains(&name));
        usual
            || self
                .required_properties
                .iter()
                .any(|required| required == name)
    }

    fn column(&self, property: &Property) -> ObjectColumn {
        let required = self.is_required(&property.name);
        let is_written = !property.calculated && !property.modification_metadata.read_only_value;
        ObjectColumn {
            name: property.name.clone(),
            declared: property.declared(),
            holds: property.holds(),
            nullable: !required,
            has_default: !required,
            // Whatever may not be written HubSpot sets itself: no right would help.
            generated: !is_written,
            may_select: true,
            may_update: is_written,
            may_insert: is_written,
            loosely_compared: false,
            collation: None,
            drops_blanks: false,
            is_set: property.declared() == "enumeration(checkbox)",
        }
    }
}

/// Those who own records: they are kept elsewhere, and only found here.
pub(super) const OWNERS: &str = "owners";

/// The property that names a record's owner.
const OWNER: &str = "hubspot_owner_id";

/// Owners as an object that others refer to.
pub(super) fn owners() -> Object {
    let column = |name: &str| {
        let holds = Holds::Text {
            limit: None,
            repertoire: Repertoire::Unicode { nul: false },
        };
        ObjectColumn::plain(name, "string", holds)
    };
    let columns: Vec<ObjectColumn> = ["id", "email", "userId"].map(column).into();
    let named: Vec<Vec<String>> = columns
        .iter()
        .map(|column| vec![column.name.clone()])
        .collect();
    Object {
        path: vec![OWNERS.to_owned()],
        spelling: Spelling {
            quote: '"',
            account: None,
        },
        kind: ObjectKind::Records(ServiceKind::HubSpot),
        columns,
        unique_keys: vec![vec!["id".to_owned()]],
        indexes: named,
        may_enter: true,
        hides_columns: false,
        may_select: true,
        may_select_rows: true,
        locks: RowLocks::Each,
        primary_key: vec!["id".to_owned()],
        followed: Vec::new(),
        obstacles: vec![Obstacle::to_all(
            "are the portal's users, which nothing but its own settings changes".to_owned(),
            "refer to them: `hubspot_owner_id = { column = \"…\", refers_to = \"owners.email\" }`"
                .to_owned(),
        )],
    }
}

/// The fields of an object that lead to records of others.
pub(super) fn references(object: &Object) -> Vec<ReferenceColumn> {
    let fields = object.columns.iter();
    let reference = |column: &ObjectColumn| {
        if column.name == OWNER {
            return Some(ReferenceColumn {
                column: column.name.clone(),
                relationship: Some("owner".to_owned()),
                targets: vec![ReferenceTarget {
                    path: vec![OWNERS.to_owned()],
                    column: "id".to_owned(),
                }],
            });
        }
        let to = associated(column)?;
        // One with a label goes by its own name alone.
        let plain = labelled(column).is_none();
        Some(ReferenceColumn {
            column: column.name.clone(),
            relationship: plain.then(|| to.to_owned()),
            targets: vec![ReferenceTarget {
                path: vec![to.to_owned()],
                column: ID.to_owned(),
            }],
        })
    };
    fields.filter_map(reference).collect()
}

impl Property {
    /// Its type as people of the API would write it: `number`, `enumeration(checkbox)`.
    fn declared(&self) -> String {
        match self.property_type.as_str() {
            "enumeration" => format!("enumeration({})", self.field_type),
            property_type => property_type.to_owned(),
        }
    }

    fn holds(&self) -> Holds {
        let text = || Holds::Text {
            limit: Some(TextLimit::Characters(TEXT_CHARACTERS_MAX)),
            repertoire: Repertoire::Unicode { nul: false },
        };
        match self.property_type.as_str() {
            "bool" => Holds::Boolean,
            "enumeration" if self.is_truth() => Holds::Boolean,
            "enumeration"
                if self.external_options
                    || self.options.is_empty()
                    || self.field_type == "checkbox" =>
            {
                text()
            }
            "enumeration" => Holds::Label(self.values()),
            "string" | "phone_number" => text(),
            "number" => Holds::Decimal { size: None },
            "date" => Holds::Date,
            "datetime" => Holds::Instant { fraction_digits: 3 },
            _ => Holds::Unsupported,
        }
    }

    fn is_truth(&self) -> bool {
        let values: Vec<&str> = self
            .options
            .iter()
            .map(|option| option.value.as_str())
            .collect();
        self.field_type == "booleancheckbox"
            && values.len() == 2
            && values.contains(&"true")
            && values.contains(&"false")
    }

    /// The values of its options, in the order in which people see them.
    fn values(&self) -> Vec<String> {
        let mut options: Vec<&PropertyOption> = self.options.iter().collect();
        options.sort_by_key(|option| option.display_order);
        options
            .into_iter()
            .map(|option| option.value.clone())
            .collect()
    }
}
